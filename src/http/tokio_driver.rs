//! The driver on tokio's threads: getaddrinfo, TCP with happy eyeballs (RFC 8305), tokio's timers.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::Uri;
use hyper::rt::{Executor, Sleep, Timer};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::runtime::Handle;
use tower_service::Service;

use crate::pinning::Host;
use crate::tls::codes;
use crate::tls::{Failure, Phase};

use super::driver::{Driver, Target, Task};
use super::home::Home;
use super::socket::Socket;
use super::turns::Turns;

/// The delay before the other address family is tried as well (RFC 8305, 5).
const HAPPY_EYEBALLS: Duration = Duration::from_millis(250);

/// Which addresses to use, as Node's `family` and `localAddress`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Addresses {
    pub family: Family,
    pub local: Option<IpAddr>,
}

/// Node's `family`: 0, 4 or 6.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    #[default]
    Any,
    V4,
    V6,
}

/// Runs connections on a tokio runtime, and lets them move to an event loop where there is one.
#[derive(Clone)]
pub struct TokioDriver {
    runtime: Handle,
    timer: TokioTimer,
    connector: HttpConnector<Resolver>,
    turns: Weak<Turns>,
}

impl TokioDriver {
    #[must_use]
    pub fn new(runtime: Handle, addresses: Addresses, turns: Weak<Turns>) -> Self {
        let mut connector = HttpConnector::new_with_resolver(Resolver(addresses.family));
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_happy_eyeballs_timeout(Some(HAPPY_EYEBALLS));
        connector.set_local_address(addresses.local);
        Self { runtime, timer: TokioTimer::new(), connector, turns }
    }
}

impl Driver for TokioDriver {
    type Io = TokioIo<Socket>;

    async fn dial(&self, target: &Target) -> Result<(Self::Io, SocketAddr), Failure> {
        let authority = match &target.host {
            Host::Ip(IpAddr::V6(ip)) => format!("[{ip}]:{}", target.port),
            host => format!("{host}:{}", target.port),
        };
        let uri = Uri::builder().scheme("https").authority(authority).path_and_query("/").build();
        let uri = uri.map_err(|error| {
            Failure::new("ERR_INVALID_URL", Phase::Policy, "the host cannot be connected to")
                .because(&error)
        })?;
        let mut connector = self.connector.clone();
        let io = connector.call(uri).await.map_err(|error| failure(&error))?;
        let remote = io
            .inner()
            .peer_addr()
            .map_err(|error| codes::from_io(&error, Phase::Connect, "getpeername"))?;
        Ok((TokioIo::new(Socket::new(io.into_inner())), remote))
    }

    fn has_loop(&self) -> bool {
        self.turns.strong_count() > 0
    }

    fn home(&self, io: &Self::Io) -> Arc<Home> {
        Home::new(Arc::clone(io.inner().seat()), self.runtime.clone(), Weak::clone(&self.turns))
    }
}

/// Finds the system's error in the connector's, and says whether the name or the connection failed.
fn failure(error: &(dyn std::error::Error + 'static)) -> Failure {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(unresolved) = error.downcast_ref::<Unresolved>() {
            return unresolved.0.clone();
        }
        if let Some(io) = error.downcast_ref::<io::Error>() {
            if let Some(unresolved) = io.get_ref().and_then(|e| e.downcast_ref::<Unresolved>()) {
                return unresolved.0.clone();
            }
            return codes::from_io(io, Phase::Connect, "connect");
        }
        next = error.source();
    }
    Failure::new("EIO", Phase::Connect, "the connection failed").because(&error)
}

impl Executor<Task> for TokioDriver {
    fn execute(&self, task: Task) {
        self.runtime.spawn(task);
    }
}

impl Timer for TokioDriver {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.timer.sleep(duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        self.timer.sleep_until(deadline)
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, deadline: Instant) {
        self.timer.reset(sleep, deadline);
    }
}

/// getaddrinfo on a blocking thread, narrowed to a family.
#[derive(Clone, Debug)]
struct Resolver(Family);

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unresolved(Failure);

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Unresolved;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Unresolved>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unresolved>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let family = self.0;
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let looked_up =
                tokio::task::spawn_blocking(move || (host.as_str(), 0).to_socket_addrs()).await;
            let found = match looked_up {
                Ok(Ok(found)) => found,
                Ok(Err(error)) => return Err(not_found(&name, Some(&error))),
                Err(_) => return Err(not_found(&name, None)),
            };
            let found: Vec<SocketAddr> = found
                .filter(|address| match family {
                    Family::Any => true,
                    Family::V4 => address.is_ipv4(),
                    Family::V6 => address.is_ipv6(),
                })
                .collect();
            if found.is_empty() {
                return Err(not_found(&name, None));
            }
            Ok(found.into_iter())
        })
    }
}

/// The standard library gives getaddrinfo's error as text alone; only "try again" is worth telling apart.
fn not_found(name: &Name, error: Option<&io::Error>) -> Unresolved {
    let text = error.map(ToString::to_string).unwrap_or_default();
    let (code, what) = if text.contains("Temporary failure") {
        ("EAI_AGAIN", "could not be looked up just now")
    } else {
        ("ENOTFOUND", "has no address")
    };
    let failure =
        Failure::new(code, Phase::Dns, format!("the name {name} {what}")).syscall("getaddrinfo");
    Unresolved(match error {
        Some(error) => failure.because(error),
        None => failure,
    })
}

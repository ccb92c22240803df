//! The driver on tokio's threads: getaddrinfo, TCP with happy eyeballs (RFC 8305), tokio's timers.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::{Executor, Sleep, Timer};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::runtime::Handle;
use tower_service::Service;

use crate::pinning::Host;
use crate::tls::codes;
use crate::tls::stream::Gate;
use crate::tls::{Failure, Phase};

use super::driver::{Driver, Target, Task};
use super::home::Home;
use super::proxy::{Proxy, uri};
use super::route::Route;
use super::socket::Socket;
use super::turns::Turns;

/// The delay before the other address family is tried as well (RFC 8305, 5).
const HAPPY_EYEBALLS: Duration = Duration::from_millis(250);

/// Which addresses to use, as Node's `family`, `localAddress` and `lookup`.
#[derive(Clone, Default)]
pub struct Addresses {
    pub family: Family,
    pub local: Option<IpAddr>,
    /// Who is asked instead of the system.
    pub lookup: Option<Lookup>,
}

/// Finds the addresses of a name; the family is what is wanted, and others are left out of the answer afterwards.
pub type Lookup = Arc<dyn Fn(String, Family) -> LookedUp + Send + Sync>;
pub type LookedUp = Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, Failure>> + Send>>;

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
    resolver: Resolver,
    connector: HttpConnector<Resolver>,
    proxy: Option<Arc<Proxy>>,
    greeted: bool,
    turns: Weak<Turns>,
}

impl TokioDriver {
    #[must_use]
    pub fn new(
        runtime: Handle,
        addresses: Addresses,
        proxy: Option<Arc<Proxy>>,
        turns: Weak<Turns>,
    ) -> Self {
        let Addresses { family, local, lookup } = addresses;
        let resolver = Resolver { family, lookup };
        let mut connector = HttpConnector::new_with_resolver(resolver.clone());
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_happy_eyeballs_timeout(Some(HAPPY_EYEBALLS));
        connector.set_local_address(local);
        Self {
            runtime,
            timer: TokioTimer::new(),
            resolver,
            connector,
            proxy,
            greeted: false,
            turns,
        }
    }

    /// For servers that may speak first, before TLS begins.
    #[must_use]
    pub fn greeted(self) -> Self {
        Self { greeted: true, ..self }
    }

    /// Resolves the name and opens a TCP connection.
    async fn open(&self, target: &Target) -> Result<(TokioIo<Socket>, SocketAddr), Failure> {
        let uri = uri(target).ok_or_else(|| {
            Failure::new("ERR_INVALID_URL", Phase::Policy, "the host cannot be connected to")
        })?;
        let mut connector = self.connector.clone();
        let io = connector.call(uri).await.map_err(|error| failure(&error))?;
        let remote = io
            .inner()
            .peer_addr()
            .map_err(|error| codes::from_io(&error, Phase::Connect, "getpeername"))?;
        Ok((TokioIo::new(Socket::new(io.into_inner())), remote))
    }

    /// The target with an address in the place of its name.
    async fn resolved(&self, target: &Target) -> Result<Target, Failure> {
        if matches!(target.host, Host::Ip(_)) {
            return Ok(target.clone());
        }
        let found =
            self.resolver.resolve(&target.host.to_string()).await.map_err(|error| error.0)?;
        let first = found.first().map(|address| Host::Ip(address.ip()));
        Ok(Target { host: first.unwrap_or_else(|| target.host.clone()), port: target.port })
    }

    async fn dial_through(
        &self,
        proxy: &Proxy,
        target: &Target,
    ) -> Result<(Route<TokioIo<Socket>>, SocketAddr), Failure> {
        proxy.decide()?;
        let addressed;
        let target = if proxy.wants_address() {
            addressed = self.resolved(target).await?;
            &addressed
        } else {
            target
        };
        let mut again = true;
        loop {
            let opened = self.open(proxy.at()).await;
            let (io, remote) = opened.map_err(|failure| proxy.failed(failure))?;
            match proxy.tunnel(io, target, self.greeted).await {
                Ok(route) => return Ok((route, remote)),
                // Refused because of what an old session remembered of the proxy: one full handshake.
                Err(refused) if refused.resumed && std::mem::take(&mut again) => {}
                Err(refused) => return Err(refused.failure),
            }
        }
    }
}

impl Driver for TokioDriver {
    type Io = Route<TokioIo<Socket>>;

    async fn dial(&self, target: &Target) -> Result<(Self::Io, SocketAddr), Failure> {
        match &self.proxy {
            // Boxed, since it is large and a direct connection should not carry it along.
            Some(proxy) if proxy.carries(target) => {
                Box::pin(self.dial_through(proxy, target)).await
            }
            _ => self.open(target).await.map(|(io, remote)| (Route::Direct(io), remote)),
        }
    }

    fn has_loop(&self) -> bool {
        self.turns.strong_count() > 0
    }

    fn home(&self, io: &Self::Io) -> Arc<Home> {
        let seat = Arc::clone(io.io().inner().seat());
        Home::new(seat, self.runtime.clone(), Weak::clone(&self.turns))
    }

    fn gate(io: &Self::Io) -> Option<Arc<Gate>> {
        io.gate().cloned()
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

/// getaddrinfo on a blocking thread, or who is asked instead; narrowed to a family.
#[derive(Clone)]
struct Resolver {
    family: Family,
    lookup: Option<Lookup>,
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unresolved(Failure);

impl Resolver {
    async fn resolve(&self, name: &str) -> Result<Vec<SocketAddr>, Unresolved> {
        let found = match &self.lookup {
            Some(lookup) => {
                let found = lookup(name.to_owned(), self.family).await.map_err(Unresolved)?;
                found.into_iter().map(|address| SocketAddr::new(address, 0)).collect()
            }
            None => system(name).await?,
        };
        let found: Vec<SocketAddr> = found
            .into_iter()
            .filter(|address| match self.family {
                Family::Any => true,
                Family::V4 => address.is_ipv4(),
                Family::V6 => address.is_ipv6(),
            })
            .collect();
        if found.is_empty() { Err(not_found(name, None)) } else { Ok(found) }
    }
}

async fn system(name: &str) -> Result<Vec<SocketAddr>, Unresolved> {
    let host = name.to_owned();
    let looked_up = tokio::task::spawn_blocking(move || (host.as_str(), 0).to_socket_addrs()).await;
    match looked_up {
        Ok(Ok(found)) => Ok(found.collect()),
        Ok(Err(error)) => Err(not_found(name, Some(&error))),
        Err(_) => Err(not_found(name, None)),
    }
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Unresolved;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Unresolved>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unresolved>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolver = self.clone();
        Box::pin(async move { Ok(resolver.resolve(name.as_str()).await?.into_iter()) })
    }
}

/// The standard library gives getaddrinfo's error as text alone; only "try again" is worth telling apart.
fn not_found(name: &str, error: Option<&io::Error>) -> Unresolved {
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

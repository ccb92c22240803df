//! The way through a proxy: HTTP CONNECT (RFC 9110, 9.3.6), in the clear or inside TLS that has pins of its own, and
//! SOCKS5 (RFC 1928, 1929). A proxy is told the target's host and port and nothing of the request.

use std::fmt::Display;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use http::header::PROXY_AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Uri};
use hyper::rt::{Read, Write};
use tokio::runtime::Handle;

use crate::pinning::{Host, Observer, PinSet};
use crate::tls::config::TlsConfig;
use crate::tls::connect::{TlsOrigin, Unproved};
use crate::tls::stream::Gate;
use crate::tls::{Failure, Identity, Phase};

use super::driver::Target;
use super::route::Route;

mod bypass;
mod sip;
mod tunnel;

use bypass::Bypass;
use tunnel::{connect, socks5};

/// What a length of one byte can say (RFC 1929, 2).
const SOCKS_TEXT: usize = 255;

/// A proxy, as it is asked for.
pub struct ProxyOptions {
    pub at: Target,
    pub scheme: Scheme,
    pub credentials: Option<Credentials>,
    /// Further headers of CONNECT.
    pub headers: HeaderMap,
    /// Hosts that are connected to directly, by the rules of curl's `NO_PROXY`.
    pub bypass: String,
}

/// What is spoken with a proxy.
pub enum Scheme {
    Http,
    /// HTTP inside TLS, under pins of its own and as an identity of its own.
    Https {
        tls: Box<TlsConfig>,
        pins: Arc<PinSet>,
        servername: Option<Host>,
    },
    Socks5 {
        names: Names,
    },
}

/// Who looks up the target's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// This machine: `socks5:`.
    Local,
    /// The proxy: `socks5h:`.
    Remote,
}

/// A user's name and password. They stand in no message and are told to nobody but the proxy.
#[derive(Clone)]
pub struct Credentials {
    pub username: String,
    pub password: String,
}

/// A proxy that connections can be made through.
pub struct Proxy {
    at: Target,
    way: Way,
    bypass: Bypass,
}

enum Way {
    Connect { tls: Option<Box<Secured>>, headers: HeaderMap },
    Socks5 { names: Names, credentials: Option<Credentials> },
}

/// The TLS side of a proxy. Its sessions and its verifier are shared with no target.
struct Secured {
    origin: TlsOrigin,
    tunnels: Arc<Tunnels>,
}

/// Who is told what the TLS with a proxy rests on, before anything is sent through it.
pub type Watch = Box<dyn Fn(&Gate) + Send + Sync>;

impl Proxy {
    /// # Errors
    /// What cannot be sent: credentials that the protocol has no room for, a host that no certificate can name.
    pub fn new(options: ProxyOptions, runtime: Handle) -> Result<Self, Failure> {
        let ProxyOptions { at, scheme, credentials, mut headers, bypass } = options;
        let bypass = Bypass::new(&bypass);
        let tls = match scheme {
            Scheme::Socks5 { names } => {
                if let Some(Credentials { username, password }) = &credentials
                    && (username.is_empty()
                        || username.len() > SOCKS_TEXT
                        || password.len() > SOCKS_TEXT)
                {
                    return Err(invalid(
                        "the proxy's user name must have from 1 to 255 bytes, its password 255 at most",
                    ));
                }
                return Ok(Self { at, way: Way::Socks5 { names, credentials }, bypass });
            }
            Scheme::Http => None,
            Scheme::Https { tls, pins, servername } => {
                let host = servername.unwrap_or_else(|| at.host.clone());
                let identity = Identity::new(host, at.port).map_err(|error| invalid(&error))?;
                let tunnels = Tunnels { gates: Mutex::default(), runtime, watch: OnceLock::new() };
                let tunnels = Arc::new(tunnels);
                let observer: Arc<dyn Observer> = Arc::clone(&tunnels) as _;
                pins.observe(Arc::downgrade(&observer));
                Some(Box::new(Secured { origin: TlsOrigin::new(&tls, pins, identity), tunnels }))
            }
        };
        if let Some(credentials) = &credentials {
            if credentials.username.contains(':') {
                return Err(invalid(
                    "the proxy's user name holds a colon, which Basic cannot send",
                ));
            }
            headers.insert(PROXY_AUTHORIZATION, basic(credentials)?);
        }
        Ok(Self { at, way: Way::Connect { tls, headers }, bypass })
    }

    /// Has the outcomes of its TLS told to a client's watch; to that of the first, of which there is one.
    pub fn watch(&self, watch: Watch) {
        if let Way::Connect { tls: Some(tls), .. } = &self.way {
            let _ = tls.tunnels.watch.set(watch);
        }
    }

    /// Where the proxy is.
    #[must_use]
    pub fn at(&self) -> &Target {
        &self.at
    }

    /// Whether connections to `target` go through the proxy.
    #[must_use]
    pub fn carries(&self, target: &Target) -> bool {
        !self.bypass.has(target)
    }

    /// Whether the target's address, not its name, is what the proxy is to be told.
    #[must_use]
    pub fn wants_address(&self) -> bool {
        matches!(self.way, Way::Socks5 { names: Names::Local, .. })
    }

    /// The policy's word on the proxy before a packet is sent to it.
    ///
    /// # Errors
    /// `ERR_TLS_PIN_UNLISTED`, `ERR_TLS_PIN_EXPIRED`.
    pub fn decide(&self) -> Result<(), Failure> {
        match &self.way {
            Way::Connect { tls: Some(tls), .. } => {
                tls.origin.decide().map_err(|failure| failure.in_phase(Phase::Proxy))?;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Opens a tunnel to `target` over a new connection to the proxy. `greeted`: the target may speak first, as a server
    /// does that is no TLS server yet.
    ///
    /// # Errors
    /// In the phase `proxy`, with the proxy's host and port. If [`Unproved::resumed`], the sessions with the proxy
    /// have been forgotten and another connection may do better.
    pub async fn tunnel<IO>(
        &self,
        io: IO,
        target: &Target,
        greeted: bool,
    ) -> Result<Route<IO>, Unproved>
    where
        IO: Read + Write + Unpin + Send + 'static,
    {
        let route = match &self.way {
            Way::Socks5 { credentials, .. } => socks5(io, target, credentials.as_ref(), greeted)
                .await
                .map(Route::Direct)
                .map_err(Unproved::from),
            Way::Connect { tls: None, headers } => connect(io, target, headers, greeted)
                .await
                .map(Route::Direct)
                .map_err(Unproved::from),
            Way::Connect { tls: Some(tls), headers } => match tls.origin.handshake(io).await {
                Ok((stream, _)) => {
                    tls.tunnels.add(stream.gate());
                    connect(stream, target, headers, greeted)
                        .await
                        .map(|stream| Route::Secured(Box::new(stream)))
                        .map_err(Unproved::from)
                }
                Err(refused) => {
                    if refused.resumed {
                        tls.origin.forget_sessions();
                    }
                    let identity = tls.origin.identity();
                    let (host, port) = (identity.host().to_string(), identity.port());
                    Err(Unproved { failure: refused.failure.at(&host, port), ..refused })
                }
            },
        };
        route.map_err(|refused| Unproved { failure: self.failed(refused.failure), ..refused })
    }

    /// A failure on the way to the proxy or at it.
    #[must_use]
    pub fn failed(&self, failure: Failure) -> Failure {
        failure.in_phase(Phase::Proxy).at(&self.at.host.to_string(), self.at.port)
    }
}

/// The tunnels that a proxy's pins have allowed. When the pins change, those which they no longer allow end at once,
/// not only at the next byte (I4).
struct Tunnels {
    gates: Mutex<Vec<Weak<Gate>>>,
    runtime: Handle,
    watch: OnceLock<Watch>,
}

impl Tunnels {
    fn add(&self, gate: &Arc<Gate>) {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        gates.retain(|gate| gate.strong_count() > 0);
        gates.push(Arc::downgrade(gate));
        drop(gates);
        self.tell(gate);
    }

    fn tell(&self, gate: &Gate) {
        if let Some(watch) = self.watch.get() {
            watch(gate);
        }
    }
}

impl Observer for Tunnels {
    fn policy_changed(&self) {
        let gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let gates: Vec<_> = gates.iter().filter_map(Weak::upgrade).collect();
        // On the native threads: verifying anew takes its time, and who replaces a policy should not wait.
        self.runtime.spawn(async move {
            for gate in gates {
                gate.enforce();
            }
        });
    }
}

/// `host:port`, an IPv6 address in brackets.
fn authority(target: &Target) -> String {
    match &target.host {
        Host::Ip(IpAddr::V6(ip)) => format!("[{ip}]:{}", target.port),
        host => format!("{host}:{}", target.port),
    }
}

/// The target as hyper-util's connectors take it.
#[must_use]
pub fn uri(target: &Target) -> Option<Uri> {
    Uri::builder().scheme("https").authority(authority(target)).path_and_query("/").build().ok()
}

fn basic(Credentials { username, password }: &Credentials) -> Result<HeaderValue, Failure> {
    let encoded = data_encoding::BASE64.encode(format!("{username}:{password}").as_bytes());
    let mut value =
        HeaderValue::from_str(&format!("Basic {encoded}")).map_err(|error| invalid(&error))?;
    value.set_sensitive(true);
    Ok(value)
}

fn invalid(problem: &(impl Display + ?Sized)) -> Failure {
    Failure::new("ERR_INVALID_ARG_VALUE", Phase::Policy, problem.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(host: &str, port: u16) -> Target {
        Target { host: Host::parse(host).unwrap(), port }
    }

    fn options(scheme: Scheme, bypass: &str) -> ProxyOptions {
        ProxyOptions {
            at: target("proxy.example", 3128),
            scheme,
            credentials: None,
            headers: HeaderMap::new(),
            bypass: bypass.to_owned(),
        }
    }

    #[tokio::test]
    async fn hosts_that_are_left_out() {
        let bypass = "corp.example, .dot.example ,10.0.0.0/8,2001:db8::/32,192.0.2.7";
        let proxy = Proxy::new(options(Scheme::Http, bypass), Handle::current()).unwrap();
        for (host, carried) in [
            ("corp.example", false),
            ("a.b.corp.example", false),
            ("notcorp.example", true),
            ("dot.example", false),
            ("a.dot.example", false),
            ("10.1.2.3", false),
            ("11.1.2.3", true),
            ("192.0.2.7", false),
            ("192.0.2.8", true),
            ("2001:db8::1", false),
            ("2001:db9::1", true),
        ] {
            assert_eq!(proxy.carries(&target(host, 8443)), carried, "{host}");
        }
        for (bypass, carried) in [("", true), ("*", false), ("a,*", false), (",,", true)] {
            let proxy = Proxy::new(options(Scheme::Http, bypass), Handle::current()).unwrap();
            assert_eq!(proxy.carries(&target("corp.example", 443)), carried, "{bypass:?}");
        }
    }

    #[tokio::test]
    async fn hosts_that_are_left_out_on_one_port() {
        let bypass = "corp.example:8443,10.0.0.0/8:444, [2001:db8::1]:443 ,any.example,2001:db8::2";
        let proxy = Proxy::new(options(Scheme::Http, bypass), Handle::current()).unwrap();
        for (host, port, carried) in [
            ("corp.example", 8443, false),
            ("a.corp.example", 8443, false),
            ("corp.example", 443, true),
            ("10.1.2.3", 444, false),
            ("10.1.2.3", 443, true),
            ("2001:db8::1", 443, false),
            ("2001:db8::1", 444, true),
            ("2001:db8::2", 444, false),
            ("any.example", 8443, false),
        ] {
            assert_eq!(proxy.carries(&target(host, port)), carried, "{host}:{port}");
        }
    }

    #[test]
    fn what_a_proxy_is_asked_for() {
        assert_eq!(authority(&target("api.example", 443)), "api.example:443");
        assert_eq!(authority(&target("192.0.2.7", 8443)), "192.0.2.7:8443");
        assert_eq!(authority(&target("2001:db8::1", 443)), "[2001:db8::1]:443");
    }

    #[tokio::test]
    async fn credentials_that_a_protocol_has_no_room_for() {
        let long = "a".repeat(256);
        let socks = || Scheme::Socks5 { names: Names::Remote };
        for (scheme, username, password, taken) in [
            (Scheme::Http, "user", "pass:word", true),
            (Scheme::Http, "us:er", "", false),
            (Scheme::Http, long.as_str(), long.as_str(), true),
            (socks(), "us:er", "", true),
            (socks(), "", "password", false),
            (socks(), long.as_str(), "", false),
            (socks(), "user", long.as_str(), false),
        ] {
            let (username, password) = (username.to_owned(), password.to_owned());
            let credentials = Some(Credentials { username, password });
            let made =
                Proxy::new(ProxyOptions { credentials, ..options(scheme, "") }, Handle::current());
            assert_eq!(made.is_ok(), taken);
        }
    }
}

//! The options of a client, as they come from `lib/client.js`, and the handle that JavaScript keeps.

use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use napi::bindgen_prelude::*;
use napi_derive::napi;
use serde_json::{Value, json};

use crate::http::client::{Client, ClientOptions};
use crate::http::connection::{ConnectTimeouts, Watch};
use crate::http::pool::PoolLimits;
use crate::http::response::BodyLimits;
use crate::http::tokio_driver::{Addresses, Family, TokioDriver};
use crate::pinning::Host;
use crate::tls::config::{ClientIdentity, TlsConfig, TlsOptions, Version, crls};
use crate::tls::path::Trust;
use crate::tls::{Failure, Phase};

use super::exchange;
use super::failure;
use super::inspect::{Look, NativeLook};
use super::lookup;
use super::pins::NativePinSet;
use super::port::Port;
use super::proxy::NativeProxy;
use super::runtime;
use super::shared::Shared;
use super::trust::NativeTrust;
use super::wire::Kind;

/// The options of a client, checked and made plain by JavaScript. Times in milliseconds, 0 for no limit.
#[napi(object)]
#[expect(clippy::struct_excessive_bools, reason = "they are options, each by its name")]
pub struct NativeOptions {
    pub crl: Vec<Uint8Array>,
    pub cert: Vec<Uint8Array>,
    pub key: Option<Uint8Array>,
    pub pfx: Option<Uint8Array>,
    pub passphrase: Option<String>,
    pub servername: Option<String>,
    pub min_version: Option<String>,
    pub max_version: Option<String>,
    pub allow_h2: bool,
    pub family: u32,
    pub local_address: Option<String>,
    /// Names are asked of JavaScript, in `Lookup` completions.
    pub lookup: bool,
    pub connect_timeout: f64,
    pub handshake_timeout: f64,
    pub headers_timeout: f64,
    pub body_timeout: f64,
    pub keep_alive_timeout: f64,
    pub max_response_size: f64,
    pub decompress: bool,
    pub max_expansion: f64,
    pub connections: u32,
    /// Whether its connections may be waited for on the JavaScript thread's own event loop.
    pub on_loop: bool,
}

/// A client that lives as long as its JavaScript object.
#[napi]
pub struct NativeClient {
    id: u32,
    shared: Weak<Shared>,
}

#[napi]
impl Port {
    /// Makes a client. `trust` is what paths end at; without it the pins are the only trust. A string is the
    /// error, as JSON.
    #[napi(catch_unwind)]
    pub fn client(
        &self,
        id: u32,
        options: NativeOptions,
        pins: &NativePinSet,
        trust: Option<&NativeTrust>,
        proxy: Option<&NativeProxy>,
    ) -> Result<Either<NativeClient, String>> {
        let on_loop = options.on_loop;
        let parts = match parts(id, options, pins, trust, self.shared()) {
            Ok(parts) => parts,
            Err(failure) => return Ok(Either::B(failure::to_json(&failure).to_string())),
        };
        let (addresses, options) = parts;
        let proxy = proxy.map(|proxy| Arc::clone(proxy.proxy()));
        if let Some(proxy) = &proxy {
            let shared = Arc::downgrade(self.shared());
            proxy.watch(Box::new(move |gate| {
                if let Some(shared) = shared.upgrade() {
                    exchange::announce_proxy(&shared, id, gate);
                }
            }));
        }
        let turns = if on_loop { self.shared().turns() } else { Weak::new() };
        let driver = TokioDriver::new(runtime::handle()?, addresses, proxy, turns);
        self.shared().add_client(id, Client::new(driver, options));
        Ok(Either::A(NativeClient { id, shared: Arc::downgrade(self.shared()) }))
    }

    /// Looks at a server without trusting it; the answer is an `Inspected` completion.
    #[napi(catch_unwind)]
    pub fn inspect(
        &self,
        id: u32,
        asked: NativeLook,
        options: NativeOptions,
        trust: &NativeTrust,
        proxy: Option<&NativeProxy>,
    ) -> Result<()> {
        let shared = Arc::clone(self.shared());
        let proxy = proxy.map(|proxy| Arc::clone(proxy.proxy()));
        let addresses = Addresses::default();
        let driver = TokioDriver::new(runtime::handle()?, addresses, proxy, Weak::new());
        let driver = if asked.starttls.is_some() { driver.greeted() } else { driver };
        // Here, on JavaScript's thread, to which the bytes in the options belong.
        let look = Look::new(asked, options, Arc::clone(trust.store()));
        self.shared().start(id, async move {
            let seen = match look {
                Ok(look) => look.run(&driver).await,
                Err(failure) => Err(failure),
            };
            match seen {
                Ok(value) => shared.push(|packed| {
                    packed.frame(Kind::Inspected, id).bytes(value.to_string().as_bytes());
                }),
                Err(failure) => shared.fail(id, &failure),
            }
        })
    }
}

#[napi]
impl NativeClient {
    /// Counters and pools, as JSON; `None` once the client is closed.
    #[napi(catch_unwind)]
    #[must_use]
    pub fn stats(&self) -> Option<String> {
        let client = self.shared.upgrade()?.find_client(self.id)?;
        let (counts, traffic) = (client.stats().counts(), &client.stats().traffic);
        let pools: serde_json::Map<_, _> = client
            .occupancy()
            .into_iter()
            .map(|(target, pool)| {
                let host = match &target.host {
                    Host::Ip(IpAddr::V6(ip)) => format!("[{ip}]:{}", target.port),
                    host => format!("{host}:{}", target.port),
                };
                let pool = json!({
                    "idle": pool.idle,
                    "active": pool.active,
                    "waiting": pool.waiting,
                    "shared": pool.shared,
                    "streams": pool.streams,
                });
                (host, pool)
            })
            .collect();
        let stats = json!({
            "handshakes": { "full": counts.full, "resumed": counts.resumed, "failed": counts.failed },
            "retried": counts.retried,
            "onLoop": counts.on_loop,
            "bytes": { "sent": traffic.sent(), "received": traffic.received() },
            "pools": pools,
        });
        Some(stats.to_string())
    }

    /// Puts other revocation lists into force or, if one of them cannot be used, none.
    #[napi(catch_unwind)]
    #[must_use]
    pub fn replace_crls(&self, given: Vec<Uint8Array>) -> String {
        let replaced = crls(&given).map(|lists| {
            if let Some(client) = self.shared.upgrade().and_then(|it| it.find_client(self.id)) {
                client.replace_crls(lists);
            }
            Value::Null
        });
        failure::outcome(replaced.map_err(|failure| failure::to_json(&failure)))
    }

    /// Closes the client's connections; those in use when their exchange is over.
    #[napi(catch_unwind)]
    pub fn close(&self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.remove_client(self.id);
        }
    }
}

impl Drop for NativeClient {
    fn drop(&mut self) {
        self.close();
    }
}

fn parts(
    id: u32,
    options: NativeOptions,
    pins: &NativePinSet,
    trust: Option<&NativeTrust>,
    shared: &Arc<Shared>,
) -> std::result::Result<(Addresses, ClientOptions), Failure> {
    let servername = options.servername.as_deref().map(Host::parse).transpose();
    let servername = servername.map_err(|error| invalid(format!("servername {error}")))?;
    let local =
        match &options.local_address {
            None => None,
            Some(text) => Some(text.parse::<IpAddr>().map_err(|_| {
                invalid(format!("localAddress must be an IP address, not {text:?}"))
            })?),
        };
    let family = match options.family {
        4 => Family::V4,
        6 => Family::V6,
        _ => Family::Any,
    };
    let lookup = options.lookup.then(|| lookup::asking(shared, id));
    let trust = trust.map_or(Trust::PinOnly, |trust| Trust::Ca(Arc::clone(trust.store())));
    let (opened, closed) = (Arc::downgrade(shared), Arc::downgrade(shared));
    let client = ClientOptions {
        pins: Arc::clone(pins.set()),
        servername,
        http2: options.allow_h2,
        timeouts: timeouts(&options),
        headers_timeout: limit(options.headers_timeout),
        body: BodyLimits {
            timeout: limit(options.body_timeout),
            size: bytes(options.max_response_size),
            expansion: bytes(options.max_expansion),
        },
        decompress: options.decompress,
        pool: PoolLimits {
            connections: match options.connections {
                0 => usize::MAX,
                most => most as usize,
            },
            keep_alive: limit(options.keep_alive_timeout).unwrap_or(Duration::MAX),
        },
        watch: Watch {
            opened: Arc::new(move |connection| {
                if let Some(shared) = opened.upgrade() {
                    exchange::announce(&shared, id, connection);
                }
            }),
            closed: Arc::new(move |connection| {
                if let Some(shared) = closed.upgrade() {
                    shared.push_along(|packed| {
                        packed.frame(Kind::ConnectionClosed, connection);
                    });
                }
            }),
        },
        tls: tls(options, trust)?,
    };
    Ok((Addresses { family, local, lookup }, client))
}

/// The TLS part of the options.
pub fn tls(options: NativeOptions, trust: Trust) -> std::result::Result<TlsConfig, Failure> {
    let mut tls = TlsOptions::new(trust);
    tls.crls = crls(&options.crl)?;
    if let Some(version) = &options.min_version {
        tls.min_version = Version::parse(version, "minVersion")?;
    }
    if let Some(version) = &options.max_version {
        tls.max_version = Version::parse(version, "maxVersion")?;
    }
    tls.client = match (options.pfx, options.key) {
        (Some(pfx), _) => {
            Some(ClientIdentity::from_pfx(&pfx, options.passphrase.as_deref().unwrap_or(""))?)
        }
        (None, Some(key)) => Some(ClientIdentity::new(&options.cert, &key)?),
        (None, None) => None,
    };
    tls.alpn = if options.allow_h2 {
        vec![b"h2".to_vec(), b"http/1.1".to_vec()]
    } else {
        vec![b"http/1.1".to_vec()]
    };
    TlsConfig::new(tls)
}

/// How long connecting may take.
#[must_use]
pub fn timeouts(options: &NativeOptions) -> ConnectTimeouts {
    ConnectTimeouts {
        connect: limit(options.connect_timeout),
        handshake: limit(options.handshake_timeout),
    }
}

fn limit(milliseconds: f64) -> Option<Duration> {
    (milliseconds > 0.0).then(|| Duration::try_from_secs_f64(milliseconds / 1000.0).ok()).flatten()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "JavaScript has checked that it is a safe integer"
)]
fn bytes(most: f64) -> Option<u64> {
    (most >= 0.0 && most.is_finite()).then_some(most as u64)
}

fn invalid(message: String) -> Failure {
    Failure::new("ERR_INVALID_ARG_VALUE", Phase::Policy, message)
}

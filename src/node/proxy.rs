//! Proxies, as they come from `lib/proxy.js`.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use napi::bindgen_prelude::*;
use napi_derive::napi;

use crate::http::driver::Target;
use crate::http::proxy::{Credentials, Names, Proxy, ProxyOptions, Scheme};
use crate::pinning::Host;
use crate::tls::path::Trust;
use crate::tls::{Failure, Phase};

use super::client::{NativeOptions, tls};
use super::failure;
use super::pins::NativePinSet;
use super::runtime;
use super::trust::NativeTrust;

/// A proxy, checked and made plain by JavaScript.
#[napi(object)]
pub struct NativeProxyOptions {
    /// `http`, `https`, `socks5` or `socks5h`.
    pub scheme: String,
    pub host: String,
    pub port: u16,
    pub username: Option<String>,
    pub password: Option<String>,
    /// Names and values in turn.
    pub headers: Vec<String>,
    pub no_proxy: String,
}

/// A proxy that clients are made with.
#[napi]
pub struct NativeProxy {
    proxy: Arc<Proxy>,
}

impl NativeProxy {
    #[must_use]
    pub fn proxy(&self) -> &Arc<Proxy> {
        &self.proxy
    }
}

/// Makes a proxy; `options` and `pins` are those of the TLS with an `https` one. A string is the error, as JSON.
#[napi(catch_unwind)]
pub fn proxy(
    given: NativeProxyOptions,
    options: Option<NativeOptions>,
    pins: Option<&NativePinSet>,
    trust: Option<&NativeTrust>,
) -> Result<Either<NativeProxy, String>> {
    let runtime = runtime::handle()?;
    let made =
        parts(given, options, pins, trust).and_then(|options| Proxy::new(options, runtime.clone()));
    Ok(match made {
        Ok(proxy) => Either::A(NativeProxy { proxy: Arc::new(proxy) }),
        Err(failure) => Either::B(failure::to_json(&failure).to_string()),
    })
}

fn parts(
    given: NativeProxyOptions,
    options: Option<NativeOptions>,
    pins: Option<&NativePinSet>,
    trust: Option<&NativeTrust>,
) -> std::result::Result<ProxyOptions, Failure> {
    let scheme = match (given.scheme.as_str(), options, pins) {
        ("https", Some(options), Some(pins)) => {
            let servername = options.servername.as_deref().map(host).transpose()?;
            let trust = trust.map_or(Trust::PinOnly, |trust| Trust::Ca(Arc::clone(trust.store())));
            let pins = Arc::clone(pins.set());
            Scheme::Https { tls: Box::new(tls(options, trust)?), pins, servername }
        }
        ("http", None, None) => Scheme::Http,
        ("socks5", None, None) => Scheme::Socks5 { names: Names::Local },
        ("socks5h", None, None) => Scheme::Socks5 { names: Names::Remote },
        _ => return Err(invalid("what a proxy is told does not fit its scheme")),
    };
    let mut headers = HeaderMap::new();
    for pair in given.headers.chunks_exact(2) {
        let [name, value] = pair else { continue };
        let name = HeaderName::from_bytes(name.as_bytes());
        let name = name.map_err(|_| invalid("the name of a proxy's header is not a token"))?;
        let value = HeaderValue::from_str(value)
            .map_err(|_| invalid(format!("the value of the proxy's header {name} is not valid")))?;
        headers.try_append(name, value).map_err(|_| invalid("too many headers"))?;
    }
    Ok(ProxyOptions {
        at: Target { host: host(&given.host)?, port: given.port },
        scheme,
        credentials: given
            .username
            .map(|username| Credentials { username, password: given.password.unwrap_or_default() }),
        headers,
        bypass: given.no_proxy,
    })
}

fn host(text: &str) -> std::result::Result<Host, Failure> {
    Host::parse(text).map_err(|problem| invalid(format!("the proxy's host: {problem}")))
}

fn invalid(message: impl Into<String>) -> Failure {
    Failure::new("ERR_INVALID_ARG_VALUE", Phase::Policy, message)
}

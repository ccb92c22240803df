//! The man in the middle of a rehearsal, as `lib/mitm.js` starts it.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use napi::bindgen_prelude::*;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi_derive::napi;
use serde_json::json;
use tokio::sync::oneshot;

use crate::http::tokio_driver::{Addresses, TokioDriver};
use crate::mitm::authority::Authority;
use crate::mitm::intercept::{Aim, Interceptor};
use crate::mitm::record::{Record, Tell};
use crate::mitm::server;
use crate::pinning::Pattern;
use crate::tls::{Failure, Phase, codes};

use super::failure;
use super::runtime;
use super::trust::NativeTrust;

/// Tells JavaScript of a connection, as JSON, and in the end that it is closed: an empty text. It does not keep the process alive.
type Teller = ThreadsafeFunction<String, (), String, Status, false, true>;

/// Whom to intercept, and where to listen.
#[napi(object)]
pub struct NativeMitmOptions {
    pub port: u16,
    /// False: everything is relayed untouched.
    pub intercept: bool,
    /// Patterns as in a policy. Empty: whoever is connected to.
    pub hosts: Vec<String>,
}

/// A proxy that listens until it is closed.
#[napi]
pub struct NativeMitm {
    port: u16,
    ca: String,
    stop: Mutex<Option<oneshot::Sender<()>>>,
}

#[napi]
impl NativeMitm {
    #[napi(getter)]
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The certificate of its CA, PEM.
    #[napi(getter)]
    #[must_use]
    pub fn ca(&self) -> String {
        self.ca.clone()
    }

    /// Stops listening and cuts off what is under way.
    #[napi(catch_unwind)]
    pub fn close(&self) {
        self.stop.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Starts it. `trust` verifies the servers. A string is the error, as JSON.
#[napi(catch_unwind)]
pub fn mitm(
    options: NativeMitmOptions,
    trust: &NativeTrust,
    tell: Function<'_, String, ()>,
) -> Result<Either<NativeMitm, String>> {
    let teller: Arc<Teller> = Arc::new(
        tell.build_threadsafe_function::<String>()
            .weak::<true>()
            .callee_handled::<false>()
            .build()?,
    );
    Ok(match start(options, trust, teller) {
        Ok(mitm) => Either::A(mitm),
        Err(failure) => Either::B(failure::to_json(&failure).to_string()),
    })
}

fn start(
    options: NativeMitmOptions,
    trust: &NativeTrust,
    teller: Arc<Teller>,
) -> std::result::Result<NativeMitm, Failure> {
    let unable = |error: &dyn std::fmt::Display| {
        Failure::new("EIO", Phase::Connect, "the rehearsal could not be started").because(error)
    };
    let runtime = runtime::handle().map_err(|error| unable(&error))?;
    let hosts = options.hosts.iter().map(|text| Pattern::parse(text));
    let hosts = hosts.collect::<std::result::Result<Vec<_>, _>>().map_err(|invalid| {
        Failure::new("ERR_INVALID_ARG_VALUE", Phase::Policy, format!("hosts: {invalid}"))
    })?;
    let authority = Arc::new(Authority::new().map_err(|error| unable(&error))?);
    let ca = authority.pem().to_owned();
    let driver = TokioDriver::new(runtime.clone(), Addresses::default(), None, Weak::new());
    let told = Arc::clone(&teller);
    let tell: Tell = Arc::new(move |record| call(&told, to_json(record)));
    let aim = Aim { intercept: options.intercept, hosts };
    let trust = Arc::clone(trust.store());
    let interceptor = Arc::new(Interceptor::new(driver, aim, authority, trust, tell)?);
    let (listener, address) = server::listen(options.port)
        .map_err(|error| codes::from_io(&error, Phase::Connect, "listen"))?;
    let (stop, stopped) = oneshot::channel();
    runtime.spawn(async move {
        let stop = async { drop(stopped.await) };
        let _ = server::serve(listener, interceptor, stop).await;
        // After all connections, each of which is told when it is cut off.
        call(&teller, String::new());
    });
    Ok(NativeMitm { port: address.port(), ca, stop: Mutex::new(Some(stop)) })
}

fn call(teller: &Teller, text: String) {
    let _ = teller.call(text, ThreadsafeFunctionCallMode::NonBlocking);
}

fn to_json(record: &Record) -> String {
    json!({
        "id": record.id,
        "host": record.host,
        "port": record.port,
        "servername": record.server_name,
        "protocol": record.protocol,
        "alpn": record.alpn,
        "outcome": record.outcome.as_str(),
        "reason": record.reason,
        "held": record.held,
        "bytes": record.bytes,
        "first": record.first(),
    })
    .to_string()
}

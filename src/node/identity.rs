//! Decisions about connections of Node's own TLS, from the certificates that it shows.

use std::sync::Arc;

use napi::bindgen_prelude::*;
use napi_derive::napi;
use rustls_pki_types::{CertificateDer, UnixTime};
use serde_json::{Value, json};

use crate::pinning::{Host, Invalid};
use crate::tls::path::{PathVerifier, Trust};
use crate::tls::rehearsal::{Server, cast};
use crate::tls::revocation::Crls;
use crate::tls::shown::{Anchors, own_is_pinned};
use crate::tls::verified::Verified;
use crate::tls::{Failure, Identity, Phase};

use super::failure::{self, outcome};
use super::pins::{NativePinSet, ports};
use super::trust::NativeTrust;

/// Whether the server's own certificate satisfies the pins in force; `false` leaves the question open.
#[napi(catch_unwind)]
#[must_use]
pub fn own_certificate_is_pinned(
    pins: &NativePinSet,
    host: String,
    port: Option<u16>,
    certificate: &[u8],
) -> bool {
    Host::parse(&host).is_ok_and(|host| {
        let own = CertificateDer::from(certificate);
        let snapshot = pins.set().current();
        let now = UnixTime::now();
        let mut asked = ports(&snapshot.policy, &host, port).into_iter();
        asked.all(|port| own_is_pinned(&own, &host, port, &snapshot, now))
    })
}

/// Decides about the certificates shown, the server's own first. Where the port is not known, the entries of all ports
/// have to accept them. Without `trust` the pins are the only trust; with `guessed` it may not be what Node has verified the path to.
#[napi(catch_unwind)]
#[must_use]
pub fn check_shown(
    pins: &NativePinSet,
    host: String,
    port: Option<u16>,
    shown: Vec<Uint8Array>,
    trust: Option<&NativeTrust>,
    guessed: bool,
) -> String {
    let shown: Vec<_> = shown.iter().map(|der| CertificateDer::from(der.as_ref())).collect();
    let anchors = if guessed { Anchors::Guessed } else { Anchors::Same };
    let trust = trust.map_or(Trust::PinOnly, |trust| Trust::Ca(Arc::clone(trust.store())));
    outcome(
        check(pins, &host, port, &shown, trust, anchors)
            .map_err(|failure| failure::to_json(&failure.at(&host, port.unwrap_or(0)))),
    )
}

/// Whether two texts name the same host. What is no host is the same as nothing.
#[napi(catch_unwind)]
#[must_use]
pub fn is_same_host(one: String, other: String) -> bool {
    matches!((Host::parse(&one), Host::parse(&other)), (Ok(one), Ok(other)) if one == other)
}

/// A server for these names and its impostors, all trusted: what a client is tried out with.
#[napi(catch_unwind)]
#[must_use]
pub fn rehearsal(names: Vec<String>) -> String {
    let server = |server: &Server| json!({ "chain": server.chain, "key": server.key });
    let made = cast(&names).map(|cast| {
        json!({
            "roots": cast.roots,
            "pins": cast.pins.map(|pin| pin.to_string()),
            "genuine": server(&cast.genuine),
            "impostor": server(&cast.impostor),
            "masked": server(&cast.masked),
        })
    });
    outcome(made.map_err(|error| {
        let problem = format!("no certificate can be made for {names:?}: {error}");
        failure::to_json(&Failure::new("ERR_INVALID_ARG_VALUE", Phase::Policy, problem))
    }))
}

fn check(
    pins: &NativePinSet,
    host: &str,
    port: Option<u16>,
    shown: &[CertificateDer<'_>],
    trust: Trust,
    anchors: Anchors,
) -> std::result::Result<Value, Failure> {
    // What is no host can have no entry.
    let unknown =
        |invalid: Invalid| Failure::new("ERR_TLS_PIN_UNLISTED", Phase::Policy, invalid.to_string());
    let snapshot = pins.set().current();
    let host = Host::parse(host).map_err(unknown)?;
    let rules = PathVerifier {
        trust,
        crls: Crls::new(Vec::new()),
        algorithms: rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms,
        max_intermediates: None,
    };
    let now = UnixTime::now();
    let mut told: Option<Verified> = None;
    for port in ports(&snapshot.policy, &host, port) {
        let identity = Identity::new(host.clone(), port).map_err(unknown)?;
        let verified = rules.verify_shown(shown, anchors, &identity, &snapshot, now)?;
        // What is to be reported is what is told.
        if told.is_none() || verified.excused.is_some() {
            told = Some(verified);
        }
    }
    let mut told = told.as_ref().map(failure::verified).unwrap_or_default();
    told.insert("host".into(), json!(host.to_string()));
    told.insert("port".into(), json!(port));
    Ok(Value::Object(told))
}

//! `inspect`, `scan` and `verifyChain`: what a server presents and accepts, and the verifier without a request.

use std::sync::Arc;
use std::time::Duration;

use napi::bindgen_prelude::*;
use napi_derive::napi;
use rustls_pki_types::{CertificateDer, UnixTime};
use serde_json::{Value, json};

use crate::http::driver::{Driver, Target};
use crate::http::reach::Reach;
use crate::http::scan::{self, Preference, Scanned};
use crate::pinning::{Algorithm, CertificateInfo, Host, Pin, PinSet, Policy, Target as PinTarget};
use crate::tls::config::{TlsConfig, crls};
use crate::tls::offer::Outcome;
use crate::tls::path::{PathVerifier, Trust};
use crate::tls::revocation::Crls;
use crate::tls::starttls::StartTls;
use crate::tls::trust::{TrustStore, certificates_in};
use crate::tls::verified::{Step, Verified};
use crate::tls::{Failure, Identity, Phase, inspect};

use super::client::{NativeOptions, timeouts, tls};
use super::failure::{self, certificate, outcome};
use super::pins::NativePinSet;
use super::trust::NativeTrust;

/// A look at a server, as it is asked for.
#[napi(object)]
pub struct NativeLook {
    pub host: String,
    pub port: u16,
    /// What is spoken before TLS.
    pub starttls: Option<String>,
    /// What it accepts, instead of what it presents.
    pub scan: bool,
}

/// Whom to connect to, and as whom.
pub struct Look {
    reach: Reach,
    config: TlsConfig,
    scan: bool,
}

impl Look {
    pub fn new(
        asked: NativeLook,
        options: NativeOptions,
        trust: Arc<TrustStore>,
    ) -> std::result::Result<Self, Failure> {
        let NativeLook { host, port, starttls, scan } = asked;
        let host = parse(&host)?;
        let named = options.servername.as_deref().map_or_else(|| Ok(host.clone()), parse)?;
        let identity = Identity::new(named, port).map_err(|invalid| {
            Failure::new("ERR_INVALID_URL", Phase::Policy, invalid.to_string())
        })?;
        let starttls = starttls.as_deref().map(StartTls::parse).transpose()?;
        let limits = timeouts(&options);
        let config = tls(options, Trust::Ca(trust))?;
        let config = if starttls.is_some() { config.without_alpn() } else { config };
        let target = Target { host, port };
        Ok(Self { reach: Reach { target, identity, starttls, limits }, config, scan })
    }

    /// Connects, notes what is presented, and says what the verifier makes of it; or tries out what is accepted.
    pub async fn run(self, driver: &impl Driver) -> std::result::Result<Value, Failure> {
        let seen = if self.scan { self.scan(driver).await } else { self.inspect(driver).await };
        seen.map_err(|failure| {
            let identity = &self.reach.identity;
            failure.at(&identity.host().to_string(), identity.port())
        })
    }

    async fn scan(&self, driver: &impl Driver) -> std::result::Result<Value, Failure> {
        let scan = scan::scan(driver, &self.reach).await?;
        Ok(json!({
            "host": self.reach.identity.host().to_string(),
            "port": self.reach.identity.port(),
            "remoteAddress": scan.remote.ip().to_string(),
            "versions": scan.versions.iter().map(scanned).collect::<Vec<_>>(),
        }))
    }

    async fn inspect(&self, driver: &impl Driver) -> std::result::Result<Value, Failure> {
        let Self { reach, config, .. } = self;
        let identity = &reach.identity;
        let (io, remote) = reach.open(driver).await?;
        let presented = reach.shake(driver, inspect::inspect(config, identity, io)).await?;
        let negotiated = presented.negotiated.as_ref();
        let path = judge(config, &presented.chain, identity);
        Ok(json!({
            "host": identity.host().to_string(),
            "port": identity.port(),
            "remoteAddress": remote.ip().to_string(),
            "protocol": negotiated.map(|n| n.protocol),
            "cipher": negotiated.map(|n| &n.cipher),
            "group": negotiated.map(|n| &n.group),
            "alpn": negotiated.and_then(|n| n.alpn.as_deref()).map(String::from_utf8_lossy),
            "incomplete": presented.incomplete.as_ref().map(failure::to_json),
            "chain": presented.chain.iter().map(|der| describe(der)).collect::<Vec<_>>(),
            "path": path.as_ref().ok().map(|verified| {
                let steps = verified.path.iter().map(Step::describe);
                steps.map(|info| certificate(&info)).collect::<Vec<_>>()
            }),
            "untrusted": path.as_ref().err().map(failure::to_json),
        }))
    }
}

fn scanned(scanned: &Scanned) -> Value {
    let (outcome, cipher) = (outcome_of(&scanned.outcome), chosen(&scanned.outcome));
    let list = |all: &[(String, Outcome)]| {
        let each =
            all.iter().map(|(name, outcome)| with(json!({ "name": name }), outcome_of(outcome)));
        each.collect::<Vec<_>>()
    };
    let fields = json!({
        "version": scanned.version,
        "cipher": cipher,
        "ciphers": list(&scanned.suites),
        "groups": list(&scanned.groups),
        "preference": scanned.preference.map(|preference| match preference {
            Preference::Server => "server",
            Preference::Client => "client",
            Preference::Unknown => "unknown",
        }),
    });
    with(fields, outcome)
}

fn outcome_of(outcome: &Outcome) -> Value {
    let (name, failure) = match outcome {
        Outcome::Accepted { .. } => ("accepted", None),
        Outcome::Refused(failure) => ("refused", Some(failure)),
        Outcome::Closed(failure) | Outcome::Unknown(failure) => ("unknown", Some(failure)),
    };
    json!({
        "outcome": name,
        "code": failure.map(|failure| &failure.code),
        "reason": failure.map(|failure| &failure.message),
    })
}

fn chosen(outcome: &Outcome) -> Option<&str> {
    match outcome {
        Outcome::Accepted { cipher, .. } => cipher.as_deref(),
        _ => None,
    }
}

/// The fields of both objects.
fn with(mut fields: Value, more: Value) -> Value {
    if let (Value::Object(fields), Value::Object(more)) = (&mut fields, more) {
        fields.extend(more);
    }
    fields
}

/// Whether the chain would be trusted with no pins at all.
fn judge(
    config: &TlsConfig,
    chain: &[CertificateDer<'_>],
    identity: &Identity,
) -> std::result::Result<Verified, Failure> {
    let anything = Policy::from_json(r#"{"version":1,"unlisted":"allow","hosts":{"invalid":["sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]}}"#)
        .map_err(|error| Failure::new("EINVAL", Phase::Policy, error.to_string()))?;
    let pins = PinSet::new(anything);
    let judged = config.rules().verify(chain, identity, &pins.current(), UnixTime::now());
    judged.map_err(|failure| failure.at(&identity.host().to_string(), identity.port()))
}

/// A presented certificate with every form of pin.
fn describe(der: &CertificateDer<'_>) -> Value {
    let info = match CertificateInfo::from_der(der) {
        Ok(info) => info,
        Err(error) => {
            return json!({
                "unreadable": error.to_string(),
                "certificatePin": Pin::of_certificate(Algorithm::Sha256, der).to_string(),
                "pem": pem(der),
            });
        }
    };
    let whole = |algorithm| Pin::of_certificate(algorithm, der);
    json!({
        "subject": info.subject,
        "issuer": info.issuer,
        "serialNumber": info.serial,
        "validFrom": info.not_before,
        "validTo": info.not_after,
        "names": info.names,
        "ca": info.ca,
        "key": info.key,
        "selfIssued": info.self_issued,
        "fingerprint256": info.fingerprint256,
        "pins": {
            "sha256": info.spki_pin.to_string(),
            "sha512": info.spki_pin_sha512.to_string(),
            "certificate256": whole(Algorithm::Sha256).to_string(),
            "certificate512": whole(Algorithm::Sha512).to_string(),
            "tlsa": tlsa(&info.spki_pin),
            "curl": curl(&info.spki_pin),
            "hpkp": hpkp(&info.spki_pin),
        },
        "pem": pem(der),
    })
}

fn tlsa(pin: &Pin) -> String {
    let selector = u8::from(pin.target() == PinTarget::Spki);
    format!("3 {selector} 1 {}", data_encoding::HEXLOWER.encode(pin.digest()))
}

fn curl(pin: &Pin) -> String {
    format!("sha256//{}", data_encoding::BASE64.encode(pin.digest()))
}

fn hpkp(pin: &Pin) -> String {
    format!("pin-sha256=\"{}\"", data_encoding::BASE64.encode(pin.digest()))
}

fn pem(der: &[u8]) -> String {
    let base64 = data_encoding::BASE64.encode(der);
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in base64.as_bytes().chunks(64) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}

/// Protocols that TLS can begin in, each with the port where a target names none: as JSON.
#[napi(catch_unwind)]
#[must_use]
pub fn starttls_ports() -> String {
    json!(StartTls::ports().collect::<Vec<_>>()).to_string()
}

/// What `verifyChain` is asked.
#[napi(object)]
pub struct NativeChain {
    /// Leaf first; each entry may hold several certificates in PEM.
    pub chain: Vec<Uint8Array>,
    pub hostname: String,
    pub port: u16,
    /// Unix seconds; now, where it is missing.
    pub time: Option<f64>,
    pub crl: Vec<Uint8Array>,
    pub max_intermediates: Option<u32>,
}

/// The native verifier without a connection.
#[napi(catch_unwind)]
#[must_use]
pub fn verify_chain(
    chain: NativeChain,
    pins: &NativePinSet,
    trust: Option<&NativeTrust>,
) -> String {
    outcome(verify(&chain, pins, trust).map_err(|failure| failure::to_json(&failure)))
}

fn verify(
    given: &NativeChain,
    pins: &NativePinSet,
    trust: Option<&NativeTrust>,
) -> std::result::Result<Value, Failure> {
    let identity = Identity::new(parse(&given.hostname)?, given.port).map_err(|invalid| {
        Failure::new("ERR_INVALID_ARG_VALUE", Phase::Policy, invalid.to_string())
    })?;
    let mut chain = Vec::new();
    for (index, part) in given.chain.iter().enumerate() {
        chain.extend(certificates_in(part, &format!("chain[{index}]"))?);
    }
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let rules = PathVerifier {
        trust: trust.map_or(Trust::PinOnly, |trust| Trust::Ca(Arc::clone(trust.store()))),
        crls: Crls::new(crls(&given.crl)?),
        algorithms: provider.signature_verification_algorithms,
        max_intermediates: given.max_intermediates.map(|most| most as usize),
    };
    let now = match given.time {
        None => UnixTime::now(),
        Some(seconds) => {
            Duration::try_from_secs_f64(seconds).map(UnixTime::since_unix_epoch).map_err(|_| {
                Failure::new("ERR_INVALID_ARG_VALUE", Phase::Policy, "time is out of range")
            })?
        }
    };
    let verified = rules
        .verify(&chain, &identity, &pins.set().current(), now)
        .map_err(|failure| failure.at(&identity.host().to_string(), identity.port()))?;
    Ok(Value::Object(failure::verified(&verified)))
}

fn parse(host: &str) -> std::result::Result<Host, Failure> {
    Host::parse(host).map_err(|invalid| {
        Failure::new("ERR_INVALID_ARG_VALUE", Phase::Policy, invalid.to_string())
    })
}

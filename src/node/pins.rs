//! Pins and policies as JavaScript holds them.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use napi::bindgen_prelude::*;
use napi_derive::napi;
use serde_json::{Value, json};

use crate::pinning::{
    Algorithm, Host, Invalid, Material, Pin, PinSet, Policy, Role, Rule, Signed, Target, parse_text,
};

use super::failure::{invalid, outcome};

/// A live policy.
#[napi]
pub struct NativePinSet {
    set: Arc<PinSet>,
}

impl NativePinSet {
    #[must_use]
    pub fn set(&self) -> &Arc<PinSet> {
        &self.set
    }
}

#[napi]
impl NativePinSet {
    /// Replaces the whole policy or, if the text is not a valid one, nothing.
    #[napi(catch_unwind)]
    #[must_use]
    pub fn replace(&self, policy: String) -> String {
        outcome(Policy::from_json(&policy).map_err(|error| invalid(&error)).map(|policy| {
            self.set.replace(policy);
            Value::Null
        }))
    }

    /// The policy in force, in canonical form.
    #[napi(catch_unwind)]
    #[must_use]
    pub fn to_json(&self) -> String {
        self.set.current().policy.to_json().to_string()
    }

    /// What is valid in the policy and still unwise.
    #[napi(catch_unwind)]
    #[must_use]
    pub fn warnings(&self) -> String {
        let warnings = self.set.current().policy.warnings(now());
        let warnings = warnings.iter().map(|warning| {
            json!({ "code": warning.code, "place": warning.place, "message": warning.message })
        });
        warnings.collect::<Value>().to_string()
    }

    /// Whether an entry applies to a host, where the port is not known at any. To what is no host none does.
    #[napi(catch_unwind)]
    #[must_use]
    pub fn lists(&self, host: String, port: Option<u16>) -> bool {
        Host::parse(&host).is_ok_and(|host| {
            let policy = &self.set.current().policy;
            ports(policy, &host, port).iter().any(|port| policy.entry(&host, *port).is_some())
        })
    }

    /// Whether an entry for a host names this very port.
    #[napi(catch_unwind)]
    #[must_use]
    pub fn names_port(&self, host: String, port: u16) -> bool {
        Host::parse(&host).is_ok_and(|host| self.set.current().policy.names_port(&host, port))
    }

    /// When what holds for a host ends, in Unix seconds, or null.
    #[napi(catch_unwind)]
    #[must_use]
    pub fn expires(&self, host: String, port: Option<u16>) -> Option<i64> {
        let host = Host::parse(&host).ok()?;
        let policy = &self.set.current().policy;
        let all = ports(policy, &host, port).into_iter();
        all.filter_map(|port| policy.expires_for(&host, port)).min()
    }

    /// The entry for a host, or null.
    #[napi(catch_unwind)]
    #[must_use]
    pub fn entry(&self, host: String, port: u16) -> String {
        let found = Host::parse(&host).map_err(|error| invalid(&error)).map(|host| {
            let snapshot = self.set.current();
            snapshot.policy.entry(&host, port).map(|entry| {
                json!({
                    "pattern": entry.pattern().map(ToString::to_string),
                    "pins": pins(entry.rules(), Role::Any),
                    "leaf": pins(entry.rules(), Role::Leaf),
                    "ca": pins(entry.rules(), Role::Ca),
                    "expires": snapshot.policy.expires_for(&host, port),
                    "expired": snapshot.policy.expires_for(&host, port).is_some_and(|at| at <= now()),
                    "mode": match entry.mode() {
                        crate::pinning::Mode::Enforce => "enforce",
                        crate::pinning::Mode::Report => "report",
                    },
                    "onExpiry": match entry.on_expiry() {
                        crate::pinning::OnExpiry::Deny => "deny",
                        crate::pinning::OnExpiry::Allow => "allow",
                    },
                })
            })
        });
        outcome(found)
    }
}

/// The ports to ask about: the one, or where it is not known all that differ.
#[must_use]
pub fn ports(policy: &Policy, host: &Host, port: Option<u16>) -> Vec<u16> {
    port.map_or_else(|| policy.ports_of(host), |port| vec![port])
}

/// Makes a pin set of a policy's text. A string is the error, as JSON.
#[napi(catch_unwind)]
#[must_use]
pub fn pin_set(policy: String) -> Either<NativePinSet, String> {
    match Policy::from_json(&policy) {
        Ok(policy) => Either::A(NativePinSet { set: Arc::new(PinSet::new(policy)) }),
        Err(error) => Either::B(invalid(&error).to_string()),
    }
}

/// Reads the payload of a signed policy, whose signature has been verified: its version, its period in Unix seconds, and
/// its policy in canonical form, which expires with it.
#[napi(catch_unwind)]
#[must_use]
pub fn signed_payload(text: String) -> String {
    let signed = Signed::from_json(&text).map(|signed| {
        json!({
            "version": signed.version,
            "notBefore": signed.not_before,
            "expires": signed.expires,
            "policy": signed.policy.to_json().to_string(),
        })
    });
    outcome(signed.map_err(|error| invalid(&error)))
}

/// The pins in a text.
#[napi(catch_unwind)]
#[must_use]
pub fn parse_pins(text: String) -> String {
    let pins = parse_text(&text).map(|rules| rules.iter().map(describe).collect::<Vec<_>>());
    outcome(pins.map_err(|error| invalid(&error)))
}

/// The pin of a certificate, key or request in PEM or DER.
#[napi(catch_unwind)]
#[must_use]
pub fn pin_of(material: Uint8Array, target: String, algorithm: String) -> String {
    outcome(pin(&material, &target, &algorithm).map_err(|error| invalid(&error)))
}

/// What PEM or DER bytes hold: `certificate`, `key` or `request`.
#[napi(catch_unwind)]
#[must_use]
pub fn kind_of(material: Uint8Array) -> String {
    let kind = Material::parse(&material).map(|material| match material {
        Material::Certificate(_) => "certificate",
        Material::PublicKey(_) => "key",
        Material::Request(_) => "request",
    });
    outcome(kind.map_err(|error| invalid(&error)))
}

fn pin(material: &[u8], target: &str, algorithm: &str) -> std::result::Result<Value, Invalid> {
    let target = match target {
        "certificate" => Target::Certificate,
        _ => Target::Spki,
    };
    let algorithm = match algorithm {
        "sha512" => Algorithm::Sha512,
        _ => Algorithm::Sha256,
    };
    let pin = Material::parse(material)?.pin(target, algorithm)?;
    Ok(describe(&Rule { pin, role: Role::Any }))
}

fn describe(rule: &Rule) -> Value {
    json!({
        "target": match rule.pin.target() {
            Target::Spki => "spki",
            Target::Certificate => "certificate",
        },
        "algorithm": match rule.pin.algorithm() {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        },
        "digest": data_encoding::HEXLOWER.encode(rule.pin.digest()),
        "role": match rule.role {
            Role::Any => "any",
            Role::Leaf => "leaf",
            Role::Ca => "ca",
        },
        "text": rule.to_string(),
    })
}

fn pins(rules: &[Rule], role: Role) -> Vec<String> {
    let of_role = rules.iter().filter(|rule| rule.role == role);
    of_role.map(|rule| &rule.pin).map(Pin::to_string).collect()
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

//! Failures as data: what `lib/errors.js` makes an `Error` of.

use serde::Serialize;
use serde_json::{Value, json};

use crate::pinning::Invalid;
use crate::tls::Failure;
use crate::tls::verified::PathCertificateInfo;

/// The fields of the error to be made.
#[must_use]
pub fn to_json(failure: &Failure) -> Value {
    json!({
        "code": failure.code,
        "message": failure.message,
        "phase": failure.phase.as_str(),
        "host": (!failure.host.is_empty()).then_some(&failure.host),
        "port": (failure.port != 0).then_some(failure.port),
        "syscall": failure.syscall,
        "cause": failure.cause,
        "pattern": failure.pattern,
        "expected": (!failure.expected.is_empty()).then_some(&failure.expected),
        "path": (!failure.path.is_empty())
            .then(|| failure.path.iter().map(certificate).collect::<Vec<_>>()),
    })
}

/// A malformed pin, pattern or policy.
#[must_use]
pub fn invalid(invalid: &Invalid) -> Value {
    json!({
        "code": "ERR_TLS_PIN_INVALID",
        "message": invalid.to_string(),
        "phase": "policy",
        "place": invalid.place,
    })
}

/// A certificate of a path, as in `error.path` and `response.tls.path`.
#[must_use]
pub fn certificate(info: &PathCertificateInfo) -> Value {
    json!({
        "subject": info.subject,
        "issuer": info.issuer,
        "spkiPin": info.spki_pin,
        "fingerprint256": info.fingerprint256,
        "validFrom": info.valid.map(|(from, _)| from),
        "validTo": info.valid.map(|(_, to)| to),
    })
}

/// The answer of a synchronous function: `{"ok": …}` or `{"error": …}`.
pub fn outcome<T: Serialize>(result: Result<T, Value>) -> String {
    match result {
        Ok(value) => json!({ "ok": value }),
        Err(error) => json!({ "error": error }),
    }
    .to_string()
}

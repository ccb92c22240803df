//! Failures as data: what `lib/errors.js` makes an `Error` of.

use data_encoding::BASE64;
use rustls_pki_types::CertificateDer;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::pinning::Invalid;
use crate::tls::Failure;
use crate::tls::verified::{Excused, PathCertificateInfo, Verified};

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
            .then(|| failure.path.iter().map(whole_certificate).collect::<Vec<_>>()),
        "chain": (!failure.presented.is_empty()).then(|| chain(&failure.presented)),
        "certificate": failure.certificate.as_ref().map(whole_certificate),
        "pinned": failure.pinned,
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

/// The same with its DER, for reports.
#[must_use]
pub fn whole_certificate(info: &PathCertificateInfo) -> Value {
    let mut told = certificate(info);
    if let (Some(fields), Some(der)) = (told.as_object_mut(), &info.der) {
        fields.insert("raw".into(), json!(BASE64.encode(der)));
    }
    told
}

fn chain(presented: &[CertificateDer<'_>]) -> Value {
    presented.iter().map(|der| BASE64.encode(der)).collect()
}

/// What was proved of a server, under which entry. What is going to be reported comes with the certificates themselves.
#[must_use]
pub fn verified(verified: &Verified) -> Map<String, Value> {
    let entry = verified.entry.as_ref();
    let expected = entry
        .map(|entry| entry.rules().iter().map(|rule| rule.pin.to_string()).collect::<Vec<_>>());
    let reported = verified.excused.is_some();
    let describe = if reported { whole_certificate } else { certificate };
    let fields = [
        ("pattern", json!(entry.and_then(|entry| entry.pattern()).map(ToString::to_string))),
        ("expected", json!(expected)),
        ("matched", json!(verified.matched.as_ref().map(|found| found.pin.to_string()))),
        ("excused", json!(verified.excused.as_ref().map(Excused::as_str))),
        ("path", json!(verified.described().iter().map(describe).collect::<Vec<_>>())),
        ("chain", json!(reported.then(|| chain(&verified.presented)))),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The answer of a synchronous function: `{"ok": …}` or `{"error": …}`.
pub fn outcome<T: Serialize>(result: Result<T, Value>) -> String {
    match result {
        Ok(value) => json!({ "ok": value }),
        Err(error) => json!({ "error": error }),
    }
    .to_string()
}

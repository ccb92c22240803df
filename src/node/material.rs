//! What a file of certificates, keys or requests holds.

use data_encoding::BASE64;
use napi::bindgen_prelude::*;
use napi_derive::napi;
use serde_json::{Value, json};

use crate::pinning::{Algorithm, CertificateInfo, Invalid, Material, Target};
use crate::tls::config;

use super::failure::{invalid, outcome, to_json};

/// One certificate, public key or request in PEM or DER, with its pins.
#[napi(catch_unwind)]
#[must_use]
pub fn describe_material(material: Uint8Array) -> String {
    outcome(describe(&material).map_err(|error| invalid(&error)))
}

/// The certificates of a PKCS#12 archive in base64, that of its key first. The key is not handed out.
#[napi(catch_unwind)]
#[must_use]
pub fn certificates_of_pfx(archive: Uint8Array, passphrase: String) -> String {
    let certificates = config::certificates_of_pfx(&archive, &passphrase);
    let certificates =
        certificates.map(|all| all.iter().map(|der| BASE64.encode(der)).collect::<Vec<_>>());
    outcome(certificates.map_err(|failure| to_json(&failure)))
}

fn describe(bytes: &[u8]) -> std::result::Result<Value, Invalid> {
    let material = Material::parse(bytes)?;
    let mut told = json!({
        "key": material.key()?,
        "pins": {
            "sha256": material.pin(Target::Spki, Algorithm::Sha256)?.to_string(),
            "sha512": material.pin(Target::Spki, Algorithm::Sha512)?.to_string(),
        },
    });
    let more = match &material {
        Material::PublicKey(_) => json!({ "kind": "key" }),
        Material::Request(_) => json!({ "kind": "request", "subject": material.requester() }),
        Material::Certificate(der) => {
            let info = CertificateInfo::from_der(der)?;
            json!({
                "kind": "certificate",
                "subject": info.subject,
                "issuer": info.issuer,
                "serialNumber": info.serial,
                "validFrom": info.not_before,
                "validTo": info.not_after,
                "names": info.names,
                "ca": info.ca,
                "selfIssued": info.self_issued,
                "fingerprint256": info.fingerprint256,
                "certificate256": material.pin(Target::Certificate, Algorithm::Sha256)?.to_string(),
                "certificate512": material.pin(Target::Certificate, Algorithm::Sha512)?.to_string(),
            })
        }
    };
    if let (Some(told), Value::Object(more)) = (told.as_object_mut(), more) {
        told.extend(more);
    }
    Ok(told)
}

//! The DER or PEM that a pin is made from.

use rustls_pki_types::pem::{self, PemObject as _, SectionKind};
use x509_parser::asn1_rs::{Any, FromDer as _, Tag};
use x509_parser::prelude::{SubjectPublicKeyInfo, X509CertificationRequest};

use super::certificate::{self, read_certificate};
use super::error::{Invalid, quoted};
use super::name;
use super::pin::{Algorithm, Pin, Target};

/// A certificate, a public key or a certificate request, as DER.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Material {
    Certificate(Vec<u8>),
    /// A `SubjectPublicKeyInfo`.
    PublicKey(Vec<u8>),
    /// A PKCS #10 request.
    Request(Vec<u8>),
}

impl Material {
    /// Reads DER, or PEM with one section. Text before the section is allowed (RFC 7468, section
    /// 5.2): openssl writes it.
    ///
    /// # Errors
    ///
    /// A private key of any kind, more than one section, bytes after the structure, and anything
    /// else.
    pub fn parse(bytes: &[u8]) -> Result<Self, Invalid> {
        if bytes.trim_ascii().is_empty() {
            return Err(Invalid::new("there is no certificate or key: the input is empty", GIVE));
        }
        match std::str::from_utf8(bytes) {
            Ok(text) if text.contains("-----BEGIN ") => Self::from_pem(text),
            _ => Self::from_der(bytes),
        }
    }

    /// The DER of the `SubjectPublicKeyInfo`: the very bytes of the input, never encoded anew.
    ///
    /// # Errors
    ///
    /// The variant was built from bytes that [`Material::parse`] would have refused.
    pub fn spki(&self) -> Result<&[u8], Invalid> {
        match self {
            Self::Certificate(der) => certificate_spki(der),
            Self::PublicKey(der) => public_key_spki(der),
            Self::Request(der) => request_spki(der),
        }
        .ok_or_else(|| Invalid::new("this is not the DER it is said to be", GIVE))
    }

    /// The pin of the key or of the certificate.
    ///
    /// # Errors
    ///
    /// A certificate's pin of something that is no certificate, and those of [`Material::spki`].
    pub fn pin(&self, target: Target, algorithm: Algorithm) -> Result<Pin, Invalid> {
        match (target, self) {
            (Target::Spki, _) => Ok(Pin::of_spki(algorithm, self.spki()?)),
            (Target::Certificate, Self::Certificate(der)) => {
                self.spki()?;
                Ok(Pin::of_certificate(algorithm, der))
            }
            (Target::Certificate, _) => Err(Invalid::new(
                "a key or request has no certificate to pin",
                "pin the key (target spki), or give a certificate",
            )),
        }
    }

    /// What kind of key it is: `EC P-256`, `RSA 2048`, `Ed25519`; an unknown algorithm as its OID.
    ///
    /// # Errors
    ///
    /// Those of [`Material::spki`].
    pub fn key(&self) -> Result<String, Invalid> {
        let spki = SubjectPublicKeyInfo::from_der(self.spki()?);
        spki.map(|(_, spki)| certificate::key(&spki))
            .map_err(|_| Invalid::new("this is not the DER it is said to be", GIVE))
    }

    /// Whom a request is for.
    #[must_use]
    pub fn requester(&self) -> Option<String> {
        let Self::Request(der) = self else { return None };
        let (_, request) = X509CertificationRequest::from_der(der).ok()?;
        Some(name::text(&request.certification_request_info.subject))
    }

    fn from_pem(text: &str) -> Result<Self, Invalid> {
        let labels: Vec<&str> = text.split("-----BEGIN ").skip(1).map(label).collect();
        if labels.iter().any(|label| label.ends_with("PRIVATE KEY")) {
            return Err(private_key());
        }
        if labels.len() > 1 {
            return Err(Invalid::new(
                format!("the PEM text has {} sections", labels.len()),
                "give each certificate or key on its own",
            ));
        }
        let after = text.rsplit_once("-----END ").and_then(|(_, rest)| rest.split_once("-----"));
        if after.is_none_or(|(_, rest)| !rest.trim_ascii().is_empty()) {
            return Err(Invalid::new(
                "the PEM section has no end, or text after its end",
                "give the section from its `-----BEGIN` to its `-----END` line",
            ));
        }
        let label = labels.first().copied().unwrap_or_default();
        let material = match <(SectionKind, Vec<u8>)>::from_pem_slice(text.as_bytes()) {
            Ok((SectionKind::Certificate, der)) => Self::Certificate(der),
            Ok((SectionKind::PublicKey, der)) => Self::PublicKey(der),
            Ok((SectionKind::Csr, der)) => Self::Request(der),
            Ok(_) | Err(pem::Error::NoItemsFound) => return Err(unsupported(label)),
            Err(_) => return Err(Invalid::new("the PEM text is malformed", "copy it whole")),
        };
        // The label is a claim: only the DER tells.
        if material.spki().is_ok() { Ok(material) } else { Err(not_der(material.as_der())) }
    }

    fn from_der(der: &[u8]) -> Result<Self, Invalid> {
        let variants: [fn(Vec<u8>) -> Self; 3] =
            [Self::Certificate, Self::PublicKey, Self::Request];
        let mut materials = variants.into_iter().map(|variant| variant(der.to_vec()));
        materials.find(|material| material.spki().is_ok()).ok_or_else(|| not_der(der))
    }

    fn as_der(&self) -> &[u8] {
        match self {
            Self::Certificate(der) | Self::PublicKey(der) | Self::Request(der) => der,
        }
    }
}

const GIVE: &str = "give a certificate, a public key or a certificate request, as DER or PEM";

fn certificate_spki(der: &[u8]) -> Option<&[u8]> {
    read_certificate(der).ok().map(|(_, spki)| spki)
}

fn public_key_spki(der: &[u8]) -> Option<&[u8]> {
    let (rest, spki) = SubjectPublicKeyInfo::from_der(der).ok()?;
    whole(&spki).filter(|_| rest.is_empty())
}

fn request_spki(der: &[u8]) -> Option<&[u8]> {
    let (rest, request) = X509CertificationRequest::from_der(der).ok()?;
    whole(&request.certification_request_info.subject_pki).filter(|_| rest.is_empty())
}

/// The bytes of a `SubjectPublicKeyInfo`, unless it has more fields than it may: the parser would
/// cut them off, and the digest would be that of another key than a TLS library sees.
pub(super) fn whole<'a>(spki: &SubjectPublicKeyInfo<'a>) -> Option<&'a [u8]> {
    Any::from_der(spki.raw).is_ok().then_some(spki.raw)
}

/// The label of a section, from what follows `-----BEGIN `.
fn label(after: &str) -> &str {
    after.split_once("-----").map_or("", |(label, _)| label)
}

fn unsupported(label: &str) -> Invalid {
    let fix = match label {
        "RSA PUBLIC KEY" => CONVERT_RSA,
        _ => GIVE,
    };
    Invalid::new(format!("a PEM section {} cannot be pinned", quoted(label)), fix)
}

const CONVERT_RSA: &str = "convert it with `openssl rsa -RSAPublicKey_in -pubout`";

/// The error for a private key. It says nothing of the key itself: messages end up in logs.
pub(super) fn private_key() -> Invalid {
    Invalid::new(
        "this is a private key: a pin is made from the public half",
        "keep it secret, and give the certificate or the output of `openssl pkey -pubout`",
    )
}

/// The error for DER that is none of the three.
fn not_der(der: &[u8]) -> Invalid {
    let fields = first_fields(der).unwrap_or_default();
    match fields.each_ref().map(|field| field.as_ref().map(Any::tag)) {
        // PKCS #8, PKCS #12; SEC 1; encrypted PKCS #8; PKCS #1.
        [Some(Tag::Integer), Some(Tag::Sequence), _]
        | [Some(Tag::Integer | Tag::Sequence), Some(Tag::OctetString), _]
        | [Some(Tag::Integer), Some(Tag::Integer), Some(Tag::Integer)] => private_key(),
        [Some(Tag::Integer), Some(Tag::Integer), None] => {
            Invalid::new("this is an RSA public key without its algorithm (PKCS #1)", CONVERT_RSA)
        }
        _ => Invalid::new(
            "this is neither a certificate nor a public key nor a request, or something follows it",
            GIVE,
        ),
    }
}

/// The first three fields of a SEQUENCE.
fn first_fields(der: &[u8]) -> Option<[Option<Any<'_>>; 3]> {
    let (_, sequence) = Any::from_der(der).ok()?;
    if sequence.tag() != Tag::Sequence {
        return None;
    }
    let mut rest = sequence.data;
    Some(std::array::from_fn(|_| {
        let (after, field) = Any::from_der(rest).ok()?;
        rest = after;
        Some(field)
    }))
}

#[cfg(test)]
#[path = "material_tests.rs"]
mod tests;

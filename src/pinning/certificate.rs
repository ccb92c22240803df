//! What an error message or the CLI tells of a certificate.

use std::net::{Ipv4Addr, Ipv6Addr};

use data_encoding::HEXUPPER;
use sha2::{Digest as _, Sha256};
use x509_parser::asn1_rs::{Any, Class, FromDer as _, Oid, Tag, oid};
use x509_parser::certificate::Validity;
use x509_parser::prelude::{GeneralName, ParsedExtension, SubjectPublicKeyInfo, X509Certificate};
use x509_parser::public_key::RSAPublicKey;

use super::error::Invalid;
use super::material;
use super::name;
use super::pin::{Algorithm, Pin};

/// A certificate for people to read: it decides nothing.
///
/// Every text is printable; what a certificate puts into a name cannot forge a line of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateInfo {
    /// As [`name_text`](super::name_text) writes it.
    pub subject: String,
    pub issuer: String,
    /// Upper-case hex, as Node's `serialNumber`.
    pub serial: String,
    pub spki_pin: Pin,
    pub spki_pin_sha512: Pin,
    /// `AA:BB:…`, as Node's `fingerprint256`.
    pub fingerprint256: String,
    /// Unix seconds.
    pub not_before: i64,
    /// Unix seconds.
    pub not_after: i64,
    /// The subject alternative names as Node writes them: `DNS:…`, `IP Address:…`, `URI:…`,
    /// `email:…`.
    pub names: Vec<String>,
    /// Whether it says CA:TRUE.
    pub ca: bool,
    /// Such as `EC P-256`, `RSA 2048`, `Ed25519`; an unknown algorithm as its OID.
    pub key: String,
    /// Whether issuer and subject are the same name; the signature is not checked.
    pub self_issued: bool,
}

impl CertificateInfo {
    /// Reads a certificate.
    ///
    /// # Errors
    ///
    /// The bytes are not exactly one DER certificate.
    pub fn from_der(der: &[u8]) -> Result<Self, Invalid> {
        let (certificate, spki_der) = read_certificate(der)?;
        let spki = certificate.public_key();
        Ok(Self {
            subject: name::text(certificate.subject()),
            issuer: name::text(certificate.issuer()),
            serial: serial(certificate.raw_serial()),
            spki_pin: Pin::of_spki(Algorithm::Sha256, spki_der),
            spki_pin_sha512: Pin::of_spki(Algorithm::Sha512, spki_der),
            fingerprint256: colons(&Sha256::digest(der)),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            names: names(&certificate),
            ca: certificate.is_ca(),
            key: key(spki),
            self_issued: certificate.subject().as_raw() == certificate.issuer().as_raw(),
        })
    }
}

/// A certificate, and the raw DER of its `SubjectPublicKeyInfo`, which is what pins are digests of.
///
/// # Errors
///
/// The bytes are not exactly one DER certificate.
pub fn read_certificate(der: &[u8]) -> Result<(X509Certificate<'_>, &[u8]), Invalid> {
    let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| not_a_certificate())?;
    let spki = material::whole(&certificate.tbs_certificate.subject_pki);
    let spki = spki.filter(|_| rest.is_empty()).ok_or_else(not_a_certificate)?;
    Ok((certificate, spki))
}

/// The dates of a certificate, and the raw DER of its `SubjectPublicKeyInfo`, as [`read_certificate`] finds them but
/// without reading names and extensions, which takes most of the time.
///
/// # Errors
///
/// The bytes are not a DER certificate as far as that.
pub fn read_certificate_head(der: &[u8]) -> Result<(Validity, &[u8]), Invalid> {
    head(der).ok_or_else(not_a_certificate)
}

fn head(der: &[u8]) -> Option<(Validity, &[u8])> {
    let (after, certificate) = sequence(der)?;
    let (_, tbs) = sequence(certificate).filter(|_| after.is_empty())?;
    // The version, which version 1 leaves out.
    let (rest, first) = Any::from_der(tbs).ok()?;
    let rest =
        if first.class() == Class::ContextSpecific { Any::from_der(rest).ok()?.0 } else { rest };
    let (rest, _signature) = sequence(rest)?;
    let (rest, _issuer) = sequence(rest)?;
    let (rest, validity) = Validity::from_der(rest).ok()?;
    let (spki, _subject) = sequence(rest)?;
    let (_, parsed) = SubjectPublicKeyInfo::from_der(spki).ok()?;
    Some((validity, material::whole(&parsed)?))
}

/// What follows a SEQUENCE, and what is in it.
fn sequence(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (rest, any) = Any::from_der(der).ok()?;
    (any.tag() == Tag::Sequence).then_some((rest, any.data))
}

fn not_a_certificate() -> Invalid {
    Invalid::new("this is not a certificate", "give exactly one X.509 certificate as DER")
}

fn serial(raw: &[u8]) -> String {
    let hex = HEXUPPER.encode(raw);
    // DER puts a zero byte before a first byte over 0x7f.
    match hex.strip_prefix("00") {
        Some(rest) if !rest.is_empty() => rest.to_owned(),
        _ => hex,
    }
}

fn colons(bytes: &[u8]) -> String {
    let octets: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    octets.join(":")
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let names = certificate.extensions().iter().filter_map(|extension| {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
            _ => None,
        }
    });
    names.flatten().filter_map(general_name).collect()
}

/// A name of a kind that TLS identifies a server by, or that tells a person who it is.
fn general_name(general_name: &GeneralName<'_>) -> Option<String> {
    match general_name {
        GeneralName::DNSName(dns) => Some(format!("DNS:{}", name::printable(dns))),
        GeneralName::IPAddress(bytes) => Some(format!("IP Address:{}", ip(bytes))),
        GeneralName::URI(uri) => Some(format!("URI:{}", name::printable(uri))),
        GeneralName::RFC822Name(email) => Some(format!("email:{}", name::printable(email))),
        GeneralName::DirectoryName(directory) => Some(format!("DirName:{}", name::text(directory))),
        _ => None,
    }
}

fn ip(bytes: &[u8]) -> String {
    let v4 = <[u8; 4]>::try_from(bytes).map(|octets| Ipv4Addr::from(octets).to_string());
    let v6 = || <[u8; 16]>::try_from(bytes).map(|octets| Ipv6Addr::from(octets).to_string());
    v4.or_else(|_| v6()).unwrap_or_else(|_| "<invalid>".to_owned())
}

/// What kind of key it is, as in [`CertificateInfo::key`].
pub(super) fn key(spki: &SubjectPublicKeyInfo<'_>) -> String {
    let algorithm = &spki.algorithm.algorithm;
    let Some(name) = algorithm_name(algorithm) else {
        return algorithm.to_id_string();
    };
    match name {
        "EC" => {
            // `as_oid` does not look at the tag, and explicit parameters are a SEQUENCE.
            let parameters = spki.algorithm.parameters.as_ref();
            let named = parameters.filter(|any| any.tag() == Tag::Oid);
            let curve = named.and_then(|any| any.as_oid().ok());
            let curve =
                curve.map(|oid| curve_name(&oid).map_or_else(|| oid.to_id_string(), str::to_owned));
            format!("EC {}", curve.as_deref().unwrap_or("with explicit parameters"))
        }
        "RSA" | "RSA-PSS" => match rsa_bits(spki) {
            Some(bits) => format!("{name} {bits}"),
            None => name.to_owned(),
        },
        name => name.to_owned(),
    }
}

/// The bits of the modulus; a key for RSA-PSS alone has the same form (RFC 4055, section 1.2).
fn rsa_bits(spki: &SubjectPublicKeyInfo<'_>) -> Option<usize> {
    let (_, key) = RSAPublicKey::from_der(&spki.subject_public_key.data).ok()?;
    let zeros = key.modulus.iter().take_while(|byte| **byte == 0).count();
    let modulus = key.modulus.get(zeros..)?;
    let unused = usize::try_from(modulus.first()?.leading_zeros()).ok()?;
    Some(modulus.len() * 8 - unused)
}

fn algorithm_name(algorithm: &Oid<'_>) -> Option<&'static str> {
    let names = [
        (oid!(1.2.840.10045.2.1), "EC"),
        (oid!(1.2.840.113549.1.1.1), "RSA"),
        (oid!(1.2.840.113549.1.1.10), "RSA-PSS"),
        (oid!(1.2.840.10040.4.1), "DSA"),
        (oid!(1.3.101.110), "X25519"),
        (oid!(1.3.101.111), "X448"),
        (oid!(1.3.101.112), "Ed25519"),
        (oid!(1.3.101.113), "Ed448"),
        (oid!(2.16.840.1.101.3.4.3.17), "ML-DSA-44"),
        (oid!(2.16.840.1.101.3.4.3.18), "ML-DSA-65"),
        (oid!(2.16.840.1.101.3.4.3.19), "ML-DSA-87"),
    ];
    names.iter().find(|(oid, _)| oid == algorithm).map(|(_, name)| *name)
}

fn curve_name(curve: &Oid<'_>) -> Option<&'static str> {
    let names = [
        (oid!(1.2.840.10045.3.1.7), "P-256"),
        (oid!(1.3.132.0.34), "P-384"),
        (oid!(1.3.132.0.35), "P-521"),
        (oid!(1.3.132.0.10), "secp256k1"),
    ];
    names.iter().find(|(oid, _)| oid == curve).map(|(_, name)| *name)
}

#[cfg(test)]
#[path = "certificate_tests.rs"]
mod tests;

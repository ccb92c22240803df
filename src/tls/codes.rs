//! Errors of webpki, rustls and the system, as the codes Node users match on.
//!
//! Certificate codes are OpenSSL's `X509_V_ERR_*` names as Node prints them
//! (<https://nodejs.org/api/tls.html#x509-certificate-error-codes>), alerts its `ERR_SSL_*` reasons.

use std::borrow::Cow;
use std::io;

use rustls::{CertificateError, InvalidMessage, PeerIncompatible};
use rustls_pki_types::{CertificateDer, ServerName};
use webpki::EndEntityCert;
use x509_parser::oid_registry::OID_PKCS1_RSASSAPSS;
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;
use x509_parser::x509::SubjectPublicKeyInfo;

use crate::pinning::CertificateInfo;

use super::alert;
use super::failure::{Failure, Phase};

/// Why no path was found.
#[must_use]
pub fn from_webpki(error: &webpki::Error, presented: &[CertificateDer<'_>]) -> Failure {
    use webpki::Error as E;
    let (code, message): (&'static str, Cow<'static, str>) = match error {
        E::CertExpired { .. } => return expired(),
        E::CertNotValidYet { .. } => return not_yet_valid(),
        E::CertRevoked => ("CERT_REVOKED", "a certificate on the path has been revoked".into()),
        E::UnknownRevocationStatus => {
            ("UNABLE_TO_GET_CRL", "no given CRL covers a certificate on the path".into())
        }
        E::CrlExpired { .. } => ("CRL_HAS_EXPIRED", "a CRL is out of date".into()),
        E::UnsupportedCrlSignatureAlgorithmContext(_)
        | E::UnsupportedCrlSignatureAlgorithmForPublicKeyContext(_) => {
            ("CRL_SIGNATURE_FAILURE", "a CRL is signed in a way that is not accepted".into())
        }
        E::IssuerNotCrlSigner => {
            ("CRL_SIGNATURE_FAILURE", "a CRL's issuer may not sign CRLs (cRLSign is missing)".into())
        }
        E::InvalidCrlSignatureForPublicKey => {
            ("CRL_SIGNATURE_FAILURE", "a CRL's signature is not its issuer's".into())
        }
        E::InvalidSignatureForPublicKey | E::SignatureAlgorithmMismatch => {
            if let Some(failure) = unsupported_issuer(presented) {
                return failure;
            }
            ("CERT_SIGNATURE_FAILURE", "a certificate's signature is not its issuer's".into())
        }
        E::PathLenConstraintViolated => {
            ("PATH_LENGTH_EXCEEDED", "an issuer's path length constraint is violated".into())
        }
        E::MaximumPathDepthExceeded
        | E::MaximumSignatureChecksExceeded
        | E::MaximumPathBuildCallsExceeded
        | E::MaximumNameConstraintComparisonsExceeded => {
            ("CERT_CHAIN_TOO_LONG", "the chain is too long or too tangled to verify".into())
        }
        E::EndEntityUsedAsCa => {
            ("INVALID_CA", "an issuer on the path is not a CA (CA:TRUE is missing)".into())
        }
        E::CaUsedAsEndEntity if is_self_issued(presented.first()) => return self_signed_leaf(),
        E::CaUsedAsEndEntity => {
            ("INVALID_PURPOSE", "the server's certificate is a CA certificate (CA:TRUE)".into())
        }
        E::RequiredEkuNotFoundContext(_) | E::EmptyEkuExtension => {
            ("INVALID_PURPOSE", "a certificate on the path is not meant for TLS servers".into())
        }
        E::NameConstraintViolation => (
            "PERMITTED_VIOLATION",
            "a name in the certificate is outside an issuer's name constraints".into(),
        ),
        E::UnknownIssuer => return no_issuer(presented),
        E::CertDistrusted => ("CERT_UNTRUSTED", "a key on the path is distrusted".into()),
        E::UnsupportedSignatureAlgorithmContext(_)
        | E::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => (
            "UNSUPPORTED_SIGNATURE_ALGORITHM",
            "a certificate on the path uses a key or signature that is not accepted (RSA under 2048 bits, \
             RSA-PSS keys, SHA-1, DSA, P-521 with some hashes)"
                .into(),
        ),
        E::UnsupportedCertVersion => {
            ("CERT_REJECTED", "a certificate is not X.509 version 3".into())
        }
        E::UnsupportedCriticalExtension => (
            "UNHANDLED_CRITICAL_EXTENSION",
            "a certificate has a critical extension that is not understood".into(),
        ),
        other => ("CERT_REJECTED", format!("a certificate is malformed ({other})").into()),
    };
    Failure::new(code, Phase::Handshake, message).because(&shown(&error.to_string()))
}

#[must_use]
pub fn expired() -> Failure {
    Failure::new("CERT_HAS_EXPIRED", Phase::Handshake, "a certificate on the path has expired")
}

#[must_use]
pub fn not_yet_valid() -> Failure {
    Failure::new(
        "CERT_NOT_YET_VALID",
        Phase::Handshake,
        "a certificate on the path is not yet valid",
    )
}

fn self_signed_leaf() -> Failure {
    Failure::new(
        "DEPTH_ZERO_SELF_SIGNED_CERT",
        Phase::Handshake,
        "the server's certificate is self-signed; to trust it by its pin alone, say `trust: 'pin-only'`",
    )
}

/// OpenSSL's four ways to say that the path ends nowhere: by where it ends when the names are followed.
fn no_issuer(presented: &[CertificateDer<'_>]) -> Failure {
    let named: Vec<_> =
        presented.iter().filter_map(|der| EndEntityCert::try_from(der).ok()).collect();
    let mut rest: Vec<_> = named.iter().skip(1).collect();
    let mut last = named.first();
    let mut length = 1;
    while let Some(certificate) = last.filter(|last| last.issuer() != last.subject()) {
        let next = rest.iter().position(|other| other.subject() == certificate.issuer());
        let Some(next) = next else { break };
        last = Some(rest.swap_remove(next));
        length += 1;
    }
    let ends_in_itself = last.is_some_and(|last| last.issuer() == last.subject());
    let (code, message) = match (ends_in_itself, length) {
        (true, 1) => return self_signed_leaf(),
        (true, _) => (
            "SELF_SIGNED_CERT_IN_CHAIN",
            "the chain ends in a root that is not among the trusted ones",
        ),
        (false, 1) => (
            "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
            "no trusted root issued the server's certificate; the server may have left out an intermediate",
        ),
        (false, _) => (
            "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
            "no path from the server's certificate to a trusted root; an intermediate may be missing",
        ),
    };
    Failure::new(code, Phase::Handshake, message)
}

/// An issuer whose key webpki does not verify with looks like a bad signature to it.
fn unsupported_issuer(presented: &[CertificateDer<'_>]) -> Option<Failure> {
    let named: Vec<_> =
        presented.iter().filter_map(|der| EndEntityCert::try_from(der).ok()).collect();
    let is_issuer = |subject: &[u8]| named.iter().any(|below| below.issuer() == subject);
    named.iter().skip(1).filter(|certificate| is_issuer(certificate.subject())).find_map(
        |certificate| unsupported_key(&certificate.subject_public_key_info(), "an issuer"),
    )
}

fn is_self_issued(certificate: Option<&CertificateDer<'_>>) -> bool {
    certificate
        .and_then(|der| EndEntityCert::try_from(der).ok().map(|c| c.issuer() == c.subject()))
        .unwrap_or(false)
}

/// The certificate is for another name.
#[must_use]
pub fn from_name_check(
    error: &webpki::Error,
    name: &ServerName<'_>,
    leaf: &CertificateDer<'_>,
) -> Failure {
    let name = name.to_str();
    let names = CertificateInfo::from_der(leaf).map(|info| info.names).unwrap_or_default();
    let message = match error {
        webpki::Error::CertNotValidForName(_) if names.is_empty() => format!(
            "the server's certificate has no subject alternative name, so it is not valid for {name}; \
             a common name is not looked at"
        ),
        webpki::Error::CertNotValidForName(_) => format!(
            "the server's certificate is not valid for {name}, only for {}",
            shown(&names.join(", "))
        ),
        other => format!("the names of the server's certificate cannot be read ({other})"),
    };
    Failure::new("ERR_TLS_CERT_ALTNAME_INVALID", Phase::Handshake, message)
}

/// A handshake that broke off.
#[must_use]
pub fn from_handshake(error: &io::Error) -> Failure {
    if let Some(failure) = Failure::within(error) {
        return failure;
    }
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(error) => from_rustls(error),
        None if error.kind() == io::ErrorKind::UnexpectedEof => Failure::new(
            "ECONNRESET",
            Phase::Handshake,
            "the server closed the connection before the TLS handshake was done",
        ),
        None => from_io(error, Phase::Handshake, "read"),
    }
}

/// An error of an established connection or of its handshake.
#[must_use]
pub fn from_rustls(error: &rustls::Error) -> Failure {
    use rustls::Error as E;
    let (code, message): (Cow<'static, str>, Cow<'static, str>) = match error {
        E::AlertReceived(alert) => return alert::failure(*alert),
        E::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => (
            "ERR_SSL_WRONG_VERSION_NUMBER".into(),
            "the server's answer is not TLS; does this port speak plain HTTP?".into(),
        ),
        E::InvalidMessage(_)
        | E::InappropriateMessage { .. }
        | E::InappropriateHandshakeMessage { .. }
        | E::PeerMisbehaved(_)
        | E::PeerSentOversizedRecord => {
            ("EPROTO".into(), format!("the server broke the TLS protocol ({error})").into())
        }
        E::DecryptError => (
            "ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC".into(),
            "a TLS record could not be decrypted; it was changed on the way".into(),
        ),
        E::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled
            | PeerIncompatible::Tls13RequiredForQuic
            | PeerIncompatible::SupportedVersionsExtensionRequired,
        ) => (
            "ERR_SSL_UNSUPPORTED_PROTOCOL".into(),
            "the server speaks none of the TLS versions this client allows".into(),
        ),
        E::PeerIncompatible(_) => (
            "ERR_SSL_NO_SHARED_CIPHER".into(),
            format!("the server and this client have too little in common ({error})").into(),
        ),
        E::NoApplicationProtocol => (
            "ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL".into(),
            "the server chose a protocol that was not offered".into(),
        ),
        E::NoCertificatesPresented => (
            "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE".into(),
            "the server sent no certificate".into(),
        ),
        E::InvalidCertificate(CertificateError::BadSignature) => (
            "ERR_SSL_BAD_SIGNATURE".into(),
            "the server did not prove that it holds its certificate's key".into(),
        ),
        E::InvalidCertificate(_) => (
            "CERT_REJECTED".into(),
            format!("the server's certificate was rejected ({error})").into(),
        ),
        _ => ("EPROTO".into(), format!("the TLS handshake failed ({error})").into()),
    };
    Failure::new(code, Phase::Handshake, message).because(error)
}

/// An error of the system, by Node's name for it.
#[must_use]
pub fn from_io(error: &io::Error, phase: Phase, syscall: &'static str) -> Failure {
    use io::ErrorKind as K;
    if let Some(failure) = Failure::within(error) {
        return failure;
    }
    if let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return from_rustls(error).in_phase(phase);
    }
    let (code, message) = match error.kind() {
        K::ConnectionRefused => ("ECONNREFUSED", "the connection was refused"),
        K::ConnectionReset | K::UnexpectedEof => ("ECONNRESET", "the server closed the connection"),
        K::ConnectionAborted => ("ECONNABORTED", "the connection was aborted"),
        K::BrokenPipe => ("EPIPE", "the server closed the connection while it was written to"),
        K::TimedOut => ("ETIMEDOUT", "the connection timed out"),
        K::HostUnreachable => ("EHOSTUNREACH", "the host cannot be reached"),
        K::NetworkUnreachable => ("ENETUNREACH", "the network cannot be reached"),
        K::NetworkDown => ("ENETDOWN", "the network is down"),
        K::AddrNotAvailable => ("EADDRNOTAVAIL", "the address is not available"),
        K::AddrInUse => ("EADDRINUSE", "the local address is in use"),
        K::PermissionDenied => ("EACCES", "the system refused permission"),
        K::InvalidInput => ("EINVAL", "the system refused the address"),
        _ => ("EIO", "the system reported an error"),
    };
    Failure::new(code, phase, message).syscall(syscall).because(error)
}

/// rustls verifies nothing with an id-RSASSA-PSS key, nor with RSA under 2048 bits: say so, instead of calling
/// the signature bad.
#[must_use]
pub fn unsupported_key(spki: &[u8], whose: &str) -> Option<Failure> {
    let (_, key) = SubjectPublicKeyInfo::from_der(spki).ok()?;
    let problem = if key.algorithm.algorithm == OID_PKCS1_RSASSAPSS {
        "RSA-PSS (id-RSASSA-PSS)".to_owned()
    } else {
        match key.parsed() {
            Ok(PublicKey::RSA(rsa)) if rsa.key_size() < 2048 => {
                format!("RSA with {} bits, less than 2048", rsa.key_size())
            }
            _ => return None,
        }
    };
    Some(Failure::new(
        "UNSUPPORTED_SIGNATURE_ALGORITHM",
        Phase::Handshake,
        format!(
            "the key of {whose} is {problem}, which this client does not verify; \
             reissue the certificate with an rsaEncryption key of 2048 bits or more, or an EC key"
        ),
    ))
}

/// Text of a peer's certificate, bounded and without control characters: it goes to logs and terminals.
pub(in crate::tls) fn shown(text: &str) -> String {
    const MOST: usize = 400;
    let mut shown: String =
        text.chars().take(MOST).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    shown
}

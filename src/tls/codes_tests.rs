//! Every error of webpki, rustls and the system has the code that Node users match on, and no text of a peer
//! reaches a message unprintable.

use std::io;

use rcgen::{CustomExtension, DnType, PublicKeyData, SignatureAlgorithm};
use rustls::{
    AlertDescription, CertificateError, ContentType, Error, InvalidMessage, PeerIncompatible,
    PeerMisbehaved,
};
use rustls_pki_types::{CertificateDer, ServerName};
use webpki::{EndEntityCert, KeyUsage, RequiredEkuNotFoundContext};

use super::codes::*;
use super::test_pki::*;
use super::verified::{Step, Verified};
use super::{Failure, Phase};

/// A code, and a word of the message that tells it from others of that code.
type Expected = (&'static str, &'static str);

fn check(name: &str, failure: &Failure, (code, word): Expected) {
    assert_eq!(failure.code, code, "{name}");
    assert!(failure.message.contains(word), "{name}: {:?}", failure.message);
    assert!(!failure.message.contains('\n'), "{name}: {:?}", failure.message);
    assert!(failure.host.is_empty() && failure.expected.is_empty(), "{name}");
}

#[test]
fn webpki_errors() {
    use webpki::Error as E;
    let (time, not_before, not_after, next_update) = (unix(NOW), unix(TO), unix(FROM), unix(FROM));
    let eku = RequiredEkuNotFoundContext { required: KeyUsage::server_auth(), present: vec![] };
    let signature = webpki::UnsupportedSignatureAlgorithmContext {
        signature_algorithm_id: vec![1],
        supported_algorithms: vec![],
    };
    let for_key = webpki::UnsupportedSignatureAlgorithmForPublicKeyContext {
        signature_algorithm_id: vec![1],
        public_key_algorithm_id: vec![2],
    };
    let table = [
        (E::CertExpired { time, not_after }, ("CERT_HAS_EXPIRED", "has expired")),
        (E::CertNotValidYet { time, not_before }, ("CERT_NOT_YET_VALID", "not yet")),
        (E::CertRevoked, ("CERT_REVOKED", "revoked")),
        (E::UnknownRevocationStatus, ("UNABLE_TO_GET_CRL", "CRL")),
        (E::CrlExpired { time, next_update }, ("CRL_HAS_EXPIRED", "out of date")),
        (E::InvalidCrlSignatureForPublicKey, ("CRL_SIGNATURE_FAILURE", "not its issuer's")),
        (E::IssuerNotCrlSigner, ("CRL_SIGNATURE_FAILURE", "cRLSign")),
        (E::InvalidSignatureForPublicKey, ("CERT_SIGNATURE_FAILURE", "not its issuer's")),
        (E::SignatureAlgorithmMismatch, ("CERT_SIGNATURE_FAILURE", "not its issuer's")),
        (E::PathLenConstraintViolated, ("PATH_LENGTH_EXCEEDED", "path length")),
        (E::MaximumPathDepthExceeded, ("CERT_CHAIN_TOO_LONG", "too long")),
        (E::MaximumSignatureChecksExceeded, ("CERT_CHAIN_TOO_LONG", "too long")),
        (E::MaximumPathBuildCallsExceeded, ("CERT_CHAIN_TOO_LONG", "too long")),
        (E::MaximumNameConstraintComparisonsExceeded, ("CERT_CHAIN_TOO_LONG", "too long")),
        (E::EndEntityUsedAsCa, ("INVALID_CA", "not a CA")),
        (E::CaUsedAsEndEntity, ("INVALID_PURPOSE", "CA:TRUE")),
        (E::RequiredEkuNotFoundContext(eku), ("INVALID_PURPOSE", "TLS servers")),
        (E::EmptyEkuExtension, ("INVALID_PURPOSE", "TLS servers")),
        (E::NameConstraintViolation, ("PERMITTED_VIOLATION", "name constraints")),
        (E::UnknownIssuer, ("UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "no path")),
        (E::CertDistrusted, ("CERT_UNTRUSTED", "distrusted")),
        (
            E::UnsupportedSignatureAlgorithmContext(signature),
            ("UNSUPPORTED_SIGNATURE_ALGORITHM", "not accepted"),
        ),
        (
            E::UnsupportedSignatureAlgorithmForPublicKeyContext(for_key),
            ("UNSUPPORTED_SIGNATURE_ALGORITHM", "not accepted"),
        ),
        (E::UnsupportedCertVersion, ("CERT_REJECTED", "version 3")),
        (E::UnsupportedCriticalExtension, ("UNHANDLED_CRITICAL_EXTENSION", "critical")),
        (E::BadDer, ("CERT_REJECTED", "BadDer")),
        (E::InvalidCertValidity, ("CERT_REJECTED", "InvalidCertValidity")),
        (E::MalformedExtensions, ("CERT_REJECTED", "MalformedExtensions")),
    ];
    let middle = Node::root(ca("root")).issue(ca("intermediate"));
    let presented = chain(&[&middle.issue(server(&["api.example"])), &middle]);
    for (error, expected) in table {
        let failure = from_webpki(&error, &presented);
        check(&format!("{error:?}"), &failure, expected);
        assert_eq!(failure.phase, Phase::Handshake);
    }
}

#[test]
fn where_a_path_ends_nowhere() {
    let root = Node::root(ca("root"));
    let middle = root.issue(ca("intermediate"));
    let leaf = middle.issue(server(&["api.example"]));
    let itself = Node::root(server(&["api.example"]));
    let (other, garbage) = (Node::root(ca("other")), CertificateDer::from(vec![0x30, 0]));
    let unknown = webpki::Error::UnknownIssuer;
    let self_signed = ("DEPTH_ZERO_SELF_SIGNED_CERT", "pin-only");
    let alone = ("UNABLE_TO_VERIFY_LEAF_SIGNATURE", "left out an intermediate");
    let table = [
        ("self-signed", &unknown, chain(&[&itself]), self_signed),
        ("self-signed, more sent", &unknown, chain(&[&itself, &other]), self_signed),
        ("a self-signed CA", &webpki::Error::CaUsedAsEndEntity, chain(&[&root]), self_signed),
        (
            "the root is sent",
            &unknown,
            chain(&[&leaf, &middle, &root]),
            ("SELF_SIGNED_CERT_IN_CHAIN", "not among the trusted"),
        ),
        (
            "the root is sent in between",
            &unknown,
            chain(&[&leaf, &root, &middle]),
            ("SELF_SIGNED_CERT_IN_CHAIN", "not among the trusted"),
        ),
        (
            "the root is not sent",
            &unknown,
            chain(&[&leaf, &middle, &other]),
            ("UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "missing"),
        ),
        ("the leaf alone", &unknown, chain(&[&leaf]), alone),
        ("nothing that belongs to it", &unknown, chain(&[&leaf, &other]), alone),
        ("garbage behind it", &unknown, vec![leaf.der.clone(), garbage.clone()], alone),
        ("garbage", &unknown, vec![garbage], alone),
        ("nothing", &unknown, vec![], alone),
    ];
    for (name, error, presented, expected) in table {
        check(name, &from_webpki(error, &presented), expected);
    }

    // Names that go round in a circle.
    let second = Node { params: ca("b"), ..Node::root(ca("b")) };
    let [a, b] = [second.issue(ca("a")), Node { params: ca("a"), ..second.clone() }.issue(ca("b"))];
    check(
        "a circle",
        &from_webpki(&unknown, &chain(&[&a, &b, &a, &b])),
        ("UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "no path"),
    );
}

#[test]
fn rustls_errors() {
    use PeerIncompatible as I;
    let wrong_version = ("ERR_SSL_WRONG_VERSION_NUMBER", "not TLS");
    let protocol = ("EPROTO", "broke the TLS protocol");
    let unsupported = ("ERR_SSL_UNSUPPORTED_PROTOCOL", "versions");
    let inappropriate =
        Error::InappropriateMessage { expect_types: vec![], got_type: ContentType::Alert };
    let table = [
        (Error::InvalidMessage(InvalidMessage::InvalidContentType), wrong_version),
        (Error::InvalidMessage(InvalidMessage::UnknownProtocolVersion), wrong_version),
        (Error::InvalidMessage(InvalidMessage::InvalidCcs), protocol),
        (inappropriate, protocol),
        (Error::PeerMisbehaved(PeerMisbehaved::IllegalMiddleboxChangeCipherSpec), protocol),
        (Error::PeerSentOversizedRecord, protocol),
        (
            Error::DecryptError,
            ("ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC", "changed on the way"),
        ),
        (Error::PeerIncompatible(I::ServerDoesNotSupportTls12Or13), unsupported),
        (Error::PeerIncompatible(I::ServerTlsVersionIsDisabledByOurConfig), unsupported),
        (Error::PeerIncompatible(I::Tls12NotOffered), unsupported),
        (Error::PeerIncompatible(I::Tls12NotOfferedOrEnabled), unsupported),
        (Error::PeerIncompatible(I::SupportedVersionsExtensionRequired), unsupported),
        (
            Error::PeerIncompatible(I::NoCipherSuitesInCommon),
            ("ERR_SSL_NO_SHARED_CIPHER", "too little in common"),
        ),
        (
            Error::NoApplicationProtocol,
            ("ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL", "not offered"),
        ),
        (
            Error::NoCertificatesPresented,
            ("ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE", "no certificate"),
        ),
        (
            Error::InvalidCertificate(CertificateError::BadSignature),
            ("ERR_SSL_BAD_SIGNATURE", "did not prove"),
        ),
        (Error::InvalidCertificate(CertificateError::BadEncoding), ("CERT_REJECTED", "rejected")),
        (Error::HandshakeNotComplete, ("EPROTO", "failed")),
    ];
    for (error, expected) in table {
        let name = format!("{error:?}");
        check(&name, &from_rustls(&error), expected);
        check(&name, &from_handshake(&io::Error::other(error.clone())), expected);
        let failure = from_io(&io::Error::other(error), Phase::Body, "read");
        check(&name, &failure, expected);
        assert_eq!(failure.phase, Phase::Body, "{name}");
    }
}

#[test]
fn alerts() {
    use AlertDescription as A;
    let client = "refused the client certificate";
    let table = [
        (A::UnexpectedMessage, "SSLV3_ALERT_UNEXPECTED_MESSAGE", ""),
        (A::BadRecordMac, "SSLV3_ALERT_BAD_RECORD_MAC", ""),
        (A::RecordOverflow, "TLSV1_ALERT_RECORD_OVERFLOW", ""),
        (A::HandshakeFailure, "SSLV3_ALERT_HANDSHAKE_FAILURE", "no cipher"),
        (A::NoCertificate, "SSLV3_ALERT_NO_CERTIFICATE", "wants a client certificate"),
        (A::BadCertificate, "SSLV3_ALERT_BAD_CERTIFICATE", client),
        (A::UnsupportedCertificate, "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE", client),
        (A::CertificateRevoked, "SSLV3_ALERT_CERTIFICATE_REVOKED", client),
        (A::CertificateExpired, "SSLV3_ALERT_CERTIFICATE_EXPIRED", client),
        (A::CertificateUnknown, "SSLV3_ALERT_CERTIFICATE_UNKNOWN", client),
        (A::IllegalParameter, "SSLV3_ALERT_ILLEGAL_PARAMETER", ""),
        (A::UnknownCA, "TLSV1_ALERT_UNKNOWN_CA", "does not know the CA"),
        (A::AccessDenied, "TLSV1_ALERT_ACCESS_DENIED", ""),
        (A::DecodeError, "TLSV1_ALERT_DECODE_ERROR", ""),
        (A::DecryptError, "TLSV1_ALERT_DECRYPT_ERROR", ""),
        (A::ProtocolVersion, "TLSV1_ALERT_PROTOCOL_VERSION", "versions"),
        (A::InsufficientSecurity, "TLSV1_ALERT_INSUFFICIENT_SECURITY", ""),
        (A::InternalError, "TLSV1_ALERT_INTERNAL_ERROR", ""),
        (A::UserCanceled, "TLSV1_ALERT_USER_CANCELLED", ""),
        (A::NoRenegotiation, "TLSV1_ALERT_NO_RENEGOTIATION", ""),
        (A::UnsupportedExtension, "TLSV1_UNSUPPORTED_EXTENSION", ""),
        (A::UnrecognisedName, "TLSV1_UNRECOGNIZED_NAME", "servername"),
        (A::BadCertificateStatusResponse, "TLSV1_BAD_CERTIFICATE_STATUS_RESPONSE", ""),
        (A::UnknownPSKIdentity, "TLSV1_ALERT_UNKNOWN_PSK_IDENTITY", ""),
        (A::CertificateRequired, "TLSV13_ALERT_CERTIFICATE_REQUIRED", "give `cert`"),
        (A::NoApplicationProtocol, "TLSV1_ALERT_NO_APPLICATION_PROTOCOL", ""),
        (A::MissingExtension, "SSL_ERROR_SSL", ""),
        (A::Unknown(200), "SSL_ERROR_SSL", "0xc8"),
    ];
    for (alert, reason, hint) in table {
        let failure = from_rustls(&Error::AlertReceived(alert));
        assert_eq!(failure.code, format!("ERR_SSL_{reason}"));
        assert!(failure.message.contains(hint), "{alert:?}: {:?}", failure.message);
        assert!(failure.message.contains(&format!("{alert:?}")), "{:?}", failure.message);
    }
}

#[test]
fn errors_of_the_system() {
    use io::ErrorKind as K;
    for (kind, code) in [
        (K::ConnectionRefused, "ECONNREFUSED"),
        (K::ConnectionReset, "ECONNRESET"),
        (K::UnexpectedEof, "ECONNRESET"),
        (K::ConnectionAborted, "ECONNABORTED"),
        (K::BrokenPipe, "EPIPE"),
        (K::TimedOut, "ETIMEDOUT"),
        (K::HostUnreachable, "EHOSTUNREACH"),
        (K::NetworkUnreachable, "ENETUNREACH"),
        (K::NetworkDown, "ENETDOWN"),
        (K::AddrNotAvailable, "EADDRNOTAVAIL"),
        (K::AddrInUse, "EADDRINUSE"),
        (K::PermissionDenied, "EACCES"),
        (K::InvalidInput, "EINVAL"),
        (K::Other, "EIO"),
    ] {
        let failure = from_io(&kind.into(), Phase::Connect, "connect");
        let facts = (&*failure.code, failure.phase, failure.syscall);
        assert_eq!(facts, (code, Phase::Connect, Some("connect")), "{kind:?}");
        assert!(failure.cause.is_some(), "{kind:?}");
        assert_eq!(from_handshake(&kind.into()).code, code, "{kind:?}");
    }
    let ended = from_handshake(&io::ErrorKind::UnexpectedEof.into());
    check("an end", &ended, ("ECONNRESET", "before the TLS handshake was done"));
}

#[test]
fn a_failure_passes_through_what_carries_it() {
    let failure = Failure::new("ERR_X", Phase::Policy, "x").at("api.example", 443);
    let carried = Error::InvalidCertificate(CertificateError::Other(rustls::OtherError(
        std::sync::Arc::new(failure.clone()),
    )));
    for error in [
        io::Error::other(failure.clone()),
        io::Error::other(carried.clone()),
        io::Error::other(io::Error::other(carried)),
    ] {
        for found in [from_handshake(&error), from_io(&error, Phase::Body, "read")] {
            assert_eq!(
                (&*found.code, found.phase, &*found.host),
                ("ERR_X", Phase::Policy, "api.example")
            );
        }
    }
}

#[test]
fn a_key_that_is_not_verified_with_is_named() {
    // SubjectPublicKeyInfo with id-RSASSA-PSS (RFC 4055, 3.1) and an empty key.
    let pss =
        b"\x30\x10\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x03\x01\x00".as_slice();
    let node = Node::root(ca("root"));
    let table = [
        ("RSA-PSS", pss.to_vec(), Some("RSA-PSS")),
        ("RSA 1024", Rsa::new(1024).subject_public_key_info(), Some("1024 bits")),
        ("RSA 2040", Rsa::new(2040).subject_public_key_info(), Some("2040 bits")),
        ("RSA 2048", Rsa::new(2048).subject_public_key_info(), None),
        ("EC", node.key.subject_public_key_info(), None),
        ("garbage", b"\x30\x03\x01\x02\x03".to_vec(), None),
        ("nothing", vec![], None),
    ];
    for (name, spki, problem) in table {
        let failure = unsupported_key(&spki, "the server");
        assert_eq!(failure.is_some(), problem.is_some(), "{name}");
        if let (Some(failure), Some(problem)) = (failure, problem) {
            check(name, &failure, ("UNSUPPORTED_SIGNATURE_ALGORITHM", problem));
        }
    }

    let weak = ca("weak");
    let leaf = Node { params: weak.clone(), ..node.clone() }.issue(server(&["api.example"]));
    let issuer = rcgen::Issuer::from_params(&node.params, &*node.key);
    let weak = weak.signed_by(&Rsa::new(1024), &issuer).unwrap().der().clone();
    let bad = webpki::Error::InvalidSignatureForPublicKey;
    let (issuer, plain) =
        (("UNSUPPORTED_SIGNATURE_ALGORITHM", "an issuer"), ("CERT_SIGNATURE_FAILURE", "not its"));
    let unrelated = node.issue(server(&["api.example"]));
    check("a weak issuer", &from_webpki(&bad, &[leaf.der.clone(), weak.clone()]), issuer);
    check("a weak bystander", &from_webpki(&bad, &[unrelated.der, weak]), plain);
    check("no issuer sent", &from_webpki(&bad, &[leaf.der]), plain);
}

#[test]
fn no_text_of_a_peer_is_printed_as_it_is() {
    // A line feed, an escape sequence and a right-to-left override, which would change how a log reads.
    const EVIL: &str = "a.example\nok: b.example\u{1b}[2J\u{202e}\u{2028}\u{7f}";
    let name = ServerName::try_from("api.example").unwrap();
    let other = |_: usize| EVIL.as_bytes().to_vec();
    let (few, many) = (alt_names((0..1).map(other)), alt_names((0..500).map(other)));
    for extension in [few, many] {
        let leaf = Node::root(with(server(&[]), |leaf| leaf.custom_extensions.push(extension)));
        let certificate = EndEntityCert::try_from(&leaf.der).unwrap();
        let error = certificate.verify_is_valid_for_subject_name(&name).unwrap_err();
        let failure = from_name_check(&error, &name, &leaf.der);
        check("names", &failure, ("ERR_TLS_CERT_ALTNAME_INVALID", "api.example"));
        assert_printable(&failure.message);
        assert!(failure.message.len() < 2000, "{} bytes", failure.message.len());
        let failure = from_webpki(&error, std::slice::from_ref(&leaf.der));
        assert_printable(failure.cause.as_deref().unwrap_or_default());
    }

    let leaf = Node::root(with(server(&[]), |leaf| {
        leaf.distinguished_name.push(DnType::CommonName, EVIL);
    }));
    let certificate = EndEntityCert::try_from(&leaf.der).unwrap();
    let step = Step {
        der: Some(leaf.der.clone()),
        spki: certificate.subject_public_key_info(),
        subject: certificate.subject().to_vec(),
    };
    let anchor = Step { der: None, ..step.clone() };
    let verified = Verified::new(1, &[], vec![step, anchor]);
    for step in &verified.path {
        let described = step.describe();
        assert!(described.subject.contains("a.example"), "{}", described.subject);
        assert_printable(&described.subject);
        assert_printable(described.issuer.as_deref().unwrap_or_default());
    }
}

fn assert_printable(text: &str) {
    let odd = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{202a}'..='\u{202e}');
    assert!(!text.contains(odd), "{text:?}");
}

/// A subjectAltName of DNS names that are whatever bytes one likes.
fn alt_names(names: impl Iterator<Item = Vec<u8>>) -> CustomExtension {
    let names: Vec<u8> = names.flat_map(|name| tlv(0x82, &name)).collect();
    CustomExtension::from_oid_content(&[2, 5, 29, 17], tlv(0x30, &names))
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
    let length = if content.len() < 128 {
        vec![low]
    } else if high == 0 {
        vec![0x81, low]
    } else {
        vec![0x82, high, low]
    };
    [&[tag], &*length, content].concat()
}

/// An RSA public key of any length. Nobody has its private key.
struct Rsa(Vec<u8>);

impl Rsa {
    fn new(bits: usize) -> Self {
        let modulus = [vec![0], vec![0xc1; bits / 8]].concat();
        Self(tlv(0x30, &[tlv(2, &modulus), tlv(2, &[1, 0, 1])].concat()))
    }
}

impl PublicKeyData for Rsa {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_RSA_SHA256
    }
}

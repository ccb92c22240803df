use data_encoding::HEXLOWER;
use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair, PublicKeyData as _, SignatureAlgorithm};

use super::*;

struct Fixture {
    key: KeyPair,
    certificate: rcgen::Certificate,
    request: rcgen::CertificateSigningRequest,
}

impl Fixture {
    fn new(algorithm: &'static SignatureAlgorithm) -> Self {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let params = CertificateParams::new(["a.example".to_owned()]).unwrap();
        let request = params.serialize_request(&key).unwrap();
        Self { certificate: params.self_signed(&key).unwrap(), request, key }
    }

    fn spki(&self) -> Vec<u8> {
        self.key.subject_public_key_info()
    }
}

#[test]
fn der_and_pem_of_each_kind_are_told_apart() {
    for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ED25519, &rcgen::PKCS_RSA_SHA256]
    {
        let fixture = Fixture::new(algorithm);
        let certificate = Material::Certificate(fixture.certificate.der().to_vec());
        let key = Material::PublicKey(fixture.spki());
        let request = Material::Request(fixture.request.der().to_vec());
        for (bytes, pem, expected) in [
            (fixture.certificate.der().to_vec(), fixture.certificate.pem(), &certificate),
            (fixture.spki(), fixture.key.public_key_pem(), &key),
            (fixture.request.der().to_vec(), fixture.request.pem().unwrap(), &request),
        ] {
            assert_eq!(Material::parse(&bytes).as_ref(), Ok(expected));
            assert_eq!(Material::parse(pem.as_bytes()).as_ref(), Ok(expected));
            let described =
                format!("subject=CN = a.example\r\n\n{}\n \n", pem.replace('\n', "\r\n"));
            assert_eq!(Material::parse(described.as_bytes()).as_ref(), Ok(expected));
            assert_eq!(expected.spki(), Ok(fixture.spki().as_slice()));
        }
    }
}

#[test]
fn a_pin_is_made_of_the_target() {
    let fixture = Fixture::new(&rcgen::PKCS_ECDSA_P256_SHA256);
    let certificate = Material::Certificate(fixture.certificate.der().to_vec());
    let key = Material::PublicKey(fixture.spki());
    let request = Material::Request(fixture.request.der().to_vec());
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let of_key = Pin::of_spki(algorithm, &fixture.spki());
        for material in [&certificate, &key, &request] {
            assert_eq!(material.pin(Target::Spki, algorithm).as_ref(), Ok(&of_key));
        }
        let of_certificate = Pin::of_certificate(algorithm, fixture.certificate.der());
        assert_eq!(certificate.pin(Target::Certificate, algorithm), Ok(of_certificate));
        for material in [&key, &request] {
            let error = material.pin(Target::Certificate, algorithm).unwrap_err();
            assert!(error.problem.contains("no certificate"), "{error}");
        }
    }
}

#[test]
fn a_private_key_is_refused_in_every_form() {
    let [ec, rsa] = [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_RSA_SHA256].map(Fixture::new);
    let pem = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
    let mut inputs = vec![
        ec.key.serialize_pem().into_bytes(),
        ec.key.serialize_der(),
        rsa.key.serialize_der(),
        format!("{}{}", ec.certificate.pem(), ec.key.serialize_pem()).into_bytes(),
    ];
    for label in [
        "PRIVATE KEY",
        "ENCRYPTED PRIVATE KEY",
        "RSA PRIVATE KEY",
        "EC PRIVATE KEY",
        "DSA PRIVATE KEY",
        "OPENSSH PRIVATE KEY",
    ] {
        inputs.push(pem(label).into_bytes());
    }
    // SEC 1, PKCS #1, encrypted PKCS #8 and PKCS #12, by their first fields.
    for der in ["30060201010401aa", "3009020100020103020105", "300530000401aa", "30050201033000"] {
        inputs.push(HEXLOWER.decode(der.as_bytes()).unwrap());
    }
    for input in inputs {
        let error = Material::parse(&input).unwrap_err();
        assert!(error.problem.contains("private key"), "{error}: {input:x?}");
    }
}

#[test]
fn what_is_not_exactly_one_thing_is_refused() {
    let fixture = Fixture::new(&rcgen::PKCS_ED25519);
    let der = fixture.certificate.der().to_vec();
    let pem = fixture.certificate.pem();
    let (head, tail) = pem.split_at(pem.find("-----END").unwrap());
    for (input, problem) in [
        (vec![], "empty"),
        (b" \n".to_vec(), "empty"),
        (b"hello".to_vec(), "neither"),
        (vec![0xff; 100], "neither"),
        ([&der[..], &[0]].concat(), "neither"),
        ([&der[..], &der[..]].concat(), "neither"),
        (der[..der.len() - 1].to_vec(), "neither"),
        ([fixture.spki(), vec![0]].concat(), "neither"),
        ([fixture.request.der().to_vec(), vec![0]].concat(), "neither"),
        ([&[0], &der[..]].concat(), "neither"),
        (format!("{pem}{pem}").into_bytes(), "2 sections"),
        (format!("{pem}x").into_bytes(), "after its end"),
        (head.as_bytes().to_vec(), "no end"),
        (format!("{head}-----END").into_bytes(), "no end"),
        (format!("{head}!!!!\n{tail}").into_bytes(), "malformed"),
        (pem.replace("CERTIFICATE", "PUBLIC KEY").into_bytes(), "neither"),
        (pem.replace("CERTIFICATE", "TRUSTED CERTIFICATE").into_bytes(), "cannot be pinned"),
        (pem.replace("CERTIFICATE", "X509 CRL").into_bytes(), "cannot be pinned"),
        (pem.replace("CERTIFICATE", "RSA PUBLIC KEY").into_bytes(), "cannot be pinned"),
        (HEXLOWER.decode(b"3006020103020105").unwrap(), "PKCS #1"),
    ] {
        let error = Material::parse(&input).unwrap_err();
        assert!(error.problem.contains(problem), "{problem}: {error}");
        assert!(!error.fix.is_empty());
    }
}

#[test]
fn a_key_with_a_field_too_many_is_refused() {
    // AlgorithmIdentifier, BIT STRING and a NULL: the parser by itself would leave the NULL off, in
    // silence.
    let mut der = Fixture::new(&rcgen::PKCS_ED25519).spki();
    der.extend([5, 0]);
    der[1] += 2;
    assert!(Material::parse(&der).is_err());
    assert!(Material::PublicKey(der).spki().is_err());
}

#[test]
fn a_variant_made_of_other_bytes_has_no_pin() {
    for material in
        [Material::Certificate(vec![1]), Material::PublicKey(vec![]), Material::Request(vec![0x30])]
    {
        assert!(material.spki().is_err());
        for target in [Target::Spki, Target::Certificate] {
            assert!(material.pin(target, Algorithm::Sha256).is_err(), "{material:?}");
        }
    }
}

proptest! {
    #[test]
    fn parsing_never_panics(bytes: Vec<u8>) {
        let _ = Material::parse(&bytes);
    }

    #[test]
    fn pem_never_panics(text in "(-----BEGIN [A-Z ]{0,20}(-----)?\n?)?.{0,40}\n(-----END [A-Z ]{0,20}-----)?.{0,4}") {
        let _ = Material::parse(text.as_bytes());
    }
}

#[test]
fn garbled_der_never_panics() {
    let fixture = Fixture::new(&rcgen::PKCS_RSA_SHA256);
    for der in [fixture.certificate.der().to_vec(), fixture.spki(), fixture.request.der().to_vec()]
    {
        for at in 0..der.len() {
            assert!(Material::parse(&der[..at]).is_err(), "cut at {at}");
            for value in [0, 1, 0x30, 0x7f, 0x80, 0x84, 0xff] {
                let mut garbled = der.clone();
                garbled[at] = value;
                let _ = Material::parse(&garbled);
            }
        }
    }
}

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PublicKeyData as _,
    SanType, SerialNumber,
};

use super::*;

fn info(params: &CertificateParams, key: &KeyPair) -> CertificateInfo {
    CertificateInfo::from_der(params.self_signed(key).unwrap().der()).unwrap()
}

#[test]
fn a_certificate_is_described() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "a.example");
    params.distinguished_name.push(DnType::OrganizationName, "A\nB");
    params.serial_number = Some(SerialNumber::from(vec![0xab, 0x01]));
    params.not_before = rcgen::date_time_ymd(2020, 1, 2);
    params.not_after = rcgen::date_time_ymd(2050, 1, 1);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.subject_alt_names = vec![
        SanType::DnsName("a.example".try_into().unwrap()),
        SanType::DnsName("x\ny".try_into().unwrap()),
        SanType::IpAddress("192.0.2.7".parse().unwrap()),
        SanType::IpAddress("2001:db8::1".parse().unwrap()),
        SanType::URI("https://a.example/".try_into().unwrap()),
        SanType::Rfc822Name("me@a.example".try_into().unwrap()),
    ];
    let der = params.self_signed(&key).unwrap().der().to_vec();
    let info = CertificateInfo::from_der(&der).unwrap();

    let spki = key.subject_public_key_info();
    let fingerprint = Pin::of_certificate(Algorithm::Sha256, &der);
    assert_eq!(
        info,
        CertificateInfo {
            subject: info.subject.clone(),
            issuer: info.subject.clone(),
            serial: "AB01".to_owned(),
            spki_pin: Pin::of_spki(Algorithm::Sha256, &spki),
            spki_pin_sha512: Pin::of_spki(Algorithm::Sha512, &spki),
            fingerprint256: colons(fingerprint.digest()),
            not_before: 1_577_923_200,
            not_after: 2_524_608_000,
            names: [
                "DNS:a.example",
                r"DNS:x\0ay",
                "IP Address:192.0.2.7",
                "IP Address:2001:db8::1",
                "URI:https://a.example/",
                "email:me@a.example",
            ]
            .map(str::to_owned)
            .to_vec(),
            ca: true,
            key: "EC P-256".to_owned(),
            self_issued: true,
        }
    );
    assert!(info.subject.contains(r"O=A\0aB") && info.subject.contains("CN=a.example"));
    assert!(info.fingerprint256.len() == 95 && !info.fingerprint256.contains("::"));
}

#[test]
fn the_key_is_named() {
    for (algorithm, expected) in [
        (&rcgen::PKCS_ECDSA_P256_SHA256, "EC P-256"),
        (&rcgen::PKCS_ECDSA_P384_SHA384, "EC P-384"),
        (&rcgen::PKCS_ECDSA_P521_SHA512, "EC P-521"),
        (&rcgen::PKCS_ED25519, "Ed25519"),
        (&rcgen::PKCS_RSA_SHA256, "RSA 2048"),
    ] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        assert_eq!(info(&CertificateParams::default(), &key).key, expected);
    }
}

#[test]
fn an_issued_leaf_is_neither_self_issued_nor_a_ca() {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::default();
    ca.distinguished_name.push(DnType::CommonName, "ca");
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().unwrap();
    let mut leaf = CertificateParams::new(["a.example".to_owned()]).unwrap();
    leaf.distinguished_name.push(DnType::CommonName, "leaf");
    let leaf = leaf.signed_by(&key, &issuer).unwrap();

    let info = CertificateInfo::from_der(leaf.der()).unwrap();
    assert!(!info.ca && !info.self_issued);
    assert!(info.subject.contains("CN=leaf") && info.issuer.contains("CN=ca"), "{info:?}");
}

#[test]
fn a_serial_is_written_as_node_does() {
    for (raw, expected) in [
        (&[0x00, 0xab][..], "AB"),
        (&[0x00], "00"),
        (&[0x01, 0x00], "0100"),
        (&[0x7f], "7F"),
        (&[], ""),
    ] {
        assert_eq!(serial(raw), expected);
    }
}

#[test]
fn an_rsa_pss_key_and_an_unknown_one_are_named_too() {
    let rsa = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap().subject_public_key_info();
    let describe = |last: u8| {
        let mut spki = rsa.clone();
        // rsaEncryption is 1.2.840.113549.1.1.1: its last byte tells its siblings apart.
        let oid = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
        let at = spki.windows(oid.len()).position(|window| window == oid).unwrap();
        spki[at + oid.len() - 1] = last;
        key(&SubjectPublicKeyInfo::from_der(&spki).unwrap().1)
    };
    assert_eq!(describe(1), "RSA 2048");
    assert_eq!(describe(10), "RSA-PSS 2048");
    assert_eq!(describe(7), "1.2.840.113549.1.1.7");
}

#[test]
fn garbled_der_is_an_error_or_a_description() {
    let key = KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
    params.subject_alt_names.push(SanType::IpAddress("192.0.2.7".parse().unwrap()));
    let der = params.self_signed(&key).unwrap().der().to_vec();
    for at in 0..der.len() {
        assert!(CertificateInfo::from_der(&der[..at]).is_err(), "cut at {at}");
        for value in [0, 1, 0x30, 0x7f, 0x80, 0x84, 0xff] {
            let mut garbled = der.clone();
            garbled[at] = value;
            let _ = CertificateInfo::from_der(&garbled);
        }
    }
    assert!(CertificateInfo::from_der(&[der, vec![0]].concat()).is_err());
    assert!(CertificateInfo::from_der(&[]).is_err());
}

/// Whatever both readers take, they take alike: the pin of a key must not depend on which of them was asked.
#[test]
fn the_short_reader_finds_what_the_long_one_finds() {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let der = params.self_signed(&key).unwrap().der().to_vec();
    let (validity, spki) = read_certificate_head(&der).unwrap();
    let (certificate, whole) = read_certificate(&der).unwrap();
    assert_eq!(spki, whole);
    assert_eq!(spki, key.subject_public_key_info());
    assert_eq!(&validity, certificate.validity());

    for length in 0..der.len() {
        assert!(read_certificate_head(&der[..length]).is_err(), "{length}");
    }
    assert!(read_certificate_head(&[der.as_slice(), &[0]].concat()).is_err());
    let mut alike = 0;
    for place in 0..der.len() {
        for bit in 0..8 {
            let mut changed = der.clone();
            changed[place] ^= 1 << bit;
            if let (Ok(short), Ok(long)) =
                (read_certificate_head(&changed), read_certificate(&changed))
            {
                assert_eq!(short.1, long.1, "{place} {bit}");
                assert_eq!(&short.0, long.0.validity(), "{place} {bit}");
                alike += 1;
            }
        }
    }
    assert!(alike > 1000, "{alike}");
}

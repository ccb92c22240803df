use proptest::prelude::*;
use rcgen::string::{BmpString, TeletexString};
use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair};

use super::*;

/// The DER of a name as a certificate has it.
fn der(attributes: &[(DnType, DnValue)]) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    for (kind, value) in attributes {
        params.distinguished_name.push(kind.clone(), value.clone());
    }
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate.der()).unwrap();
    parsed.subject().as_raw().to_vec()
}

fn common_name(value: &str) -> Vec<u8> {
    der(&[(DnType::CommonName, value.into())])
}

#[test]
fn a_name_is_written_from_the_most_specific_to_the_least() {
    let name = der(&[
        (DnType::CountryName, "DE".into()),
        (DnType::OrganizationName, "Beispiel".into()),
        (DnType::CustomDnType(vec![2, 5, 4, 5]), "12".into()),
        (DnType::CustomDnType(vec![1, 2, 3]), "x".into()),
        (DnType::CommonName, "a.example".into()),
    ]);
    let expected = "CN=a.example,1.2.3=x,serialNumber=12,O=Beispiel,C=DE";
    assert_eq!(name_text(&name), expected);
    assert_eq!(name_text(&name[2..]), expected, "without the outer SEQUENCE, as rustls has it");
    assert_eq!(name_text(&[]), "");
    assert_eq!(name_text(&[0x30, 0]), "");
}

#[test]
fn what_could_mislead_is_escaped() {
    for (value, expected) in [
        ("a,b+c=d", r"CN=a\,b\+c\=d"),
        (r#""<x>;\"#, r#"CN=\"\<x\>\;\\"#),
        (" x ", r"CN=\ x\ "),
        (" ", r"CN=\ "),
        ("#1", r"CN=\#1"),
        ("a\nCN=b", r"CN=a\0aCN\=b"),
        ("a\0b", r"CN=a\00b"),
        ("\u{1b}[31m", r"CN=\1b[31m"),
        ("a\u{202e}b", r"CN=a\e2\80\aeb"),
        ("\u{feff}", r"CN=\ef\bb\bf"),
        ("bücher 日本 'x'", "CN=bücher 日本 'x'"),
    ] {
        assert_eq!(name_text(&common_name(value)), expected, "{value:?}");
    }
}

#[test]
fn other_string_types_are_read() {
    let teletex = DnValue::TeletexString(TeletexString::try_from("abc").unwrap());
    let bmp = DnValue::BmpString(BmpString::try_from("日本").unwrap());
    assert_eq!(name_text(&der(&[(DnType::CommonName, teletex)])), "CN=abc");
    assert_eq!(name_text(&der(&[(DnType::CommonName, bmp)])), "CN=日本");
    // An odd BMPString, Latin-1, and UTF-8 that is none: 2.5.4.3 with each tag.
    for (tag, bytes, expected) in [
        (0x1e, &[0x65, 0xe5, 0x67][..], "CN=日\u{fffd}"),
        (0x14, &[0xfc], "CN=ü"),
        (0x0c, &[0xff], "CN=\u{fffd}"),
    ] {
        let length = |extra: usize| u8::try_from(bytes.len() + extra).unwrap();
        let mut name = vec![0x31, length(9), 0x30, length(7), 6, 3, 0x55, 4, 3, tag, length(0)];
        name.extend(bytes);
        assert_eq!(name_text(&name), expected);
    }
}

#[test]
fn what_is_no_name_is_shown_as_hex() {
    assert_eq!(name_text(&[0x30, 5, 1]), "#300501");
    assert_eq!(name_text(&[0xff]), "#ff");
    assert_eq!(name_text(&[0x30, 0, 0]), "#300000");
}

#[test]
fn a_very_long_name_is_cut() {
    let long = "ä".repeat(2000);
    let text = name_text(&common_name(&long));
    assert_eq!(text.chars().count(), LONGEST + 1);
    assert!(text.ends_with('…'));
    assert_eq!(
        name_text(&common_name(&long)[4..]),
        text,
        "with a length of two bytes put before it"
    );
    assert!(name_text(&vec![0xff; 100_000]).chars().count() <= LONGEST + 1);
}

proptest! {
    #[test]
    fn it_never_fails_and_is_always_printable(bytes: Vec<u8>) {
        let text = name_text(&bytes);
        prop_assert!(!text.chars().any(char::is_control));
    }

    #[test]
    fn any_text_is_made_one_printable_line(value in "\\PC{0,8}[\\x00-\\x1f\u{202a}-\u{202e}]{0,3}\\PC{0,8}") {
        let text = printable(&value);
        let hidden = |c: char| c.is_control() || (0x202a..=0x202e).contains(&u32::from(c));
        prop_assert!(!text.chars().any(hidden));
    }
}

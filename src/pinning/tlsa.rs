//! TLSA records as pins (RFC 6698, RFC 7671).

use data_encoding::HEXLOWER_PERMISSIVE;

use super::error::{Invalid, hint};
use super::material::Material;
use super::pin::{Algorithm, Pin, Role, Rule, Target};
use super::text;

/// Reads `3 1 1 HEX` or a record line such as `_443._tcp.example.com. 3600 IN TLSA 3 1 1 HEX`.
///
/// The hex may be split by blanks and parentheses (RFC 1035, section 5.1), but a comment is
/// refused: it could as well be meant as a second record. The usage decides the role: PKIX-EE and
/// DANE-EE bind the leaf, PKIX-TA and DANE-TA an issuer. The owner's name and port are not compared
/// with anything: the policy's pattern says where the pin holds.
///
/// `None` means that the text is not in the form of a TLSA record at all.
pub(super) fn parse(text: &str) -> Option<Result<Rule, Invalid>> {
    let record: Vec<&str> = text
        .split(|c: char| c.is_ascii_whitespace() || matches!(c, '(' | ')'))
        .filter(|token| !token.is_empty())
        .collect();
    if let Some(at) = record.iter().position(|token| token.eq_ignore_ascii_case("TLSA")) {
        let (before, after) = record.split_at(at);
        return Some(check_owner(before).and_then(|()| data(after.get(1..).unwrap_or_default())));
    }
    let number = |token: &&str| token.bytes().all(|b| b.is_ascii_digit());
    let numbers = record.iter().take_while(|token| number(token)).count();
    (numbers >= 3).then(|| data(&record))
}

/// What stands before `TLSA`: the owner's name, then TTL and class in any order (RFC 1035, section
/// 5.1).
fn check_owner(tokens: &[&str]) -> Result<(), Invalid> {
    let known = |token: &&str| {
        token.eq_ignore_ascii_case("IN") || token.starts_with(|c: char| c.is_ascii_digit())
    };
    match tokens.get(1..) {
        Some(rest) if rest.len() > 2 || !rest.iter().all(known) => {
            Err(malformed("what stands before TLSA is not a name, a TTL and a class"))
        }
        _ => Ok(()),
    }
}

/// The record's data: usage, selector, matching type, hex.
fn data(tokens: &[&str]) -> Result<Rule, Invalid> {
    let [usage, selector, matching, hex @ ..] = tokens else {
        return Err(malformed("a TLSA record has four fields"));
    };
    let role = match *usage {
        "0" | "2" => Role::Ca,
        "1" | "3" => Role::Leaf,
        other => {
            return Err(malformed(format!("TLSA usage {} is not 0 to 3", hint(other))));
        }
    };
    let target = match *selector {
        "0" => Target::Certificate,
        "1" => Target::Spki,
        other => {
            return Err(malformed(format!("TLSA selector {} is not 0 or 1", hint(other))));
        }
    };
    let hex = hex.concat();
    let bytes = HEXLOWER_PERMISSIVE
        .decode(hex.as_bytes())
        .map_err(|_| malformed(format!("TLSA data {} is not hexadecimal", hint(&hex))))?;
    let pin = match *matching {
        "0" => full(target, &bytes)?,
        "1" => text::pin(target, Algorithm::Sha256, &bytes)?,
        "2" => text::pin(target, Algorithm::Sha512, &bytes)?,
        other => {
            return Err(malformed(format!("TLSA matching type {} is not 0 to 2", hint(other))));
        }
    };
    Ok(Rule { pin, role })
}

/// Matching type 0 holds the key or certificate itself.
fn full(target: Target, der: &[u8]) -> Result<Pin, Invalid> {
    match (target, Material::parse(der)?) {
        (Target::Certificate, certificate @ Material::Certificate(_)) => {
            certificate.pin(target, Algorithm::Sha256)
        }
        (Target::Spki, key @ Material::PublicKey(_)) => key.pin(target, Algorithm::Sha256),
        (Target::Certificate, _) => Err(malformed("TLSA selector 0 needs a certificate")),
        (Target::Spki, _) => Err(malformed("TLSA selector 1 needs a public key")),
    }
}

fn malformed(problem: impl Into<String>) -> Invalid {
    Invalid::new(
        problem,
        "write usage, selector, matching type and hex, such as `3 1 1 HEX`, of one record",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Result<Rule, Invalid> {
        parse(text).unwrap_or_else(|| panic!("{text} is not taken for TLSA"))
    }

    #[test]
    fn usage_selector_and_matching_type_decide() {
        let roles = [Role::Ca, Role::Leaf, Role::Ca, Role::Leaf];
        for (usage, role) in roles.into_iter().enumerate() {
            for (selector, target) in [Target::Certificate, Target::Spki].into_iter().enumerate() {
                for (matching, algorithm) in [(1, Algorithm::Sha256), (2, Algorithm::Sha512)] {
                    let hex = "aB".repeat(algorithm.length());
                    let rule = rule(&format!("{usage} {selector} {matching} {hex}")).unwrap();
                    assert_eq!(rule.role, role);
                    assert_eq!((rule.pin.target(), rule.pin.algorithm()), (target, algorithm));
                    assert_eq!(rule.pin.digest(), vec![0xab; algorithm.length()]);
                }
            }
        }
    }

    #[test]
    fn a_record_line_is_read_as_it_stands() {
        let half = "0123456789abcdef".repeat(2);
        let expected = rule(&format!("3 1 1 {half}{half}")).unwrap();
        for line in [
            format!("_443._tcp.example.com. 3600 IN TLSA 3 1 1 {half}{half}"),
            format!("_443._tcp.example.com. IN 1h tlsa 3 1 1 {half} {half}"),
            format!("_443._tcp.example.com.\tTLSA\t3 1 1 {half}\t{half}"),
            format!("_443._tcp IN TLSA ( 3 1 1\n {half}\n {half} )"),
            format!("TLSA 3 1 1 ({half}{half})"),
            format!("3 1 1 ({half}\r\n{half})"),
        ] {
            assert_eq!(rule(&line), Ok(expected.clone()), "{line}");
        }
    }

    #[test]
    fn a_malformed_record_is_refused() {
        let hex = "ab".repeat(32);
        for (text, problem) in [
            ("TLSA".to_owned(), "four fields"),
            ("TLSA 3 1".to_owned(), "four fields"),
            ("3 1 1".to_owned(), "has 0 bytes"),
            (format!("4 1 1 {hex}"), "usage"),
            (format!("03 1 1 {hex}"), "usage"),
            (format!("3 2 1 {hex}"), "selector"),
            (format!("3 1 3 {hex}"), "matching type"),
            (format!("3 1 2 {hex}"), "has 32 bytes"),
            (format!("3 1 1 {hex}ab"), "has 33 bytes"),
            (format!("3 1 1 {}", "ab".repeat(20)), "SHA-1"),
            (format!("3 1 1 {}x", &hex[1..]), "not hexadecimal"),
            (format!("3 1 1 {hex} 3 1 1 {hex}"), "not hexadecimal"),
            (format!("3 1 1 {hex};3 1 1 {hex}"), "not hexadecimal"),
            (format!("3 1 1 {hex} ; backup"), "not hexadecimal"),
            (format!("please use this TLSA 3 1 1 {hex}"), "before TLSA"),
            (format!("3 1 0 {hex}"), "neither"),
            (format!("3 0 0 {hex}"), "neither"),
        ] {
            let error = rule(&text).expect_err(&text);
            assert!(error.problem.contains(problem), "{text}: {error}");
        }
    }

    #[test]
    fn full_data_is_hashed() {
        let key = rcgen::KeyPair::generate().unwrap();
        let spki = rcgen::PublicKeyData::subject_public_key_info(&key);
        let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);

        let pinned = rule(&format!("3 1 0 {}", hex(&spki))).unwrap();
        assert_eq!(pinned.pin, Pin::of_spki(Algorithm::Sha256, &spki));
        let pinned = rule(&format!("2 0 0 {}", hex(certificate.der()))).unwrap();
        assert_eq!(pinned.pin, Pin::of_certificate(Algorithm::Sha256, certificate.der()));
        assert_eq!(pinned.role, Role::Ca);

        assert!(rule(&format!("3 0 0 {}", hex(&spki))).unwrap_err().problem.contains("selector 0"));
        let crossed = rule(&format!("3 1 0 {}", hex(certificate.der())));
        assert!(crossed.unwrap_err().problem.contains("selector 1"));
    }

    #[test]
    fn other_texts_are_left_to_other_parsers() {
        for text in ["sha256/AAAA", "3 1", "a b c d", "3 1 x 1", "", ";", "TLSA3 1 1"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}

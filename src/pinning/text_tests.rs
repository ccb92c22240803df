use proptest::prelude::*;

use super::*;

/// SHA-256 of "abc", in the forms a pin has.
const HEX: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const BASE64_ABC: &str = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";

/// A digest whose base64 begins with `/`, as one in 64 does.
const SLASH: &str = "/ngWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";

fn colons(hex: &str) -> String {
    let octets: Vec<&str> = hex.as_bytes().chunks(2).map(|c| str::from_utf8(c).unwrap()).collect();
    octets.join(":").to_ascii_uppercase()
}

fn pins(text: &str) -> Vec<String> {
    let rules = parse_text(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    rules.iter().map(ToString::to_string).collect()
}

#[test]
fn every_form_is_read() {
    let key = format!("sha256/{BASE64_ABC}");
    let certificate = format!("cert:sha256:{HEX}");
    let long = format!("{HEX}{HEX}");
    for (text, expected) in [
        (format!("sha256/{BASE64_ABC}"), &key),
        (format!(" SHA256/{BASE64_ABC}\n"), &key),
        (format!("sha256//{BASE64_ABC}"), &key),
        (format!("pin-sha256=\"{BASE64_ABC}\""), &key),
        (format!("Pin-SHA256=\"{BASE64_ABC}\""), &key),
        (BASE64_ABC.to_owned(), &key),
        (format!("spki:sha256:{HEX}"), &key),
        (format!("spki:sha256:{}", HEX.to_ascii_uppercase()), &key),
        (format!("spki:sha512:{long}"), &format!("spki:sha512:{long}")),
        (format!("cert:sha256:{HEX}"), &certificate),
        (format!("cert:sha512:{long}"), &format!("cert:sha512:{long}")),
        (colons(HEX), &certificate),
        (colons(HEX).to_ascii_lowercase(), &certificate),
        (colons(&long), &format!("cert:sha512:{long}")),
        (format!("sha256 Fingerprint={}", colons(HEX)), &certificate),
        (format!("SHA256 Fingerprint={}\n", colons(HEX)), &certificate),
        (format!("sha512 Fingerprint={}", colons(&long)), &format!("cert:sha512:{long}")),
        (format!("3 1 1 {HEX}"), &format!("3 1 1 {HEX}")),
        (format!("2 0 1 {HEX}"), &format!("2 0 1 {HEX}")),
        (format!("0 1 1 {HEX}"), &format!("2 1 1 {HEX}")),
        (format!("_443._tcp.a.example. 60 IN TLSA 1 1 1 {HEX}"), &format!("3 1 1 {HEX}")),
    ] {
        assert_eq!(pins(&text), std::slice::from_ref(expected), "{text}");
    }
}

#[test]
fn only_the_length_tells_a_digest_with_a_slash_from_curls_second_slash() {
    let [plain, slash] = [BASE64_ABC, SLASH].map(|base64| format!("sha256/{base64}"));
    assert_eq!(slash.len(), plain.len());
    for (text, expected) in [
        (format!("sha256/{SLASH}"), &slash),
        (format!("sha256//{SLASH}"), &slash),
        (format!("sha256//{BASE64_ABC}"), &plain),
        (SLASH.to_owned(), &slash),
    ] {
        assert_eq!(pins(&text), std::slice::from_ref(expected), "{text}");
    }
    for text in [
        // Curl's form without its padding is as long as OkHttp's.
        format!("sha256//{}", &BASE64_ABC[..43]),
        format!("sha256/{}", &SLASH[..43]),
        format!("sha256///{BASE64_ABC}"),
        format!("sha256///{SLASH}"),
    ] {
        assert!(parse_text(&text).is_err(), "{text}");
    }
}

#[test]
fn a_list_is_separated_by_semicolons() {
    let [a, b] = [BASE64_ABC, SLASH].map(|base64| format!("sha256/{base64}"));
    for text in [
        format!("sha256//{BASE64_ABC};sha256//{SLASH}"),
        format!("sha256//{BASE64_ABC} ; sha256/{SLASH}"),
        format!("pin-sha256=\"{BASE64_ABC}\"; pin-sha256=\"{SLASH}\""),
    ] {
        assert_eq!(pins(&text), [a.clone(), b.clone()], "{text}");
    }
    for text in [
        format!("sha256//{BASE64_ABC};"),
        format!(";sha256//{BASE64_ABC}"),
        format!("sha256//{BASE64_ABC};;sha256//{SLASH}"),
        format!("pin-sha256=\"{BASE64_ABC}\"; max-age=5184000"),
        format!("sha256//{BASE64_ABC},sha256//{SLASH}"),
    ] {
        assert!(parse_text(&text).is_err(), "{text}");
    }
}

/// Each text must be refused with this problem and this fix.
fn refuse<const N: usize>(table: [(String, &str, &str); N]) {
    for (text, problem, fix) in table {
        let error = parse_text(&text).expect_err(&text);
        assert!(error.problem.contains(problem), "{text}: {error}");
        assert!(error.fix.contains(fix), "{text}: {error}");
        assert_eq!(error.place, "");
    }
}

#[test]
fn a_digest_without_a_target_is_ambiguous() {
    let problem = "does not say whether";
    refuse([
        (HEX.to_owned(), problem, &format!("write `spki:sha256:{HEX}` or `cert:sha256:{HEX}`")),
        (HEX.to_uppercase(), problem, &format!("cert:sha256:{HEX}")),
        (format!("{HEX}{HEX}"), problem, &format!("cert:sha512:{HEX}{HEX}")),
        (format!("sha256:{HEX}"), problem, "cert:sha256:"),
        (format!("SHA256:{}", &BASE64_ABC[..43]), problem, "cert:sha256:"),
        (format!("sha512:{HEX}{HEX}"), problem, "spki:sha512:"),
    ]);
}

#[test]
fn a_broken_digest_is_refused_in_every_form() {
    let [sha1, md5] = [20, 16].map(|length| "ab".repeat(length));
    let [sha1_base64, md5_base64] = [20, 16].map(|length| BASE64.encode(&vec![1; length]));
    let sha1_texts = [
        sha1.clone(),
        sha1_base64.clone(),
        format!("sha1/{sha1_base64}"),
        format!("sha1:{sha1}"),
        format!("sha256/{sha1_base64}"),
        format!("pin-sha1=\"{sha1_base64}\""),
        format!("pin-sha256=\"{sha1_base64}\""),
        format!("spki:sha1:{sha1}"),
        format!("cert:sha256:{sha1}"),
        colons(&sha1),
        format!("SHA1 Fingerprint={}", colons(&sha1)),
        format!("3 1 1 {sha1}"),
    ];
    refuse(sha1_texts.map(|text| (text, "SHA-1 is broken", "SHA-256")));
    let md5_texts = [
        md5.clone(),
        md5_base64.clone(),
        format!("md5/{md5_base64}"),
        format!("cert:md5:{md5}"),
        colons(&md5),
        format!("MD5 Fingerprint={}", colons(&md5)),
    ];
    refuse(md5_texts.map(|text| (text, "MD5 is broken", "SHA-256")));
}

#[test]
fn another_algorithm_or_form_is_told_the_right_one() {
    let sha512 = BASE64.encode(&[0xab; 64]);
    let spki = format!("write `spki:sha512:{}`", "ab".repeat(64));
    refuse([
        (format!("spki:sha384:{}", "ab".repeat(48)), "no digest for a pin", "sha512"),
        (format!("spki:{HEX}"), "names no algorithm", "spki:sha256:HEX"),
        (format!("cert:{HEX}"), "names no algorithm", "cert:sha256:HEX"),
        (format!("sha512/{sha512}"), "no base64 form", &spki),
        (format!("sha512//{sha512}"), "no base64 form", &spki),
        (sha512.clone(), "no base64 form", &spki),
        ("sha512/x".to_owned(), "no base64 form", "spki:sha512:HEX"),
        (format!("sha256 Fingerprint={HEX}"), "not a fingerprint", "AA:BB"),
    ]);
}

#[test]
fn a_digest_of_another_length_is_refused() {
    let problems = ["has 0 bytes", "has 31 bytes", "has 32 bytes", "has 33 bytes"];
    let [none, short, of_sha256, long] = problems;
    refuse([
        ("sha256/".to_owned(), none, "whole"),
        ("sha256//".to_owned(), none, "whole"),
        ("spki:sha256:".to_owned(), none, "whole"),
        (format!("spki:sha256:{}", &HEX[2..]), short, "whole"),
        (colons(&HEX[2..]), short, "whole"),
        (format!("sha256/{}", BASE64.encode(&[1; 31])), short, "whole"),
        (BASE64.encode(&[1; 31]), short, "whole"),
        (format!("spki:sha512:{HEX}"), of_sha256, "whole"),
        (format!("sha512 Fingerprint={}", colons(HEX)), of_sha256, "whole"),
        (format!("cert:sha256:{HEX}ab"), long, "whole"),
    ]);
}

#[test]
fn a_digest_that_is_not_canonical_is_refused() {
    let unpadded = &BASE64_ABC[..43];
    let url_safe = BASE64_ABC.replace('+', "-").replace('/', "_");
    // The last character's two low bits belong to no byte (RFC 4648, section 3.5).
    let bits = BASE64_ABC.replace("0=", "1=");
    let base64 = "not canonical base64";
    refuse([
        (format!("sha256/{unpadded}"), base64, BASE64_ABC),
        (format!("sha256/{url_safe}"), base64, BASE64_ABC),
        (format!("sha256/{BASE64_ABC}="), base64, BASE64_ABC),
        (format!("pin-sha256=\"{unpadded}\""), base64, BASE64_ABC),
        (url_safe.clone(), base64, BASE64_ABC),
        (format!("sha256/{bits}"), base64, "44 characters"),
        (bits.clone(), base64, "44 characters"),
        (format!("sha256/ {BASE64_ABC}"), base64, "44 characters"),
        (format!("pin-sha256={BASE64_ABC}"), "without quotes", "pin-sha256=\""),
        (format!("pin-sha256=\"{BASE64_ABC}"), "without quotes", "pin-sha256=\""),
        (format!("spki:sha256:{}", &HEX[1..]), "not hexadecimal", "64 hexadecimal digits"),
        (format!("cert:sha256:{}", colons(HEX)), "not hexadecimal", "without colons"),
    ]);
}

#[test]
fn what_is_no_pin_is_refused() {
    for text in ["", " \n"] {
        refuse([(text.to_owned(), "the pin is empty", "sha256/")]);
    }
    for text in
        ["hello", "AA:BB:", "A:BB:CC", "AAA:B", "AA", "ｓha256/x", "=", " Fingerprint", "spki"]
    {
        refuse([(text.to_owned(), "is not a pin", "sha256/")]);
    }
    // As in a `integrity` attribute, which is of a file.
    refuse([(format!("sha256-{BASE64_ABC}"), "is not a pin", "sha256/")]);
}

#[test]
fn bare_base64_of_a_key_is_no_digest_and_a_secret_one_is_not_repeated() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let public = BASE64.encode(&rcgen::PublicKeyData::subject_public_key_info(&key));
    refuse([(public, "not its digest", "PEM")]);

    let secret = BASE64.encode(&key.serialize_der());
    for text in [secret.clone(), format!("{}\n{}", &secret[..40], &secret[40..])] {
        let error = parse_text(&text).unwrap_err();
        assert!(error.problem.contains("private key"), "{error}");
        assert!(!error.to_string().contains(&secret[..16]), "{error}");
    }
}

#[test]
fn pem_is_taken_for_what_it_is() {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(["a.example".to_owned()]).unwrap();
    let expected =
        Pin::of_spki(Algorithm::Sha256, &rcgen::PublicKeyData::subject_public_key_info(&key));
    let request = params.serialize_request(&key).unwrap().pem().unwrap();
    for pem in [key.public_key_pem(), request] {
        assert_eq!(pins(&pem), [expected.to_string()]);
    }

    let error = parse_text(&params.self_signed(&key).unwrap().pem()).unwrap_err();
    assert!(
        error.fix.contains("{ certificate }") && error.fix.contains("{ publicKey }"),
        "{error}"
    );

    let secret = key.serialize_pem();
    let error = parse_text(&secret).unwrap_err();
    assert!(error.problem.contains("private key"), "{error}");
    let body = secret.lines().nth(1).unwrap();
    assert!(!error.to_string().contains(&body[..16]), "the message must not repeat the key");
}

/// Any pin that can be written.
pub(in crate::pinning) fn any_pin() -> impl Strategy<Value = Pin> {
    let targets = prop_oneof![Just(Target::Spki), Just(Target::Certificate)];
    let algorithms = prop_oneof![Just(Algorithm::Sha256), Just(Algorithm::Sha512)];
    (targets, algorithms, any::<[u8; 64]>(), any::<bool>()).prop_map(
        |(target, algorithm, mut digest, slash)| {
            if slash {
                // Base64 that begins with `/`.
                digest[0] |= 0b1111_1100;
            }
            Pin::from_digest(target, algorithm, &digest[..algorithm.length()]).unwrap()
        },
    )
}

pub(in crate::pinning) fn any_rule() -> impl Strategy<Value = Rule> {
    let roles = prop_oneof![Just(Role::Any), Just(Role::Leaf), Just(Role::Ca)];
    (any_pin(), roles).prop_map(|(pin, role)| Rule { pin, role })
}

proptest! {
    #[test]
    fn the_canonical_text_parses_back(rule in any_rule()) {
        let pin = Rule { pin: rule.pin.clone(), role: Role::Any };
        prop_assert_eq!(parse_text(&rule.pin.to_string()), Ok(vec![pin]));
        prop_assert_eq!(parse_text(&rule.to_string()), Ok(vec![rule]));
    }

    #[test]
    fn all_forms_of_a_key_pin_agree(digest: [u8; 32], slash: bool) {
        let mut digest = digest;
        if slash {
            digest[0] |= 0b1111_1100;
        }
        let base64 = BASE64.encode(&digest);
        let expected = Pin::from_digest(Target::Spki, Algorithm::Sha256, &digest).map(anywhere);
        for text in [
            format!("sha256/{base64}"),
            format!("sha256//{base64}"),
            format!("pin-sha256=\"{base64}\""),
            base64,
        ] {
            prop_assert_eq!(parse_text(&text).ok(), expected.clone().map(|rule| vec![rule]));
        }
    }

    #[test]
    fn parsing_never_panics(
        text in ".*|(sha256|sha512|pin-sha256|spki|cert|md5)[:/= ]{0,2}[A-Za-z0-9+/=:;\"_-]{0,140}|[0-9 ]{0,9}(TLSA)?[0-9a-f ();\n]{0,80}|-----BEGIN .*",
    ) {
        let _ = parse_text(&text);
    }
}

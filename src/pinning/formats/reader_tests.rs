//! What each format's reader takes, and what it refuses.

use proptest::sample::subsequence;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;

use super::tests::{base64, pin, policy, read, request};
use super::*;
use crate::pinning::{Algorithm, Host, Pin};

/// `Pin.matchesHostname` of `OkHttp`, on text.
fn okhttp_matches(pattern: &str, host: &str) -> bool {
    if let Some(suffix) = pattern.strip_prefix("**.") {
        return host
            .strip_suffix(suffix)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    }
    match pattern.strip_prefix('*') {
        Some(suffix) => {
            host.strip_suffix(suffix).is_some_and(|label| !label.is_empty() && !label.contains('.'))
        }
        None => host == pattern,
    }
}

#[test]
fn a_host_has_the_pins_that_okhttp_finds_for_it() {
    const PATTERNS: [&str; 9] = [
        "a.test",
        "*.a.test",
        "**.a.test",
        "x.a.test",
        "*.x.a.test",
        "**.x.a.test",
        "**.b.x.a.test",
        "**.test",
        "192.0.2.7",
    ];
    const HOSTS: [&str; 9] = [
        "a.test",
        "x.a.test",
        "b.x.a.test",
        "y.a.test",
        "y.x.a.test",
        "c.b.x.a.test",
        "z.y.x.a.test",
        "test",
        "192.0.2.7",
    ];
    let mut runner = TestRunner::deterministic();
    for _ in 0..500 {
        let patterns =
            subsequence(PATTERNS.to_vec(), 1..=6).new_tree(&mut runner).unwrap().current();
        let calls: Vec<String> = patterns
            .iter()
            .map(|pattern| format!(".add({pattern:?}, {:?})", pin(pattern)))
            .collect();
        let (policy, losses) = read(&calls.join("\n"), Format::OkHttp, None);
        assert_eq!(losses, vec![]);
        for host in HOSTS {
            let mut expected: Vec<String> = patterns
                .iter()
                .filter(|pattern| okhttp_matches(pattern, host))
                .map(|pattern| pin(pattern))
                .collect();
            let entry = policy.entry(&Host::parse(host).unwrap(), 443);
            let mut found: Vec<String> = entry.map_or_else(Vec::new, |entry| {
                entry.rules().iter().map(ToString::to_string).collect()
            });
            expected.sort();
            found.sort();
            assert_eq!(found, expected, "{patterns:?} {host}");
        }
    }
}

#[test]
fn okhttp_is_read_in_kotlin_and_java() {
    let (a, b) = (pin("a"), pin("b"));
    let expected = Policy::from_json(&policy(&format!(r#""**.h.test": ["{a}", "{b}"]"#))).unwrap();
    for code in [
        format!(".add(\"**.h.test\", \"{a}\", \"{b}\")"),
        format!(".add(\"**.h.test\", \"{a}\")\n.add(\"**.H.test\", \"{b}\")"),
        format!(
            "/* .add(\"x.test\", \"{a}\") */ // .add(\"y.test\", \"{a}\")\nadd(\"**.h.test\", \"{a}\",\n \"{b}\",)"
        ),
        format!(
            "list.add(other);\nString s = \"\\\"\" + '\"';\nCertificatePinner p = new CertificatePinner.Builder()\n\
             .add(\"**.h.test\", \"{a}\", \"{b}\").build();\nlist.add(\"x\", \"y\");"
        ),
        format!(
            "val p = CertificatePinner.Builder().apply {{ add(\"**.h.test\", \"{a}\", \"\"\"{b}\"\"\") }}.build()"
        ),
    ] {
        assert_eq!(read(&code, Format::OkHttp, None).0, expected, "{code}");
    }
    for (code, problem) in [
        (String::new(), "no pins"),
        (".build()".to_owned(), "no pins"),
        (format!("/* a /* b */ .add(\"h.test\", \"{a}\") */"), "in a comment"),
        (format!(".add(HOST, \"{a}\")"), "not a string"),
        (".add(\"h.test\", PIN)".to_owned(), "not a string"),
        (format!(".add(\"$h.test\", \"{a}\")"), "not a string"),
        (format!(".add(\"h.\" + \"test\", \"{a}\")"), "not a string"),
        (format!(".add(\"h.test\", \"{a}\""), "not a string"),
        (format!(".add(\"h.test\" \"{a}\")"), "not a string"),
        (".add(\"h.test\")".to_owned(), "no pins"),
        (".add(\"h.test\", \"sha1/AAAAAAAAAAAAAAAAAAAAAAAAAAA=\")".to_owned(), "broken"),
        (format!(".add(\"h.test\", \"{}\")", base64("a")), "begin with"),
        (format!(".add(\"h.test:443\", \"{a}\")"), "no port"),
        (format!(".add(\"*.*.test\", \"{a}\")"), "wildcard"),
        (
            format!(
                "CertificatePinner.Builder().add(\"h.test\", \"{a}\").build() CertificatePinner.Builder()"
            ),
            "more than one",
        ),
        ("\"".to_owned(), "does not end"),
        ("/*".to_owned(), "does not end"),
    ] {
        let error =
            convert(&code, &request(Some(Format::OkHttp), Format::Policy, None)).expect_err(&code);
        assert!(error.problem.contains(problem), "{code}: {error}");
    }
}

fn assert_read(text: &str, from: Format, hosts: &str, notes: &[&str]) {
    let (found, losses) = read(text, from, Some("h.test"));
    let expected = Policy::from_json(&policy(hosts)).unwrap();
    assert_eq!(found.to_json()["hosts"], expected.to_json()["hosts"], "{text}");
    let losses: Vec<&str> = losses.iter().map(|loss| loss.message.as_str()).collect();
    assert_eq!(losses.len(), notes.len(), "{text}\n{losses:?}");
    for (loss, note) in losses.iter().zip(notes) {
        assert!(loss.contains(note), "{text}\n{losses:?}");
    }
}

#[test]
fn android_inherits_and_the_most_specific_domain_decides() {
    let pins = |names: &[&str]| -> String {
        let pin = |name: &&str| format!("<pin digest=\"SHA-256\"> {} </pin>", base64(name));
        names.iter().map(pin).collect::<Vec<_>>().concat()
    };
    let (a, b, ab) = (pin("a"), pin("b"), pins(&["a", "b"]));
    let text = format!(
        "<?xml version=\"1.0\"?>\n<network-security-config>
           <base-config cleartextTrafficPermitted=\"false\"><trust-anchors><certificates src=\"system\"/></trust-anchors></base-config>
           <!-- a comment -->
           <domain-config>
             <domain includeSubdomains=\"true\">H.test</domain><domain>k.test</domain>
             <domain-config><domain includeSubdomains=\"false\">in.h.test</domain></domain-config>
             <domain-config><domain>own.h.test</domain><pin-set expiration=\"2027-03-01\">{}</pin-set></domain-config>
             <domain-config><domain>free.h.test</domain><pin-set/></domain-config>
             <pin-set>{ab}</pin-set>
             <trust-anchors><certificates src=\"user\" overridePins=\"true\"/></trust-anchors>
           </domain-config>
           <domain-config><domain>plain.test</domain></domain-config>
           <debug-overrides/>
         </network-security-config>",
        pins(&["a"])
    );
    let hosts = format!(
        r#""**.h.test": ["{a}", "{b}"], "k.test": ["{a}", "{b}"], "in.h.test": ["{a}", "{b}"],
           "own.h.test": {{"pins": "{a}", "expires": "2027-03-01T00:00:00Z", "onExpiry": "allow"}}"#
    );
    let notes = [
        "option `ca`",
        "option `ca`",
        "overridePins",
        "debug-overrides",
        "falls under \"**.h.test\"",
    ];
    assert_read(&text, Format::Android, &hosts, &notes);
    let fragment =
        format!("<domain-config><domain>h.test</domain><pin-set>{ab}</pin-set></domain-config>");
    assert_read(&fragment, Format::Android, &format!(r#""h.test": ["{a}", "{b}"]"#), &[]);
    assert_read(
        &format!("<pin-set>{ab}</pin-set>"),
        Format::Android,
        &format!(r#""h.test": ["{a}", "{b}"]"#),
        &[],
    );
    let config =
        |inside: &str| format!("<network-security-config>{inside}</network-security-config>");
    let domain = |inside: &str| {
        config(&format!("<domain-config><domain>h.test</domain>{inside}</domain-config>"))
    };
    for (text, problem) in [
        (config(""), "no pins"),
        (domain(""), "no pins"),
        (domain("<pin-set/>"), "no pins"),
        (domain(&format!("<pin-set>{ab}</pin-set><pin-set/>")), "two <pin-set>s"),
        (domain(&format!("<domain>H.TEST.</domain><pin-set>{ab}</pin-set>")), "repeated"),
        (domain("<pin-set><pin digest=\"SHA-1\">AAAA</pin></pin-set>"), "no SHA-256"),
        (domain("<pin-set><pin>AAAA</pin></pin-set>"), "no SHA-256"),
        (domain("<pin-set><pin digest=\"SHA-256\">AAAA</pin></pin-set>"), "3 bytes"),
        (domain(&format!("<pin-set expiration=\"2027-3-1\">{ab}</pin-set>")), "not a date"),
        (domain(&format!("<pin-set expiration=\"2027-02-30\">{ab}</pin-set>")), "not a date"),
        (
            domain(&format!(
                "<domain includeSubdomains=\"yes\">x.test</domain><pin-set>{ab}</pin-set>"
            )),
            "includeSubdomains",
        ),
        (domain(&format!("<domain>*.x.test</domain><pin-set>{ab}</pin-set>")), "not a host"),
        (domain(&format!("<domain><b/>x.test</domain><pin-set>{ab}</pin-set>")), "stands in"),
        (config("<domain-config>"), "not XML"),
        ("<resources/>".to_owned(), "no network security configuration"),
        ("<!DOCTYPE x [<!ENTITY a \"h.test\">]><x>&a;</x>".to_owned(), "declares entities"),
        ("<x>&a;</x>".to_owned(), "not XML"),
    ] {
        let error =
            convert(&text, &request(Some(Format::Android), Format::Policy, None)).expect_err(&text);
        assert!(error.problem.contains(problem), "{text}: {error}");
    }
}

#[test]
fn trustkit_is_read_from_property_lists_and_json() {
    let (a, b) = (pin("a"), pin("b"));
    let hashes =
        format!("<array><string>{}</string><string>{}</string></array>", base64("a"), base64("b"));
    let inside = format!(
        "<key>TSKSwizzleNetworkDelegates</key><false/><key>TSKPinnedDomains</key><dict>
           <key>h.test</key><dict><key>TSKIncludeSubdomains</key><true/><key>TSKPublicKeyHashes</key>{hashes}
             <key>TSKEnforcePinning</key><false/><key>TSKExpirationDate</key><string>2027-03-01</string></dict>
           <key>k.test</key><dict><key>TSKPublicKeyHashes</key>{hashes}
             <key>TSKReportUris</key><array><string>https://r.test/</string></array><key>TSKDisableDefaultReportUri</key><true/></dict>
           <key>x.h.test</key><dict><key>kSKExcludeSubdomainFromParentPolicy</key><true/></dict>
         </dict>"
    );
    let hosts = format!(
        r#""**.h.test": {{"pins": ["{a}", "{b}"], "mode": "report", "expires": "2027-03-01T00:00:00Z", "onExpiry": "allow"}},
           "k.test": ["{a}", "{b}"]"#
    );
    let notes = ["https://r.test/", "falls under \"**.h.test\""];
    let plist = |inside: &str| {
        format!(
            "<?xml version=\"1.0\"?><!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"x.dtd\"><plist version=\"1.0\">{inside}</plist>"
        )
    };
    for text in [
        plist(&format!(
            "<dict><key>CFBundleName</key><string>App &amp; Co</string><key>N</key><integer>1</integer><key>TSKConfiguration</key><dict>{inside}</dict></dict>"
        )),
        plist(&format!("<dict>{inside}</dict>")),
        format!("<key>TSKConfiguration</key><dict>{inside}</dict>"),
    ] {
        assert_read(&text, Format::TrustKit, &hosts, &notes);
    }
    let bare = format!(
        r#"{{"h.test": {{"includeSubdomains": true, "publicKeyHashes": ["{}", "{}"]}}}}"#,
        base64("a"),
        base64("b")
    );
    assert_read(&bare, Format::TrustKitJson, &format!(r#""**.h.test": ["{a}", "{b}"]"#), &[]);
    let domains = |json: &str| format!(r#"{{"TSKPinnedDomains": {json}}}"#);
    for (text, problem) in [
        ("{}".to_owned(), "no `TSKPinnedDomains`"),
        (domains("{}"), "no pins"),
        (domains(r#"{"h.test": {}}"#), "no `TSKPublicKeyHashes`"),
        (domains(r#"{"h.test": {"TSKPublicKeyHashes": []}}"#), "no `TSKPublicKeyHashes`"),
        (domains(r#"{"h.test": {"TSKPublicKeyHashes": ["x"]}}"#), "base64"),
        (domains(r#"{"h.test": {"TSKPublicKeyHash": []}}"#), "unknown"),
        (
            domains(r#"{"h.test": {"TSKEnforcePinning": true, "TSKEnforcePinning": false}}"#),
            "repeated",
        ),
        (domains(r#"{"h.test": {"TSKEnforcePinning": "NO"}}"#), "expected"),
        (
            domains(&format!(
                r#"{{"h.test": {{"TSKPublicKeyHashes": ["{x}"]}}, "H.test": {{"TSKPublicKeyHashes": ["{x}"]}}}}"#,
                x = base64("a")
            )),
            "repeated",
        ),
        (r#"{"TSKPinnedDomains": {}, "TSKPinnedDomains": {}}"#.to_owned(), "repeated"),
        (plist("<dict><key>a</key></dict>"), "no value"),
        (plist("<dict><string>a</string></dict>"), "without a key"),
        (plist("<dict/><dict/>"), "one value"),
        (plist("<set/>"), "no part of a property list"),
        ("bplist00".to_owned(), "binary"),
        (plist(&format!("{}{}", "<array>".repeat(100), "</array>".repeat(100))), "too deeply"),
    ] {
        let error = convert(&text, &request(Some(Format::TrustKit), Format::Policy, None))
            .expect_err(&text);
        assert!(error.problem.contains(problem), "{text}: {error}");
    }
}

#[test]
fn apple_covers_one_label_and_wants_both_kinds_to_match() {
    let (a, b) = (pin("a"), pin("b"));
    let identity = |name: &str| format!(r#"[{{"SPKI-SHA256-BASE64": "{}"}}]"#, base64(name));
    let domains =
        |json: &str| format!(r#"{{"NSAppTransportSecurity": {{"NSPinnedDomains": {json}}}}}"#);
    let text = domains(&format!(
        r#"{{"h.test": {{"NSIncludesSubdomains": true, "NSPinnedCAIdentities": {}}}, "k.test": {{"NSPinnedLeafIdentities": {}}}}}"#,
        identity("a"),
        identity("b")
    ));
    assert_read(
        &text,
        Format::Apple,
        &format!(
            r#""h.test": {{"ca": "{a}"}}, "*.h.test": {{"ca": "{a}"}}, "k.test": {{"leaf": "{b}"}}"#
        ),
        &[],
    );
    let both = domains(&format!(
        r#"{{"h.test": {{"NSPinnedLeafIdentities": {}, "NSPinnedCAIdentities": {}}}}}"#,
        identity("a"),
        identity("b")
    ));
    assert_read(&both, Format::Apple, &format!(r#""h.test": {{"leaf": "{a}"}}"#), &["to match"]);
    assert!(read(&both, Format::Apple, None).1[0].looser);
    for (text, problem) in [
        (domains("{}"), "no pins"),
        (domains(r#"{"h.test": {}}"#), "no pins"),
        (domains(r#"{"h.test": {"NSPinnedLeafIdentities": ["x"]}}"#), "expected"),
        (domains(r#"{"h.test": {"NSPinnedLeafIdentities": [{}]}}"#), "no `SPKI"),
        (domains(r#"{"h.test": {"NSPinnedLeafIdentity": []}}"#), "unknown"),
        ("[]".to_owned(), "no `NSPinnedDomains`"),
    ] {
        let error =
            convert(&text, &request(Some(Format::Apple), Format::Policy, None)).expect_err(&text);
        assert!(error.problem.contains(problem), "{text}: {error}");
    }
}

#[test]
fn curl_pins_the_server_alone() {
    let (a, b) = (pin("a"), pin("b"));
    let pins = format!("sha256//{};sha256//{}", base64("a"), base64("b"));
    for text in [
        pins.clone(),
        format!("'{pins}'\n"),
        format!("curl -s --pinnedpubkey '{pins}' https://h.test/"),
        format!("--pinnedpubkey \\\n  \"{pins}\""),
    ] {
        assert_read(&text, Format::Curl, &format!(r#""h.test": {{"leaf": ["{a}", "{b}"]}}"#), &[]);
    }
    for (text, problem) in [
        ("", "does not begin"),
        ("key.pem", "does not begin"),
        ("sha256/AAAA", "does not begin"),
        ("sha256//AAAA", "3 bytes"),
        ("--pinnedpubkey a --pinnedpubkey b", "more than one"),
    ] {
        let error = convert(text, &request(Some(Format::Curl), Format::Policy, Some("h.test")))
            .expect_err(text);
        assert!(error.problem.contains(problem), "{text}: {error}");
    }
    let error = convert(&pins, &request(None, Format::Policy, None)).unwrap_err();
    assert!(error.problem.contains("names no host"), "{error}");
}

#[test]
fn hpkp_is_read_by_the_rules_of_its_rfc() {
    let (a, b) = (pin("a"), pin("b"));
    let pins = format!("pin-sha256=\"{}\"; pin-SHA256=\"{}\"", base64("a"), base64("b"));
    let any = format!(r#"["{a}", "{b}"]"#);
    for (text, hosts, notes) in [
        (
            format!("Public-Key-Pins: {pins}; max-age=60"),
            format!(r#""h.test": {any}"#),
            vec!["60 s"],
        ),
        (
            format!(
                "HTTP/1.1 200 OK\r\npublic-key-pins: max-age=\"60\" ;{pins};includesubdomains\r\nDate: x\r\n"
            ),
            format!(r#""**.h.test": {any}"#),
            vec!["60 s"],
        ),
        (
            format!("{pins}; max-age=60; report-uri=\"https://r.test/?a=1;b=2\"; x=y;"),
            format!(r#""h.test": {any}"#),
            vec!["r.test/?a=1;b=2", "\"x\" means nothing", "60 s"],
        ),
        (
            format!("Public-Key-Pins-Report-Only: {pins}"),
            format!(r#""h.test": {{"pins": {any}, "mode": "report"}}"#),
            vec![],
        ),
    ] {
        assert_read(&text, Format::Hpkp, &hosts, &notes);
    }
    for (text, problem) in [
        (pins.clone(), "no max-age"),
        (format!("{pins}; max-age=x"), "no max-age"),
        (format!("{pins}; max-age=0"), "forget"),
        (format!("{pins}; max-age=1; max-age=2"), "repeated"),
        ("max-age=1".to_owned(), "no pins"),
        ("pin-sha256=\"AAAA\"; max-age=1".to_owned(), "3 bytes"),
        ("pin-sha256=\"AAAA".to_owned(), "does not end"),
        ("pin-sha256=\"AAAA\" max-age=1".to_owned(), "3 bytes"),
        (format!("{pins} max-age=1"), "stands behind"),
        (
            format!("Public-Key-Pins: {pins}\nPublic-Key-Pins-Report-Only: {pins}"),
            "several headers",
        ),
    ] {
        let result = convert(&text, &request(Some(Format::Hpkp), Format::Policy, Some("h.test")));
        let error = result.expect_err(&text);
        assert!(error.problem.contains(problem) || problem == "3 bytes", "{text}: {error}");
    }
    for host in ["192.0.2.7", "*.h.test", "h.test:443"] {
        let error = convert(
            &format!("{pins}; max-age=1"),
            &request(Some(Format::Hpkp), Format::Policy, Some(host)),
        );
        assert!(error.unwrap_err().problem.contains("no header"), "{host}");
    }
}

#[test]
fn records_are_found_in_a_zone() {
    let (a, b) = (pin("a"), pin("b"));
    let hex = |name: &str| {
        data_encoding::HEXLOWER.encode(Pin::of_spki(Algorithm::Sha256, name.as_bytes()).digest())
    };
    let (hex_a, hex_b) = (hex("a"), hex("b"));
    let (half, rest) = hex_a.split_at(32);
    let text = format!(
        "$ORIGIN k.test.\n$TTL 3600\n@ IN SOA ns.k.test. admin.k.test. ( 1 2\n 3 4 5 ) ; a comment; TLSA\n\
         _443._tcp.H.test. 3600 IN TLSA 3 1 1 {hex_a}\n\
         \tIN TLSA 2 1 1 {hex_b}\n\
         _443._tcp.h.test. IN RRSIG TLSA 13 4 3600 20270101000000 20260101000000 1 h.test. AAAA==\n\
         www TXT \"TLSA ; (\"\n\
         *._tcp TLSA 0 1 1 ( {half} ; first\n  {rest} )\n\
         _25._tcp.mx IN TLSA 1 1 1 {hex_a}\n_25._tcp.mx IN TLSA 0 1 1 {hex_a}\n\
         _853._udp.h.test. IN TLSA 3 1 1 {hex_a}\n"
    );
    let hosts = format!(
        r#""h.test:443": {{"leaf": "{a}", "ca": "{b}"}}, "k.test": {{"ca": "{a}"}}, "mx.k.test:25": "{a}""#
    );
    assert_read(&text, Format::Tlsa, &hosts, &["not for TCP"]);
    assert_read(
        &format!("_443._tcp IN TLSA 3 1 1 {hex_a}"),
        Format::Tlsa,
        &format!(r#""h.test:443": {{"leaf": "{a}"}}"#),
        &[],
    );
    assert_read(
        &format!("TLSA 3 1 1 {hex_a}"),
        Format::Tlsa,
        &format!(r#""h.test": {{"leaf": "{a}"}}"#),
        &[],
    );
    assert_read(
        &format!("3 1 1 {half} {rest}\n2 1 1 {hex_b}\n"),
        Format::Tlsa,
        &format!(r#""h.test": {{"leaf": "{a}", "ca": "{b}"}}"#),
        &[],
    );
    for (text, problem) in [
        (String::new(), "no pins"),
        (format!("3 1 1 {hex_a}"), "not the owner"),
        (format!("_443._tcp.h.test IN TLSA 3 1 1 {hex_a}"), "relative"),
        (format!("h.test. IN TLSA 3 1 1 {hex_a}"), "not the owner"),
        (format!("_443._tcp.*.test. IN TLSA 3 1 1 {hex_a}"), "not a host"),
        (format!("*.test. IN TLSA 3 1 1 {hex_a}"), "not the owner"),
        (format!("_0._tcp.h.test. IN TLSA 3 1 1 {hex_a}"), "port"),
        ("_443._tcp.h.test. IN TLSA 3 1 1 abcd".to_owned(), "2 bytes"),
        ("_443._tcp.h.test. IN TLSA ( 3 1 1".to_owned(), "not closed"),
        (format!("TLSA 3 1 1 {hex_a}"), "not the owner"),
    ] {
        let result = convert(&text, &request(Some(Format::Tlsa), Format::Policy, None));
        let error = result.map(|found| panic!("{text}: {found:?}")).unwrap_err();
        assert!(error.problem.contains(problem), "{text}: {error}");
    }
}

use proptest::prelude::*;

use super::*;
use crate::pinning::{Algorithm, Pin};

const NOW: i64 = 1_800_000_000;

/// Different names give different pins.
fn pin(name: &str) -> String {
    Pin::of_spki(Algorithm::Sha256, name.as_bytes()).to_string()
}

fn host(text: &str) -> Host {
    Host::parse(text).unwrap()
}

fn policy(json: &str) -> Policy {
    Policy::from_json(json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

/// A policy with these patterns.
fn listing(patterns: &[&str]) -> Policy {
    let members: Vec<String> =
        patterns.iter().map(|p| format!("\"{p}\": \"{}\"", pin(p))).collect();
    policy(&format!("{{ {} }}", members.join(", ")))
}

fn applies(policy: &Policy, name: &str, port: u16) -> Option<String> {
    Some(policy.entry(&host(name), port)?.pattern()?.to_string())
}

#[test]
fn a_port_that_is_not_known_may_be_any_that_has_an_entry_of_its_own() {
    for (patterns, expected) in [
        (["a.test", "b.test"].as_slice(), [443].as_slice()),
        (&["a.test:443", "b.test"], &[443]),
        (&["a.test:8443", "b.test"], &[8443]),
        (&["a.test:8443", "a.test:1", "b.test:2"], &[1, 8443]),
        (&["a.test", "a.test:8443"], &[443, 8443]),
        (&["a.test", "a.test:443"], &[443, 1]),
        (&["*.test", "a.test:443", "a.test:1", "*.test:2"], &[443, 3, 2, 1]),
        (&["b.test"], &[443]),
    ] {
        assert_eq!(listing(patterns).ports_of(&host("a.test")), expected, "{patterns:?}");
    }
    let bare = policy(&format!("\"{}\"", pin("a")));
    assert_eq!(bare.ports_of(&host("a.test")), [443]);
}

#[test]
fn a_port_is_named_by_the_entry_that_applies() {
    let policy = listing(&["a.test", "a.test:8443", "*.test:1"]);
    for (port, named) in [(443, false), (8443, true), (1, false)] {
        assert_eq!(policy.names_port(&host("a.test"), port), named, "{port}");
    }
}

#[test]
fn the_most_specific_entry_alone_applies() {
    // From the most specific to the least, for a.b.example.com:443.
    let patterns = [
        "a.b.example.com:443",
        "a.b.example.com",
        "*.b.example.com:443",
        "*.b.example.com",
        "**.a.b.example.com:443",
        "**.a.b.example.com",
        "**.b.example.com:443",
        "**.b.example.com",
        "**.example.com:443",
        "**.example.com",
        "**.com:443",
        "**.com",
    ];
    for (at, expected) in patterns.iter().enumerate() {
        let mut rest = patterns[at..].to_vec();
        // Neither the order of the text nor entries for others matter.
        rest.reverse();
        rest.extend([
            "a.b.example.com:8443",
            "*.b.example.com:1",
            "*.example.com",
            "**.x.example.com",
        ]);
        let policy = listing(&rest);
        assert_eq!(applies(&policy, "a.b.example.com", 443).as_deref(), Some(*expected));
    }
    assert_eq!(applies(&listing(&["*.example.com", "**.com:1"]), "a.b.example.com", 443), None);
}

#[test]
fn an_entry_is_for_its_hosts_only() {
    let policy = listing(&[
        "api.example.com:8443",
        "*.example.com",
        "**.internal",
        "192.0.2.7",
        "[2001:db8::1]:443",
    ]);
    for (name, port, expected) in [
        ("API.example.com.", 8443, Some("api.example.com:8443")),
        ("api.example.com", 443, Some("*.example.com")),
        ("example.com", 443, None),
        ("a.b.example.com", 443, None),
        ("internal", 443, Some("**.internal")),
        ("a.b.internal", 443, Some("**.internal")),
        ("notinternal", 443, None),
        ("192.0.2.7", 1, Some("192.0.2.7")),
        ("192.0.2.8", 443, None),
        ("2001:db8:0::1", 443, Some("[2001:db8::1]:443")),
        ("2001:db8::1", 444, None),
    ] {
        assert_eq!(applies(&policy, name, port).as_deref(), expected, "{name}:{port}");
    }
}

#[test]
fn an_unlisted_host_is_refused_unless_the_policy_says_otherwise() {
    let unlisted = |word: &str| {
        let unlisted =
            if word.is_empty() { String::new() } else { format!(r#""unlisted": "{word}","#) };
        let json = format!(r#"{{ {unlisted} "hosts": {{ "a.example": "{}" }} }}"#, pin("a"));
        policy(&json).decide(&host("b.example"), 443, NOW)
    };
    assert_eq!(unlisted(""), Err(Refusal::Unlisted));
    assert_eq!(unlisted("deny"), Err(Refusal::Unlisted));
    assert_eq!(unlisted("allow"), Ok(Decision::Unpinned(None)));
    assert_eq!(unlisted("report"), Ok(Decision::Unpinned(Some(Unenforced::Unlisted))));
    assert_eq!(
        listing(&["a.example"]).decide(&host("b.example"), 443, NOW),
        Err(Refusal::Unlisted)
    );
}

#[test]
fn an_expired_entry_is_refused_unless_it_says_otherwise() {
    let at = "2027-01-15T08:00:00Z";
    assert_eq!(super::super::time::parse(at), Ok(NOW));
    for (rest, refused) in [
        ("", true),
        (r#", "onExpiry": "deny""#, true),
        (r#", "mode": "enforce""#, true),
        (r#", "onExpiry": "allow""#, false),
        (r#", "mode": "report""#, false),
    ] {
        let json =
            format!(r#"{{ "a.example": {{ "pins": "{}", "expires": "{at}"{rest} }} }}"#, pin("a"));
        let policy = policy(&json);
        let host = host("a.example");
        let entry = policy.entry(&host, 443).unwrap().clone();
        let pinned = Ok(Decision::Pinned(entry.clone()));
        assert_eq!(policy.decide(&host, 443, NOW - 1), pinned, "{rest}");
        let expected = if refused {
            Err(Refusal::Expired(entry))
        } else {
            Ok(Decision::Unpinned(Some(Unenforced::Expired(entry))))
        };
        for now in [NOW, NOW + 1, i64::MAX] {
            assert_eq!(policy.decide(&host, 443, now), expected, "{rest}");
        }
    }
}

#[test]
fn an_expired_policy_refuses_every_host_whatever_it_said() {
    let lenient = r#""mode": "report", "onExpiry": "allow""#;
    let json = format!(
        r#"{{ "unlisted": "allow", "expires": "2027-01-15T08:00:00Z", "hosts": {{
            "a.example": {{ "pins": "{}", "expires": "2027-01-01T00:00:00Z", {lenient} }},
            "b.example": {{ "pins": "{}", "expires": "2027-02-01T00:00:00Z", {lenient} }} }} }}"#,
        pin("a"),
        pin("b"),
    );
    let policy = policy(&json);
    for (name, expires) in [("a.example", NOW - 1_238_400), ("b.example", NOW), ("c.example", NOW)]
    {
        assert!(policy.decide(&host(name), 443, NOW - 1).is_ok(), "{name}");
        for now in [NOW, i64::MAX] {
            assert_eq!(policy.decide(&host(name), 443, now), Err(Refusal::PolicyExpired(NOW)));
        }
        assert_eq!(policy.expires_for(&host(name), 443), Some(expires), "{name}");
    }
}

#[test]
fn an_expired_entry_is_not_replaced_by_a_less_specific_one() {
    let expired = format!(r#"{{ "pins": "{}", "expires": "2020-01-01T00:00:00Z" }}"#, pin("a"));
    let policy =
        policy(&format!(r#"{{ "a.example.com": {expired}, "*.example.com": "{}" }}"#, pin("b")));
    assert!(matches!(policy.decide(&host("a.example.com"), 443, NOW), Err(Refusal::Expired(_))));
}

#[test]
fn a_bare_list_is_for_every_host() {
    for json in [format!("\"{}\"", pin("a")), format!("[\"{}\"]", pin("a"))] {
        let policy = policy(&json);
        assert!(policy.is_bare());
        for name in ["a.example", "192.0.2.7", "::1"] {
            let decision = policy.decide(&host(name), 443, NOW);
            assert!(matches!(decision, Ok(Decision::Pinned(entry)) if entry.pattern().is_none()));
        }
    }
    assert!(!listing(&["a.example"]).is_bare());
}

#[test]
fn ten_thousand_hosts_load_and_are_found() {
    let hosts: Vec<String> = (0..10_000)
        .map(|n| {
            let pins: Vec<String> =
                (0..10).map(|k| format!("\"{}\"", pin(&format!("{n} {k}")))).collect();
            let prefix = ["", "*.", "**."][n % 3];
            format!("\"{prefix}h{n}.example\": [{}]", pins.join(","))
        })
        .collect();
    let policy = policy(&format!(r#"{{ "version": 1, "hosts": {{ {} }} }}"#, hosts.join(",")));
    assert_eq!(policy.entries().len(), 10_000);
    for n in 0..10_000 {
        let name =
            [format!("h{n}.example"), format!("x.h{n}.example"), format!("x.y.h{n}.example")];
        let entry = policy.entry(&host(&name[n % 3]), 443).unwrap();
        let expected: Vec<String> = (0..10).map(|k| pin(&format!("{n} {k}"))).collect();
        let found: Vec<String> = entry.rules().iter().map(ToString::to_string).collect();
        assert_eq!(found, expected);
    }
    assert_eq!(policy.entry(&host("h10000.example"), 443), None);
}

/// A few names, so that patterns and hosts meet.
fn name() -> impl Strategy<Value = String> {
    "[ab](\\.[ab]){0,3}"
}

fn pattern() -> impl Strategy<Value = String> {
    let port = prop_oneof![Just(""), Just(":1"), Just(":2")];
    let front = prop_oneof![Just(""), Just("*."), Just("**.")];
    (front, name(), port).prop_map(|(front, name, port)| format!("{front}{name}{port}"))
}

proptest! {
    /// The table agrees with the patterns themselves.
    #[test]
    fn a_lookup_finds_what_matches(
        patterns in proptest::collection::hash_set(pattern(), 1..12),
        name in name(),
        port in 1..=3u16,
    ) {
        let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
        let policy = listing(&patterns);
        let host = host(&name);
        let matching = policy.entries().iter().filter(|entry| {
            entry.pattern().is_some_and(|pattern| pattern.matches(&host, port))
        });
        // Exact, one label, subtree; then the longest; then the one with a port.
        let rank = |entry: &&Arc<Entry>| {
            let text = entry.pattern().map(ToString::to_string).unwrap_or_default();
            let name = text.trim_start_matches("*.").trim_start_matches('*').to_owned();
            let kind = [text.starts_with("**"), text.starts_with("*."), true];
            let kind = kind.iter().position(|is| *is);
            let bare = name.split(':').next().map(str::len);
            (kind, bare, text.contains(':'))
        };
        prop_assert_eq!(policy.entry(&host, port), matching.max_by_key(rank));
    }
}

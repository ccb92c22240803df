use proptest::prelude::*;

use serde_json::json;

use super::super::text::tests::any_rule;
use super::*;
use crate::pinning::{Host, Pin};

const A: &str = "sha256/ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
const B: &str = "sha256//ngWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";
const HEX: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn rules(entry: &Entry) -> Vec<String> {
    entry.rules().iter().map(ToString::to_string).collect()
}

#[test]
fn a_whole_policy_is_read() {
    let policy = parse(&format!(
        r#"{{
            "$schema": "./policy.schema.json",
            "version": 1,
            "unlisted": "report",
            "hosts": {{
                "API.example.com": {{
                    "leaf": ["{A}"],
                    "pins": ["{B}", "3 1 1 {HEX}"],
                    "ca": "cert:sha256:{HEX}",
                    "expires": "2027-03-01T01:00:00+01:00",
                    "onExpiry": "allow",
                    "mode": "report"
                }},
                "*.example.com": ["{A};{B}"],
                "**.example.com": "{A}"
            }}
        }}"#
    ))
    .unwrap();
    assert_eq!(policy.unlisted, Unlisted::Report);
    let [subtree, one_label, api] = policy.entries() else { panic!("{policy:?}") };
    assert_eq!(rules(subtree), [A]);
    assert_eq!(rules(one_label), [A, B]);
    let leaf = format!("3 1 1 {HEX}");
    // By role: any, leaf (the TLSA record is one), ca.
    assert_eq!(rules(api), [B, &leaf, &leaf, &format!("2 0 1 {HEX}")]);
    assert_eq!(api.pattern().map(ToString::to_string).as_deref(), Some("api.example.com"));
    assert_eq!(api.expires(), Some(1_803_859_200));
    assert_eq!((api.on_expiry(), api.mode()), (OnExpiry::Allow, Mode::Report));
    assert_eq!((subtree.on_expiry(), subtree.mode()), (OnExpiry::Deny, Mode::Enforce));

    let canonical = json!({
        "version": 1,
        "unlisted": "report",
        "hosts": {
            "api.example.com": {
                "pins": [B],
                "leaf": [A, A],
                "ca": [format!("cert:sha256:{HEX}")],
                "expires": "2027-03-01T00:00:00Z",
                "onExpiry": "allow",
                "mode": "report",
            },
            "*.example.com": { "pins": [A, B] },
            "**.example.com": { "pins": [A] },
        },
    });
    assert_eq!(policy.to_json(), canonical);
    assert_eq!(parse(&canonical.to_string()), Ok(policy));
}

#[test]
fn a_bare_list_keeps_its_roles() {
    for (json, canonical) in [
        (json!(A), json!([A])),
        (json!([A, B]), json!([A, B])),
        (json!(format!("{A};{B}")), json!([A, B])),
        (json!([format!("1 1 1 {HEX}"), B]), json!([B, format!("3 1 1 {HEX}")])),
    ] {
        let policy = parse(&json.to_string()).unwrap();
        assert!(policy.is_bare());
        assert_eq!(policy.to_json(), canonical);
        assert_eq!(parse(&canonical.to_string()), Ok(policy));
    }
}

#[test]
fn a_shorthand_is_a_policy() {
    let shorthand = parse(&json!({ "a.example": A, "b.example": { "leaf": [A] } }).to_string());
    let hosts = json!({ "a.example": [A], "b.example": { "leaf": A } });
    assert_eq!(shorthand, parse(&json!({ "hosts": hosts }).to_string()));
    assert_eq!(shorthand, parse(&json!({ "version": 1, "hosts": hosts }).to_string()));
    let names = ["b.example", "a.example"].map(|name| Host::parse(name).unwrap());
    assert!(names.iter().all(|name| shorthand.as_ref().unwrap().entry(name, 443).is_some()));
}

/// A text, the place of its error and the problem, one a line. A and B are pins, HEX and SHA1
/// digests.
const REFUSED: &str = r#"
null  =>  pins  =>  null stands where a pin
1  =>  pins  =>  a number stands where a pin
-1.5  =>  pins  =>  a number stands where a pin
true  =>  pins  =>  a boolean stands where a pin
[]  =>  pins  =>  list of pins is empty
""  =>  pins  =>  empty
{}  =>  pins  =>  lists no hosts
{"version": 1}  =>    =>  no `hosts`
{"version": 2, "hosts": {"a.example": "A"}}  =>  version  =>  not known
{"version": 1.0, "hosts": {"a.example": "A"}}  =>  version  =>  not known
{"version": "1", "hosts": {"a.example": "A"}}  =>  version  =>  a string stands where
{"hosts": []}  =>  hosts  =>  an array stands where
{"hosts": null}  =>  hosts  =>  null stands where
{"hosts": {}}  =>  hosts  =>  lists no hosts
{"hosts": {"a.example": "A"}, "unlisted": "no"}  =>  unlisted  =>  "no" is unknown
{"hosts": {"a.example": "A"}, "unlisted": "Deny"}  =>  unlisted  =>  unknown
{"hosts": {"a.example": "A"}, "unlisted": false}  =>  unlisted  =>  a boolean stands
{"hosts": {"a.example": "A"}, "$schema": 1}  =>  $schema  =>  a number stands
{"hosts": {"a.example": "A"}, "unlistd": "deny"}  =>    =>  the key "unlistd" is unknown
{"hosts": {"a.example": "A"}, "version": 1, "version": 1}  =>    =>  `version` is repeated
{"hosts": {"a.example": "A"}, "hosts": {}}  =>    =>  `hosts` is repeated
{"hosts": {"a.example": "A"}, "\u0068osts": {}}  =>    =>  `hosts` is repeated
{"hosts": {"a.example": "A"}, "expires": "2027-03-01"}  =>  expires  =>  RFC 3339
{"hosts": {"a.example": "A"}, "expires": 1803859200}  =>  expires  =>  a number
{"a.example": "A", "expires": "2027-03-01T00:00:00Z"}  =>  pins["expires"]  =>  not a pin
{"hosts": {"https://a.example": "A"}}  =>  hosts["https://a.example"]  =>  is a URL
{"hosts": {"": "A"}}  =>  hosts[""]  =>  empty
{"a..example": "A"}  =>  pins["a..example"]  =>  empty label
{"a.example": "A", "a.example": "A"}  =>  pins["a.example"]  =>  `a.example` is repeated
{"a.example": "A", "A.example.": "A"}  =>  pins["A.example."]  =>  `a.example` is repeated
{"*.ä.example": "A", "*.xn--4ca.example": "A"}  =>  pins["*.xn--4ca.example"]  =>  repeated
{"[::1]:1": "A", "[0::1]:1": "A"}  =>  pins["[0::1]:1"]  =>  `[::1]:1` is repeated
{"$schema": "x", "a.example": "A"}  =>  pins["$schema"]  =>  not a host
["A", "B", "x"]  =>  pins[2]  =>  not a pin
["A", ["B"]]  =>  pins[1]  =>  an array stands where a pin
["A", null]  =>  pins[1]  =>  null stands where a pin
[{"pins": ["A"]}]  =>  pins[0]  =>  an object stands where a pin
{"a.example": "x"}  =>  pins["a.example"]  =>  not a pin
{"a.example": ["A", "x"]}  =>  pins["a.example"][1]  =>  not a pin
{"a.example": []}  =>  pins["a.example"]  =>  list of pins is empty
{"a.example": null}  =>  pins["a.example"]  =>  null stands where a pin
{"a.example": 1}  =>  pins["a.example"]  =>  a number stands where a pin
{"hosts": {"a.example": ["A", "HEX"]}}  =>  hosts["a.example"][1]  =>  does not say
{"hosts": {"a.example": {"pins": ["A", "B", "SHA1"]}}}  =>  hosts["a.example"].pins[2]  =>  SHA-1
{"hosts": {"a.example": {"leaf": "x"}}}  =>  hosts["a.example"].leaf  =>  not a pin
{"a.example": {"ca": ["A", "3 1 1 HEX"]}}  =>  pins["a.example"].ca[1]  =>  contradicts
{"a.example": {"leaf": ["2 1 1 HEX"]}}  =>  pins["a.example"].leaf[0]  =>  contradicts
{"a.example": {}}  =>  pins["a.example"]  =>  the entry has no pins
{"a.example": {"mode": "report"}}  =>  pins["a.example"]  =>  the entry has no pins
{"a.example": {"pins": []}}  =>  pins["a.example"].pins  =>  empty
{"a.example": {"pins": "A", "leaf": []}}  =>  pins["a.example"].leaf  =>  empty
{"a.example": {"pins": "A", "ca": {}}}  =>  pins["a.example"].ca  =>  an object stands
{"a.example": {"pins": "A", "pin": "A"}}  =>  pins["a.example"]  =>  the key "pin" is unknown
{"a.example": {"pins": "A", "pins": "A"}}  =>  pins["a.example"]  =>  `pins` is repeated
{"a.example": {"pins": "A", "mode": "off"}}  =>  pins["a.example"].mode  =>  unknown
{"a.example": {"pins": "A", "mode": null}}  =>  pins["a.example"].mode  =>  null stands
{"a.example": {"pins": "A", "onExpiry": "report"}}  =>  pins["a.example"].onExpiry  =>  unknown
{"a.example": {"pins": "A", "expires": 1803859200}}  =>  pins["a.example"].expires  =>  a number
{"a.example": {"pins": "A", "expires": null}}  =>  pins["a.example"].expires  =>  null
{"a.example": {"pins": "A", "expires": "2027-03-01"}}  =>  pins["a.example"].expires  =>  RFC 3339
"#;

#[test]
fn what_is_not_a_policy_is_refused_at_its_place() {
    let rows: Vec<Vec<&str>> =
        REFUSED.trim().lines().map(|row| row.split("  =>  ").collect()).collect();
    assert_eq!(rows.len(), 60);
    for row in rows {
        let [text, place, problem] = row[..] else { panic!("{row:?}") };
        let text = text
            .replace("\"A\"", &format!("\"{A}\""))
            .replace("\"B\"", &format!("\"{B}\""))
            .replace("SHA1", &"ab".repeat(20))
            .replace("HEX", HEX);
        let error = parse(&text).expect_err(&text);
        assert_eq!(error.place, place, "{text}: {error}");
        assert!(error.problem.contains(problem), "{text}: {error}");
        assert!(!error.fix.is_empty(), "{text}");
    }
}

#[test]
fn what_is_not_exactly_json_is_refused() {
    let pins = format!("[\"{A}\"]");
    assert!(parse(&format!(" {pins}\n")).is_ok());
    for text in [
        format!("\u{feff}{pins}"),
        format!("// comment\n{pins}"),
        format!("{pins} {pins}"),
        format!("{pins},"),
        pins.replace(']', ",]"),
        pins.replace('"', "'"),
        pins.replace(']', ""),
        r#"["\ud800"]"#.to_owned(),
        String::new(),
    ] {
        let error = parse(&text).expect_err(&text);
        assert!(error.problem.contains("is not JSON"), "{text}: {error}");
    }
}

#[test]
fn a_misspelled_key_is_told_its_right_name() {
    for (key, fix) in [
        ("pin", "write `pins`"),
        ("Leaf", "write `leaf`"),
        ("onexpiry", "write `onExpiry`"),
        ("expire", "write `expires`"),
        ("modus", "write `mode`"),
        ("sha256", "write `pins`, `leaf`, `ca`, `expires`, `onExpiry` or `mode`"),
    ] {
        let json = json!({ "a.example": { "pins": A, key: 1 } });
        assert_eq!(parse(&json.to_string()).unwrap_err().fix, fix, "{key}");
    }
    let long = json!({ "hosts": { "a.example": A }, "x".repeat(100_000): 1 });
    assert!(parse(&long.to_string()).unwrap_err().to_string().len() < 400);
}

#[test]
fn deep_nesting_is_an_error_and_no_overflow() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        for depth in [200, 200_000] {
            let text = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            assert!(parse(&text).unwrap_err().problem.contains("recursion limit"));
            assert!(parse(&open.repeat(depth)).is_err());
        }
    }
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let expires = proptest::option::of(-62_167_219_200..=253_402_300_799i64);
    let on_expiry = prop_oneof![Just(OnExpiry::Deny), Just(OnExpiry::Allow)];
    let mode = prop_oneof![Just(Mode::Enforce), Just(Mode::Report)];
    let rules = proptest::collection::vec(any_rule(), 1..6);
    (rules, expires, on_expiry, mode).prop_map(|(rules, expires, on_expiry, mode)| Entry {
        expires,
        on_expiry,
        mode,
        ..entry_of(rules)
    })
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let pattern = "(\\*{1,2}\\.)?[a-z]{1,3}(\\.[a-z]{1,3}){0,2}(:[1-9])?";
    let entries = proptest::collection::btree_map(pattern, any_entry(), 1..6);
    let unlisted = prop_oneof![Just(Unlisted::Deny), Just(Unlisted::Allow), Just(Unlisted::Report)];
    let expires = proptest::option::of(-62_167_219_200..=253_402_300_799i64);
    (entries, unlisted, expires).prop_map(|(members, unlisted, expires)| {
        let mut table = Table::default();
        let mut entries = Vec::new();
        for (key, entry) in members {
            let pattern = Pattern::parse(&key).unwrap();
            let entry = Arc::new(Entry { pattern: Some(pattern.clone()), ..entry });
            table.insert(&pattern, entry.clone());
            entries.push(entry);
        }
        Policy { unlisted, expires, hosts: Hosts::Listed { entries, table } }
    })
}

proptest! {
    #[test]
    fn a_policy_parses_back(policy in any_policy()) {
        prop_assert_eq!(Policy::from_json(&policy.to_json().to_string()), Ok(policy));
    }

    #[test]
    fn a_bare_list_parses_back(rules in proptest::collection::vec(any_rule(), 1..6)) {
        let policy =
            Policy { unlisted: Unlisted::Deny, expires: None, hosts: Hosts::Every(Arc::new(entry_of(rules))) };
        prop_assert_eq!(Policy::from_json(&policy.to_json().to_string()), Ok(policy));
    }

    #[test]
    fn parsing_never_panics(
        text in ".*|[\\[\\]{}\":,a-z0-9.*/\\\\ ]{0,60}|\\{\"(hosts|version|a.b)\":[\\[\\]{}\":,a-z0-9]{0,40}\\}",
    ) {
        let _ = Policy::from_json(&text);
    }
}

#[test]
fn a_digest_that_begins_with_a_slash_survives() {
    let policy = parse(&json!([B]).to_string()).unwrap();
    let pins: Vec<&Pin> = policy.entries().iter().flat_map(|e| e.rules()).map(|r| &r.pin).collect();
    assert_eq!(pins.len(), 1);
    assert_eq!(pins[0].to_string(), B);
}

//! What a conversion keeps, and what it says that it loses.

use std::collections::HashMap;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::*;
use crate::pinning::{Algorithm, Pin};

/// The pin of a key; different names give different pins.
pub(super) fn pin(name: &str) -> String {
    Pin::of_spki(Algorithm::Sha256, name.as_bytes()).to_string()
}

pub(super) fn base64(name: &str) -> String {
    pin(name).split_off("sha256/".len())
}

pub(super) fn request(from: Option<Format>, to: Format, host: Option<&str>) -> Request<'_> {
    Request { from, to, host, role: None, unlisted: None, port: None }
}

fn converted(text: &str, request: &Request<'_>) -> Conversion {
    convert(text, request).unwrap_or_else(|error| panic!("{text}\n{error}"))
}

/// A text in another format as a policy, and the losses.
pub(super) fn read(text: &str, from: Format, host: Option<&str>) -> (Policy, Vec<Loss>) {
    let Conversion { text: policy, losses, .. } =
        converted(text, &request(Some(from), Format::Policy, host));
    let policy = policy.unwrap_or_else(|| panic!("nothing of {text}"));
    (Policy::from_json(&policy).unwrap(), losses)
}

/// `hosts` with unlisted hosts allowed, as most formats have it.
pub(super) fn policy(hosts: &str) -> String {
    format!(r#"{{"unlisted": "allow", "hosts": {{{hosts}}}}}"#)
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_a_format_cannot_say_is_told_and_which_way_it_errs() {
    use Format::{Android, Apple, Curl, Hpkp, OkHttp, Tlsa, TrustKit};
    let (a, b, c) = (pin("a"), pin("b"), pin("c"));
    let (sha512, cert) =
        (format!("spki:sha512:{}", "1".repeat(128)), format!("cert:sha256:{}", "2".repeat(64)));
    let any = format!(r#"["{a}", "{b}"]"#);
    let lists = [OkHttp, TrustKit, Android];
    let (looser, note) = (true, false);
    // Each row: the hosts, the formats, and one loss of those that there must be.
    let rows: Vec<(String, Vec<Format>, bool, &str)> = vec![
        (
            format!(r#""h.test": ["{a}", "{b}", "{sha512}"]"#),
            vec![OkHttp, TrustKit, Android, Hpkp, Curl],
            note,
            "would not accept spki:sha512:",
        ),
        (
            format!(r#""h.test": ["{a}", "{b}", "{cert}"]"#),
            vec![OkHttp, TrustKit, Android, Hpkp, Curl],
            note,
            "would not accept cert:sha256:",
        ),
        (
            format!(r#""h.test": {any}, "i.test": "{cert}""#),
            lists.to_vec(),
            looser,
            "would not pin it",
        ),
        (
            format!(r#""h.test": {{"leaf": {any}}}"#),
            vec![OkHttp, TrustKit, Android, Hpkp],
            looser,
            "as the key of an issuer too",
        ),
        (
            format!(r#""h.test": {{"ca": {any}}}"#),
            vec![OkHttp, TrustKit, Android, Hpkp],
            looser,
            "as the server's own key too",
        ),
        (format!(r#""h.test": {any}"#), vec![Curl], note, "would not accept sha256/"),
        (
            format!(r#""h.test": {{"leaf": "{a}", "ca": "{b}"}}"#),
            vec![Apple, Curl],
            note,
            "would not accept sha256/",
        ),
        (
            format!(r#""*.h.test": {any}"#),
            vec![TrustKit, Android, Hpkp],
            note,
            "would pin h.test and names further below h.test too",
        ),
        (format!(r#""*.h.test": {{"leaf": {any}}}"#), vec![Apple], note, "would pin h.test too"),
        (
            format!(r#""**.h.test": {{"ca": {any}}}"#),
            vec![Apple],
            looser,
            "would not pin names further below h.test",
        ),
        (format!(r#""*.h.test": {any}, "k.test": {any}"#), vec![Tlsa], looser, "would not pin it"),
        (format!(r#""**.h.test": {any}, "k.test": {any}"#), vec![Tlsa], looser, "would not pin it"),
        (
            format!(r#""*.h.test": {any}, "h.test": ["{a}", "{c}"]"#),
            vec![TrustKit, Android],
            looser,
            "would accept sha256/",
        ),
        (
            format!(r#""**.h.test": {any}, "h.test": ["{a}", "{c}"]"#),
            vec![TrustKit, Android],
            looser,
            "would accept sha256/",
        ),
        (
            format!(r#""**.h.test": {any}, "i.h.test": ["{a}", "{c}"]"#),
            vec![OkHttp],
            looser,
            "would accept sha256/",
        ),
        (
            format!(r#""h.test:8443": {any}"#),
            vec![OkHttp, TrustKit, Android, Hpkp],
            note,
            "would pin h.test on other ports too",
        ),
        (
            format!(r#""h.test:8443": {any}, "h.test": ["{a}", "{c}"]"#),
            lists.to_vec(),
            looser,
            "would accept sha256/",
        ),
        (
            format!(r#""192.0.2.7": {any}, "k.test": {any}"#),
            vec![TrustKit, Tlsa],
            looser,
            "would not pin it",
        ),
        (
            format!(r#""192.0.2.7": {{"ca": {any}}}, "k.test": {{"ca": {any}}}"#),
            vec![Apple],
            looser,
            "would not pin it",
        ),
        (
            format!(r#""[2001:db8::1]": {any}, "k.test": {any}"#),
            vec![TrustKit, Android, Tlsa],
            looser,
            "would not pin it",
        ),
        (
            format!(r#""h.test": {{"pins": {any}, "expires": "2027-03-01T00:00:00Z"}}"#),
            vec![OkHttp, TrustKit, Android, Hpkp, Tlsa],
            looser,
            "instead of refusing it, after 2027-03-01T00:00:00Z",
        ),
        (
            format!(r#""h.test": {{"leaf": {any}, "expires": "2027-03-01T00:00:00Z"}}"#),
            vec![Apple, Curl],
            looser,
            "instead of refusing it",
        ),
        (
            format!(
                r#""h.test": {{"pins": {any}, "expires": "2027-03-01T00:00:00Z", "onExpiry": "allow"}}"#
            ),
            vec![OkHttp, Hpkp, Tlsa],
            note,
            "would hold beyond 2027-03-01T00:00:00Z",
        ),
        (
            format!(
                r#""h.test": {{"leaf": {any}, "expires": "2027-03-01T00:00:00Z", "onExpiry": "allow"}}"#
            ),
            vec![Apple, Curl],
            note,
            "would hold beyond",
        ),
        (
            format!(
                r#""h.test": {{"pins": {any}, "expires": "2027-03-01T00:00:01Z", "onExpiry": "allow"}}"#
            ),
            vec![TrustKit, Android],
            note,
            "until 2027-03-02T00:00:00Z instead of 2027-03-01T00:00:01Z",
        ),
        (
            format!(r#""h.test": {{"pins": {any}, "mode": "report"}}"#),
            vec![OkHttp, Android, Tlsa],
            note,
            "would refuse a mismatch instead of reporting it",
        ),
        (
            format!(r#""h.test": {{"leaf": {any}, "mode": "report"}}"#),
            vec![Apple, Curl],
            note,
            "would refuse a mismatch",
        ),
        (format!(r#""h.test": "{a}""#), vec![TrustKit], looser, "fewer than two pins"),
        (format!(r#""h.test": "{a}""#), vec![Hpkp], looser, "a header with one pin is ignored"),
    ];
    for (hosts, formats, is_looser, message) in rows {
        for to in formats {
            let losses = converted(&policy(&hosts), &request(None, to, None)).losses;
            let found = losses
                .iter()
                .any(|loss| loss.looser == is_looser && loss.message.contains(message));
            assert!(found, "{to}: {hosts}\n{losses:#?}");
            assert!(
                is_looser || losses.iter().all(|loss| !loss.looser),
                "{to}: {hosts}\n{losses:#?}"
            );
        }
    }
}

#[test]
fn where_hosts_cannot_be_told_apart_they_get_the_pins_of_all() {
    let (a, b, c) = (pin("a"), pin("b"), pin("c"));
    let allowing = |day| format!(r#""expires": "2027-03-0{day}T00:00:00Z", "onExpiry": "allow""#);
    let (first, second) = (allowing(1), allowing(2));
    let ports = format!(r#""h.test": ["{a}", "{b}"], "h.test:8443": ["{a}", "{c}"]"#);
    let names = format!(
        r#""*.h.test": {{"pins": ["{a}", "{b}"], {first}}}, "h.test": {{"pins": ["{a}", "{c}"], {second}}}"#
    );
    let all = format!(r#"["{a}", "{b}", "{c}"]"#);
    let until = format!(r#"{{"pins": {all}, {second}}}"#);
    for (hosts, to, expected) in [
        (&ports, Format::OkHttp, format!(r#""h.test": {all}"#)),
        (&ports, Format::Android, format!(r#""h.test": {all}"#)),
        (&names, Format::Android, format!(r#""**.h.test": {until}"#)),
        (&names, Format::TrustKit, format!(r#""**.h.test": {until}"#)),
    ] {
        let found = converted(&policy(hosts), &request(None, to, None));
        assert!(found.losses.iter().any(|loss| loss.looser), "{to}: {hosts}");
        let (found, _) = read(&found.text.unwrap(), to, None);
        assert_eq!(found, Policy::from_json(&policy(&expected)).unwrap(), "{to}: {hosts}");
    }
}

#[test]
fn other_hosts_are_told_of_unless_the_user_says_so() {
    let denying = format!(r#"{{"hosts": {{"h.test": ["{}", "{}"]}}}}"#, pin("a"), pin("b"));
    for (unlisted, expected) in [
        (None, vec![true]),
        (Some(Unlisted::Deny), vec![true]),
        (Some(Unlisted::Report), vec![false]),
        (Some(Unlisted::Allow), vec![]),
    ] {
        for to in [Format::OkHttp, Format::Android, Format::TrustKit] {
            let request = Request { unlisted, ..request(None, to, None) };
            let losses = converted(&denying, &request).losses;
            let found: Vec<bool> = losses.iter().map(|loss| loss.looser).collect();
            assert_eq!(found, expected, "{to} {unlisted:?} {losses:?}");
        }
    }
    // What does not speak of other hosts makes a policy that refuses them.
    let (policy, losses) = read(&format!("sha256//{}", base64("a")), Format::Curl, Some("h.test"));
    assert_eq!((policy.unlisted, losses), (Unlisted::Deny, vec![]));
}

#[test]
fn roles_that_apple_asks_for_can_be_given() {
    let text = policy(&format!(r#""h.test": ["{}"]"#, pin("a")));
    let error = convert(&text, &request(None, Format::Apple, None)).unwrap_err();
    assert!(error.problem.contains("server's own or a CA's"), "{error}");
    for (role, key) in [(Role::Leaf, "NSPinnedLeafIdentities"), (Role::Ca, "NSPinnedCAIdentities")]
    {
        let request = Request { role: Some(role), ..request(None, Format::Apple, None) };
        let Conversion { text, losses, .. } = converted(&text, &request);
        assert!(text.unwrap().contains(key));
        assert_eq!(losses, vec![]);
    }
}

#[test]
fn records_can_be_for_one_port() {
    let text = policy(&format!(r#""h.test": {{"leaf": "{}"}}"#, pin("a")));
    let written = |port| {
        let request = Request { port, ..request(None, Format::Tlsa, None) };
        converted(&text, &request).text.unwrap()
    };
    assert!(written(None).starts_with("*._tcp.h.test. IN TLSA 3 1 1 "));
    assert!(written(Some(443)).starts_with("_443._tcp.h.test. IN TLSA 3 1 1 "));
    // An entry for every port holds for the others alone where there is one for this.
    let (a, b) = (pin("a"), pin("b"));
    let hosts = format!(r#""h.test": {{"leaf": "{a}"}}, "h.test:443": {{"leaf": "{b}"}}"#);
    let request = Request { port: Some(443), ..request(None, Format::Tlsa, None) };
    let Conversion { text, losses, .. } = converted(&policy(&hosts), &request);
    let expected = Policy::from_json(&format!(r#"{{"h.test:443": {{"leaf": "{b}"}}}}"#));
    assert_eq!(read(&text.unwrap(), Format::Tlsa, None).0, expected.unwrap());
    assert_eq!(losses, vec![]);
}

/// Policies of which many can be said in several formats: each is drawn with few of the features.
fn policies() -> impl Strategy<Value = String> {
    const NAMES: [&str; 4] = ["a.test", "x.a.test", "b.x.a.test", "c.test"];
    let key = select(vec!["pins", "leaf", "ca", "mixed"]);
    let features = subsequence(
        vec!["port", "wildcard", "ip", "expires", "exact time", "deny", "report"],
        0..3,
    );
    let hosts = prop::collection::vec(
        (select(NAMES.to_vec()), 0..8_usize, subsequence(vec!["p", "q", "r"], 1..=3)),
        1..4,
    );
    (key, features, hosts).prop_map(|(key, features, hosts)| {
        let has = |feature| features.contains(&feature);
        let mut entries: HashMap<String, String> = HashMap::new();
        for (name, variant, pins) in hosts {
            let pattern = match variant {
                1 | 2 if has("wildcard") => format!("**.{name}"),
                3 if has("wildcard") => format!("*.{name}"),
                4 if has("port") => format!("{name}:8443"),
                5 if has("ip") => "192.0.2.7".to_owned(),
                6 if has("ip") => "[2001:db8::1]".to_owned(),
                _ => name.to_owned(),
            };
            let key = if key == "mixed" { ["pins", "leaf", "ca"][variant % 3] } else { key };
            let pins: Vec<String> = pins.iter().map(|name| format!("{:?}", pin(name))).collect();
            let mut entry = format!(r#""{key}": [{}]"#, pins.join(", "));
            if has("expires") {
                let time = if has("exact time") { "10:20:30" } else { "00:00:00" };
                let (day, then) = (variant % 2 + 1, if has("deny") { "deny" } else { "allow" });
                let expiry =
                    format!(r#", "expires": "2027-03-0{day}T{time}Z", "onExpiry": "{then}""#);
                entry.push_str(&expiry);
            }
            if has("report") && variant % 2 == 0 {
                entry += r#", "mode": "report""#;
            }
            entries.insert(pattern, format!("{{{entry}}}"));
        }
        let hosts: Vec<String> =
            entries.iter().map(|(pattern, entry)| format!("{pattern:?}: {entry}")).collect();
        policy(&hosts.join(", "))
    })
}

/// Two policies that decide alike, whatever they say of other hosts.
fn assert_alike(one: &str, other: &str, context: &str) {
    let of = |text| Listing { unlisted: None, ..Format::Policy.read(text, None).unwrap() };
    for (one, other) in [(of(one), of(other)), (of(other), of(one))] {
        assert_eq!(compare::losses(&one, &other, Format::Policy), Ok(vec![]), "{context}");
    }
}

/// A policy in another format, where that loses nothing.
fn without_loss(text: &str, to: Format, host: Option<&str>) -> Option<String> {
    let Conversion { text, losses, .. } =
        convert(text, &request(Some(Format::Policy), to, host)).ok()?;
    text.filter(|_| losses.is_empty())
}

#[test]
fn every_pair_of_formats_round_trips_what_both_can_say() {
    // These bind pins to no position, and those to one: nothing can be said in both.
    let anywhere = [
        Format::OkHttp,
        Format::OkHttpJava,
        Format::TrustKit,
        Format::TrustKitJson,
        Format::Android,
        Format::Hpkp,
    ];
    let at_one = [Format::Curl, Format::Apple];
    let mut runner = TestRunner::deterministic();
    let mut counts: HashMap<(&str, &str), usize> = HashMap::new();
    for _ in 0..1500 {
        let source = policies().new_tree(&mut runner).unwrap().current();
        let entries = Policy::from_json(&source).unwrap();
        // A format of one host is given the only one there is.
        let host = match entries.entries() {
            [only] => only.pattern().map(ToString::to_string),
            _ => None,
        };
        let texts: Vec<_> = FORMATS
            .iter()
            .filter_map(|(name, format)| {
                Some((*name, *format, without_loss(&source, *format, None)?))
            })
            .collect();
        for (from_name, from, text) in &texts {
            for (to_name, to, _) in &texts {
                let (from, to) = (*from, *to);
                let context = format!("{source}\n{from_name} to {to_name}\n{text}");
                let named =
                    host.as_deref().filter(|_| from.is_of_one_host() || to.is_of_one_host());
                let there = convert(text, &request(Some(from), to, named))
                    .unwrap_or_else(|error| panic!("{context}: {error}"));
                let losses: Vec<_> = there
                    .losses
                    .iter()
                    .filter(|loss| !loss.message.starts_with("max-age"))
                    .collect();
                assert!(losses.is_empty(), "{context}: {losses:?}");
                let there = there.text.unwrap();
                let back = convert(&there, &request(Some(to), Format::Policy, named));
                let back = back.unwrap_or_else(|error| panic!("{context}: {there}: {error}"));
                assert_alike(&source, &back.text.unwrap(), &context);
                *counts.entry((*from_name, *to_name)).or_default() += 1;
            }
        }
    }
    for (from_name, from) in FORMATS {
        for (to_name, to) in FORMATS {
            let count = counts.get(&(from_name, to_name)).copied().unwrap_or_default();
            let is_apart = |a: &Format, b: &Format| anywhere.contains(a) && at_one.contains(b);
            if is_apart(&from, &to) || is_apart(&to, &from) {
                assert_eq!(count, 0, "{from_name} to {to_name}");
            } else {
                assert!(count >= 20, "{from_name} to {to_name}: {count}");
            }
        }
    }
}

#[test]
fn a_loss_is_never_found_where_the_same_is_written_again() {
    let mut runner = TestRunner::deterministic();
    for _ in 0..300 {
        let source = policies().new_tree(&mut runner).unwrap().current();
        for (name, to) in FORMATS {
            let host = to.is_of_one_host().then_some("a.test");
            let lossy =
                convert(&source, &Request { role: Some(Role::Leaf), ..request(None, to, host) });
            let Ok(Conversion { text: Some(text), .. }) = lossy else { continue };
            let host = host.or(Some("ignored.test")).filter(|_| to.is_of_one_host());
            let again = converted(&text, &request(Some(to), to, host));
            let losses: Vec<_> = again
                .losses
                .iter()
                .filter(|loss| {
                    !loss.message.starts_with("max-age") && !loss.message.contains("pin")
                })
                .collect();
            assert!(losses.is_empty(), "{name}: {source}\n{text}\n{losses:?}");
            // Where all that matches counts, reading adds it; then nothing changes any more.
            let again = again.text.unwrap();
            let last = converted(&again, &request(Some(to), to, host)).text;
            assert_eq!(last.as_deref(), Some(again.as_str()), "{name}: {source}");
        }
    }
}

#[test]
fn a_format_of_one_host_is_written_for_one() {
    let (a, b) = (pin("a"), pin("b"));
    let text = policy(&format!(
        r#""**.h.test": ["{a}", "{b}"], "x.h.test:8443": {{"leaf": "{a}"}}, "k.test": {{"leaf": "{b}"}}"#
    ));
    let error = convert(&text, &request(None, Format::Curl, None)).unwrap_err();
    assert!(error.problem.contains("one host"), "{error}");
    let error = convert(&text, &request(None, Format::Curl, Some("other.test"))).unwrap_err();
    assert!(error.problem.contains("no entry"), "{error}");
    for (to, host, expected) in [
        (Format::Curl, "k.test", format!("--pinnedpubkey 'sha256//{}'\n", base64("b"))),
        (Format::Curl, "x.h.test:8443", format!("--pinnedpubkey 'sha256//{}'\n", base64("a"))),
        (
            Format::Hpkp,
            "y.h.test",
            format!(
                "Public-Key-Pins: pin-sha256=\"{}\"; pin-sha256=\"{}\"; max-age=5184000\n",
                base64("a"),
                base64("b")
            ),
        ),
        (
            Format::Hpkp,
            "h.test",
            format!(
                "Public-Key-Pins: pin-sha256=\"{}\"; pin-sha256=\"{}\"; max-age=5184000; includeSubDomains\n",
                base64("a"),
                base64("b")
            ),
        ),
    ] {
        let found = converted(&text, &request(None, to, Some(host)));
        assert_eq!(found.text, Some(expected), "{to} {host}");
        assert_eq!(found.losses, vec![], "{to} {host}");
    }
}

#[test]
fn the_format_is_guessed_or_asked_for() {
    let mut runner = TestRunner::deterministic();
    let mut guessed = 0;
    for _ in 0..200 {
        let source = policies().new_tree(&mut runner).unwrap().current();
        for (_, to) in FORMATS {
            let Some(text) = without_loss(&source, to, None) else { continue };
            let expected = match to {
                Format::OkHttpJava => Format::OkHttp,
                Format::TrustKitJson => Format::TrustKit,
                other => other,
            };
            assert_eq!(guess::guess(&text), Ok(expected), "{text}");
            guessed += 1;
        }
    }
    assert!(guessed > 200);
    for (text, problem) in [
        ("", "none of the known"),
        ("hello", "none of the known"),
        ("<dict><key>TSKPinnedDomains</key><key>NSPinnedDomains</key></dict>", "trustkit or apple"),
    ] {
        let error = guess::guess(text).unwrap_err();
        assert!(error.problem.contains(problem), "{text}: {error}");
    }
}

#[test]
fn what_is_nested_without_end_does_no_harm() {
    for (open, close) in [("<array>", "</array>"), ("<domain-config>", "</domain-config>")] {
        let deep = format!("{}{}", open.repeat(100_000), close.repeat(100_000));
        for from in [Format::Android, Format::Apple, Format::TrustKit] {
            convert(&deep, &request(Some(from), Format::Policy, None)).expect_err(open);
        }
    }
    let arrays = "[".repeat(100_000);
    convert(&arrays, &request(Some(Format::Apple), Format::Policy, None)).unwrap_err();
}

proptest! {
    #[test]
    fn reading_never_panics(
        text in "\\PC*|[<>/a-z=\"';:,.(){}\\[\\]&! *_$\n-]{0,60}",
        at in 0..10_usize,
        host in prop::option::of("[a-z*.:0-9]{0,12}"),
    ) {
        let (_, from) = FORMATS[at];
        for (_, to) in FORMATS {
            let _ = convert(&text, &request(Some(from), to, host.as_deref()));
            let _ = convert(&text, &request(None, to, host.as_deref()));
        }
    }

    #[test]
    fn reading_what_was_damaged_never_panics(
        source in policies(),
        at in 0..10_usize,
        cut in any::<prop::sample::Index>(),
        insert in "[\"'<>;&(){}\\\\=\n]?",
        keep in any::<bool>(),
    ) {
        let (_, format) = FORMATS[at];
        let request_to = Request { role: Some(Role::Leaf), ..request(None, format, Some("a.test")) };
        if let Ok(Conversion { text: Some(text), .. }) = convert(&source, &request_to) {
            let cut = cut.index(text.len());
            let (before, after) = text.split_at(cut);
            let rest = after.get(usize::from(!keep)..).unwrap_or_default();
            let damaged = format!("{before}{insert}{rest}");
            let _ = convert(&damaged, &request(Some(format), Format::Policy, Some("a.test")));
            let _ = convert(&damaged, &request(None, Format::Policy, None));
        }
    }
}

#[test]
fn the_end_of_a_whole_policy_is_kept_or_told() {
    let end = r#""expires": "2027-03-01T00:00:00Z""#;
    let hosts = format!(r#""api.example.com": [{:?}, {:?}]"#, pin("a"), pin("b"));
    let source = policy(&hosts).replacen('{', &format!("{{{end}, "), 1);
    for (name, to) in FORMATS {
        let conversion = convert(&source, &request(Some(Format::Policy), to, None));
        let Ok(Conversion { text, losses, .. }) = conversion else { continue };
        let told = losses.iter().any(|loss| loss.looser && loss.place == "expires");
        assert_eq!(told, to != Format::Policy, "{name}");
        let kept = text.is_some_and(|text| text.contains(end));
        assert_eq!(kept, to == Format::Policy, "{name}");
    }
}

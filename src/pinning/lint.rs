//! What is valid in a policy and still unwise.

use std::collections::HashSet;

use super::entry::{Entry, Mode, OnExpiry};
use super::error::quoted;
use super::pin::{Pin, Role};
use super::policy::{Hosts, Policy, Unlisted};
use super::time;

/// Something a policy's author should know. It changes no decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Stable: `unlisted-allowed`, `no-backup-pin`, `leaf-without-backup`, `duplicate-pin`,
    /// `zero-digest`, `empty-digest`, `expires-soon`, `expired`, `report-without-expiry` or
    /// `on-expiry-without-expiry`.
    pub code: &'static str,
    /// Where in the canonical policy: `hosts["api.example.com"]`, `unlisted`, `expires`, or `pins` for a
    /// bare list.
    pub place: String,
    pub message: String,
}

/// How long before its expiry an entry is warned of: 30 days, the time a release takes to reach its
/// users.
const SOON: i64 = 30 * 86_400;

impl Policy {
    /// What is unwise in it at `now`, in Unix seconds: in it as a whole, then in the order of its
    /// entries.
    ///
    /// That an entry can never apply is not among it. The more specific entry wins, and whatever is
    /// more specific than a wildcard leaves names over: only a repeated pattern, which is an error,
    /// could take all of another's.
    #[must_use]
    pub fn warnings(&self, now: i64) -> Vec<Warning> {
        let mut warnings = Vec::new();
        if matches!(self.hosts, Hosts::Listed { .. }) && self.unlisted == Unlisted::Allow {
            let message = "a host that no entry is for, a misspelled one among them, is connected to without pins \
                           and without a word; write `report` to hear of it, or `deny`";
            warnings.push(Warning {
                code: "unlisted-allowed",
                place: "unlisted".to_owned(),
                message: message.to_owned(),
            });
        }
        for entry in self.entries() {
            let place = entry.pattern().map_or_else(
                || "pins".to_owned(),
                |pattern| format!("hosts[{}]", quoted(&pattern.to_string())),
            );
            let mut warn = |code, message| {
                warnings.push(Warning { code, place: place.clone(), message });
            };
            check_backup(entry, &mut warn);
            check_pins(entry, &mut warn);
            check_expiry(entry.expires(), now, &mut warn);
            check_looseness(entry, &mut warn);
        }
        check_expiry(self.expires(), now, &mut |code, message| {
            warnings.push(Warning { code, place: "expires".to_owned(), message });
        });
        warnings
    }
}

/// With one pin, the loss of one key locks every user out (RFC 7469, section 4.3).
fn check_backup(entry: &Entry, warn: &mut impl FnMut(&'static str, String)) {
    let distinct: HashSet<&Pin> = entry.rules().iter().map(|rule| &rule.pin).collect();
    if distinct.len() > 1 {
        return;
    }
    if entry.rules().iter().all(|rule| rule.role == Role::Leaf) {
        let message = "its only pin is the leaf's: the next key of the server locks every user out; add the pin \
                       of a key kept offline, or of an issuer";
        warn("leaf-without-backup", message.to_owned());
    } else {
        let message = "it has one pin: if that key is lost or replaced, every user is locked out; add a backup";
        warn("no-backup-pin", message.to_owned());
    }
}

fn check_pins(entry: &Entry, warn: &mut impl FnMut(&'static str, String)) {
    let mut seen = HashSet::new();
    for pin in entry.rules().iter().map(|rule| &rule.pin) {
        if !seen.insert(pin) {
            warn("duplicate-pin", format!("{pin} is there more than once"));
        } else if pin.digest().iter().all(|byte| *byte == 0) {
            warn("zero-digest", format!("{pin} is all zeros: a placeholder that nothing matches"));
        } else if pin.matches(b"", Some(b"")) {
            let message =
                format!("{pin} is the digest of nothing: the command that made it had no input");
            warn("empty-digest", message);
        }
    }
}

fn check_expiry(expires: Option<i64>, now: i64, warn: &mut impl FnMut(&'static str, String)) {
    let Some(expires) = expires else {
        return;
    };
    if expires <= now {
        warn("expired", format!("it expired at {}", time::format(expires)));
    } else if expires.saturating_sub(now) <= SOON {
        warn("expires-soon", format!("it expires at {}", time::format(expires)));
    }
}

/// What was meant for a time, and has no end.
fn check_looseness(entry: &Entry, warn: &mut impl FnMut(&'static str, String)) {
    if entry.expires().is_some() {
        return;
    }
    if entry.mode() == Mode::Report {
        let message = "it only reports, and nothing says until when: add `expires`, so that it is not forgotten, or \
                       enforce it";
        warn("report-without-expiry", message.to_owned());
    }
    if entry.on_expiry() == OnExpiry::Allow {
        let message = "it has `onExpiry` and never expires: add `expires`, or leave `onExpiry` out";
        warn("on-expiry-without-expiry", message.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn codes(json: &str) -> Vec<&'static str> {
        let policy = Policy::from_json(json).unwrap();
        policy.warnings(NOW).iter().map(|warning| warning.code).collect()
    }

    fn key(name: &str) -> Pin {
        Pin::of_spki(crate::pinning::Algorithm::Sha256, name.as_bytes())
    }

    #[test]
    fn each_finding_has_its_code() {
        let (a, b) = (key("a"), key("b"));
        let zero = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        let entry = |rest: &str| format!(r#"{{"x.example": {{ {rest} }} }}"#);
        let unlisted = |what: &str| {
            format!(r#"{{"unlisted": "{what}", "hosts": {{"x.example": ["{a}", "{b}"]}}}}"#)
        };
        let expiring = |at: i64| {
            entry(&format!(r#""pins": ["{a}", "{b}"], "expires": "{}""#, time::format(NOW + at)))
        };
        let whole = |at: i64| {
            let hosts = format!(r#"{{"x.example": ["{a}", "{b}"]}}"#);
            format!(r#"{{"expires": "{}", "hosts": {hosts}}}"#, time::format(NOW + at))
        };
        for (json, expected) in [
            (format!(r#"["{a}", "{b}"]"#), vec![]),
            (entry(&format!(r#""leaf": ["{a}"], "ca": ["{b}"]"#)), vec![]),
            (format!(r#""{a}""#), vec!["no-backup-pin"]),
            (entry(&format!(r#""ca": ["{a}"]"#)), vec!["no-backup-pin"]),
            (entry(&format!(r#""leaf": ["{a}"]"#)), vec!["leaf-without-backup"]),
            (format!(r#"["{a}", "{b}", "{a}"]"#), vec!["duplicate-pin"]),
            (format!(r#"["{a}", "{a}"]"#), vec!["no-backup-pin", "duplicate-pin"]),
            (entry(&format!(r#""pins": ["{a}", "{b}"], "leaf": "{a}""#)), vec!["duplicate-pin"]),
            (format!(r#"["{a}", "{zero}"]"#), vec!["zero-digest"]),
            (format!(r#"["{a}", "cert:sha512:{}"]"#, "0".repeat(128)), vec!["zero-digest"]),
            (format!(r#"["{a}", "{}"]"#, key("")), vec!["empty-digest"]),
            (
                format!(
                    r#"["{a}", "{}"]"#,
                    Pin::of_certificate(crate::pinning::Algorithm::Sha512, b"")
                ),
                vec!["empty-digest"],
            ),
            (
                entry(&format!(r#""pins": ["{a}", "{b}"], "mode": "report""#)),
                vec!["report-without-expiry"],
            ),
            (
                entry(&format!(r#""pins": ["{a}", "{b}"], "onExpiry": "allow""#)),
                vec!["on-expiry-without-expiry"],
            ),
            (
                entry(&format!(
                    r#""pins": ["{a}", "{b}"], "mode": "report", "onExpiry": "allow", "expires": "{}""#,
                    time::format(NOW + SOON + 1)
                )),
                vec![],
            ),
            (unlisted("allow"), vec!["unlisted-allowed"]),
            (unlisted("report"), vec![]),
            (unlisted("deny"), vec![]),
            (expiring(SOON + 1), vec![]),
            (expiring(SOON), vec!["expires-soon"]),
            (expiring(1), vec!["expires-soon"]),
            (expiring(0), vec!["expired"]),
            (expiring(-1), vec!["expired"]),
            (whole(SOON + 1), vec![]),
            (whole(SOON), vec!["expires-soon"]),
            (whole(0), vec!["expired"]),
        ] {
            assert_eq!(codes(&json), expected, "{json}");
        }
    }

    #[test]
    fn a_warning_names_the_entry() {
        let policy = format!(r#"{{"B.example": "{a}", "*.a.example:443": "{a}"}}"#, a = key("a"));
        let warnings = Policy::from_json(&policy).unwrap().warnings(NOW);
        let places: Vec<&str> = warnings.iter().map(|warning| warning.place.as_str()).collect();
        assert_eq!(places, [r#"hosts["*.a.example:443"]"#, r#"hosts["b.example"]"#]);
        let bare = Policy::from_json(&format!(r#"["{}"]"#, key("a"))).unwrap();
        assert_eq!(bare.warnings(NOW)[0].place, "pins");
    }
}

//! The entries that come nearest to what is meant, among those that a format can say. What they do not say is found by
//! `compare`.

use std::net::IpAddr;

use super::super::entry::{Entry, Mode, OnExpiry};
use super::super::error::Invalid;
use super::super::host::Host;
use super::super::pattern::{Kind, Pattern};
use super::super::pin::{Algorithm, Role, Rule, Target};
use super::Format;
use super::listing::{Loss, apex, place, tidy};

/// The entries in what the format has for patterns, roles, modes and expiry. Where it tells a name from its subdomains
/// only by a flag at the name, one entry a name.
///
/// # Errors
///
/// Apple's format asks for each pin whether it is the server's or a CA's.
pub(super) fn fit(entries: &[Entry], to: Format) -> Result<Vec<Entry>, Invalid> {
    if to == Format::Policy {
        return Ok(entries.to_vec());
    }
    let mut fitted: Vec<Entry> = Vec::with_capacity(entries.len());
    for entry in entries {
        let Some(pattern) = entry.pattern.as_ref().and_then(|pattern| fit_pattern(pattern, to))
        else {
            continue;
        };
        let rules = fit_rules(&entry.rules, to);
        if rules.is_empty() {
            continue;
        }
        let mode = match to {
            Format::TrustKit | Format::TrustKitJson | Format::Hpkp => entry.mode,
            _ => Mode::Enforce,
        };
        let expires = fit_expiry(entry, to);
        let on_expiry = if expires.is_some() { OnExpiry::Allow } else { OnExpiry::default() };
        add(&mut fitted, Entry { pattern: Some(pattern), rules, expires, on_expiry, mode }, to);
    }
    if to == Format::Apple {
        fitted.iter_mut().try_for_each(one_role)?;
    }
    Ok(fitted)
}

/// What a format's own client makes of an entry that it can say and would not take.
pub(super) fn unusable(entry: &Entry, to: Format) -> Option<Loss> {
    let message = match to {
        Format::TrustKit | Format::TrustKitJson if entry.mode == Mode::Enforce => {
            "TrustKit does not start with fewer than two pins for a name; add a backup"
        }
        Format::Hpkp => {
            "a header with one pin is ignored: RFC 7469, section 2.5, wants a backup; add one"
        }
        _ => return None,
    };
    let place = entry.pattern.as_ref().map(place).unwrap_or_default();
    let loss = Loss { looser: true, place, message: message.to_owned() };
    (entry.rules.len() < 2).then_some(loss)
}

fn fit_pattern(pattern: &Pattern, to: Format) -> Option<Pattern> {
    use Format::{Android, Apple, Curl, Hpkp, Tlsa, TrustKit, TrustKitJson};
    let kind = match (to, &pattern.kind) {
        (Curl, _) | (Tlsa, Kind::Exact(Host::Dns(_))) => return Some(pattern.clone()),
        (Tlsa, _)
        | (Android, Kind::Exact(Host::Ip(IpAddr::V6(_))))
        | (TrustKit | TrustKitJson | Apple | Hpkp, Kind::Exact(Host::Ip(_))) => return None,
        (Android | TrustKit | TrustKitJson | Apple | Hpkp, Kind::OneLabel(name)) => {
            Kind::Subtree(name.clone())
        }
        (_, kind) => kind.clone(),
    };
    Some(Pattern { kind, port: None })
}

fn fit_rules(rules: &[Rule], to: Format) -> Vec<Rule> {
    if to == Format::Tlsa {
        return tidy(rules.to_vec());
    }
    let keys = rules.iter().filter(|rule| {
        (rule.pin.target(), rule.pin.algorithm()) == (Target::Spki, Algorithm::Sha256)
    });
    let fitted = keys.filter_map(|rule| {
        let role = match to {
            Format::Apple => rule.role,
            Format::Curl if rule.role == Role::Ca => return None,
            Format::Curl => Role::Leaf,
            _ => Role::Any,
        };
        Some(Rule { role, pin: rule.pin.clone() })
    });
    tidy(fitted.collect())
}

/// A date, after which the pins no longer hold. Later in the day is the next one: nothing becomes looser.
fn fit_expiry(entry: &Entry, to: Format) -> Option<i64> {
    const DAY: i64 = 86_400;
    const LAST: i64 = 253_402_214_400; // 9999-12-31
    let dated = matches!(to, Format::Android | Format::TrustKit | Format::TrustKitJson);
    let expires = entry
        .expires
        .filter(|_| dated && (entry.on_expiry == OnExpiry::Allow || entry.mode == Mode::Report))?;
    let day = expires.div_euclid(DAY) + i64::from(expires.rem_euclid(DAY) != 0);
    Some(day * DAY).filter(|day| *day <= LAST)
}

/// Adds an entry, or joins it with the one of the same key.
fn add(fitted: &mut Vec<Entry>, entry: Entry, to: Format) {
    let by_name = !matches!(to, Format::OkHttp | Format::OkHttpJava | Format::Tlsa | Format::Curl);
    let same = fitted.iter_mut().find(|other| match (&other.pattern, &entry.pattern) {
        (Some(a), Some(b)) if by_name => apex(a) == apex(b),
        (a, b) => a == b,
    });
    let Some(same) = same else {
        fitted.push(entry);
        return;
    };
    let both = [&same.rules[..], &entry.rules[..]].concat();
    same.rules = tidy(both);
    same.expires = same.expires.zip(entry.expires).map(|(a, b)| a.max(b));
    same.on_expiry = if same.expires.is_some() { OnExpiry::Allow } else { OnExpiry::default() };
    if entry.mode == Mode::Enforce {
        same.mode = Mode::Enforce;
    }
    if matches!(entry.pattern, Some(Pattern { kind: Kind::Subtree(_), .. })) {
        same.pattern = entry.pattern;
    }
}

/// Apple wants a match among the server's pins and one among those of CAs, where both are given: only one kind says
/// "any of these".
fn one_role(entry: &mut Entry) -> Result<(), Invalid> {
    if entry.rules.iter().any(|rule| rule.role == Role::Any) {
        let place = entry.pattern.as_ref().map(place).unwrap_or_default();
        let fix = "write them in `leaf` or `ca`, or say with --role which they are";
        return Err(Invalid::new(
            "apple asks of each pin whether it is the server's own or a CA's, and some do not say",
            fix,
        )
        .at(place));
    }
    if entry.rules.iter().any(|rule| rule.role == Role::Leaf) {
        entry.rules.retain(|rule| rule.role == Role::Leaf);
    }
    Ok(())
}

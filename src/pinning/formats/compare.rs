//! What two listings decide differently, asked about every kind of host that either of them tells apart.

use std::collections::BTreeSet;

use super::super::entry::{Entry, Mode, OnExpiry};
use super::super::host::Host;
use super::super::pattern::{Kind, Pattern};
use super::super::pin::{Pin, Role, Rule};
use super::super::policy::{Policy, Unlisted};
use super::super::time;
use super::Format;
use super::listing::{Listing, Loss, place};

/// A label that no name has, for the hosts below one that no entry names.
const OTHER: &str = "?";

/// The losses from `source` to `target`, which is in the format `to`.
pub(super) fn losses(source: &Listing, target: &Listing, to: Format) -> Vec<Loss> {
    let mut found = Vec::new();
    other_hosts(source.unlisted, target.unlisted, to, &mut found);
    let policies = (
        Policy::of(source.entries.clone(), Unlisted::Deny),
        Policy::of(target.entries.clone(), Unlisted::Deny),
    );
    // Readers and `fit` give each pattern once.
    let (Ok(ours), Ok(theirs)) = policies else { return found };
    for Probe { host, port, label } in probes(source, target) {
        match (ours.entry(&host, port), theirs.entry(&host, port)) {
            (Some(ours), None) => {
                add(&mut found, true, ours, format!("{label} would not be pinned by {to}"));
            }
            (None, Some(theirs)) => {
                add(&mut found, false, theirs, format!("{label} would be pinned by {to} too"));
            }
            (Some(ours), Some(theirs)) => {
                compare_rules(ours, theirs, to, &mut found);
                compare_expiry(ours, theirs, to, &mut found);
                compare_modes(ours, theirs, to, &mut found);
            }
            (None, None) => {}
        }
    }
    found
}

fn add(found: &mut Vec<Loss>, looser: bool, entry: &Entry, message: String) {
    let place = entry.pattern.as_ref().map(place).unwrap_or_default();
    let loss = Loss { looser, place, message };
    if !found.contains(&loss) {
        found.push(loss);
    }
}

fn other_hosts(
    source: Option<Unlisted>,
    target: Option<Unlisted>,
    to: Format,
    found: &mut Vec<Loss>,
) {
    let (looser, message) = match (source, target) {
        (Some(Unlisted::Deny), Some(Unlisted::Allow)) => (
            true,
            format!(
                "hosts that are not listed would not be refused by {to}; \
                     --unlisted allow says that this is meant"
            ),
        ),
        (Some(Unlisted::Report), Some(Unlisted::Allow)) => {
            (false, format!("{to} does not report hosts that are not listed"))
        }
        _ => return,
    };
    found.push(Loss { looser, place: "unlisted".to_owned(), message });
}

fn compare_rules(ours: &Entry, theirs: &Entry, to: Format, found: &mut Vec<Loss>) {
    for pin in pins(&[&ours.rules, &theirs.rules]) {
        let (here, there) = (positions(&ours.rules, pin), positions(&theirs.rules, pin));
        for (at, name) in [(0, "the server's own key"), (1, "the key of an issuer")] {
            let (Some(here_at), Some(there_at)) = (here.get(at), there.get(at)) else { continue };
            let elsewhere = here.contains(&true) && there.contains(&true);
            if there_at > here_at && elsewhere {
                add(found, true, ours, format!("{to} would accept {pin} as {name} too"));
            } else if here_at > there_at && elsewhere {
                add(found, false, ours, format!("{to} would not accept {pin} as {name}"));
            }
        }
        if !here.contains(&true) {
            add(found, true, ours, format!("{to} would accept {pin} too"));
        } else if !there.contains(&true) {
            add(found, false, ours, format!("{to} would not accept {pin}"));
        }
    }
}

/// Each pin once, in the order of the rules.
fn pins<'a>(lists: &[&'a [Rule]]) -> Vec<&'a Pin> {
    let mut pins: Vec<&Pin> = Vec::new();
    for rule in lists.iter().flat_map(|rules| rules.iter()) {
        if !pins.contains(&&rule.pin) {
            pins.push(&rule.pin);
        }
    }
    pins
}

/// Whether the leaf, and whether an issuer, may satisfy a pin.
fn positions(rules: &[Rule], pin: &Pin) -> [bool; 2] {
    let has =
        |role| rules.iter().any(|rule| rule.pin == *pin && [role, Role::Any].contains(&rule.role));
    [has(Role::Leaf), has(Role::Ca)]
}

fn compare_expiry(ours: &Entry, theirs: &Entry, to: Format, found: &mut Vec<Loss>) {
    let Some(expires) = ours.expires else {
        if let Some(expires) = theirs.expires {
            let when = time::format(expires);
            add(found, true, ours, format!("by {to} its pins would no longer hold after {when}"));
        }
        return;
    };
    let is_refused =
        |entry: &Entry| entry.on_expiry == OnExpiry::Deny && entry.mode == Mode::Enforce;
    let when = time::format(expires);
    match theirs.expires {
        Some(_) if is_refused(ours) && !is_refused(theirs) => {
            add(
                found,
                true,
                ours,
                format!("{to} would not pin it, instead of refusing it, after {when}"),
            );
        }
        None if is_refused(ours) => {
            add(
                found,
                true,
                ours,
                format!("{to} would go on with its pins, instead of refusing it, after {when}"),
            );
        }
        None => add(found, false, ours, format!("by {to} its pins would hold beyond {when}")),
        Some(later) if later > expires => {
            let later = time::format(later);
            add(
                found,
                false,
                ours,
                format!("by {to} its pins would hold until {later} instead of {when}"),
            );
        }
        Some(earlier) if earlier < expires => {
            let earlier = time::format(earlier);
            add(
                found,
                true,
                ours,
                format!("by {to} its pins would hold until {earlier} instead of {when}"),
            );
        }
        Some(_) => {}
    }
}

fn compare_modes(ours: &Entry, theirs: &Entry, to: Format, found: &mut Vec<Loss>) {
    match (ours.mode, theirs.mode) {
        (Mode::Enforce, Mode::Report) => {
            add(found, true, ours, format!("{to} would only report a mismatch"));
        }
        (Mode::Report, Mode::Enforce) => {
            add(
                found,
                false,
                ours,
                format!("{to} would refuse a mismatch instead of reporting it"),
            );
        }
        _ => {}
    }
}

struct Probe {
    host: Host,
    port: u16,
    /// What it stands for.
    label: String,
}

/// One host of every kind: each name, a name directly below it and one further below, and each address; on every port
/// that is named and on one that is not. Hosts between which no probe lies match the same patterns.
fn probes(source: &Listing, target: &Listing) -> Vec<Probe> {
    let entries = source.entries.iter().chain(&target.entries);
    let patterns: Vec<&Pattern> = entries.filter_map(|entry| entry.pattern.as_ref()).collect();
    let named: BTreeSet<u16> = patterns.iter().filter_map(|pattern| pattern.port).collect();
    let other = [443].into_iter().chain(1..).find(|port| !named.contains(port)).unwrap_or(443);
    let mut seen = BTreeSet::new();
    let mut probes = Vec::new();
    for pattern in patterns {
        let names = match &pattern.kind {
            Kind::Exact(Host::Ip(address)) => vec![(Host::Ip(*address), address.to_string())],
            Kind::Exact(Host::Dns(name)) | Kind::OneLabel(name) | Kind::Subtree(name) => vec![
                (Host::Dns(name.clone()), name.clone()),
                (Host::Dns(format!("{OTHER}.{name}")), format!("a name one label below {name}")),
                (
                    Host::Dns(format!("{OTHER}.{OTHER}.{name}")),
                    format!("a name further below {name}"),
                ),
            ],
        };
        if !seen.insert(names.first().map(|(host, _)| host.to_string())) {
            continue;
        }
        for (host, label) in names {
            for port in named.iter().copied() {
                let label = format!("{label}, port {port},");
                probes.push(Probe { host: host.clone(), port, label });
            }
            let label = if named.is_empty() { label } else { format!("{label}, on other ports,") };
            probes.push(Probe { host, port: other, label });
        }
    }
    probes
}

//! What two listings decide differently, asked about every kind of host that either of them tells apart.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::super::entry::{Entry, Mode, OnExpiry};
use super::super::error::Invalid;
use super::super::host::Host;
use super::super::pattern::{Kind as PatternKind, Pattern};
use super::super::pin::{Pin, Role, Rule};
use super::super::policy::{Policy, Unlisted};
use super::super::time;
use super::Format;
use super::listing::{self, Listing, Loss, place};

/// A label that no name has, for the hosts below one that no entry names.
const OTHER: &str = "?";

/// The losses from `source` to `target`, which is in the format `to`.
///
/// # Errors
///
/// One of them has a pattern twice, which no reader makes.
pub(super) fn losses(source: &Listing, target: &Listing, to: Format) -> Result<Vec<Loss>, Invalid> {
    let ours = Policy::of(source.entries.clone(), Unlisted::Deny)?;
    let theirs = Policy::of(target.entries.clone(), Unlisted::Deny)?;
    let probes = probes(source, target);
    let ports = probes.iter().map(|probe| probe.port).collect::<BTreeSet<_>>().len();
    let mut found = Found { to, differences: Vec::new(), decided: HashMap::new(), ports };
    for probe in probes {
        let decided = (ours.entry(&probe.host, probe.port), theirs.entry(&probe.host, probe.port));
        if let Some(entry) = decided.0.or(decided.1) {
            *found.decided.entry(place_of(entry)).or_default() += 1;
        }
        match decided {
            (Some(ours), None) => found.add(&probe, true, ours, Kind::NotPinned),
            (None, Some(theirs)) => found.add(&probe, false, theirs, Kind::PinnedToo),
            (Some(ours), Some(theirs)) => {
                let mut add =
                    |looser, message| found.add(&probe, looser, ours, Kind::Other(message));
                compare_rules(ours, theirs, to, &mut add);
                compare_expiry(ours, theirs, to, &mut add);
                compare_modes(ours, theirs, to, &mut add);
            }
            (None, None) => {}
        }
    }
    let others = other_hosts(source.unlisted, target.unlisted, to);
    Ok(others.into_iter().chain(found.losses()).collect())
}

/// The differences, and the hosts they were found at.
struct Found {
    to: Format,
    differences: Vec<Difference>,
    /// By entry, how many hosts it decides about.
    decided: HashMap<String, usize>,
    /// How many ports each host is asked about.
    ports: usize,
}

struct Difference {
    looser: bool,
    place: String,
    /// The name in the entry's pattern.
    apex: String,
    kind: Kind,
    probes: Vec<Probe>,
}

#[derive(PartialEq)]
enum Kind {
    NotPinned,
    PinnedToo,
    Other(String),
}

impl Found {
    fn add(&mut self, probe: &Probe, looser: bool, entry: &Entry, kind: Kind) {
        let place = place_of(entry);
        let same =
            self.differences.iter_mut().find(|known| known.place == place && known.kind == kind);
        if let Some(known) = same {
            known.probes.push(probe.clone());
        } else {
            let (apex, probes) = (listing::name(entry).0, vec![probe.clone()]);
            self.differences.push(Difference { looser, place, apex, kind, probes });
        }
    }

    fn losses(&self) -> impl Iterator<Item = Loss> {
        self.differences.iter().map(|difference| {
            let Difference { looser, place, kind, .. } = difference;
            let is_whole = self.decided.get(place) == Some(&difference.probes.len());
            // What was not pinned has to be named.
            let is_told = !is_whole || *kind == Kind::PinnedToo;
            let hosts = is_told.then(|| difference.hosts(self.ports));
            let (to, it) = (self.to, hosts.as_deref().unwrap_or("it"));
            let message = match (kind, &hosts) {
                (Kind::NotPinned, _) => format!("{to} would not pin {it}"),
                (Kind::PinnedToo, _) => format!("{to} would pin {it} too"),
                (Kind::Other(message), None) => message.clone(),
                (Kind::Other(message), Some(hosts)) => format!("{message}, for {hosts}"),
            };
            Loss { looser: *looser, place: place.clone(), message }
        })
    }
}

impl Difference {
    /// The hosts it is for, with their ports where it is not for all.
    fn hosts(&self, ports: usize) -> String {
        // Below its own name an entry decides about names that others have brought up; one is enough.
        let is_own = |probe: &&Probe| probe.name == self.apex;
        let own: Vec<&Probe> = self.probes.iter().filter(is_own).collect();
        let told = if own.is_empty() { self.probes.iter().collect() } else { own };
        let mut hosts: Vec<String> = Vec::new();
        for probe in told {
            let at = self.probes.iter().filter(|other| other.host == probe.host).count();
            let host = if at == ports { probe.label() } else { probe.label_with_port() };
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        hosts.join(" and ")
    }
}

fn place_of(entry: &Entry) -> String {
    entry.pattern.as_ref().map(place).unwrap_or_default()
}

fn other_hosts(source: Option<Unlisted>, target: Option<Unlisted>, to: Format) -> Option<Loss> {
    let (looser, message) = match (source, target) {
        (Some(Unlisted::Deny), Some(Unlisted::Allow)) => {
            let meant = "--unlisted allow says that this is meant";
            (true, format!("{to} would not refuse hosts that are not listed; {meant}"))
        }
        (Some(Unlisted::Report), Some(Unlisted::Allow)) => {
            (false, format!("{to} would not report hosts that are not listed"))
        }
        _ => return None,
    };
    Some(Loss { looser, place: "unlisted".to_owned(), message })
}

fn compare_rules(ours: &Entry, theirs: &Entry, to: Format, add: &mut impl FnMut(bool, String)) {
    for pin in pins(&[&ours.rules, &theirs.rules]) {
        let (here, there) = (positions(&ours.rules, pin), positions(&theirs.rules, pin));
        for (at, name) in [(0, "the server's own key"), (1, "the key of an issuer")] {
            let (Some(here_at), Some(there_at)) = (here.get(at), there.get(at)) else { continue };
            let elsewhere = here.contains(&true) && there.contains(&true);
            if there_at > here_at && elsewhere {
                add(true, format!("{to} would accept {pin} as {name} too"));
            } else if here_at > there_at && elsewhere {
                add(false, format!("{to} would not accept {pin} as {name}"));
            }
        }
        if !here.contains(&true) {
            add(true, format!("{to} would accept {pin} too"));
        } else if !there.contains(&true) {
            add(false, format!("{to} would not accept {pin}"));
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

fn compare_expiry(ours: &Entry, theirs: &Entry, to: Format, add: &mut impl FnMut(bool, String)) {
    let Some(expires) = ours.expires else {
        if let Some(expires) = theirs.expires {
            let when = time::format(expires);
            add(true, format!("by {to} its pins would no longer hold after {when}"));
        }
        return;
    };
    let is_refused =
        |entry: &Entry| entry.on_expiry == OnExpiry::Deny && entry.mode == Mode::Enforce;
    let when = time::format(expires);
    match theirs.expires {
        Some(_) if is_refused(ours) && !is_refused(theirs) => {
            add(true, format!("{to} would not pin it, instead of refusing it, after {when}"));
        }
        None if is_refused(ours) => {
            add(
                true,
                format!("{to} would go on with its pins, instead of refusing it, after {when}"),
            );
        }
        None => add(false, format!("by {to} its pins would hold beyond {when}")),
        Some(later) if later > expires => {
            let later = time::format(later);
            add(false, format!("by {to} its pins would hold until {later} instead of {when}"));
        }
        Some(earlier) if earlier < expires => {
            let earlier = time::format(earlier);
            add(true, format!("by {to} its pins would hold until {earlier} instead of {when}"));
        }
        Some(_) => {}
    }
}

fn compare_modes(ours: &Entry, theirs: &Entry, to: Format, add: &mut impl FnMut(bool, String)) {
    match (ours.mode, theirs.mode) {
        (Mode::Enforce, Mode::Report) => {
            add(true, format!("{to} would only report a mismatch"));
        }
        (Mode::Report, Mode::Enforce) => {
            add(false, format!("{to} would refuse a mismatch instead of reporting it"));
        }
        _ => {}
    }
}

#[derive(Clone)]
struct Probe {
    host: Host,
    port: u16,
    /// The name that a pattern has, which the host is or is below.
    name: String,
    /// How many labels below.
    depth: usize,
    is_named_port: bool,
}

impl Probe {
    fn label(&self) -> String {
        match self.depth {
            0 => self.name.clone(),
            1 => format!("names one label below {}", self.name),
            _ => format!("names further below {}", self.name),
        }
    }

    fn label_with_port(&self) -> String {
        match (self.is_named_port, self.port) {
            (true, port) => format!("{} on port {port}", self.label()),
            (false, _) => format!("{} on other ports", self.label()),
        }
    }
}

/// One host of every kind: each name, a name directly below it and one further below, and each address; on every port
/// that is named and on one that is not. Two hosts of one kind match the same patterns.
fn probes(source: &Listing, target: &Listing) -> Vec<Probe> {
    let entries = source.entries.iter().chain(&target.entries);
    let patterns: Vec<&Pattern> = entries.filter_map(|entry| entry.pattern.as_ref()).collect();
    let named: BTreeSet<u16> = patterns.iter().filter_map(|pattern| pattern.port).collect();
    let other =
        [443].into_iter().chain(1..=u16::MAX).find(|port| !named.contains(port)).unwrap_or(443);
    let mut seen = HashSet::new();
    let mut probes = Vec::new();
    for pattern in patterns {
        let (name, hosts) = match &pattern.kind {
            PatternKind::Exact(host @ Host::Ip(address)) => {
                (address.to_string(), vec![host.clone()])
            }
            PatternKind::Exact(Host::Dns(name))
            | PatternKind::OneLabel(name)
            | PatternKind::Subtree(name) => {
                let below = format!("{OTHER}.{name}");
                let further = format!("{OTHER}.{below}");
                (name.clone(), vec![Host::Dns(name.clone()), Host::Dns(below), Host::Dns(further)])
            }
        };
        if !seen.insert(name.clone()) {
            continue;
        }
        for (depth, host) in hosts.into_iter().enumerate() {
            let ports = named.iter().map(|port| (*port, true)).chain([(other, false)]);
            probes.extend(ports.map(|(port, is_named_port)| Probe {
                host: host.clone(),
                port,
                name: name.clone(),
                depth,
                is_named_port,
            }));
        }
    }
    probes
}

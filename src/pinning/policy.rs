//! A policy: which pins hold for which host, and the decision for one connection.

use std::sync::Arc;

use super::entry::{Entry, Mode, OnExpiry};
use super::error::Invalid;
use super::host::Host;
use super::table::Table;

/// What holds for a host that no entry is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unlisted {
    /// It is refused.
    #[default]
    Deny,
    /// It is not pinned.
    Allow,
    /// It is not pinned, which is reported.
    Report,
}

/// Pins by host, or a bare list of pins for whatever host a request is made for.
///
/// It never changes once built: see [`PinSet`](super::PinSet).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    pub(super) unlisted: Unlisted,
    /// From then on, in Unix seconds, every host is refused.
    pub(super) expires: Option<i64>,
    pub(super) hosts: Hosts,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hosts {
    /// A bare list.
    Every(Arc<Entry>),
    /// By pattern; the entries also in the order of their canonical patterns.
    Listed { entries: Vec<Arc<Entry>>, table: Table },
}

/// How a connection may go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The entry's pins hold; its [`Mode`] says what a mismatch means.
    Pinned(Arc<Entry>),
    /// No pins hold. `Some` is to be reported.
    Unpinned(Option<Unenforced>),
}

/// Why no pins hold for a connection that is reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unenforced {
    /// No entry is for the host, and the policy says `"unlisted": "report"`.
    Unlisted,
    /// The entry has expired, and says `"onExpiry": "allow"` or `"mode": "report"`.
    Expired(Arc<Entry>),
}

/// Why a connection may not be made at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No entry is for the host: `ERR_TLS_PIN_UNLISTED`.
    Unlisted,
    /// The entry has expired: `ERR_TLS_PIN_EXPIRED`.
    Expired(Arc<Entry>),
    /// The policy as a whole has expired, at this time: `ERR_TLS_PIN_EXPIRED`.
    PolicyExpired(i64),
}

impl Policy {
    /// Reads a policy, its shorthand `{ pattern: pins }`, one pin, or a list of pins.
    ///
    /// An object with a `hosts` or `version` key is a policy, any other a shorthand. A string or an
    /// array of strings is a bare list, which applies to every host: its user binds it to one.
    ///
    /// # Errors
    ///
    /// Whatever is not exactly a policy: an unknown or repeated key, a repeated pattern, an empty
    /// list, a wrong type, a malformed pin, pattern or date. The error names the place.
    pub fn from_json(text: &str) -> Result<Self, Invalid> {
        super::policy_json::parse(text)
    }

    /// A policy of these entries, each with a pattern.
    ///
    /// # Errors
    ///
    /// Two entries have the same pattern, or one has none.
    pub(super) fn of(entries: Vec<Entry>, unlisted: Unlisted) -> Result<Self, Invalid> {
        let mut table = Table::default();
        let mut entries: Vec<Arc<Entry>> = entries.into_iter().map(Arc::new).collect();
        for entry in &entries {
            let is_new = entry.pattern.as_ref().map(|pattern| table.insert(pattern, entry.clone()));
            if is_new != Some(true) {
                return Err(Invalid::new("a pattern is repeated", "merge its entries into one"));
            }
        }
        entries.sort_by_cached_key(|entry| entry.pattern.as_ref().map(ToString::to_string));
        Ok(Self { unlisted, expires: None, hosts: Hosts::Listed { entries, table } })
    }

    /// The canonical policy, which parses back to an equal one.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        super::policy_json::write(self)
    }

    /// What holds for a connection to this host and port at `now`, in Unix seconds.
    ///
    /// # Errors
    ///
    /// The host is unlisted, or its entry has expired, and nothing in the policy says to go on; or the policy itself
    /// has expired, and with it whatever it said.
    pub fn decide(&self, host: &Host, port: u16, now: i64) -> Result<Decision, Refusal> {
        if let Some(expired) = self.expires.filter(|expires| *expires <= now) {
            return Err(Refusal::PolicyExpired(expired));
        }
        match (self.entry(host, port), self.unlisted) {
            (Some(entry), _) if entry.is_expired(now) => match (entry.on_expiry, entry.mode) {
                (OnExpiry::Deny, Mode::Enforce) => Err(Refusal::Expired(entry.clone())),
                _ => Ok(Decision::Unpinned(Some(Unenforced::Expired(entry.clone())))),
            },
            (Some(entry), _) => Ok(Decision::Pinned(entry.clone())),
            (None, Unlisted::Deny) => Err(Refusal::Unlisted),
            (None, Unlisted::Allow) => Ok(Decision::Unpinned(None)),
            (None, Unlisted::Report) => Ok(Decision::Unpinned(Some(Unenforced::Unlisted))),
        }
    }

    /// The most specific entry for this host and port, expired or not.
    #[must_use]
    pub fn entry(&self, host: &Host, port: u16) -> Option<&Arc<Entry>> {
        match &self.hosts {
            Hosts::Every(entry) => Some(entry),
            Hosts::Listed { table, .. } => table.get(host, port),
        }
    }

    /// When the policy as a whole expires, in Unix seconds.
    #[must_use]
    pub fn expires(&self) -> Option<i64> {
        self.expires
    }

    /// When what holds for this host and port ends: the expiry of its entry or of the policy, whichever is first.
    #[must_use]
    pub fn expires_for(&self, host: &Host, port: u16) -> Option<i64> {
        let entry = self.entry(host, port).and_then(|entry| entry.expires());
        self.expires.into_iter().chain(entry).min()
    }

    /// Whether this is a bare list, which holds for the one host of a request and not for a
    /// redirect's.
    #[must_use]
    pub fn is_bare(&self) -> bool {
        matches!(self.hosts, Hosts::Every(_))
    }

    /// The ports that have to be asked about where that of a connection to this host is not known: one for each entry
    /// that applies at any port. 443, where there is none.
    #[must_use]
    pub fn ports_of(&self, host: &Host) -> Vec<u16> {
        let named: Vec<u16> =
            self.entries().iter().filter_map(|entry| entry.pattern()?.port).collect();
        // It stands for all that no pattern names.
        let other = (1..=u16::MAX).find(|port| !named.contains(port));
        let mut found: Vec<(u16, &Arc<Entry>)> = Vec::new();
        for port in [443].into_iter().chain(other).chain(named) {
            let entry = self.entry(host, port);
            if let Some(entry) =
                entry.filter(|new| found.iter().all(|(_, old)| !Arc::ptr_eq(new, old)))
            {
                found.push((port, entry));
            }
        }
        if found.is_empty() { vec![443] } else { found.into_iter().map(|(port, _)| port).collect() }
    }

    /// Whether an entry for this host names this very port.
    #[must_use]
    pub fn names_port(&self, host: &Host, port: u16) -> bool {
        let pattern = self.entry(host, port).and_then(|entry| entry.pattern());
        pattern.is_some_and(|pattern| pattern.port.is_some())
    }

    /// Its entries, in the order of their canonical patterns.
    #[must_use]
    pub fn entries(&self) -> &[Arc<Entry>] {
        match &self.hosts {
            Hosts::Every(entry) => std::slice::from_ref(entry),
            Hosts::Listed { entries, .. } => entries,
        }
    }
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;

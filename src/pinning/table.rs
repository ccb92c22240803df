//! The lookup of the one entry that applies to a host.

use std::collections::HashMap;
use std::iter;
use std::sync::Arc;

use super::entry::Entry;
use super::host::Host;
use super::pattern::{Kind, Pattern};

/// Entries by pattern. A lookup costs one hash a label, however many entries there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    exact: HashMap<Host, Ports>,
    one_label: HashMap<String, Ports>,
    subtree: HashMap<String, Ports>,
}

/// The entries of patterns that differ only in the port; `None` is the one for every port.
type Ports = HashMap<Option<u16>, Arc<Entry>>;

impl Table {
    /// Adds an entry; `false` if the pattern has one already.
    pub(super) fn insert(&mut self, pattern: &Pattern, entry: Arc<Entry>) -> bool {
        let ports = match &pattern.kind {
            Kind::Exact(host) => self.exact.entry(host.clone()).or_default(),
            Kind::OneLabel(parent) => self.one_label.entry(parent.clone()).or_default(),
            Kind::Subtree(apex) => self.subtree.entry(apex.clone()).or_default(),
        };
        ports.insert(pattern.port, entry).is_none()
    }

    /// The most specific entry: the host itself, `*.`, the longest `**.`; of each the one with the
    /// port first.
    pub(super) fn get(&self, host: &Host, port: u16) -> Option<&Arc<Entry>> {
        let exact = self.exact.get(host).and_then(|ports| at(ports, port));
        exact.or_else(|| match host {
            Host::Dns(name) => self.wildcard(name, port),
            Host::Ip(_) => None,
        })
    }

    fn wildcard(&self, name: &str, port: u16) -> Option<&Arc<Entry>> {
        let one_label = name
            .split_once('.')
            .and_then(|(_, parent)| self.one_label.get(parent))
            .and_then(|ports| at(ports, port));
        one_label.or_else(|| {
            let mut names = iter::successors(Some(name), |name| Some(name.split_once('.')?.1));
            names.find_map(|name| at(self.subtree.get(name)?, port))
        })
    }
}

fn at(ports: &Ports, port: u16) -> Option<&Arc<Entry>> {
    ports.get(&Some(port)).or_else(|| ports.get(&None))
}

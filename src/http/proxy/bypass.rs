//! Hosts that are left out of a proxy.

use std::collections::HashMap;

use hyper_util::client::proxy::matcher::Matcher;

use super::super::driver::Target;
use super::uri;

/// The hosts that are connected to directly: those of any port, and those of one.
pub struct Bypass {
    any: Matcher,
    ports: HashMap<u16, Matcher>,
}

impl Bypass {
    /// `NO_PROXY`'s list. An entry may end with a port, as for curl; a matcher knows of none.
    pub fn new(list: &str) -> Self {
        let (mut any, mut ports) = (Vec::new(), HashMap::<u16, Vec<&str>>::new());
        for entry in list.split(',').map(str::trim) {
            match entry.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>())) {
                // An IPv6 address has colons of its own, and a port only behind brackets.
                Some((host, Ok(port))) if !host.contains(':') || host.ends_with(']') => {
                    ports.entry(port).or_default().push(host.trim_matches(['[', ']']));
                }
                _ => any.push(entry),
            }
        }
        let ports = ports.into_iter().map(|(port, hosts)| (port, matcher(&hosts)));
        Self { any: matcher(&any), ports: ports.collect() }
    }

    #[must_use]
    pub fn has(&self, target: &Target) -> bool {
        let Some(uri) = uri(target) else { return false };
        let is_in = |matcher: &Matcher| matcher.intercept(&uri).is_none();
        is_in(&self.any) || self.ports.get(&target.port).is_some_and(is_in)
    }
}

/// The proxy that the matcher is given decides nothing; what is asked is only whether one is used at all.
fn matcher(hosts: &[&str]) -> Matcher {
    Matcher::builder().https("http://proxy.invalid").no(hosts.join(",")).build()
}

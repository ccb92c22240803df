//! The hosts an entry of a policy is for.

use std::fmt;
use std::net::IpAddr;

use super::error::{Invalid, quoted};
use super::host::Host;

/// A host, `*.` and one label, or `**.` and any depth; each with or without a port.
///
/// Displays as its canonical text: `api.example.com:8443`, `*.example.com`, `**.example.com`,
/// `[2001:db8::1]:443`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    pub(super) kind: Kind,
    pub(super) port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Exact(Host),
    /// `*.name`: one label before the name, not the name itself.
    OneLabel(String),
    /// `**.name`: the name itself and any depth below it.
    Subtree(String),
}

impl Pattern {
    /// Reads a pattern. Without a port it is for every port.
    ///
    /// # Errors
    ///
    /// A URL, a path, user information, a port that is not 1 to 65535, a wildcard anywhere but as
    /// the first label, a wildcard without a name or on an IP address, and whatever [`Host::parse`]
    /// refuses.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        refuse_url(text)?;
        let (host, port) = split_port(text)?;
        let kind = match wildcard(host) {
            Some((subtree, name)) => {
                let name = wildcard_name(text, name)?;
                if subtree { Kind::Subtree(name) } else { Kind::OneLabel(name) }
            }
            None if host.contains('*') => return Err(misplaced_wildcard(text)),
            None => Kind::Exact(Host::parse(host)?),
        };
        Ok(Self { kind, port })
    }

    /// Whether the pattern is for this host and port.
    #[must_use]
    pub fn matches(&self, host: &Host, port: u16) -> bool {
        if self.port.is_some_and(|own| own != port) {
            return false;
        }
        match (&self.kind, host) {
            (Kind::Exact(own), host) => own == host,
            (Kind::OneLabel(parent), Host::Dns(name)) => {
                name.split_once('.').is_some_and(|(_, rest)| rest == parent)
            }
            (Kind::Subtree(apex), Host::Dns(name)) => name
                .strip_suffix(apex.as_str())
                .is_some_and(|labels| labels.is_empty() || labels.ends_with('.')),
            (_, Host::Ip(_)) => false,
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Exact(Host::Ip(IpAddr::V6(address))) => write!(f, "[{address}]")?,
            Kind::Exact(host) => host.fmt(f)?,
            Kind::OneLabel(parent) => write!(f, "*.{parent}")?,
            Kind::Subtree(apex) => write!(f, "**.{apex}")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

fn refuse_url(text: &str) -> Result<(), Invalid> {
    let refuse = |what: &str| {
        Err(Invalid::new(
            format!("{} {what}", quoted(text)),
            "write the host alone, such as `api.example.com` or `api.example.com:8443`",
        ))
    };
    if text.contains("://") {
        return refuse("is a URL");
    }
    if text.contains('@') {
        return refuse("has user information");
    }
    if text.contains(['/', '\\', '?', '#']) {
        return refuse("has a path");
    }
    Ok(())
}

/// The host, which keeps its brackets, and the port.
fn split_port(text: &str) -> Result<(&str, Option<u16>), Invalid> {
    if let Some((address, after)) = text.split_once(']') {
        let address = &text[..=address.len()];
        return match after.strip_prefix(':') {
            Some(digits) => Ok((address, Some(port(text, digits)?))),
            // What follows the bracket is left on, for the host's parser to refuse.
            None if after.is_empty() => Ok((address, None)),
            None => Ok((text, None)),
        };
    }
    match text.split_once(':') {
        None => Ok((text, None)),
        Some((_, rest)) if rest.contains(':') => Err(Invalid::new(
            format!("{} has more than one colon", quoted(text)),
            "write an IPv6 address in brackets: `[2001:db8::1]` or `[2001:db8::1]:443`",
        )),
        Some((host, digits)) => Ok((host, Some(port(text, digits)?))),
    }
}

fn port(text: &str, digits: &str) -> Result<u16, Invalid> {
    // The integer parser would also take `+443` and `0443`.
    let decimal = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    digits.parse().ok().filter(|_| decimal).ok_or_else(|| {
        Invalid::new(
            format!("the port of {} is not a number from 1 to 65535", quoted(text)),
            "write a port such as `:8443`, or none for every port",
        )
    })
}

/// What follows `*.` or, with `true`, `**.`.
fn wildcard(host: &str) -> Option<(bool, &str)> {
    let subtree = host.strip_prefix("**.").map(|name| (true, name));
    subtree.or_else(|| host.strip_prefix("*.").map(|name| (false, name)))
}

fn wildcard_name(text: &str, name: &str) -> Result<String, Invalid> {
    if name.contains('*') {
        return Err(misplaced_wildcard(text));
    }
    if name.is_empty() {
        return Err(Invalid::new(
            format!("{} has no name after the wildcard", quoted(text)),
            "write `*.example.com` or `**.example.com`",
        ));
    }
    match Host::parse(name)? {
        Host::Dns(name) => Ok(name),
        Host::Ip(_) => Err(Invalid::new(
            format!("{} is a wildcard on an IP address", quoted(text)),
            "write each address on its own",
        )),
    }
}

fn misplaced_wildcard(text: &str) -> Invalid {
    Invalid::new(
        format!("{} has a wildcard that is not the whole first label before a name", quoted(text)),
        "write `*.example.com` for one label, `**.example.com` for the apex and any depth",
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_pattern_is_canonical() {
        for (text, canonical) in [
            ("API.Example.com.", "api.example.com"),
            ("api.example.com:8443", "api.example.com:8443"),
            ("api.example.com.:1", "api.example.com:1"),
            ("bücher.example:65535", "xn--bcher-kva.example:65535"),
            ("*.Example.com", "*.example.com"),
            ("*.bücher.example:443", "*.xn--bcher-kva.example:443"),
            ("**.internal", "**.internal"),
            ("*.com", "*.com"),
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7:443", "192.0.2.7:443"),
            ("[2001:DB8::1]", "[2001:db8::1]"),
            ("[2001:db8:0::1]:443", "[2001:db8::1]:443"),
        ] {
            assert_eq!(Pattern::parse(text).unwrap().to_string(), canonical, "{text}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for (text, problem) in [
            ("", "empty"),
            ("https://api.example.com", "is a URL"),
            ("api.example.com/", "has a path"),
            ("api.example.com?x", "has a path"),
            ("api.example.com#x", "has a path"),
            ("a\\b", "has a path"),
            ("user@api.example.com", "user information"),
            ("a..example.com", "empty label"),
            ("*", "wildcard that is not"),
            ("**", "wildcard that is not"),
            ("*:443", "wildcard that is not"),
            ("*.", "no name after"),
            ("**.", "no name after"),
            ("**.:443", "no name after"),
            ("*..example.com", "empty label"),
            ("a*.example.com", "wildcard that is not"),
            ("*a.example.com", "wildcard that is not"),
            ("a.*.example.com", "wildcard that is not"),
            ("*.*.example.com", "wildcard that is not"),
            ("**.*.example.com", "wildcard that is not"),
            ("***.example.com", "wildcard that is not"),
            ("*example.com", "wildcard that is not"),
            ("*.192.0.2.7", "on an IP"),
            ("*.0.2.7", "ends in a number"),
            ("*.[::1]", "on an IP"),
            ("example.com:", "port"),
            ("example.com:0", "port"),
            ("example.com:65536", "port"),
            ("example.com:+443", "port"),
            ("example.com:0443", "port"),
            ("example.com:https", "port"),
            ("example.com:443 ", "port"),
            (":443", "empty"),
            ("2001:db8::1", "more than one colon"),
            ("example.com:443:443", "more than one colon"),
            ("[2001:db8::1", "more than one colon"),
            ("[2001:db8::1]443", "not a host"),
            ("[2001:db8::1]:", "port"),
            ("x[::1]:443", "not an IPv6"),
            ("[::1%eth0]", "zone"),
            (" example.com", "not a host"),
        ] {
            let error = Pattern::parse(text).expect_err(text);
            assert!(error.problem.contains(problem), "{text}: {error}");
            assert!(!error.fix.is_empty(), "{text}");
        }
    }

    #[test]
    fn a_pattern_matches_its_hosts_only() {
        for (pattern, host, port, expected) in [
            ("example.com", "example.com", 443, true),
            ("example.com", "EXAMPLE.com.", 8443, true),
            ("example.com", "a.example.com", 443, false),
            ("example.com:443", "example.com", 443, true),
            ("example.com:443", "example.com", 8443, false),
            ("*.example.com", "a.example.com", 443, true),
            ("*.example.com", "example.com", 443, false),
            ("*.example.com", "a.b.example.com", 443, false),
            ("*.example.com", "aexample.com", 443, false),
            ("*.example.com:443", "a.example.com", 444, false),
            ("**.example.com", "example.com", 443, true),
            ("**.example.com", "a.example.com", 443, true),
            ("**.example.com", "a.b.example.com", 443, true),
            ("**.example.com", "badexample.com", 443, false),
            ("**.example.com", "example.com.evil.example", 443, false),
            ("**.com", "example.com", 443, true),
            ("192.0.2.7", "192.0.2.7", 443, true),
            ("192.0.2.7", "192.0.2.8", 443, false),
            ("[::1]:443", "::1", 443, true),
            ("[::1]:443", "::1", 80, false),
        ] {
            let host = Host::parse(host).unwrap();
            let matched = Pattern::parse(pattern).unwrap().matches(&host, port);
            assert_eq!(matched, expected, "{pattern} {host}:{port}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_the_canonical_text_is_stable(
            text in "[*]{0,3}\\.?.*|[*\\[\\]a-zß:.0-9]{0,24}",
        ) {
            if let Ok(pattern) = Pattern::parse(&text) {
                prop_assert_eq!(Pattern::parse(&pattern.to_string()), Ok(pattern));
            }
        }
    }
}

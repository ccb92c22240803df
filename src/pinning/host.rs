//! The identity a connection is made for.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

use super::error::{Invalid, quoted};

/// A host in canonical form: two texts that mean the same host are equal.
///
/// Displays as that form, an IPv6 address without brackets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A DNS name as A-labels, in lower case, without a trailing dot.
    Dns(String),
    Ip(IpAddr),
}

impl Host {
    /// Reads a DNS name (IDNA, UTS #46 as in the WHATWG URL Standard) or an IP address.
    ///
    /// One trailing dot is dropped. IPv4 is four decimal numbers; IPv6 may stand in brackets.
    /// Underscores are allowed, as in service names.
    ///
    /// # Errors
    ///
    /// An empty label, a label over 63 or a name over 253 characters (RFC 1035, section 2.3.4), a
    /// character that no host name has, a zone identifier, and a name whose last label is a number
    /// and which is not an IPv4 address: URL parsers would read it as one (`127.1`, `0x7f.1`).
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() {
            return Err(Invalid::new("the host is empty", "write a host name or an IP address"));
        }
        // An IPv4-mapped address is the IPv4 address: it reaches the same server, so the same pins hold.
        if let Some(address) = bracketed(text)? {
            return Ok(Self::Ip(address.to_canonical()));
        }
        if text.contains(':') {
            return ipv6(text).map(|address| Self::Ip(address.to_canonical()));
        }
        let name = Uts46::new()
            .to_ascii(text.as_bytes(), AsciiDenyList::URL, Hyphens::Allow, DnsLength::Ignore)
            .map_err(|_| not_a_host(text))?;
        let name = name.strip_suffix('.').unwrap_or(&name);
        if let Ok(address) = name.parse::<Ipv4Addr>() {
            return Ok(Self::Ip(address.into()));
        }
        check_name(name, text)?;
        Ok(Self::Dns(name.to_owned()))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

fn bracketed(text: &str) -> Result<Option<Ipv6Addr>, Invalid> {
    let Some(rest) = text.strip_prefix('[') else {
        return Ok(None);
    };
    let inner = rest.strip_suffix(']').ok_or_else(|| not_a_host(text))?;
    ipv6(inner).map(Some)
}

fn ipv6(text: &str) -> Result<Ipv6Addr, Invalid> {
    if text.contains('%') {
        return Err(Invalid::new(
            format!("{} has a zone identifier", quoted(text)),
            "leave out `%` and what follows: a certificate names no zone",
        ));
    }
    text.parse().map_err(|_| {
        Invalid::new(
            format!("{} is not an IPv6 address", quoted(text)),
            "write a host without a port, or an address such as `2001:db8::1`",
        )
    })
}

fn check_name(name: &str, text: &str) -> Result<(), Invalid> {
    let problem =
        |what: &str, fix: &str| Err(Invalid::new(format!("{} {what}", quoted(text)), fix));
    if name.len() > 253 {
        return problem("is longer than 253 characters", "write a name that DNS can hold");
    }
    for label in name.split('.') {
        if label.is_empty() {
            return problem(
                "has an empty label",
                "write one dot between two labels and none in front",
            );
        }
        if label.len() > 63 {
            return problem("has a label over 63 characters", "write a name that DNS can hold");
        }
        // Lower case only: what to_ascii leaves in upper case does not exist.
        if !label.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_')) {
            return Err(not_a_host(text));
        }
    }
    let last = name.rsplit('.').next().unwrap_or(name);
    let hexadecimal = |digits: &str| digits.bytes().all(|b| b.is_ascii_hexdigit());
    if last.bytes().all(|b| b.is_ascii_digit()) || last.strip_prefix("0x").is_some_and(hexadecimal)
    {
        return problem(
            "ends in a number and is not an IPv4 address",
            "write four decimal numbers such as `192.0.2.7`, or a name",
        );
    }
    Ok(())
}

fn not_a_host(text: &str) -> Invalid {
    Invalid::new(
        format!("{} is not a host", quoted(text)),
        "write a host name such as `api.example.com` or an IP address, without scheme, port or path",
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_host_is_canonical() {
        let long = format!("{}.com", "a".repeat(63));
        for (text, canonical) in [
            ("example.com", "example.com"),
            ("EXAMPLE.Com.", "example.com"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
            ("straße.example", "xn--strae-oqa.example"),
            ("example。com", "example.com"),
            ("_dmarc.my_host.example", "_dmarc.my_host.example"),
            ("r3---sn.example", "r3---sn.example"),
            ("localhost", "localhost"),
            ("1.example", "1.example"),
            (&long, &long),
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7.", "192.0.2.7"),
            ("192.0.2.7", "192.0.2.7"),
            ("2001:DB8:0:0::1", "2001:db8::1"),
            ("[2001:db8::0001]", "2001:db8::1"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
        ] {
            assert_eq!(Host::parse(text).unwrap().to_string(), canonical, "{text}");
        }
        assert!(matches!(Host::parse("[::1]").unwrap(), Host::Ip(IpAddr::V6(_))));
        assert!(matches!(Host::parse("192.0.2.7").unwrap(), Host::Ip(IpAddr::V4(_))));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let label = "a".repeat(64);
        let name = "a.".repeat(127);
        for (text, problem) in [
            ("", "the host is empty"),
            (".", "empty label"),
            ("a..example", "empty label"),
            (".example", "empty label"),
            ("example..", "empty label"),
            (&label, "over 63"),
            (&format!("{name}ab"), "longer than 253"),
            ("a b.example", "not a host"),
            (" example.com", "not a host"),
            ("example.com\n", "not a host"),
            ("a\0.example", "not a host"),
            ("https://example.com", "not an IPv6"),
            ("example.com:443", "not an IPv6"),
            ("example.com/x", "not a host"),
            ("user@example.com", "not a host"),
            ("*.example.com", "not a host"),
            ("a$b.example", "not a host"),
            ("xn--a.example", "not a host"),
            ("a\u{202e}b.example", "not a host"),
            ("fe80::1%eth0", "zone"),
            ("[fe80::1%25eth0]", "zone"),
            ("[192.0.2.7]", "not an IPv6"),
            ("[::1", "not a host"),
            ("[::1]:443", "not a host"),
            ("[]", "not an IPv6"),
            ("127.1", "number"),
            ("2130706433", "number"),
            ("0x7f.1", "number"),
            ("192.0.2.0x7", "number"),
            ("192.0.2.256", "number"),
            ("192.0.2.07", "number"),
            ("a.0x", "number"),
            ("1.2.3.4.5", "number"),
        ] {
            let error = Host::parse(text).expect_err(text);
            assert!(error.problem.contains(problem), "{text}: {error}");
            assert!(!error.fix.is_empty(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_the_canonical_text_is_stable(text in ".*") {
            if let Ok(host) = Host::parse(&text) {
                prop_assert_eq!(Host::parse(&host.to_string()), Ok(host));
            }
        }

        #[test]
        fn names_and_addresses_round_trip(text in "([a-zäß0-9_-]{1,9}\\.){0,3}[a-z]{2,9}\\.?", ip: IpAddr) {
            if let Ok(host) = Host::parse(&text) {
                prop_assert_eq!(Host::parse(&host.to_string()), Ok(host));
            }
            prop_assert_eq!(Host::parse(&ip.to_string()), Ok(Host::Ip(ip.to_canonical())));
        }
    }
}

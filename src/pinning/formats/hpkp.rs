//! The header of RFC 7469.
//!
//! Pins match any certificate of the verified chain, for the host that sent the header and, with `includeSubDomains`, for
//! every name below it, on every port. Hosts that are IP addresses cannot be pinned (section 2.3.3).

use std::fmt::Write as _;

use super::super::entry::{Entry, Mode};
use super::super::error::{Invalid, quoted};
use super::super::host::Host;
use super::super::pattern::{Kind, Pattern};
use super::super::pin::Role;
use super::listing::{self, Listing, place};
use super::missing_host;

const ENFORCED: &str = "Public-Key-Pins";
const REPORTED: &str = "Public-Key-Pins-Report-Only";
/// "On the order of 60 days": section 4.1.
const MAX_AGE: u32 = 60 * 86_400;

/// Reads the header, among others or alone, or its value.
pub(super) fn read(text: &str, host: Option<&Pattern>) -> Result<Listing, Invalid> {
    let host = host.ok_or_else(|| missing_host("the header"))?;
    let apex = match &host.kind {
        Kind::Exact(Host::Dns(_)) | Kind::Subtree(_) if host.port.is_none() => listing::apex(host),
        _ => {
            return Err(Invalid::new(
                format!("no header can be for {host}"),
                "give a name without a port",
            ));
        }
    };
    let (mode, value) = header(text)?;
    let mut entry = listing::entry(listing::exact(&apex)?, Vec::new());
    entry.mode = mode;
    let mut listing = Listing::default();
    let (mut rules, mut seen, mut max_age) = (Vec::new(), Vec::new(), None);
    for (name, value) in directives(value)? {
        let name = name.to_ascii_lowercase();
        if name == "pin-sha256" {
            rules.push(listing::key(value.as_deref().unwrap_or_default(), Role::Any)?);
            continue;
        }
        if seen.contains(&name) {
            return Err(Invalid::new(format!("{} is repeated", quoted(&name)), "keep one of them"));
        }
        match (name.as_str(), value) {
            ("max-age", Some(value)) => max_age = value.parse::<u64>().ok(),
            ("includesubdomains", None) => {
                entry.pattern = Some(Pattern { kind: Kind::Subtree(apex.clone()), port: None });
            }
            ("report-uri", Some(uri)) => {
                let message =
                    format!("where failures are reported to is not in a policy: {}", quoted(&uri));
                listing.note(&place(host), message);
            }
            (other, _) => {
                listing
                    .note(&place(host), format!("the directive {} means nothing", quoted(other)));
            }
        }
        seen.push(name);
    }
    match (max_age, mode) {
        (Some(0), _) => return Err(Invalid::new("max-age=0 says to forget the pins", "give a header that sets them")),
        (Some(seconds), _) => listing.note(
            &place(host),
            format!("max-age, {seconds} s from each response, is not in a policy, whose pins hold until it is changed"),
        ),
        (None, Mode::Enforce) => return Err(Invalid::new("it has no max-age", "browsers ignore such a header")),
        (None, Mode::Report) => {}
    }
    entry.rules = listing::tidy(rules);
    if !entry.rules.is_empty() {
        listing.entries.push(entry);
    }
    Ok(listing)
}

/// The one header in a text, by its name, or the text as its value.
fn header(text: &str) -> Result<(Mode, &str), Invalid> {
    let named = text.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        let name = name.trim();
        let mode = [(ENFORCED, Mode::Enforce), (REPORTED, Mode::Report)];
        mode.iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, mode)| (*mode, value))
    });
    let mut named = named.fuse();
    match (named.next(), named.next()) {
        (Some(one), None) => Ok(one),
        (None, _) => Ok((Mode::Enforce, text)),
        _ => Err(Invalid::new("there are several headers in it", "give one")),
    }
}

/// Names, and values without their quotes.
fn directives(text: &str) -> Result<Vec<(String, Option<String>)>, Invalid> {
    let mut directives = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let end = rest.find([';', '=']).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let name = name.trim();
        let Some(value) = after.strip_prefix('=') else {
            if !name.is_empty() {
                directives.push((name.to_owned(), None));
            }
            rest = after.strip_prefix(';').unwrap_or(after).trim_start();
            continue;
        };
        let value = value.trim_start();
        let (value, after) = match value.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').ok_or_else(|| {
                Invalid::new("a quoted value does not end", "write the closing quote")
            })?,
            None => value.split_at(value.find(';').unwrap_or(value.len())),
        };
        directives.push((name.to_owned(), Some(value.trim().to_owned())));
        rest = match after.trim_start() {
            "" => "",
            after => after.strip_prefix(';').ok_or_else(|| {
                Invalid::new(
                    format!("something stands behind the value of {}", quoted(name)),
                    "write `;`",
                )
            })?,
        }
        .trim_start();
    }
    Ok(directives)
}

pub(super) fn write(entries: &[Entry]) -> String {
    let mut text = String::new();
    for entry in entries {
        text.push_str(if entry.mode == Mode::Enforce { ENFORCED } else { REPORTED });
        text.push_str(": ");
        for digest in listing::digests(entry) {
            let _ = write!(text, "pin-sha256=\"{digest}\"; ");
        }
        let _ = write!(text, "max-age={MAX_AGE}");
        text.push_str(if listing::name(entry).1 { "; includeSubDomains\n" } else { "\n" });
    }
    text
}

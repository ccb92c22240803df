//! TLSA records in the form of a zone file (RFC 1035, section 5; RFC 6698).
//!
//! `_443._tcp.host` is for one port, `*._tcp.host` for those without a record of their own (RFC 4592). Usages 1 and 3 bind
//! the server's own certificate, 0 and 2 an issuer. What else is verified (by usage 3 nothing, by 0 and 1 as always) is
//! not the policy's to say.

use std::fmt::Write as _;

use super::super::entry::Entry;
use super::super::error::{Invalid, quoted};
use super::super::pattern::{Kind, Pattern};
use super::super::pin::{Role, Rule};
use super::super::tlsa;
use super::listing::{self, Listing, exact};
use super::missing_host;

/// Reads the TLSA records among whatever records there are.
pub(super) fn read(text: &str, host: Option<&Pattern>) -> Result<Listing, Invalid> {
    let mut listing = Listing::default();
    let mut found: Vec<(Pattern, Vec<Rule>)> = Vec::new();
    let (mut origin, mut owner) = (None, None);
    for Line { words, is_continued, number } in lines(text)? {
        if words.first().is_some_and(|word| word.eq_ignore_ascii_case("$ORIGIN")) {
            origin = words.get(1).cloned();
            continue;
        }
        if !is_continued {
            owner = words.first().cloned();
        }
        let Some(at) = words.iter().position(|word| word.eq_ignore_ascii_case("TLSA")) else {
            continue;
        };
        let data = words.get(at + 1..).unwrap_or_default().join(" ");
        let read = || -> Result<Option<(Pattern, Rule)>, Invalid> {
            let owner = owner.as_deref().filter(|_| at > 0 || is_continued).unwrap_or_default();
            let Some(pattern) = pattern(owner, origin.as_deref(), host)? else { return Ok(None) };
            let rule = tlsa::parse(&format!("TLSA {data}")).transpose()?;
            Ok(rule.map(|rule| (pattern, rule)))
        };
        match read().map_err(|error| error.at(format!("line {number}")))? {
            Some((pattern, rule)) => match found.iter_mut().find(|(other, _)| *other == pattern) {
                Some((_, rules)) => rules.push(rule),
                None => found.push((pattern, vec![rule])),
            },
            None => {
                let owner = owner.as_deref().unwrap_or_default();
                listing.note("", format!("{} is not for TCP and is left out", quoted(owner)));
            }
        }
    }
    listing.entries =
        found.into_iter().map(|(pattern, rules)| listing::entry(pattern, rules)).collect();
    Ok(listing)
}

/// The host and port in an owner's name; `None` for other protocols than TCP.
fn pattern(
    owner: &str,
    origin: Option<&str>,
    host: Option<&Pattern>,
) -> Result<Option<Pattern>, Invalid> {
    let full = match origin {
        Some(origin) if !owner.ends_with('.') && !owner.is_empty() => format!("{owner}.{origin}"),
        _ => owner.to_owned(),
    };
    let mut labels = full.splitn(3, '.');
    let (port, protocol, name) = (labels.next(), labels.next(), labels.next().unwrap_or_default());
    let (Some(port), Some(protocol)) = (
        port.and_then(|label| label.strip_prefix('_').or((label == "*").then_some(label))),
        protocol,
    ) else {
        return match host {
            Some(host) if owner.is_empty() => Ok(Some(host.clone())),
            _ => Err(Invalid::new(
                format!("{} is not the owner of a TLSA record", quoted(owner)),
                "write `_443._tcp.example.com.`",
            )),
        };
    };
    if !protocol.eq_ignore_ascii_case("_tcp") {
        return Ok(None);
    }
    let base = match name {
        "" => host.cloned().ok_or_else(|| missing_host(&quoted(owner)))?,
        name if name.ends_with('.') => exact(name)?,
        _ => {
            return Err(Invalid::new(
                format!("{} is relative to a name that is not there", quoted(owner)),
                "end it with a dot: `_443._tcp.example.com.`",
            ));
        }
    };
    let text = if port == "*" { base.to_string() } else { format!("{base}:{port}") };
    Pattern::parse(&text).map(Some)
}

struct Line {
    words: Vec<String>,
    /// Whether the owner is the one of the line before.
    is_continued: bool,
    number: usize,
}

/// Lines in the sense of a zone file: parentheses join several, comments are left out.
fn lines(text: &str) -> Result<Vec<Line>, Invalid> {
    let mut lines: Vec<Line> = Vec::new();
    let mut open = false;
    for (at, line) in text.lines().enumerate() {
        if !open {
            lines.push(Line {
                words: Vec::new(),
                is_continued: line.starts_with([' ', '\t']),
                number: at + 1,
            });
        }
        let Some(last) = lines.last_mut() else { continue };
        let (mut word, mut in_quotes) = (String::new(), false);
        for c in line.chars() {
            match c {
                '"' => in_quotes = !in_quotes,
                ';' if !in_quotes => break,
                '(' if !in_quotes && !open => open = true,
                ')' if !in_quotes && open => open = false,
                c if c.is_ascii_whitespace() && !in_quotes => {}
                c => {
                    word.push(c);
                    continue;
                }
            }
            last.words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty()));
        }
        last.words.extend(Some(word).filter(|word| !word.is_empty()));
    }
    if open {
        return Err(Invalid::new("a parenthesis is not closed", "give whole records"));
    }
    lines.retain(|line| !line.words.is_empty());
    Ok(lines)
}

pub(super) fn write(entries: &[Entry]) -> String {
    let mut text = String::new();
    for entry in entries {
        let Some(Pattern { kind: Kind::Exact(host), port }) = &entry.pattern else { continue };
        let owner = match port {
            Some(port) => format!("_{port}._tcp.{host}."),
            None => format!("*._tcp.{host}."),
        };
        for rule in &entry.rules {
            // A pin of any position is satisfied by the server's own certificate or by an issuer's.
            let roles = match rule.role {
                Role::Any => vec![Role::Leaf, Role::Ca],
                one => vec![one],
            };
            for role in roles {
                let _ = writeln!(text, "{owner} IN TLSA {}", Rule { role, pin: rule.pin.clone() });
            }
        }
    }
    text
}

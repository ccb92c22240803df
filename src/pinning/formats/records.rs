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
    let (mut origin, mut owner) = (None, String::new());
    for line in lines(text)? {
        let words: Vec<&str> = line.words.iter().map(String::as_str).collect();
        // As it stands in a policy, or as `dig +short` prints it, a record has no owner.
        let is_alone = !line.is_continued
            && (words.first().is_some_and(|word| is_tlsa(word)) || is_data(&words));
        match words.as_slice() {
            [directive, name, ..] if directive.eq_ignore_ascii_case("$ORIGIN") => {
                origin = Some((*name).to_owned());
            }
            [first, ..] if !line.is_continued && !is_alone => (*first).clone_into(&mut owner),
            _ => {}
        }
        let Some(data) = data(&words, line.is_continued) else { continue };
        let owner = if is_alone { "" } else { owner.as_str() };
        let at = |error: Invalid| error.at(format!("line {}", line.number));
        let Some(pattern) = pattern(owner, origin.as_deref(), host).map_err(at)? else {
            listing.note("", format!("{} is not for TCP and is left out", quoted(owner)));
            continue;
        };
        let record = format!("TLSA {}", data.join(" "));
        let Some(rule) = tlsa::parse(&record).transpose().map_err(at)? else { continue };
        match found.iter_mut().find(|(other, _)| *other == pattern) {
            Some((_, rules)) => rules.push(rule),
            None => found.push((pattern, vec![rule])),
        }
    }
    listing.entries =
        found.into_iter().map(|(pattern, rules)| listing::entry(pattern, rules)).collect();
    Ok(listing)
}

fn is_tlsa(word: &str) -> bool {
    word.eq_ignore_ascii_case("TLSA")
}

/// Usage, selector and matching type, and what follows them.
pub(super) fn is_data(words: &[&str]) -> bool {
    let is_field = |word: &&str| word.len() == 1 && word.starts_with(|c: char| c.is_ascii_digit());
    words.len() > 3 && words.iter().take(3).all(is_field)
}

/// What follows the type, which stands behind the owner, TTL and class, if it is TLSA.
fn data<'a>(words: &'a [&'a str], is_continued: bool) -> Option<&'a [&'a str]> {
    if !is_continued && is_data(words) {
        return Some(words);
    }
    let has_owner = !is_continued && !words.first().is_some_and(|word| is_tlsa(word));
    let mut rest = words.get(usize::from(has_owner)..)?;
    while let [word, after @ ..] = rest {
        if is_tlsa(word) {
            return Some(after);
        }
        if !word.eq_ignore_ascii_case("IN") && !word.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        rest = after;
    }
    None
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
            _ => Err(not_an_owner(owner)),
        };
    };
    if !protocol.eq_ignore_ascii_case("_tcp") {
        let other = protocol.starts_with('_').then_some(None);
        return other.ok_or_else(|| not_an_owner(owner));
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

fn not_an_owner(owner: &str) -> Invalid {
    Invalid::new(
        format!("{} is not the owner of a TLSA record", quoted(owner)),
        "write `_443._tcp.example.com.`",
    )
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

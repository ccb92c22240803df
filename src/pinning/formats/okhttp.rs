//! `CertificatePinner.Builder` of `OkHttp`, in Kotlin and Java.
//!
//! Its `findMatchingPins` takes the pins of every pattern that matches a host, and any one of them suffices; ours takes
//! the most specific entry alone. So what is read gets the pins of the patterns above it as well.

use std::fmt::Write as _;

use super::super::entry::Entry;
use super::super::error::{Invalid, quoted};
use super::super::host::Host;
use super::super::pattern::{Kind, Pattern};
use super::super::pin::Rule;
use super::super::text::parse_text;
use super::listing::{Listing, entry, tidy};

/// A label that no name has.
const OTHER: &str = "?";

/// Reads the calls of `add` in the one builder of a source file, or in lines out of one.
pub(super) fn read(text: &str) -> Result<Listing, Invalid> {
    let tokens = tokens(text)?;
    let mut own: Vec<(Pattern, Vec<Rule>)> = Vec::new();
    let calls = builder(&tokens)?;
    for (at, token) in calls.iter().enumerate() {
        let is_call = *token == Token::Word("add") && calls.get(at + 1) == Some(&Token::Sign('('));
        if !is_call {
            continue;
        }
        let arguments = arguments(calls.get(at + 2..).unwrap_or_default())?;
        let (pattern, pins) = arguments.split_first().ok_or_else(not_literal)?;
        let place = format!(".add({})", quoted(pattern));
        let (pattern, rules) = call(pattern, pins).map_err(|error| error.at(place))?;
        match own.iter_mut().find(|(other, _)| *other == pattern) {
            Some((_, all)) => all.extend(rules),
            None => own.push((pattern, rules)),
        }
    }
    Ok(Listing { entries: merge(&own), ..Listing::pinned_alone() })
}

/// Writes the builder, between what declares its result and what ends the statement.
pub(super) fn write(entries: &[Entry], before: &str, after: &str) -> String {
    let mut text = format!("{before}CertificatePinner.Builder()\n");
    for entry in entries {
        let Some(pattern) = &entry.pattern else { continue };
        // An IPv6 address stands there without brackets.
        let pattern = match &pattern.kind {
            Kind::Exact(host) => host.to_string(),
            _ => pattern.to_string(),
        };
        let _ = write!(text, "    .add(\n        \"{pattern}\"");
        for rule in &entry.rules {
            let _ = write!(text, ",\n        \"{}\"", rule.pin);
        }
        text.push_str("\n    )\n");
    }
    text + "    .build()" + after
}

fn call(pattern: &str, pins: &[String]) -> Result<(Pattern, Vec<Rule>), Invalid> {
    let bracketed = format!("[{pattern}]");
    let is_ipv6 = pattern.matches(':').count() > 1 && !pattern.starts_with('[');
    let pattern = Pattern::parse(if is_ipv6 { &bracketed } else { pattern })?;
    if pattern.port.is_some() {
        return Err(Invalid::new("OkHttp's patterns have no port", "leave the port out"));
    }
    if pins.is_empty() {
        return Err(Invalid::new("it has no pins", "write at least one `sha256/…`"));
    }
    let mut rules = Vec::with_capacity(pins.len());
    for pin in pins {
        let read = parse_text(pin)?;
        if !pin.starts_with("sha256/") {
            return Err(Invalid::new("OkHttp's pins begin with `sha256/`", "write `sha256/…`"));
        }
        rules.extend(read);
    }
    Ok((pattern, rules))
}

/// Entries with which each host has the pins of every pattern that matches it.
fn merge(own: &[(Pattern, Vec<Rule>)]) -> Vec<Entry> {
    let union = |host: &Host| -> Vec<Rule> {
        let matching = own.iter().filter(|(pattern, _)| pattern.matches(host, 443));
        tidy(matching.flat_map(|(_, rules)| rules.iter().cloned()).collect())
    };
    let mut entries: Vec<Entry> = Vec::with_capacity(own.len());
    for (pattern, _) in own {
        // A host that no narrower pattern is for.
        let typical = match &pattern.kind {
            Kind::Exact(host) => host.clone(),
            Kind::OneLabel(name) => Host::Dns(format!("{OTHER}.{name}")),
            Kind::Subtree(name) => Host::Dns(format!("{OTHER}.{OTHER}.{name}")),
        };
        entries.push(entry(pattern.clone(), union(&typical)));
    }
    // `*.` and `**.` cross in one host, of which neither is the more specific pattern.
    for (pattern, _) in own {
        let Kind::Subtree(apex) = &pattern.kind else { continue };
        let Some((_, parent)) = apex.split_once('.') else { continue };
        let one_label = Pattern { kind: Kind::OneLabel(parent.to_owned()), port: None };
        let at_apex = Pattern { kind: Kind::Exact(Host::Dns(apex.clone())), port: None };
        let is_there = |pattern: &Pattern| own.iter().any(|(other, _)| other == pattern);
        if is_there(&one_label) && !is_there(&at_apex) {
            entries.push(entry(at_apex, union(&Host::Dns(apex.clone()))));
        }
    }
    entries
}

#[derive(Debug, PartialEq)]
enum Token<'a> {
    Word(&'a str),
    /// A string literal, and whether what stands in it is what it means.
    Text(&'a str, bool),
    Sign(char),
}

/// What stands between `CertificatePinner.Builder()` and `.build`; everything, where neither is there.
fn builder<'a, 'b>(tokens: &'b [Token<'a>]) -> Result<&'b [Token<'a>], Invalid> {
    let begins = |window: &[Token<'_>]| {
        window == [Token::Word("CertificatePinner"), Token::Sign('.'), Token::Word("Builder")]
    };
    let mut starts = tokens.windows(3).enumerate().filter(|(_, window)| begins(window));
    let start = match (starts.next(), starts.next()) {
        (None, _) => return Ok(tokens),
        (Some((at, _)), None) => at + 3,
        _ => {
            return Err(Invalid::new(
                "there is more than one CertificatePinner.Builder in it",
                "give each on its own: they are policies of different clients",
            ));
        }
    };
    let rest = tokens.get(start..).unwrap_or_default();
    let end = rest.iter().position(|token| *token == Token::Word("build"));
    Ok(rest.get(..end.unwrap_or(rest.len())).unwrap_or_default())
}

/// The string literals up to the closing parenthesis.
fn arguments(tokens: &[Token<'_>]) -> Result<Vec<String>, Invalid> {
    let mut arguments = Vec::new();
    let mut is_next = true;
    for token in tokens {
        match token {
            Token::Sign(')') => return Ok(arguments),
            Token::Sign(',') if !is_next => is_next = true,
            Token::Text(text, true) if is_next => {
                arguments.push((*text).to_owned());
                is_next = false;
            }
            _ => break,
        }
    }
    Err(not_literal())
}

fn not_literal() -> Invalid {
    Invalid::new(
        "an argument of `.add` is not a string as it stands",
        "write the pattern and the pins in place of constants, templates and expressions",
    )
}

/// The tokens of Kotlin or Java, without comments.
fn tokens(text: &str) -> Result<Vec<Token<'_>>, Invalid> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(comment) = rest.strip_prefix("//") {
            rest = comment.split_once('\n').map_or("", |(_, after)| after);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            let (inside, after) = comment.split_once("*/").ok_or_else(|| unended("a comment"))?;
            // They nest in Kotlin and not in Java: what is code depends on the language.
            if inside.contains("/*") {
                return Err(Invalid::new(
                    "a comment begins in a comment",
                    "leave the comments out",
                ));
            }
            rest = after;
        } else if let Some(raw) = rest.strip_prefix("\"\"\"") {
            let (inside, after) = raw.split_once("\"\"\"").ok_or_else(|| unended("a string"))?;
            tokens.push(Token::Text(inside, !inside.contains(['$', '\n'])));
            rest = after;
        } else if first == '"' || first == '\'' {
            let inside = rest.get(1..).unwrap_or_default();
            let length = literal(inside, first).ok_or_else(|| unended("a string"))?;
            let (inside, after) = inside.split_at(length);
            if first == '"' {
                tokens.push(Token::Text(inside, !inside.contains(['\\', '$'])));
            }
            rest = after.get(1..).unwrap_or_default();
        } else if first.is_alphanumeric() || first == '_' {
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            let (word, after) = rest.split_at(rest.find(|c| !is_word(c)).unwrap_or(rest.len()));
            tokens.push(Token::Word(word));
            rest = after;
        } else {
            if !first.is_whitespace() {
                tokens.push(Token::Sign(first));
            }
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
        }
    }
    Ok(tokens)
}

/// The length of a literal up to its closing quote, in the same line.
fn literal(inside: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in inside.char_indices() {
        match c {
            '\n' => return None,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return Some(at),
            _ => {}
        }
    }
    None
}

fn unended(what: &str) -> Invalid {
    Invalid::new(format!("{what} does not end"), "give whole lines of Kotlin or Java")
}

//! Changes to the text of a policy that leave everything else in it as it stands: order, indentation, line breaks.
//!
//! What comes out is read again by the parser that will be asked in the end, and compared with what was wanted: a file is
//! never changed into something else than was said.

use std::sync::Arc;

use super::entry::{Entry, Mode, OnExpiry};
use super::error::Invalid;
use super::layout::{Block, quote};
use super::pattern::Pattern;
use super::pin::{Pin, Role, Rule};
use super::policy::Policy;
use super::policy_json::LISTS;
use super::text::parse_text;

/// A policy's text after a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    pub text: String,
    /// What was added or removed.
    pub done: Vec<Rule>,
    /// What was there already.
    pub skipped: Vec<Rule>,
}

/// Where in its list a new pin is put. It decides nothing: readers expect the pin in use first, the backups behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    First,
    Last,
}

/// Adds rules to the entry of a pattern, or an entry where there is none.
///
/// A pin for any position goes into the entry's list or its `pins`, others into `leaf` and `ca`. A lone pin becomes a list
/// for it, and a list an object where it must.
///
/// # Errors
///
/// The text is not a policy, or a bare list, which is for no host in particular.
pub fn add(text: &str, pattern: &Pattern, rules: &[Rule], end: End) -> Result<Edit, Invalid> {
    let before = listed(text)?;
    let mut wanted = rules_of(&before, pattern);
    let mut edit = Edit { text: text.to_owned(), done: Vec::new(), skipped: Vec::new() };
    // The first of several stays the first.
    let given: Vec<&Rule> = match end {
        End::First => rules.iter().rev().collect(),
        End::Last => rules.iter().collect(),
    };
    for rule in given {
        let anywhere = Rule { role: Role::Any, ..rule.clone() };
        if wanted.contains(rule) || wanted.contains(&anywhere) {
            edit.skipped.push(rule.clone());
            continue;
        }
        edit.text = add_rule(&edit.text, pattern, rule, end).ok_or_else(unclear)?;
        edit.done.push(rule.clone());
        wanted.push(rule.clone());
    }
    check(&before, pattern, wanted, &edit.text)?;
    Ok(edit)
}

/// Removes pins from the entry of a pattern, in whatever form they are written there. One for any position is removed
/// from every list, others from the list that they are for.
///
/// # Errors
///
/// Those of [`add`]; there is no such entry, or no such pin in it; the entry would have no pins.
pub fn remove(text: &str, pattern: &Pattern, rules: &[Rule]) -> Result<Edit, Invalid> {
    let before = listed(text)?;
    let present = rules_of(&before, pattern);
    if present.is_empty() {
        return Err(no_entry(pattern));
    }
    let is_meant = |rule: &Rule, given: &Rule| {
        rule.pin == given.pin && (given.role == Role::Any || given.role == rule.role)
    };
    if let Some(missing) = rules.iter().find(|given| !present.iter().any(|r| is_meant(r, given))) {
        return Err(Invalid::new(
            format!("the entry has no pin {missing}"),
            "compare with the pins that it has, or leave this one out",
        )
        .at(format!("hosts[{}]", quote(&pattern.to_string()))));
    }
    let is_gone = |rule: &Rule| rules.iter().any(|given| is_meant(rule, given));
    let (done, wanted): (Vec<Rule>, Vec<Rule>) = present.into_iter().partition(is_gone);
    if wanted.is_empty() {
        return Err(Invalid::new(
            "no pin would be left",
            "add the pins that replace them first, or remove the host",
        )
        .at(format!("hosts[{}]", quote(&pattern.to_string()))));
    }
    let mut text = text.to_owned();
    while let Some(shorter) = remove_next(&text, pattern, &is_gone) {
        text = shorter;
    }
    check(&before, pattern, wanted, &text)?;
    Ok(Edit { text, done, skipped: Vec::new() })
}

/// Removes the entry of a pattern.
///
/// # Errors
///
/// Those of [`add`]; there is no such entry, or no other.
pub fn remove_host(text: &str, pattern: &Pattern) -> Result<Edit, Invalid> {
    let before = listed(text)?;
    let done = rules_of(&before, pattern);
    if done.is_empty() {
        return Err(no_entry(pattern));
    }
    let hosts = hosts(text).ok_or_else(unclear)?;
    let at = hosts.find(|key| is_pattern(key, pattern)).ok_or_else(unclear)?;
    let text = hosts.remove(at).ok_or_else(|| {
        Invalid::new(
            "it is the only host, and a policy lists at least one",
            "add another one first, or delete the file",
        )
        .at(format!("hosts[{}]", quote(&pattern.to_string())))
    })?;
    check(&before, pattern, Vec::new(), &text)?;
    Ok(Edit { text, done, skipped: Vec::new() })
}

/// A policy that lists hosts.
fn listed(text: &str) -> Result<Policy, Invalid> {
    let policy = Policy::from_json(text)?;
    if policy.is_bare() {
        return Err(Invalid::new(
            "this is a bare list of pins, which is for no host in particular",
            "write `{ \"hosts\": { \"api.example.com\": […] } }`",
        ));
    }
    Ok(policy)
}

fn rules_of(policy: &Policy, pattern: &Pattern) -> Vec<Rule> {
    let entry = policy.entries().iter().find(|entry| entry.pattern() == Some(pattern));
    entry.map(|entry| entry.rules().to_vec()).unwrap_or_default()
}

fn is_pattern(key: &str, pattern: &Pattern) -> bool {
    Pattern::parse(key).as_ref() == Ok(pattern)
}

/// The object of the hosts: of the policy or, as a shorthand, the whole text.
fn hosts(text: &str) -> Option<Block<'_>> {
    let root = Block::whole(text)?;
    match root.find(|key| key == "hosts") {
        Some(at) => root.child(at),
        None => Some(root),
    }
}

/// `None` where the text is not what a policy is.
fn add_rule(text: &str, pattern: &Pattern, rule: &Rule, end: End) -> Option<String> {
    let hosts = hosts(text)?;
    let pin = quote(&rule.pin.to_string());
    let Some(host) = hosts.find(|key| is_pattern(key, pattern)) else {
        let pins = list(&hosts, &[pin]);
        let value = match list_name(rule.role) {
            "pins" => pins,
            name => object(text, &hosts, &[(name, pins)]),
        };
        let last = hosts.len().checked_sub(1)?;
        let member = hosts.member(&pattern.to_string(), &value);
        return Some(hosts.insert_after(last, &member));
    };
    let Some(entry) = hosts.child(host).filter(Block::is_object) else {
        if rule.role == Role::Any {
            return add_to_list(&hosts, host, &pin, end);
        }
        let lists =
            [("pins", hosts.value(host).to_owned()), (list_name(rule.role), list(&hosts, &[pin]))];
        return hosts.replace(host, &object(text, &hosts, &lists));
    };
    if let Some(at) = entry.find(|key| key == list_name(rule.role)) {
        return add_to_list(&entry, at, &pin, end);
    }
    let lists = LISTS.iter().filter_map(|(name, _)| entry.find(|key| key == *name));
    let member = entry.member(list_name(rule.role), &list(&entry, &[pin]));
    Some(entry.insert_after(lists.max()?, &member))
}

/// The whole text with a pin more in the list, or beside the lone pin, in this place.
fn add_to_list(block: &Block<'_>, at: usize, pin: &str, end: End) -> Option<String> {
    match (block.child(at), end) {
        (Some(pins), End::First) => Some(pins.prepend(pin)),
        (Some(pins), End::Last) => Some(pins.insert_after(pins.len().checked_sub(1)?, pin)),
        (None, end) => {
            let mut both = [block.value(at).to_owned(), pin.to_owned()];
            if end == End::First {
                both.reverse();
            }
            block.replace(at, &list(block, &both))
        }
    }
}

/// A list as the last one beside it is written.
fn list(beside: &Block<'_>, pins: &[String]) -> String {
    let blocks = (0..beside.len()).rev().filter_map(|at| beside.child(at));
    match blocks.into_iter().find(|block| !block.is_object()) {
        Some(model) => model.like(pins),
        None => format!("[{}]", pins.join(", ")),
    }
}

/// An entry as the last object beside it is written; where there is none, on lines of its own if the hosts are.
fn object(text: &str, hosts: &Block<'_>, lists: &[(&str, String)]) -> String {
    let indent = unit(text, hosts);
    let blocks = (0..hosts.len()).rev().filter_map(|at| hosts.child(at));
    let model = blocks.into_iter().find(Block::is_object);
    let colon = |(name, list): &(&str, String)| match &model {
        Some(model) => model.member(name, list),
        None => format!("{}: {list}", quote(name)),
    };
    let mut members: Vec<String> = lists.iter().map(colon).collect();
    if let Some(model) = &model {
        return model.like(&members);
    }
    if !hosts.lead().contains('\n') {
        return format!("{{ {} }}", members.join(", "));
    }
    let (outer, inner) = (hosts.lead(), format!("{}{indent}", hosts.lead()));
    for member in &mut members {
        // Strings hold no line breaks: each is followed by an indentation.
        *member = member.replace('\n', &format!("\n{indent}"));
    }
    format!("{{{inner}{}{outer}}}", members.join(&format!(",{inner}")))
}

/// One level of indentation.
fn unit(text: &str, hosts: &Block<'_>) -> String {
    let indent = |lead: &str| lead.rsplit_once('\n').map_or("", |(_, blanks)| blanks).to_owned();
    let inner = indent(hosts.lead());
    let outer = Block::whole(text).map(|root| indent(root.lead())).unwrap_or_default();
    match inner.strip_prefix(outer.as_str()) {
        Some(unit) if !unit.is_empty() => unit.to_owned(),
        _ if inner.is_empty() => "  ".to_owned(),
        _ => inner,
    }
}

/// The text without the next of the rules that are to go; `None` when there is none any more.
fn remove_next(text: &str, pattern: &Pattern, is_gone: &impl Fn(&Rule) -> bool) -> Option<String> {
    let hosts = hosts(text)?;
    let host = hosts.find(|key| is_pattern(key, pattern))?;
    let Some(entry) = hosts.child(host).filter(Block::is_object) else {
        return remove_from(&hosts, host, Role::Any, is_gone);
    };
    LISTS.iter().find_map(|(name, role)| {
        let at = entry.find(|key| key == *name)?;
        remove_from(&entry, at, *role, is_gone)
    })
}

/// As [`remove_next`] for the list or the lone pin in this place.
fn remove_from(
    block: &Block<'_>,
    at: usize,
    role: Role,
    is_gone: &impl Fn(&Rule) -> bool,
) -> Option<String> {
    let Some(pins) = block.child(at) else {
        return match left(&block.string(at)?, role, is_gone)? {
            rest if rest.is_empty() => block.remove(at),
            rest => block.replace(at, &quote(&rest)),
        };
    };
    (0..pins.len()).find_map(|index| match left(&pins.string(index)?, role, is_gone)? {
        rest if !rest.is_empty() => pins.replace(index, &quote(&rest)),
        _ => pins.remove(index).or_else(|| block.remove(at)),
    })
}

/// What is left of a text of one or several pins; `None` where nothing of it goes.
fn left(text: &str, role: Role, is_gone: &impl Fn(&Rule) -> bool) -> Option<String> {
    let rules = parse_text(text).ok()?;
    let before = rules.len();
    let bound = |rule: &Rule| Rule {
        role: if role == Role::Any { rule.role } else { role },
        pin: rule.pin.clone(),
    };
    let rest: Vec<Pin> =
        rules.into_iter().filter(|rule| !is_gone(&bound(rule))).map(|rule| rule.pin).collect();
    let text = || rest.iter().map(ToString::to_string).collect::<Vec<_>>().join(";");
    (rest.len() < before).then(text)
}

fn list_name(role: Role) -> &'static str {
    LISTS.iter().find(|(_, own)| *own == role).map_or("pins", |(name, _)| name)
}

/// Whether the text is a policy that differs from the one before in nothing but the rules of this pattern.
fn check(before: &Policy, pattern: &Pattern, wanted: Vec<Rule>, text: &str) -> Result<(), Invalid> {
    let after = Policy::from_json(text)?;
    let mut expected: Vec<Entry> = before.entries().iter().map(|e| Entry::clone(e)).collect();
    let at = expected.iter().position(|entry| entry.pattern() == Some(pattern));
    match at.and_then(|at| expected.get_mut(at)) {
        Some(entry) => entry.rules = wanted,
        None => expected.push(Entry {
            pattern: Some(pattern.clone()),
            rules: wanted,
            expires: None,
            on_expiry: OnExpiry::default(),
            mode: Mode::default(),
        }),
    }
    expected.retain(|entry| !entry.rules.is_empty());
    let is_meant = after.unlisted == before.unlisted
        && after.expires == before.expires
        && sorted(expected) == sorted(after.entries().iter().map(Arc::as_ref).cloned());
    if is_meant { Ok(()) } else { Err(unclear()) }
}

/// In an order that does not depend on the text's, which decides nothing.
fn sorted(entries: impl IntoIterator<Item = Entry>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = entries.into_iter().collect();
    for entry in &mut entries {
        entry.rules.sort_by_cached_key(ToString::to_string);
    }
    entries.sort_by_cached_key(|entry| entry.pattern().map(ToString::to_string));
    entries
}

fn no_entry(pattern: &Pattern) -> Invalid {
    Invalid::new(
        format!("the policy has no entry `{pattern}`"),
        "write the pattern as it stands in the policy",
    )
}

fn unclear() -> Invalid {
    Invalid::new("this change cannot be made without changing more", "edit the file by hand")
}

#[cfg(test)]
#[path = "edit_tests.rs"]
mod tests;

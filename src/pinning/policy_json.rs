//! The JSON of a policy: a parser that takes nothing but a policy, and the canonical text.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::entry::{Entry, Mode, OnExpiry};
use super::error::{Invalid, quoted};
use super::json::{Json, check_keys};
use super::pattern::Pattern;
use super::pin::{Role, Rule};
use super::policy::{Hosts, Policy, Unlisted};
use super::table::Table;
use super::text::parse_text;
use super::time;

const UNLISTED: [(&str, Unlisted); 3] =
    [("deny", Unlisted::Deny), ("allow", Unlisted::Allow), ("report", Unlisted::Report)];
const ON_EXPIRY: [(&str, OnExpiry); 2] = [("deny", OnExpiry::Deny), ("allow", OnExpiry::Allow)];
/// The lists of an entry, in the order of the canonical text.
pub(super) const LISTS: [(&str, Role); 3] =
    [("pins", Role::Any), ("leaf", Role::Leaf), ("ca", Role::Ca)];
const MODE: [(&str, Mode); 2] = [("enforce", Mode::Enforce), ("report", Mode::Report)];

/// See [`Policy::from_json`].
pub(super) fn parse(text: &str) -> Result<Policy, Invalid> {
    // serde_json bounds the depth: what is nested deeper than 128 levels is an error.
    let json: Json = serde_json::from_str(text).map_err(|error| {
        Invalid::new(
            format!("the policy is not JSON: {error}"),
            "write a policy, a pin or a list of pins",
        )
    })?;
    match json {
        Json::Object(members)
            if members.iter().any(|(key, _)| key == "hosts" || key == "version") =>
        {
            policy(members)
        }
        Json::Object(members) => {
            let hosts = listed(members).map_err(|error| error.at("pins"))?;
            Ok(Policy { unlisted: Unlisted::default(), expires: None, hosts })
        }
        bare => {
            let rules = rules(bare, Role::Any).map_err(|error| error.at("pins"))?;
            let hosts = Hosts::Every(Arc::new(entry_of(rules)));
            Ok(Policy { unlisted: Unlisted::default(), expires: None, hosts })
        }
    }
}

/// See [`Policy::to_json`].
pub(super) fn write(policy: &Policy) -> Value {
    let entries = match &policy.hosts {
        Hosts::Every(entry) => return entry.rules.iter().map(ToString::to_string).collect(),
        Hosts::Listed { entries, .. } => entries,
    };
    let hosts: Map<String, Value> = entries
        .iter()
        .filter_map(|entry| Some((entry.pattern.as_ref()?.to_string(), write_entry(entry))))
        .collect();
    let mut members = Map::new();
    members.insert("version".to_owned(), 1.into());
    members.insert("unlisted".to_owned(), name(&UNLISTED, policy.unlisted).into());
    if let Some(expires) = policy.expires {
        members.insert("expires".to_owned(), time::format(expires).into());
    }
    members.insert("hosts".to_owned(), hosts.into());
    members.into()
}

fn write_entry(entry: &Entry) -> Value {
    let mut members = Map::new();
    for (key, role) in LISTS {
        let pins = entry.rules.iter().filter(|rule| rule.role == role);
        let pins: Vec<String> = pins.map(|rule| rule.pin.to_string()).collect();
        if !pins.is_empty() {
            members.insert(key.to_owned(), pins.into());
        }
    }
    if let Some(expires) = entry.expires {
        members.insert("expires".to_owned(), time::format(expires).into());
    }
    if entry.on_expiry != OnExpiry::default() {
        members.insert("onExpiry".to_owned(), name(&ON_EXPIRY, entry.on_expiry).into());
    }
    if entry.mode != Mode::default() {
        members.insert("mode".to_owned(), name(&MODE, entry.mode).into());
    }
    members.into()
}

pub(super) fn policy(members: Vec<(String, Json)>) -> Result<Policy, Invalid> {
    check_keys(&members, &["$schema", "version", "unlisted", "expires", "hosts"])?;
    let mut unlisted = Unlisted::default();
    let mut expires = None;
    let mut hosts = None;
    for (key, value) in members {
        match key.as_str() {
            "hosts" => listed_value(value).map(|read| hosts = Some(read)),
            "unlisted" => value.choice(&UNLISTED).map(|chosen| unlisted = chosen),
            "version" => check_version(&value),
            "expires" => moment(value).map(|at| expires = Some(at)),
            _ => value.string("a string").map(drop),
        }
        .map_err(|error| error.at(key))?;
    }
    let hosts = hosts.ok_or_else(|| {
        Invalid::new("the policy has no `hosts`", "write `\"hosts\": { \"api.example.com\": […] }`")
    })?;
    Ok(Policy { unlisted, expires, hosts })
}

fn check_version(value: &Json) -> Result<(), Invalid> {
    match value {
        Json::Integer(1) => Ok(()),
        Json::Integer(_) | Json::OtherNumber => Err(Invalid::new(
            "this version of the policy format is not known",
            "write 1, or update this package",
        )),
        other => Err(other.instead_of("the number 1")),
    }
}

fn listed_value(value: Json) -> Result<Hosts, Invalid> {
    match value {
        Json::Object(members) => listed(members),
        other => Err(other.instead_of("an object of hosts")),
    }
}

fn listed(members: Vec<(String, Json)>) -> Result<Hosts, Invalid> {
    if members.is_empty() {
        return Err(Invalid::new(
            "the policy lists no hosts",
            "write at least one, such as `\"api.example.com\": [\"sha256/…\"]`",
        ));
    }
    let mut entries = Vec::with_capacity(members.len());
    let mut table = Table::default();
    for (key, value) in members {
        let entry = listed_entry(&key, value, &mut table);
        entries.push(entry.map_err(|error| error.at(format!("[{}]", quoted(&key))))?);
    }
    entries.sort_by_cached_key(|entry| entry.pattern.as_ref().map(ToString::to_string));
    Ok(Hosts::Listed { entries, table })
}

fn listed_entry(key: &str, value: Json, table: &mut Table) -> Result<Arc<Entry>, Invalid> {
    let pattern = Pattern::parse(key)?;
    let mut entry = match value {
        Json::Object(members) => entry(members)?,
        pins => entry_of(rules(pins, Role::Any)?),
    };
    entry.pattern = Some(pattern.clone());
    let entry = Arc::new(entry);
    // A repeated key is a repeated pattern too.
    if table.insert(&pattern, entry.clone()) {
        Ok(entry)
    } else {
        Err(Invalid::new(
            format!("the pattern `{pattern}` is repeated"),
            "merge its entries into one",
        ))
    }
}

fn entry(members: Vec<(String, Json)>) -> Result<Entry, Invalid> {
    check_keys(&members, &["pins", "leaf", "ca", "expires", "onExpiry", "mode"])?;
    let mut all = Vec::new();
    let mut entry = entry_of(Vec::new());
    for (key, value) in members {
        match key.as_str() {
            "pins" => rules(value, Role::Any).map(|rules| all.extend(rules)),
            "leaf" => rules(value, Role::Leaf).map(|rules| all.extend(rules)),
            "ca" => rules(value, Role::Ca).map(|rules| all.extend(rules)),
            "expires" => moment(value).map(|expires| entry.expires = Some(expires)),
            "onExpiry" => value.choice(&ON_EXPIRY).map(|chosen| entry.on_expiry = chosen),
            _ => value.choice(&MODE).map(|chosen| entry.mode = chosen),
        }
        .map_err(|error| error.at(format!(".{key}")))?;
    }
    if all.is_empty() {
        return Err(Invalid::new("the entry has no pins", "write `pins`, `leaf` or `ca`"));
    }
    Ok(Entry { rules: entry_of(all).rules, ..entry })
}

/// A date and time, as Unix seconds.
pub(super) fn moment(value: Json) -> Result<i64, Invalid> {
    value
        .string("a date and time such as \"2027-03-01T00:00:00Z\"")
        .and_then(|text| time::parse(&text))
}

/// An entry with these rules, grouped by role: two policies that mean the same are equal.
fn entry_of(mut rules: Vec<Rule>) -> Entry {
    rules.sort_by_key(|rule| rule.role);
    Entry {
        pattern: None,
        rules,
        expires: None,
        on_expiry: OnExpiry::default(),
        mode: Mode::default(),
    }
}

/// One pin or a list of pins.
fn rules(value: Json, role: Role) -> Result<Vec<Rule>, Invalid> {
    match value {
        Json::String(text) => rules_of(&text, role),
        Json::Array(items) if items.is_empty() => {
            Err(Invalid::new("the list of pins is empty", "write at least one pin"))
        }
        Json::Array(items) => {
            let mut rules = Vec::with_capacity(items.len());
            for (index, item) in items.into_iter().enumerate() {
                let read = item.string("a pin as a string").and_then(|text| rules_of(&text, role));
                rules.extend(read.map_err(|error| error.at(format!("[{index}]")))?);
            }
            Ok(rules)
        }
        other => Err(other.instead_of("a pin or a list of pins")),
    }
}

fn rules_of(text: &str, role: Role) -> Result<Vec<Rule>, Invalid> {
    let rules = parse_text(text)?;
    rules.into_iter().map(|rule| rule.within(role)).collect()
}

fn name<T: Copy + PartialEq>(choices: &[(&'static str, T)], chosen: T) -> &'static str {
    choices.iter().find(|(_, choice)| *choice == chosen).map_or("", |(name, _)| name)
}

#[cfg(test)]
#[path = "policy_json_tests.rs"]
mod tests;

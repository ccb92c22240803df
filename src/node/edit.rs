//! Changes to the text of a policy.

use napi_derive::napi;
use serde_json::{Value, json};

use crate::pinning::edit::{self, Edit, End};
use crate::pinning::{Invalid, Pattern, Role, Rule, parse_text};

use super::failure::{invalid, outcome};

/// A policy's text with pins added to the entry of a pattern, behind those that are there or `first`. `role` is `leaf`,
/// `ca` or what a pin says itself.
#[napi(catch_unwind)]
#[must_use]
pub fn policy_add(
    text: String,
    pattern: String,
    pins: Vec<String>,
    role: Option<String>,
    first: bool,
) -> String {
    let end = if first { End::First } else { End::Last };
    told(
        pattern_of(&pattern).and_then(|pattern| {
            edit::add(&text, &pattern, &rules_of(&pins, role.as_deref())?, end)
        }),
    )
}

/// A policy's text without these pins in the entry of a pattern or, where there are none given, without the entry.
#[napi(catch_unwind)]
#[must_use]
pub fn policy_remove(
    text: String,
    pattern: String,
    pins: Vec<String>,
    role: Option<String>,
) -> String {
    told(pattern_of(&pattern).and_then(|pattern| match rules_of(&pins, role.as_deref())? {
        rules if rules.is_empty() => edit::remove_host(&text, &pattern),
        rules => edit::remove(&text, &pattern, &rules),
    }))
}

fn pattern_of(text: &str) -> Result<Pattern, Invalid> {
    Pattern::parse(text)
}

fn rules_of(pins: &[String], role: Option<&str>) -> Result<Vec<Rule>, Invalid> {
    let role = match role {
        Some("leaf") => Role::Leaf,
        Some("ca") => Role::Ca,
        _ => Role::Any,
    };
    let mut rules = Vec::new();
    for pin in pins {
        for rule in parse_text(pin)? {
            rules.push(rule.within(role)?);
        }
    }
    Ok(rules)
}

fn told(edit: Result<Edit, Invalid>) -> String {
    let told = edit.map(|Edit { text, done, skipped }| {
        json!({ "text": text, "done": list(&done), "skipped": list(&skipped) })
    });
    outcome(told.map_err(|error| invalid(&error)))
}

fn list(rules: &[Rule]) -> Value {
    let role = |rule: &Rule| match rule.role {
        Role::Any => "any",
        Role::Leaf => "leaf",
        Role::Ca => "ca",
    };
    rules.iter().map(|rule| json!({ "pin": rule.pin.to_string(), "role": role(rule) })).collect()
}

//! `convert`: policies from and to the formats of others.

use napi_derive::napi;
use serde_json::{Value, json};

use crate::pinning::{FORMATS, Format, Invalid, Request, Role, Unlisted, convert};

use super::failure::{invalid, outcome};

/// What is to be converted into what.
#[napi(object)]
pub struct NativeConversion {
    pub from: Option<String>,
    pub to: String,
    pub host: Option<String>,
    pub role: Option<String>,
    pub unlisted: Option<String>,
    pub port: Option<u16>,
}

/// The names of the formats.
#[napi(catch_unwind)]
#[must_use]
pub fn policy_formats() -> Vec<String> {
    FORMATS.iter().map(|(name, _)| (*name).to_owned()).collect()
}

/// Converts a policy; the answer has the text, or null where nothing can be said, and what is lost.
#[napi(catch_unwind)]
#[must_use]
pub fn convert_policy(text: String, conversion: NativeConversion) -> String {
    outcome(converted(&text, &conversion).map_err(|error| invalid(&error)))
}

fn converted(text: &str, conversion: &NativeConversion) -> Result<Value, Invalid> {
    let request = Request {
        from: conversion.from.as_deref().map(format).transpose()?,
        to: format(&conversion.to)?,
        host: conversion.host.as_deref(),
        role: conversion.role.as_deref().map(|name| choice(name, &ROLES)).transpose()?,
        unlisted: conversion.unlisted.as_deref().map(|name| choice(name, &UNLISTED)).transpose()?,
        port: conversion.port,
    };
    let converted = convert(text, &request)?;
    let losses = converted.losses.iter().map(|loss| {
        let kind = if loss.looser { "looser" } else { "note" };
        json!({ "kind": kind, "place": loss.place, "message": loss.message })
    });
    Ok(json!({
        "from": converted.from.to_string(),
        "to": request.to.to_string(),
        "text": converted.text,
        "losses": losses.collect::<Vec<_>>(),
    }))
}

const ROLES: [(&str, Role); 2] = [("leaf", Role::Leaf), ("ca", Role::Ca)];
const UNLISTED: [(&str, Unlisted); 3] =
    [("deny", Unlisted::Deny), ("allow", Unlisted::Allow), ("report", Unlisted::Report)];

fn format(name: &str) -> Result<Format, Invalid> {
    choice(name, &FORMATS)
}

fn choice<T: Copy>(name: &str, choices: &[(&str, T)]) -> Result<T, Invalid> {
    let found = choices.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    found.ok_or_else(|| {
        let known: Vec<&str> = choices.iter().map(|(known, _)| *known).collect();
        Invalid::new(format!("{name:?} is unknown"), format!("give {}", known.join(", ")))
    })
}

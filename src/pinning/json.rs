//! JSON as it was written, with its repeated keys, which a map would hide; and what is asked of it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::error::{Invalid, quoted};

/// A JSON value. Numbers a policy has no use for are not kept.
#[derive(Debug)]
pub(super) enum Json {
    Null,
    Bool(bool),
    Integer(u64),
    OtherNumber,
    String(String),
    Array(Vec<Json>),
    /// The members in the order of the text, repeated keys included.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// The string this must be.
    pub(super) fn string(self, what: &str) -> Result<String, Invalid> {
        match self {
            Self::String(text) => Ok(text),
            other => Err(other.instead_of(what)),
        }
    }

    /// The choice of this name.
    pub(super) fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Result<T, Invalid> {
        let names = list(choices.iter().map(|(name, _)| *name));
        let Self::String(text) = self else {
            return Err(self.instead_of(&names));
        };
        let chosen = choices.iter().find(|(name, _)| name == text);
        chosen.map(|(_, choice)| *choice).ok_or_else(|| {
            Invalid::new(format!("{} is unknown", quoted(text)), format!("write {names}"))
        })
    }

    /// The error for a value of another type than expected.
    pub(super) fn instead_of(&self, what: &str) -> Invalid {
        let kind = match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Integer(_) | Self::OtherNumber => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        };
        Invalid::new(format!("{kind} stands where {what} is expected"), format!("write {what}"))
    }
}

/// Refuses unknown keys, and keys that are written twice: readers differ in which of the two they
/// take.
pub(super) fn check_keys(members: &[(String, Json)], known: &[&str]) -> Result<(), Invalid> {
    let mut seen = Vec::with_capacity(known.len());
    for (key, _) in members {
        if !known.contains(&key.as_str()) {
            let fix = match nearest(key, known) {
                Some(nearest) => format!("write `{nearest}`"),
                None => format!("write {}", list(known.iter().copied())),
            };
            return Err(Invalid::new(format!("the key {} is unknown", quoted(key)), fix));
        }
        if seen.contains(&key) {
            return Err(Invalid::new(format!("the key `{key}` is repeated"), "keep one of them"));
        }
        seen.push(key);
    }
    Ok(())
}

/// The known key that a misspelled one is at most two edits away from.
fn nearest<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    let key: Vec<char> = key.chars().take(32).collect();
    let distances = known.iter().map(|name| (edits(&key, name), *name));
    distances.filter(|(distance, _)| *distance <= 2).min().map(|(_, name)| name)
}

/// The Levenshtein distance, case aside.
fn edits(from: &[char], to: &str) -> usize {
    let mut row: Vec<usize> = (0..=from.len()).collect();
    for (above, wanted) in to.chars().enumerate() {
        let mut left = above + 1;
        let mut next = vec![left];
        for (pair, given) in row.windows(2).zip(from) {
            let [diagonal, up] = pair else { continue };
            let changed = usize::from(!given.eq_ignore_ascii_case(&wanted));
            left = (diagonal + changed).min(up + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

/// `a, b or c` in backquotes.
fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Json, E> {
        Ok(Json::Bool(flag))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json, E> {
        Ok(Json::Integer(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json::OtherNumber)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::OtherNumber)
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::String(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Json, E> {
        Ok(Json::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element()? {
            array.push(item);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json, A::Error> {
        let mut object = Vec::new();
        while let Some(member) = members.next_entry()? {
            object.push(member);
        }
        Ok(Json::Object(object))
    }
}

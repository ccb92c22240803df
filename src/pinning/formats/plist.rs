//! Property lists in XML, as far as policies need them, to and from JSON. A reader of its own, so that a key which is
//! written twice is seen.

use std::fmt::Write as _;

use roxmltree::Node;
use serde_json::Value;

use super::super::error::{Invalid, quoted};
use super::super::json::Json;
use super::xml;

/// Reads a property list, the inside of one that begins with a `<key>`, or JSON.
pub(super) fn read(text: &str) -> Result<Json, Invalid> {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    if text.starts_with("bplist") {
        return Err(Invalid::new(
            "it is a binary property list",
            "convert it first: plutil -convert xml1 Info.plist",
        ));
    }
    if text.starts_with(['{', '[']) {
        return serde_json::from_str(text)
            .map_err(|error| Invalid::new(format!("it is not JSON: {error}"), "check the file"));
    }
    if text.starts_with("<key>") {
        return value(xml::parse(&format!("<dict>{text}</dict>"))?.root_element(), 0);
    }
    let document = xml::parse(text)?;
    let root = document.root_element();
    if root.tag_name().name() != "plist" {
        return value(root, 0);
    }
    let mut inside = xml::elements(root);
    match (inside.next(), inside.next()) {
        (Some(only), None) => value(only, 0),
        _ => Err(Invalid::new("<plist> does not hold one value", "write one <dict> in it")),
    }
}

fn value(node: Node<'_, '_>, depth: usize) -> Result<Json, Invalid> {
    if depth > xml::DEPTH {
        return Err(Invalid::new("it is nested too deeply", "check the file"));
    }
    match node.tag_name().name() {
        "dict" => dict(node, depth),
        "array" => xml::elements(node)
            .map(|item| value(item, depth + 1))
            .collect::<Result<_, _>>()
            .map(Json::Array),
        "string" | "date" | "data" => xml::text(node).map(Json::String),
        "true" => Ok(Json::Bool(true)),
        "false" => Ok(Json::Bool(false)),
        "integer" => {
            let text = xml::text(node)?;
            Ok(text.parse().map_or(Json::OtherNumber, Json::Integer))
        }
        "real" => Ok(Json::OtherNumber),
        other => Err(Invalid::new(
            format!("<{}> is no part of a property list", other.escape_debug()),
            "check the file",
        )),
    }
}

fn dict(node: Node<'_, '_>, depth: usize) -> Result<Json, Invalid> {
    let mut members = Vec::new();
    let mut inside = xml::elements(node);
    while let Some(key) = inside.next() {
        if key.tag_name().name() != "key" {
            return Err(Invalid::new("a <dict> has a value without a key", "check the file"));
        }
        let name = xml::text(key)?;
        let member = inside.next().ok_or_else(|| {
            Invalid::new(format!("the key {} has no value", quoted(&name)), "check the file")
        })?;
        let member =
            value(member, depth + 1).map_err(|error| error.at(format!("[{}]", quoted(&name))))?;
        members.push((name, member));
    }
    Ok(Json::Object(members))
}

/// Writes a property list.
pub(super) fn write(value: &Value) -> String {
    let mut text = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \
         \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
         <plist version=\"1.0\">\n",
    );
    write_value(value, 0, &mut text);
    text + "</plist>\n"
}

fn write_value(value: &Value, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    // Writing to a string does not fail.
    let _ = match value {
        Value::Object(members) => {
            let _ = writeln!(text, "{indent}<dict>");
            for (key, member) in members {
                let _ = writeln!(text, "{indent}  <key>{}</key>", xml::escape(key));
                write_value(member, depth + 1, text);
            }
            writeln!(text, "{indent}</dict>")
        }
        Value::Array(items) => {
            let _ = writeln!(text, "{indent}<array>");
            for item in items {
                write_value(item, depth + 1, text);
            }
            writeln!(text, "{indent}</array>")
        }
        Value::Bool(flag) => writeln!(text, "{indent}<{flag}/>"),
        Value::String(string) => writeln!(text, "{indent}<string>{}</string>", xml::escape(string)),
        other => writeln!(text, "{indent}<integer>{other}</integer>"),
    };
}

/// The value of a key that may stand once, at the top or below one of the `parents`.
pub(super) fn find(json: Json, path: &[&str]) -> Result<Option<Json>, Invalid> {
    let mut json = json;
    for (at, key) in path.iter().enumerate() {
        let Json::Object(members) = json else { return Ok(None) };
        let is_there = members.iter().any(|(name, _)| name == key);
        let is_below = at + 1 < path.len() && !is_there;
        if is_below {
            json = Json::Object(members);
            continue;
        }
        match take(members, key)? {
            Some(found) => json = found,
            None => return Ok(None),
        }
    }
    Ok(Some(json))
}

/// The member of this name; twice is an error, for readers differ in which they take.
pub(super) fn take(members: Vec<(String, Json)>, key: &str) -> Result<Option<Json>, Invalid> {
    let mut found = members.into_iter().filter(|(name, _)| name == key).map(|(_, value)| value);
    match (found.next(), found.next()) {
        (_, Some(_)) => {
            Err(Invalid::new(format!("the key `{key}` is repeated"), "keep one of them"))
        }
        (found, None) => Ok(found),
    }
}

/// The members this must have.
pub(super) fn members(json: Json, what: &str) -> Result<Vec<(String, Json)>, Invalid> {
    match json {
        Json::Object(members) => Ok(members),
        other => Err(other.instead_of(what)),
    }
}

/// A flag.
pub(super) fn flag(json: Json) -> Result<bool, Invalid> {
    match json {
        Json::Bool(flag) => Ok(flag),
        other => Err(other.instead_of("true or false")),
    }
}

/// A list of strings.
pub(super) fn strings(json: Json) -> Result<Vec<String>, Invalid> {
    match json {
        Json::Array(items) => items.into_iter().map(|item| item.string("a string")).collect(),
        other => Err(other.instead_of("a list of strings")),
    }
}

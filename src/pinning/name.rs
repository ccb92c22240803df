//! Distinguished names as text.

use std::fmt::Write as _;

use data_encoding::HEXLOWER;
use x509_parser::asn1_rs::{FromDer as _, Oid, Tag, oid};
use x509_parser::prelude::{AttributeTypeAndValue, X509Name};

/// A distinguished name as text, close to RFC 4514: `CN=api.example.com,O=Example,C=US`.
///
/// Takes the DER of a `Name`, or its content without the outer SEQUENCE, as rustls has a trust
/// anchor's subject. Made for people: it never fails, cuts what is very long, and escapes what
/// could forge another line or hide text in a terminal. Never compare names by it.
#[must_use]
pub fn name_text(der: &[u8]) -> String {
    let wrapped;
    let name = match der {
        [SEQUENCE, ..] | [] => der,
        content => {
            wrapped = sequence(content);
            &wrapped
        }
    };
    let text = match X509Name::from_der(name) {
        Ok(([], name)) => text(&name),
        _ => String::new(),
    };
    // The parser takes what it cannot read for the end of the name.
    if text.is_empty() && !matches!(der, [] | [SEQUENCE, 0]) {
        return cut(format!("#{}", HEXLOWER.encode(der.get(..LONGEST).unwrap_or(der))));
    }
    text
}

/// The text of a parsed name; see [`name_text`].
pub(super) fn text(name: &X509Name<'_>) -> String {
    // RFC 4514, section 2.1: from the last to the first, so that the most specific comes first.
    let rdns: Vec<_> = name.iter_rdn().collect();
    let rdns: Vec<String> = rdns
        .into_iter()
        .rev()
        .map(|rdn| rdn.iter().map(attribute).collect::<Vec<_>>().join("+"))
        .collect();
    cut(rdns.join(","))
}

/// A text from a certificate with every character escaped that is not printable, as RFC 4514 does
/// it: `\0a`.
pub(super) fn printable(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        // What Rust would escape in a literal, quotes and backslash aside: controls, format and
        // bidi characters, lone combining marks, private use.
        let shown = character.escape_debug().nth(1).is_none();
        if shown || matches!(character, '\'' | '"' | '\\') {
            safe.push(character);
        } else {
            push_hex(&mut safe, character);
        }
    }
    safe
}

const SEQUENCE: u8 = 0x30;

/// The most characters of a name: more than any honest one has.
const LONGEST: usize = 1024;

fn cut(text: String) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

/// The content in a SEQUENCE (X.690, section 8.1.3: a short length, or its bytes counted).
fn sequence(content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let zeros = length.iter().take_while(|byte| **byte == 0).count();
    let length = length.get(zeros..).unwrap_or_default();
    let mut der = vec![SEQUENCE];
    match length {
        [] => der.push(0),
        [short] if *short < 0x80 => der.push(*short),
        long => {
            der.extend(u8::try_from(long.len()).map(|count| 0x80 | count));
            der.extend_from_slice(long);
        }
    }
    der.extend_from_slice(content);
    der
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let kind = attribute.attr_type();
    let key = short_name(kind).map_or_else(|| kind.to_id_string(), str::to_owned);
    format!("{key}={}", escape(&value(attribute)))
}

/// The short names of RFC 4514, section 3, and those openssl has for the other common ones.
fn short_name(kind: &Oid<'_>) -> Option<&'static str> {
    let names = [
        (oid!(2.5.4.3), "CN"),
        (oid!(2.5.4.7), "L"),
        (oid!(2.5.4.8), "ST"),
        (oid!(2.5.4.10), "O"),
        (oid!(2.5.4.11), "OU"),
        (oid!(2.5.4.6), "C"),
        (oid!(2.5.4.9), "STREET"),
        (oid!(0.9.2342.19200300.100.1.25), "DC"),
        (oid!(0.9.2342.19200300.100.1.1), "UID"),
        (oid!(2.5.4.4), "SN"),
        (oid!(2.5.4.5), "serialNumber"),
        (oid!(2.5.4.42), "GN"),
        (oid!(2.5.4.97), "organizationIdentifier"),
        (oid!(1.2.840.113549.1.9.1), "emailAddress"),
    ];
    names.iter().find(|(oid, _)| oid == kind).map(|(_, name)| *name)
}

fn value(attribute: &AttributeTypeAndValue<'_>) -> String {
    let value = attribute.attr_value();
    match value.tag() {
        // What calls itself T.61 has been Latin-1 in practice.
        Tag::TeletexString => value.data.iter().copied().map(char::from).collect(),
        Tag::BmpString => {
            let units = value.data.chunks(2).map(|unit| match *unit {
                [high, low] => u16::from_be_bytes([high, low]),
                _ => 0xfffd,
            });
            char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
        }
        _ => String::from_utf8_lossy(value.data).into_owned(),
    }
}

/// RFC 4514, section 2.4.
fn escape(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut escaped = String::with_capacity(value.len());
    for (index, character) in value.chars().enumerate() {
        let edge_blank = character == ' ' && (index == 0 || index == last);
        let special = matches!(character, '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=');
        if special || edge_blank || (character == '#' && index == 0) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    printable(&escaped)
}

fn push_hex(text: &mut String, character: char) {
    for byte in character.encode_utf8(&mut [0; 4]).bytes() {
        // Writing to a string cannot fail.
        let _ = write!(text, "\\{byte:02x}");
    }
}

#[cfg(test)]
#[path = "name_tests.rs"]
mod tests;

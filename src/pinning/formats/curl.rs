//! The argument of curl's `--pinnedpubkey`: the key of the server's own certificate must be one of these.

use super::super::entry::Entry;
use super::super::error::{Invalid, hint};
use super::super::pattern::Pattern;
use super::super::pin::Role;
use super::listing::{self, Listing};
use super::missing_host;

const OPTION: &str = "--pinnedpubkey";

/// Reads the argument, alone or in a command.
pub(super) fn read(text: &str, host: Option<&Pattern>) -> Result<Listing, Invalid> {
    let argument = match text.split_once(OPTION) {
        Some((_, after)) if after.contains(OPTION) => {
            return Err(Invalid::new("there is more than one command in it", "give one"));
        }
        Some((_, after)) => after.trim_start_matches(['=', ' ', '\t', '\\', '\n', '\r']),
        None => text.trim(),
    };
    let argument = match argument.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            argument.get(1..).and_then(|rest| Some(rest.split_once(quote)?.0))
        }
        _ => argument.split_ascii_whitespace().next(),
    };
    let argument = argument.unwrap_or_default();
    let mut rules = Vec::new();
    for pin in argument.split(';') {
        let base64 = pin.trim().strip_prefix("sha256//").ok_or_else(|| {
            Invalid::new(
                format!("{} does not begin with sha256//", hint(pin)),
                "give the digests; of a key in a file, tls-pinning pin FILE makes them",
            )
        })?;
        rules.push(listing::key(base64, Role::Leaf)?);
    }
    let host = host.ok_or_else(|| missing_host("curl's argument"))?;
    Ok(Listing { entries: vec![listing::entry(host.clone(), rules)], ..Listing::default() })
}

pub(super) fn write(entries: &[Entry]) -> String {
    let pins = entries.iter().flat_map(listing::digests).map(|digest| format!("sha256//{digest}"));
    format!("{OPTION} '{}'\n", pins.collect::<Vec<_>>().join(";"))
}

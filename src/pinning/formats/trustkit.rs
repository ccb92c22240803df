//! The configuration of `TrustKit`: a property list or JSON.
//!
//! A host's own key in `TSKPinnedDomains` decides; else the longest one above it with `TSKIncludeSubdomains`. Pins match
//! any certificate of the verified chain. After `TSKExpirationDate`, in UTC, they no longer hold.

use serde_json::{Map, Value, json};

use super::super::entry::{Entry, Mode, OnExpiry};
use super::super::error::{Invalid, quoted};
use super::super::json::{Json, check_keys};
use super::super::pattern::Pattern;
use super::super::pin::Role;
use super::listing::{self, Listing, day, day_text, digests, exact, place, subtree};
use super::plist;

const DOMAIN_KEYS: [&str; 9] = [
    "IncludeSubdomains",
    "EnforcePinning",
    "PublicKeyHashes",
    "ExpirationDate",
    "ExcludeSubdomainFromParentPolicy",
    "ReportUris",
    "DisableDefaultReportUri",
    "PublicKeyAlgorithms",
    "AdditionalTrustAnchors",
];

/// Reads an `Info.plist`, the configuration alone or, as React Native's packages have it, its domains alone.
pub(super) fn read(text: &str) -> Result<Listing, Invalid> {
    let json = plist::read(text)?;
    let is_of_domains = matches!(&json, Json::Object(members) if !members.is_empty() && members.iter().all(|(_, value)| {
        matches!(value, Json::Object(keys) if keys.iter().any(|(key, _)| key.ends_with("ublicKeyHashes")))
    }));
    let domains = if is_of_domains {
        Some(json)
    } else {
        plist::find(json, &["TSKConfiguration", "TSKPinnedDomains"])?
    };
    let domains = domains.ok_or_else(|| {
        Invalid::new("there is no `TSKPinnedDomains` in it", "give the whole `TSKConfiguration`")
    })?;
    let domains = plist::members(domains, "a dictionary of domains")?;
    let mut listing = Listing::pinned_alone();
    let mut unpinned = Vec::new();
    let mut seen: Vec<Pattern> = Vec::new();
    for (name, value) in domains {
        let pattern = exact(&name).map_err(|error| error.at("TSKPinnedDomains: "))?;
        if seen.contains(&pattern) {
            return Err(Invalid::new(format!("{} is repeated", quoted(&name)), "keep one of them"));
        }
        seen.push(pattern.clone());
        let at = format!("TSKPinnedDomains[{}]", quoted(&name));
        match domain(&pattern, value, &mut listing).map_err(|error| error.at(at))? {
            Some(entry) => listing.entries.push(entry),
            None => unpinned.push(pattern),
        }
    }
    for pattern in &unpinned {
        listing.note_unpinned(pattern);
    }
    Ok(listing)
}

/// The entry of a domain; `None` for one that is excluded from its parent's.
fn domain(pattern: &Pattern, value: Json, listing: &mut Listing) -> Result<Option<Entry>, Invalid> {
    let members = plist::members(value, "a dictionary")?;
    let members: Vec<(String, Json)> =
        members.into_iter().map(|(key, value)| (plain_key(&key), value)).collect();
    check_keys(&members, &DOMAIN_KEYS)?;
    let mut entry = listing::entry(pattern.clone(), Vec::new());
    let mut is_excluded = false;
    let here = place(pattern);
    for (key, value) in members {
        let read = match key.as_str() {
            "IncludeSubdomains" => plist::flag(value).and_then(|includes| {
                if includes {
                    entry.pattern = Some(subtree(pattern.clone())?);
                }
                Ok(())
            }),
            "EnforcePinning" => plist::flag(value).map(|enforced| {
                entry.mode = if enforced { Mode::Enforce } else { Mode::Report };
            }),
            "PublicKeyHashes" => plist::strings(value).and_then(|hashes| {
                let rules: Result<Vec<_>, _> =
                    hashes.iter().map(|hash| listing::key(hash, Role::Any)).collect();
                entry.rules = listing::tidy(rules?);
                Ok(())
            }),
            "ExpirationDate" => value.string("a date such as \"2027-03-01\"").and_then(|text| {
                entry.expires = Some(day(&text)?);
                entry.on_expiry = OnExpiry::Allow;
                Ok(())
            }),
            "ExcludeSubdomainFromParentPolicy" => {
                plist::flag(value).map(|excluded| is_excluded = excluded)
            }
            "ReportUris" => plist::strings(value).map(|uris| {
                let message = format!(
                    "where failures are reported to is not in a policy: {}",
                    uris.join(", ")
                );
                listing.note(&here, message);
            }),
            "AdditionalTrustAnchors" => {
                listing.note(
                    &here,
                    "which CAs are trusted is the option `ca` of a client, not the policy's",
                );
                Ok(())
            }
            _ => Ok(()),
        };
        read.map_err(|error| error.at(format!(".TSK{key}")))?;
    }
    if is_excluded {
        return Ok(None);
    }
    if entry.rules.is_empty() {
        return Err(Invalid::new("it has no `TSKPublicKeyHashes`", "write at least two"));
    }
    Ok(Some(entry))
}

/// A key without the prefix that React Native's packages leave out. The constant of one key is misspelled in `TrustKit`
/// itself (`kSK…`).
fn plain_key(key: &str) -> String {
    let plain = key
        .strip_prefix("TSK")
        .or_else(|| key.strip_prefix("kTSK"))
        .or_else(|| key.strip_prefix("kSK"));
    if let Some(plain) = plain {
        return plain.to_owned();
    }
    let mut characters = key.chars();
    characters.next().map_or_else(String::new, |first| {
        first.to_ascii_uppercase().to_string() + characters.as_str()
    })
}

/// Swizzling is on: without it pins hold only where the app calls `TrustKit` itself.
pub(super) fn write(entries: &[Entry]) -> Value {
    let domains: Map<String, Value> = entries.iter().map(domain_value).collect();
    json!({ "TSKConfiguration": { "TSKSwizzleNetworkDelegates": true, "TSKPinnedDomains": domains } })
}

fn domain_value(entry: &Entry) -> (String, Value) {
    let (name, includes) = listing::name(entry);
    let mut value = json!({
        "TSKIncludeSubdomains": includes,
        "TSKEnforcePinning": entry.mode == Mode::Enforce,
        "TSKPublicKeyHashes": digests(entry).collect::<Vec<_>>(),
    });
    if let (Some(expires), Some(members)) = (entry.expires, value.as_object_mut()) {
        members.insert("TSKExpirationDate".to_owned(), day_text(expires).into());
    }
    (name, value)
}

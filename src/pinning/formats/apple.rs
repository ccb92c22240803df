//! `NSPinnedDomains` of Apple's App Transport Security.
//!
//! `NSIncludesSubdomains` covers the name and the names one label below it, and none deeper. Pins of the server's own key
//! and pins of CAs are told apart; where a domain has both, both must match.

use serde_json::{Map, Value, json};

use super::super::entry::Entry;
use super::super::error::{Invalid, quoted};
use super::super::host::Host;
use super::super::json::{Json, check_keys};
use super::super::pattern::{Kind, Pattern};
use super::super::pin::{Role, Rule};
use super::listing::{self, Listing, Loss, digests, exact, place};
use super::plist;

const LEAF: &str = "NSPinnedLeafIdentities";
const CA: &str = "NSPinnedCAIdentities";
const SUBDOMAINS: &str = "NSIncludesSubdomains";
const DIGEST: &str = "SPKI-SHA256-BASE64";

/// Reads an `Info.plist`, `NSAppTransportSecurity` or `NSPinnedDomains`, as a property list or JSON.
pub(super) fn read(text: &str) -> Result<Listing, Invalid> {
    let json = plist::read(text)?;
    let domains =
        plist::find(json, &["NSAppTransportSecurity", "NSPinnedDomains"])?.ok_or_else(|| {
            Invalid::new(
                "there is no `NSPinnedDomains` in it",
                "give the whole `NSAppTransportSecurity`",
            )
        })?;
    let mut listing = Listing::pinned_alone();
    let mut names: Vec<Pattern> = Vec::new();
    let mut below: Vec<Entry> = Vec::new();
    for (name, value) in plist::members(domains, "a dictionary of domains")? {
        let pattern = exact(&name).map_err(|error| error.at("NSPinnedDomains: "))?;
        if names.contains(&pattern) {
            return Err(Invalid::new(format!("{} is repeated", quoted(&name)), "keep one of them"));
        }
        names.push(pattern.clone());
        let at = format!("NSPinnedDomains[{}]", quoted(&name));
        let (rules, includes) =
            domain(&pattern, value, &mut listing).map_err(|error| error.at(at))?;
        if let (true, Kind::Exact(Host::Dns(name))) = (includes, &pattern.kind) {
            let pattern = Pattern { kind: Kind::OneLabel(name.clone()), port: None };
            below.push(listing::entry(pattern, rules.clone()));
        }
        listing.entries.push(listing::entry(pattern, rules));
    }
    listing.entries.extend(below);
    Ok(listing)
}

/// The pins of a domain, and whether its subdomains have them.
fn domain(
    pattern: &Pattern,
    value: Json,
    listing: &mut Listing,
) -> Result<(Vec<Rule>, bool), Invalid> {
    let members = plist::members(value, "a dictionary")?;
    check_keys(&members, &[LEAF, CA, SUBDOMAINS])?;
    let (mut leaf, mut ca, mut includes) = (Vec::new(), Vec::new(), false);
    for (key, value) in members {
        match key.as_str() {
            LEAF => identities(value, Role::Leaf).map(|rules| leaf = rules),
            CA => identities(value, Role::Ca).map(|rules| ca = rules),
            _ => plist::flag(value).map(|flag| includes = flag),
        }
        .map_err(|error| error.at(format!(".{key}")))?;
    }
    if !leaf.is_empty() && !ca.is_empty() {
        let message = "apple wants the server's own key and a CA's to match; a policy takes any one, so the CA's are left \
                       out";
        listing.losses.push(Loss {
            looser: true,
            place: place(pattern),
            message: message.to_owned(),
        });
    }
    let rules = if leaf.is_empty() { ca } else { leaf };
    if rules.is_empty() {
        return Err(Invalid::new("it has no pins", format!("write `{LEAF}` or `{CA}`")));
    }
    Ok((rules, includes))
}

fn identities(value: Json, role: Role) -> Result<Vec<Rule>, Invalid> {
    let Json::Array(items) = value else { return Err(value.instead_of("a list of dictionaries")) };
    let digests = items.into_iter().map(|item| {
        let members = plist::members(item, "a dictionary")?;
        check_keys(&members, &[DIGEST])?;
        let digest = plist::take(members, DIGEST)?;
        let missing = || Invalid::new(format!("there is no `{DIGEST}`"), "write one");
        listing::key(&digest.ok_or_else(missing)?.string("base64")?, role)
    });
    digests.collect()
}

pub(super) fn write(entries: &[Entry]) -> Value {
    let domains: Map<String, Value> = entries.iter().map(domain_value).collect();
    json!({ "NSAppTransportSecurity": { "NSPinnedDomains": domains } })
}

fn domain_value(entry: &Entry) -> (String, Value) {
    let (name, includes) = listing::name(entry);
    let is_ca = entry.rules.iter().all(|rule| rule.role == Role::Ca);
    let identities: Vec<Value> = digests(entry).map(|digest| json!({ DIGEST: digest })).collect();
    (name, json!({ SUBDOMAINS: includes, if is_ca { CA } else { LEAF }: identities }))
}

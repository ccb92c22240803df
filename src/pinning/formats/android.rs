//! Android's network security configuration.
//!
//! The most specific `<domain>` decides. A `<pin-set>` holds for nested `<domain-config>`s too, unless they have one of
//! their own; an empty one means no pins. Pins match any certificate of the verified chain. After the day in
//! `expiration`, in the device's own time zone, they no longer hold.

use std::fmt::Write as _;

use roxmltree::Node;

use super::super::entry::{Entry, OnExpiry};
use super::super::error::{Invalid, quoted};
use super::super::pattern::Pattern;
use super::super::pin::{Role, Rule};
use super::listing::{self, Listing, day, day_text, digests, exact, place, subtree};
use super::{missing_host, xml};

/// Reads a configuration, or a `<domain-config>` or `<pin-set>` out of one.
pub(super) fn read(text: &str, host: Option<&Pattern>) -> Result<Listing, Invalid> {
    let document = xml::parse(text)?;
    let root = document.root_element();
    let mut reader =
        Reader { listing: Listing::pinned_alone(), unpinned: Vec::new(), seen: Vec::new() };
    match root.tag_name().name() {
        "network-security-config" => {
            for config in xml::elements(root) {
                match config.tag_name().name() {
                    "domain-config" => reader.config(config, None, 0)?,
                    "debug-overrides" => reader.listing.note(
                        "",
                        "debug-overrides, for debuggable builds alone, is not in a policy",
                    ),
                    _ => reader.anchors(config, ""),
                }
            }
        }
        "domain-config" => reader.config(root, None, 0)?,
        "pin-set" => {
            let host = host.ok_or_else(|| missing_host("a <pin-set>"))?;
            let pins = PinSet::read(root)?;
            reader.listing.entries.push(pins.entry(host.clone()));
            reader.listing.unlisted = None;
        }
        other => {
            return Err(Invalid::new(
                format!("<{}> is no network security configuration", other.escape_debug()),
                "give the file that android:networkSecurityConfig names",
            ));
        }
    }
    let Reader { mut listing, unpinned, .. } = reader;
    for pattern in &unpinned {
        listing.note_unpinned(pattern);
    }
    Ok(listing)
}

struct Reader {
    listing: Listing,
    unpinned: Vec<Pattern>,
    seen: Vec<Pattern>,
}

#[derive(Clone)]
struct PinSet {
    rules: Vec<Rule>,
    expires: Option<i64>,
}

impl Reader {
    fn config(
        &mut self,
        node: Node<'_, '_>,
        inherited: Option<&PinSet>,
        depth: usize,
    ) -> Result<(), Invalid> {
        if depth > xml::DEPTH {
            return Err(Invalid::new("it is nested too deeply", "check the file"));
        }
        let children =
            |name| xml::elements(node).filter(move |child| child.tag_name().name() == name);
        let mut sets = children("pin-set");
        let own = match (sets.next(), sets.next()) {
            (None, _) => None,
            (Some(set), None) => Some(PinSet::read(set)?),
            _ => {
                return Err(Invalid::new(
                    "a <domain-config> has two <pin-set>s",
                    "keep one of them",
                ));
            }
        };
        let pins = own.as_ref().or(inherited);
        let mut names = Vec::new();
        for domain in children("domain") {
            names.push(self.domain(domain, pins)?);
        }
        self.anchors(node, &names.first().map(place).unwrap_or_default());
        children("domain-config").try_for_each(|nested| self.config(nested, pins, depth + 1))
    }

    fn domain(&mut self, node: Node<'_, '_>, pins: Option<&PinSet>) -> Result<Pattern, Invalid> {
        let name = xml::text(node)?;
        let pattern = exact(&name).map_err(|error| error.at("<domain>: "))?;
        if self.seen.contains(&pattern) {
            return Err(Invalid::new(
                format!("the domain {} is repeated", quoted(&name)),
                "keep one of them",
            ));
        }
        self.seen.push(pattern.clone());
        let includes = flag(node, "includeSubdomains")?;
        match pins.filter(|pins| !pins.rules.is_empty()) {
            Some(pins) if includes => {
                self.listing.entries.push(pins.entry(subtree(pattern.clone())?));
            }
            Some(pins) => self.listing.entries.push(pins.entry(pattern.clone())),
            None => self.unpinned.push(pattern.clone()),
        }
        Ok(pattern)
    }

    /// Notes what a configuration says of CAs.
    fn anchors(&mut self, node: Node<'_, '_>, place: &str) {
        for anchors in
            xml::elements(node).filter(|child| child.tag_name().name() == "trust-anchors")
        {
            self.listing.note(
                place,
                "which CAs are trusted is the option `ca` of a client, not the policy's",
            );
            if xml::elements(anchors).any(|entry| entry.attribute("overridePins") == Some("true")) {
                self.listing.note(place, "overridePins excuses the chains of some CAs from the pins; a policy excuses none");
            }
        }
    }
}

impl PinSet {
    fn read(node: Node<'_, '_>) -> Result<Self, Invalid> {
        let expires = node.attribute("expiration").map(day).transpose();
        let expires = expires.map_err(|error| error.at("<pin-set expiration>: "))?;
        let mut rules = Vec::new();
        for pin in xml::elements(node).filter(|child| child.tag_name().name() == "pin") {
            if pin.attribute("digest") != Some("SHA-256") {
                return Err(Invalid::new("a <pin> is no SHA-256", "write digest=\"SHA-256\""));
            }
            rules.push(
                listing::key(&xml::text(pin)?, Role::Any).map_err(|error| error.at("<pin>: "))?,
            );
        }
        Ok(Self { rules, expires })
    }

    fn entry(&self, pattern: Pattern) -> Entry {
        let mut entry = listing::entry(pattern, self.rules.clone());
        entry.expires = self.expires;
        if self.expires.is_some() {
            entry.on_expiry = OnExpiry::Allow;
        }
        entry
    }
}

fn flag(node: Node<'_, '_>, name: &str) -> Result<bool, Invalid> {
    match node.attribute(name) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => {
            Err(Invalid::new(format!("{name} is {}", quoted(other)), "write \"true\" or \"false\""))
        }
    }
}

pub(super) fn write(entries: &[Entry]) -> String {
    let mut text =
        String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<network-security-config>\n");
    for entry in entries {
        let (name, includes) = listing::name(entry);
        let expires = entry.expires.map(|at| format!(" expiration=\"{}\"", day_text(at)));
        let _ = write!(
            text,
            "  <domain-config>\n    <domain includeSubdomains=\"{includes}\">{name}</domain>\n    <pin-set{}>\n",
            expires.unwrap_or_default()
        );
        for digest in digests(entry) {
            let _ = writeln!(text, "      <pin digest=\"SHA-256\">{digest}</pin>");
        }
        text.push_str("    </pin-set>\n  </domain-config>\n");
    }
    text + "</network-security-config>\n"
}

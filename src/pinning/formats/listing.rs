//! What a reader makes of a text in a format of others.

use super::super::entry::{Entry, Mode, OnExpiry};
use super::super::error::{Invalid, quoted};
use super::super::host::Host;
use super::super::pattern::{Kind, Pattern};
use super::super::pin::{Algorithm, Pin, Role, Rule, Target};
use super::super::policy::Unlisted;
use super::super::{text, time};

/// Entries whose decisions, the most specific alone, are those that the format's own client would make.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub entries: Vec<Entry>,
    /// What holds for other hosts; `None` where the text does not speak of them.
    pub unlisted: Option<Unlisted>,
    /// When everything in it ends, and every host is refused.
    pub expires: Option<i64>,
    /// What the entries do not say, and the text did.
    pub losses: Vec<Loss>,
}

/// Something that a conversion does not carry over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Whether the result accepts what the source refuses.
    pub looser: bool,
    /// Where in the source, as a policy: `hosts["api.example.com"]`, or empty.
    pub place: String,
    pub message: String,
}

impl Listing {
    /// Of a client that does not pin other hosts.
    pub fn pinned_alone() -> Self {
        Self { unlisted: Some(Unlisted::Allow), ..Self::default() }
    }

    /// Notes what is lost without making anything looser.
    pub fn note(&mut self, place: &str, message: impl Into<String>) {
        self.losses.push(Loss { looser: false, place: place.to_owned(), message: message.into() });
    }

    /// Notes that a name which its client does not pin falls under an entry for a parent's subdomains.
    pub fn note_unpinned(&mut self, pattern: &Pattern) {
        let (Kind::Exact(host), port) = (&pattern.kind, 443) else { return };
        let covered = self.entries.iter().filter_map(|entry| entry.pattern.as_ref());
        if let Some(above) = covered.clone().find(|above| above.matches(host, port)) {
            let message =
                format!("it is not pinned there; in a policy it falls under \"{above}\" and is");
            self.note(&place(pattern), message);
        }
    }
}

/// Where a pattern stands in a policy.
pub(super) fn place(pattern: &Pattern) -> String {
    format!("hosts[{}]", quoted(&pattern.to_string()))
}

/// An entry that is enforced and does not expire.
pub(super) fn entry(pattern: Pattern, rules: Vec<Rule>) -> Entry {
    Entry {
        pattern: Some(pattern),
        rules: tidy(rules),
        expires: None,
        on_expiry: OnExpiry::default(),
        mode: Mode::default(),
    }
}

/// Each rule once, and a pin that the leaf and an issuer may satisfy as one of any position.
pub(super) fn tidy(rules: Vec<Rule>) -> Vec<Rule> {
    let has = |pin: &Pin, role| rules.iter().any(|rule| rule.role == role && rule.pin == *pin);
    let mut tidy: Vec<Rule> = Vec::with_capacity(rules.len());
    for rule in &rules {
        let any =
            has(&rule.pin, Role::Any) || (has(&rule.pin, Role::Leaf) && has(&rule.pin, Role::Ca));
        let rule = Rule { role: if any { Role::Any } else { rule.role }, pin: rule.pin.clone() };
        if !tidy.contains(&rule) {
            tidy.push(rule);
        }
    }
    tidy.sort_by_key(|rule| rule.role);
    tidy
}

/// The exact host that a format means by a name.
pub(super) fn exact(name: &str) -> Result<Pattern, Invalid> {
    Host::parse(name).map(|host| Pattern { kind: Kind::Exact(host), port: None })
}

/// The name itself and every name below it.
pub(super) fn subtree(pattern: Pattern) -> Result<Pattern, Invalid> {
    match pattern.kind {
        Kind::Exact(Host::Dns(name)) => Ok(Pattern { kind: Kind::Subtree(name), ..pattern }),
        _ => Err(Invalid::new(
            format!("{pattern} has no subdomains"),
            "leave the subdomains out, or write a name",
        )),
    }
}

/// The SHA-256 of a key in base64, with nothing around it.
pub(super) fn key(base64: &str, role: Role) -> Result<Rule, Invalid> {
    let pin = text::pin(Target::Spki, Algorithm::Sha256, &text::base64(base64.trim_ascii())?)?;
    Ok(Rule { pin, role })
}

/// `2027-03-01`, whose beginning in UTC is meant.
pub(super) fn day(text: &str) -> Result<i64, Invalid> {
    time::parse(&format!("{text}T00:00:00Z")).map_err(|_| {
        Invalid::new(format!("{} is not a date", quoted(text)), "write it such as `2027-03-01`")
    })
}

/// The inverse of [`day`]; the time of day is left out.
pub(super) fn day_text(seconds: i64) -> String {
    time::format(seconds).chars().take(10).collect()
}

/// The key of an entry's pins in base64.
pub(super) fn digests(entry: &Entry) -> impl Iterator<Item = String> {
    entry.rules.iter().map(|rule| data_encoding::BASE64.encode(rule.pin.digest()))
}

/// The name or address in a pattern.
pub(super) fn apex(pattern: &Pattern) -> String {
    match &pattern.kind {
        Kind::Exact(host) => host.to_string(),
        Kind::OneLabel(name) | Kind::Subtree(name) => name.clone(),
    }
}

/// The name that an entry is for, and whether its subdomains are meant too.
pub(super) fn name(entry: &Entry) -> (String, bool) {
    entry.pattern.as_ref().map_or_else(Default::default, |pattern| {
        (apex(pattern), !matches!(pattern.kind, Kind::Exact(_)))
    })
}

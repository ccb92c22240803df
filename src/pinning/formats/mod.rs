//! Policies from and to the formats of others.
//!
//! A conversion reads the source into a [`Listing`], fits its entries to what the other format can say
//! ([`fit`]), writes them, reads back what was written, and asks both the source and that the same questions
//! ([`compare`]). Every difference is a [`Loss`]. So no writer has to remember what its format cannot express, and none
//! can forget it.
//!
//! # Layout
//!
//! - `listing`: what a reader makes of a text; `guess`: which format a text is in
//! - `okhttp`, `trustkit`, `android`, `apple`, `curl`, `hpkp`, `records` (TLSA): a reader and a writer each, with the
//!   rules by which that client finds the pins of a host
//! - `xml`, `plist`: what the formats of Android and Apple are written in

mod android;
mod apple;
mod compare;
mod curl;
mod fit;
mod guess;
mod hpkp;
mod listing;
mod okhttp;
mod plist;
mod records;
mod trustkit;
mod xml;

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use self::listing::Listing;
pub use self::listing::Loss;
use super::entry::Entry;
use super::error::Invalid;
use super::pattern::{Kind, Pattern};
use super::pin::Role;
use super::policy::{Policy, Unlisted};
use super::time;

/// A format that policies are read from and written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// This package's own.
    Policy,
    /// Code that builds `OkHttp`'s `CertificatePinner`, in Kotlin.
    OkHttp,
    /// The same in Java.
    OkHttpJava,
    /// `TSKConfiguration` in a property list.
    TrustKit,
    /// The same in JSON.
    TrustKitJson,
    /// A network security configuration.
    Android,
    /// `NSPinnedDomains` in a property list.
    Apple,
    /// The argument `--pinnedpubkey`.
    Curl,
    /// The header `Public-Key-Pins` (RFC 7469).
    Hpkp,
    /// TLSA records in the form of a zone file (RFC 6698).
    Tlsa,
}

/// Every format, and what users call it.
pub const FORMATS: [(&str, Format); 10] = [
    ("policy", Format::Policy),
    ("okhttp", Format::OkHttp),
    ("okhttp-java", Format::OkHttpJava),
    ("trustkit", Format::TrustKit),
    ("trustkit-json", Format::TrustKitJson),
    ("android", Format::Android),
    ("apple", Format::Apple),
    ("curl", Format::Curl),
    ("hpkp", Format::Hpkp),
    ("tlsa", Format::Tlsa),
];

/// What is to be converted into what.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Guessed from the text where it is not given.
    pub from: Option<Format>,
    pub to: Format,
    /// The host of a source that names none, or the one host that the target is for.
    pub host: Option<&'a str>,
    /// What the pins without a role are.
    pub role: Option<Role>,
    /// What the source says of other hosts, in the place of what it does say.
    pub unlisted: Option<Unlisted>,
    /// The port of entries without one.
    pub port: Option<u16>,
}

/// What came of it.
#[derive(Debug)]
pub struct Conversion {
    pub from: Format,
    /// `None` where nothing of the source can be said in the other format.
    pub text: Option<String>,
    /// The looser ones first.
    pub losses: Vec<Loss>,
}

/// Converts a policy, and says what is lost.
///
/// # Errors
///
/// A source that is malformed, or in no format that can be guessed; a host that is missing, or has no entry; pins of
/// which the target must know whether they are a server's or a CA's, and the source does not say.
pub fn convert(text: &str, request: &Request<'_>) -> Result<Conversion, Invalid> {
    let Request { to, .. } = *request;
    let from = request.from.map_or_else(|| guess::guess(text), Ok)?;
    let host = request.host.map(Pattern::parse).transpose().map_err(|error| error.at("--host"))?;
    let mut source = from.read(text, host.as_ref())?;
    if source.entries.is_empty() {
        return Err(Invalid::new(
            format!("there are no pins in it, read as {from}"),
            "check the file, or say with --from which format it is in",
        ));
    }
    override_by(&mut source, request);
    if to.is_of_one_host() {
        source.entries = vec![select(&source, host.as_ref(), to)?];
    }
    let fitted = fit::fit(&source.entries, to)?;
    let text = if fitted.is_empty() { None } else { Some(to.write(&fitted, &source)?) };
    let target = match &text {
        Some(text) => to.read(text, fitted.first().and_then(|entry| entry.pattern.as_ref()))?,
        None => Listing::default(),
    };
    let mut losses = source.losses.clone();
    losses.extend(source.expires.filter(|_| to != Format::Policy).map(|expires| ends(expires, to)));
    losses.extend(compare::losses(&source, &target, to)?);
    losses.extend(fitted.iter().filter_map(|entry| fit::unusable(entry, to)));
    losses.sort_by_key(|loss| !loss.looser);
    Ok(Conversion { from, text, losses })
}

impl Format {
    fn read(self, text: &str, host: Option<&Pattern>) -> Result<Listing, Invalid> {
        match self {
            Self::Policy => read_policy(text, host),
            Self::OkHttp | Self::OkHttpJava => okhttp::read(text),
            Self::TrustKit | Self::TrustKitJson => trustkit::read(text),
            Self::Android => android::read(text, host),
            Self::Apple => apple::read(text),
            Self::Curl => curl::read(text, host),
            Self::Hpkp => hpkp::read(text, host),
            Self::Tlsa => records::read(text, host),
        }
    }

    fn write(self, entries: &[Entry], source: &Listing) -> Result<String, Invalid> {
        match self {
            Self::Policy => write_policy(entries, source),
            Self::OkHttp => Ok(okhttp::write(entries, "val certificatePinner = ", "\n")),
            Self::OkHttpJava => {
                Ok(okhttp::write(entries, "CertificatePinner certificatePinner = new ", ";\n"))
            }
            Self::TrustKit => Ok(plist::write(&trustkit::write(entries))),
            Self::TrustKitJson => Ok(format!("{:#}\n", trustkit::write(entries))),
            Self::Android => Ok(android::write(entries)),
            Self::Apple => Ok(plist::write(&apple::write(entries))),
            Self::Curl => Ok(curl::write(entries)),
            Self::Hpkp => Ok(hpkp::write(entries)),
            Self::Tlsa => Ok(records::write(entries)),
        }
    }

    /// Whether it speaks of one host, which it does not name.
    fn is_of_one_host(self) -> bool {
        matches!(self, Self::Curl | Self::Hpkp)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = FORMATS.iter().find(|(_, format)| format == self);
        f.write_str(known.map_or("", |(name, _)| name))
    }
}

/// What the user says of the source.
fn override_by(source: &mut Listing, request: &Request<'_>) {
    source.unlisted = request.unlisted.or(source.unlisted);
    for entry in &mut source.entries {
        if let Some(role) = request.role {
            for rule in &mut entry.rules {
                rule.role = if rule.role == Role::Any { role } else { rule.role };
            }
        }
    }
    if let Some(port) = request.port {
        at_port(&mut source.entries, port);
    }
}

/// Gives the port to the entries without one. Those that have an entry for it already hold for other ports alone.
fn at_port(entries: &mut Vec<Entry>, port: u16) {
    let taken: Vec<Pattern> = entries.iter().filter_map(|entry| entry.pattern.clone()).collect();
    entries.retain_mut(|entry| match &mut entry.pattern {
        Some(pattern) if pattern.port.is_none() => {
            pattern.port = Some(port);
            !taken.contains(pattern)
        }
        _ => true,
    });
}

/// The entry for the host that a format of one host is to speak of, as an entry of that host's own.
fn select(source: &Listing, host: Option<&Pattern>, to: Format) -> Result<Entry, Invalid> {
    let Some(host) = host else {
        return match source.entries.as_slice() {
            [only] => Ok(only.clone()),
            several => Err(Invalid::new(
                format!("{to} speaks of one host, and here are {}", several.len()),
                "say with --host which one is meant",
            )),
        };
    };
    if let Some(same) = source.entries.iter().find(|entry| entry.pattern.as_ref() == Some(host)) {
        return Ok(same.clone());
    }
    let policy = Policy::of(source.entries.clone(), Unlisted::Deny)?;
    let found = match &host.kind {
        Kind::Exact(name) => policy.entry(name, host.port.unwrap_or(443)),
        _ => None,
    };
    let entry = found.ok_or_else(|| {
        Invalid::new(format!("there is no entry for {host}"), "give a host that it has pins for")
    })?;
    let subtree = match (&host.kind, entry.pattern.as_ref().map(|pattern| &pattern.kind)) {
        (Kind::Exact(name), Some(kind @ Kind::Subtree(apex))) if name.to_string() == *apex => {
            (to == Format::Hpkp).then(|| kind.clone())
        }
        _ => None,
    };
    let pattern = Pattern { kind: subtree.unwrap_or_else(|| host.kind.clone()), port: host.port };
    Ok(Entry { pattern: Some(pattern), ..Entry::clone(entry) })
}

fn read_policy(text: &str, host: Option<&Pattern>) -> Result<Listing, Invalid> {
    let policy = Policy::from_json(text)?;
    let mut entries: Vec<Entry> =
        policy.entries().iter().map(|entry| Entry::clone(entry)).collect();
    if let (true, [entry]) = (policy.is_bare(), entries.as_mut_slice()) {
        entry.pattern = Some(host.cloned().ok_or_else(|| missing_host("a bare list of pins"))?);
        return Ok(Listing { entries, ..Listing::default() });
    }
    let expires = policy.expires();
    Ok(Listing { entries, unlisted: Some(policy.unlisted), expires, losses: Vec::new() })
}

/// The canonical policy, its keys in the order in which one reads them.
fn write_policy(entries: &[Entry], source: &Listing) -> Result<String, Invalid> {
    #[derive(Serialize)]
    struct Ordered<'a> {
        version: &'a Value,
        unlisted: &'a Value,
        #[serde(skip_serializing_if = "Value::is_null")]
        expires: &'a Value,
        hosts: &'a Value,
    }
    let mut policy = Policy::of(entries.to_vec(), source.unlisted.unwrap_or_default())?;
    policy.expires = source.expires;
    let json = policy.to_json();
    let of = |key| json.get(key).unwrap_or(&Value::Null);
    let ordered = Ordered {
        version: of("version"),
        unlisted: of("unlisted"),
        expires: of("expires"),
        hosts: of("hosts"),
    };
    let text = serde_json::to_string_pretty(&ordered);
    text.map(|text| text + "\n").map_err(|error| Invalid::new(error.to_string(), "report this"))
}

/// No other format refuses every host from some time on.
fn ends(expires: i64, to: Format) -> Loss {
    let message = format!(
        "{to} would go on after {}, when the policy as a whole expires and refuses every host",
        time::format(expires)
    );
    Loss { looser: true, place: "expires".to_owned(), message }
}

/// The error for a source that does not say for which host it is.
fn missing_host(what: &str) -> Invalid {
    Invalid::new(format!("{what} names no host"), "say with --host which one it is for")
}

#[cfg(test)]
mod reader_tests;
#[cfg(test)]
mod tests;

//! The pure decisions of pinning: what a pin is, which hosts it is for, and whether a path
//! satisfies it.
//!
//! Nothing here does I/O, reads a clock or knows a TLS library: time is passed in as Unix seconds
//! and certificates as bytes. Every parser is strict; what it does not understand is an
//! [`Invalid`], never a guess.
//!
//! # Layout
//!
//! - [`Pin`], [`Rule`] (`pin`): a digest of a key or certificate, and the position that may satisfy
//!   it.
//! - [`parse_text`] (`text`, `tlsa`): every textual form of a pin.
//! - [`Material`] (`material`): DER and PEM that a pin is made from.
//! - [`Host`], [`Pattern`] (`host`, `pattern`): the names a policy speaks of.
//! - [`Policy`], [`Entry`] (`policy`, `entry`, `table`): which pins hold for a host, and the
//!   lookup.
//! - `policy_json`, `json`, `time`: the strict parser of a policy file, and its canonical text.
//! - [`convert`] (`formats`): policies from and to the formats of others.
//! - [`edit`], `layout`: changes to a policy's text that keep its formatting.
//! - [`Signed`] (`signed`): the payload of a signed policy.
//! - [`Warning`] (`lint`): what is valid in a policy and still unwise.
//! - [`CertificateInfo`] (`certificate`, `name`): what an error message tells of a certificate.
//! - [`PinSet`] (`pin_set`): the live policy that is replaced as a whole.

mod certificate;
pub mod edit;
mod entry;
mod error;
mod formats;
mod host;
mod json;
mod layout;
mod lint;
mod material;
mod name;
mod pattern;
mod pin;
mod pin_set;
mod policy;
mod policy_json;
mod signed;
mod table;
mod text;
mod time;
mod tlsa;

pub use certificate::{CertificateInfo, read_certificate, read_certificate_head};
pub use entry::{Entry, Match, Mode, OnExpiry, PathCertificate};
pub use error::Invalid;
pub use formats::{Conversion, FORMATS, Format, Loss, Request, convert};
pub use host::Host;
pub use lint::Warning;
pub use material::Material;
pub use name::name_text;
pub use pattern::Pattern;
pub use pin::{Algorithm, Pin, Role, Rule, Target};
pub use pin_set::{Observer, PinSet, Snapshot};
pub use policy::{Decision, Policy, Refusal, Unenforced, Unlisted};
pub use signed::Signed;
pub use text::parse_text;
pub use time::format as time_text;

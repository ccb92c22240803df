//! One entry of a policy, and the comparison of its pins with a verified path.

use std::borrow::Cow;

use super::pattern::Pattern;
use super::pin::{Pin, Role, Rule};

/// What a failed comparison means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The connection is refused.
    #[default]
    Enforce,
    /// The connection goes on, and the failure is reported; so is the entry's expiry.
    Report,
}

/// What an entry past its expiry means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnExpiry {
    /// Its hosts are refused, unless the entry is in [`Mode::Report`].
    #[default]
    Deny,
    /// Its hosts are no longer pinned, which is reported.
    Allow,
}

/// The pins of one pattern, and how strictly they hold.
///
/// Any one match satisfies the entry. It has at least one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub(super) pattern: Option<Pattern>,
    pub(super) rules: Vec<Rule>,
    pub(super) expires: Option<i64>,
    pub(super) on_expiry: OnExpiry,
    pub(super) mode: Mode,
}

/// A certificate of a verified path. The first of a path is the leaf, the others are issuers.
#[derive(Clone, Debug)]
pub struct PathCertificate<'a> {
    /// The DER of the `SubjectPublicKeyInfo`, as the verifier read it.
    pub spki: Cow<'a, [u8]>,
    /// The certificate's DER, unknown for a trust anchor that is only a name and a key.
    pub der: Option<Cow<'a, [u8]>>,
}

/// The pin that a path satisfied, and the position of the certificate that did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    pub pin: Pin,
    pub index: usize,
}

impl Entry {
    /// The first certificate of a verified path, the leaf first, that satisfies a rule.
    ///
    /// On a path of one certificate this is the leaf and no issuer, even if it is self-signed.
    #[must_use]
    pub fn find(&self, path: &[PathCertificate<'_>]) -> Option<Match> {
        path.iter().enumerate().find_map(|(index, certificate)| {
            Some(Match { pin: self.pin_at(index, certificate)?.clone(), index })
        })
    }

    /// The pin that this certificate would satisfy at this position of a path.
    #[must_use]
    pub fn pin_at(&self, index: usize, certificate: &PathCertificate<'_>) -> Option<&Pin> {
        let rules = self.rules.iter().filter(|rule| rule.role.allows(index));
        rules.map(|rule| &rule.pin).find(|pin| certificate.satisfies(pin))
    }

    /// As [`Entry::find`] where the pins are the only trust: the leaf alone counts, for nothing
    /// vouches for any other certificate.
    #[must_use]
    pub fn find_leaf(&self, leaf: &PathCertificate<'_>) -> Option<Match> {
        self.find(std::slice::from_ref(leaf))
    }

    /// Whether this certificate would satisfy a rule as an issuer on a verified path.
    #[must_use]
    pub fn accepts_issuer(&self, issuer: &PathCertificate<'_>) -> bool {
        self.rules.iter().any(|rule| rule.role.allows(1) && issuer.satisfies(&rule.pin))
    }

    /// Whether the entry has expired at `now`, in Unix seconds.
    #[must_use]
    pub fn is_expired(&self, now: i64) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// The hosts it is for; `None` for a bare list of pins.
    #[must_use]
    pub fn pattern(&self) -> Option<&Pattern> {
        self.pattern.as_ref()
    }

    /// Its rules, those for any position first, then those for the leaf, then those for issuers.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// When it expires, in Unix seconds.
    #[must_use]
    pub fn expires(&self) -> Option<i64> {
        self.expires
    }

    #[must_use]
    pub fn on_expiry(&self) -> OnExpiry {
        self.on_expiry
    }

    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }
}

impl Role {
    /// Whether the certificate at this position of a path may satisfy a rule.
    fn allows(self, index: usize) -> bool {
        match self {
            Self::Any => true,
            Self::Leaf => index == 0,
            Self::Ca => index > 0,
        }
    }
}

impl PathCertificate<'_> {
    fn satisfies(&self, pin: &Pin) -> bool {
        pin.matches(&self.spki, self.der.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pinning::{Algorithm, Role};

    fn entry(rules: &[(Role, Pin)]) -> Entry {
        Entry {
            pattern: None,
            rules: rules.iter().cloned().map(|(role, pin)| Rule { pin, role }).collect(),
            expires: None,
            on_expiry: OnExpiry::Deny,
            mode: Mode::Enforce,
        }
    }

    fn certificate(name: &str, with_der: bool) -> PathCertificate<'_> {
        let der = with_der.then(|| Cow::Owned(format!("{name} der").into_bytes()));
        PathCertificate { spki: Cow::Borrowed(name.as_bytes()), der }
    }

    #[test]
    fn the_role_decides_which_position_counts() {
        let path = ["leaf", "intermediate", "root"].map(|name| certificate(name, name != "root"));
        let key = |name: &str| Pin::of_spki(Algorithm::Sha256, name.as_bytes());
        let whole =
            |name: &str| Pin::of_certificate(Algorithm::Sha512, format!("{name} der").as_bytes());
        for (role, pin, expected) in [
            (Role::Any, key("leaf"), Some(0)),
            (Role::Any, key("intermediate"), Some(1)),
            (Role::Any, key("root"), Some(2)),
            (Role::Any, key("other"), None),
            (Role::Leaf, key("leaf"), Some(0)),
            (Role::Leaf, key("intermediate"), None),
            (Role::Leaf, key("root"), None),
            (Role::Ca, key("leaf"), None),
            (Role::Ca, key("intermediate"), Some(1)),
            (Role::Ca, key("root"), Some(2)),
            (Role::Any, whole("leaf"), Some(0)),
            (Role::Ca, whole("intermediate"), Some(1)),
            (Role::Leaf, whole("intermediate"), None),
            // The anchor's DER is not known.
            (Role::Any, whole("root"), None),
        ] {
            let found = entry(&[(role, pin.clone())]).find(&path);
            assert_eq!(
                found,
                expected.map(|index| Match { pin: pin.clone(), index }),
                "{role:?} {pin}"
            );
        }
    }

    #[test]
    fn any_one_match_suffices_and_the_leaf_is_tried_first() {
        let path = ["leaf", "root"].map(|name| certificate(name, true));
        let [other, root, leaf] =
            ["other", "root", "leaf"].map(|name| Pin::of_spki(Algorithm::Sha256, name.as_bytes()));
        let entry = entry(&[(Role::Any, other), (Role::Any, root), (Role::Any, leaf.clone())]);
        assert_eq!(entry.find(&path), Some(Match { pin: leaf, index: 0 }));
        assert_eq!(entry.find(&[]), None);
    }

    #[test]
    fn a_lone_certificate_is_a_leaf_and_no_issuer() {
        let leaf = certificate("leaf", true);
        let pin = Pin::of_spki(Algorithm::Sha256, b"leaf");
        for (role, expected) in [(Role::Any, true), (Role::Leaf, true), (Role::Ca, false)] {
            assert_eq!(
                entry(&[(role, pin.clone())]).find_leaf(&leaf).is_some(),
                expected,
                "{role:?}"
            );
        }
    }
}

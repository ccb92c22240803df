//! The outcome of a verification: the path from the leaf to the anchor, and the pin that matched on it.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use webpki::VerifiedPath;

use crate::pinning::{
    Algorithm, CertificateInfo, Entry, Match, PathCertificate, Pin, Unenforced, name_text,
};

use super::trust::TrustStore;

/// A certificate on a verified path. An anchor may be known by its name and key alone.
#[derive(Clone, Debug)]
pub struct Step {
    pub der: Option<CertificateDer<'static>>,
    pub spki: SubjectPublicKeyInfoDer<'static>,
    /// The DER of its subject `Name`.
    pub subject: Vec<u8>,
}

/// What was proved about a server, and under which generation of the policy and of the revocation lists.
#[derive(Debug)]
pub struct Verified {
    pub generation: u64,
    pub crls: u64,
    /// The certificates as the server sent them, leaf first.
    pub presented: Vec<CertificateDer<'static>>,
    /// The path that was verified, leaf first. In pin-only trust it is the leaf alone.
    pub path: Vec<Step>,
    pub matched: Option<Match>,
    /// The entry that decided, also one that has expired; `None` for a host that is let through unlisted.
    pub entry: Option<Arc<Entry>>,
    /// Why the connection was let through although nothing matched.
    pub excused: Option<Excused>,
    /// When the policy as a whole expires.
    pub policy_expires: Option<i64>,
    window: OnceLock<(i64, i64)>,
    described: OnceLock<Vec<PathCertificateInfo>>,
}

/// What a looser policy let through, to be reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Excused {
    /// The host is not listed, and the policy says `"unlisted": "report"`.
    Unlisted,
    /// The entry has expired, and says `"onExpiry": "allow"`.
    Expired,
    /// Nothing matched, and the entry says `"mode": "report"`.
    Mismatch,
}

impl Excused {
    /// The name that reports give it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Unlisted => "unlisted",
            Self::Expired => "expired",
            Self::Mismatch => "mismatch",
        }
    }
}

impl From<&Unenforced> for Excused {
    fn from(reason: &Unenforced) -> Self {
        match reason {
            Unenforced::Unlisted => Self::Unlisted,
            Unenforced::Expired(_) => Self::Expired,
        }
    }
}

impl Verified {
    #[must_use]
    pub fn new(generation: u64, presented: &[CertificateDer<'_>], path: Vec<Step>) -> Self {
        Self {
            generation,
            crls: 0,
            presented: presented.iter().map(|der| der.clone().into_owned()).collect(),
            path,
            matched: None,
            entry: None,
            excused: None,
            policy_expires: None,
            window: OnceLock::new(),
            described: OnceLock::new(),
        }
    }

    /// The path in words.
    #[must_use]
    pub fn described(&self) -> &[PathCertificateInfo] {
        self.described.get_or_init(|| self.path.iter().map(Step::describe).collect())
    }

    /// Whether the outcome is the same at this time: every certificate whose dates are known is in date, and
    /// the entry has not expired meanwhile. A resumed session, which verifies nothing itself, has to ask.
    #[must_use]
    pub fn holds_at(&self, now: i64) -> bool {
        let is_excused = match (&self.excused, &self.entry) {
            // By a clock that has been set back it is not over.
            (Some(Excused::Expired), Some(entry)) => entry.is_expired(now),
            _ => true,
        };
        is_excused && self.expires().is_none_or(|expires| now < expires) && self.in_date(now)
    }

    /// When the entry that decided expires, unless that has happened and was excused, or the whole policy does.
    #[must_use]
    pub fn expires(&self) -> Option<i64> {
        let entry = self.entry.as_ref().filter(|_| self.excused != Some(Excused::Expired));
        entry.and_then(|entry| entry.expires()).into_iter().chain(self.policy_expires).min()
    }

    fn in_date(&self, now: i64) -> bool {
        let (from, to) = *self.window.get_or_init(|| {
            let issued = self.path.iter().filter_map(|step| step.der.as_ref());
            issued.fold((i64::MIN, i64::MAX), |(from, to), der| {
                match CertificateInfo::from_der(der) {
                    Ok(info) => (from.max(info.not_before), to.min(info.not_after)),
                    // What cannot be read has no date it is valid at.
                    Err(_) => (i64::MAX, i64::MIN),
                }
            })
        });
        from <= now && now <= to
    }
}

/// The steps of a path that webpki has verified, with the anchor's certificate where it is known.
#[must_use]
pub fn steps(path: &VerifiedPath<'_>, store: &TrustStore) -> Vec<Step> {
    let end_entity = path.end_entity();
    let issued = std::iter::once(&**end_entity).chain(path.intermediate_certificates());
    let mut steps: Vec<Step> = issued
        .map(|certificate| Step {
            der: Some(certificate.der().into_owned()),
            spki: certificate.subject_public_key_info(),
            subject: certificate.subject().to_vec(),
        })
        .collect();
    let anchor = path.anchor();
    steps.push(Step {
        der: store.certificate_of(anchor).cloned(),
        spki: webpki::spki_for_anchor(anchor),
        subject: anchor.subject.to_vec(),
    });
    steps
}

impl Step {
    /// The step as the pins see it: raw bytes of what was authenticated (I5).
    #[must_use]
    pub fn as_path_certificate(&self) -> PathCertificate<'_> {
        PathCertificate {
            spki: Cow::Borrowed(self.spki.as_ref()),
            der: self.der.as_ref().map(|der| Cow::Borrowed(der.as_ref())),
        }
    }

    #[must_use]
    pub fn describe(&self) -> PathCertificateInfo {
        let spki_pin = Pin::of_spki(Algorithm::Sha256, self.spki.as_ref()).to_string();
        match self.der.as_deref().map(CertificateInfo::from_der) {
            Some(Ok(info)) => PathCertificateInfo {
                subject: info.subject,
                issuer: Some(info.issuer),
                spki_pin,
                fingerprint256: Some(info.fingerprint256),
                valid: Some((info.not_before, info.not_after)),
                der: self.der.clone(),
            },
            _ => PathCertificateInfo {
                subject: name_text(&self.subject),
                issuer: None,
                spki_pin,
                fingerprint256: None,
                valid: None,
                der: self.der.clone(),
            },
        }
    }
}

/// A certificate of a path in words, for errors and for `response.tls.path`.
#[derive(Clone, Debug)]
pub struct PathCertificateInfo {
    pub subject: String,
    /// `None` for an anchor that is known by its name and key alone.
    pub issuer: Option<String>,
    pub spki_pin: String,
    pub fingerprint256: Option<String>,
    /// notBefore and notAfter, Unix seconds.
    pub valid: Option<(i64, i64)>,
    pub der: Option<CertificateDer<'static>>,
}

//! Verifies a chain: webpki builds and checks paths, the pins take part in choosing one (I2).

use std::cell::RefCell;
use std::sync::Arc;

use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::{
    CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, RevocationCheckDepth,
    RevocationOptions, RevocationOptionsBuilder, UnknownStatusPolicy, VerifiedPath,
};

use crate::pinning::{
    CertificateInfo, Decision, Entry, Match, Mode, Refusal, Snapshot, Unenforced,
};

use super::blame::Scene;
use super::codes;
use super::failure::{Failure, Phase, Proof};
use super::identity::Identity;
use super::revocation::Crls;
use super::trust::TrustStore;
use super::verified::{Excused, Step, Verified, steps};

/// What a server's certificate is verified against, besides the pins.
#[derive(Clone, Debug)]
pub enum Trust {
    /// A path to one of these anchors must exist (RFC 5280, by rustls-webpki).
    Ca(Arc<TrustStore>),
    /// The pins are the only trust: the leaf must match, carry the host's name and be in date.
    PinOnly,
}

/// The rules of one client. Shared by its connections, never by two clients.
#[derive(Debug)]
pub struct PathVerifier {
    pub trust: Trust,
    /// Where any are given, every certificate below the anchor needs one, as in Node.
    pub crls: Crls,
    pub algorithms: WebPkiSupportedAlgorithms,
    /// At most so many certificates between the leaf and the anchor, self-issued ones not counted (RFC 5280,
    /// 6.1.4 (l)). webpki itself stops at 6.
    pub max_intermediates: Option<usize>,
}

impl PathVerifier {
    /// Decides about a presented chain (leaf first) under one snapshot of the policy.
    ///
    /// # Errors
    /// The code of the first rule that fails; `ERR_TLS_PIN_MISMATCH` only when a path is valid in all else.
    pub fn verify(
        &self,
        presented: &[CertificateDer<'_>],
        identity: &Identity,
        snapshot: &Snapshot,
        now: UnixTime,
    ) -> Result<Verified, Failure> {
        let decision = decide(snapshot, identity, now)?;
        // Before the lists themselves: newer ones may do, but must not be taken for older.
        let generation = self.crls.generation();
        let Some((leaf, others)) = presented.split_first() else {
            return Err(Failure::new(
                "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE",
                Phase::Handshake,
                "the server sent no certificate",
            ));
        };
        let end_entity =
            EndEntityCert::try_from(leaf).map_err(|error| codes::from_webpki(&error, presented))?;
        let (entry, excuse) = split(decision);
        let found = match &self.trust {
            Trust::Ca(store) => {
                let others: Vec<_> =
                    others.iter().map(CertificateDer::as_ref).map(Into::into).collect();
                self.path_to_anchor(&end_entity, &others, store, entry.as_deref(), now).map_err(
                    |error| {
                        let scene = Scene {
                            presented,
                            store: Some(store),
                            crls: &self.crls.current(),
                            entry: entry.as_deref(),
                        };
                        scene.name_culprit(codes::from_webpki(&error, presented), &error)
                    },
                )
            }
            Trust::PinOnly => leaf_alone(leaf, &end_entity, entry.as_deref(), now),
        }?;
        check_name(leaf, &end_entity, identity.name())?;
        let key = end_entity.subject_public_key_info();
        if let Some(failure) = codes::unsupported_key(&key, "the server") {
            return Err(failure);
        }

        let mut verified = self.conclude(found, (entry, excuse), snapshot, presented)?;
        verified.crls = generation;
        Ok(verified)
    }

    /// What the policy makes of what was found.
    pub(super) fn conclude(
        &self,
        found: Found,
        (entry, excuse): (Option<Arc<Entry>>, Option<Unenforced>),
        snapshot: &Snapshot,
        presented: &[CertificateDer<'_>],
    ) -> Result<Verified, Failure> {
        let Found { path, matched, proof } = found;
        let mut verified = Verified::new(snapshot.generation, presented, path);
        verified.excused = match (&entry, &matched) {
            (Some(_), Some(_)) => None,
            // In pin-only trust a mismatch leaves nothing that vouches for the server: always refused.
            (Some(entry), None) if entry.mode() == Mode::Report && !self.pin_only() => {
                Some(Excused::Mismatch)
            }
            (Some(entry), None) => {
                let path = verified.described().to_vec();
                return Err(Failure::mismatch(entry, path, presented, proof));
            }
            (None, _) => excuse.as_ref().map(Excused::from),
        };
        verified.policy_expires = snapshot.policy.expires();
        verified.matched = matched;
        verified.entry = entry.or(match excuse {
            Some(Unenforced::Expired(entry)) => Some(entry),
            _ => None,
        });
        Ok(verified)
    }

    fn pin_only(&self) -> bool {
        matches!(self.trust, Trust::PinOnly)
    }

    /// The first path that satisfies the pins or, where none does, the first that is valid in all else.
    pub(super) fn path_to_anchor(
        &self,
        end_entity: &EndEntityCert<'_>,
        others: &[CertificateDer<'_>],
        store: &TrustStore,
        entry: Option<&Entry>,
        now: UnixTime,
    ) -> Result<Found, webpki::Error> {
        let best: RefCell<Option<Found>> = RefCell::new(None);
        let crls = self.crls.current();
        let judge = |path: &VerifiedPath<'_>| {
            let issuers = path.intermediate_certificates();
            let below = issuers.filter(|issuer| issuer.subject() != issuer.issuer()).count();
            if self.max_intermediates.is_some_and(|most| below > most) {
                return Err(webpki::Error::MaximumPathDepthExceeded);
            }
            store.check_issuer(path.anchor(), &path.end_entity().der(), below, now)?;
            if !crls.is_empty() {
                store.check_signs_crls(path.anchor())?;
            }
            let path = steps(path, store);
            let matched = entry.and_then(|entry| {
                let seen: Vec<_> = path.iter().map(Step::as_path_certificate).collect();
                entry.find(&seen)
            });
            let satisfied = entry.is_none() || matched.is_some();
            let mut best = best.borrow_mut();
            if satisfied || best.is_none() {
                *best = Some(Found { path, matched, proof: Proof::Path });
            }
            if satisfied { Ok(()) } else { Err(webpki::Error::UnknownIssuer) }
        };
        let crls: Vec<&CertRevocationList<'_>> = crls.iter().collect();
        let result = end_entity.verify_for_usage(
            self.algorithms.all,
            store.anchors(),
            others,
            now,
            KeyUsage::server_auth(),
            revocation(&crls),
            Some(&judge),
        );
        match (result, best.into_inner()) {
            // `best` is set only by `judge`, which webpki calls for verified paths alone.
            (_, Some(found)) => Ok(found),
            (Err(error), None) => Err(error),
            (Ok(_), None) => Err(webpki::Error::UnknownIssuer),
        }
    }
}

/// The policy's word on a host, before anything is sent to it and again for each chain.
///
/// # Errors
/// `ERR_TLS_PIN_UNLISTED`, `ERR_TLS_PIN_EXPIRED`.
pub fn decide(
    snapshot: &Snapshot,
    identity: &Identity,
    now: UnixTime,
) -> Result<Decision, Failure> {
    let now = seconds(now);
    let refusal = match snapshot.policy.decide(identity.host(), identity.port(), now) {
        Ok(decision) => return Ok(decision),
        Err(refusal) => refusal,
    };
    Err(match refusal {
        Refusal::Unlisted => Failure::new(
            "ERR_TLS_PIN_UNLISTED",
            Phase::Policy,
            "the pin policy has no entry for this host; add one if the program should reach it",
        ),
        Refusal::Expired(entry) => Failure::new(
            "ERR_TLS_PIN_EXPIRED",
            Phase::Policy,
            match entry.pattern() {
                Some(pattern) => {
                    format!("the pins for \"{pattern}\" have expired; renew the entry")
                }
                None => "the pins have expired; renew them".into(),
            },
        ),
        Refusal::PolicyExpired(_) => Failure::new(
            "ERR_TLS_PIN_EXPIRED",
            Phase::Policy,
            "the pin policy as a whole has expired; put a newer one into force",
        ),
    })
}

/// Whole seconds since the Unix epoch, as the policy counts them.
#[must_use]
pub fn seconds(time: UnixTime) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

/// A path, and the pin that matches on it.
pub(super) struct Found {
    pub path: Vec<Step>,
    pub matched: Option<Match>,
    pub proof: Proof,
}

/// The entry to be satisfied, or why there is none.
pub(super) fn split(decision: Decision) -> (Option<Arc<Entry>>, Option<Unenforced>) {
    match decision {
        Decision::Pinned(entry) => (Some(entry), None),
        Decision::Unpinned(reason) => (None, reason),
    }
}

fn leaf_alone(
    leaf: &CertificateDer<'_>,
    end_entity: &EndEntityCert<'_>,
    entry: Option<&Entry>,
    now: UnixTime,
) -> Result<Found, Failure> {
    let Some(entry) = entry else {
        return Err(nothing_vouches());
    };
    let step = Step {
        der: Some(leaf.clone().into_owned()),
        spki: end_entity.subject_public_key_info(),
        subject: end_entity.subject().to_vec(),
    };
    let info = CertificateInfo::from_der(leaf)
        .map_err(|error| Failure::new("CERT_REJECTED", Phase::Handshake, error.to_string()))?;
    let now = seconds(now);
    if now < info.not_before {
        return Err(codes::not_yet_valid());
    }
    if now > info.not_after {
        let presented = std::slice::from_ref(leaf);
        let scene = Scene { presented, store: None, crls: &[], entry: Some(entry) };
        return Err(scene.expired_leaf(codes::expired()));
    }
    let matched = entry.find_leaf(&step.as_path_certificate());
    Ok(Found { path: vec![step], matched, proof: Proof::Possession })
}

pub(super) fn nothing_vouches() -> Failure {
    Failure::new(
        "ERR_TLS_PIN_UNLISTED",
        Phase::Policy,
        "trust: 'pin-only' has no pin in force for this host, so nothing vouches for the server",
    )
}

fn check_name(
    leaf: &CertificateDer<'_>,
    end_entity: &EndEntityCert<'_>,
    name: &ServerName<'_>,
) -> Result<(), Failure> {
    end_entity
        .verify_is_valid_for_subject_name(name)
        .map_err(|error| codes::from_name_check(&error, name, leaf))
}

/// CRLs cover the whole path, must be in date, and a certificate none of them speaks of is refused: what
/// Node does with its `crl` option (`X509_V_FLAG_CRL_CHECK_ALL`).
fn revocation<'a>(crls: &'a [&'a CertRevocationList<'a>]) -> Option<RevocationOptions<'a>> {
    let builder = RevocationOptionsBuilder::new(crls).ok()?;
    Some(
        builder
            .with_depth(RevocationCheckDepth::Chain)
            .with_status_policy(UnknownStatusPolicy::Deny)
            .with_expiration_policy(ExpirationPolicy::Enforce)
            .build(),
    )
}

//! Decides about certificates that another TLS stack, Node's OpenSSL, has authenticated and shows.
//!
//! That stack has verified some path and does not say which: it shows certificates that fit by name. The first is
//! the server's own, whose key the handshake has proved; each of the others counts only on a path of signatures
//! that is verified here.

use std::borrow::Cow;

use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer, UnixTime};
use webpki::EndEntityCert;
use x509_parser::asn1_rs::{Any, FromDer as _};
use x509_parser::certificate::Validity;
use x509_parser::prelude::X509Certificate;

use crate::pinning::{
    Decision, Entry, Host, Invalid, PathCertificate, Snapshot, read_certificate,
    read_certificate_head,
};

use super::blame::Scene;
use super::codes;
use super::failure::{Failure, Phase, Proof};
use super::identity::Identity;
use super::path::{Found, PathVerifier, Trust, decide, nothing_vouches, seconds, split};
use super::trust::TrustStore;
use super::verified::{Step, Verified};

/// So many certificates are looked at: a server may send any number, and a path has eight at most.
const MOST: usize = 16;

/// Among so few, path building has no choice that would cost much.
const FEW: usize = 4;

/// So many signatures are tried to find out which of them belong together.
const MOST_SIGNATURES: usize = 64;

/// What the trust store of the verifier is to the other stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchors {
    /// Its anchors too: a pin counts on a path to one of them only.
    Same,
    /// A guess. Where no path leads to it, a path to a pinned issuer counts: that key vouches for the server,
    /// and that the server is to be trusted at all, the other stack has decided.
    Guessed,
}

impl PathVerifier {
    /// Decides about certificates in any order but the server's own first. The name in it has been checked.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub fn verify_shown(
        &self,
        shown: &[CertificateDer<'_>],
        anchors: Anchors,
        identity: &Identity,
        snapshot: &Snapshot,
        now: UnixTime,
    ) -> Result<Verified, Failure> {
        let (entry, excuse) = split(decide(snapshot, identity, now)?);
        let shown = shown.get(..MOST).unwrap_or(shown);
        let Some(leaf) = shown.first() else {
            return Err(Failure::new(
                "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE",
                Phase::Handshake,
                "there is no certificate of the server to compare with the pins",
            ));
        };
        let leaf = own_step(leaf, now).map_err(|failure| match &*failure.code {
            "CERT_HAS_EXPIRED" => {
                let entry = entry.as_deref();
                Scene { presented: shown, store: None, crls: &[], entry }.expired_leaf(failure)
            }
            _ => failure,
        })?;
        let matched = entry.as_ref().and_then(|entry| entry.find_leaf(&leaf.as_path_certificate()));
        let (found, cause) = match (&self.trust, &entry) {
            (Trust::Ca(store), _) if matched.is_none() && (entry.is_some() || excuse.is_some()) => {
                let issued = (shown.len() > FEW).then(|| self.issued(shown));
                let issued = issued.as_deref().unwrap_or(shown);
                let (found, cause) = self.path_among(issued, store, anchors, entry.as_deref(), now);
                // Of a path that was not found, what was shown tells more.
                let told = if found.proof == Proof::Shown { as_shown(shown) } else { found };
                (told, cause)
            }
            (Trust::PinOnly, None) => return Err(nothing_vouches()),
            (Trust::PinOnly, _) => {
                (Found { path: vec![leaf], matched, proof: Proof::Possession }, None)
            }
            _ => (Found { path: vec![leaf], matched, proof: Proof::Shown }, None),
        };
        self.conclude(found, (entry, excuse), snapshot, shown).map_err(|failure| match cause {
            Some(cause) => failure.because(&codes::from_webpki(&cause, shown)),
            None => failure,
        })
    }

    /// A path to an anchor, best with a pin on it; else one to a pinned issuer, where the anchors are guessed; else
    /// what is shown, and why there is no path from here: the other stack knows of one.
    fn path_among(
        &self,
        shown: &[CertificateDer<'_>],
        store: &TrustStore,
        anchors: Anchors,
        entry: Option<&Entry>,
        now: UnixTime,
    ) -> (Found, Option<webpki::Error>) {
        let first = match self.path_from(shown, store, entry, now) {
            Ok(found) if found.matched.is_some() || entry.is_none() => return (found, None),
            outcome => outcome,
        };
        if anchors == Anchors::Guessed
            && let Some(found) = entry.and_then(|entry| self.path_to_pinned(shown, entry, now))
        {
            return (found, None);
        }
        match first {
            Ok(found) => (found, None),
            Err(error) => (as_shown(shown), Some(error)),
        }
    }

    fn path_to_pinned(
        &self,
        shown: &[CertificateDer<'_>],
        entry: &Entry,
        now: UnixTime,
    ) -> Option<Found> {
        let pinned: Vec<_> =
            shown.iter().skip(1).filter(|der| is_pinned_issuer(der, entry)).collect();
        let store = TrustStore::from_ca(&pinned).ok()?;
        self.path_from(shown, &store, Some(entry), now).ok().filter(|found| found.matched.is_some())
    }

    /// The server's own certificate, and those whose keys have signed one of these: what a peer puts beside them by
    /// name alone would cost path building more than it may.
    pub(super) fn issued(&self, shown: &[CertificateDer<'_>]) -> Vec<CertificateDer<'static>> {
        let mut rest: Vec<_> = shown.iter().skip(1).collect();
        let mut kept: Vec<CertificateDer<'static>> =
            shown.iter().take(1).map(|own| own.clone().into_owned()).collect();
        let (mut next, mut budget) = (0, MOST_SIGNATURES);
        while let Some(issued) = kept.get(next).cloned() {
            rest.retain(|issuer| {
                let signed = self.has_signed(issuer, &issued, &mut budget);
                if signed {
                    kept.push((*issuer).clone().into_owned());
                }
                !signed
            });
            next += 1;
        }
        kept
    }

    fn has_signed(
        &self,
        issuer: &CertificateDer<'_>,
        below: &CertificateDer<'_>,
        budget: &mut usize,
    ) -> bool {
        let (Ok(issuer), Ok(certificate)) =
            (EndEntityCert::try_from(issuer), EndEntityCert::try_from(below))
        else {
            return false;
        };
        if issuer.subject() != certificate.issuer() {
            return false;
        }
        let Some(Signed { message, algorithm, signature }) = signed(below) else {
            return false;
        };
        let mut algorithms = self.algorithms.all.iter();
        algorithms.any(|known| {
            if known.signature_alg_id().as_ref() != algorithm || *budget == 0 {
                return false;
            }
            match issuer.verify_signature(*known, message, signature) {
                Ok(()) => true,
                Err(webpki::Error::InvalidSignatureForPublicKey) => {
                    *budget -= 1;
                    false
                }
                Err(_) => false,
            }
        })
    }

    fn path_from(
        &self,
        shown: &[CertificateDer<'_>],
        store: &TrustStore,
        entry: Option<&Entry>,
        now: UnixTime,
    ) -> Result<Found, webpki::Error> {
        let (leaf, others) = shown.split_first().ok_or(webpki::Error::UnknownIssuer)?;
        let others: Vec<_> = others.iter().map(|der| CertificateDer::from(der.as_ref())).collect();
        self.path_to_anchor(&EndEntityCert::try_from(leaf)?, &others, store, entry, now)
    }
}

/// Whether the server's own certificate satisfies the entry in force: the answer to most questions, and one that
/// needs no path. `false` says nothing but that [`PathVerifier::verify_shown`] has to be asked.
#[must_use]
pub fn own_is_pinned(
    own: &CertificateDer<'_>,
    host: &Host,
    port: u16,
    snapshot: &Snapshot,
    now: UnixTime,
) -> bool {
    let Ok(Decision::Pinned(entry)) = snapshot.policy.decide(host, port, seconds(now)) else {
        return false;
    };
    let Ok((validity, spki)) = read_certificate_head(own) else {
        return false;
    };
    let own = PathCertificate { spki: Cow::Borrowed(spki), der: Some(Cow::Borrowed(own.as_ref())) };
    check_dates(&validity, now).is_ok() && entry.find_leaf(&own).is_some()
}

/// The server's own certificate. The other stack may read forms that webpki does not (version 1), so it is read
/// by the more lenient parser; its dates are asked about again, for they cost nothing.
fn own_step(leaf: &CertificateDer<'_>, now: UnixTime) -> Result<Step, Failure> {
    let malformed =
        |error: Invalid| Failure::new("CERT_REJECTED", Phase::Handshake, error.to_string());
    let (certificate, spki) = read_certificate(leaf).map_err(malformed)?;
    check_dates(certificate.validity(), now)?;
    Ok(as_step(leaf, &certificate, spki))
}

fn step(der: &CertificateDer<'_>) -> Result<Step, Invalid> {
    let (certificate, spki) = read_certificate(der)?;
    Ok(as_step(der, &certificate, spki))
}

fn as_step(der: &CertificateDer<'_>, certificate: &X509Certificate<'_>, spki: &[u8]) -> Step {
    Step {
        der: Some(der.clone().into_owned()),
        spki: SubjectPublicKeyInfoDer::from(spki.to_vec()),
        subject: certificate.subject().as_raw().to_vec(),
    }
}

fn check_dates(validity: &Validity, now: UnixTime) -> Result<(), Failure> {
    let now = seconds(now);
    if now > validity.not_after.timestamp() {
        return Err(codes::expired());
    }
    if now < validity.not_before.timestamp() {
        return Err(codes::not_yet_valid());
    }
    Ok(())
}

/// Whether a certificate may stand in the place of an anchor: it is pinned, and says itself that it is a CA. To what
/// else it says, the store holds it as any anchor.
fn is_pinned_issuer(der: &CertificateDer<'_>, entry: &Entry) -> bool {
    let Ok((certificate, spki)) = read_certificate(der) else {
        return false;
    };
    let is_ca = certificate.basic_constraints().ok().flatten().is_some_and(|found| found.value.ca);
    is_ca && entry.accepts_issuer(&as_step(der, &certificate, spki).as_path_certificate())
}

fn as_shown(shown: &[CertificateDer<'_>]) -> Found {
    let path = shown.iter().filter_map(|der| step(der).ok()).collect();
    Found { path, matched: None, proof: Proof::Shown }
}

/// A certificate's three parts (RFC 5280, 4.1.1), the algorithm without its outer tag and length, as webpki has it.
struct Signed<'a> {
    message: &'a [u8],
    algorithm: &'a [u8],
    signature: &'a [u8],
}

fn signed<'a>(der: &'a CertificateDer<'_>) -> Option<Signed<'a>> {
    let (_, whole) = Any::from_der(der.as_ref()).ok()?;
    let (after, _) = Any::from_der(whole.data).ok()?;
    let message = whole.data.get(..whole.data.len() - after.len())?;
    let (after, algorithm) = Any::from_der(after).ok()?;
    let (_, signature) = Any::from_der(after).ok()?;
    // A BIT STRING begins with the number of its unused bits.
    Some(Signed { message, algorithm: algorithm.data, signature: signature.data.get(1..)? })
}

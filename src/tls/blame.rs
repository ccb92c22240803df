//! Which certificate a path failed by, and whether it is one that is pinned: what has to be renewed, and whether the
//! pins have to change with it. Words for an error; they decide nothing.

use std::borrow::Cow;

use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{CertRevocationList, EndEntityCert, RevocationReason};

use crate::pinning::{
    CertificateInfo, Entry, PathCertificate, Pin, Target, read_certificate, time_text,
};

use super::failure::Failure;
use super::path::seconds;
use super::trust::TrustStore;
use super::verified::PathCertificateInfo;

/// How a certificate has come to its end.
#[derive(Clone, Copy)]
enum End {
    Expired,
    Revoked(Option<RevocationReason>),
}

/// Where the certificate may be.
pub(super) struct Scene<'a> {
    /// As the server sent them, leaf first.
    pub presented: &'a [CertificateDer<'a>],
    pub store: Option<&'a TrustStore>,
    pub crls: &'a [CertRevocationList<'static>],
    pub entry: Option<&'a Entry>,
}

impl Scene<'_> {
    /// The failure of a path that an expired or revoked certificate is on, with its name.
    pub(super) fn name_culprit(&self, failure: Failure, error: &webpki::Error) -> Failure {
        let named = match error {
            webpki::Error::CertExpired { not_after, .. } => self.expired(*not_after),
            webpki::Error::CertRevoked => self.revoked(),
            _ => None,
        };
        match named {
            Some((position, der, end)) => self.explain(failure, position, &der, end),
            None => failure,
        }
    }

    /// The same where it is the server's own that has expired.
    pub(super) fn expired_leaf(&self, failure: Failure) -> Failure {
        match self.presented.first() {
            Some(leaf) => self.explain(failure, 0, leaf, End::Expired),
            None => failure,
        }
    }

    fn expired(&self, not_after: UnixTime) -> Option<(usize, CertificateDer<'static>, End)> {
        let not_after = seconds(not_after);
        let ends = |der: &CertificateDer<'_>| {
            CertificateInfo::from_der(der).is_ok_and(|info| info.not_after == not_after)
        };
        let sent = self.presented.iter().position(ends).and_then(|position| {
            Some((position, self.presented.get(position)?.clone().into_owned()))
        });
        // Of the anchors only one that a certificate here names as its issuer.
        let anchor = || {
            let anchors = self.store?.certificates();
            let named = anchors.filter(|anchor| self.is_named(anchor));
            Some((self.presented.len(), named.into_iter().find(|anchor| ends(anchor))?.clone()))
        };
        let (position, der) = sent.or_else(anchor)?;
        Some((position, der, End::Expired))
    }

    fn is_named(&self, anchor: &CertificateDer<'_>) -> bool {
        let Ok(anchor) = EndEntityCert::try_from(anchor) else { return false };
        let mut sent = self.presented.iter().filter_map(|der| EndEntityCert::try_from(der).ok());
        sent.any(|below| below.issuer() == anchor.subject())
    }

    fn revoked(&self) -> Option<(usize, CertificateDer<'static>, End)> {
        self.presented.iter().enumerate().find_map(|(position, der)| {
            let certificate = EndEntityCert::try_from(der).ok()?;
            let of_issuer = self.crls.iter().filter(|crl| crl.issuer() == certificate.issuer());
            let found = of_issuer.filter_map(|crl| crl.find_serial(certificate.serial()).ok()?);
            let reason = found.map(|revoked| revoked.reason_code).next()?;
            Some((position, der.clone().into_owned(), End::Revoked(reason)))
        })
    }

    fn explain(
        &self,
        failure: Failure,
        position: usize,
        der: &CertificateDer<'_>,
        end: End,
    ) -> Failure {
        let Ok(info) = CertificateInfo::from_der(der) else { return failure };
        let pinned = self.pin_of(position, der);
        let consequence = match (&pinned, end) {
            (Some(pin), End::Revoked(_)) => format!(
                "; {pin} is pinned, and its key is not to be relied on any more: take that pin out of the policy"
            ),
            (Some(pin), End::Expired) if pin.target() == Target::Spki => format!(
                "; {pin} is pinned: renewed with the same key it matches, and the pins stay as they are"
            ),
            (Some(pin), End::Expired) => format!(
                "; {pin} is pinned, which is this very certificate: the one that takes its place needs a pin of its own"
            ),
            (None, _) => self.other_match(position).map_or_else(String::new, |(subject, pin)| {
                format!("; {subject}, presented with it, matches {pin}: with a valid path to it the pins stay as they are")
            }),
        };
        let whose =
            if position == 0 { "the server's own certificate" } else { "an issuer on the path" };
        let ended = match end {
            End::Expired => format!("has expired at {}", time_text(info.not_after)),
            End::Revoked(reason) => match reason.and_then(reason_name) {
                Some(reason) => format!("has been revoked ({reason})"),
                None => "has been revoked".to_owned(),
            },
        };
        let message =
            format!("{whose}, {} ({}), {ended}{consequence}", info.subject, info.spki_pin);
        let pinned = pinned.map(|pin| pin.to_string());
        failure.with_culprit(message, described(der, info), pinned)
    }

    fn pin_of(&self, position: usize, der: &CertificateDer<'_>) -> Option<Pin> {
        let (_, spki) = read_certificate(der).ok()?;
        let seen =
            PathCertificate { spki: Cow::Borrowed(spki), der: Some(Cow::Borrowed(der.as_ref())) };
        self.entry?.pin_at(position, &seen).cloned()
    }

    fn other_match(&self, culprit: usize) -> Option<(String, Pin)> {
        let mut others = self.presented.iter().enumerate().filter(|(at, _)| *at != culprit);
        others.find_map(|(at, der)| {
            let pin = self.pin_of(at, der)?;
            Some((CertificateInfo::from_der(der).ok()?.subject, pin))
        })
    }
}

fn described(der: &CertificateDer<'_>, info: CertificateInfo) -> PathCertificateInfo {
    PathCertificateInfo {
        subject: info.subject,
        issuer: Some(info.issuer),
        spki_pin: info.spki_pin.to_string(),
        fingerprint256: Some(info.fingerprint256),
        valid: Some((info.not_before, info.not_after)),
        der: Some(der.clone().into_owned()),
    }
}

/// RFC 5280, 5.3.1. `None` where it says nothing.
fn reason_name(reason: RevocationReason) -> Option<&'static str> {
    use RevocationReason as R;
    Some(match reason {
        R::KeyCompromise => "keyCompromise",
        R::CaCompromise => "cACompromise",
        R::AffiliationChanged => "affiliationChanged",
        R::Superseded => "superseded",
        R::CessationOfOperation => "cessationOfOperation",
        R::CertificateHold => "certificateHold",
        R::PrivilegeWithdrawn => "privilegeWithdrawn",
        R::AaCompromise => "aACompromise",
        R::Unspecified | R::RemoveFromCrl => return None,
    })
}

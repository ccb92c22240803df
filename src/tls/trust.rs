//! Trust anchors, with the certificate each one came from: webpki keeps only an anchor's name and key, and a
//! certificate pin needs the whole.

use std::sync::OnceLock;
use std::time::Duration;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use x509_parser::parse_x509_certificate;
use x509_parser::prelude::ParsedExtension;

use super::failure::{Failure, Phase};
use super::path::seconds;

/// A set of trust anchors. Built once, shared by every client that uses the same set.
#[derive(Debug)]
pub struct TrustStore {
    anchors: Vec<TrustAnchor<'static>>,
    /// The certificate of the anchor at the same index.
    certificates: Vec<Certificate>,
}

#[derive(Debug)]
struct Certificate {
    der: CertificateDer<'static>,
    /// Read when an anchor is first used: a store has 150 and a program uses two.
    limits: OnceLock<Result<Limits, webpki::Error>>,
}

/// What an anchor's own certificate says of its use.
#[derive(Clone, Debug)]
struct Limits {
    not_before: i64,
    not_after: i64,
    path_length: Option<usize>,
    is_issuer: Result<(), webpki::Error>,
}

impl TrustStore {
    /// Reads PEM or DER. Every certificate must be usable as an anchor.
    ///
    /// # Errors
    /// `ERR_INVALID_ARG_VALUE` when the input holds no certificate or one that does not parse.
    pub fn from_ca(inputs: &[impl AsRef<[u8]>]) -> Result<Self, Failure> {
        let mut store = Self::empty();
        for (index, input) in inputs.iter().enumerate() {
            let place = format!("ca[{index}]");
            for der in certificates_in(input.as_ref(), &place)? {
                store.add(der).map_err(|error| {
                    invalid(format!("{place} holds a certificate that does not parse: {error}"))
                })?;
            }
        }
        if store.anchors.is_empty() {
            return Err(invalid("ca holds no certificate"));
        }
        Ok(store)
    }

    /// Reads a platform's bundle: what webpki cannot use is left out, since nothing can be verified with it.
    ///
    /// # Errors
    /// `ERR_INVALID_ARG_VALUE` when nothing usable is left.
    pub fn from_bundle(pem: &[u8]) -> Result<Self, Failure> {
        let mut store = Self::empty();
        for der in CertificateDer::pem_slice_iter(pem).flatten() {
            let _ = store.add(der);
        }
        if store.anchors.is_empty() {
            return Err(invalid("the default trust store holds no usable certificate"));
        }
        Ok(store)
    }

    #[must_use]
    pub fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }

    /// The certificates of the anchors.
    pub fn certificates(&self) -> impl Iterator<Item = &CertificateDer<'static>> {
        self.certificates.iter().map(|certificate| &certificate.der)
    }

    /// The certificate behind an anchor that [`Self::anchors`] handed out. Found by its place, since a store
    /// may hold two certificates of one name and key, as after a renewal.
    #[must_use]
    pub fn certificate_of(&self, anchor: &TrustAnchor<'_>) -> Option<&CertificateDer<'static>> {
        self.find(anchor).map(|certificate| &certificate.der)
    }

    /// Whether the anchor may issue, now and with so many CAs below it, which webpki does not ask: it takes an anchor's
    /// word for nothing but its name constraints. Here it is held to its certificate as an intermediate is (RFC 5280,
    /// 6.1.4 (k) to (n)), except that it need not have `basicConstraints`: old roots have not. A self-signed certificate
    /// that is trusted as it is, `own`, issues nothing but itself.
    ///
    /// # Errors
    /// webpki's own errors for an intermediate.
    pub fn check_issuer(
        &self,
        anchor: &TrustAnchor<'_>,
        own: &CertificateDer<'_>,
        below: usize,
        now: UnixTime,
    ) -> Result<(), webpki::Error> {
        let certificate = self.find(anchor).ok_or(webpki::Error::UnknownIssuer)?;
        let limits = certificate.limits.get_or_init(|| limits(&certificate.der)).clone()?;
        let seconds = seconds(now);
        if seconds > limits.not_after {
            return Err(webpki::Error::CertExpired {
                time: now,
                not_after: unix(limits.not_after),
            });
        }
        if seconds < limits.not_before {
            let not_before = unix(limits.not_before);
            return Err(webpki::Error::CertNotValidYet { time: now, not_before });
        }
        if certificate.der == *own {
            return Ok(());
        }
        limits.is_issuer?;
        if limits.path_length.is_some_and(|most| below > most) {
            return Err(webpki::Error::PathLenConstraintViolated);
        }
        Ok(())
    }

    /// Whether the anchor may sign the CRL that covers the certificate below it (RFC 5280, 4.2.1.3): webpki
    /// asks that of intermediates, but keeps no key usage of an anchor.
    ///
    /// # Errors
    /// webpki's own error for an issuer whose key usage leaves `cRLSign` out.
    pub fn check_signs_crls(&self, anchor: &TrustAnchor<'_>) -> Result<(), webpki::Error> {
        let certificate = self.find(anchor).ok_or(webpki::Error::UnknownIssuer)?;
        let (_, certificate) =
            parse_x509_certificate(&certificate.der).map_err(|_| webpki::Error::BadDer)?;
        match certificate.key_usage() {
            Ok(Some(usage)) if !usage.value.crl_sign() => Err(webpki::Error::IssuerNotCrlSigner),
            Ok(_) => Ok(()),
            Err(_) => Err(webpki::Error::BadDer),
        }
    }

    fn find(&self, anchor: &TrustAnchor<'_>) -> Option<&Certificate> {
        let wanted = std::ptr::from_ref(anchor).cast::<()>();
        let index =
            self.anchors.iter().position(|own| std::ptr::from_ref(own).cast::<()>() == wanted)?;
        self.certificates.get(index)
    }

    fn empty() -> Self {
        Self { anchors: Vec::new(), certificates: Vec::new() }
    }

    fn add(&mut self, der: CertificateDer<'static>) -> Result<(), webpki::Error> {
        let anchor = webpki::anchor_from_trusted_cert(&der)?.to_owned();
        self.anchors.push(anchor);
        self.certificates.push(Certificate { der, limits: OnceLock::new() });
        Ok(())
    }
}

fn limits(der: &[u8]) -> Result<Limits, webpki::Error> {
    let bad = |_| webpki::Error::BadDer;
    let (_, certificate) = parse_x509_certificate(der).map_err(|_| webpki::Error::BadDer)?;
    for extension in certificate.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::ParseError { .. } => return Err(webpki::Error::BadDer),
            ParsedExtension::UnsupportedExtension { .. } if extension.critical => {
                return Err(webpki::Error::UnsupportedCriticalExtension);
            }
            _ => {}
        }
    }
    let constraints = certificate.basic_constraints().map_err(bad)?.map(|found| found.value);
    let usage = certificate.key_usage().map_err(bad)?;
    let purpose = certificate.extended_key_usage().map_err(bad)?.map(|found| found.value);
    let is_issuer = if constraints.is_some_and(|constraints| !constraints.ca)
        || usage.is_some_and(|usage| !usage.value.key_cert_sign())
    {
        Err(webpki::Error::EndEntityUsedAsCa)
    } else if purpose.is_some_and(|purpose| !purpose.server_auth && !purpose.any) {
        Err(webpki::Error::EmptyEkuExtension)
    } else {
        Ok(())
    };
    let validity = certificate.validity();
    Ok(Limits {
        not_before: validity.not_before.timestamp(),
        not_after: validity.not_after.timestamp(),
        path_length: constraints
            .and_then(|constraints| constraints.path_len_constraint)
            .map(|most| most as usize),
        is_issuer,
    })
}

fn unix(seconds: i64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

/// The certificates in PEM or DER input.
///
/// # Errors
/// `ERR_INVALID_ARG_VALUE`, naming `place`.
pub fn certificates_in(input: &[u8], place: &str) -> Result<Vec<CertificateDer<'static>>, Failure> {
    // DER of any certificate begins with a SEQUENCE tag, which no PEM text does.
    if input.first() == Some(&0x30) {
        return Ok(vec![CertificateDer::from(input.to_vec())]);
    }
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(input).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(invalid(format!("{place} holds no certificate; give PEM text or DER bytes"))),
        Err(error) => Err(invalid(format!("{place} is not valid PEM: {error}"))),
    }
}

fn invalid(message: impl Into<String>) -> Failure {
    Failure::new("ERR_INVALID_ARG_VALUE", Phase::Policy, message)
}

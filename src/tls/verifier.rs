//! rustls' question "is this the right server?", answered by [`PathVerifier`] for one identity.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::pinning::PinSet;

use super::failure::Failure;
use super::identity::Identity;
use super::path::{PathVerifier, seconds};
use super::verified::Verified;

/// `rsa_pss_pss_sha256` (RFC 8446, 4.2.3). Offered so that a server with an RSA-PSS key sends its certificate
/// and gets a clear error, rather than ending the handshake without a word. Never accepted.
pub(super) const RSA_PSS_PSS_SHA256: SignatureScheme = SignatureScheme::Unknown(0x0809);

/// Outcomes kept for one identity: a server shows one chain, two while it changes its certificate.
const KEPT: usize = 4;

/// Verifies one identity under the policy in force.
pub struct IdentityVerifier {
    rules: Arc<PathVerifier>,
    pins: Arc<PinSet>,
    identity: Identity,
    /// What full handshakes have proved, so that the stream above them need not prove it twice. Looked up by
    /// policy generation and the very bytes of the chain.
    proved: Mutex<Vec<Arc<Verified>>>,
}

impl IdentityVerifier {
    pub fn new(rules: Arc<PathVerifier>, pins: Arc<PinSet>, identity: Identity) -> Self {
        Self { rules, pins, identity, proved: Mutex::new(Vec::new()) }
    }

    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    pub fn pins(&self) -> &Arc<PinSet> {
        &self.pins
    }

    /// What every outcome depends on: the generation of the policy, and that of the revocation lists.
    pub fn generations(&self) -> (u64, u64) {
        (self.pins.generation(), self.rules.crls.generation())
    }

    /// Verifies a chain under the policy in force now.
    pub fn verify(
        &self,
        presented: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Arc<Verified>, Failure> {
        let verified =
            self.rules.verify(presented, &self.identity, &self.pins.current(), now).map_err(
                |failure| failure.at(&self.identity.host().to_string(), self.identity.port()),
            )?;
        let verified = Arc::new(verified);
        let mut proved = self.proved.lock().unwrap_or_else(PoisonError::into_inner);
        proved.retain(|old| old.presented != verified.presented);
        if proved.len() >= KEPT {
            proved.remove(0);
        }
        proved.push(Arc::clone(&verified));
        Ok(verified)
    }

    /// What is known of a chain that the handshake has authenticated: on a full handshake the outcome just
    /// reached, on a resumed one an earlier outcome if it still holds now, else verified anew.
    pub fn proved(
        &self,
        presented: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Arc<Verified>, Failure> {
        let generations = self.generations();
        let known = {
            let proved = self.proved.lock().unwrap_or_else(PoisonError::into_inner);
            proved
                .iter()
                .find(|known| {
                    (known.generation, known.crls) == generations && known.presented == presented
                })
                .cloned()
        };
        match known {
            // A CRL may have run out since, and only a verification asks.
            Some(known) if known.holds_at(seconds(now)) && self.rules.crls.current().is_empty() => {
                Ok(known)
            }
            _ => self.verify(presented, now),
        }
    }
}

impl fmt::Debug for IdentityVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityVerifier").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl ServerCertVerifier for IdentityVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut presented = Vec::with_capacity(1 + intermediates.len());
        presented.push(CertificateDer::from(end_entity.as_ref()));
        presented.extend(intermediates.iter().map(|der| CertificateDer::from(der.as_ref())));
        self.verify(&presented, now).map_err(refused)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.rules.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.rules.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = self.rules.algorithms.supported_schemes();
        schemes.push(RSA_PSS_PSS_SHA256);
        schemes
    }
}

/// Carries a failure through rustls, which sends the server a `certificate_unknown` alert for it.
pub fn refused(failure: Failure) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(failure))))
}

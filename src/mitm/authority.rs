//! A CA for as long as a rehearsal takes. Its key is never written anywhere.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::sign::{CertifiedKey, SigningKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::pinning::Host;
use crate::tls::rehearsal::dated;

/// Minutes for which its certificates are good, before now and from now.
const VALID: (i64, i64) = (-24 * 60, 24 * 60);
/// Certificates kept; a program that connects to more hosts has some made again.
const KEPT: usize = 1024;

/// The CA, and one key for all the servers that it makes up.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
    pem: String,
    key: KeyPair,
    signer: Arc<dyn SigningKey>,
    made: Mutex<HashMap<Host, Arc<CertifiedKey>>>,
}

/// Why no certificate could be made.
#[derive(Debug, thiserror::Error)]
pub enum Unmade {
    #[error("no certificate could be made: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("no key could be made: {0}")]
    Key(#[from] rustls::Error),
}

impl Authority {
    /// # Errors
    /// When the system has no randomness to give.
    pub fn new() -> Result<Self, Unmade> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "tls-pinning drill: never trust this");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        dated(&mut params, VALID.0, VALID.1);
        let own = KeyPair::generate()?;
        let certificate = params.self_signed(&own)?;
        let key = KeyPair::generate()?;
        let signer = any_supported_type(&PrivateKeyDer::from(PrivatePkcs8KeyDer::from(
            key.serialize_der(),
        )))?;
        Ok(Self {
            pem: certificate.pem(),
            der: certificate.into(),
            issuer: Issuer::new(params, own),
            key,
            signer,
            made: Mutex::default(),
        })
    }

    /// Its certificate, for clients that are to trust it.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for this host, and its key.
    ///
    /// # Errors
    /// A name that no certificate can carry.
    pub fn certificate(&self, host: &Host) -> Result<Arc<CertifiedKey>, Unmade> {
        let known = self.made.lock().unwrap_or_else(PoisonError::into_inner).get(host).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let mut params = CertificateParams::new(vec![host.to_string()])?;
        params.distinguished_name.push(DnType::CommonName, "tls-pinning drill");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        dated(&mut params, VALID.0, VALID.1);
        let leaf = params.signed_by(&self.key, &self.issuer)?;
        let chain = vec![leaf.into(), self.der.clone()];
        let made = Arc::new(CertifiedKey::new(chain, Arc::clone(&self.signer)));
        let mut all = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= KEPT {
            all.clear();
        }
        all.insert(host.clone(), Arc::clone(&made));
        Ok(made)
    }
}

//! Certificates for the tests of this layer, made when they run. They are valid from [`FROM`] to [`TO`], and
//! the clock stands still at [`NOW`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose,
    PublicKeyData as _, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::pinning::{Algorithm, Pin};

use super::trust::TrustStore;

/// 2027-01-15T08:00:00Z.
pub const NOW: u64 = 1_800_000_000;
pub const FROM: u64 = NOW - 86_400;
pub const TO: u64 = NOW + 86_400;

/// A certificate, its key and what it was made from.
#[derive(Clone)]
pub struct Node {
    pub der: CertificateDer<'static>,
    pub key: Arc<KeyPair>,
    pub params: CertificateParams,
}

impl Node {
    /// A self-signed certificate with a key of its own.
    pub fn root(params: CertificateParams) -> Self {
        Self::root_of(Arc::new(KeyPair::generate().unwrap()), params)
    }

    /// A certificate with a key of its own, issued by this one.
    pub fn issue(&self, params: CertificateParams) -> Self {
        self.issue_for(Arc::new(KeyPair::generate().unwrap()), params)
    }

    /// This one's key, self-signed again.
    pub fn renewed(&self, params: CertificateParams) -> Self {
        Self::root_of(Arc::clone(&self.key), params)
    }

    /// The name and key of `twin` under this issuer.
    pub fn cross_sign(&self, twin: &Self) -> Self {
        self.issue_for(Arc::clone(&twin.key), twin.params.clone())
    }

    /// This issuer's CRL with these certificates on it, valid until `next_update`.
    pub fn crl(&self, revoked: &[&Self], next_update: u64) -> Vec<u8> {
        self.crl_of(FROM, revoked, next_update)
    }

    /// The same, issued at `this_update`.
    pub fn crl_of(&self, this_update: u64, revoked: &[&Self], next_update: u64) -> Vec<u8> {
        let epoch = date_time_ymd(1970, 1, 1);
        let revoked_certs = revoked.iter().map(|node| RevokedCertParams {
            serial_number: node.params.serial_number.clone().unwrap(),
            revocation_time: epoch + Duration::from_secs(FROM),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: epoch + Duration::from_secs(this_update),
            next_update: epoch + Duration::from_secs(next_update),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked_certs.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        // rcgen would refuse to sign with a key that may not sign CRLs.
        let signer = with(self.params.clone(), |params| params.key_usages.clear());
        params.signed_by(&Issuer::from_params(&signer, &*self.key)).unwrap().der().to_vec()
    }

    /// The pin of its key, from the bytes the key was made with.
    pub fn pin(&self) -> Pin {
        Pin::of_spki(Algorithm::Sha256, &self.key.subject_public_key_info())
    }

    /// The pin of the certificate.
    pub fn whole(&self) -> Pin {
        Pin::of_certificate(Algorithm::Sha256, &self.der)
    }

    fn root_of(key: Arc<KeyPair>, params: CertificateParams) -> Self {
        let der = params.self_signed(&*key).unwrap().der().clone();
        Self { der, key, params }
    }

    fn issue_for(&self, key: Arc<KeyPair>, params: CertificateParams) -> Self {
        let der = params.signed_by(&*key, &self.issuer()).unwrap().der().clone();
        Self { der, key, params }
    }

    fn issuer(&self) -> Issuer<'_, &KeyPair> {
        Issuer::from_params(&self.params, &*self.key)
    }
}

/// A CA of this name.
pub fn ca(name: &str) -> CertificateParams {
    let mut params = named(name, &[]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// A TLS server with these names, which may be IP addresses.
pub fn server(names: &[&str]) -> CertificateParams {
    let mut params = named("server", names);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

/// The same, valid in these seconds, both included.
pub fn dated(mut params: CertificateParams, from: u64, to: u64) -> CertificateParams {
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(from);
    params.not_after = epoch + Duration::from_secs(to);
    params
}

/// The same with a change.
pub fn with(
    mut params: CertificateParams,
    change: impl FnOnce(&mut CertificateParams),
) -> CertificateParams {
    change(&mut params);
    params
}

/// The certificates as a server presents them.
pub fn chain(nodes: &[&Node]) -> Vec<CertificateDer<'static>> {
    nodes.iter().map(|node| node.der.clone()).collect()
}

pub fn store(anchors: &[&Node]) -> Arc<TrustStore> {
    let ders: Vec<_> = anchors.iter().map(|node| node.der.to_vec()).collect();
    Arc::new(TrustStore::from_ca(&ders).unwrap())
}

pub fn unix(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

fn named(name: &str, names: &[&str]) -> CertificateParams {
    // CRLs tell certificates apart by it.
    static SERIAL: AtomicU64 = AtomicU64::new(1);
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = dated(CertificateParams::new(names).unwrap(), FROM, TO);
    params.serial_number = Some(SerialNumber::from(SERIAL.fetch_add(1, Ordering::Relaxed)));
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

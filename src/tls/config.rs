//! The TLS configuration of a client: what it trusts, who it is, which versions it speaks.

use std::cmp::Reverse;
use std::sync::Arc;

use p12_keystore::{KeyStore, KeyStoreEntry, Pkcs12ImportPolicy};
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::aws_lc_rs;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::version::{TLS12, TLS13};
use rustls::{CipherSuite, ClientConfig, ConfigBuilder, SupportedCipherSuite, WantsVerifier};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateRevocationListDer, PrivateKeyDer};
use webpki::{CertRevocationList, EndEntityCert, OwnedCertRevocationList};
use x509_parser::oid_registry::OID_X509_EXT_CRL_NUMBER;
use x509_parser::parse_x509_crl;

use super::failure::{Failure, Phase};
use super::path::{PathVerifier, Trust};
use super::revocation::Crls;
use super::trust::certificates_in;

/// A version bound of the options `minVersion` and `maxVersion`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    Tls12,
    Tls13,
}

impl Version {
    /// Reads Node's names for them.
    ///
    /// # Errors
    /// `ERR_TLS_INVALID_PROTOCOL_VERSION`, as in Node.
    pub fn parse(text: &str, option: &str) -> Result<Self, Failure> {
        match text {
            "TLSv1.2" => Ok(Self::Tls12),
            "TLSv1.3" => Ok(Self::Tls13),
            _ => Err(Failure::new(
                "ERR_TLS_INVALID_PROTOCOL_VERSION",
                Phase::Policy,
                format!("{option} must be 'TLSv1.2' or 'TLSv1.3', not {text:?}"),
            )),
        }
    }
}

/// A client certificate chain and its key, proved to belong together.
#[derive(Clone, Debug)]
pub struct ClientIdentity(Arc<SingleCertAndKey>);

impl ClientIdentity {
    /// `chain` in PEM or DER, leaf first; `key` in DER (PKCS#8, PKCS#1 or SEC 1) or PEM, not encrypted.
    ///
    /// # Errors
    /// `ERR_INVALID_ARG_VALUE` for input that does not parse, `ERR_OSSL_X509_KEY_VALUES_MISMATCH` (as in Node)
    /// when the key is not the certificate's.
    pub fn new(chain: &[impl AsRef<[u8]>], key: &[u8]) -> Result<Self, Failure> {
        let mut certificates = Vec::new();
        for (index, part) in chain.iter().enumerate() {
            certificates.extend(certificates_in(part.as_ref(), &format!("cert[{index}]"))?);
        }
        let key = PrivateKeyDer::try_from(key.to_vec())
            .ok()
            .or_else(|| PrivateKeyDer::from_pem_slice(key).ok())
            .ok_or_else(|| invalid("key is not a private key in PEM or DER"))?;
        Self::from_der(certificates, key)
    }

    /// Reads a PKCS#12 archive: its key and the certificates that go with it.
    ///
    /// # Errors
    /// `ERR_INVALID_ARG_VALUE` for a wrong passphrase or an archive without a key.
    pub fn from_pfx(archive: &[u8], passphrase: &str) -> Result<Self, Failure> {
        let store = open_pfx(archive, passphrase)?;
        let (_, chain) =
            store.private_key_chain().ok_or_else(|| invalid("pfx holds no private key"))?;
        let certificates =
            chain.certs().iter().map(|certificate| certificate.as_der().to_vec().into()).collect();
        let key = PrivateKeyDer::try_from(chain.key().as_der().to_vec())
            .map_err(|error| invalid("pfx holds a key of an unknown kind").because(&error))?;
        Self::from_der(certificates, key)
    }

    fn from_der(
        chain: Vec<rustls_pki_types::CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, Failure> {
        let Some(leaf) = chain.first() else {
            return Err(invalid("a client key was given without its certificate"));
        };
        if let Err(error) = EndEntityCert::try_from(leaf) {
            return Err(invalid("the client certificate does not parse").because(&error));
        }
        let provider = aws_lc_rs::default_provider();
        let key = provider.key_provider.load_private_key(key).map_err(|error| {
            invalid("the client key is of a kind that is not supported").because(&error)
        })?;
        let identity = CertifiedKey::new(chain, key);
        identity.keys_match().map_err(|error| {
            Failure::new(
                "ERR_OSSL_X509_KEY_VALUES_MISMATCH",
                Phase::Policy,
                "the client key is not the client certificate's",
            )
            .because(&error)
        })?;
        Ok(Self(Arc::new(SingleCertAndKey::from(identity))))
    }
}

fn open_pfx(archive: &[u8], passphrase: &str) -> Result<KeyStore, Failure> {
    KeyStore::from_pkcs12(archive, passphrase, Pkcs12ImportPolicy::Relaxed)
        .map_err(|error| invalid("pfx cannot be read; is the passphrase right?").because(&error))
}

/// The certificates of a PKCS#12 archive as DER: that of its key first, its issuers, then whatever else there is.
///
/// # Errors
/// `ERR_INVALID_ARG_VALUE` for a wrong passphrase.
pub fn certificates_of_pfx(archive: &[u8], passphrase: &str) -> Result<Vec<Vec<u8>>, Failure> {
    let store = open_pfx(archive, passphrase)?;
    let chains = store.entries().filter_map(|(_, entry)| match entry {
        KeyStoreEntry::PrivateKeyChain(chain) => Some(chain.certs()),
        _ => None,
    });
    let others = store.entries().filter_map(|(_, entry)| match entry {
        KeyStoreEntry::Certificate(certificate) => Some(certificate),
        _ => None,
    });
    Ok(chains.flatten().chain(others).map(|certificate| certificate.as_der().to_vec()).collect())
}

/// Reads CRLs in PEM or DER.
///
/// # Errors
/// `ERR_INVALID_ARG_VALUE`, naming the place.
pub fn crls(inputs: &[impl AsRef<[u8]>]) -> Result<Vec<CertRevocationList<'static>>, Failure> {
    let mut crls = Vec::new();
    for (index, input) in inputs.iter().enumerate() {
        let input = input.as_ref();
        let malformed = |error: &dyn std::fmt::Display| {
            invalid(format!("crl[{index}] is not a CRL that can be used")).because(error)
        };
        let ders: Vec<CertificateRevocationListDer<'_>> = if input.first() == Some(&0x30) {
            vec![input.into()]
        } else {
            CertificateRevocationListDer::pem_slice_iter(input)
                .collect::<Result<_, _>>()
                .map_err(|error| malformed(&error))?
        };
        if ders.is_empty() {
            return Err(malformed(&"no CRL in it"));
        }
        for der in ders {
            let crl = OwnedCertRevocationList::from_der(&der).map_err(|error| malformed(&error))?;
            let issued = issued_at(&der).map_err(|problem| malformed(&problem))?;
            crls.push((issued, crl.into()));
        }
    }
    // webpki asks the first list that an issuer has: the newest, whatever the order they were given in.
    crls.sort_by_key(|(issued, _)| Reverse(*issued));
    Ok(crls.into_iter().map(|(_, crl)| crl).collect())
}

/// When a CRL was issued, Unix seconds. It has a number, and the extension that holds it is not critical (RFC 5280, 5.2.3),
/// which webpki does not ask.
fn issued_at(crl: &[u8]) -> Result<i64, &'static str> {
    let (_, crl) = parse_x509_crl(crl).map_err(|_| "it does not parse")?;
    let mut extensions = crl.extensions().iter();
    match extensions.find(|extension| extension.oid == OID_X509_EXT_CRL_NUMBER) {
        None => Err("it has no CRL number"),
        Some(number) if number.critical => Err("its CRL number is marked critical"),
        Some(_) => Ok(crl.last_update().timestamp()),
    }
}

/// What the TLS side of one client is made from.
#[derive(Debug)]
pub struct TlsOptions {
    pub trust: Trust,
    pub crls: Vec<CertRevocationList<'static>>,
    pub client: Option<ClientIdentity>,
    pub min_version: Version,
    pub max_version: Version,
    /// Protocols to offer by ALPN, in order of preference.
    pub alpn: Vec<Vec<u8>>,
    /// The clock certificates and policies are judged by.
    pub clock: Arc<dyn TimeProvider>,
}

impl TlsOptions {
    /// Defaults: TLS 1.2 and 1.3, no ALPN, the system's clock.
    #[must_use]
    pub fn new(trust: Trust) -> Self {
        Self {
            trust,
            crls: Vec::new(),
            client: None,
            min_version: Version::Tls12,
            max_version: Version::Tls13,
            alpn: Vec::new(),
            clock: Arc::new(DefaultTimeProvider),
        }
    }
}

/// A client's TLS configuration, from which each of its origins derives its own.
pub struct TlsConfig {
    rules: Arc<PathVerifier>,
    builder: ConfigBuilder<ClientConfig, WantsVerifier>,
    client: Option<ClientIdentity>,
    alpn: Vec<Vec<u8>>,
}

impl TlsConfig {
    /// # Errors
    /// `ERR_TLS_PROTOCOL_VERSION_CONFLICT` when `minVersion` is above `maxVersion`, as in Node.
    pub fn new(options: TlsOptions) -> Result<Self, Failure> {
        let range = options.min_version..=options.max_version;
        let versions: Vec<_> = [(Version::Tls13, &TLS13), (Version::Tls12, &TLS12)]
            .into_iter()
            .filter(|(version, _)| range.contains(version))
            .map(|(_, version)| version)
            .collect();
        // Named explicitly: the process-wide default panics where two providers are linked.
        let mut provider = aws_lc_rs::default_provider();
        prefer_aes_128(&mut provider.cipher_suites);
        let provider = Arc::new(provider);
        let rules = PathVerifier {
            trust: options.trust,
            crls: Crls::new(options.crls),
            algorithms: provider.signature_verification_algorithms,
            max_intermediates: None,
        };
        let builder = ClientConfig::builder_with_details(provider, options.clock)
            .with_protocol_versions(&versions)
            .map_err(|error| {
                Failure::new(
                    "ERR_TLS_PROTOCOL_VERSION_CONFLICT",
                    Phase::Policy,
                    "minVersion is above maxVersion",
                )
                .because(&error)
            })?;
        Ok(Self { rules: Arc::new(rules), builder, client: options.client, alpn: options.alpn })
    }

    /// Offers no protocol by ALPN: what TLS was begun for is settled already.
    #[must_use]
    pub fn without_alpn(self) -> Self {
        Self { alpn: Vec::new(), ..self }
    }

    #[must_use]
    pub fn rules(&self) -> &Arc<PathVerifier> {
        &self.rules
    }

    /// A configuration with this verifier. Early data stays off: 0-RTT would leave before the check (I1).
    pub(super) fn client_config(&self, verifier: Arc<dyn ServerCertVerifier>) -> ClientConfig {
        let builder = self.builder.clone().dangerous().with_custom_certificate_verifier(verifier);
        let mut config = match &self.client {
            Some(client) => builder.with_client_cert_resolver(Arc::clone(&client.0) as _),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols.clone_from(&self.alpn);
        config
    }
}

/// As Firefox, Chrome and Go prefer it: 128 bits are out of reach, and processors hash SHA-256, with which a handshake derives
/// its keys, several times as fast as SHA-384. A server that wants 256 bits chooses them.
fn prefer_aes_128(suites: &mut [SupportedCipherSuite]) {
    suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
}

fn invalid(message: impl Into<String>) -> Failure {
    Failure::new("ERR_INVALID_ARG_VALUE", Phase::Policy, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suite_of_rustls_is_offered_and_aes_128_first() {
        let config = TlsConfig::new(TlsOptions::new(Trust::PinOnly)).unwrap();
        let suites = &config.builder.crypto_provider().cipher_suites;
        assert_eq!(suites.len(), aws_lc_rs::DEFAULT_CIPHER_SUITES.len());
        assert_eq!(suites[0].suite(), CipherSuite::TLS13_AES_128_GCM_SHA256);
        assert_eq!(suites[1].suite(), CipherSuite::TLS13_AES_256_GCM_SHA384);
    }
}

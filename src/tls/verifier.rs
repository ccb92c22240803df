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
    /// What has been proved, so that the stream above a handshake, and the next handshake, need not prove it again.
    /// Looked up by policy generation and the very bytes of the chain.
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

    /// Verifies a chain under the policy in force now, whatever is known of it.
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

    /// What a chain proves under the policy in force now: an earlier outcome if it still holds, else verified anew.
    /// The signatures of the same bytes do not change; what does is asked for. That the server holds the leaf's key
    /// each handshake proves for itself.
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
        self.proved(&presented, now).map_err(refused)?;
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

#[cfg(test)]
mod tests {
    use rustls::crypto::aws_lc_rs;

    use super::*;
    use crate::pinning::{Host, Policy};
    use crate::tls::config::crls;
    use crate::tls::path::Trust;
    use crate::tls::revocation::Crls;
    use crate::tls::test_pki::*;

    const HOST: &str = "api.example";

    struct World {
        verifier: IdentityVerifier,
        pins: Arc<PinSet>,
        middle: Node,
        leaf: Node,
    }

    impl World {
        /// The leaf outlives its issuer by a second, the policy's entry ends before both.
        fn new(with_crl: bool) -> Self {
            let root = Node::root(ca("root"));
            let middle = root.issue(dated(ca("middle"), FROM, TO - 1));
            let leaf = middle.issue(server(&[HOST]));
            let crl = [root.crl(&[], TO), middle.crl(&[], NOW + 10)];
            let rules = PathVerifier {
                trust: Trust::Ca(store(&[&root])),
                crls: Crls::new(if with_crl { crls(&crl).unwrap() } else { Vec::new() }),
                algorithms: aws_lc_rs::default_provider().signature_verification_algorithms,
                max_intermediates: None,
            };
            let pins = Arc::new(PinSet::new(policy(&leaf, "")));
            let identity = Identity::new(Host::parse(HOST).unwrap(), 443).unwrap();
            let verifier = IdentityVerifier::new(Arc::new(rules), Arc::clone(&pins), identity);
            Self { verifier, pins, middle, leaf }
        }

        /// What rustls asks in a full handshake, and what is known afterwards.
        fn handshake(
            &self,
            chain: &[CertificateDer<'_>],
            now: u64,
        ) -> Result<Arc<Verified>, Error> {
            let name = ServerName::try_from(HOST).unwrap();
            let (leaf, others) = chain.split_first().unwrap();
            self.verifier.verify_server_cert(leaf, others, &name, &[], unix(now))?;
            Ok(self.verifier.proved(chain, unix(now)).unwrap())
        }
    }

    fn policy(leaf: &Node, more: &str) -> Policy {
        let text = format!(r#"{{"hosts":{{"{HOST}":{{"leaf":"{}"{more}}}}}}}"#, leaf.pin());
        Policy::from_json(&text).unwrap()
    }

    #[test]
    fn a_chain_is_verified_once() {
        let world = World::new(false);
        let chain = chain(&[&world.leaf, &world.middle]);
        let first = world.handshake(&chain, NOW).unwrap();
        assert!(Arc::ptr_eq(&first, &world.handshake(&chain, NOW + 60).unwrap()));
    }

    #[test]
    fn what_changes_is_asked_each_time() {
        type Case = (&'static str, u64, fn(&World), fn(&World) -> Vec<CertificateDer<'static>>);
        let same: fn(&World) -> Vec<CertificateDer<'static>> =
            |world| chain(&[&world.leaf, &world.middle]);
        let cases: &[Case] = &[
            ("an issuer has expired", TO, |_| {}, same),
            ("not valid yet", FROM - 1, |_| {}, same),
            (
                "other pins",
                NOW,
                |world| {
                    world.pins.replace(policy(&world.middle, ""));
                },
                same,
            ),
            (
                "the entry has expired",
                NOW,
                |world| {
                    world.pins.replace(policy(&world.leaf, r#","expires":"2027-01-15T07:59:59Z""#));
                },
                same,
            ),
            (
                "the leaf of another, by the same issuer",
                NOW,
                |_| {},
                |world| chain(&[&world.middle.issue(server(&[HOST])), &world.middle]),
            ),
            (
                "the pinned key in a certificate by nobody",
                NOW,
                |_| {},
                |world| chain(&[&world.leaf.renewed(server(&[HOST])), &world.middle]),
            ),
            ("without the issuer", NOW, |_| {}, |world| chain(&[&world.leaf])),
        ];
        for (what, now, change, shown) in cases {
            let world = World::new(false);
            world.handshake(&same(&world), NOW).unwrap();
            change(&world);
            assert!(world.handshake(&shown(&world), *now).is_err(), "{what}");
        }
    }

    #[test]
    fn an_entry_ends_at_its_second_for_a_known_chain_too() {
        let world = World::new(false);
        let chain = chain(&[&world.leaf, &world.middle]);
        world.pins.replace(policy(&world.leaf, r#","expires":"2027-01-15T08:01:00Z""#));
        world.handshake(&chain, NOW + 59).unwrap();
        assert!(world.handshake(&chain, NOW + 60).is_err());
    }

    #[test]
    fn an_expiry_that_was_excused_is_none_before_its_time() {
        let world = World::new(false);
        let chain = chain(&[&world.leaf, &world.middle]);
        let more = r#","expires":"2027-01-15T08:00:00Z","onExpiry":"allow""#;
        world.pins.replace(policy(&world.middle, more));
        world.handshake(&chain, NOW).unwrap();
        assert!(world.handshake(&chain, NOW - 1).is_err());
    }

    #[test]
    fn with_crls_every_handshake_is_verified() {
        let world = World::new(true);
        let chain = chain(&[&world.leaf, &world.middle]);
        let first = world.handshake(&chain, NOW).unwrap();
        assert!(!Arc::ptr_eq(&first, &world.handshake(&chain, NOW).unwrap()));
        // The issuer's list has run out.
        assert!(world.handshake(&chain, NOW + 11).is_err());
    }
}

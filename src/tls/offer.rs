//! One handshake with a restricted offer, to learn whether a server accepts it.

use std::io;
use std::sync::Arc;

use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};
use rustls::{
    AlertDescription, ClientConfig, Error, PeerMisbehaved, SupportedCipherSuite,
    SupportedProtocolVersion,
};
use tokio::io::AsyncWriteExt as _;
use tokio_rustls::TlsConnector;

use super::codes;
use super::config::Version;
use super::connect::{iana_name, negotiated};
use super::failure::{Failure, Phase};
use super::identity::Identity;
use super::inspect::Witness;

/// What came of an offer.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// What the server chose, where that is known.
    Accepted { cipher: Option<String>, group: Option<String> },
    /// It said no: by an alert, or by choosing what was not offered.
    Refused(Failure),
    /// It closed the connection, which may be its way to say no, or a failure of the network.
    Closed(Failure),
    /// Nothing is known, and why.
    Unknown(Failure),
}

/// A version with cipher suites and groups, in order of preference.
#[derive(Clone, Debug)]
pub struct Offer {
    version: &'static SupportedProtocolVersion,
    suites: Vec<SupportedCipherSuite>,
    groups: Vec<&'static dyn SupportedKxGroup>,
}

impl Offer {
    /// Everything that this side speaks in a version.
    #[must_use]
    pub fn all(version: Version) -> Self {
        let version = match version {
            Version::Tls12 => &rustls::version::TLS12,
            Version::Tls13 => &rustls::version::TLS13,
        };
        let suites = aws_lc_rs::ALL_CIPHER_SUITES.iter().copied();
        let groups = aws_lc_rs::ALL_KX_GROUPS.iter().copied();
        Self {
            version,
            suites: suites.filter(|suite| suite.version() == version).collect(),
            groups: groups.filter(|group| group.usable_for_version(version.version)).collect(),
        }
    }

    /// This offer with one cipher suite in the place of all; each with its name.
    pub fn each_suite(&self) -> impl Iterator<Item = (String, Self)> {
        self.suites.iter().map(|suite| (suite_name(*suite), self.with_suites(&[*suite])))
    }

    /// This offer with one group in the place of all; each with its name.
    pub fn each_group(&self) -> impl Iterator<Item = (String, Self)> {
        self.groups
            .iter()
            .map(|group| (group_name(*group), Self { groups: vec![*group], ..self.clone() }))
    }

    /// This offer with a group in front of some others.
    #[must_use]
    pub fn with_groups(&self, first: &str, others: &[String]) -> Self {
        let find = |name: &str| self.groups.iter().find(|group| group_name(**group) == name);
        let names = std::iter::once(first).chain(others.iter().map(String::as_str));
        Self { groups: names.filter_map(find).copied().collect(), ..self.clone() }
    }

    /// The same two of these suites in either order: who prefers the first of both offers has no order of its own. ChaCha20
    /// is left out where there are two others, since some servers prefer it just where the client does.
    #[must_use]
    pub fn both_orders(&self, accepted: &[String]) -> Option<[Self; 2]> {
        let accepted = self.suites.iter().filter(|suite| accepted.contains(&suite_name(**suite)));
        let (last, mut pair): (Vec<_>, Vec<_>) =
            accepted.copied().partition(|suite| suite_name(*suite).contains("CHACHA20"));
        pair.extend(last);
        pair.truncate(2);
        let [first, second] = pair[..] else { return None };
        Some([self.with_suites(&[first, second]), self.with_suites(&[second, first])])
    }

    /// The suite that is offered first.
    #[must_use]
    pub fn first(&self) -> Option<String> {
        self.suites.first().copied().map(suite_name)
    }

    fn with_suites(&self, suites: &[SupportedCipherSuite]) -> Self {
        Self { suites: suites.to_vec(), ..self.clone() }
    }

    /// Shakes hands, and closes. No application byte is sent.
    pub async fn make<IO>(&self, identity: &Identity, io: IO) -> Outcome
    where
        IO: Read + Write + Unpin,
    {
        let provider = aws_lc_rs::default_provider();
        let witness = Arc::new(Witness::new(provider.signature_verification_algorithms));
        let config = match self.config(provider, &witness) {
            Ok(config) => config,
            Err(failure) => return Outcome::Unknown(failure),
        };
        let connector = TlsConnector::from(Arc::new(config));
        match connector.connect(identity.name().clone(), TokioIo::new(io)).await {
            Ok(mut stream) => {
                let negotiated = negotiated(stream.get_ref().1);
                let _ = stream.shutdown().await;
                Outcome::Accepted { cipher: Some(negotiated.cipher), group: negotiated.group }
            }
            Err(error) => outcome(&error, !witness.take().is_empty()),
        }
    }

    fn config(
        &self,
        provider: CryptoProvider,
        witness: &Arc<Witness>,
    ) -> Result<ClientConfig, Failure> {
        let mut cipher_suites = self.suites.clone();
        if self.version == &rustls::version::TLS12 {
            // Without a suite of TLS 1.3 beside, rustls does not announce signatures by RSA-PSS keys, which would then look
            // as if the suites were refused. No server may choose it.
            cipher_suites.push(aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256);
        }
        let provider = CryptoProvider { cipher_suites, kx_groups: self.groups.clone(), ..provider };
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&[self.version])
            .map_err(|error| codes::from_rustls(&error).in_phase(Phase::Policy))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(witness) as _)
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(config)
    }
}

fn suite_name(suite: SupportedCipherSuite) -> String {
    suite.suite().as_str().map(iana_name).unwrap_or_default()
}

fn group_name(group: &dyn SupportedKxGroup) -> String {
    group.name().as_str().unwrap_or_default().to_owned()
}

/// What a failed handshake says about the offer. When certificates have come, the server had accepted it.
fn outcome(error: &io::Error, has_chain: bool) -> Outcome {
    let failure = codes::from_handshake(error);
    let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        if has_chain {
            return Outcome::Accepted { cipher: None, group: None };
        }
        return if is_end(error) { Outcome::Closed(failure) } else { Outcome::Unknown(failure) };
    };
    match error {
        Error::PeerIncompatible(_)
        | Error::PeerMisbehaved(
            PeerMisbehaved::SelectedUnofferedCipherSuite
            | PeerMisbehaved::SelectedUnofferedKxGroup
            | PeerMisbehaved::WrongGroupForKeyShare
            | PeerMisbehaved::IllegalHelloRetryRequestWithUnofferedNamedGroup
            | PeerMisbehaved::IllegalHelloRetryRequestWithUnofferedCipherSuite
            | PeerMisbehaved::SelectedTls12UsingTls13VersionExtension,
        ) => Outcome::Refused(failure),
        // A key or a signature that rustls does not verify, or a client certificate that the server wants.
        Error::InvalidCertificate(_)
        | Error::PeerMisbehaved(
            PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme
            | PeerMisbehaved::SignedKxWithWrongAlgorithm,
        )
        | Error::AlertReceived(_)
            if has_chain =>
        {
            Outcome::Accepted { cipher: None, group: None }
        }
        Error::AlertReceived(alert) => refused_by(*alert, failure),
        _ => Outcome::Unknown(failure),
    }
}

/// An alert that is an answer to the offer, or one that is about something else.
pub(super) fn refused_by(alert: AlertDescription, failure: Failure) -> Outcome {
    use AlertDescription as A;
    match alert {
        A::CloseNotify => Outcome::Closed(failure),
        A::UnrecognisedName
        | A::UserCanceled
        | A::AccessDenied
        | A::NoApplicationProtocol
        | A::CertificateRequired
        | A::BadCertificate
        | A::UnknownCA => Outcome::Unknown(failure),
        _ => Outcome::Refused(failure),
    }
}

/// Whether the other side ended the connection, in good order or not.
pub(super) fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(
        error.kind(),
        K::UnexpectedEof | K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe
    )
}

/// The version that rustls calls so.
#[must_use]
pub fn version_name(version: Version) -> &'static str {
    match version {
        Version::Tls12 => "TLSv1.2",
        Version::Tls13 => "TLSv1.3",
    }
}

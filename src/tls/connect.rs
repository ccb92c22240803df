//! The TLS side of one origin: its verifier, its sessions, its handshakes.

use std::sync::{Arc, PoisonError, RwLock};

use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::HandshakeKind;
use rustls::client::{ClientConnection, Resumption};
use rustls_pki_types::UnixTime;
use tokio_rustls::TlsConnector;

use crate::pinning::{Decision, PinSet};

use super::codes;
use super::config::TlsConfig;
use super::failure::{Failure, Phase};
use super::identity::Identity;
use super::path::decide;
use super::stream::{Gate, PinnedStream, no_clock};
use super::traffic::Traffic;
use super::verifier::IdentityVerifier;

/// Sessions kept for one origin. A TLS 1.3 server sends two to four tickets, each good for one resumption.
const SESSIONS: usize = 32;

/// One identity under one client: sessions and verifier are shared by its connections and by nothing else,
/// so neither another client nor another port ever resumes what was proved here.
#[derive(Debug)]
pub struct TlsOrigin {
    verifier: Arc<IdentityVerifier>,
    base: ClientConfig,
    /// The configuration with the sessions of one generation of the policy and of the revocation lists (I4).
    current: RwLock<((u64, u64), Arc<ClientConfig>)>,
    traffic: Arc<Traffic>,
}

/// What was negotiated.
#[derive(Clone, Debug)]
pub struct Negotiated {
    /// `TLSv1.2` or `TLSv1.3`, as Node's `getProtocol()`.
    pub protocol: &'static str,
    /// The cipher suite's IANA name.
    pub cipher: String,
    /// The key exchange group, such as `X25519MLKEM768`; `None` on a resumption without key exchange.
    pub group: Option<String>,
    pub alpn: Option<Vec<u8>>,
    pub resumed: bool,
}

impl TlsOrigin {
    #[must_use]
    pub fn new(config: &TlsConfig, pins: Arc<PinSet>, identity: Identity) -> Self {
        let verifier = Arc::new(IdentityVerifier::new(Arc::clone(config.rules()), pins, identity));
        let generations = verifier.generations();
        let base = config.client_config(Arc::clone(&verifier) as _);
        let current = RwLock::new((generations, Arc::new(with_sessions(&base))));
        Self { verifier, base, current, traffic: Arc::default() }
    }

    /// Counts the bytes of its connections here too.
    #[must_use]
    pub fn counted(self, traffic: Arc<Traffic>) -> Self {
        Self { traffic, ..self }
    }

    #[must_use]
    pub fn identity(&self) -> &Identity {
        self.verifier.identity()
    }

    /// The policy's word on this origin before a packet is sent to it.
    ///
    /// # Errors
    /// `ERR_TLS_PIN_UNLISTED`, `ERR_TLS_PIN_EXPIRED`.
    pub fn decide(&self) -> Result<Decision, Failure> {
        let (identity, now) = (self.identity(), self.now()?);
        decide(&self.verifier.pins().current(), identity, now)
            .map_err(|failure| failure.at(&identity.host().to_string(), identity.port()))
    }

    /// A TLS handshake over `io`. What it returns has been verified under the policy in force, on a full and
    /// on a resumed handshake alike, and not one application byte has been written to it (no 0-RTT).
    ///
    /// # Errors
    /// Any failure of the handshake. [`Unproved`] says whether a full handshake might still succeed.
    pub async fn handshake<IO>(&self, io: IO) -> Result<(PinnedStream<IO>, Negotiated), Unproved>
    where
        IO: Read + Write + Unpin,
    {
        let connector = TlsConnector::from(self.config());
        let name = self.identity().name().clone();
        let stream = connector
            .connect(name, TokioIo::new(io))
            .await
            .map_err(|error| Unproved::from(codes::from_handshake(&error)))?;
        let connection = stream.get_ref().1;
        let negotiated = negotiated(connection);
        let presented = connection.peer_certificates().unwrap_or_default();
        let now = self.now()?;
        let verified = self
            .verifier
            .proved(presented, now)
            .map_err(|failure| Unproved { failure, resumed: negotiated.resumed })?;
        let clock = Arc::clone(&self.base.time_provider);
        let gate =
            Gate::open(Arc::clone(&self.verifier), clock, verified, Arc::clone(&self.traffic));
        Ok((PinnedStream::new(stream, Arc::new(gate)), negotiated))
    }

    /// Forgets this origin's sessions, so that the next handshake is a full one.
    pub fn forget_sessions(&self) {
        let generations = self.verifier.generations();
        *self.current.write().unwrap_or_else(PoisonError::into_inner) =
            (generations, Arc::new(with_sessions(&self.base)));
    }

    /// The configuration for a connection made now: after a change of policy or of the revocation lists,
    /// one without old sessions.
    fn config(&self) -> Arc<ClientConfig> {
        let generations = self.verifier.generations();
        {
            let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
            if current.0 == generations {
                return Arc::clone(&current.1);
            }
        }
        self.forget_sessions();
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).1)
    }

    fn now(&self) -> Result<UnixTime, Failure> {
        self.base.time_provider.current_time().ok_or_else(no_clock)
    }
}

/// A connection whose server was not proved to be the right one.
#[derive(Debug)]
pub struct Unproved {
    pub failure: Failure,
    /// The refused chain came from a resumed session, which may be older than the server's certificate.
    pub resumed: bool,
}

impl From<Failure> for Unproved {
    fn from(failure: Failure) -> Self {
        Self { failure: failure.in_phase(Phase::Handshake), resumed: false }
    }
}

fn with_sessions(base: &ClientConfig) -> ClientConfig {
    let mut config = base.clone();
    config.resumption = Resumption::in_memory_sessions(SESSIONS);
    config
}

/// What a finished handshake agreed on.
#[must_use]
pub fn negotiated(connection: &ClientConnection) -> Negotiated {
    Negotiated {
        protocol: match connection.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLSv1.3",
        },
        cipher: connection
            .negotiated_cipher_suite()
            .and_then(|suite| suite.suite().as_str().map(iana_name))
            .unwrap_or_default(),
        group: connection
            .negotiated_key_exchange_group()
            .and_then(|group| group.name().as_str())
            .map(ToOwned::to_owned),
        alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
        resumed: !matches!(
            connection.handshake_kind(),
            Some(HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest)
        ),
    }
}

/// rustls writes `TLS13_AES_…`, the registry (and Node) `TLS_AES_…`.
pub(super) fn iana_name(name: &str) -> String {
    name.strip_prefix("TLS13_").map_or_else(|| name.to_owned(), |rest| format!("TLS_{rest}"))
}

//! One connection: relayed in plain text, then, where TLS begins, answered with a certificate of the rehearsal, with the
//! client's own words to the server on the other side.
//!
//! The server is spoken to as a client with a trust store does. Where it cannot be verified, nothing is passed on to it:
//! a rehearsal must not hand the program's secrets to whoever is really in the middle.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::server::{Accepted, ServerSessionMemoryCache, StoresServerSessions};
use rustls::sign::SingleCertAndKey;
use rustls::{AlertDescription, ProtocolVersion, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_rustls::server::{StartHandshake, TlsStream};

use crate::http::driver::{Driver, Target};
use crate::pinning::{Host, Pattern, PinSet, Policy};
use crate::tls::config::{TlsConfig, TlsOptions};
use crate::tls::connect::TlsOrigin;
use crate::tls::path::Trust;
use crate::tls::stream::PinnedStream;
use crate::tls::trust::TrustStore;
use crate::tls::{Failure, Identity, Phase};

use super::asked::{self, Asked, Way};
use super::authority::Authority;
use super::begins::{self, Hello};
use super::ends::{Ended, Side};
use super::plain::{self, Plain};
use super::record::{Open, Outcome, Record, Tell};
use super::shown::LOOKED_AT;

/// What a step may take: being asked, dialling, a handshake. And how long a client may say nothing to a server that is not
/// there.
const STEP: Duration = Duration::from_secs(10);
/// TLS sessions that clients may resume. A man in the middle would offer it.
const SESSIONS: usize = 256;

/// A policy that leaves all to the trust store.
const ANYBODY: &str = r#"{"version":1,"unlisted":"allow","hosts":{"invalid":["sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]}}"#;

/// Whom to intercept.
#[derive(Clone, Debug)]
pub struct Aim {
    /// False: everything is relayed untouched.
    pub intercept: bool,
    /// Empty: whoever is connected to.
    pub hosts: Vec<Pattern>,
}

impl Aim {
    fn at(&self, host: &Host, port: u16) -> bool {
        let is_meant = |pattern: &Pattern| pattern.matches(host, port);
        self.intercept && (self.hosts.is_empty() || self.hosts.iter().any(is_meant))
    }
}

/// What answers each connection.
pub struct Interceptor<D> {
    driver: D,
    aim: Aim,
    authority: Arc<Authority>,
    trust: Arc<TrustStore>,
    anybody: Arc<PinSet>,
    sessions: Arc<dyn StoresServerSessions>,
    tell: Tell,
}

impl<D: Driver> Interceptor<D> {
    /// # Errors
    /// None but of a defect here.
    pub fn new(
        driver: D,
        aim: Aim,
        authority: Arc<Authority>,
        trust: Arc<TrustStore>,
        tell: Tell,
    ) -> Result<Self, Failure> {
        let anybody = Policy::from_json(ANYBODY)
            .map_err(|error| Failure::new("EINVAL", Phase::Policy, error.to_string()))?;
        Ok(Self {
            driver,
            aim,
            authority,
            trust,
            anybody: Arc::new(PinSet::new(anybody)),
            sessions: ServerSessionMemoryCache::new(SESSIONS),
            tell,
        })
    }

    /// Serves a client until its connection is over. Whatever becomes of it is in the record.
    pub async fn serve<C: AsyncRead + AsyncWrite + Unpin>(&self, mut client: C) {
        let Ok(Ok(asked)) = timeout(STEP, asked::read(&mut client)).await else { return };
        let Target { host, port } = &asked.target;
        let (id, host) = (asked.id.clone(), host.to_string());
        let record = Record { id, host, port: *port, ..Record::default() };
        let open = Open::new(record, Arc::clone(&self.tell));
        let dialled = timeout(STEP, self.driver.dial(&asked.target)).await.unwrap_or_else(|_| {
            Err(Failure::new("ETIMEDOUT", Phase::Connect, "the server did not answer in time"))
        });
        let _ = match dialled {
            Ok((server, _)) => self.tunnel(client, TokioIo::new(server), &asked, &open).await,
            Err(failure) => {
                open.end(Outcome::Unreachable, failure.code.to_string());
                asked.refuse(&mut client, &failure).await
            }
        };
    }

    async fn tunnel<C, S>(
        &self,
        mut client: C,
        server: S,
        asked: &Asked,
        open: &Open,
    ) -> io::Result<()>
    where
        C: AsyncRead + AsyncWrite + Unpin,
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if asked.way != Way::Hold {
            asked.accept(&mut client, 0).await?;
            return self.relay(client, server, asked, open).await;
        }
        let held = TcpListener::bind(("127.0.0.1", 0)).await?;
        asked.accept(&mut client, held.local_addr()?.port()).await?;
        drop(client);
        let (client, _) = timeout(STEP, held.accept()).await??;
        client.set_nodelay(true)?;
        drop(held);
        self.relay(client, server, asked, open).await
    }

    async fn relay<C, S>(
        &self,
        mut client: C,
        mut server: S,
        asked: &Asked,
        open: &Open,
    ) -> io::Result<()>
    where
        C: AsyncRead + AsyncWrite + Unpin,
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let said = |bytes: &[u8]| open.note().said(bytes);
        let Plain::Tls(mut raw) = plain::relay(&mut client, &mut server, said).await? else {
            return Ok(());
        };
        let read = timeout(STEP, begins::read(&mut client, &mut raw)).await;
        let read = read.unwrap_or_else(|_| Err("it is not complete".into()));
        let named = read.as_ref().ok().and_then(|(hello, _)| hello.server_name.clone());
        open.note().server_name.clone_from(&named);
        let host = named.and_then(|name| Host::parse(&name).ok());
        let host = host.unwrap_or_else(|| asked.target.host.clone());
        let port = asked.target.port;
        let is_aim = self.aim.at(&host, port) || self.aim.at(&asked.target.host, port);
        match read {
            Ok((hello, accepted)) if is_aim && !asked.untouched => {
                let between = Between { client, accepted, hello, host, port };
                self.intercept(between, server, open).await
            }
            read => {
                match read {
                    Err(problem) if is_aim => open.end(
                        Outcome::Failed,
                        format!("its ClientHello cannot be answered: {problem}"),
                    ),
                    _ => open.end(Outcome::Relayed, None),
                }
                server.write_all(&raw).await?;
                copy_bidirectional(&mut client, &mut server).await.map(drop)
            }
        }
    }

    async fn intercept<C, S>(&self, between: Between<C>, server: S, open: &Open) -> io::Result<()>
    where
        C: AsyncRead + AsyncWrite + Unpin,
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Between { client, accepted, hello, host, port } = between;
        open.end(Outcome::Silent, None);
        // The server first: what it agrees to is what the client can be promised.
        let answered = timeout(STEP, self.upstream(server, &hello, host.clone(), port)).await;
        let answered = answered.unwrap_or_else(|_| {
            let problem = "the handshake with the server was not done in time";
            Err(Failure::new("ERR_TLS_HANDSHAKE_TIMEOUT", Phase::Handshake, problem))
        });
        let alpn = match &answered {
            Ok((_, alpn)) => alpn.clone(),
            Err(failure) => {
                open.note().held = Some(failure.code.to_string());
                hello.alpn.first().cloned()
            }
        };
        let config = match self.config(&host, alpn) {
            Ok(config) => config,
            Err(problem) => {
                open.end(Outcome::Failed, problem);
                return Ok(());
            }
        };
        let shaking = StartHandshake::from_parts(accepted, client).into_stream(config);
        let client = match timeout(STEP, shaking).await {
            Ok(Ok(client)) => client,
            Ok(Err(error)) => {
                let (outcome, reason) = broken_off(&error);
                open.end(outcome, reason);
                return Ok(());
            }
            Err(_) => {
                open.end(Outcome::Silent, "the client did not finish the handshake".to_owned());
                return Ok(());
            }
        };
        note_agreed(&client, open);
        let ended = Ended::default();
        let mut client = Side::client(client, &ended, open);
        if let Ok((server, _)) = answered {
            let mut server = Side::server(TokioIo::new(server), &ended);
            let _ = copy_bidirectional(&mut client, &mut server).await;
        } else {
            // Something to see, and then the end.
            let mut piece = [0; LOOKED_AT];
            let _ = timeout(STEP, client.read(&mut piece)).await;
        }
        let mut record = open.note();
        if record.outcome == Outcome::Silent && ended.by_client() {
            record.outcome = Outcome::Refused;
        }
        Ok(())
    }

    /// TLS with the server, verified by the trust store, and what it chose by ALPN.
    async fn upstream<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        server: S,
        hello: &Hello,
        host: Host,
        port: u16,
    ) -> Result<(PinnedStream<TokioIo<S>>, Option<Vec<u8>>), Failure> {
        let mut options = TlsOptions::new(Trust::Ca(Arc::clone(&self.trust)));
        options.alpn.clone_from(&hello.alpn);
        let config = TlsConfig::new(options)?;
        let identity = Identity::new(host, port).map_err(|invalid| {
            Failure::new("ERR_INVALID_URL", Phase::Policy, invalid.to_string())
        })?;
        let origin = TlsOrigin::new(&config, Arc::clone(&self.anybody), identity);
        let (stream, negotiated) =
            origin.handshake(TokioIo::new(server)).await.map_err(|unproved| unproved.failure)?;
        Ok((stream, negotiated.alpn))
    }

    /// What the client is answered with.
    fn config(&self, host: &Host, alpn: Option<Vec<u8>>) -> Result<Arc<ServerConfig>, String> {
        let key = self.authority.certificate(host).map_err(|error| error.to_string())?;
        let builder = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        let mut config =
            builder.with_no_client_auth().with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        config.alpn_protocols = alpn.into_iter().collect();
        config.session_storage = Arc::clone(&self.sessions);
        Ok(Arc::new(config))
    }
}

/// A client that has said hello.
struct Between<C> {
    client: C,
    accepted: Accepted,
    hello: Hello,
    host: Host,
    port: u16,
}

fn note_agreed<C>(client: &TlsStream<C>, open: &Open) {
    let connection = client.get_ref().1;
    let mut record = open.note();
    record.outcome = Outcome::Silent;
    record.protocol = Some(match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "TLSv1.3",
    });
    record.alpn = connection.alpn_protocol().map(|alpn| String::from_utf8_lossy(alpn).into_owned());
}

/// Why a client did not finish the handshake: because of the certificate, or was it never about that?
fn broken_off(error: &io::Error) -> (Outcome, Option<String>) {
    match (rustls_error(error), error.kind()) {
        (Some(rustls::Error::AlertReceived(sent)), _) if is_about_certificates(*sent) => {
            (Outcome::Refused, alert(error))
        }
        (Some(problem), _) => (Outcome::Failed, Some(problem.to_string())),
        // Its first answer holds the certificate.
        (None, _) => (Outcome::Refused, None),
    }
}

/// The alert in an error, by its name in RFC 8446, section 6.
#[must_use]
pub fn alert(error: &io::Error) -> Option<String> {
    match rustls_error(error)? {
        rustls::Error::AlertReceived(alert) => Some(snake(&format!("{alert:?}"))),
        _ => None,
    }
}

fn is_about_certificates(alert: AlertDescription) -> bool {
    use AlertDescription as A;
    matches!(
        alert,
        A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateExpired
            | A::CertificateUnknown
            | A::UnknownCA
            | A::AccessDenied
            | A::UserCanceled
            | A::CloseNotify
    )
}

/// `UnknownCA` as `unknown_ca`.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    let mut before = '_';
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && before.is_ascii_lowercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
        before = letter;
    }
    snake
}

fn rustls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

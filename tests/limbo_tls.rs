//! x509-limbo over real TLS: each case's server presents its chain and proves possession of its key, and a client of
//! this crate decides.
//!
//! `npm run test:limbo -- x509-limbo.json` runs this after the cases without a connection. By hand:
//!
//! ```text
//! LIMBO=/path/to/x509-limbo.json cargo test --no-default-features --test limbo_tls -- --ignored --nocapture
//! ```

#![expect(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;
use rustls::version::{TLS12, TLS13};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use tls_pinning::pinning::{Algorithm, Material, PinSet, Policy, Target};
use tls_pinning::tls::config::{TlsConfig, TlsOptions, Version, crls};
use tls_pinning::tls::connect::TlsOrigin;
use tls_pinning::tls::path::Trust;
use tls_pinning::tls::trust::TrustStore;
use tls_pinning::tls::{Failure, Identity};

/// With fewer cases than this, the file is not the suite.
const LEAST: usize = 150;
const WRONG: &str = "sha256/WlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlo=";

#[tokio::test]
#[ignore = "needs the path of x509-limbo.json in LIMBO; run `npm run test:limbo -- x509-limbo.json`"]
async fn every_verdict_over_tls_is_as_expected() {
    let file = std::env::var("LIMBO").expect("LIMBO must hold the path of x509-limbo.json");
    let limbo: Limbo = read(&file);
    let beside = file.strip_suffix(".json").expect("LIMBO must name a .json file");
    let baseline: HashMap<String, Known> = read(&format!("{beside}.webpki-baseline.json"));

    let (mut accepted, mut refused, mut as_webpki) = (0, 0, 0);
    let (mut skipped, mut wrong) = (Vec::new(), Vec::new());
    for case in &limbo.testcases {
        let id = &case.id;
        let server = match case.server() {
            Ok(server) => server,
            Err(reason) => {
                skipped.push(format!("{id} {reason}"));
                continue;
            }
        };
        let judged = judge(case, &server).await;
        match judged {
            Ok(Verdict::Success) => accepted += 1,
            Ok(Verdict::Failure) => refused += 1,
            Err(_) => {}
        }
        match judged {
            Ok(verdict) if verdict == case.expected_result => {}
            Ok(verdict) if baseline.get(id).is_some_and(|known| known.actual == verdict) => {
                as_webpki += 1;
            }
            Ok(verdict) => wrong.push(format!("{id} unexpected {verdict:?}")),
            Err(problem) => wrong.push(format!("{id} {problem}")),
        }
    }

    let ran = accepted + refused;
    println!("over TLS 1.3 and 1.2: {ran} of {} cases", limbo.testcases.len());
    println!("  accepted {accepted}, each also refused with a wrong pin; refused {refused}");
    println!("  differing from limbo as rustls-webpki does in the baseline {as_webpki}");
    for (heading, names) in [("not expressible", &skipped), ("WRONG", &wrong)] {
        println!("  {heading}: {}", names.len());
        for name in names {
            println!("    {name}");
        }
    }
    assert!(wrong.is_empty(), "{} cases went wrong", wrong.len());
    assert!(ran >= LEAST, "only {ran} cases ran");
}

/// The verdict that both versions of TLS come to; an error where it is not reached as it should be.
async fn judge(case: &Case, server: &Arc<CertifiedKey>) -> Result<Verdict, String> {
    let matching = case.pins();
    let mut verdicts = Vec::new();
    for version in [Version::Tls13, Version::Tls12] {
        let unconnected = case.verify(&matching).map_err(|failure| failure.code.to_string());
        let verdict = match (unconnected, connect(case, server, version, &matching).await?) {
            (Ok(()), Ok(())) => Verdict::Success,
            (Err(expected), Err(code)) if code == expected => Verdict::Failure,
            // rustls does not read so large a chain at all.
            (Err(_), Err(code)) if code == "EPROTO" && case.is_oversized() => Verdict::Failure,
            (expected, got) => {
                return Err(format!("{version:?}: {got:?} over TLS, {expected:?} without"));
            }
        };
        let refusal = connect(case, server, version, WRONG).await?;
        match (verdict, refusal) {
            (Verdict::Success, Err(code)) if code == "ERR_TLS_PIN_MISMATCH" => {}
            (Verdict::Failure, Err(code)) if !code.starts_with("ERR_TLS_PIN_") => {}
            (_, other) => return Err(format!("{version:?}: {other:?} with a wrong pin")),
        }
        verdicts.push(verdict);
    }
    match verdicts[..] {
        [one, other] if one == other => Ok(one),
        _ => Err("TLS 1.3 and 1.2 come to different verdicts".to_owned()),
    }
}

/// The code of the refusal, if the connection is refused. A connection that was made has carried one byte there and
/// back; of a refused one the server has not even seen the handshake end.
async fn connect(
    case: &Case,
    server: &Arc<CertifiedKey>,
    version: Version,
    pins: &str,
) -> Result<Result<(), String>, String> {
    let config = match case.client(version) {
        Ok(config) => config,
        Err(failure) => return Ok(Err(failure.code.to_string())),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let serving = tokio::spawn(serve(listener, acceptor(server, version)));
    let origin = TlsOrigin::new(&config, pin_set(pins), case.identity(address.port()));
    let talk = async {
        let tcp = TcpStream::connect(address).await.expect("a connection");
        let (stream, negotiated) =
            origin.handshake(TokioIo::new(tcp)).await.map_err(|refused| refused.failure)?;
        let mut stream = TokioIo::new(stream);
        let mut answer = [0];
        stream.write_all(b"?").await.expect("an accepted connection takes a byte");
        stream.flush().await.expect("an accepted connection sends a byte");
        stream.read_exact(&mut answer).await.expect("an accepted connection brings a byte");
        assert_eq!(answer, *b"?");
        Ok(negotiated.protocol)
    };
    let outcome: Result<&str, Failure> =
        tokio::time::timeout(Duration::from_secs(30), talk).await.map_err(|_| "timed out")?;
    let received = serving.await.expect("the server does not panic");
    match (outcome, received) {
        (Ok(protocol), Some(1)) if (protocol == "TLSv1.3") == (version == Version::Tls13) => {
            Ok(Ok(()))
        }
        (Err(failure), None) => Ok(Err(failure.code.to_string())),
        (outcome, received) => Err(format!(
            "{version:?}: the server received {received:?} bytes on {:?}",
            outcome.map_err(|failure| failure.code.to_string())
        )),
    }
}

/// Sends back what one client sends; returns how many bytes of application data that was, or `None` if the handshake
/// was not even finished.
async fn serve(listener: TcpListener, acceptor: TlsAcceptor) -> Option<usize> {
    let (tcp, _) = listener.accept().await.expect("a client");
    let mut stream = acceptor.accept(tcp).await.ok()?;
    let (mut received, mut buffer) = (0, [0; 16]);
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        received += length;
        let answered = stream.write_all(&buffer[..length]).await;
        if answered.and(stream.flush().await).is_err() {
            break;
        }
    }
    Some(received)
}

fn acceptor(server: &Arc<CertifiedKey>, version: Version) -> TlsAcceptor {
    let version = if version == Version::Tls13 { &TLS13 } else { &TLS12 };
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .expect("a version the provider has")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Always(Arc::clone(server))));
    Arc::new(config).into()
}

/// Presents one chain to everyone, without looking at it as rustls does with a chain in its configuration.
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);

impl ResolvesServerCert for Always {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

#[derive(Deserialize)]
struct Limbo {
    testcases: Vec<Case>,
}

#[derive(Deserialize)]
struct Known {
    actual: Verdict,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "UPPERCASE")]
enum Verdict {
    Success,
    Failure,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    validation_kind: String,
    trusted_certs: Vec<String>,
    untrusted_intermediates: Vec<String>,
    peer_certificate: String,
    peer_certificate_key: Option<String>,
    validation_time: Option<String>,
    expected_result: Verdict,
    expected_peer_name: Option<PeerName>,
    max_chain_depth: Option<u32>,
    crls: Vec<String>,
}

#[derive(Deserialize)]
struct PeerName {
    value: String,
}

impl Case {
    /// The server's chain and key, or why the case cannot be put to a client over TLS.
    fn server(&self) -> Result<Arc<CertifiedKey>, String> {
        if self.validation_kind != "SERVER" {
            return Err("is about the certificate of a TLS client".into());
        }
        if self.max_chain_depth.is_some() {
            return Err("limits the depth, which a connection has no option for".into());
        }
        if self.expected_peer_name.is_none() {
            return Err("has no name to connect to".into());
        }
        let key = self.peer_certificate_key.as_ref().ok_or("has no key")?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|error| format!("has a key of a kind rustls does not know ({error})"))?;
        let key = aws_lc_rs::default_provider()
            .key_provider
            .load_private_key(key)
            .map_err(|error| format!("has a key rustls cannot sign with ({error})"))?;
        Ok(Arc::new(CertifiedKey::new(self.chain(), key)))
    }

    fn chain(&self) -> Vec<CertificateDer<'static>> {
        let pems = std::iter::once(&self.peer_certificate).chain(&self.untrusted_intermediates);
        pems.map(|pem| CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM")).collect()
    }

    fn is_oversized(&self) -> bool {
        self.chain().iter().map(|certificate| certificate.len()).sum::<usize>() > 0xffff
    }

    /// A client that trusts what the case trusts, at the time of the case.
    fn client(&self, version: Version) -> Result<TlsConfig, Failure> {
        let mut options =
            TlsOptions::new(Trust::Ca(Arc::new(TrustStore::from_ca(&self.trusted_certs)?)));
        options.crls = crls(&self.crls)?;
        options.min_version = version;
        options.max_version = version;
        options.clock = Arc::new(Frozen(self.time()));
        TlsConfig::new(options)
    }

    /// The same decision without a connection.
    fn verify(&self, pins: &str) -> Result<(), Failure> {
        let config = self.client(Version::Tls13)?;
        let snapshot = pin_set(pins).current();
        config.rules().verify(&self.chain(), &self.identity(443), &snapshot, self.time())?;
        Ok(())
    }

    fn identity(&self, port: u16) -> Identity {
        let name = &self.expected_peer_name.as_ref().expect("a name").value;
        Identity::parse(name, port).expect("a name that can be connected to")
    }

    /// A pin for each certificate of the case.
    fn pins(&self) -> String {
        let pems = std::iter::once(&self.peer_certificate)
            .chain(&self.untrusted_intermediates)
            .chain(&self.trusted_certs);
        let mut pins: Vec<String> = pems
            .map(|pem| Material::parse(pem.as_bytes()).expect("a certificate"))
            .map(|certificate| certificate.pin(Target::Spki, Algorithm::Sha256).expect("a pin"))
            .map(|pin| pin.to_string())
            .collect();
        pins.sort();
        pins.dedup();
        pins.join("\",\"")
    }

    /// Read by the parser of the policy's own dates.
    fn time(&self) -> UnixTime {
        let Some(time) = &self.validation_time else { return UnixTime::now() };
        let policy = format!(
            r#"{{"version":1,"hosts":{{"a.test":{{"pins":["{WRONG}"],"expires":"{time}"}}}}}}"#
        );
        let policy = Policy::from_json(&policy).expect("RFC 3339");
        let seconds = policy.entries().first().and_then(|entry| entry.expires()).expect("a date");
        UnixTime::since_unix_epoch(Duration::from_secs(seconds.try_into().expect("since 1970")))
    }
}

#[derive(Debug)]
struct Frozen(UnixTime);

impl TimeProvider for Frozen {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.0)
    }
}

fn pin_set(pins: &str) -> Arc<PinSet> {
    Arc::new(PinSet::new(Policy::from_json(&format!("[\"{pins}\"]")).expect("pins")))
}

fn read<T: for<'a> Deserialize<'a>>(file: &str) -> T {
    let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{file}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"))
}

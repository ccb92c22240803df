//! [`Interceptor`] before real servers on loopback, and the plain text before TLS in memory.

use std::sync::{Arc, Mutex, Weak};

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::net::TcpListener;
use tokio::runtime::Handle;

use crate::http::tokio_driver::{Addresses, TokioDriver};
use crate::pinning::{PinSet, Policy};
use crate::tls::Identity;
use crate::tls::config::{TlsConfig, TlsOptions};
use crate::tls::connect::TlsOrigin;
use crate::tls::path::Trust;
use crate::tls::trust::TrustStore;

use super::authority::Authority;
use super::intercept::{Aim, Interceptor};
use super::plain::{Plain, relay};
use super::record::{Outcome, Record};

const WIRE: usize = 64 * 1024;

/// A client of the interceptor that has asked for a tunnel to this port of loopback, and what is told in the end.
struct Scene {
    client: DuplexStream,
    authority: Arc<Authority>,
    told: Arc<Mutex<Vec<Record>>>,
    served: tokio::task::JoinHandle<()>,
}

impl Scene {
    async fn new(port: u16) -> Self {
        let told = Arc::<Mutex<Vec<Record>>>::default();
        let authority = Arc::new(Authority::new().unwrap());
        let stranger = Authority::new().unwrap();
        let trust = Arc::new(TrustStore::from_ca(&[stranger.pem()]).unwrap());
        let driver = TokioDriver::new(Handle::current(), Addresses::default(), None, Weak::new());
        let (aim, all) = (Aim { intercept: true, hosts: Vec::new() }, Arc::clone(&told));
        let tell = Arc::new(move |record: &Record| all.lock().unwrap().push(record.clone()));
        let interceptor =
            Interceptor::new(driver, aim, Arc::clone(&authority), trust, tell).unwrap();
        let (mut client, far) = duplex(WIRE);
        let served = tokio::spawn(async move { interceptor.serve(far).await });
        client
            .write_all(format!("CONNECT localhost:{port} HTTP/1.1\r\n\r\n").as_bytes())
            .await
            .unwrap();
        Self { client, authority, told, served }
    }

    /// The head of the answer.
    async fn answer(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.client.read_u8().await.unwrap());
        }
        String::from_utf8(head).unwrap()
    }

    async fn told(self) -> Record {
        drop(self.client);
        self.served.await.unwrap();
        let told = self.told.lock().unwrap();
        assert_eq!(told.len(), 1);
        told[0].clone()
    }
}

/// A server that sends back what it is sent.
async fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (mut read, mut write) = stream.split();
            let _ = tokio::io::copy(&mut read, &mut write).await;
        }
    });
    port
}

#[tokio::test]
async fn plain_text_is_relayed_and_told() {
    let mut scene = Scene::new(echo().await).await;
    assert!(scene.answer().await.starts_with("HTTP/1.1 200 "));
    scene.client.write_all(b"hello").await.unwrap();
    let mut back = [0; 5];
    scene.client.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"hello");
    let told = scene.told().await;
    assert_eq!((told.outcome, told.bytes), (Outcome::Plain, 0));
}

#[tokio::test]
async fn a_request_for_an_https_url_in_plain_text_is_relayed_and_told_as_read() {
    let mut scene = Scene::new(echo().await).await;
    scene.answer().await;
    for said in ["GET http://a.test/ HTTP/1.1\r\n\r\n", "GET https://b.test/ HTTP/1.1\r\n", "\r\n"]
    {
        scene.client.write_all(said.as_bytes()).await.unwrap();
        let mut back = vec![0; said.len()];
        scene.client.read_exact(&mut back).await.unwrap();
        assert_eq!(back, said.as_bytes());
    }
    let told = scene.told().await;
    assert_eq!((told.outcome, told.bytes, told.protocol), (Outcome::Intercepted, 32, None));
    assert_eq!(told.server_name.as_deref(), Some("b.test"));
    assert_eq!(told.first().as_deref(), Some("GET https://…/ HTTP/1.1"));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let mut scene = Scene::new(port).await;
    let answer = scene.answer().await;
    assert!(answer.contains("Code: ECONNREFUSED"), "{answer}");
    assert_eq!(scene.told().await.outcome, Outcome::Unreachable);
}

#[tokio::test]
async fn who_trusts_the_authority_is_intercepted_and_nothing_goes_on_to_a_server_that_is_not_verified()
 {
    // It answers a ClientHello with the same ClientHello, which is no TLS.
    let mut scene = Scene::new(echo().await).await;
    scene.answer().await;
    let trust = Trust::Ca(Arc::new(TrustStore::from_ca(&[scene.authority.pem()]).unwrap()));
    let config = TlsConfig::new(TlsOptions::new(trust)).unwrap();
    let anybody = r#"{"version":1,"unlisted":"allow","hosts":{"invalid":["sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]}}"#;
    let pins = Arc::new(PinSet::new(Policy::from_json(anybody).unwrap()));
    let origin = TlsOrigin::new(&config, pins, Identity::parse("localhost", 443).unwrap());
    let (client, far) = duplex(WIRE);
    let Scene { client: mut near, authority, told, served } = scene;
    let mut far = far;
    let between =
        tokio::spawn(async move { tokio::io::copy_bidirectional(&mut far, &mut near).await });
    let (stream, _) = origin.handshake(TokioIo::new(client)).await.unwrap();
    let mut stream = TokioIo::new(stream);
    stream.write_all(b"GET /a?b HTTP/1.1\r\n\r\n").await.unwrap();
    stream.flush().await.unwrap();
    served.await.unwrap();
    drop((stream, authority));
    let _ = between.await;
    let told = told.lock().unwrap();
    let [record] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!(record.outcome, Outcome::Intercepted);
    assert_eq!(record.first().as_deref(), Some("GET /a?… HTTP/1.1"));
    assert_eq!(record.server_name.as_deref(), Some("localhost"));
    assert!(record.held.is_some());
}

#[tokio::test]
async fn what_only_looks_like_tls_is_passed_on_after_a_moment() {
    let ((mut client, mut near), (mut server, mut far)) = (duplex(WIRE), duplex(WIRE));
    let relayed = tokio::spawn(async move { relay(&mut near, &mut far, |_| {}).await });
    client.write_all(b"x\x16\x03").await.unwrap();
    let mut seen = [0; 3];
    server.read_exact(&mut seen).await.unwrap();
    assert_eq!(&seen, b"x\x16\x03");
    client.write_all(b"y\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03").await.unwrap();
    let Plain::Tls(begun) = relayed.await.unwrap().unwrap() else { panic!("no TLS") };
    assert_eq!(begun, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    let mut rest = Vec::new();
    server.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"y");
}

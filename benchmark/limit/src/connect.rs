//! Connections whose peer has the pinned key.

use std::cell::Cell;
use std::sync::Arc;

use data_encoding::BASE64;
use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::Failure;

pub struct Connector {
    tls: TlsConnector,
    name: ServerName<'static>,
    pin: String,
    port: u16,
    pub h2: bool,
    resumed: Cell<usize>,
    handshakes: Cell<usize>,
}

impl Connector {
    pub fn new(ca: &str, pin: &str, port: u16, resume: bool, h2: bool) -> Result<Self, Failure> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca.as_bytes())?)?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        if !resume {
            config.resumption = Resumption::disabled();
        }
        config.alpn_protocols = vec![if h2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        Ok(Self {
            tls: Arc::new(config).into(),
            name: ServerName::try_from("127.0.0.1")?,
            pin: pin.to_owned(),
            port,
            h2,
            resumed: Cell::new(0),
            handshakes: Cell::new(0),
        })
    }

    /// Resumed or not: the server's key is compared before the connection is given away.
    pub async fn connect(&self) -> Result<TlsStream<TcpStream>, Failure> {
        let tcp = TcpStream::connect(("127.0.0.1", self.port)).await?;
        tcp.set_nodelay(true)?;
        let stream = self.tls.connect(self.name.clone(), tcp).await?;
        let session = stream.get_ref().1;
        let leaf =
            session.peer_certificates().and_then(|chain| chain.first()).ok_or("no certificate")?;
        let key = webpki::EndEntityCert::try_from(leaf)?.subject_public_key_info();
        if format!("sha256/{}", BASE64.encode(&Sha256::digest(&key))) != self.pin {
            return Err("no pin matches".into());
        }
        self.handshakes.set(self.handshakes.get() + 1);
        if session.handshake_kind() == Some(HandshakeKind::Resumed) {
            self.resumed.set(self.resumed.get() + 1);
        }
        Ok(stream)
    }

    /// Resumed handshakes, and all of them.
    pub fn counts(&self) -> (usize, usize) {
        (self.resumed.get(), self.handshakes.get())
    }
}

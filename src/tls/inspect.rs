//! What a server presents, looked at without trusting it.

use std::sync::{Arc, Mutex, PoisonError};

use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::AsyncWriteExt as _;
use tokio_rustls::TlsConnector;

use super::codes;
use super::config::TlsConfig;
use super::connect::{Negotiated, negotiated};
use super::failure::Failure;
use super::identity::Identity;

/// A server's certificates, leaf first, and what the handshake agreed on.
#[derive(Debug)]
pub struct Presented {
    pub chain: Vec<CertificateDer<'static>>,
    pub negotiated: Option<Negotiated>,
    /// Why the handshake itself failed after the certificates came, such as a key that rustls cannot verify.
    pub incomplete: Option<Failure>,
}

/// Shakes hands, notes the certificates and closes. No application byte is ever sent.
///
/// # Errors
/// When the handshake fails before the server has sent its certificates.
pub async fn inspect<IO>(
    config: &TlsConfig,
    identity: &Identity,
    io: IO,
) -> Result<Presented, Failure>
where
    IO: Read + Write + Unpin,
{
    let witness = Arc::new(Witness::new(config.rules().algorithms));
    let connector = TlsConnector::from(Arc::new(config.client_config(Arc::clone(&witness) as _)));
    let result = connector.connect(identity.name().clone(), TokioIo::new(io)).await;
    let chain = witness.take();
    match result {
        Ok(mut stream) => {
            let negotiated = negotiated(stream.get_ref().1);
            let _ = stream.shutdown().await;
            Ok(Presented { chain, negotiated: Some(negotiated), incomplete: None })
        }
        Err(error) => {
            let failure =
                codes::from_handshake(&error).at(&identity.host().to_string(), identity.port());
            if chain.is_empty() {
                return Err(failure);
            }
            Ok(Presented { chain, negotiated: None, incomplete: Some(failure) })
        }
    }
}

/// Looks at any chain. It lives in this module and in [`super::offer`] alone: nothing that sends a request can be built
/// with it.
#[derive(Debug)]
pub(super) struct Witness {
    seen: Mutex<Vec<CertificateDer<'static>>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Witness {
    pub fn new(algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { seen: Mutex::default(), algorithms }
    }

    /// The certificates that came, leaf first.
    pub fn take(&self) -> Vec<CertificateDer<'static>> {
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push(end_entity.clone().into_owned());
        seen.extend(intermediates.iter().map(|der| der.clone().into_owned()));
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = self.algorithms.supported_schemes();
        schemes.push(super::verifier::RSA_PSS_PSS_SHA256);
        schemes
    }
}

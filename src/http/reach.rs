//! A connection to a server on which the next byte is TLS.

use std::net::SocketAddr;

use crate::tls::starttls::StartTls;
use crate::tls::{Failure, Identity, Phase};

use super::connection::ConnectTimeouts;
use super::driver::{Driver, Target, within};

/// Whom to connect to, as whom, and what is spoken before TLS.
pub struct Reach {
    pub target: Target,
    pub identity: Identity,
    pub starttls: Option<StartTls>,
    pub limits: ConnectTimeouts,
}

impl Reach {
    /// Dials, and speaks until TLS is to begin, which counts as part of the handshake.
    pub async fn open<D: Driver>(&self, driver: &D) -> Result<(D::Io, SocketAddr), Failure> {
        let dialling = driver.dial(&self.target);
        let (mut io, remote) = within(driver, self.limits.connect, dialling, || {
            Failure::new("ETIMEDOUT", Phase::Connect, "no connection within `connectTimeout`")
        })
        .await?;
        if let Some(starttls) = self.starttls {
            let host = self.identity.host().to_string();
            let speaking = starttls.speak(&mut io, &host);
            within(driver, self.limits.handshake, speaking, || {
                late("the server did not agree to begin TLS within `handshakeTimeout`")
            })
            .await?;
        }
        Ok((io, remote))
    }

    /// Runs a handshake for as long as it may take.
    pub async fn shake<T>(
        &self,
        driver: &impl Driver,
        handshake: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        within(driver, self.limits.handshake, handshake, || {
            late("the TLS handshake was not done within `handshakeTimeout`")
        })
        .await
    }
}

fn late(message: &str) -> Failure {
    Failure::new("ERR_TLS_HANDSHAKE_TIMEOUT", Phase::Handshake, message)
}

//! Whom a connection is made for: the name that the policy, SNI and the certificate check all use.

use rustls_pki_types::{DnsName, ServerName};

use crate::pinning::{Host, Invalid};

/// A host and port, with the host in the form TLS wants it in.
#[derive(Clone, Debug)]
pub struct Identity {
    host: Host,
    port: u16,
    name: ServerName<'static>,
}

impl Identity {
    /// # Errors
    /// When the host is a name that no certificate can carry.
    pub fn new(host: Host, port: u16) -> Result<Self, Invalid> {
        let name = match &host {
            Host::Ip(ip) => ServerName::IpAddress((*ip).into()),
            Host::Dns(name) => match DnsName::try_from(name.clone()) {
                Ok(name) => ServerName::DnsName(name),
                Err(_) => {
                    return Err(Invalid {
                        place: format!("{name:?}"),
                        problem: "is not a DNS name that a certificate can carry".into(),
                        fix: "write a host name or an IP address".into(),
                    });
                }
            },
        };
        Ok(Self { host, port, name })
    }

    /// # Errors
    /// As [`Host::parse`] and [`Self::new`].
    pub fn parse(host: &str, port: u16) -> Result<Self, Invalid> {
        Self::new(Host::parse(host)?, port)
    }

    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }

    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    #[must_use]
    pub fn name(&self) -> &ServerName<'static> {
        &self.name
    }
}

//! The one error type that leaves the native layers: a stable code, the place it happened at and, for a
//! mismatch, the path the server proved. It crosses to JavaScript as data.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use rustls_pki_types::CertificateDer;

use crate::pinning::{CertificateInfo, Entry, PathCertificate, Role, read_certificate};

use super::verified::PathCertificateInfo;

/// When a failure happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Policy,
    Dns,
    Connect,
    Proxy,
    Handshake,
    Request,
    Body,
}

impl Phase {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Proxy => "proxy",
            Self::Handshake => "handshake",
            Self::Request => "request",
            Self::Body => "body",
        }
    }
}

/// What is proved of the certificates in a mismatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// They are a verified path.
    Path,
    /// It is the server's own, and the pins are the only trust.
    Possession,
    /// The first is the server's own; the others are what another TLS stack shows, verified by nobody.
    Shown,
}

/// Why a connection was refused or a request failed. Cheap to clone: one failed connection may answer
/// several requests.
#[derive(Clone, Debug)]
pub struct Failure(Arc<Details>);

/// What a [`Failure`] carries.
#[derive(Clone, Debug)]
pub struct Details {
    /// Node's or OpenSSL's code where there is one for the case, else one of `ERR_TLS_PIN_*`.
    pub code: Cow<'static, str>,
    pub message: String,
    pub phase: Phase,
    /// The identity the connection was made for, empty where there is none.
    pub host: String,
    pub port: u16,
    /// The system call behind an I/O error, as in Node's `err.syscall`.
    pub syscall: Option<&'static str>,
    /// What lay beneath, as text.
    pub cause: Option<String>,
    /// The pattern whose pins were applied, and the pins, for a mismatch.
    pub pattern: Option<String>,
    pub expected: Vec<String>,
    /// The best path that was verified but did not match, from the leaf to the anchor.
    pub path: Vec<PathCertificateInfo>,
    /// For a mismatch, the certificates as the server sent them, leaf first.
    pub presented: Vec<CertificateDer<'static>>,
    /// The certificate that has expired or been revoked, and the pin it satisfies.
    pub certificate: Option<PathCertificateInfo>,
    pub pinned: Option<String>,
}

impl Failure {
    pub fn new(
        code: impl Into<Cow<'static, str>>,
        phase: Phase,
        message: impl Into<String>,
    ) -> Self {
        Self(Arc::new(Details {
            code: code.into(),
            message: message.into(),
            phase,
            host: String::new(),
            port: 0,
            syscall: None,
            cause: None,
            pattern: None,
            expected: Vec::new(),
            path: Vec::new(),
            presented: Vec::new(),
            certificate: None,
            pinned: None,
        }))
    }

    /// A verified path exists, and nothing on it matches. The message is the tool to set a pin up with: it
    /// prints the path with a pin for each certificate, then the pins that were expected.
    #[must_use]
    pub fn mismatch(
        entry: &Entry,
        path: Vec<PathCertificateInfo>,
        presented: &[CertificateDer<'_>],
        proof: Proof,
    ) -> Self {
        let expected: Vec<String> = entry.rules().iter().map(|rule| rule.pin.to_string()).collect();
        let pattern = entry.pattern().map(ToString::to_string);
        let mut message = String::from("ERR_TLS_PIN_MISMATCH: no certificate ");
        let (which, heading) = match proof {
            Proof::Path => ("on the verified path of this server", "The server's verified path"),
            Proof::Possession => {
                ("that this server proved possession of", "The server's verified path")
            }
            Proof::Shown => (
                "that issued this server's certificate",
                "What the TLS stack shows, in which only the first is proved",
            ),
        };
        let _ = write!(message, "{which} matches a pin\n  {heading}, leaf first:");
        for certificate in &path {
            let _ = write!(message, "\n    {}  {}", certificate.spki_pin, certificate.subject);
        }
        let beside =
            if proof == Proof::Path { beside(entry, &path, presented) } else { Vec::new() };
        if !beside.is_empty() {
            message.push_str(
                "\n  Pinned and presented, but not on a verified path, so that they prove nothing:",
            );
        }
        for CertificateInfo { spki_pin, subject, .. } in beside {
            let _ = write!(message, "\n    {spki_pin}  {subject}");
        }
        match &pattern {
            Some(pattern) => {
                let _ = write!(message, "\n  The pins for {pattern:?}:");
            }
            None => message.push_str("\n  The pins of this request:"),
        }
        for rule in entry.rules() {
            let note = match rule.role {
                Role::Any => "",
                Role::Leaf => "  (leaf only)",
                Role::Ca => "  (issuers only)",
            };
            let _ = write!(message, "\n    {}{note}", rule.pin);
        }
        let failure = Self::new("ERR_TLS_PIN_MISMATCH", Phase::Handshake, message);
        failure.with(|details| {
            details.pattern = pattern;
            details.expected = expected;
            details.path = path;
            details.presented = presented.iter().map(|der| der.clone().into_owned()).collect();
        })
    }

    /// With the certificate that it is about, and the pin that this one satisfies.
    #[must_use]
    pub(super) fn with_culprit(
        self,
        message: String,
        certificate: PathCertificateInfo,
        pinned: Option<String>,
    ) -> Self {
        self.with(|details| {
            details.message = message;
            details.certificate = Some(certificate);
            details.pinned = pinned;
        })
    }

    /// The identity the connection was for, put in front of the first line of the message. Port 0: not known.
    #[must_use]
    pub fn at(self, host: &str, port: u16) -> Self {
        if !self.0.host.is_empty() {
            return self;
        }
        let place = if port == 0 { host.to_owned() } else { format!("{host}:{port}") };
        self.with(|details| {
            details.message = match details.message.strip_prefix("ERR_TLS_PIN_MISMATCH: ") {
                Some(rest) => format!("ERR_TLS_PIN_MISMATCH: {place}: {rest}"),
                None => format!("{place}: {}", details.message),
            };
            host.clone_into(&mut details.host);
            details.port = port;
        })
    }

    #[must_use]
    pub fn because(self, cause: &dyn fmt::Display) -> Self {
        self.with(|details| details.cause = Some(cause.to_string()))
    }

    #[must_use]
    pub fn in_phase(self, phase: Phase) -> Self {
        self.with(|details| details.phase = phase)
    }

    #[must_use]
    pub fn syscall(self, syscall: &'static str) -> Self {
        self.with(|details| details.syscall = Some(syscall))
    }

    fn with(mut self, change: impl FnOnce(&mut Details)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// The failure inside an error that has passed through rustls, tokio or hyper, if there is one.
    #[must_use]
    pub fn within(error: &(dyn std::error::Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(failure) = error.downcast_ref::<Self>() {
                return Some(failure.clone());
            }
            // `io::Error` and rustls' `OtherError` hide what they wrap from `source()`.
            if let Some(inner) =
                error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref)
                && let Some(failure) = Self::within(inner)
            {
                return Some(failure);
            }
            if let Some(rustls::Error::InvalidCertificate(rustls::CertificateError::Other(other))) =
                error.downcast_ref::<rustls::Error>()
                && let Some(failure) = Self::within(&*other.0)
            {
                return Some(failure);
            }
            next = error.source();
        }
        None
    }
}

/// What was presented and would satisfy a pin, had it been on the path.
fn beside(
    entry: &Entry,
    path: &[PathCertificateInfo],
    presented: &[CertificateDer<'_>],
) -> Vec<CertificateInfo> {
    let others = presented.iter().enumerate().filter(|(_, der)| {
        !path.iter().any(|step| step.der.as_ref().is_some_and(|known| known == *der))
    });
    let pinned = others.filter(|(index, der)| {
        read_certificate(der).is_ok_and(|(_, spki)| {
            let seen = PathCertificate { spki: Cow::Borrowed(spki), der: Some(Cow::Borrowed(der)) };
            entry.pin_at(*index, &seen).is_some()
        })
    });
    pinned.filter_map(|(_, der)| CertificateInfo::from_der(der).ok()).collect()
}

impl std::ops::Deref for Failure {
    type Target = Details;

    fn deref(&self) -> &Details {
        &self.0
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Failure {}

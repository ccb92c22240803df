//! What is told of a connection.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::shown::{LOOKED_AT, secure_host, shown};

/// What became of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outcome {
    /// The server could not be connected to.
    Unreachable,
    /// No TLS was seen.
    #[default]
    Plain,
    /// TLS, passed on untouched.
    Relayed,
    /// The client was shown a certificate of the rehearsal, and sent something; or it sent a request for an `https:` URL
    /// without TLS.
    Intercepted,
    /// It was shown one, and ended the connection before it sent anything.
    Refused,
    /// It was shown one, and did neither.
    Silent,
    /// It could not be shown one.
    Failed,
}

impl Outcome {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Plain => "plain",
            Self::Relayed => "relayed",
            Self::Intercepted => "intercepted",
            Self::Refused => "refused",
            Self::Silent => "silent",
            Self::Failed => "failed",
        }
    }
}

/// A connection that a client has asked for.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// What the client calls it: the user name it gave.
    pub id: Option<String>,
    pub host: String,
    pub port: u16,
    /// The name in its `ClientHello`.
    pub server_name: Option<String>,
    pub protocol: Option<&'static str>,
    pub alpn: Option<String>,
    pub outcome: Outcome,
    /// The alert that it ended with, the code of a failure, or why it could not be shown a certificate.
    pub reason: Option<String>,
    /// Why the server was not spoken to: the client's bytes went nowhere.
    pub held: Option<String>,
    /// Application bytes of the client that were read.
    pub bytes: u64,
    /// The first of them.
    pub head: Vec<u8>,
}

impl Record {
    /// What was read begins so, without what may be a secret.
    #[must_use]
    pub fn first(&self) -> Option<String> {
        (self.bytes > 0).then(|| shown(&self.head))
    }

    /// Takes down what a client says in plain text. A request for an `https:` URL, which a proxy is sent in that form
    /// (RFC 9112, section 3.2.2), was to be encrypted: whatever pins there were did not see it.
    pub fn said(&mut self, bytes: &[u8]) {
        match secure_host(bytes) {
            Some(host) if self.outcome == Outcome::Plain => self.server_name = Some(host.into()),
            _ if self.outcome == Outcome::Intercepted => {}
            _ => return,
        }
        self.leak(bytes);
    }

    /// Takes down what a client has given away.
    pub fn leak(&mut self, bytes: &[u8]) {
        self.outcome = Outcome::Intercepted;
        self.bytes += bytes.len() as u64;
        let room = LOOKED_AT.saturating_sub(self.head.len());
        self.head.extend(bytes.iter().take(room));
    }
}

/// Who is told of each connection when it is over.
pub type Tell = Arc<dyn Fn(&Record) + Send + Sync>;

/// The record of a connection under way, told when it is dropped: also of one that is cut off.
pub struct Open {
    record: Mutex<Record>,
    tell: Tell,
}

impl Open {
    #[must_use]
    pub fn new(record: Record, tell: Tell) -> Self {
        Self { record: Mutex::new(record), tell }
    }

    pub fn note(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What became of it, and why.
    pub fn end(&self, outcome: Outcome, reason: impl Into<Option<String>>) {
        let mut record = self.note();
        record.outcome = outcome;
        record.reason = reason.into();
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        (self.tell)(&self.note());
    }
}

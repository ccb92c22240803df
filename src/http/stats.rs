//! What a client has done so far.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::tls::traffic::Traffic;
use crate::tls::{Failure, Phase};

use super::connection::ConnectionInfo;

/// Counters of one client.
#[derive(Debug, Default)]
pub struct Stats {
    pub traffic: Arc<Traffic>,
    full: AtomicU64,
    resumed: AtomicU64,
    failed: AtomicU64,
    retried: AtomicU64,
    on_loop: AtomicU64,
}

/// Handshakes and retries up to now.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    pub full: u64,
    pub resumed: u64,
    pub failed: u64,
    pub retried: u64,
    pub on_loop: u64,
}

impl Stats {
    pub(super) fn connected(&self, connection: &ConnectionInfo) {
        let handshakes = if connection.negotiated.resumed { &self.resumed } else { &self.full };
        handshakes.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn not_connected(&self, failure: &Failure) {
        if failure.phase == Phase::Handshake {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn retrying(&self) {
        self.retried.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn sent_on_loop(&self) {
        self.on_loop.fetch_add(1, Ordering::Relaxed);
    }

    #[must_use]
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            full: read(&self.full),
            resumed: read(&self.resumed),
            failed: read(&self.failed),
            retried: read(&self.retried),
            on_loop: read(&self.on_loop),
        }
    }
}

//! The right to use a connection, the right to make one, and the word that either may be had: each passes on what it held
//! when it is dropped.

use std::sync::Arc;
use std::time::Instant;

use crate::tls::Failure;

use super::super::connection::Connection;
use super::{Idle, Pool, Shared, Turn};

/// Word that it is worth looking again. A request that is aborted before it hears of it passes it on: else those
/// behind it would wait for ever.
pub struct Nudge(pub(super) Option<Arc<Pool>>);

/// The right to use a connection for one request. Dropped without [`Lease::reuse`], the connection is closed.
pub struct Lease {
    pub(super) pool: Arc<Pool>,
    pub(super) connection: Option<Connection>,
}

/// The right to make one connection.
pub struct Permit {
    pub(super) pool: Arc<Pool>,
    pub(super) used: bool,
}

impl Nudge {
    pub fn heard(mut self) {
        self.0 = None;
    }
}

impl Drop for Nudge {
    fn drop(&mut self) {
        if let Some(pool) = self.0.take() {
            pool.lock().nudge(&pool);
        }
    }
}

impl Lease {
    /// The leased connection; `None` only after it has been given back.
    pub fn connection(&mut self) -> Option<&mut Connection> {
        self.connection.as_mut()
    }

    /// Gives the connection back once its exchange is over. Returns whether it is idle now.
    #[must_use]
    pub fn reuse(mut self) -> bool {
        let Some(connection) = self.connection.take() else { return false };
        if connection.is_multiplexed() {
            self.pool.end_stream(&connection);
            return true;
        }
        let mut state = self.pool.lock();
        let lease = Lease { pool: Arc::clone(&self.pool), connection: Some(connection) };
        // Who was waiting when the pool was closed is still served.
        let Some(mut lease) = state.hand_over(lease) else { return false };
        let Some(connection) = lease.connection.take() else { return false };
        if state.closed {
            state.live = state.live.saturating_sub(1);
            return false;
        }
        state.idle.push(Idle { connection, since: Instant::now() });
        true
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        if connection.is_multiplexed() {
            self.pool.end_stream(&connection);
            return;
        }
        connection.kill();
        let mut state = self.pool.lock();
        state.live = state.live.saturating_sub(1);
        state.nudge(&self.pool);
    }
}

impl Permit {
    /// The connection was made: the caller's lease on it. A multiplexed one serves all who wait.
    #[must_use]
    pub fn connected(mut self, connection: Connection) -> Lease {
        self.used = true;
        let mut state = self.pool.lock();
        state.connecting = state.connecting.saturating_sub(1);
        state.gates.retain(|gate| gate.strong_count() > 0);
        state.gates.push(Arc::downgrade(&connection.info.gate));
        if let Some(shared) = connection.share() {
            state.live = state.live.saturating_sub(1);
            if !state.closed {
                state.shared =
                    Some(Shared { connection: shared, streams: 1, since: Instant::now() });
            }
        } else {
            state.speaks_http1 = true;
        }
        let waiters = std::mem::take(&mut state.waiters);
        drop(state);
        for waiter in waiters {
            let _ = waiter.send(Turn::Retry(Nudge(Some(Arc::clone(&self.pool)))));
        }
        self.pool.lease(connection)
    }

    /// The connection could not be made; who waited for it alone gets the same answer.
    pub fn failed(mut self, failure: &Failure) {
        self.used = true;
        let mut state = self.pool.lock();
        state.connecting = state.connecting.saturating_sub(1);
        state.live = state.live.saturating_sub(1);
        if state.live == 0 {
            for waiter in std::mem::take(&mut state.waiters) {
                let _ = waiter.send(Turn::Failed(failure.clone()));
            }
        } else {
            state.nudge(&self.pool);
        }
    }
}

impl Drop for Permit {
    /// The request that was making the connection was aborted: the next one takes over.
    fn drop(&mut self) {
        if self.used {
            return;
        }
        let mut state = self.pool.lock();
        state.connecting = state.connecting.saturating_sub(1);
        state.live = state.live.saturating_sub(1);
        state.nudge(&self.pool);
    }
}

//! The connections of one origin: idle ones to reuse, one to multiplex on, and who waits for which.
//!
//! A connection leaves the pool only if its server satisfies the policy in force at that moment.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::tls::Failure;
use crate::tls::stream::Gate;

use super::connection::Connection;
use super::home::Place;

mod lease;

use lease::Nudge;
pub use lease::{Lease, Permit};

/// Waiting requests from which on the queue is cleared of those that were aborted.
const WAITERS: usize = 1024;

/// How many connections an origin may have, and how long one may be idle.
#[derive(Clone, Copy, Debug)]
pub struct PoolLimits {
    /// HTTP/1.1 connections at once; further requests wait.
    pub connections: usize,
    pub keep_alive: Duration,
}

/// The pool of one origin.
pub struct Pool {
    limits: PoolLimits,
    /// ALPN may choose HTTP/2, so the first connection decides before others are made.
    may_multiplex: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    idle: Vec<Idle>,
    shared: Option<Shared>,
    /// HTTP/1.1 connections in use, idle or being made.
    live: usize,
    /// The gates of all connections, in use or not.
    gates: Vec<Weak<Gate>>,
    connecting: usize,
    /// A server that chose HTTP/1.1 once is taken to speak nothing else: its connections are made side by side.
    speaks_http1: bool,
    waiters: VecDeque<oneshot::Sender<Turn>>,
    reaping: bool,
    closed: bool,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

struct Shared {
    connection: Connection,
    streams: usize,
    since: Instant,
}

/// How many connections, streams and requests a pool has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Occupancy {
    /// HTTP/1.1 connections: unused, in use.
    pub idle: usize,
    pub active: usize,
    /// Requests that wait for a connection.
    pub waiting: usize,
    /// HTTP/2 connections, and the requests on them.
    pub shared: usize,
    pub streams: usize,
}

/// What a waiting request is woken with.
enum Turn {
    Lease(Lease),
    Retry(Nudge),
    Failed(Failure),
}

/// The answer to a request for a connection.
pub enum Checkout {
    Lease(Lease),
    /// None is free, and one more may be made.
    Connect(Permit),
}

impl Pool {
    #[must_use]
    pub fn new(limits: PoolLimits, may_multiplex: bool) -> Self {
        Self { limits, may_multiplex, state: Mutex::new(State::default()) }
    }

    /// A connection to use, or the right to make one, as soon as either is to be had.
    ///
    /// # Errors
    /// The failure of the connection attempt that this request was waiting for.
    pub async fn checkout(self: &Arc<Self>) -> Result<Checkout, Failure> {
        loop {
            let turn = {
                let mut state = self.lock();
                if let Some(checkout) = self.at_once(&mut state) {
                    return Ok(checkout);
                }
                if state.waiters.len() >= WAITERS {
                    // Aborted requests leave their places behind.
                    state.waiters.retain(|waiter| !waiter.is_closed());
                }
                let (sender, turn) = oneshot::channel();
                state.waiters.push_back(sender);
                turn
            };
            match turn.await {
                Ok(Turn::Lease(lease)) => match lease.connection.as_ref() {
                    Some(connection) if connection.usable() => return Ok(Checkout::Lease(lease)),
                    _ => {}
                },
                Ok(Turn::Failed(failure)) => return Err(failure),
                Ok(Turn::Retry(nudge)) => nudge.heard(),
                Err(_) => {}
            }
        }
    }

    /// An idle HTTP/1.1 connection.
    pub fn idle(self: &Arc<Self>) -> Option<Lease> {
        let mut state = self.lock();
        self.idle_in(&mut state)
    }

    /// Has the idle connections live on the native threads.
    pub fn recall(&self) {
        self.lock().idle.iter().for_each(|idle| idle.connection.move_to(Place::Native));
    }

    /// Whether [`Self::idle`] may have one.
    pub fn has_idle(&self) -> bool {
        !self.lock().idle.is_empty()
    }

    fn idle_in(self: &Arc<Self>, state: &mut State) -> Option<Lease> {
        while let Some(idle) = state.idle.pop() {
            if idle.since.elapsed() < self.limits.keep_alive && idle.connection.usable() {
                return Some(self.lease(idle.connection));
            }
            state.live = state.live.saturating_sub(1);
        }
        None
    }

    fn at_once(self: &Arc<Self>, state: &mut State) -> Option<Checkout> {
        if state.shared.as_ref().is_some_and(|shared| !shared.connection.usable()) {
            state.shared = None;
        }
        if let Some(shared) = &mut state.shared
            && let Some(connection) = shared.connection.share()
        {
            shared.streams += 1;
            return Some(Checkout::Lease(self.lease(connection)));
        }
        if let Some(lease) = self.idle_in(state) {
            return Some(Checkout::Lease(lease));
        }
        let undecided = self.may_multiplex && !state.speaks_http1;
        if state.live >= self.limits.connections || (undecided && state.connecting > 0) {
            return None;
        }
        state.live += 1;
        state.connecting += 1;
        Some(Checkout::Connect(Permit { pool: Arc::clone(self), used: false }))
    }

    fn lease(self: &Arc<Self>, connection: Connection) -> Lease {
        Lease { pool: Arc::clone(self), connection: Some(connection) }
    }

    /// Closes what is idle too long. Returns when to look again, `None` when nothing is idle.
    pub fn reap(&self) -> Option<Duration> {
        let mut state = self.lock();
        let keep_alive = self.limits.keep_alive;
        let before = state.idle.len();
        state.idle.retain(|idle| idle.since.elapsed() < keep_alive && idle.connection.usable());
        state.live = state.live.saturating_sub(before - state.idle.len());
        if state.shared.as_ref().is_some_and(|shared| {
            !shared.connection.usable()
                || (shared.streams == 0 && shared.since.elapsed() >= keep_alive)
        }) {
            state.shared = None;
        }
        let oldest = state.idle.iter().map(|idle| idle.since).min();
        let shared = state.shared.as_ref().map(|shared| shared.since);
        let next = oldest.into_iter().chain(shared).min().map(|since| {
            // A multiplexed connection in use has an old `since`; look again after a whole period.
            let left = keep_alive.saturating_sub(since.elapsed());
            if left.is_zero() { keep_alive } else { left }
        });
        let next = next.filter(|_| keep_alive < Duration::MAX);
        state.reaping = next.is_some();
        next
    }

    /// Whether somebody has to start reaping; true at most once until [`Self::reap`] finds nothing idle.
    pub fn needs_reaper(&self) -> bool {
        let mut state = self.lock();
        !std::mem::replace(&mut state.reaping, true)
    }

    /// Drops every connection that the policy no longer allows, in use or not.
    pub fn enforce(&self) {
        let gates: Vec<_> = self.lock().gates.iter().filter_map(Weak::upgrade).collect();
        // Not under the lock: each may have its chain verified anew. Those in use end themselves.
        for gate in gates {
            gate.enforce();
        }
        let mut state = self.lock();
        let before = state.idle.len();
        state.idle.retain(|idle| idle.connection.usable());
        state.live = state.live.saturating_sub(before - state.idle.len());
        if state.shared.as_ref().is_some_and(|shared| !shared.connection.usable()) {
            state.shared = None;
        }
    }

    /// Closes what is idle: a connection used later than all of these was found dead.
    pub fn forget_idle(&self) {
        let idle = {
            let mut state = self.lock();
            let idle = std::mem::take(&mut state.idle);
            state.live = state.live.saturating_sub(idle.len());
            idle
        };
        drop(idle);
    }

    /// What there is at this moment.
    pub fn occupancy(&self) -> Occupancy {
        let state = self.lock();
        let idle = state.idle.len();
        Occupancy {
            idle,
            active: state.live.saturating_sub(idle + state.connecting),
            waiting: state.waiters.iter().filter(|waiter| !waiter.is_closed()).count(),
            shared: usize::from(state.shared.is_some()),
            streams: state.shared.as_ref().map_or(0, |shared| shared.streams),
        }
    }

    /// Whether there is nothing here worth keeping the origin for.
    pub fn is_unused(&self) -> bool {
        let state = self.lock();
        state.live == 0 && state.shared.is_none() && state.waiters.is_empty()
    }

    /// Closes idle connections now and the others when their exchange is over.
    pub fn close(&self) {
        let (idle, shared) = {
            let mut state = self.lock();
            state.closed = true;
            (std::mem::take(&mut state.idle), state.shared.take())
        };
        drop((idle, shared));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Lets the first waiter that is still there look again.
    fn nudge(&mut self, pool: &Arc<Pool>) {
        while let Some(waiter) = self.waiters.pop_front() {
            match waiter.send(Turn::Retry(Nudge(Some(Arc::clone(pool))))) {
                Err(Turn::Retry(unheard)) => unheard.heard(),
                _ => return,
            }
        }
    }

    /// Gives a connection to the first waiter that is still there, or gives it back.
    fn hand_over(&mut self, mut lease: Lease) -> Option<Lease> {
        while let Some(waiter) = self.waiters.pop_front() {
            match waiter.send(Turn::Lease(lease)) {
                Err(Turn::Lease(back)) => lease = back,
                _ => return None,
            }
        }
        Some(lease)
    }
}

impl Pool {
    fn end_stream(&self, connection: &Connection) {
        let mut state = self.lock();
        if let Some(shared) = &mut state.shared
            && shared.connection.info.id == connection.info.id
        {
            shared.streams = shared.streams.saturating_sub(1);
            shared.since = Instant::now();
        }
    }
}

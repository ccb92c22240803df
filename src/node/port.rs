//! The gate between one JavaScript thread and the native ones: requests come in by the batch, completions go
//! back by the batch, with one wake-up for as many as are ready.

use std::sync::{Arc, Mutex, OnceLock, Weak};

use bytes::Bytes;
use futures_util::future::{AbortHandle, AbortRegistration};
use napi::Env;
use napi::bindgen_prelude::*;
use napi_derive::napi;
use tokio::sync::mpsc;

use crate::http::client::Client;
use crate::http::driver::Task;
use crate::http::home::Place;
use crate::http::request::{Piece, Request, RequestBody, Upload};
use crate::http::tokio_driver::TokioDriver;
use crate::http::turns::Turns;
use crate::tls::{Failure, Phase};

use super::exchange::{self, Exchange};
use super::lookup::Lookups;
use super::runtime;
use super::shared::{Entry, Shared, Wanted, call, lock};
use super::uv;
use super::wire::{Frames, Kind, SentBody};

/// Pieces of an upload that wait for the network, at most.
const UPLOAD_PIECES: usize = 4;

/// One JavaScript thread's way in and out.
#[napi]
pub struct Port {
    shared: Arc<Shared>,
    /// The large pieces of the last batch.
    large: Mutex<Vec<Vec<Bytes>>>,
}

#[napi]
impl Port {
    /// `wake` is called, at most once per batch, when [`Port::take`] has something to give.
    #[napi(constructor, catch_unwind)]
    pub fn new(wake: Function<'_, (), ()>) -> Result<Self> {
        let waker = wake
            .build_threadsafe_function::<()>()
            .weak::<true>()
            .callee_handled::<false>()
            .build()?;
        Ok(Self {
            shared: Arc::new(Shared {
                waker: Arc::new(waker),
                queue: Mutex::default(),
                exchanges: Mutex::default(),
                clients: Mutex::default(),
                turns: OnceLock::new(),
                lookups: Lookups::default(),
            }),
            large: Mutex::default(),
        })
    }

    /// Lets small exchanges on established connections run on this thread's event loop, which calls `wake` when it has
    /// completions. Without effect where the runtime has no loop for it.
    #[napi(catch_unwind)]
    pub fn use_loop(&self, env: Env, wake: Function<'_, (), ()>) -> Result<bool> {
        if self.shared.turns.get().is_some() {
            return Ok(true);
        }
        let waker = Arc::clone(&self.shared.waker);
        let Ok(turns) = Turns::new(runtime::handle()?, Box::new(move || call(&waker))) else {
            return Ok(false);
        };
        let turns = Arc::new(turns);
        let watcher =
            Box::new(Watcher { shared: Arc::downgrade(&self.shared), turns: Arc::clone(&turns) });
        if uv::watch(&env, turns.reactor().descriptor(), &wake, watcher).is_err() {
            return Ok(false);
        }
        let _ = self.shared.turns.set(turns);
        Ok(true)
    }

    /// Starts the requests of one batch. With `linger` it may wait a moment for an answer; then it says whether there is
    /// one to take.
    #[napi(catch_unwind)]
    pub fn submit(&self, batch: Uint8Array, linger: bool) -> Result<bool> {
        let mut frames = Frames::new(&batch);
        let mut work = Vec::new();
        loop {
            let frame = frames.read().map_err(|_| Error::from_reason("a request was cut off"))?;
            let Some(frame) = frame else { break };
            let client = lock(&self.shared.clients).get(&frame.client).cloned();
            let (client, request, sent) = match (client, frame.request) {
                (Some(client), Ok((request, sent))) => (client, request, sent),
                (None, _) => {
                    self.reject(frame.id, "ERR_INVALID_STATE", "the client has been closed");
                    continue;
                }
                (_, Err(problem)) => {
                    self.reject(frame.id, "ERR_INVALID_ARG_VALUE", &problem);
                    continue;
                }
            };
            let small = matches!(sent, SentBody::Inline);
            let (upload, request) = match sent {
                SentBody::Inline => (None, request),
                SentBody::Streamed(length) => {
                    let (sender, pieces) = mpsc::channel(UPLOAD_PIECES);
                    let body = RequestBody::Stream(Upload::new(pieces, length));
                    (Some(sender), Request { body, ..request })
                }
            };
            let (abort, registration) = AbortHandle::new_pair();
            let wanted = Arc::<Wanted>::default();
            let entry = Entry { abort, wanted: Arc::clone(&wanted), upload };
            lock(&self.shared.exchanges).insert(frame.id, entry);
            let exchange = Exchange {
                shared: Arc::clone(&self.shared),
                id: frame.id,
                client: frame.client,
                wanted,
            };
            work.push(Work { exchange, client, request, small, registration });
        }
        if let Some(turns) = self.for_loop(&work) {
            let work = work.into_iter().map(|work| work.start(Place::Loop));
            work.for_each(|exchange| turns.start(exchange));
            if linger {
                turns.linger(|| self.shared.is_woken());
            } else if self.shared.is_woken() {
                call(&self.shared.waker);
            }
            return Ok(linger && self.shared.is_woken());
        }
        self.recall(&work);
        let runtime = runtime::handle()?;
        let mut work: Vec<_> = work.into_iter().map(|work| work.start(Place::Native)).collect();
        if work.len() <= 1 {
            work.drain(..).for_each(|exchange| drop(runtime.spawn(exchange)));
            return Ok(false);
        }
        // One task is handed to the native thread; it starts the others there, which costs no wake-up.
        runtime.spawn(async move {
            for exchange in work {
                tokio::spawn(exchange);
            }
            // tokio runs the task spawned last before all others; requests are to begin in their order.
            tokio::spawn(async {});
        });
        Ok(false)
    }

    /// Every completion since the last call, in packed frames. The pieces they refer to are had from [`Port::fill`], until
    /// the next call.
    #[napi(catch_unwind)]
    pub fn take<'env>(&self, env: &'env Env) -> Result<Option<BufferSlice<'env>>> {
        if let Some(turns) = self.shared.turns.get() {
            turns.turn_if_asked();
        }
        let (packed, large) = lock(&self.shared.queue).batch();
        *lock(&self.large) = large;
        if packed.is_empty() {
            return Ok(None);
        }
        // A copy: a buffer that JavaScript shares with native memory is not allowed everywhere.
        BufferSlice::copy_from(env, packed.as_slice()).map(Some)
    }

    /// Writes a large piece, by its place among those of the last batch, to where JavaScript wants it.
    #[napi(catch_unwind)]
    pub fn fill(&self, index: u32, mut into: BufferSlice<'_>) -> Result<()> {
        let piece = lock(&self.large).get_mut(index as usize).map(std::mem::take);
        let mut rest = &mut *into;
        for part in piece.unwrap_or_default() {
            let (start, after) = rest
                .split_at_mut_checked(part.len())
                .ok_or_else(|| Error::from_reason("a piece does not fit"))?;
            start.copy_from_slice(&part);
            rest = after;
        }
        if rest.is_empty() { Ok(()) } else { Err(Error::from_reason("a piece is not there")) }
    }

    /// Asks for more of a response's body, or for all of it in one piece.
    #[napi(catch_unwind)]
    pub fn pull(&self, id: u32, all: bool) {
        if let Some(Entry { wanted, .. }) = lock(&self.shared.exchanges).get(&id) {
            wanted.ask(all);
        }
    }

    /// Stops a request, wherever it is: its connection is closed or its stream reset.
    #[napi(catch_unwind)]
    pub fn abort(&self, id: u32) {
        let entry = lock(&self.shared.exchanges).remove(&id);
        if let Some(entry) = entry {
            entry.abort.abort();
        }
    }

    /// Sends a piece of an upload, or its end when there is no piece. Answers 0: go on, 1: wait for the
    /// `Writable` completion, 2: nobody reads this upload any more.
    #[napi(catch_unwind)]
    pub fn write(&self, id: u32, piece: Option<Uint8Array>) -> Result<u32> {
        let upload = match lock(&self.shared.exchanges).get(&id) {
            Some(Entry { upload: Some(upload), .. }) => upload.clone(),
            _ => return Ok(2),
        };
        let piece = match piece {
            Some(bytes) => Piece::Data(Bytes::copy_from_slice(&bytes)),
            None => Piece::End,
        };
        match upload.try_send(piece) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Closed(_)) => return Ok(2),
            Err(mpsc::error::TrySendError::Full(_)) => {
                return Err(Error::from_reason("a piece was written without waiting"));
            }
        }
        if upload.capacity() > 0 {
            return Ok(0);
        }
        let shared = Arc::clone(&self.shared);
        runtime::handle()?.spawn(async move {
            // Free again, or closed: either way JavaScript looks again.
            let _ = upload.reserve().await;
            shared.push(|packed| {
                packed.frame(Kind::Writable, id);
            });
        });
        Ok(1)
    }

    fn reject(&self, id: u32, code: &'static str, problem: &str) {
        self.shared.fail(id, &Failure::new(code, Phase::Policy, problem));
    }
}

impl Port {
    /// The event loop, if it is the place for this batch: a request that is alone and finds a connection. Several are
    /// done side by side on the native threads, and the JavaScript thread stays free.
    fn for_loop(&self, work: &[Work]) -> Option<&Arc<Turns>> {
        let [alone] = work else { return None };
        let turns = self.shared.turns.get()?;
        let fits = alone.small
            && alone.client.has_idle(&alone.request.target)
            && lock(&self.shared.exchanges).len() == 1;
        fits.then_some(turns)
    }

    /// Lets the native threads have the connections they are about to use at once, not when this thread is idle again.
    fn recall(&self, work: &[Work]) {
        let Some(turns) = self.shared.turns.get().filter(|turns| turns.is_populated()) else {
            return;
        };
        for Work { client, request, .. } in work {
            client.recall(&request.target);
        }
        turns.turn();
        if self.shared.is_woken() {
            call(&self.shared.waker);
        }
    }

    #[must_use]
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

/// A request of a batch.
struct Work {
    exchange: Exchange,
    client: Client<TokioDriver>,
    request: Request,
    /// Its body, if any, is here.
    small: bool,
    registration: AbortRegistration,
}

impl Work {
    fn start(self, place: Place) -> Task {
        exchange::start(place, self.exchange, self.client, self.request, self.registration)
    }
}

/// What the event loop calls.
struct Watcher {
    shared: Weak<Shared>,
    turns: Arc<Turns>,
}

impl uv::Watcher for Watcher {
    fn ready(&self) -> bool {
        self.turns.turn();
        self.shared.upgrade().is_some_and(|shared| shared.is_woken())
    }

    fn end(&self) {
        self.turns.close();
    }
}

impl Drop for Port {
    /// The JavaScript thread is gone: so is everybody who waited.
    fn drop(&mut self) {
        self.shared.close();
    }
}

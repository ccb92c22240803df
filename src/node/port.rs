//! The gate between one JavaScript thread and the native ones: requests come in by the batch, completions go
//! back by the batch, with one wake-up for as many as are ready.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use bytes::Bytes;
use futures_util::future::{AbortHandle, AbortRegistration, Abortable};
use http::HeaderMap;
use napi::Env;
use napi::bindgen_prelude::*;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi_derive::napi;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};

use crate::http::client::Client;
use crate::http::driver::Task;
use crate::http::home::Place;
use crate::http::request::{Piece, Request, RequestBody, Upload};
use crate::http::tokio_driver::TokioDriver;
use crate::http::turns::Turns;
use crate::tls::{Failure, Phase};

use super::exchange::{self, Exchange};
use super::failure;
use super::runtime;
use super::uv;
use super::wire::{Frames, Kind, Packed, SentBody};

/// Pieces of an upload that wait for the network, at most.
const UPLOAD_PIECES: usize = 4;

/// Pieces from this size on are handed over apart from the packed frames, which saves a copy.
const LARGE: usize = 16 * 1024;
/// Copying more than this for one wake-up would keep the JavaScript thread from its other work.
const BATCH: usize = 1024 * 1024;

/// Wakes the JavaScript thread; it does not keep the process alive.
type Waker = ThreadsafeFunction<(), (), (), Status, false, true>;

/// What the native threads hold of a port. Outlives the JavaScript thread without harm.
pub struct Shared {
    waker: Arc<Waker>,
    queue: Mutex<Queue>,
    exchanges: Mutex<HashMap<u32, Entry>>,
    clients: Mutex<HashMap<u32, Client<TokioDriver>>>,
    /// What runs on the JavaScript thread's event loop, where it can be used.
    turns: OnceLock<Arc<Turns>>,
}

#[derive(Default)]
struct Queue {
    packed: Packed,
    /// Pieces too large to be packed, in the order in which the frames refer to them.
    large: Vec<Vec<Bytes>>,
    /// The bytes in them.
    size: usize,
    /// Those that are to wait for the next batch.
    later: VecDeque<(Packed, Vec<Bytes>)>,
    woken: bool,
}

/// What JavaScript wants of a response's body.
#[derive(Default)]
pub struct Wanted {
    more: Notify,
    all: AtomicBool,
}

impl Wanted {
    /// Waits until it wants more; whether that is all there is.
    pub async fn more(&self) -> bool {
        self.more.notified().await;
        self.all.load(Ordering::Acquire)
    }
}

/// A request under way.
struct Entry {
    abort: AbortHandle,
    wanted: Arc<Wanted>,
    upload: Option<mpsc::Sender<Piece>>,
}

impl Queue {
    /// Takes in what was to wait, as far as there is room.
    fn admit(&mut self) {
        while self.size < BATCH
            && let Some((frame, data)) = self.later.pop_front()
        {
            self.packed.append(&frame);
            self.size += data.iter().map(Bytes::len).sum::<usize>();
            self.large.push(data);
        }
    }

    /// The next batch, which says if there is another after it.
    fn next(&mut self) -> (Packed, Vec<Vec<Bytes>>) {
        let (mut packed, large) =
            (std::mem::take(&mut self.packed), std::mem::take(&mut self.large));
        self.size = 0;
        self.admit();
        self.woken = !self.large.is_empty();
        if self.woken {
            packed.frame(Kind::More, 0);
        }
        (packed, large)
    }
}

impl Shared {
    /// Adds a completion and makes sure that JavaScript will come for it.
    pub fn push(&self, write: impl FnOnce(&mut Packed)) {
        self.add(|queue| write(&mut queue.packed));
    }

    /// Adds a piece of a body.
    pub fn piece(&self, id: u32, data: Vec<Bytes>, last: bool, trailers: &HeaderMap) {
        let length = data.iter().map(Bytes::len).sum::<usize>();
        let mut frame = Packed::default();
        frame.frame(Kind::Chunk, id).u8(u8::from(last)).headers(trailers);
        if length < LARGE {
            frame.u8(0).all(&data);
            return self.push(|packed| packed.append(&frame));
        }
        frame.u8(1).u32(u32::try_from(length).unwrap_or(u32::MAX));
        self.add(|queue| {
            queue.later.push_back((frame, data));
            queue.admit();
        });
    }

    fn add(&self, write: impl FnOnce(&mut Queue)) {
        let wake = {
            let mut queue = lock(&self.queue);
            write(&mut queue);
            !std::mem::replace(&mut queue.woken, true)
        };
        if wake {
            self.wake();
        }
    }

    /// Adds something that JavaScript need not hear of before the next completion.
    pub fn push_along(&self, write: impl FnOnce(&mut Packed)) {
        write(&mut lock(&self.queue).packed);
    }

    /// One wake-up costs more than a request, so with several under way it waits for what is about to be
    /// completed too: until the native thread has looked once at all that is ready.
    fn wake(&self) {
        if self.turns.get().is_some_and(|turns| turns.is_turning()) {
            // This is the JavaScript thread, which looks when its turn is over.
            return;
        }
        let alone = lock(&self.exchanges).len() <= 1;
        match Handle::try_current() {
            Ok(runtime) if !alone => {
                let waker = Arc::clone(&self.waker);
                runtime.spawn(async move {
                    tokio::task::yield_now().await;
                    call(&waker);
                });
            }
            _ => call(&self.waker),
        }
    }

    pub fn fail(&self, id: u32, failure: &Failure) {
        let text = failure::to_json(failure).to_string();
        self.push(|packed| {
            packed.frame(Kind::Failed, id).bytes(text.as_bytes());
        });
    }

    /// What runs on the JavaScript thread's event loop; nothing, where there is no such thing.
    pub fn turns(&self) -> Weak<Turns> {
        self.turns.get().map_or_else(Weak::new, Arc::downgrade)
    }

    /// Whether JavaScript has to be called for completions.
    fn is_woken(&self) -> bool {
        lock(&self.queue).woken
    }

    /// A new way to abort a request that goes on elsewhere; `None` if it was aborted meanwhile.
    pub fn goes_on(&self, id: u32) -> Option<AbortRegistration> {
        let (abort, registration) = AbortHandle::new_pair();
        lock(&self.exchanges).get_mut(&id)?.abort = abort;
        Some(registration)
    }

    /// Forgets a request that is over.
    pub fn finished(&self, id: u32) {
        lock(&self.exchanges).remove(&id);
    }

    pub fn add_client(&self, id: u32, client: Client<TokioDriver>) {
        lock(&self.clients).insert(id, client);
    }

    pub fn find_client(&self, id: u32) -> Option<Client<TokioDriver>> {
        lock(&self.clients).get(&id).cloned()
    }

    pub fn remove_client(&self, id: u32) {
        let client = lock(&self.clients).remove(&id);
        if let Some(client) = client {
            client.close();
        }
    }

    /// Runs `work` under a number by which JavaScript can abort it.
    pub fn start(
        self: &Arc<Self>,
        id: u32,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> Result<()> {
        let (abort, registration) = AbortHandle::new_pair();
        lock(&self.exchanges).insert(id, Entry { abort, wanted: Arc::default(), upload: None });
        let shared = Arc::clone(self);
        runtime::handle()?.spawn(async move {
            let _ = Abortable::new(work, registration).await;
            shared.finished(id);
        });
        Ok(())
    }

    fn close(&self) {
        for (_, entry) in lock(&self.exchanges).drain() {
            entry.abort.abort();
        }
        let clients = std::mem::take(&mut *lock(&self.clients));
        drop(clients);
    }
}

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
        let (packed, large) = lock(&self.shared.queue).next();
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
            wanted.all.fetch_or(all, Ordering::Release);
            wanted.more.notify_one();
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

fn call(waker: &Waker) {
    // A thread that is going away takes no more calls, and needs none.
    let _ = waker.call((), ThreadsafeFunctionCallMode::NonBlocking);
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

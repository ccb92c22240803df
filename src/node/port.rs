//! The gate between one JavaScript thread and the native ones: requests come in by the batch, completions go
//! back by the batch, with one wake-up for as many as are ready.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::future::{AbortHandle, Abortable};
use napi::Env;
use napi::bindgen_prelude::*;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi_derive::napi;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};

use crate::http::client::Client;
use crate::http::request::{Piece, RequestBody, Upload};
use crate::http::tokio_driver::TokioDriver;
use crate::tls::{Failure, Phase};

use super::exchange::{self, Exchange};
use super::failure;
use super::lookup::Lookups;
use super::runtime;
use super::wire::{Frames, Kind, Packed, SentBody};

/// Pieces of an upload that wait for the network, at most.
const UPLOAD_PIECES: usize = 4;

/// Wakes the JavaScript thread; it does not keep the process alive.
type Waker = ThreadsafeFunction<(), (), (), Status, false, true>;

/// What the native threads hold of a port. Outlives the JavaScript thread without harm.
pub struct Shared {
    waker: Arc<Waker>,
    queue: Mutex<Queue>,
    exchanges: Mutex<HashMap<u32, Entry>>,
    clients: Mutex<HashMap<u32, Client<TokioDriver>>>,
    lookups: Lookups,
}

#[derive(Default)]
struct Queue {
    packed: Packed,
    /// Pieces too large to be packed, in the order in which the frames refer to them.
    large: Vec<Bytes>,
    woken: bool,
}

/// A request under way.
struct Entry {
    abort: AbortHandle,
    /// JavaScript wants more of the response's body.
    wanted: Arc<Notify>,
    upload: Option<mpsc::Sender<Piece>>,
}

impl Shared {
    /// Adds a completion and makes sure that JavaScript will come for it.
    pub fn push(&self, write: impl FnOnce(&mut Packed, &mut Vec<Bytes>)) {
        let wake = {
            let mut queue = lock(&self.queue);
            let Queue { packed, large, woken } = &mut *queue;
            write(packed, large);
            !std::mem::replace(woken, true)
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
        self.push(|packed, _| {
            packed.frame(Kind::Failed, id).bytes(text.as_bytes());
        });
    }

    /// Forgets a request that is over.
    pub fn finished(&self, id: u32) {
        lock(&self.exchanges).remove(&id);
    }

    pub fn lookups(&self) -> &Lookups {
        &self.lookups
    }

    pub fn add_client(&self, id: u32, client: Client<TokioDriver>) {
        lock(&self.clients).insert(id, client);
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
                lookups: Lookups::default(),
            }),
        })
    }

    /// Starts the requests of one batch.
    #[napi(catch_unwind)]
    pub fn submit(&self, batch: Uint8Array) -> Result<()> {
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
            let (upload, request) = match sent {
                SentBody::Inline => (None, request),
                SentBody::Streamed(length) => {
                    let (sender, pieces) = mpsc::channel(UPLOAD_PIECES);
                    let body = RequestBody::Stream(Upload::new(pieces, length));
                    (Some(sender), crate::http::request::Request { body, ..request })
                }
            };
            let (abort, registration) = AbortHandle::new_pair();
            let wanted = Arc::<Notify>::default();
            let entry = Entry { abort, wanted: Arc::clone(&wanted), upload };
            lock(&self.shared.exchanges).insert(frame.id, entry);
            let exchange = Exchange {
                shared: Arc::clone(&self.shared),
                id: frame.id,
                client: frame.client,
                wanted,
            };
            let run = exchange::run(exchange, client, request);
            work.push(Box::pin(Abortable::new(run, registration)));
        }
        let runtime = runtime::handle()?;
        if work.len() <= 1 {
            for exchange in work {
                runtime.spawn(exchange);
            }
            return Ok(());
        }
        // One task is handed to the native thread; it starts the others there, which costs no wake-up.
        runtime.spawn(async move {
            for exchange in work {
                tokio::spawn(exchange);
            }
            // tokio runs the task spawned last before all others; requests are to begin in their order.
            tokio::spawn(async {});
        });
        Ok(())
    }

    /// Every completion since the last call: packed frames, then the pieces they refer to.
    #[napi(catch_unwind)]
    pub fn take<'env>(&self, env: &'env Env) -> Result<Vec<BufferSlice<'env>>> {
        let queue = std::mem::take(&mut *lock(&self.shared.queue));
        if queue.packed.is_empty() {
            return Ok(Vec::new());
        }
        // Copies: a buffer that JavaScript shares with native memory is not allowed everywhere.
        std::iter::once(queue.packed.as_slice())
            .chain(queue.large.iter().map(AsRef::as_ref))
            .map(|bytes| BufferSlice::copy_from(env, bytes))
            .collect()
    }

    /// Asks for more of a response's body.
    #[napi(catch_unwind)]
    pub fn pull(&self, id: u32) {
        if let Some(entry) = lock(&self.shared.exchanges).get(&id) {
            entry.wanted.notify_one();
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
            shared.push(|packed, _| {
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
    #[must_use]
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
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

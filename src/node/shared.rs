//! What the native threads hold of a port: who waits for what, and what waits for JavaScript.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use bytes::Bytes;
use futures_util::future::{AbortHandle, AbortRegistration, Abortable};
use http::HeaderMap;
use napi::bindgen_prelude::*;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};

use crate::http::client::Client;
use crate::http::request::Piece;
use crate::http::tokio_driver::TokioDriver;
use crate::http::turns::Turns;
use crate::tls::Failure;

use super::failure;
use super::lookup::Lookups;
use super::queue::Queue;
use super::runtime;
use super::wire::{Kind, Packed};

/// Wakes the JavaScript thread; it does not keep the process alive.
pub type Waker = ThreadsafeFunction<(), (), (), Status, false, true>;

/// Outlives the JavaScript thread without harm.
pub struct Shared {
    pub(super) waker: Arc<Waker>,
    pub(super) queue: Mutex<Queue>,
    pub(super) exchanges: Mutex<HashMap<u32, Entry>>,
    pub(super) clients: Mutex<HashMap<u32, Client<TokioDriver>>>,
    /// What runs on the JavaScript thread's event loop, where it can be used.
    pub(super) turns: OnceLock<Arc<Turns>>,
    pub(super) lookups: Lookups,
}

/// What JavaScript wants of a response's body.
#[derive(Default)]
pub struct Wanted {
    more: Notify,
    all: AtomicBool,
}

impl Wanted {
    pub fn ask(&self, all: bool) {
        self.all.fetch_or(all, Ordering::Release);
        self.more.notify_one();
    }

    /// Waits until it wants more; whether that is all there is.
    pub async fn more(&self) -> bool {
        self.more.notified().await;
        self.all.load(Ordering::Acquire)
    }
}

/// A request under way.
pub struct Entry {
    pub abort: AbortHandle,
    pub wanted: Arc<Wanted>,
    pub upload: Option<mpsc::Sender<Piece>>,
}

impl Shared {
    /// Adds a completion and makes sure that JavaScript will come for it.
    pub fn push(&self, write: impl FnOnce(&mut Packed)) {
        self.add(|queue| write(queue.packed()));
    }

    /// Adds a piece of a body.
    pub fn piece(&self, id: u32, data: Vec<Bytes>, last: bool, trailers: &HeaderMap) {
        self.add(|queue| queue.piece(id, data, last, trailers));
    }

    fn add(&self, write: impl FnOnce(&mut Queue)) {
        let wake = {
            let mut queue = lock(&self.queue);
            write(&mut queue);
            queue.wake()
        };
        if wake {
            self.wake();
        }
    }

    /// Adds something that JavaScript need not hear of before the next completion.
    pub fn push_along(&self, write: impl FnOnce(&mut Packed)) {
        write(lock(&self.queue).packed());
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
    pub fn is_woken(&self) -> bool {
        lock(&self.queue).is_woken()
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

    pub fn lookups(&self) -> &Lookups {
        &self.lookups
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

    pub fn close(&self) {
        for (_, entry) in lock(&self.exchanges).drain() {
            entry.abort.abort();
        }
        let clients = std::mem::take(&mut *lock(&self.clients));
        drop(clients);
    }
}

pub fn call(waker: &Waker) {
    // A thread that is going away takes no more calls, and needs none.
    let _ = waker.call((), ThreadsafeFunctionCallMode::NonBlocking);
}

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Futures that run on an event loop of somebody else's, a turn at a time: what waits for a keep-alive connection there
//! pays for no thread to wake another.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::ThreadId;
use std::time::{Duration, Instant};
use std::{io, thread};

use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::runtime::Handle;

use super::driver::Task;
use super::reactor::Reactor;

/// How often a turn looks again for tasks that became ready in it, before the loop's other work has its turn.
const ROUNDS: usize = 32;

/// For how long an answer is waited for without letting the loop go to sleep: about what sleeping and being woken cost.
const PATIENCE: Duration = Duration::from_micros(50);
/// So many answers in a row may be waited for in this way before the loop's other work has its turn.
const STREAK: u32 = 8;
/// Where answers take longer, it is tried again once in so many requests.
const PROBE: u32 = 64;

/// The futures of one event loop's thread.
pub struct Turns {
    tasks: Mutex<FuturesUnordered<Task>>,
    /// Those that are to be taken in; `None` when the loop is gone.
    inbox: Mutex<Option<Vec<Task>>>,
    reactor: Arc<Reactor>,
    bell: Arc<Bell>,
    waker: Waker,
    patience: Mutex<Patience>,
    /// For timers, which are the native threads' everywhere.
    runtime: Handle,
}

/// What is known of how soon answers come.
#[derive(Default)]
struct Patience {
    /// Answers in a row that were waited for.
    streak: u32,
    /// Requests since the last answer that came soon enough.
    missed: u32,
}

/// Asks for a turn when a task is woken.
struct Bell {
    thread: ThreadId,
    turning: AtomicBool,
    again: AtomicBool,
    rung: AtomicBool,
    ring: Box<dyn Fn() + Send + Sync>,
}

impl Turns {
    /// Made on the loop's thread. `ring` is called on any thread, and has [`Self::turn`] called soon.
    ///
    /// # Errors
    /// When the system gives no further descriptor.
    pub fn new(runtime: Handle, ring: Box<dyn Fn() + Send + Sync>) -> io::Result<Self> {
        let bell = Arc::new(Bell {
            thread: thread::current().id(),
            turning: AtomicBool::new(false),
            again: AtomicBool::new(false),
            rung: AtomicBool::new(false),
            ring,
        });
        Ok(Self {
            tasks: Mutex::default(),
            inbox: Mutex::new(Some(Vec::new())),
            reactor: Arc::new(Reactor::new()?),
            waker: Waker::from(Arc::clone(&bell)),
            bell,
            patience: Mutex::default(),
            runtime,
        })
    }

    #[must_use]
    pub fn reactor(&self) -> &Arc<Reactor> {
        &self.reactor
    }

    /// Adds a task, from any thread. Where the loop is gone it is dropped.
    pub fn execute(&self, task: Task) {
        self.put(task);
        self.bell.wake_by_ref();
    }

    /// Adds a task and runs it as far as it comes, on the loop's thread.
    pub fn start(&self, task: Task) {
        self.put(task);
        self.run(false);
    }

    fn put(&self, task: Task) {
        // A defect in one must not end the others, nor unwind into the loop.
        let task = AssertUnwindSafe(task).catch_unwind().map(|_| ());
        if let Some(inbox) = lock(&self.inbox).as_mut() {
            inbox.push(Box::pin(task));
        }
    }

    /// Runs what is ready, on the loop's thread.
    pub fn turn(&self) {
        self.run(true);
    }

    fn run(&self, look: bool) {
        // Within a turn there is no other.
        let Ok(mut tasks) = self.tasks.try_lock() else { return };
        let _inside = self.runtime.enter();
        let mut cx = Context::from_waker(&self.waker);
        self.bell.turning.store(true, Ordering::Relaxed);
        // Before anything is looked at, so that what is woken from now on asks for another turn.
        self.bell.rung.store(false, Ordering::SeqCst);
        self.reactor.begin();
        if look {
            self.reactor.collect();
        }
        let mut done = false;
        for _ in 0..ROUNDS {
            self.bell.again.store(false, Ordering::Relaxed);
            tasks.extend(lock(&self.inbox).as_mut().map(std::mem::take).unwrap_or_default());
            while let Poll::Ready(Some(())) = tasks.poll_next_unpin(&mut cx) {}
            done = !self.bell.again.load(Ordering::Relaxed);
            if done {
                break;
            }
        }
        self.bell.turning.store(false, Ordering::Relaxed);
        if !done {
            // Not by the bell, which may be answered before the loop has looked at anything else.
            self.reactor.again();
        }
    }

    /// Waits for an answer on the loop's thread as long as it may come at once, which is cheaper than to sleep and be
    /// woken.
    pub fn linger(&self, answered: impl Fn() -> bool) {
        let mut patience = lock(&self.patience);
        if !patience.is_worth_it() {
            return;
        }
        let start = Instant::now();
        while !answered() && start.elapsed() < PATIENCE {
            self.turn();
        }
        patience.learn(answered());
    }

    /// As [`Self::turn`], if a task was woken since the last one from elsewhere.
    pub fn turn_if_asked(&self) {
        if self.bell.rung.load(Ordering::SeqCst) {
            self.turn();
        }
    }

    /// Whether anything lives here. Not for use within a turn.
    #[must_use]
    pub fn is_populated(&self) -> bool {
        self.tasks.try_lock().is_ok_and(|tasks| !tasks.is_empty())
    }

    /// Whether this thread is in a turn.
    #[must_use]
    pub fn is_turning(&self) -> bool {
        self.bell.is_turning()
    }

    /// Drops every task: the loop is about to end.
    pub fn close(&self) {
        let waiting = lock(&self.inbox).take();
        let tasks = std::mem::take(&mut *lock(&self.tasks));
        drop((waiting, tasks));
    }
}

impl Patience {
    fn is_worth_it(&mut self) -> bool {
        if self.streak == STREAK {
            self.streak = 0;
            return false;
        }
        if self.missed > 1 && !self.missed.is_multiple_of(PROBE) {
            self.missed = self.missed.wrapping_add(1);
            return false;
        }
        true
    }

    fn learn(&mut self, in_time: bool) {
        if in_time {
            *self = Self { streak: self.streak + 1, missed: 0 };
        } else {
            *self = Self { streak: 0, missed: self.missed.wrapping_add(1) };
        }
    }
}

impl Bell {
    fn is_turning(&self) -> bool {
        // The flag first: it is false on all other threads most of the time, and asking for the thread costs more.
        self.turning.load(Ordering::Relaxed) && thread::current().id() == self.thread
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.is_turning() {
            self.again.store(true, Ordering::Relaxed);
        } else if !self.rung.swap(true, Ordering::SeqCst) {
            (self.ring)();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of so many requests are waited for, if each answer comes as it says.
    fn waited(answers: impl IntoIterator<Item = bool>) -> Vec<bool> {
        let mut patience = Patience::default();
        let ask = |in_time| {
            let waits = patience.is_worth_it();
            if waits {
                patience.learn(in_time);
            }
            waits
        };
        answers.into_iter().map(ask).collect()
    }

    #[test]
    fn the_loop_has_its_turn_after_a_streak() {
        let streak = STREAK as usize;
        let waited = waited(vec![true; 3 * (streak + 1)]);
        for turn in waited.chunks(streak + 1) {
            assert_eq!(turn, [vec![true; streak], vec![false]].concat());
        }
    }

    #[test]
    fn a_slow_server_is_waited_for_now_and_then() {
        let requests = 10 * PROBE as usize;
        let waits = waited(vec![false; requests]).into_iter().filter(|waits| *waits).count();
        assert!((2..=12).contains(&waits), "{waits} of {requests}");
    }

    #[test]
    fn a_server_that_becomes_quick_is_waited_for_again() {
        let slow = vec![false; 100];
        let quick = vec![true; PROBE as usize + 3];
        let waited = waited([slow, quick].concat());
        assert!(waited.ends_with(&[true, true]));
    }
}

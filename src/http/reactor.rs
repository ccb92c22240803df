//! Sockets that somebody else's event loop waits for: it watches one descriptor, which is readable when any of them is
//! ready.

use std::collections::HashMap;
use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use mio::unix::SourceFd;
use mio::{Events, Interest, Registry, Token};

/// Reads in one turn: a socket that always has more must not keep the loop for itself.
const READS: usize = 64;
/// Sockets looked at in one go.
const EVENTS: usize = 64;

/// The sockets of one event loop.
pub struct Reactor {
    poll: Mutex<(mio::Poll, Events)>,
    registry: Registry,
    waiting: Mutex<HashMap<usize, Arc<Both>>>,
    /// Reads left in this turn.
    reads: AtomicUsize,
    next: AtomicUsize,
}

/// The two directions of a socket.
#[derive(Default)]
struct Both {
    read: Readiness,
    write: Readiness,
}

/// What is known without asking the system, and who waits for more.
#[derive(Default)]
struct Readiness {
    /// Nothing is to be had before the next event.
    drained: AtomicBool,
    /// The other side has ended this direction, of which no further event tells.
    ended: AtomicBool,
    waker: AtomicWaker,
}

/// A socket of a reactor.
pub struct Waited {
    // Dropped before the socket is closed: its descriptor's number may be another's at once.
    registration: Registration,
    stream: TcpStream,
}

struct Registration {
    reactor: Arc<Reactor>,
    both: Arc<Both>,
    descriptor: RawFd,
    token: usize,
}

impl Reactor {
    /// # Errors
    /// When the system gives no further descriptor.
    pub fn new() -> io::Result<Self> {
        let poll = mio::Poll::new()?;
        let registry = poll.registry().try_clone()?;
        Ok(Self {
            poll: Mutex::new((poll, Events::with_capacity(EVENTS))),
            registry,
            waiting: Mutex::default(),
            reads: AtomicUsize::new(0),
            next: AtomicUsize::new(0),
        })
    }

    /// What the event loop watches; readable when [`Self::collect`] has something to do.
    #[must_use]
    pub fn descriptor(&self) -> RawFd {
        lock(&self.poll).0.as_raw_fd()
    }

    /// Takes in a socket, which must not block.
    ///
    /// # Errors
    /// When the system cannot watch it.
    pub fn add(self: &Arc<Self>, stream: TcpStream) -> io::Result<Waited> {
        let token = self.next.fetch_add(1, Ordering::Relaxed);
        let both = Arc::<Both>::default();
        let descriptor = stream.as_raw_fd();
        let interest = Interest::READABLE | Interest::WRITABLE;
        lock(&self.waiting).insert(token, Arc::clone(&both));
        let reactor = Arc::clone(self);
        let registration = Registration { reactor, both, descriptor, token };
        self.registry.register(&mut SourceFd(&descriptor), Token(token), interest)?;
        Ok(Waited { registration, stream })
    }

    /// A new turn begins.
    pub fn begin(&self) {
        self.reads.store(READS, Ordering::Relaxed);
    }

    /// Wakes the tasks whose sockets are ready.
    pub fn collect(&self) {
        let mut guard = lock(&self.poll);
        let (poll, events) = &mut *guard;
        loop {
            match poll.poll(events, Some(Duration::ZERO)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => return,
                Ok(()) => {}
            }
            let waiting = lock(&self.waiting);
            let mut seen = 0;
            for event in &*events {
                seen += 1;
                let Some(both) = waiting.get(&event.token().0) else { continue };
                let failed = event.is_error();
                both.read.event(event.is_readable(), event.is_read_closed() || failed);
                both.write.event(event.is_writable(), event.is_write_closed() || failed);
            }
            if seen < EVENTS {
                return;
            }
        }
    }
}

impl Waited {
    pub fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let reads = &self.registration.reactor.reads;
        let left = reads.load(Ordering::Relaxed);
        if left == 0 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        reads.store(left - 1, Ordering::Relaxed);
        let most = into.len();
        self.registration.both.read.attempt(cx, most, || (&self.stream).read(into))
    }

    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let most = slices.iter().map(|slice| slice.len()).sum();
        self.registration.both.write.attempt(cx, most, || (&self.stream).write_vectored(slices))
    }

    pub fn shutdown(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Lets the socket go.
    #[must_use]
    pub fn into_stream(self) -> TcpStream {
        let Self { registration, stream } = self;
        drop(registration);
        stream
    }
}

impl Readiness {
    fn event(&self, ready: bool, ended: bool) {
        if ended {
            self.ended.store(true, Ordering::Release);
        }
        if ready || ended {
            self.drained.store(false, Ordering::Release);
            self.waker.wake();
        }
    }

    /// Does what can be done without waiting, of which `most` bytes would be all.
    fn attempt(
        &self,
        cx: &mut Context<'_>,
        most: usize,
        mut work: impl FnMut() -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        // The system tells of new readiness only once, so the waker is in place before it is asked.
        self.waker.register(cx.waker());
        if self.drained.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        loop {
            match work() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.drained.store(true, Ordering::Release);
                    return Poll::Pending;
                }
                Ok(done) => {
                    // Less than there was room for: the system has nothing left, and says when it has.
                    let all = done == most || self.ended.load(Ordering::Acquire);
                    self.drained.store(!all, Ordering::Release);
                    return Poll::Ready(Ok(done));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let _ = self.reactor.registry.deregister(&mut SourceFd(&self.descriptor));
        lock(&self.reactor.waiting).remove(&self.token);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

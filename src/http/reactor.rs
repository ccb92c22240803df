//! Sockets that somebody else's event loop waits for: it watches one descriptor, which is readable when any of them is
//! ready.

use std::collections::HashMap;
use std::io::{self, IoSlice, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use mio::unix::SourceFd;
use mio::{Events, Interest, Registry, Token};

/// Sockets looked at in one go.
const EVENTS: usize = 64;

/// The sockets of one event loop.
pub struct Reactor {
    poll: Mutex<(mio::Poll, Events)>,
    registry: Registry,
    waiting: Mutex<HashMap<usize, Arc<Wakers>>>,
    next: AtomicUsize,
}

#[derive(Default)]
struct Wakers {
    reader: AtomicWaker,
    writer: AtomicWaker,
}

/// A socket of a reactor.
pub struct Waited {
    // Dropped before the socket is closed: its descriptor's number may be another's at once.
    registration: Registration,
    stream: TcpStream,
}

struct Registration {
    reactor: Arc<Reactor>,
    wakers: Arc<Wakers>,
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
        let wakers = Arc::<Wakers>::default();
        let descriptor = stream.as_raw_fd();
        let interest = Interest::READABLE | Interest::WRITABLE;
        lock(&self.waiting).insert(token, Arc::clone(&wakers));
        let reactor = Arc::clone(self);
        let registration = Registration { reactor, wakers, descriptor, token };
        self.registry.register(&mut SourceFd(&descriptor), Token(token), interest)?;
        Ok(Waited { registration, stream })
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
                let Some(wakers) = waiting.get(&event.token().0) else { continue };
                if event.is_readable() || event.is_read_closed() || event.is_error() {
                    wakers.reader.wake();
                }
                if event.is_writable() || event.is_write_closed() || event.is_error() {
                    wakers.writer.wake();
                }
            }
            if seen < EVENTS {
                return;
            }
        }
    }
}

impl Waited {
    /// Reads what is here. The system tells of new readiness only once, so the waker is in place before it is asked.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        self.registration.wakers.reader.register(cx.waker());
        attempt(|| (&self.stream).read(into))
    }

    pub fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.registration.wakers.writer.register(cx.waker());
        attempt(|| (&self.stream).write_vectored(slices))
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

fn attempt<T>(mut work: impl FnMut() -> io::Result<T>) -> Poll<io::Result<T>> {
    loop {
        match work() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            result => return Poll::Ready(result),
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

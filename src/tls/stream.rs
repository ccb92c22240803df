//! The stream that holds I1 and I4: nothing is written to it, and nothing read from it, unless the server
//! satisfies the policy in force at that moment.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use rustls::time_provider::TimeProvider;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::client::TlsStream;

use super::failure::{Failure, Phase};
use super::identity::Identity;
use super::path::seconds;
use super::traffic::Traffic;
use super::verified::Verified;
use super::verifier::IdentityVerifier;

/// The standing permission of one connection. Shared by its stream, its pool and its responses.
#[derive(Debug)]
pub struct Gate {
    verifier: Arc<IdentityVerifier>,
    clock: Arc<dyn TimeProvider>,
    verified: RwLock<Arc<Verified>>,
    /// The generation of the policy under which `verified` was reached.
    generation: AtomicU64,
    /// And that of the revocation lists.
    crls: AtomicU64,
    /// When the entry that was satisfied expires, Unix seconds.
    deadline: AtomicI64,
    /// How often the outcome was reached anew.
    revision: AtomicU64,
    /// The revision of the outcome that has been told to who shows it.
    announced: AtomicU64,
    /// Once refused, refused for good: the connection is about to be closed.
    refused: OnceLock<Failure>,
    reader: AtomicWaker,
    traffic: Traffic,
    /// Of all connections of the client.
    total: Arc<Traffic>,
    /// The permission of the connection that this one runs inside of: a proxy's.
    outer: OnceLock<Arc<Gate>>,
}

impl Gate {
    /// A gate for a connection whose handshake has authenticated this chain.
    pub(super) fn open(
        verifier: Arc<IdentityVerifier>,
        clock: Arc<dyn TimeProvider>,
        proved: Arc<Verified>,
        total: Arc<Traffic>,
    ) -> Self {
        Self {
            generation: AtomicU64::new(proved.generation),
            crls: AtomicU64::new(proved.crls),
            deadline: AtomicI64::new(proved.expires().unwrap_or(i64::MAX)),
            verified: RwLock::new(proved),
            verifier,
            clock,
            revision: AtomicU64::new(0),
            announced: AtomicU64::new(u64::MAX),
            refused: OnceLock::new(),
            reader: AtomicWaker::new(),
            traffic: Traffic::default(),
            total,
            outer: OnceLock::new(),
        }
    }

    /// Whether the connection may be used now. Where the policy is unchanged this is four loads and, for an
    /// entry that expires, a look at the clock; where it has changed the chain is verified again, whole.
    ///
    /// # Errors
    /// Why the server no longer satisfies the policy.
    pub fn check(&self) -> Result<(), Failure> {
        if let Some(failure) = self.refused.get() {
            return Err(failure.clone());
        }
        if let Some(outer) = self.outer.get() {
            outer.check()?;
        }
        let deadline = self.deadline.load(Ordering::Acquire);
        let reached = (self.generation.load(Ordering::Acquire), self.crls.load(Ordering::Acquire));
        let fresh = reached == self.verifier.generations();
        if fresh && (deadline == i64::MAX || self.now().is_some_and(|now| now < deadline)) {
            return Ok(());
        }
        self.check_again().map_err(|failure| self.refused.get_or_init(|| failure).clone())
    }

    /// The application bytes of this connection.
    #[must_use]
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Makes this permission depend on that of the connection below.
    pub fn rest_on(&self, outer: Arc<Gate>) {
        let _ = self.outer.set(outer);
    }

    #[must_use]
    pub fn identity(&self) -> &Identity {
        self.verifier.identity()
    }

    /// What the connection's server was last verified to be.
    pub fn verified(&self) -> Arc<Verified> {
        Arc::clone(&self.verified.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The permission that this one depends on.
    #[must_use]
    pub fn outer(&self) -> Option<&Arc<Self>> {
        self.outer.get()
    }

    /// Whether the outcome has yet to be told; true once for each.
    pub fn announce(&self) -> bool {
        let revision = self.revision.load(Ordering::Acquire);
        self.announced.swap(revision, Ordering::Relaxed) != revision
    }

    /// Checks again and, if the connection is refused, ends it even where nobody is using it.
    pub fn enforce(&self) -> bool {
        let allowed = self.check().is_ok();
        if !allowed {
            self.reader.wake();
        }
        allowed
    }

    fn check_again(&self) -> Result<(), Failure> {
        let now = self.clock.current_time().ok_or_else(no_clock)?;
        let presented = self.verified();
        // With the identity, which for the TLS of a proxy is not the one that the request is for.
        let identity = self.identity();
        let (verified, mut current) = loop {
            let verified = self
                .verifier
                .verify(&presented.presented, now)
                .map_err(|failure| failure.at(&identity.host().to_string(), identity.port()))?;
            // Under the lock, so that two threads which check at once leave one outcome behind, not parts of two; and one of
            // what is in force now, so that an older one never takes the place of a newer.
            let current = self.verified.write().unwrap_or_else(PoisonError::into_inner);
            if (verified.generation, verified.crls) == self.verifier.generations() {
                break (verified, current);
            }
        };
        self.deadline.store(verified.expires().unwrap_or(i64::MAX), Ordering::Release);
        *current = Arc::clone(&verified);
        self.revision.fetch_add(1, Ordering::Release);
        // Last, so that who sees the new generation sees the new outcome.
        self.crls.store(verified.crls, Ordering::Release);
        self.generation.store(verified.generation, Ordering::Release);
        Ok(())
    }

    fn now(&self) -> Option<i64> {
        self.clock.current_time().map(seconds)
    }
}

pub(super) fn no_clock() -> Failure {
    Failure::new("CERT_REJECTED", Phase::Handshake, "the system clock cannot be read")
}

/// An authenticated connection that asks its [`Gate`] before each read and write.
pub struct PinnedStream<IO> {
    stream: TokioIo<Counted<TlsStream<TokioIo<IO>>>>,
    gate: Arc<Gate>,
}

impl<IO> PinnedStream<IO> {
    pub(super) fn new(stream: TlsStream<TokioIo<IO>>, gate: Arc<Gate>) -> Self {
        let counted = Counted { stream, gate: Arc::clone(&gate) };
        Self { stream: TokioIo::new(counted), gate }
    }

    #[must_use]
    pub fn gate(&self) -> &Arc<Gate> {
        &self.gate
    }

    /// What the records are carried by.
    #[must_use]
    pub fn io(&self) -> &IO {
        self.stream.inner().stream.get_ref().0.inner()
    }

    fn allowed(&self) -> io::Result<()> {
        self.gate.check().map_err(io::Error::other)
    }
}

impl<IO: Read + Write + Unpin> Read for PinnedStream<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.gate.reader.register(cx.waker());
        self.allowed()?;
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<IO: Read + Write + Unpin> Write for PinnedStream<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.allowed()?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.allowed()?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Records that rustls has sealed but the socket has not yet taken are application bytes too.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.allowed()?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// A refused connection is dropped without `close_notify`, which would push sealed records out first.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.gate.check().is_err() {
            return Pin::new(self.stream.inner_mut().stream.get_mut().0.inner_mut())
                .poll_shutdown(cx);
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Counts what passes. Below hyper's traits, whose buffers do not tell how much was put into them.
struct Counted<S> {
    stream: S,
    gate: Arc<Gate>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let received = buffer.filled().len() - before;
        self.gate.traffic.add_received(received);
        self.gate.total.add_received(received);
        result
    }
}

impl<S: AsyncWrite + Unpin> Counted<S> {
    fn count(&self, result: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(sent)) = result {
            self.gate.traffic.add_sent(*sent);
            self.gate.total.add_sent(*sent);
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.count(&result);
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.count(&result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

//! A TCP socket whose readiness is waited for in one of two places: on the native threads, or on the event loop of the
//! JavaScript thread that its requests come from.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use super::reactor::{Reactor, Waited};

/// The socket. hyper owns it; its [`Seat`] is how it is moved all the same.
pub struct Socket(Arc<Seat>);

/// Where a socket is waited for.
pub struct Seat(Mutex<At>);

enum At {
    Native(TcpStream),
    Loop(Waited),
    /// Closed, or a move failed half-way.
    Lost,
}

impl Socket {
    #[must_use]
    pub fn new(stream: TcpStream) -> Self {
        Self(Arc::new(Seat(Mutex::new(At::Native(stream)))))
    }

    #[must_use]
    pub fn seat(&self) -> &Arc<Seat> {
        &self.0
    }
}

impl Seat {
    /// Has the socket waited for by an event loop. Its tasks have to be polled again there.
    ///
    /// # Errors
    /// When the system refuses; the socket is lost then.
    pub fn to_loop(&self, reactor: &Arc<Reactor>) -> io::Result<()> {
        self.change(|at| match at {
            At::Native(stream) => Ok(At::Loop(reactor.add(stream.into_std()?)?)),
            other => Ok(other),
        })
    }

    /// Has the socket waited for by the native threads.
    ///
    /// # Errors
    /// As [`Self::to_loop`].
    pub fn to_native(&self, runtime: &Handle) -> io::Result<()> {
        let _inside = runtime.enter();
        self.change(|at| match at {
            At::Loop(waited) => Ok(At::Native(TcpStream::from_std(waited.into_stream())?)),
            other => Ok(other),
        })
    }

    fn change(&self, change: impl FnOnce(At) -> io::Result<At>) -> io::Result<()> {
        let mut at = self.lock();
        *at = change(std::mem::replace(&mut *at, At::Lost))?;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, At> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Socket {
    /// Closes it, although others may still know the seat.
    fn drop(&mut self) {
        *self.0.lock() = At::Lost;
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self.0.lock() {
            At::Native(stream) => Pin::new(stream).poll_read(cx, buffer),
            At::Loop(waited) => {
                let read = ready!(waited.poll_read(cx, buffer.initialize_unfilled()))?;
                buffer.advance(read);
                Poll::Ready(Ok(()))
            }
            At::Lost => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self.0.lock() {
            At::Native(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            At::Loop(waited) => waited.poll_write(cx, slices),
            At::Lost => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A socket keeps nothing back.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self.0.lock() {
            At::Native(stream) => Pin::new(stream).poll_shutdown(cx),
            At::Loop(waited) => Poll::Ready(waited.shutdown()),
            At::Lost => Poll::Ready(Ok(())),
        }
    }
}

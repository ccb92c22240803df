//! What a connection's own TLS runs over: a socket, or the TLS of a proxy.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};

use crate::tls::stream::{Gate, PinnedStream};

/// The way to a server.
pub enum Route<IO> {
    /// A socket to the server, or to a proxy that has opened a tunnel on it.
    Direct(IO),
    /// A tunnel inside the TLS of a proxy, whose pins go on deciding about every byte (I1, I4).
    Secured(Box<PinnedStream<IO>>),
}

impl<IO> Route<IO> {
    /// The socket.
    #[must_use]
    pub fn io(&self) -> &IO {
        match self {
            Self::Direct(io) => io,
            Self::Secured(stream) => stream.io(),
        }
    }

    /// What the pins of the proxy have to say.
    #[must_use]
    pub fn gate(&self) -> Option<&Arc<Gate>> {
        match self {
            Self::Direct(_) => None,
            Self::Secured(io) => Some(io.gate()),
        }
    }
}

impl<IO: Read + Write + Unpin> Read for Route<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Direct(io) => Pin::new(io).poll_read(cx, buffer),
            Self::Secured(io) => Pin::new(io).poll_read(cx, buffer),
        }
    }
}

impl<IO: Read + Write + Unpin> Write for Route<IO> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Direct(io) => Pin::new(io).poll_write(cx, bytes),
            Self::Secured(io) => Pin::new(io).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Direct(io) => Pin::new(io).poll_write_vectored(cx, slices),
            Self::Secured(io) => Pin::new(io).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Direct(io) => io.is_write_vectored(),
            Self::Secured(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Direct(io) => Pin::new(io).poll_flush(cx),
            Self::Secured(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Direct(io) => Pin::new(io).poll_shutdown(cx),
            Self::Secured(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}

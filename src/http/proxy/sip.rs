//! Reads a byte at a time where it is told to, so that whoever reads up to the end of a message reads nothing behind it.
//! For servers that speak first: their greeting may come in one piece with the proxy's answer, and belongs to nobody but
//! who asked for the tunnel.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};

/// A type of its own in both cases, so that what is generic over it is there once.
pub struct Sip<IO> {
    pub io: IO,
    /// Whether to read a byte at a time.
    pub sips: bool,
}

impl<IO: Read + Unpin> Read for Sip<IO> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { io, sips } = self.get_mut();
        if !*sips || buffer.remaining() == 0 {
            return Pin::new(io).poll_read(cx, buffer);
        }
        let mut byte = [0; 1];
        let mut one = ReadBuf::new(&mut byte);
        ready!(Pin::new(io).poll_read(cx, one.unfilled()))?;
        buffer.put_slice(one.filled());
        Poll::Ready(Ok(()))
    }
}

impl<IO: Write + Unpin> Write for Sip<IO> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

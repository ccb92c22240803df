//! A side of a connection that notes what is read from it, and which of the two sides ended first: a client that leaves
//! after the server has left has refused nothing.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::record::Open;

const NOBODY: u8 = 0;
const CLIENT: u8 = 1;
const SERVER: u8 = 2;

/// Which side ended first.
#[derive(Default)]
pub struct Ended(AtomicU8);

impl Ended {
    #[must_use]
    pub fn by_client(&self) -> bool {
        self.0.load(Ordering::Relaxed) == CLIENT
    }

    fn note(&self, side: u8) {
        let _ = self.0.compare_exchange(NOBODY, side, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// One side. Of the client's, what is read is taken down.
pub struct Side<'a, S> {
    stream: S,
    ended: &'a Ended,
    client: Option<&'a Open>,
}

impl<'a, S> Side<'a, S> {
    pub fn client(stream: S, ended: &'a Ended, record: &'a Open) -> Self {
        Self { stream, ended, client: Some(record) }
    }

    pub fn server(stream: S, ended: &'a Ended) -> Self {
        Self { stream, ended, client: None }
    }

    fn note(&self) {
        self.ended.note(if self.client.is_some() { CLIENT } else { SERVER });
    }

    /// A side that cannot be written to any more has ended too, and this may be the first that is seen of it.
    fn written<T>(&self, result: io::Result<T>) -> Poll<io::Result<T>> {
        if result.is_err() {
            self.note();
        }
        Poll::Ready(result)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Side<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
        let read = buffer.filled().get(before..).unwrap_or_default();
        match (&result, self.client) {
            (Ok(()), Some(record)) if !read.is_empty() => record.note().leak(read),
            (Ok(()), None) if !read.is_empty() => {}
            _ => self.note(),
        }
        if let (Err(error), Some(record)) = (&result, self.client) {
            record.note().reason = super::intercept::alert(error);
        }
        Poll::Ready(result)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Side<'_, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes));
        self.written(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = ready!(Pin::new(&mut self.stream).poll_flush(cx));
        self.written(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

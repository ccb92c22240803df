//! A request as the client takes it, and its body.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use super::driver::Target;
use super::expect::Withheld;

/// A request. Redirects, proxies and decoding are layers to be put around it, not part of it.
#[derive(Debug)]
pub struct Request {
    pub method: Method,
    pub target: Target,
    pub path: PathAndQuery,
    /// Without `host`, unless the caller set one: it changes the header, never the identity that is pinned.
    pub headers: HeaderMap,
    pub body: RequestBody,
}

/// A body to send.
#[derive(Debug)]
pub enum RequestBody {
    Empty,
    Whole(Bytes),
    /// Pieces as they come.
    Stream(Upload),
    /// Waits until the server wants it.
    Withheld(Withheld),
}

impl RequestBody {
    /// A body that no longer waits.
    pub fn release(&mut self) {
        if let Self::Withheld(withheld) = self {
            *self = withheld.release();
        }
    }
}

/// The receiving end of a streamed body.
#[derive(Debug)]
pub struct Upload {
    pieces: mpsc::Receiver<Piece>,
    /// What is still to come, where the length was announced.
    left: Option<u64>,
    /// The piece that completes the announced length. It waits for the end: hyper would send no more than was
    /// announced, and a body that goes on would look complete.
    last: Option<Bytes>,
    ended: bool,
}

impl Upload {
    #[must_use]
    pub fn new(pieces: mpsc::Receiver<Piece>, length: Option<u64>) -> Self {
        Self { pieces, left: length, last: None, ended: false }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, BodyBrokeOff>> {
        while !self.ended {
            match std::task::ready!(self.pieces.poll_recv(cx)) {
                Some(Piece::Data(bytes)) => {
                    let Some(left) = self.left else { return Poll::Ready(Ok(Some(bytes))) };
                    let rest = left.checked_sub(bytes.len() as u64).ok_or(BodyBrokeOff)?;
                    self.left = Some(rest);
                    if rest > 0 {
                        return Poll::Ready(Ok(Some(bytes)));
                    }
                    if !bytes.is_empty() {
                        self.last = Some(bytes);
                    }
                }
                Some(Piece::End) if self.left.is_none_or(|left| left == 0) => self.ended = true,
                Some(Piece::End) | None => return Poll::Ready(Err(BodyBrokeOff)),
            }
        }
        Poll::Ready(Ok(self.last.take()))
    }

    /// What has not been handed out yet.
    fn remaining(&self) -> Option<u64> {
        let last = self.last.as_ref().map_or(0, |last| last.len() as u64);
        self.left.map(|left| left + last)
    }
}

/// A piece of a streamed body. A channel that closes without `End` is a body that broke off.
#[derive(Debug)]
pub enum Piece {
    Data(Bytes),
    End,
}

/// The body that was being sent ended before its end: the request must fail, not look complete.
#[derive(Debug, thiserror::Error)]
#[error("the request body broke off, or has not the length that was announced")]
pub struct BodyBrokeOff;

impl From<Infallible> for BodyBrokeOff {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyBrokeOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyBrokeOff>>> {
        if let Self::Withheld(withheld) = &mut *self {
            std::task::ready!(withheld.poll_wanted(cx));
            self.release();
        }
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                Poll::Ready((!bytes.is_empty()).then_some(Ok(Frame::data(bytes))))
            }
            Self::Stream(upload) => {
                let piece = std::task::ready!(upload.poll_piece(cx));
                if matches!(piece, Ok(None) | Err(_)) {
                    *self = Self::Empty;
                }
                Poll::Ready(piece.map(|bytes| bytes.map(Frame::data)).transpose())
            }
            Self::Withheld(_) => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Stream(_) => false,
            Self::Withheld(withheld) => withheld.body().is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(upload) => {
                upload.remaining().map_or_else(SizeHint::default, SizeHint::with_exact)
            }
            Self::Withheld(withheld) => withheld.body().size_hint(),
        }
    }
}

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
    /// Pieces as they come, with the length where it is known.
    Stream(Upload, Option<u64>),
}

/// The receiving end of a streamed body.
pub type Upload = mpsc::Receiver<Piece>;

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
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                Poll::Ready((!bytes.is_empty()).then_some(Ok(Frame::data(bytes))))
            }
            Self::Stream(pieces, left) => {
                let piece = std::task::ready!(pieces.poll_recv(cx));
                match piece {
                    Some(Piece::Data(bytes)) => {
                        if let Some(left) = left {
                            // hyper would cut the body at its announced length, and it would look complete.
                            match left.checked_sub(bytes.len() as u64) {
                                Some(rest) => *left = rest,
                                None => return Poll::Ready(Some(Err(BodyBrokeOff))),
                            }
                        }
                        Poll::Ready(Some(Ok(Frame::data(bytes))))
                    }
                    Some(Piece::End) if left.is_some_and(|left| left > 0) => {
                        Poll::Ready(Some(Err(BodyBrokeOff)))
                    }
                    Some(Piece::End) => {
                        *self = Self::Empty;
                        Poll::Ready(None)
                    }
                    None => Poll::Ready(Some(Err(BodyBrokeOff))),
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Stream(..) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(_, Some(left)) => SizeHint::with_exact(*left),
            Self::Stream(_, None) => SizeHint::default(),
        }
    }
}

//! One request and its whole response, over a connection that is kept or made for it.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use hyper::client::conn::{http1, http2};
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::Deserialize;

use crate::Failure;
use crate::connect::Connector;

const MEDIUM: usize = 1 << 20;
const LARGE: usize = 100 << 20;
static PIECE: [u8; 64 << 10] = [0; 64 << 10];

/// What is done again and again, named as in `measure.js`.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    #[default]
    KeepAlive,
    Handshake,
    Download,
    Upload,
    Medium,
}

impl Action {
    /// Of the body that is carried; small ones don't count.
    pub fn bytes(self) -> usize {
        match self {
            Self::KeepAlive | Self::Handshake => 0,
            Self::Medium => MEDIUM,
            Self::Download | Self::Upload => LARGE,
        }
    }

    fn request(self, h2: bool) -> Result<Request<Zeroes>, Failure> {
        let (method, path) = match self {
            Self::KeepAlive | Self::Handshake => ("GET", "/small"),
            Self::Medium => ("GET", "/medium"),
            Self::Download => ("GET", "/large"),
            Self::Upload => ("PUT", "/upload"),
        };
        let request = Request::builder().method(method);
        let request = if h2 {
            request.uri(format!("https://127.0.0.1{path}"))
        } else {
            request.uri(path).header("host", "127.0.0.1")
        };
        Ok(request.body(Zeroes(if method == "PUT" { LARGE } else { 0 }))?)
    }
}

/// A body of so many zeroes.
struct Zeroes(usize);

impl Body for Zeroes {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let length = self.0.min(PIECE.len());
        self.0 -= length;
        Poll::Ready((length > 0).then(|| Ok(Frame::data(Bytes::from_static(&PIECE[..length])))))
    }

    fn is_end_stream(&self) -> bool {
        self.0 == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0 as u64)
    }
}

enum Sender {
    Http1(http1::SendRequest<Zeroes>),
    Http2(http2::SendRequest<Zeroes>),
}

impl Sender {
    async fn new(connector: &Connector) -> Result<Self, Failure> {
        let stream = TokioIo::new(connector.connect().await?);
        if connector.h2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
            tokio::spawn(connection);
            Ok(Self::Http2(sender))
        } else {
            let (sender, connection) = http1::handshake(stream).await?;
            tokio::spawn(connection);
            Ok(Self::Http1(sender))
        }
    }
}

pub struct Worker<'a> {
    connector: &'a Connector,
    action: Action,
    /// None: each request has a connection of its own.
    kept: Option<Sender>,
}

impl<'a> Worker<'a> {
    pub async fn of(
        connector: &'a Connector,
        action: Action,
        in_flight: usize,
    ) -> Result<Vec<Self>, Failure> {
        let mut workers: Vec<Self> = Vec::new();
        for _ in 0..in_flight {
            let kept = match (action, workers.first().and_then(|first| first.kept.as_ref())) {
                (Action::Handshake, _) => None,
                (_, Some(Sender::Http2(sender))) => Some(Sender::Http2(sender.clone())),
                _ => Some(Sender::new(connector).await?),
            };
            workers.push(Self { connector, action, kept });
        }
        Ok(workers)
    }

    pub async fn once(&mut self) -> Result<(), Failure> {
        let request = self.action.request(self.connector.h2)?;
        let mut made;
        let sender = if let Some(kept) = &mut self.kept {
            kept
        } else {
            made = Sender::new(self.connector).await?;
            &mut made
        };
        let mut response = match sender {
            Sender::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Sender::Http2(sender) => sender.send_request(request).await?,
        };
        if response.status() != StatusCode::OK {
            return Err(response.status().to_string().into());
        }
        if matches!(self.action, Action::Download) {
            let mut bytes = 0;
            while let Some(frame) = response.frame().await {
                bytes += frame?.data_ref().map_or(0, Bytes::len);
            }
            return if bytes == LARGE { Ok(()) } else { Err("a short body".into()) };
        }
        let body = response.into_body().collect().await?.to_bytes();
        match self.action {
            Action::Medium if body.len() != MEDIUM => Err("a short body".into()),
            _ => Ok(()),
        }
    }
}

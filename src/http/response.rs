//! A response whose body is read at the reader's pace, within limits.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::Body as _;
use hyper::body::Incoming;
use std::pin::Pin;

use crate::tls::{Failure, Phase};

use super::connection::ConnectionInfo;
use super::decode::Decoder;
use super::driver::{Driver, within};
use super::failure::explain;
use super::home::Place;
use super::pool::{Lease, Pool};

/// How long a connection may still be sending its request after the response is complete; then it is closed.
const SETTLING: Duration = Duration::from_secs(1);

/// Limits on a response's body.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Between two pieces of the body; `None` is no limit.
    pub timeout: Option<Duration>,
    /// In bytes, decoded; `None` is no limit.
    pub size: Option<u64>,
    /// How many times more bytes decoding may make of those that came; `None` is no limit.
    pub expansion: Option<u64>,
}

/// Decoded bytes to which the limit on expansion does not apply: no harm is done with so few.
const UNSUSPECTED: u64 = 1024 * 1024;

/// A response's head and the body to come.
pub struct Response<D> {
    pub head: http::response::Parts,
    pub body: ResponseBody<D>,
    pub connection: Arc<ConnectionInfo>,
}

/// A piece of a body.
#[derive(Debug)]
pub enum Frame {
    Data(Bytes),
    Trailers(HeaderMap),
}

/// The body. Dropped before its end, its connection is closed (HTTP/1.1) or its stream reset (HTTP/2).
pub struct ResponseBody<D> {
    incoming: Incoming,
    decoder: Option<Decoder>,
    lease: Option<Lease>,
    pool: Arc<Pool>,
    connection: Arc<ConnectionInfo>,
    driver: D,
    limits: BodyLimits,
    /// Bytes that came, and what they were decoded to.
    encoded: u64,
    received: u64,
    /// Whether the connection is of no more use after this response.
    last: bool,
}

impl<D: Driver> ResponseBody<D> {
    pub(super) fn new(
        incoming: Incoming,
        decoder: Option<Decoder>,
        lease: Lease,
        pool: Arc<Pool>,
        connection: Arc<ConnectionInfo>,
        driver: D,
        limits: BodyLimits,
    ) -> Self {
        let lease = Some(lease);
        let (encoded, received) = (0, 0);
        let last = false;
        Self { incoming, decoder, lease, pool, connection, driver, limits, encoded, received, last }
    }

    /// Has the connection closed after this response.
    pub(super) fn last(mut self, last: bool) -> Self {
        self.last = last;
        self
    }

    /// The next piece, within the body's timeout; `None` at the end.
    ///
    /// # Errors
    /// When the connection broke off, a limit was passed or the policy refused the connection meanwhile.
    pub async fn next(&mut self) -> Result<Option<Frame>, Failure> {
        let driver = self.driver.clone();
        let limit = self.limits.timeout;
        let next = std::future::poll_fn(|cx| self.poll_next(cx));
        within(&driver, limit, next, || {
            Failure::new("ETIMEDOUT", Phase::Body, "nothing of the body within `bodyTimeout`")
        })
        .await
    }

    /// The next piece if it is here already.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame>, Failure>> {
        loop {
            if let Some(data) = self.decoded()? {
                return Poll::Ready(self.count(data));
            }
            let frame = match ready!(Pin::new(&mut self.incoming).poll_frame(cx)) {
                None => {
                    self.ended()?;
                    None
                }
                Some(Ok(frame)) => Some(frame),
                Some(Err(error)) => {
                    return Poll::Ready(Err(explain(&error, &self.connection, Phase::Body)));
                }
            };
            let end = match frame.map(http_body::Frame::into_data) {
                Some(Ok(data)) => {
                    self.encoded += data.len() as u64;
                    let Some(decoder) = &mut self.decoder else {
                        return Poll::Ready(self.count(data));
                    };
                    decoder.feed(data);
                    self.count_encoded()?;
                    continue;
                }
                Some(Err(frame)) => frame.into_trailers().ok().map(Frame::Trailers),
                None => None,
            };
            if let Some(decoder) = &mut self.decoder {
                decoder.end();
                self.decoded()?;
            }
            return Poll::Ready(Ok(end));
        }
    }

    /// hyper takes a stream that was reset with `NO_ERROR` for one that has ended. A body that was not ended by its
    /// server (RFC 9113, 8.1) is cut off. That it is as long as announced is checked by h2, and for HTTP/1.1 by hyper.
    fn ended(&self) -> Result<(), Failure> {
        let multiplexed = self.connection.negotiated.alpn.as_deref() == Some(b"h2");
        if multiplexed && !self.incoming.is_end_stream() {
            let message = "the server reset the stream before the body was complete";
            return Err(Failure::new("ERR_HTTP2_STREAM_ERROR", Phase::Body, message));
        }
        Ok(())
    }

    fn decoded(&mut self) -> Result<Option<Bytes>, Failure> {
        let Some(decoder) = &mut self.decoder else { return Ok(None) };
        let most = self.limits.expansion.map_or(u64::MAX, |most| self.encoded.saturating_mul(most));
        decoder.decoded(most.max(UNSUSPECTED))
    }

    /// Bytes that are decoded to nothing count as well, from where they are more than a coding may add.
    fn count_encoded(&self) -> Result<(), Failure> {
        match self.limits.size {
            Some(most) if self.encoded > most.saturating_add(UNSUSPECTED) => {
                Err(too_large(&format!("larger than `maxResponseSize` ({most} bytes)")))
            }
            _ => Ok(()),
        }
    }

    /// A piece within the limits.
    fn count(&mut self, data: Bytes) -> Result<Option<Frame>, Failure> {
        self.received += data.len() as u64;
        let ignored = self.decoder.as_ref().map_or(0, Decoder::ignored);
        if let Some(most) = self.limits.size
            && self.received + ignored > most
        {
            return Err(too_large(&format!("larger than `maxResponseSize` ({most} bytes)")));
        }
        Ok(Some(Frame::Data(data)))
    }

    /// The length that the head announced, if it did; of an encoded body that says little.
    #[must_use]
    pub fn announced(&self) -> Option<u64> {
        if self.decoder.is_some() { None } else { self.incoming.size_hint().exact() }
    }

    #[must_use]
    pub fn is_end(&self) -> bool {
        self.incoming.is_end_stream() && self.decoder.as_ref().is_none_or(Decoder::is_done)
    }

    /// Has the rest of the body carried elsewhere.
    pub fn move_to(&mut self, place: Place) {
        if let Some(connection) = self.lease.as_mut().and_then(Lease::connection) {
            connection.move_to(place);
        }
    }

    /// After the end: gives the connection back for the next request.
    pub async fn finish(mut self) {
        if self.last {
            return;
        }
        let Some(mut lease) = self.lease.take() else { return };
        let Some(connection) = lease.connection() else { return };
        // A server may answer in full and never read the rest of the request.
        let ready = async { Ok(connection.ready().await) };
        let ready = within(&self.driver, Some(SETTLING), ready, || ()).await;
        if ready == Ok(true) && lease.reuse() && self.pool.needs_reaper() {
            self.driver.execute(Box::pin(reap(Arc::clone(&self.pool), self.driver.clone())));
        }
    }
}

pub(super) fn too_large(how: &str) -> Failure {
    Failure::new("ERR_HTTP_RESPONSE_TOO_LARGE", Phase::Body, format!("the body is {how}"))
}

async fn reap(pool: Arc<Pool>, driver: impl Driver) {
    while let Some(wait) = pool.reap() {
        driver.sleep(wait).await;
    }
}

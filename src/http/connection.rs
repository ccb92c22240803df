//! One connection: dialled, authenticated, ready to carry requests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::future::{AbortHandle, Abortable};
use http::{Request, Response, header, uri};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};

use crate::tls::connect::{Negotiated, TlsOrigin};
use crate::tls::stream::{Gate, PinnedStream};
use crate::tls::{Failure, Phase};

use super::driver::{Driver, Spawner, Target, within};
use super::home::{Home, Place};
use super::request::RequestBody;

/// HTTP/2 flow-control windows: large enough for a fast link, and so far apart that some bodies which nobody reads
/// leave room for the others.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 32 * 1024 * 1024;

/// How long each step of making a connection may take; `None` is no limit.
#[derive(Clone, Copy, Debug)]
pub struct ConnectTimeouts {
    pub connect: Option<Duration>,
    pub handshake: Option<Duration>,
}

/// Who is told of connections: of each before a request is written to it, again when what it rests on has changed,
/// and by its number when nothing refers to it any more.
#[derive(Clone)]
pub struct Watch {
    pub opened: Arc<dyn Fn(&ConnectionInfo) + Send + Sync>,
    pub closed: Arc<dyn Fn(u32) + Send + Sync>,
}

/// What is known about a connection; its responses keep it.
pub struct ConnectionInfo {
    /// Unique within the process, as far as 2³² connections go.
    pub id: u32,
    pub remote: SocketAddr,
    pub negotiated: Negotiated,
    pub gate: Arc<Gate>,
    watch: Watch,
}

impl Drop for ConnectionInfo {
    fn drop(&mut self) {
        (self.watch.closed)(self.id);
    }
}

/// A connection that can take a request. HTTP/2 connections are cloned, one clone a request.
pub struct Connection {
    pub info: Arc<ConnectionInfo>,
    sender: Sender,
}

enum Sender {
    /// With a way to end it in the middle of an upload, which hyper would go on with.
    Http1(http1::SendRequest<RequestBody>, AbortHandle, Arc<Home>),
    Http2(http2::SendRequest<RequestBody>),
}

/// Dials, shakes hands and lets ALPN choose the protocol. A server that was refused because of what an old
/// session remembered of it gets one full handshake.
pub async fn connect<D: Driver>(
    driver: &D,
    target: &Target,
    origin: &TlsOrigin,
    timeouts: ConnectTimeouts,
    watch: &Watch,
) -> Result<Connection, Failure> {
    let (stream, negotiated, remote) = match authenticate(driver, target, origin, timeouts).await {
        Err(refused) if refused.resumed => {
            origin.forget_sessions();
            authenticate(driver, target, origin, timeouts).await
        }
        result => result,
    }
    .map_err(|unproved| unproved.failure)?;
    let info = Arc::new(ConnectionInfo {
        id: next_id(),
        remote,
        gate: Arc::clone(stream.gate()),
        negotiated,
        watch: watch.clone(),
    });
    let sender = if info.negotiated.alpn.as_deref() == Some(b"h2") {
        let (sender, connection) = http2::Builder::new(Spawner(driver.clone()))
            .timer(driver.clone())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            // Until the server has said how many it takes: those beyond would be refused, and an upload is not sent twice.
            .initial_max_send_streams(1)
            .handshake(stream)
            .await
            .map_err(|error| super::failure::explain(&error, &info, Phase::Request))?;
        driver.execute(Box::pin(async move {
            let _ = connection.await;
        }));
        Sender::Http2(sender)
    } else {
        let home = driver.home(stream.io());
        let (sender, connection) = http1::Builder::new()
            .handshake(stream)
            .await
            .map_err(|error| super::failure::explain(&error, &info, Phase::Request))?;
        let (kill, killed) = AbortHandle::new_pair();
        home.house(Box::pin(async move {
            let _ = Abortable::new(connection, killed).await;
        }));
        Sender::Http1(sender, kill, home)
    };
    Ok(Connection { info, sender })
}

type Authenticated<D> = (PinnedStream<<D as Driver>::Io>, Negotiated, SocketAddr);

async fn authenticate<D: Driver>(
    driver: &D,
    target: &Target,
    origin: &TlsOrigin,
    timeouts: ConnectTimeouts,
) -> Result<Authenticated<D>, crate::tls::connect::Unproved> {
    let (io, remote) = within(driver, timeouts.connect, driver.dial(target), || {
        Failure::new("ETIMEDOUT", Phase::Connect, "no connection within `connectTimeout`")
            .syscall("connect")
    })
    .await
    .map_err(|failure| crate::tls::connect::Unproved { failure, resumed: false })?;
    let outer = D::gate(&io);
    let (stream, negotiated) = within(driver, timeouts.handshake, origin.handshake(io), || {
        Failure::new(
            "ERR_TLS_HANDSHAKE_TIMEOUT",
            Phase::Handshake,
            "the TLS handshake was not done within `handshakeTimeout`",
        )
        .into()
    })
    .await?;
    if let Some(outer) = outer {
        stream.gate().rest_on(outer);
    }
    Ok((stream, negotiated, remote))
}

impl Connection {
    /// Whether it can carry a request now, and its server satisfies the policy in force.
    #[must_use]
    pub fn usable(&self) -> bool {
        let alive = match &self.sender {
            Sender::Http1(sender, ..) => sender.is_ready(),
            Sender::Http2(sender) => !sender.is_closed(),
        };
        alive && self.info.gate.enforce()
    }

    /// Another handle on a multiplexed connection; `None` for HTTP/1.1, which takes one request at a time.
    #[must_use]
    pub fn share(&self) -> Option<Self> {
        match &self.sender {
            Sender::Http1(..) => None,
            Sender::Http2(sender) => {
                Some(Self { info: Arc::clone(&self.info), sender: Sender::Http2(sender.clone()) })
            }
        }
    }

    #[must_use]
    pub fn is_multiplexed(&self) -> bool {
        matches!(self.sender, Sender::Http2(_))
    }

    /// Has the connection live where it is about to be used. One that is multiplexed stays on the native threads.
    pub fn move_to(&self, place: Place) {
        if let Sender::Http1(.., home) = &self.sender {
            home.move_to(place);
        }
    }

    /// Ends an HTTP/1.1 connection at once, whatever it is doing.
    pub fn kill(self) {
        if let Sender::Http1(_, kill, _) = self.sender {
            kill.abort();
        }
    }

    /// Waits until the last exchange is over and the next may begin.
    pub async fn ready(&mut self) -> bool {
        let ready = match &mut self.sender {
            Sender::Http1(sender, ..) => sender.ready().await,
            Sender::Http2(sender) => sender.ready().await,
        };
        ready.is_ok()
    }

    /// Sends a request in the form its protocol wants. The error holds the request if nothing of it was sent.
    pub async fn send(
        &mut self,
        authority: &str,
        mut request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        match &mut self.sender {
            Sender::Http1(sender, ..) => {
                if !request.headers().contains_key(header::HOST)
                    && let Ok(value) = header::HeaderValue::from_str(authority)
                {
                    request.headers_mut().insert(header::HOST, value);
                }
                sender.try_send_request(request).await
            }
            Sender::Http2(sender) => {
                let host = request.headers_mut().remove(header::HOST);
                let authority =
                    host.as_ref().and_then(|host| host.to_str().ok()).unwrap_or(authority);
                let mut parts = request.uri().clone().into_parts();
                parts.scheme = Some(uri::Scheme::HTTPS);
                parts.authority = uri::Authority::try_from(authority).ok();
                if let Ok(uri) = uri::Uri::from_parts(parts) {
                    *request.uri_mut() = uri;
                }
                sender.try_send_request(request).await
            }
        }
    }
}

fn next_id() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

//! One request on the native side: sends it, packs the answer, feeds the body at the reader's pace.

use std::sync::Arc;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use futures_util::future::{AbortRegistration, Abortable, poll_immediate};
use http::HeaderMap;
use hyper::ext::ReasonPhrase;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::http::client::{Client, Outcome};
use crate::http::connection::ConnectionInfo;
use crate::http::driver::Task;
use crate::http::home::Place;
use crate::http::request::Request;
use crate::http::response::{Frame, Response, ResponseBody};
use crate::http::tokio_driver::TokioDriver;
use crate::tls::verified::Verified;
use crate::tls::{Failure, Phase};

use super::failure;
use super::port::Shared;
use super::runtime;
use super::wire::{Kind, Packed};

/// A body up to this size that is complete by the time the head is sent comes along with it.
const INLINE: usize = 64 * 1024;
/// A piece of a body is sent when it has grown to this size, or when nothing more has arrived.
const PIECE: usize = 256 * 1024;
/// Pieces from this size on are handed over apart from the packed frames, which saves a copy.
const LARGE: usize = 16 * 1024;

/// The rest of a body that is longer, or of unknown length, is carried by the native threads.
const BULK: u64 = 256 * 1024;

/// Whose request it is.
pub struct Exchange {
    pub shared: Arc<Shared>,
    pub id: u32,
    pub client: u32,
    pub wanted: Arc<Notify>,
}

impl Drop for Exchange {
    /// A defect must not leave JavaScript waiting for ever.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let defect = Failure::new("ERR_INTERNAL_ASSERTION", Phase::Request, "a defect was met");
            self.shared.fail(self.id, &defect);
        }
    }
}

/// Runs a request to its end. Aborted, it stops at once and takes its connection with it.
#[must_use]
pub fn start(
    place: Place,
    exchange: Exchange,
    client: Client<TokioDriver>,
    request: Request,
    registration: AbortRegistration,
) -> Task {
    let run = async move {
        match client.request_at(place, request).await {
            Ok(Outcome::Response(response)) => exchange.answer(place, response).await,
            Ok(Outcome::NoConnection(request)) => exchange.again(client, request),
            Err(failure) => exchange.fail(&failure),
        }
    };
    Box::pin(async move {
        let _ = Abortable::new(run, registration).await;
    })
}

/// How much of the body has been read.
#[derive(Default)]
struct Gathered {
    data: BytesMut,
    trailers: Option<HeaderMap>,
    end: bool,
}

impl Exchange {
    /// On the native threads, where a connection can be made.
    fn again(self, client: Client<TokioDriver>, request: Request) {
        let Some(registration) = self.shared.goes_on(self.id) else { return };
        if let Ok(runtime) = runtime::handle() {
            runtime.spawn(start(Place::Native, self, client, request, registration));
        }
    }

    fn fail(&self, failure: &Failure) {
        self.shared.fail(self.id, failure);
        self.shared.finished(self.id);
    }

    async fn answer(self, place: Place, response: Response<TokioDriver>) {
        let Response { head, mut body, connection } = response;
        announce(&self.shared, self.client, &connection);
        let mut gathered = Gathered::default();
        if let Err(failure) = gathered.what_is_here(&mut body, INLINE) {
            return self.fail(&located(failure, &connection));
        }
        let end = gathered.end;
        let mut body = Some(body);
        let mut release = None;
        if end {
            // Before JavaScript hears of it, so that its next request finds the connection free.
            let mut finish = Box::pin(finish(body.take()));
            if poll_immediate(&mut finish).await.is_none() {
                release = Some(finish);
            }
        }
        let reason = head.extensions.get::<ReasonPhrase>();
        let reason = reason.map_or_else(
            || head.status.canonical_reason().unwrap_or_default().as_bytes(),
            ReasonPhrase::as_bytes,
        );
        let trailers = gathered.trailers.take().unwrap_or_default();
        let data = gathered.data.split().freeze();
        self.shared.push(|packed, _| {
            packed
                .frame(Kind::Head, self.id)
                .u32(connection.id)
                .u16(head.status.as_u16())
                .u8(u8::from(end))
                .bytes(reason)
                .headers(&head.headers)
                .bytes(&data)
                .headers(&trailers);
        });
        if let Some(release) = release {
            release.await;
        }
        match body {
            Some(body) if place == Place::Loop && body.announced().is_none_or(|left| left > BULK) => {
                self.carry(body, connection);
            }
            Some(body) => {
                self.stream(body, &connection).await;
                self.shared.finished(self.id);
            }
            None => self.shared.finished(self.id),
        }
    }

    /// The rest of a body on the native threads.
    fn carry(self, mut body: ResponseBody<TokioDriver>, connection: Arc<ConnectionInfo>) {
        let Some(registration) = self.shared.goes_on(self.id) else { return };
        body.move_to(Place::Native);
        let stream = async move {
            self.stream(body, &connection).await;
            self.shared.finished(self.id);
        };
        if let Ok(runtime) = runtime::handle() {
            runtime.spawn(Abortable::new(stream, registration));
        }
    }

    /// The rest of a body: one piece read ahead, sent when it is asked for.
    async fn stream(&self, mut body: ResponseBody<TokioDriver>, connection: &ConnectionInfo) {
        loop {
            let mut gathered = Gathered::default();
            let mut result = gathered.at_least_something(&mut body).await;
            self.wanted.notified().await;
            if result.is_ok() && !gathered.end {
                result = gathered.what_is_here(&mut body, PIECE);
            }
            if let Err(failure) = result {
                return self.shared.fail(self.id, &located(failure, connection));
            }
            let Gathered { data, trailers, end } = gathered;
            let trailers = trailers.unwrap_or_default();
            if end {
                let mut finish = Box::pin(finish(Some(body)));
                let released = poll_immediate(&mut finish).await.is_some();
                self.piece(data.freeze(), true, &trailers);
                if !released {
                    finish.await;
                }
                return;
            }
            self.piece(data.freeze(), false, &trailers);
        }
    }

    fn piece(&self, data: Bytes, last: bool, trailers: &HeaderMap) {
        self.shared.push(|packed, large| {
            packed.frame(Kind::Chunk, self.id).u8(u8::from(last)).headers(trailers);
            if data.len() >= LARGE {
                large.push(data);
                packed.u8(1);
            } else {
                packed.u8(0).bytes(&data);
            }
        });
    }
}

/// Tells JavaScript once what a connection is, and again if a change of policy or an expiry changed what it rests
/// on. At once where a looser policy let the server through: it may take the request and never answer.
pub fn announce(shared: &Shared, client: u32, connection: &ConnectionInfo) {
    if !connection.announce() {
        return;
    }
    let verified = connection.gate.verified();
    let text = describe(connection, &verified).to_string();
    let write = |packed: &mut Packed| {
        packed.frame(Kind::Connection, client).u32(connection.id).bytes(text.as_bytes());
    };
    if verified.excused.is_some() {
        shared.push(|packed, _| write(packed));
    } else {
        shared.push_along(write);
    }
}

async fn finish(body: Option<ResponseBody<TokioDriver>>) {
    if let Some(body) = body {
        body.finish().await;
    }
}

impl Gathered {
    /// Reads what has arrived, up to about `most` bytes.
    fn what_is_here(
        &mut self,
        body: &mut ResponseBody<TokioDriver>,
        most: usize,
    ) -> Result<(), Failure> {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        while self.data.len() < most && !self.end {
            if body.is_end() {
                self.end = true;
                break;
            }
            match body.poll_next(&mut cx) {
                Poll::Ready(frame) => self.add(frame?),
                Poll::Pending => break,
            }
        }
        Ok(())
    }

    async fn at_least_something(
        &mut self,
        body: &mut ResponseBody<TokioDriver>,
    ) -> Result<(), Failure> {
        while self.data.is_empty() && !self.end {
            self.add(body.next().await?);
        }
        self.what_is_here(body, PIECE)
    }

    fn add(&mut self, frame: Option<Frame>) {
        match frame {
            None => self.end = true,
            Some(Frame::Data(data)) => self.data.extend_from_slice(&data),
            Some(Frame::Trailers(trailers)) => self.trailers = Some(trailers),
        }
    }
}

fn located(failure: Failure, connection: &ConnectionInfo) -> Failure {
    let identity = connection.gate.identity();
    failure.at(&identity.host().to_string(), identity.port())
}

/// What `response.tls` shows.
fn describe(connection: &ConnectionInfo, verified: &Verified) -> Value {
    let (negotiated, identity) = (&connection.negotiated, connection.gate.identity());
    let mut told = failure::verified(verified);
    for (name, value) in [
        ("protocol", json!(negotiated.protocol)),
        ("cipher", json!(negotiated.cipher)),
        ("group", json!(negotiated.group)),
        ("alpn", json!(negotiated.alpn.as_deref().map(String::from_utf8_lossy))),
        ("resumed", json!(negotiated.resumed)),
        ("remoteAddress", json!(connection.remote.ip().to_string())),
        ("remotePort", json!(connection.remote.port())),
        ("host", json!(identity.host().to_string())),
        ("port", json!(identity.port())),
    ] {
        told.insert(name.into(), value);
    }
    Value::Object(told)
}

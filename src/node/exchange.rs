//! One request on the native side: sends it, packs the answer, feeds the body at the reader's pace.

use std::sync::Arc;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use futures_util::future::{AbortRegistration, Abortable, poll_immediate};
use http::HeaderMap;
use hyper::ext::ReasonPhrase;
use serde_json::{Value, json};

use crate::http::client::{Client, Outcome};
use crate::http::connection::ConnectionInfo;
use crate::http::driver::Task;
use crate::http::home::Place;
use crate::http::request::Request;
use crate::http::response::{Frame, Response, ResponseBody};
use crate::http::tokio_driver::TokioDriver;
use crate::tls::stream::Gate;
use crate::tls::verified::Verified;
use crate::tls::{Failure, Phase};

use super::failure;
use super::runtime;
use super::shared::{Shared, Wanted};
use super::wire::{Kind, Packed};

/// A body up to this size that is complete by the time the head is sent comes along with it. Of one that is not nothing
/// does, so that who wants all of it gets it in one piece.
const INLINE: usize = 64 * 1024;
/// A piece of a body is sent when it has grown to this size, or when nothing more has arrived.
const PIECE: usize = 256 * 1024;
/// Who wants all of a body gets it in pieces of this size: one, for most.
const WHOLE: usize = 8 * 1024 * 1024;
/// What arrives in smaller parts is copied together: each part kept by itself costs as much as its bytes.
const PART: usize = 4 * 1024;

/// The rest of a body that is longer, or of unknown length, is carried by the native threads.
const BULK: u64 = 256 * 1024;

/// Whose request it is.
pub struct Exchange {
    pub shared: Arc<Shared>,
    pub id: u32,
    pub client: u32,
    pub wanted: Arc<Wanted>,
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
    parts: Vec<Bytes>,
    small: BytesMut,
    length: usize,
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
        // A body that is bad fails as a body, however soon that is known: its head is good.
        let broken = gathered.what_is_here(&mut body, INLINE).err();
        let end = gathered.end && broken.is_none();
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
        let (trailers, data) = if end { gathered.split() } else { (HeaderMap::new(), Vec::new()) };
        self.shared.push(|packed| {
            packed
                .frame(Kind::Head, self.id)
                .u32(connection.id)
                .u16(head.status.as_u16())
                .u8(u8::from(end))
                .bytes(reason)
                .headers(&head.headers)
                .all(&data)
                .headers(&trailers);
        });
        if let Some(failure) = broken {
            return self.fail(&located(failure, &connection));
        }
        if let Some(release) = release {
            release.await;
        }
        match body {
            Some(body)
                if place == Place::Loop && body.announced().is_none_or(|left| left > BULK) =>
            {
                self.carry(gathered, body, connection);
            }
            Some(body) => {
                self.stream(gathered, body, &connection).await;
                self.shared.finished(self.id);
            }
            None => self.shared.finished(self.id),
        }
    }

    /// The rest of a body on the native threads.
    fn carry(
        self,
        gathered: Gathered,
        mut body: ResponseBody<TokioDriver>,
        connection: Arc<ConnectionInfo>,
    ) {
        let Some(registration) = self.shared.goes_on(self.id) else { return };
        body.move_to(Place::Native);
        let stream = async move {
            self.stream(gathered, body, &connection).await;
            self.shared.finished(self.id);
        };
        if let Ok(runtime) = runtime::handle() {
            runtime.spawn(Abortable::new(stream, registration));
        }
    }

    /// The rest of a body: one piece read ahead, sent when it is asked for.
    async fn stream(
        &self,
        mut gathered: Gathered,
        mut body: ResponseBody<TokioDriver>,
        connection: &ConnectionInfo,
    ) {
        loop {
            let mut result = gathered.at_least(1, &mut body).await;
            let all = self.wanted.more().await;
            if result.is_ok() {
                result = if all {
                    gathered.at_least(WHOLE, &mut body).await
                } else {
                    gathered.what_is_here(&mut body, PIECE)
                };
            }
            if let Err(failure) = result {
                return self.shared.fail(self.id, &located(failure, connection));
            }
            let end = gathered.end;
            let (trailers, data) = gathered.split();
            if end {
                let mut finish = Box::pin(finish(Some(body)));
                let released = poll_immediate(&mut finish).await.is_some();
                self.shared.piece(self.id, data, true, &trailers);
                if !released {
                    finish.await;
                }
                return;
            }
            self.shared.piece(self.id, data, false, &trailers);
        }
    }
}

/// Tells JavaScript once what a connection is, and again if a change of policy or an expiry changed what it rests
/// on. At once where a looser policy let the server through: it may take the request and never answer.
pub fn announce(shared: &Shared, client: u32, connection: &ConnectionInfo) {
    if let Some(proxy) = connection.gate.outer() {
        announce_proxy(shared, client, proxy);
    }
    if !connection.gate.announce() {
        return;
    }
    let verified = connection.gate.verified();
    let text = describe(connection, &verified).to_string();
    let write = |packed: &mut Packed| {
        packed.frame(Kind::Connection, client).u32(connection.id).bytes(text.as_bytes());
    };
    if verified.excused.is_some() {
        shared.push(write);
    } else {
        shared.push_along(write);
    }
}

/// Tells JavaScript once what the TLS with a proxy rests on, where a looser policy let the proxy through.
pub fn announce_proxy(shared: &Shared, client: u32, gate: &Gate) {
    if !gate.announce() {
        return;
    }
    let verified = gate.verified();
    if verified.excused.is_some() {
        let identity = gate.identity();
        let mut told = failure::verified(&verified);
        told.insert("host".into(), json!(identity.host().to_string()));
        told.insert("port".into(), json!(identity.port()));
        let text = Value::Object(told).to_string();
        shared.push(|packed| {
            packed.frame(Kind::Proxy, client).bytes(text.as_bytes());
        });
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
        while self.length < most && !self.end {
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

    /// Reads on until there are so many bytes, or the end.
    async fn at_least(
        &mut self,
        least: usize,
        body: &mut ResponseBody<TokioDriver>,
    ) -> Result<(), Failure> {
        while self.length < least && !self.end {
            self.add(body.next().await?);
        }
        self.what_is_here(body, PIECE)
    }

    fn add(&mut self, frame: Option<Frame>) {
        match frame {
            None => self.end = true,
            Some(Frame::Data(data)) => {
                self.length += data.len();
                if data.len() < PART {
                    self.small.extend_from_slice(&data);
                } else {
                    self.join();
                    self.parts.push(data);
                }
            }
            Some(Frame::Trailers(trailers)) => self.trailers = Some(trailers),
        }
    }

    fn join(&mut self) {
        if !self.small.is_empty() {
            self.parts.push(self.small.split().freeze());
        }
    }

    /// What was read, which is then begun anew.
    fn split(&mut self) -> (HeaderMap, Vec<Bytes>) {
        self.join();
        self.length = 0;
        (self.trailers.take().unwrap_or_default(), std::mem::take(&mut self.parts))
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

//! How a proxy is asked for a tunnel over a connection that stands.
//!
//! SOCKS is hyper-util's. CONNECT is hyper's own client and not hyper-util's `Tunnel`, which tells no status but 407, takes
//! no success but 200, does not flush what it writes and drops what the proxy sends after its answer.

use std::future::Ready;
use std::pin::pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::header::HOST;
use http::{HeaderMap, HeaderValue, StatusCode, Uri};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper::rt::{Read, Write};
use hyper_util::client::legacy::connect::proxy::SocksV5;
use tower_service::Service;

use crate::tls::{Failure, Phase, codes};

use super::super::driver::Target;
use super::sip::Sip;
use super::{Credentials, authority, invalid, uri};

/// What a proxy's answer to CONNECT may take.
const HEAD: usize = 64 * 1024;

/// Asks for a tunnel and waits for the answer. `greeted`: what the target says first is left unread.
pub async fn connect<IO>(
    io: IO,
    target: &Target,
    headers: &HeaderMap,
    greeted: bool,
) -> Result<IO, Failure>
where
    IO: Read + Write + Unpin + Send + 'static,
{
    connect_over(Sip { io, sips: greeted }, target, headers).await.map(|sip| sip.io)
}

async fn connect_over<IO>(io: IO, target: &Target, headers: &HeaderMap) -> Result<IO, Failure>
where
    IO: Read + Write + Unpin + Send + 'static,
{
    let authority = authority(target);
    let mut request = http::Request::connect(authority.as_str())
        .body(Empty::<Bytes>::new())
        .map_err(|error| invalid(&error))?;
    *request.headers_mut() = headers.clone();
    let host = HeaderValue::from_str(&authority).map_err(|error| invalid(&error))?;
    request.headers_mut().insert(HOST, host);
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD)
        .title_case_headers(true)
        .handshake(io)
        .await
        .map_err(|error| broken(&error))?;
    let asked = async move {
        let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
        if !response.status().is_success() {
            return Err(refused(&authority, response.status()));
        }
        let upgraded = hyper::upgrade::on(response).await.map_err(|error| broken(&error))?;
        let parts = upgraded.downcast::<IO>().map_err(|_| unusable("the tunnel was not opened"))?;
        // A TLS server says nothing before it is spoken to, so this is not the target's.
        if !parts.read_buf.is_empty() {
            return Err(unusable("the proxy sent more than an answer to CONNECT"));
        }
        Ok(parts.io)
    };
    match select(pin!(asked), pin!(connection.with_upgrades())).await {
        Either::Left((opened, _)) => opened,
        // What ended the connection is told to who asked.
        Either::Right((_, asked)) => asked.await,
    }
}

/// The same by SOCKS5.
pub async fn socks5<IO>(
    io: IO,
    target: &Target,
    credentials: Option<&Credentials>,
    greeted: bool,
) -> Result<IO, Failure>
where
    IO: Read + Write + Unpin + Send + 'static,
{
    socks5_over(Sip { io, sips: greeted }, target, credentials).await.map(|sip| sip.io)
}

async fn socks5_over<IO>(
    io: IO,
    target: &Target,
    credentials: Option<&Credentials>,
) -> Result<IO, Failure>
where
    IO: Read + Write + Unpin + Send + 'static,
{
    let destination = uri(target).ok_or_else(|| unusable("the host cannot be told to a proxy"))?;
    let mut socks = SocksV5::new(Uri::from_static("socks5://proxy.invalid"), Opened(Some(io)));
    if let Some(Credentials { username, password }) = credentials {
        socks = socks.with_auth(username.clone(), password.clone());
    }
    // Its error type has no public name; its text holds nothing of the proxy's and nothing of the credentials.
    socks
        .call(destination)
        .await
        .map_err(|error| unusable(format!("no tunnel to {}: {error}", authority(target))))
}

/// The connector of a connection that is there already.
struct Opened<IO>(Option<IO>);

impl<IO> Service<Uri> for Opened<IO> {
    type Response = IO;
    type Error = Failure;
    type Future = Ready<Result<IO, Failure>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        std::future::ready(self.0.take().ok_or_else(|| unusable("the connection is taken")))
    }
}

/// The proxy's answer, by its number: the reason is the proxy's own text.
fn refused(authority: &str, status: StatusCode) -> Failure {
    let hint = match status {
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            "; the proxy wants other credentials, which stand in its URL (user:password@)"
        }
        _ => "",
    };
    unusable(format!("CONNECT {authority} was answered with {status}{hint}"))
}

fn broken(error: &hyper::Error) -> Failure {
    if let Some(failure) = Failure::within(error) {
        return failure;
    }
    if error.is_parse() {
        return unusable("the answer to CONNECT is not valid HTTP").because(error);
    }
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return closed();
    }
    let io = std::error::Error::source(error).and_then(|error| error.downcast_ref());
    match io {
        Some(io) => codes::from_io(io, Phase::Proxy, "read"),
        None => unusable("CONNECT failed").because(error),
    }
}

fn closed() -> Failure {
    Failure::new(
        "ECONNRESET",
        Phase::Proxy,
        "the proxy closed the connection before the tunnel was open",
    )
}

fn unusable(message: impl Into<String>) -> Failure {
    Failure::new("ERR_PROXY_TUNNEL", Phase::Proxy, message)
}

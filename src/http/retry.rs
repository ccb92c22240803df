//! Whether a request that failed may be sent once more.

use std::io::ErrorKind;

use h2::Reason;
use http::Method;

use super::request::RequestBody;

/// What a request that may have to be sent again is kept as.
pub struct Spare(http::Request<RequestBody>);

impl Spare {
    /// A copy; `None` where the body cannot be sent twice.
    pub fn of(message: &http::Request<RequestBody>) -> Option<Self> {
        let mut copy = http::Request::new(match message.body() {
            RequestBody::Empty => RequestBody::Empty,
            RequestBody::Whole(bytes) => RequestBody::Whole(bytes.clone()),
            RequestBody::Stream(_) | RequestBody::Withheld(_) => return None,
        });
        copy.method_mut().clone_from(message.method());
        copy.headers_mut().clone_from(message.headers());
        Some(Self(copy))
    }

    pub fn into_message(self) -> http::Request<RequestBody> {
        self.0
    }
}

/// RFC 9110, 9.2.2.
#[must_use]
pub fn is_idempotent(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS, Method::TRACE]
        .contains(method)
}

/// The server says that it has not begun with this request (RFC 9113, 8.7): it refused the stream, or went away before it.
#[must_use]
pub fn is_unprocessed(error: &hyper::Error) -> bool {
    within::<h2::Error>(error).is_some_and(|error| {
        // h2 gives a GOAWAY to those streams alone whose number is above the last that was processed.
        error.is_remote()
            && (error.is_go_away()
                || (error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM)))
    })
}

/// The connection is gone, as one is that the server closed while it was idle.
#[must_use]
pub fn is_gone(error: &hyper::Error) -> bool {
    if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        return true;
    }
    let io = within::<std::io::Error>(error).map(std::io::Error::kind);
    let h2 = within::<h2::Error>(error).and_then(h2::Error::get_io).map(std::io::Error::kind);
    io.or(h2).is_some_and(|kind| {
        matches!(
            kind,
            ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe
                | ErrorKind::UnexpectedEof
                | ErrorKind::NotConnected
        )
    })
}

fn within<E: std::error::Error + 'static>(error: &hyper::Error) -> Option<&E> {
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        if let Some(found) = cause.downcast_ref() {
            return Some(found);
        }
        next = cause.source();
    }
    None
}

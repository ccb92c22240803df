//! Errors of an exchange, as codes.

use std::io::ErrorKind;

use hyper::Error;

use crate::tls::{Failure, Phase, codes};

use super::connection::ConnectionInfo;
use super::request::BodyBrokeOff;

/// Why hyper gave up. A connection that the policy has refused says so, whatever the error looks like by the
/// time it gets here: HTTP/2 flattens it to text on the way.
#[must_use]
pub fn explain(error: &Error, info: &ConnectionInfo, phase: Phase) -> Failure {
    // In the phase of the exchange, not of a handshake: the request may have been sent in part.
    if let Err(refused) = info.gate.check() {
        return refused.in_phase(phase);
    }
    if let Some(failure) = Failure::within(error) {
        return failure.in_phase(phase);
    }
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            let is_tls = matches!(io.get_ref(), Some(inner) if inner.is::<rustls::Error>());
            // hyper reports what it cannot parse of a chunked body as an error of the system.
            return match io.kind() {
                ErrorKind::InvalidInput | ErrorKind::InvalidData if !is_tls => {
                    Failure::new("HPE_INVALID_CHUNK_SIZE", phase, "the body is not valid HTTP")
                        .because(io)
                }
                _ => codes::from_io(io, phase, "read"),
            };
        }
        if cause.is::<BodyBrokeOff>() {
            return Failure::new("ERR_REQUEST_BODY_FAILED", phase, "the request body broke off");
        }
        next = cause.source();
    }
    let (code, message) = if error.is_parse() && error.to_string().contains("too large") {
        ("HPE_HEADER_OVERFLOW", "the response's head is too large")
    } else if error.is_parse() {
        ("HPE_INVALID_CONSTANT", "the response is not valid HTTP")
    } else if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        ("ECONNRESET", "the server closed the connection before the response was complete")
    } else if info.negotiated.alpn.as_deref() == Some(b"h2") {
        ("ERR_HTTP2_STREAM_ERROR", "the HTTP/2 stream was reset")
    } else {
        ("EPROTO", "the exchange failed")
    };
    let detail =
        std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    Failure::new(code, phase, message).because(&detail)
}

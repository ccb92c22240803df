//! TLS certificate and public-key pinning for Node.js.
//!
//! # Layout
//!
//! Dependencies point one way: [`pinning`] ← [`tls`] ← [`http`] ← [`mitm`] ← `node`.
//!
//! - [`pinning`]: pins, host patterns, policies. Pure decisions: no I/O, no clock.
//! - [`tls`]: rustls with a verifier that lets the pins take part in path building, and the stream that
//!   refuses to carry a byte to a server which does not satisfy the policy in force.
//! - [`http`]: a client over that stream, generic over what drives a connection.
//! - [`mitm`]: a man in the middle, to rehearse with.
//! - `node`: the only place that names Node-API (feature `node`).

#[forbid(unsafe_code)]
pub mod http;
#[forbid(unsafe_code)]
pub mod mitm;
#[cfg(feature = "node")]
pub mod node;
#[forbid(unsafe_code)]
pub mod pinning;
#[forbid(unsafe_code)]
pub mod tls;

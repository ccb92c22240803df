//! HTTP/1.1 and HTTP/2 by hyper, over connections that the pins have decided about.
//!
//! - [`driver`]: what a connection runs on; [`tokio_driver`]: native threads
//! - [`connection`]: dials, authenticates, lets ALPN choose; [`pool`]: keeps connections for reuse
//! - [`client`]: one policy, one pool; [`request`], [`response`]: what goes in and comes out
//! - [`failure`]: errors of an exchange, as codes

pub mod client;
pub mod connection;
pub mod driver;
pub mod failure;
pub mod pool;
pub mod request;
pub mod response;
pub mod tokio_driver;

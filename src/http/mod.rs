//! HTTP/1.1 and HTTP/2 by hyper, over connections that the pins have decided about.
//!
//! - [`driver`]: what a connection runs on; [`tokio_driver`]: native threads
//! - [`proxy`]: the way through a proxy; [`route`]: what TLS runs over then
//! - [`connection`]: dials, authenticates, lets ALPN choose; [`pool`]: keeps connections for reuse
//! - [`client`]: one policy, one pool; [`request`], [`response`]: what goes in and comes out
//! - [`failure`]: errors of an exchange, as codes

pub mod client;
pub mod connection;
pub mod driver;
pub mod failure;
pub mod pool;
pub mod proxy;
pub mod request;
pub mod response;
pub mod route;
pub mod tokio_driver;

//! HTTP/1.1 and HTTP/2 by hyper, over connections that the pins have decided about.
//!
//! - [`driver`]: what a connection runs on; [`tokio_driver`]: native threads
//! - [`home`]: where a connection's task runs, there or on an event loop of somebody else's; [`turns`]: what runs on that
//!   loop; [`reactor`], [`socket`]: how it waits
//! - [`proxy`]: the way through a proxy; [`route`]: what TLS runs over then
//! - [`connection`]: dials, authenticates, lets ALPN choose; [`pool`]: keeps connections for reuse
//! - [`client`]: one policy, one pool; [`request`], [`response`]: what goes in and comes out
//! - [`decode`]: content codings, undone as they come; [`expect`]: a body that waits until it is wanted
//! - [`retry`]: whether a request may be sent once more; [`stats`]: counters
//! - [`reach`]: a connection on which the next byte is TLS; [`scan`]: what a server accepts
//! - [`failure`]: errors of an exchange, as codes

pub mod client;
pub mod connection;
pub mod decode;
pub mod driver;
pub mod expect;
pub mod failure;
pub mod home;
pub mod pool;
pub mod proxy;
pub mod reach;
#[cfg(unix)]
pub mod reactor;
#[cfg(not(unix))]
#[path = "no_reactor.rs"]
pub mod reactor;
pub mod request;
pub mod response;
pub mod retry;
pub mod route;
pub mod scan;
pub mod socket;
pub mod stats;
pub mod tokio_driver;
pub mod turns;

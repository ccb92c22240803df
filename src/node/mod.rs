//! The glue to Node-API, and the only place that names it.
//!
//! - [`port`]: one JavaScript thread's way in and out, by the batch; [`shared`]: what native threads hold of it;
//!   [`queue`]: what waits to go out; [`wire`]: the packed form
//! - [`client`], [`exchange`]: a client's options, one request under way
//! - [`proxy`]: the way through a proxy; [`lookup`]: names that JavaScript looks up
//! - [`pins`], [`trust`], [`inspect`]: policies, trust stores, the verifier without a request
//! - [`convert`]: policies from and to other formats
//! - [`edit`], [`material`]: changes to a policy's text; what a file of certificates or keys holds
//! - [`identity`]: the decision about a connection of Node's own TLS; [`mitm`]: a man in the middle to rehearse with
//! - [`failure`]: errors as data; [`runtime`]: the native threads; [`uv`]: Node's event loop, the only module with `unsafe`

pub mod client;
pub mod convert;
pub mod edit;
pub mod exchange;
pub mod failure;
pub mod identity;
pub mod inspect;
pub mod lookup;
pub mod material;
pub mod mitm;
pub mod pins;
pub mod port;
pub mod proxy;
pub mod queue;
pub mod runtime;
pub mod shared;
pub mod trust;
#[cfg(unix)]
pub mod uv;
#[cfg(not(unix))]
#[path = "no_uv.rs"]
pub mod uv;
pub mod wire;

use napi_derive::napi;

/// The version that this was built at: JavaScript of another is not made for it.
#[napi]
#[must_use]
pub fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

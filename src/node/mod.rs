//! The glue to Node-API, and the only place that names it.
//!
//! - [`port`]: one JavaScript thread's way in and out, by the batch; [`wire`]: the packed form
//! - [`client`], [`exchange`]: a client's options, one request under way
//! - [`proxy`]: the way through a proxy; [`lookup`]: names that JavaScript looks up
//! - [`pins`], [`trust`], [`inspect`]: policies, trust stores, the verifier without a request
//! - [`identity`]: the decision about a connection of Node's own TLS
//! - [`failure`]: errors as data; [`runtime`]: the native threads

pub mod client;
pub mod exchange;
pub mod failure;
pub mod identity;
pub mod inspect;
pub mod lookup;
pub mod pins;
pub mod port;
pub mod proxy;
pub mod runtime;
pub mod trust;
pub mod wire;

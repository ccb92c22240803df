//! A man in the middle for a rehearsal: what a client does whose traffic is intercepted under a CA that it trusts.
//!
//! - [`server`]: listens on loopback, one task a connection
//! - [`asked`]: what a client asks for: CONNECT, SOCKS5, or a port of its own
//! - [`begins`]: where TLS begins in what a client says in plain text; [`plain`]: the relay until there
//! - [`authority`]: the CA and its certificates, which live in memory
//! - [`intercept`]: one connection; [`ends`]: who said what first, and who ended it
//! - [`record`]: what is told of it; [`shown`]: its first line, without what may be a secret

pub mod asked;
pub mod authority;
pub mod begins;
pub mod ends;
pub mod intercept;
pub mod plain;
pub mod record;
pub mod server;
pub mod shown;

#[cfg(test)]
mod intercept_tests;

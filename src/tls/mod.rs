//! TLS by rustls, decided by the pins.
//!
//! - [`trust`], [`config`]: what a client trusts and who it is
//! - [`path`]: verifies a chain, with the pins taking part in path building (I2)
//! - [`shown`]: decides about certificates that another TLS stack has authenticated
//! - [`verifier`]: rustls' view of it; [`connect`]: handshakes and sessions of one origin
//! - [`stream`]: asks before each read and write whether the policy still allows it (I1, I4)
//! - [`inspect`]: looks at a server without trusting it; [`starttls`]: what is spoken in the clear before
//! - [`offer`], [`old_hello`]: asks a server whether it accepts one thing
//! - [`rehearsal`]: certificates of a server and its impostors, to try a client out with
//! - [`revocation`]: lists that can be replaced while connections are open
//! - [`failure`], [`codes`], `alert`, `blame`: why something was refused, by the names Node uses

mod alert;
mod blame;
pub mod codes;
pub mod config;
pub mod connect;
pub mod failure;
pub mod identity;
pub mod inspect;
pub mod offer;
pub mod old_hello;
pub mod path;
pub mod rehearsal;
pub mod revocation;
pub mod shown;
pub mod starttls;
pub mod stream;
pub mod traffic;
pub mod trust;
pub mod verified;
mod verifier;

#[cfg(test)]
mod codes_tests;
#[cfg(test)]
mod path_tests;
#[cfg(test)]
mod shown_tests;
#[cfg(test)]
mod starttls_tests;
#[cfg(test)]
mod stream_tests;
#[cfg(test)]
mod test_pki;

pub use failure::{Failure, Phase, Proof};
pub use identity::Identity;

//! Trust stores as JavaScript holds them: made once, shared by clients.

use std::sync::Arc;

use napi::bindgen_prelude::*;
use napi_derive::napi;

use crate::tls::trust::TrustStore;

use super::failure;

/// A set of trust anchors.
#[napi]
pub struct NativeTrust {
    store: Arc<TrustStore>,
}

impl NativeTrust {
    #[must_use]
    pub fn store(&self) -> &Arc<TrustStore> {
        &self.store
    }
}

/// Reads the platform's bundle, leaving out what cannot be used. A string is the error, as JSON.
#[napi(catch_unwind)]
#[must_use]
pub fn trust_from_bundle(pem: Uint8Array) -> Either<NativeTrust, String> {
    answer(TrustStore::from_bundle(&pem))
}

/// Reads the `ca` option, each of which must be usable. A string is the error, as JSON.
#[napi(catch_unwind)]
#[must_use]
pub fn trust_from_ca(certificates: Vec<Uint8Array>) -> Either<NativeTrust, String> {
    answer(TrustStore::from_ca(&certificates))
}

fn answer(
    store: std::result::Result<TrustStore, crate::tls::Failure>,
) -> Either<NativeTrust, String> {
    match store {
        Ok(store) => Either::A(NativeTrust { store: Arc::new(store) }),
        Err(failure) => Either::B(failure::to_json(&failure).to_string()),
    }
}

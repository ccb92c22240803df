//! On this platform the native threads do all the waiting.

use napi::Env;
use napi::bindgen_prelude::*;

/// See `uv.rs`.
pub trait Watcher {
    fn ready(&self) -> bool;
    fn end(&self);
}

/// # Errors
/// Always.
pub fn watch(_: &Env, _: i32, _: &Function<'_, (), ()>, _: Box<dyn Watcher>) -> Result<()> {
    Err(Error::from_reason("not on this platform"))
}

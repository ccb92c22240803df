//! The native threads, one set for the process, shared by its workers.

use std::sync::OnceLock;
use std::time::Duration;

use napi::bindgen_prelude::*;
use tokio::runtime::{Builder, Handle, Runtime};

/// One thread carries the connections: handing a request between two costs more than the request.
const IO_THREADS: usize = 1;
/// Name look-ups block; so many may be under way at once.
const LOOKUP_THREADS: usize = 8;

/// The runtime, started when it is first needed. It never stops: its threads hold nothing that must be
/// flushed, and end with the process.
pub fn handle() -> Result<Handle> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime.handle().clone());
    }
    let runtime = Builder::new_multi_thread()
        .worker_threads(IO_THREADS)
        .max_blocking_threads(LOOKUP_THREADS)
        .thread_keep_alive(Duration::from_secs(5))
        .thread_name("tls-pinning")
        .enable_io()
        .enable_time()
        .build()
        .map_err(|error| {
            Error::from_reason(format!("no native thread could be started: {error}"))
        })?;
    Ok(RUNTIME.get_or_init(|| runtime).handle().clone())
}

//! The revocation lists of one client, which can be replaced while its connections are open.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use webpki::CertRevocationList;

/// The lists in force. Replaced as a whole, like a policy: a connection that was verified under earlier ones is
/// verified anew before it is used again.
#[derive(Debug)]
pub struct Crls {
    current: RwLock<Arc<Lists>>,
    generation: AtomicU64,
}

/// Where there are any, every certificate below the anchor needs one, as in Node.
pub type Lists = Vec<CertRevocationList<'static>>;

impl Crls {
    #[must_use]
    pub fn new(lists: Lists) -> Self {
        Self { current: RwLock::new(Arc::new(lists)), generation: AtomicU64::new(1) }
    }

    /// The lists in force, which the caller then holds unchanged.
    #[must_use]
    pub fn current(&self) -> Arc<Lists> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The number of the lists in force. Who reads it and then takes [`Self::current`] has those lists or newer ones.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Puts other lists into force.
    pub fn replace(&self, lists: Lists) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(lists);
        self.generation.fetch_add(1, Ordering::Release);
    }
}

//! The live policy: replaced as a whole, and seen by every connection.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

use super::policy::Policy;

/// A policy that can be replaced while connections use it.
///
/// A connection keeps the [`Snapshot`] it was decided by. Before each write it compares the
/// snapshot's generation with [`PinSet::generation`], which costs one atomic load, and decides anew
/// if they differ.
///
/// # Ordering
///
/// [`PinSet::replace`] first stores the snapshot, then its generation with `Release`, both under
/// the write lock; [`PinSet::generation`] loads it with `Acquire`. So
///
/// - who reads generation *n* finds the policy of *n* or a newer one with [`PinSet::current`],
///   never an older one;
/// - who reads a generation before `replace` has returned may still see the old one: that write and
///   the replacement happen at the same time, and either order is a right one;
/// - once `replace` has returned, every thread that learns of it sees the new generation.
pub struct PinSet {
    current: RwLock<Arc<Snapshot>>,
    generation: AtomicU64,
    observers: Mutex<Observers>,
}

/// A policy and the number of its generation, counted from 1.
#[derive(Debug)]
pub struct Snapshot {
    pub generation: u64,
    pub policy: Policy,
}

/// Told after each replacement, so that an idle connection can be closed before its next write
/// would be refused.
pub trait Observer: Send + Sync {
    /// The policy was replaced. Called on the thread of [`PinSet::replace`] without any lock held;
    /// it must not block or panic.
    fn policy_changed(&self);
}

impl PinSet {
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        let first = Snapshot { generation: 1, policy };
        Self {
            generation: AtomicU64::new(first.generation),
            current: RwLock::new(Arc::new(first)),
            observers: Mutex::default(),
        }
    }

    /// The policy in force, which the caller then holds unchanged.
    #[must_use]
    pub fn current(&self) -> Arc<Snapshot> {
        // Poison is ignored here and below: what the locks protect is replaced in one step, never
        // left half done.
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The number of the policy in force.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Puts a policy into force and tells the observers. Returns its generation.
    pub fn replace(&self, policy: Policy) -> u64 {
        let generation = {
            let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
            let generation = current.generation + 1;
            *current = Arc::new(Snapshot { generation, policy });
            self.generation.store(generation, Ordering::Release);
            generation
        };
        // Observers may lock what they like, this pin set included.
        for observer in self.live_observers() {
            observer.policy_changed();
        }
        generation
    }

    /// Tells `observer` of each replacement from now on, until it is dropped.
    ///
    /// Observe first and take [`PinSet::current`] then: a replacement between the two is not
    /// missed.
    pub fn observe(&self, observer: Weak<dyn Observer>) {
        let mut observers = self.observers.lock().unwrap_or_else(PoisonError::into_inner);
        observers.add(observer);
    }

    fn live_observers(&self) -> Vec<Arc<dyn Observer>> {
        let mut observers = self.observers.lock().unwrap_or_else(PoisonError::into_inner);
        observers.prune();
        observers.list.iter().filter_map(Weak::upgrade).collect()
    }
}

#[derive(Default)]
struct Observers {
    list: Vec<Weak<dyn Observer>>,
    /// The length at which the dead are looked for, so that connections that come and go leave
    /// nothing behind.
    prune_at: usize,
}

impl Observers {
    fn add(&mut self, observer: Weak<dyn Observer>) {
        if self.list.len() >= self.prune_at {
            self.prune();
        }
        self.list.push(observer);
    }

    fn prune(&mut self) {
        self.list.retain(|observer| observer.strong_count() > 0);
        // Twice the living: the cost of a search is spread over as many additions.
        self.prune_at = 2 * self.list.len() + 16;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::OnceLock;
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    use super::*;
    use crate::pinning::{Algorithm, Pin};

    fn policy(name: &str) -> Policy {
        let pin = Pin::of_spki(Algorithm::Sha256, name.as_bytes());
        Policy::from_json(&format!("[\"{pin}\"]")).unwrap()
    }

    #[derive(Default)]
    struct Counter {
        calls: AtomicUsize,
        seen: AtomicU64,
        pin_set: OnceLock<Weak<PinSet>>,
    }

    impl Observer for Counter {
        fn policy_changed(&self) {
            self.calls.fetch_add(1, Ordering::SeqCst);
            let Some(pin_set) = self.pin_set.get().and_then(Weak::upgrade) else {
                return;
            };
            // Would deadlock if a lock were held.
            pin_set.observe(Weak::<Counter>::new());
            self.seen.store(pin_set.current().generation, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_replacement_is_seen_whole() {
        let pin_set = PinSet::new(policy("a"));
        let before = pin_set.current();
        assert_eq!((pin_set.generation(), before.generation), (1, 1));

        assert_eq!(pin_set.replace(policy("b")), 2);
        assert_eq!((pin_set.generation(), pin_set.current().generation), (2, 2));
        assert_eq!(pin_set.current().policy, policy("b"));
        assert_eq!(before.policy, policy("a"), "a held snapshot does not change");
    }

    #[test]
    fn the_living_observers_are_told_outside_the_locks() {
        let pin_set = Arc::new(PinSet::new(policy("a")));
        let counter = Arc::new(Counter::default());
        assert!(counter.pin_set.set(Arc::downgrade(&pin_set)).is_ok());
        let observer: Arc<dyn Observer> = counter.clone();
        pin_set.observe(Arc::downgrade(&observer));
        drop(observer);

        pin_set.replace(policy("b"));
        assert_eq!(counter.calls.load(Ordering::SeqCst), 1);
        assert_eq!(counter.seen.load(Ordering::SeqCst), 2);

        let weak = Arc::downgrade(&counter);
        drop(counter);
        pin_set.replace(policy("c"));
        assert_eq!(weak.strong_count(), 0, "the pin set keeps no observer alive");
        assert_eq!(pin_set.observers.lock().unwrap().list.len(), 0);
    }

    #[test]
    fn observers_that_come_and_go_leave_nothing_behind() {
        let pin_set = PinSet::new(policy("a"));
        for _ in 0..10_000 {
            let observer: Arc<dyn Observer> = Arc::new(Counter::default());
            pin_set.observe(Arc::downgrade(&observer));
        }
        assert!(pin_set.observers.lock().unwrap().list.len() < 100);
    }

    #[test]
    fn a_generation_never_runs_ahead_of_its_policy() {
        let pin_set = PinSet::new(policy("a"));
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| (0..500).for_each(|_| assert!(pin_set.replace(policy("b")) > 1)));
            }
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut last = 0;
                    while last < 1001 {
                        let generation = pin_set.generation();
                        assert!(pin_set.current().generation >= generation);
                        assert!(generation >= last);
                        last = generation;
                    }
                });
            }
        });
        assert_eq!(pin_set.generation(), 1001);
    }

    #[test]
    fn a_poisoned_lock_still_serves() {
        let pin_set = PinSet::new(policy("a"));
        let poisoned = thread::scope(|scope| {
            let poison = || {
                let _current = pin_set.current.write();
                let _observers = pin_set.observers.lock();
                panic!("on purpose");
            };
            scope.spawn(poison).join()
        });
        assert!(poisoned.is_err() && pin_set.current.is_poisoned());
        assert_eq!(pin_set.replace(policy("b")), 2);
        assert_eq!(pin_set.current().policy, policy("b"));
        pin_set.observe(Weak::<Counter>::new());
    }
}

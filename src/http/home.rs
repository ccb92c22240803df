//! Where an HTTP/1.1 connection's task runs: with its requests, whose wake-ups then stay within one thread.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use tokio::runtime::Handle;

use super::driver::Task;
use super::socket::Seat;
use super::turns::Turns;

/// Where a request and its connection run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The native threads: everything that takes long, and whatever runs side by side.
    Native,
    /// The JavaScript thread's own event loop: a small exchange on an established connection.
    Loop,
}

/// The home of one connection.
pub struct Home {
    seat: Arc<Seat>,
    on_loop: AtomicBool,
    mover: AtomicWaker,
    runtime: Handle,
    turns: Weak<Turns>,
}

/// The connection's task while it lives somewhere.
struct Resident {
    connection: Option<Task>,
    home: Arc<Home>,
    place: Place,
}

impl Home {
    /// A home on the native threads.
    #[must_use]
    pub fn new(seat: Arc<Seat>, runtime: Handle, turns: Weak<Turns>) -> Arc<Self> {
        let (on_loop, mover) = (AtomicBool::new(false), AtomicWaker::new());
        Arc::new(Self { seat, on_loop, mover, runtime, turns })
    }

    /// Runs the connection here from now on.
    pub fn house(self: &Arc<Self>, connection: Task) {
        let home = Arc::clone(self);
        self.execute(
            Place::Native,
            Resident { connection: Some(connection), home, place: Place::Native },
        );
    }

    /// Has the connection moved, soon. Where there is no loop for it, it stays.
    pub fn move_to(&self, place: Place) {
        let on_loop = place == Place::Loop && self.turns.strong_count() > 0;
        if self.on_loop.swap(on_loop, Ordering::AcqRel) != on_loop {
            self.mover.wake();
        }
    }

    fn wanted(&self) -> Place {
        if self.on_loop.load(Ordering::Acquire) { Place::Loop } else { Place::Native }
    }

    fn execute(&self, place: Place, resident: Resident) {
        match (place, self.turns.upgrade()) {
            (Place::Native, _) => {
                self.runtime.spawn(resident);
            }
            (Place::Loop, Some(turns)) => turns.execute(Box::pin(resident)),
            // The loop is gone, and with it everybody who could ask for more.
            (Place::Loop, None) => {}
        }
    }

    /// Moves the socket. A connection whose socket cannot be moved is lost.
    fn take_seat(&self, place: Place) -> bool {
        match (place, self.turns.upgrade()) {
            (Place::Native, _) => self.seat.to_native(&self.runtime).is_ok(),
            (Place::Loop, Some(turns)) => self.seat.to_loop(turns.reactor()).is_ok(),
            (Place::Loop, None) => false,
        }
    }
}

impl Future for Resident {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.home.mover.register(cx.waker());
        let place = self.home.wanted();
        if place != self.place {
            let home = Arc::clone(&self.home);
            let connection = self.connection.take();
            if home.take_seat(place) {
                home.execute(place, Self { connection, home: Arc::clone(&home), place });
            }
            return Poll::Ready(());
        }
        match &mut self.connection {
            Some(connection) => connection.as_mut().poll(cx),
            None => Poll::Ready(()),
        }
    }
}

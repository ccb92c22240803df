//! What drives a connection: sockets, timers and tasks, by hyper's traits. [`super::tokio_driver`] is the one
//! that runs on native threads.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use hyper::rt::{Executor, Read, Timer, Write};

use crate::pinning::Host;
use crate::tls::Failure;
use crate::tls::stream::Gate;

use super::home::Home;

/// A task that a driver runs to its end.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where a connection goes: the URL's host and port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    pub host: Host,
    pub port: u16,
}

/// Sockets, timers and tasks.
pub trait Driver: Timer + Executor<Task> + Clone + Unpin + Send + Sync + 'static {
    type Io: Read + Write + Unpin + Send + 'static;

    /// Resolves the name and connects.
    ///
    /// # Errors
    /// In the phases `dns` and `connect`, by Node's codes.
    fn dial(
        &self,
        target: &Target,
    ) -> impl Future<Output = Result<(Self::Io, SocketAddr), Failure>> + Send;

    /// Whether connections can live on an event loop.
    fn has_loop(&self) -> bool;

    /// A home for a connection over `io`.
    fn home(&self, io: &Self::Io) -> Arc<Home>;

    /// The permission that a dialled connection itself depends on, where there is one.
    #[must_use]
    fn gate(_: &Self::Io) -> Option<Arc<Gate>> {
        None
    }
}

/// Lets hyper spawn futures of any type on a driver, which takes them boxed.
#[derive(Clone, Debug)]
pub struct Spawner<D>(pub D);

impl<D, F> Executor<F> for Spawner<D>
where
    D: Driver,
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.execute(Box::pin(future));
    }
}

/// Runs `work` for at most `limit`; `None` is no limit.
///
/// # Errors
/// What `late` says when the time is over; `work` is dropped then.
pub async fn within<T, E>(
    driver: &impl Timer,
    limit: Option<Duration>,
    work: impl Future<Output = Result<T, E>>,
    late: impl FnOnce() -> E,
) -> Result<T, E> {
    let Some(limit) = limit else {
        return work.await;
    };
    match select(pin!(work), driver.sleep(limit)).await {
        Either::Left((result, _)) => result,
        Either::Right(((), _)) => Err(late()),
    }
}

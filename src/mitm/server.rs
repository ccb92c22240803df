//! Listens on loopback and answers each connection in a task of its own.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::http::driver::Driver;

use super::intercept::Interceptor;

/// Connections at once; others wait to be accepted.
const MOST: usize = 1024;
const PAUSE: Duration = Duration::from_millis(50);
/// How long connections have to come to their end before they are cut off.
const LINGER: Duration = Duration::from_millis(250);

/// A socket of loopback that takes connections, which nobody answers yet. Port 0 is any that is free.
///
/// # Errors
/// When the port is taken.
pub fn listen(port: u16) -> io::Result<(std::net::TcpListener, SocketAddr)> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Serves until `stop`; then every connection that does not end at once is cut off, and told, before this returns.
///
/// # Errors
/// When the socket cannot be waited for.
pub async fn serve<D: Driver>(
    listener: std::net::TcpListener,
    interceptor: Arc<Interceptor<D>>,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let room = Arc::new(Semaphore::new(MOST));
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        let accepted = async {
            let permit = Arc::clone(&room).acquire_owned().await.map_err(io::Error::other)?;
            io::Result::Ok((listener.accept().await?.0, permit))
        };
        let accepted = tokio::select! {
            accepted = accepted => accepted,
            () = &mut stop => break,
        };
        while connections.try_join_next().is_some() {}
        let Ok((stream, permit)) = accepted else {
            // A connection that is gone again, or no descriptors for a moment.
            sleep(PAUSE).await;
            continue;
        };
        let interceptor = Arc::clone(&interceptor);
        connections.spawn(async move {
            let _ = stream.set_nodelay(true);
            interceptor.serve(stream).await;
            drop(permit);
        });
    }
    drop(listener);
    // What a client has done already is seen to the end.
    let _ = timeout(LINGER, async { while connections.join_next().await.is_some() {} }).await;
    connections.shutdown().await;
    Ok(())
}

//! Where no event loop can wait for sockets in our stead, none does.

use std::io::{self, IoSlice};
use std::net::TcpStream;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Never made.
pub enum Reactor {}

/// Never made.
pub enum Waited {}

impl Reactor {
    /// # Errors
    /// Always.
    pub fn new() -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// # Errors
    /// Never called.
    pub fn add(self: &Arc<Self>, _: TcpStream) -> io::Result<Waited> {
        match **self {}
    }

    #[must_use]
    pub fn descriptor(&self) -> i32 {
        match *self {}
    }

    pub fn begin(&self) {
        match *self {}
    }

    pub fn collect(&self) {
        match *self {}
    }
}

impl Waited {
    pub fn poll_read(&mut self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        match *self {}
    }

    pub fn poll_write(
        &mut self,
        _: &mut Context<'_>,
        _: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match *self {}
    }

    /// # Errors
    /// Never called.
    pub fn shutdown(&self) -> io::Result<()> {
        match *self {}
    }

    #[must_use]
    pub fn into_stream(self) -> TcpStream {
        match self {}
    }
}

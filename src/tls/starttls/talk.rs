//! A connection while it is in the clear: whole lines and packets, and never more than [`MOST`] bytes.

use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::super::codes;
use super::super::failure::{Failure, Phase};

/// What a server may say before TLS. The longest that is usual, an answer to EHLO or XMPP's features, has some 2 KiB.
pub const MOST: usize = 16 * 1024;

pub struct Talk<'a, IO> {
    io: TokioIo<&'a mut IO>,
    /// What has been read and not been taken yet.
    heard: Vec<u8>,
    read: usize,
    title: &'static str,
}

impl<'a, IO> Talk<'a, IO>
where
    IO: Read + Write + Unpin,
{
    pub fn new(io: &'a mut IO, title: &'static str) -> Self {
        Self { io: TokioIo::new(io), heard: Vec::new(), read: 0, title }
    }

    /// Says something. Nothing that answers it can be here yet.
    pub async fn say(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if !self.heard.is_empty() {
            return Err(self.out_of_turn("answered before it was asked"));
        }
        let said = async {
            self.io.write_all(bytes).await?;
            self.io.flush().await
        };
        said.await.map_err(|error| codes::from_io(&error, Phase::Handshake, "write"))
    }

    /// What has been heard, at least `least` bytes.
    pub async fn peek(&mut self, least: usize) -> Result<&[u8], Failure> {
        while self.heard.len() < least {
            self.listen().await?;
        }
        Ok(&self.heard)
    }

    /// Takes bytes that have been peeked at.
    pub fn take(&mut self, count: usize) -> Vec<u8> {
        let count = count.min(self.heard.len());
        self.heard.drain(..count).collect()
    }

    /// Up to the next line feed, without the end of the line.
    pub async fn line(&mut self) -> Result<String, Failure> {
        loop {
            if let Some(end) = self.heard.iter().position(|byte| *byte == b'\n') {
                let line = self.take(end + 1);
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            self.listen().await?;
        }
    }

    /// The go-ahead is here: nothing may follow it.
    pub fn end(self) -> Result<(), Failure> {
        if self.heard.is_empty() {
            return Ok(());
        }
        Err(self.out_of_turn("sent plaintext after its go-ahead for TLS"))
    }

    /// The server will not begin TLS. `said` is its own text.
    pub fn refused(&self, said: &str) -> Failure {
        let message =
            format!("the server refused to begin TLS by {}: {}", self.title, codes::shown(said));
        Failure::new("ERR_STARTTLS_REFUSED", Phase::Handshake, message)
    }

    /// Not the protocol that was expected.
    pub fn unexpected(&self, said: &str) -> Failure {
        let message = format!(
            "the server does not speak {} as expected; it said: {}",
            self.title,
            codes::shown(said)
        );
        Failure::new("EPROTO", Phase::Handshake, message)
    }

    fn out_of_turn(&self, what: &str) -> Failure {
        let message = format!(
            "the server {what}: {}; somebody may be in between",
            codes::shown(&String::from_utf8_lossy(&self.heard))
        );
        Failure::new("ERR_STARTTLS_INJECTION", Phase::Handshake, message)
    }

    async fn listen(&mut self) -> Result<(), Failure> {
        let room = MOST - self.read;
        if room == 0 {
            let message = format!("the server said more than {MOST} bytes before TLS began");
            return Err(Failure::new("EPROTO", Phase::Handshake, message));
        }
        let mut chunk = [0; 1024];
        let (chunk, _) = chunk.split_at_mut(room.min(1024));
        let count = match self.io.read(chunk).await {
            Ok(0) => {
                return Err(Failure::new(
                    "ECONNRESET",
                    Phase::Handshake,
                    "the server closed the connection before TLS began",
                ));
            }
            Ok(count) => count,
            Err(error) => return Err(codes::from_io(&error, Phase::Handshake, "read")),
        };
        self.read += count;
        self.heard.extend(chunk.iter().take(count));
        Ok(())
    }
}

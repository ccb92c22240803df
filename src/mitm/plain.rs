//! What is said in plain text, passed on both ways until the client begins with TLS.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, split};
use tokio::time::timeout;

use super::begins::{Begins, begins};

const PIECE: usize = 16 * 1024;
/// What may be the beginning of TLS is kept back for so long, and then passed on: plain text can end in any byte.
const PERHAPS: Duration = Duration::from_millis(100);

/// How the plain text ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Plain {
    /// With TLS, of which this is the beginning.
    Tls(Vec<u8>),
    /// With the connection.
    Ended,
}

/// Relays until TLS begins, or until both sides have ended. `said` is told what the client says.
///
/// # Errors
/// When one of the two connections breaks.
pub async fn relay<C, S>(
    client: &mut C,
    server: &mut S,
    said: impl FnMut(&[u8]),
) -> io::Result<Plain>
where
    C: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut from_client, mut to_client) = split(client);
    let (mut from_server, mut to_server) = split(server);
    let mut coming = Held::default();
    let ended = {
        let down = pump(&mut from_server, &mut to_client, &mut coming);
        let up = until_tls(&mut from_client, &mut to_server, said);
        tokio::pin!(down, up);
        let mut open = true;
        loop {
            tokio::select! {
                result = &mut down, if open => {
                    result?;
                    open = false;
                }
                result = &mut up => match result? {
                    Plain::Ended => {
                        if open {
                            down.await?;
                        }
                        return Ok(Plain::Ended);
                    }
                    tls @ Plain::Tls(_) => break tls,
                },
            }
        }
    };
    // The server has been heard out: what is on its way was said before TLS.
    coming.pass_on(&mut to_client).await?;
    Ok(ended)
}

/// What the client says, passed on until TLS begins or it ends.
async fn until_tls<R, W>(
    client: &mut R,
    server: &mut W,
    mut said: impl FnMut(&[u8]),
) -> io::Result<Plain>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut bytes = Vec::new();
    let mut pass_on = async |bytes: &mut Vec<u8>, to: &mut W| {
        said(bytes);
        pass_on(bytes, to).await
    };
    loop {
        bytes.reserve(PIECE);
        // The end of the last piece may be the beginning of TLS; if nothing follows, it is not.
        let read = match timeout(PERHAPS, client.read_buf(&mut bytes)).await {
            Ok(read) => read?,
            Err(_) if bytes.is_empty() => client.read_buf(&mut bytes).await?,
            Err(_) => {
                pass_on(&mut bytes, server).await?;
                continue;
            }
        };
        if read == 0 {
            pass_on(&mut bytes, server).await?;
            server.shutdown().await?;
            return Ok(Plain::Ended);
        }
        let (Begins::At(at) | Begins::Perhaps(at)) = begins(&bytes) else {
            pass_on(&mut bytes, server).await?;
            continue;
        };
        let tail = bytes.split_off(at);
        pass_on(&mut bytes, server).await?;
        bytes = tail;
        if begins(&bytes) == Begins::At(0) {
            return Ok(Plain::Tls(bytes));
        }
    }
}

async fn pass_on(bytes: &mut Vec<u8>, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    to.write_all(bytes).await?;
    to.flush().await?;
    bytes.clear();
    Ok(())
}

/// What was read and is not written yet. It outlives the copying, which may be stopped between any two steps.
#[derive(Default)]
struct Held {
    bytes: Vec<u8>,
    written: usize,
}

impl Held {
    async fn pass_on(&mut self, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        while let Some(rest) = self.bytes.get(self.written..).filter(|rest| !rest.is_empty()) {
            self.written += match to.write(rest).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => written,
            };
        }
        self.bytes.clear();
        self.written = 0;
        to.flush().await
    }
}

async fn pump<R, W>(from: &mut R, to: &mut W, held: &mut Held) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    loop {
        held.pass_on(to).await?;
        held.bytes.reserve(PIECE);
        if from.read_buf(&mut held.bytes).await? == 0 {
            return to.shutdown().await;
        }
    }
}

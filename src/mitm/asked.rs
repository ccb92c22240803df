//! What a client asks a proxy for: a tunnel by CONNECT (RFC 9110, 9.3.6) or by SOCKS5 (RFC 1928), with or without a
//! password.
//!
//! And `HOLD host:port`, which no other proxy has: the answer names a port of loopback that is connected to the target
//! already. Who routes the connections of a program can so hand it a socket on which nothing but the target has spoken.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use data_encoding::BASE64;
use http::uri::Authority;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use crate::http::driver::Target;
use crate::pinning::Host;
use crate::tls::Failure;

/// The head of a request is not longer.
const HEAD: usize = 16 * 1024;
/// The password by which a client asks to be passed on untouched.
const UNTOUCHED: &str = "untouched";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Connect,
    Hold,
    Socks,
}

/// A tunnel that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    pub target: Target,
    pub way: Way,
    /// The user name: what the client calls this connection.
    pub id: Option<String>,
    pub untouched: bool,
}

/// Reads what is asked for. What cannot be answered is refused.
///
/// # Errors
/// When it was not understood, or the connection broke.
pub async fn read<S: AsyncRead + AsyncWrite + Unpin>(client: &mut S) -> io::Result<Asked> {
    match client.read_u8().await? {
        5 => socks(client).await,
        first => request(client, first).await,
    }
}

impl Asked {
    /// Tells the client that its tunnel stands; `port` is where, for [`Way::Hold`].
    ///
    /// # Errors
    /// When the connection has broken.
    pub async fn accept(
        &self,
        client: &mut (impl AsyncWrite + Unpin),
        port: u16,
    ) -> io::Result<()> {
        let answer = match self.way {
            Way::Connect => b"HTTP/1.1 200 Connection established\r\n\r\n".to_vec(),
            Way::Hold => format!("HTTP/1.1 200 OK\r\nPort: {port}\r\n\r\n").into_bytes(),
            Way::Socks => vec![5, 0, 0, 1, 0, 0, 0, 0, 0, 0],
        };
        client.write_all(&answer).await?;
        client.flush().await
    }

    /// Tells it why not.
    ///
    /// # Errors
    /// When the connection has broken.
    pub async fn refuse(
        &self,
        client: &mut (impl AsyncWrite + Unpin),
        failure: &Failure,
    ) -> io::Result<()> {
        let answer = match self.way {
            Way::Socks => {
                let reply = match &*failure.code {
                    "ENETUNREACH" => 3,
                    "EHOSTUNREACH" | "ENOTFOUND" | "EAI_AGAIN" => 4,
                    "ECONNREFUSED" => 5,
                    _ => 1,
                };
                vec![5, reply, 0, 1, 0, 0, 0, 0, 0, 0]
            }
            Way::Connect | Way::Hold => refusal("502 Bad Gateway", &failure.code),
        };
        client.write_all(&answer).await?;
        client.shutdown().await
    }
}

fn refusal(status: &str, code: &str) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nCode: {code}\r\nContent-Length: 0\r\n");
    format!("{head}Connection: close\r\n\r\n").into_bytes()
}

async fn request<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut S,
    first: u8,
) -> io::Result<Asked> {
    let mut head = vec![first];
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() >= HEAD {
            return Err(not_understood("a head that is too long"));
        }
        // Byte by byte: what follows is not for the proxy.
        head.push(client.read_u8().await?);
    }
    if let Some(asked) = parse(&String::from_utf8_lossy(&head)) {
        return Ok(asked);
    }
    client.write_all(&refusal("405 Method Not Allowed", "EINVAL")).await?;
    client.shutdown().await?;
    Err(not_understood("a request that is not CONNECT"))
}

fn parse(head: &str) -> Option<Asked> {
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let way = match words.next()? {
        "CONNECT" => Way::Connect,
        "HOLD" => Way::Hold,
        _ => return None,
    };
    let authority: Authority = words.next()?.parse().ok()?;
    let host = Host::parse(authority.host()).ok()?;
    let target = Target { host, port: authority.port_u16().filter(|port| *port > 0)? };
    let user = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let (scheme, encoded) = value.trim().split_once(' ')?;
        let is_it = name.eq_ignore_ascii_case("proxy-authorization");
        let decoded = (is_it && scheme.eq_ignore_ascii_case("basic"))
            .then(|| BASE64.decode(encoded.trim().as_bytes()).ok())??;
        String::from_utf8(decoded).ok()
    });
    let (id, password) = match &user {
        Some(user) => user.split_once(':').map(|(id, password)| (Some(id), password))?,
        None => (None, ""),
    };
    Some(Asked { target, way, id: id.map(ToOwned::to_owned), untouched: password == UNTOUCHED })
}

async fn socks<S: AsyncRead + AsyncWrite + Unpin>(client: &mut S) -> io::Result<Asked> {
    let methods = text(client).await?;
    let (mut id, mut password) = (None, Vec::new());
    if methods.contains(&2) {
        client.write_all(&[5, 2]).await?;
        // RFC 1929.
        if client.read_u8().await? != 1 {
            return Err(not_understood("another version of the password's negotiation"));
        }
        id = Some(String::from_utf8_lossy(&text(client).await?).into_owned());
        password = text(client).await?;
        client.write_all(&[1, 0]).await?;
    } else if methods.contains(&0) {
        client.write_all(&[5, 0]).await?;
    } else {
        client.write_all(&[5, 0xff]).await?;
        return Err(not_understood("no method of authentication that is known"));
    }
    let mut request = [0; 4];
    client.read_exact(&mut request).await?;
    let [5, 1, _, kind] = request else {
        client.write_all(&[5, 7, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
        return Err(not_understood("a command that is not CONNECT"));
    };
    let host = match kind {
        1 => Host::Ip(IpAddr::V4(Ipv4Addr::from(client.read_u32().await?))),
        3 => {
            let name = text(client).await?;
            let name = str::from_utf8(&name).map_err(|_| not_understood("a name"))?;
            Host::parse(name).map_err(|_| not_understood("a name"))?
        }
        4 => Host::Ip(IpAddr::V6(Ipv6Addr::from(client.read_u128().await?)).to_canonical()),
        _ => return Err(not_understood("a kind of address")),
    };
    let target = Target { host, port: client.read_u16().await? };
    Ok(Asked { target, way: Way::Socks, id, untouched: password == UNTOUCHED.as_bytes() })
}

/// Bytes with their number before them.
async fn text(client: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; client.read_u8().await?.into()];
    client.read_exact(&mut bytes).await?;
    Ok(bytes)
}

fn not_understood(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the client sent {what}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::duplex;

    use super::*;

    /// What is made of these bytes, and what is answered.
    async fn ask(bytes: &[u8]) -> (io::Result<Asked>, Vec<u8>) {
        let (mut near, mut far) = duplex(64 * 1024);
        near.write_all(bytes).await.unwrap();
        near.shutdown().await.unwrap();
        let asked = read(&mut far).await;
        drop(far);
        let mut answer = Vec::new();
        near.read_to_end(&mut answer).await.unwrap();
        (asked, answer)
    }

    #[tokio::test]
    async fn a_tunnel_is_asked_for_in_either_way() {
        let basic = format!("Proxy-Authorization: Basic {}\r\n", BASE64.encode(b"7:untouched"));
        let socks = b"\x05\x02\x00\x02\x01\x017\x09untouched\x05\x01\x00\x03\x09A.Example\x01\xbb";
        for (bytes, expected, id) in [
            (b"CONNECT a.example:443 HTTP/1.1\r\n\r\n".to_vec(), "a.example:443", None),
            (
                format!("CONNECT A.example:8443 HTTP/1.1\r\n{basic}\r\n").into(),
                "a.example:8443",
                Some("7"),
            ),
            (format!("HOLD [::1]:5432 HTTP/1.1\r\n{basic}\r\n").into(), "::1:5432", Some("7")),
            (
                b"\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50".to_vec(),
                "127.0.0.1:80",
                None,
            ),
            (socks.to_vec(), "a.example:443", Some("7")),
        ] {
            let asked = ask(&bytes).await.0.unwrap();
            let Target { host, port } = &asked.target;
            assert_eq!(format!("{host}:{port}"), expected);
            assert_eq!((asked.id.as_deref(), asked.untouched), (id, id.is_some()));
        }
    }

    #[tokio::test]
    async fn what_is_no_tunnel_is_refused() {
        let long = "x".repeat(HEAD + 1);
        for (bytes, answer) in [
            (b"GET http://a.example/ HTTP/1.1\r\n\r\n".as_slice(), b"HTTP/1.1 405".as_slice()),
            (b"CONNECT a.example HTTP/1.1\r\n\r\n", b"HTTP/1.1 405"),
            (b"CONNECT a..example:1 HTTP/1.1\r\n\r\n", b"HTTP/1.1 405"),
            (b"CONNECT a.example:0 HTTP/1.1\r\n\r\n", b"HTTP/1.1 405"),
            (b"\x05\x01\x01", b"\x05\xff"),
            (b"\x05\x01\x00\x05\x03\x00\x01\x7f\x00\x00\x01\x00\x50", b"\x05\x00\x05\x07"),
            (b"\x05\x01\x00\x05\x01\x00\x03\x01%\x00\x50", b"\x05\x00"),
            (long.as_bytes(), b""),
            (b"CONN", b""),
            (b"", b""),
        ] {
            let (asked, told) = ask(bytes).await;
            assert!(asked.is_err(), "{bytes:?}");
            assert!(told.starts_with(answer), "{told:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_asked_is_read_without_a_panic(bytes: Vec<u8>, is_socks: bool) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let first: &[u8] = if is_socks { b"\x05\x02\x00\x02\x01" } else { b"CONNECT " };
            let _ = runtime.block_on(ask(&[first, &bytes].concat()));
        }
    }
}

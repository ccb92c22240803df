//! Where TLS begins: protocols such as those of `PostgreSQL`, `MySQL` and SMTP agree on it in plain text first.

use rustls::server::{Accepted, Acceptor};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// A `ClientHello`, and what a client says along with it, is not larger than that.
const LARGEST: usize = 64 * 1024;

/// What the first bytes of a `ClientHello` can be (RFC 8446, 5.1 and 4.1.2): a handshake record of at most 2^14 bytes, in it
/// the message's type, its length in three bytes, and a version.
const SHAPE: [(u8, u8); 11] = [
    (0x16, 0x16),
    (3, 3),
    (0, 4),
    (0, 0x40),
    (0, 0xff),
    (1, 1),
    (0, 0),
    (0, 0xff),
    (0, 0xff),
    (3, 3),
    (0, 4),
];

/// Where in a piece of plain text TLS begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begins {
    At(usize),
    /// What stands from here on may be its beginning, if more follows.
    Perhaps(usize),
    No,
}

/// Looks for the beginning of a `ClientHello`, anywhere: `MySQL`'s clients do not wait for an answer before it.
#[must_use]
pub fn begins(bytes: &[u8]) -> Begins {
    for at in 0..bytes.len() {
        let rest = bytes.get(at..).unwrap_or_default();
        if rest.iter().zip(SHAPE).all(|(byte, (least, most))| (least..=most).contains(byte)) {
            return if rest.len() < SHAPE.len() { Begins::Perhaps(at) } else { Begins::At(at) };
        }
    }
    Begins::No
}

/// What a client wants to negotiate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    pub server_name: Option<String>,
    pub alpn: Vec<Vec<u8>>,
}

/// Reads a whole `ClientHello` into `raw`, which holds its beginning. It can be answered, or `raw` be passed on.
///
/// # Errors
/// Why it is none that can be answered.
pub async fn read(
    client: &mut (impl AsyncRead + Unpin),
    raw: &mut Vec<u8>,
) -> Result<(Hello, Accepted), String> {
    let mut acceptor = Acceptor::default();
    let mut seen = 0;
    loop {
        while seen < raw.len() {
            let mut rest = raw.get(seen..).unwrap_or_default();
            seen += acceptor.read_tls(&mut rest).map_err(|error| error.to_string())?;
            match acceptor.accept() {
                Ok(Some(_)) if seen < raw.len() => return Err("more follows it at once".into()),
                Ok(Some(accepted)) => return Ok((hello(&accepted.client_hello()), accepted)),
                Ok(None) => {}
                Err((error, _)) => return Err(error.to_string()),
            }
        }
        if raw.len() > LARGEST {
            return Err("it is too large".into());
        }
        match client.read_buf(raw).await {
            Ok(0) => return Err("the client ended the connection in the middle of it".into()),
            Ok(_) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
}

fn hello(hello: &rustls::server::ClientHello<'_>) -> Hello {
    Hello {
        server_name: hello.server_name().map(ToOwned::to_owned),
        alpn: hello.alpn().into_iter().flatten().map(<[u8]>::to_vec).collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HELLO: [u8; 12] = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 0x55];

    #[test]
    fn it_is_found_wherever_it_begins() {
        assert_eq!(begins(&HELLO), Begins::At(0));
        assert_eq!(begins(&[b"STARTTLS\r\n", HELLO.as_slice()].concat()), Begins::At(10));
        // MySQL's request for TLS: a packet of 32 bytes, then TLS at once.
        assert_eq!(begins(&[[0x16; 36].as_slice(), &HELLO].concat()), Begins::At(36));
        for cut in 1..11 {
            let bytes = [b"x", HELLO.get(..cut).unwrap()].concat();
            assert_eq!(begins(&bytes), Begins::Perhaps(1), "{cut}");
        }
    }

    #[test]
    fn plain_text_is_none() {
        for text in [
            b"".as_slice(),
            b"GET / HTTP/1.1\r\n\r\n",
            &[0, 0, 0, 8, 4, 0xd2, 0x16, 0x2f],
            // A ServerHello, an alert, SSL 2.
            &[0x16, 3, 3, 0, 0x7a, 2, 0, 0, 0x76, 3, 3],
            &[0x15, 3, 3, 0, 2, 2, 0x28, 0, 0, 0, 0],
            &[0x80, 0x2e, 1, 3, 1, 0, 0x15, 0, 0, 0, 0x10],
        ] {
            assert_eq!(begins(text), Begins::No, "{text:02x?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_without_a_panic(bytes: Vec<u8>, before: Vec<u8>) {
            let _ = begins(&[before.as_slice(), &HELLO, &bytes].concat());
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let mut raw = [&HELLO, bytes.as_slice()].concat();
            let _ = runtime.block_on(read(&mut tokio::io::empty(), &mut raw));
        }
    }
}

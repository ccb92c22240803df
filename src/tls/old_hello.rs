//! Whether a server still answers to SSL 3.0, TLS 1.0 or TLS 1.1, all long deprecated (RFC 7568, RFC 8996).
//!
//! rustls does not speak them, and nothing here does: a ClientHello goes out, and all that is read is whether a
//! ServerHello or an alert comes back.

use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::{AlertDescription, CipherSuite};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::alert;
use super::codes;
use super::failure::{Failure, Phase};
use super::identity::Identity;
use super::offer::{Outcome, is_end, refused_by};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OldVersion {
    Ssl3,
    Tls10,
    Tls11,
}

impl OldVersion {
    pub const ALL: [Self; 3] = [Self::Tls11, Self::Tls10, Self::Ssl3];

    /// As Node calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ssl3 => "SSLv3",
            Self::Tls10 => "TLSv1",
            Self::Tls11 => "TLSv1.1",
        }
    }

    fn minor(self) -> u8 {
        match self {
            Self::Ssl3 => 0,
            Self::Tls10 => 1,
            Self::Tls11 => 2,
        }
    }

    /// Sends a ClientHello with this version as the highest, and reads the first answer.
    pub async fn offer<IO>(self, identity: &Identity, io: IO) -> Outcome
    where
        IO: Read + Write + Unpin,
    {
        let mut random = [0; 32];
        if aws_lc_rs::default_provider().secure_random.fill(&mut random).is_err() {
            let message = "the system has no random numbers";
            return Outcome::Unknown(Failure::new("EIO", Phase::Handshake, message));
        }
        let mut io = TokioIo::new(io);
        let answer = async {
            io.write_all(&self.hello(identity.name(), random)).await?;
            io.flush().await?;
            let mut header = [0; 5];
            io.read_exact(&mut header).await?;
            let [kind, major, _, high, low] = header;
            let length = usize::from(u16::from_be_bytes([high, low]));
            // TLS, and no longer than a record may be.
            if !matches!(kind, ALERT | HANDSHAKE) || major != 3 || length > 1 << 14 {
                return Ok(None);
            }
            let mut record = vec![0; length];
            io.read_exact(&mut record).await?;
            Ok((kind, record).into())
        };
        match answer.await {
            Ok(Some((kind, record))) => self.judge(kind, &record),
            Ok(None) => Outcome::Unknown(not_tls()),
            Err(error) => {
                let failure = codes::from_handshake(&error);
                if is_end(&error) { Outcome::Closed(failure) } else { Outcome::Unknown(failure) }
            }
        }
    }

    fn judge(self, kind: u8, record: &[u8]) -> Outcome {
        match (kind, record) {
            (ALERT, [_, description]) => {
                let description = AlertDescription::from(*description);
                refused_by(description, alert::failure(description))
            }
            // A message of type 2, its length, its version, a random number, a session's id, the cipher suite.
            (HANDSHAKE, [2, _, _, _, 3, minor, rest @ ..]) => {
                if *minor != self.minor() {
                    let message = "the server answered with another version";
                    let code = "ERR_SSL_UNSUPPORTED_PROTOCOL";
                    return Outcome::Refused(Failure::new(code, Phase::Handshake, message));
                }
                let session = rest.get(32).map_or(0, |length| usize::from(*length));
                let suite = rest.get(33 + session..35 + session);
                let cipher = suite.and_then(|suite| <[u8; 2]>::try_from(suite).ok());
                Outcome::Accepted { cipher: cipher.map(cipher_name), group: None }
            }
            _ => Outcome::Unknown(not_tls()),
        }
    }

    fn hello(self, name: &ServerName<'_>, random: [u8; 32]) -> Vec<u8> {
        let mut body = vec![3, self.minor()];
        body.extend(random);
        body.push(0);
        body.extend(sized(&SUITES.map(u16::to_be_bytes).concat()));
        body.extend([1, 0]);
        // SSL 3.0 knows no extensions.
        if self != Self::Ssl3 {
            body.extend(sized(&extensions(name)));
        }
        let mut message = vec![1, 0];
        message.extend(sized(&body));
        // Of a record, the version below which nothing is spoken; some servers refuse a higher one.
        let mut record = vec![HANDSHAKE, 3, self.minor().min(1)];
        record.extend(sized(&message));
        record
    }
}

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;

/// What there was at the time: AES, Camellia, 3DES, RC4 and DES in CBC, with keys exchanged by ECDHE, DHE and RSA; and
/// that renegotiation is secure (RFC 5746, 3.3), without which some servers refuse.
const SUITES: [u16; 24] = [
    0xc00a, 0xc009, 0xc014, 0xc013, 0x0039, 0x0033, 0x0038, 0x0032, 0x0035, 0x002f, 0x0088, 0x0045,
    0x0084, 0x0041, 0xc012, 0xc008, 0x0016, 0x000a, 0xc011, 0xc007, 0x0005, 0x0004, 0x0009, 0x00ff,
];

fn extensions(name: &ServerName<'_>) -> Vec<u8> {
    let mut all = Vec::new();
    let mut add = |kind: u16, body: &[u8]| {
        all.extend(kind.to_be_bytes());
        all.extend(sized(body));
    };
    // server_name (RFC 6066, 3); an address has none.
    if let ServerName::DnsName(name) = name {
        let mut entry = vec![0];
        entry.extend(sized(name.as_ref().as_bytes()));
        add(0, &sized(&entry));
    }
    // supported_groups: X25519, P-256, P-384, P-521; ec_point_formats: uncompressed.
    add(10, &[0, 8, 0, 29, 0, 23, 0, 24, 0, 25]);
    add(11, &[1, 0]);
    all
}

/// With its length in two bytes in front. Nothing here is longer: a host's name has 253 bytes.
fn sized(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    [&length.to_be_bytes(), bytes].concat()
}

/// Its IANA name, or its number.
fn cipher_name(number: [u8; 2]) -> String {
    let number = u16::from_be_bytes(number);
    CipherSuite::from(number).as_str().map_or_else(|| format!("0x{number:04X}"), ToOwned::to_owned)
}

fn not_tls() -> Failure {
    let message = "the server's answer is neither a ServerHello nor an alert";
    Failure::new("ERR_SSL_WRONG_VERSION_NUMBER", Phase::Handshake, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server_hello(minor: u8, session: u8, suite: &[u8]) -> Vec<u8> {
        let mut record = vec![2, 0, 0, 0, 3, minor];
        record.extend([7; 32]);
        record.push(session);
        record.extend(vec![9; usize::from(session)]);
        record.extend(suite);
        record
    }

    fn told(outcome: &Outcome) -> String {
        match outcome {
            Outcome::Accepted { cipher, .. } => {
                format!("accepted {}", cipher.as_deref().unwrap_or("?"))
            }
            Outcome::Refused(failure) => format!("refused {}", failure.code),
            Outcome::Closed(failure) => format!("closed {}", failure.code),
            Outcome::Unknown(failure) => format!("unknown {}", failure.code),
        }
    }

    #[test]
    fn what_comes_back_is_read_as_it_is() {
        let aes = &[0, 0x2f];
        for (kind, record, expected) in [
            (HANDSHAKE, server_hello(1, 0, aes), "accepted TLS_RSA_WITH_AES_128_CBC_SHA"),
            (HANDSHAKE, server_hello(1, 32, aes), "accepted TLS_RSA_WITH_AES_128_CBC_SHA"),
            (HANDSHAKE, server_hello(1, 0, &[0xee, 0xee]), "accepted 0xEEEE"),
            (HANDSHAKE, server_hello(1, 0, &[]), "accepted ?"),
            (HANDSHAKE, vec![2, 0, 0, 0, 3, 1], "accepted ?"),
            (HANDSHAKE, server_hello(0, 0, aes), "refused ERR_SSL_UNSUPPORTED_PROTOCOL"),
            (HANDSHAKE, server_hello(3, 0, aes), "refused ERR_SSL_UNSUPPORTED_PROTOCOL"),
            (HANDSHAKE, vec![2, 0, 0], "unknown ERR_SSL_WRONG_VERSION_NUMBER"),
            (HANDSHAKE, vec![14, 0, 0, 0], "unknown ERR_SSL_WRONG_VERSION_NUMBER"),
            (ALERT, vec![2, 70], "refused ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION"),
            (ALERT, vec![1, 112], "unknown ERR_SSL_TLSV1_UNRECOGNIZED_NAME"),
            (ALERT, vec![1, 0], "closed ERR_SSL_SSL_ERROR_SSL"),
            (ALERT, vec![2], "unknown ERR_SSL_WRONG_VERSION_NUMBER"),
            (ALERT, vec![], "unknown ERR_SSL_WRONG_VERSION_NUMBER"),
        ] {
            assert_eq!(
                told(&OldVersion::Tls10.judge(kind, &record)),
                expected,
                "{kind} {record:?}"
            );
        }
    }

    #[test]
    fn a_hello_has_the_lengths_of_what_is_in_it() {
        let name = ServerName::try_from("a.example").unwrap();
        for version in OldVersion::ALL {
            let hello = version.hello(&name, [7; 32]);
            assert_eq!(usize::from(u16::from_be_bytes([hello[3], hello[4]])), hello.len() - 5);
            assert_eq!(usize::from(u16::from_be_bytes([hello[7], hello[8]])), hello.len() - 9);
            assert_eq!(hello[9..11], [3, version.minor()]);
            let sends_name = hello.windows(9).any(|window| window == b"a.example");
            assert_eq!(sends_name, version != OldVersion::Ssl3);
        }
    }
}

//! The protocols of packets: PostgreSQL, MySQL, LDAP.

use hyper::rt::{Read, Write};
use x509_parser::asn1_rs::{Any, Class, Enumerated, FromBer, OctetString, Tag};
use x509_parser::nom;

use super::super::failure::Failure;
use super::talk::Talk;

/// Its length, and the number that asks for TLS in the place of a protocol version.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

pub async fn postgres<IO: Read + Write + Unpin>(talk: &mut Talk<'_, IO>) -> Result<(), Failure> {
    talk.say(&SSL_REQUEST).await?;
    let answer = talk.peek(1).await?.first().copied();
    match answer {
        Some(b'S') => {
            talk.take(1);
            Ok(())
        }
        Some(b'N') => Err(talk.refused("its answer is N; TLS is not switched on there")),
        // An error, in a packet of its own.
        Some(b'E') => {
            let length = be(talk.peek(5).await?.get(1..5));
            let packet = talk.peek(length.saturating_add(1)).await?.get(5..).unwrap_or_default();
            let mut fields = packet.split(|byte| *byte == 0);
            let message = fields.find_map(|field| field.strip_prefix(b"M"));
            let message = message.map(String::from_utf8_lossy).unwrap_or_default().into_owned();
            Err(talk.refused(&message))
        }
        _ => {
            let said = String::from_utf8_lossy(talk.peek(1).await?).into_owned();
            Err(talk.unexpected(&said))
        }
    }
}

const CLIENT_PROTOCOL_41: u32 = 0x200;
const CLIENT_SSL: u32 = 0x800;
const CLIENT_SECURE_CONNECTION: u32 = 0x8000;

/// The server speaks first, and does not answer the request for TLS: what follows its greeting is TLS.
pub async fn mysql<IO: Read + Write + Unpin>(talk: &mut Talk<'_, IO>) -> Result<(), Failure> {
    let header = talk.peek(4).await?.get(..4).unwrap_or_default();
    let length = match header {
        [a, b, c, 0] => usize::from(*a) | usize::from(*b) << 8 | usize::from(*c) << 16,
        other => {
            let said = String::from_utf8_lossy(other).into_owned();
            return Err(talk.unexpected(&said));
        }
    };
    talk.peek(4 + length).await?;
    let packet = talk.take(4 + length);
    let body = packet.get(4..).unwrap_or_default();
    match body {
        // Version 10: the server's version up to a zero, the connection's number (4), a nonce (8), a zero, capabilities.
        [10, rest @ ..] => {
            let capabilities = rest
                .iter()
                .position(|byte| *byte == 0)
                .and_then(|end| rest.get(end + 1 + 13..end + 1 + 15));
            let Some(&[low, high]) = capabilities else {
                return Err(talk.unexpected("a greeting that is cut off"));
            };
            if u32::from(u16::from_le_bytes([low, high])) & CLIENT_SSL == 0 {
                return Err(talk.refused("TLS is not among the capabilities that it offers"));
            }
        }
        // An error: its number (2), then text.
        [0xff, _, _, text @ ..] => {
            let said = String::from_utf8_lossy(text).into_owned();
            return Err(talk.refused(&said));
        }
        other => {
            let said = String::from_utf8_lossy(other).into_owned();
            return Err(talk.unexpected(&said));
        }
    }
    let mut request = vec![32, 0, 0, 1];
    let capabilities = CLIENT_PROTOCOL_41 | CLIENT_SSL | CLIENT_SECURE_CONNECTION;
    request.extend(capabilities.to_le_bytes());
    // The largest packet, 16 MiB; utf8mb4; a reserve.
    request.extend((1_u32 << 24).to_le_bytes());
    request.push(45);
    request.extend([0; 23]);
    talk.say(&request).await
}

/// `ExtendedRequest` 1 with the name 1.3.6.1.4.1.1466.20037.
const LDAP_REQUEST: &[u8] = b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037";

pub async fn ldap<IO: Read + Write + Unpin>(talk: &mut Talk<'_, IO>) -> Result<(), Failure> {
    talk.say(LDAP_REQUEST).await?;
    let mut least = 2;
    let (length, answer) = loop {
        let heard = talk.peek(least).await?;
        match Any::from_ber(heard) {
            Ok((rest, message)) => break (heard.len() - rest.len(), result(&message)),
            Err(nom::Err::Incomplete(_)) => least = heard.len() + 1,
            Err(_) => break (0, None),
        }
    };
    match answer {
        Some((0, _)) => {
            talk.take(length);
            Ok(())
        }
        Some((code, text)) => Err(talk.refused(&format!("result code {code} {text}"))),
        None => {
            let said = String::from_utf8_lossy(talk.peek(1).await?).into_owned();
            Err(talk.unexpected(&said))
        }
    }
}

/// The result code and the diagnostic message of an `ExtendedResponse`: that to request 1, or the notice (number 0) that
/// the server is about to hang up (RFC 4511, 4.4.1), which is no success.
fn result(message: &Any<'_>) -> Option<(u32, String)> {
    if message.tag() != Tag::Sequence {
        return None;
    }
    let (rest, id) = u32::from_ber(message.data).ok()?;
    let (_, response) = Any::from_ber(rest).ok()?;
    if response.class() != Class::Application || response.tag() != Tag(24) || id > 1 {
        return None;
    }
    let (rest, Enumerated(code)) = Enumerated::from_ber(response.data).ok()?;
    let (rest, _matched) = OctetString::from_ber(rest).ok()?;
    let (_, text) = OctetString::from_ber(rest).ok()?;
    if id == 0 && code == 0 {
        return None;
    }
    Some((code, String::from_utf8_lossy(text.as_ref()).into_owned()))
}

/// A number of four bytes; one of another length is none that a packet can have.
fn be(bytes: Option<&[u8]>) -> usize {
    let number = bytes.and_then(|bytes| <[u8; 4]>::try_from(bytes).ok()).map(u32::from_be_bytes);
    number.and_then(|number| usize::try_from(number).ok()).unwrap_or(usize::MAX)
}

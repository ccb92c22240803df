//! XMPP (RFC 6120, 5.4). Its streams have no comments, no processing instructions and no DTD (11.1), and nothing stands
//! between elements while STARTTLS is negotiated (5.3.3): tags are all there is to read.

use hyper::rt::{Read, Write};

use super::super::failure::Failure;
use super::talk::Talk;

const NAMESPACE: &str = "urn:ietf:params:xml:ns:xmpp-tls";

/// `host` is a name or an address in canonical form: nothing in it has to be escaped.
pub async fn open<IO: Read + Write + Unpin>(
    talk: &mut Talk<'_, IO>,
    content: &str,
    host: &str,
) -> Result<(), Failure> {
    let header = format!(
        "<?xml version='1.0'?><stream:stream to='{host}' xmlns='{content}' \
         xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"
    );
    talk.say(header.as_bytes()).await?;
    let mut first = tag(talk).await?;
    if first.starts_with('?') {
        first = tag(talk).await?;
    }
    if name(&first) != "stream" {
        return Err(talk.unexpected(&format!("<{first}>")));
    }
    if !is_offered(talk).await? {
        return Err(talk.refused("STARTTLS is not among the features that it offers"));
    }
    talk.say(format!("<starttls xmlns='{NAMESPACE}'/>").as_bytes()).await?;
    let answer = tag(talk).await?;
    match name(&answer) {
        "proceed" if answer.contains(NAMESPACE) => {
            if answer.ends_with('/') {
                return Ok(());
            }
            let end = tag(talk).await?;
            if end.starts_with('/') && name(&end) == "proceed" {
                return Ok(());
            }
            Err(talk.unexpected(&format!("<{end}>")))
        }
        "failure" => Err(talk.refused(&format!("<{answer}>"))),
        _ => Err(talk.unexpected(&format!("<{answer}>"))),
    }
}

/// Whether STARTTLS is among the features.
async fn is_offered<IO: Read + Write + Unpin>(talk: &mut Talk<'_, IO>) -> Result<bool, Failure> {
    let features = tag(talk).await?;
    match name(&features) {
        "features" if features.ends_with('/') => return Ok(false),
        "features" => {}
        "error" => {
            let condition = tag(talk).await?;
            return Err(talk.refused(&format!("<{condition}>")));
        }
        _ => return Err(talk.unexpected(&format!("<{features}>"))),
    }
    let mut offered = false;
    loop {
        let tag = tag(talk).await?;
        match name(&tag) {
            "features" if tag.starts_with('/') => return Ok(offered),
            "starttls" => offered |= tag.contains(NAMESPACE),
            _ => {}
        }
    }
}

/// The next tag, without its angle brackets.
async fn tag<IO: Read + Write + Unpin>(talk: &mut Talk<'_, IO>) -> Result<String, Failure> {
    let mut least = 1;
    loop {
        let heard = talk.peek(least).await?;
        least = heard.len() + 1;
        if let Some((start, end)) = bounds(heard) {
            let tag = heard.get(start + 1..end).map(String::from_utf8_lossy);
            let tag = tag.unwrap_or_default().trim_end().to_owned();
            talk.take(end + 1);
            return Ok(tag);
        }
    }
}

/// Where the first tag begins and ends. A `>` within quotation marks does not end it.
fn bounds(bytes: &[u8]) -> Option<(usize, usize)> {
    let start = bytes.iter().position(|byte| *byte == b'<')?;
    let mut quote = None;
    for (at, byte) in bytes.iter().enumerate().skip(start) {
        match (quote, *byte) {
            (None, b'>') => return Some((start, at)),
            (None, b'"' | b'\'') => quote = Some(*byte),
            (Some(open), byte) if byte == open => quote = None,
            _ => {}
        }
    }
    None
}

/// The local name, of an end tag too.
fn name(tag: &str) -> &str {
    let tag = tag.strip_prefix('/').unwrap_or(tag);
    let name = tag.split([' ', '\t', '\r', '\n', '/']).next().unwrap_or_default();
    name.rsplit_once(':').map_or(name, |(_, local)| local)
}

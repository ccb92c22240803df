//! The packed form in which requests and completions cross, many at a time. Little-endian; `lib/wire.js` is the
//! other side and is changed together with this file.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, uri::PathAndQuery};

use crate::http::driver::Target;
use crate::http::request::Request;
use crate::pinning::Host;

/// What JavaScript asks for in one frame.
pub struct Submitted {
    pub id: u32,
    pub client: u32,
    pub request: Result<(Request, SentBody), String>,
}

/// How the request's body is sent.
pub enum SentBody {
    Inline,
    /// The pieces follow, one crossing each; the length where it is known.
    Streamed(Option<u64>),
}

/// Reads the frames of one submission. The other side is our own, so a frame that does not parse is a defect:
/// it ends the reading with an error instead of being guessed at.
pub struct Frames<'a> {
    bytes: &'a [u8],
}

impl<'a> Frames<'a> {
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The next frame; `None` at the end.
    pub fn read(&mut self) -> Result<Option<Submitted>, Truncated> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let id = self.u32()?;
        let client = self.u32()?;
        let method = self.text()?;
        let host = self.text()?;
        let port = self.u16()?;
        let path = self.text()?;
        let mut headers = Ok(HeaderMap::new());
        for _ in 0..self.u32()? {
            let (name, value) = (self.text()?, self.text()?);
            headers = headers.and_then(|mut headers| {
                add_header(&mut headers, name, value)?;
                Ok(headers)
            });
        }
        let (body, sent) = match self.u8()? {
            0 => (Bytes::new(), SentBody::Inline),
            1 => {
                let length = self.u32()? as usize;
                (Bytes::copy_from_slice(self.take(length)?), SentBody::Inline)
            }
            _ => {
                let length = self.u64()?;
                (Bytes::new(), SentBody::Streamed((length != u64::MAX).then_some(length)))
            }
        };
        let request =
            headers.and_then(|headers| Ok((build(method, host, port, path, headers, body)?, sent)));
        Ok(Some(Submitted { id, client, request }))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Truncated> {
        let (taken, rest) = self.bytes.split_at_checked(length).ok_or(Truncated)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Truncated> {
        let (taken, rest) = self.bytes.split_first_chunk::<N>().ok_or(Truncated)?;
        self.bytes = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, Truncated> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Result<u16, Truncated> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, Truncated> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Truncated> {
        self.array().map(u64::from_le_bytes)
    }

    /// A length and as many bytes of Latin-1, which is what a header may hold.
    fn text(&mut self) -> Result<&'a [u8], Truncated> {
        let length = self.u32()? as usize;
        self.take(length)
    }
}

/// A frame ended before its end.
#[derive(Debug)]
pub struct Truncated;

fn build(
    method: &[u8],
    host: &[u8],
    port: u16,
    path: &[u8],
    headers: HeaderMap,
    body: Bytes,
) -> Result<Request, String> {
    let host = std::str::from_utf8(host).map_err(|_| "the host is not text")?;
    Ok(Request {
        method: Method::from_bytes(method).map_err(|_| "the method is not a token")?,
        target: Target { host: Host::parse(host).map_err(|error| error.to_string())?, port },
        path: PathAndQuery::try_from(path).map_err(|_| "the path is not valid in a URL")?,
        headers,
        body: if body.is_empty() {
            crate::http::request::RequestBody::Empty
        } else {
            crate::http::request::RequestBody::Whole(body)
        },
    })
}

fn add_header(headers: &mut HeaderMap, name: &[u8], value: &[u8]) -> Result<(), String> {
    let text = || String::from_utf8_lossy(name).escape_debug().to_string();
    let parsed = HeaderName::from_bytes(name)
        .map_err(|_| format!("the header name \"{}\" is not a token", text()))?;
    let value = HeaderValue::from_bytes(value)
        .map_err(|_| format!("the value of the header \"{}\" is not valid", text()))?;
    headers.try_append(parsed, value).map_err(|_| "too many headers")?;
    Ok(())
}

/// What a completion is; the first byte of its frame.
#[derive(Clone, Copy)]
#[repr(u8)]
pub enum Kind {
    /// A response's head, with the whole body where it came along.
    Head = 1,
    /// A piece of a body, and whether it was the last.
    Chunk = 2,
    Failed = 3,
    /// The upload may go on.
    Writable = 4,
    /// A connection's TLS state, before the first head that names it.
    Connection = 5,
    ConnectionClosed = 6,
    /// The answer to `inspect`.
    Inspected = 7,
    /// A name to be looked up by the client's own function: the question's number, the family, the name.
    Lookup = 8,
    /// There is another batch to be taken.
    More = 9,
    /// A proxy that a looser policy let through.
    Proxy = 10,
}

/// Writes frames one behind the other.
#[derive(Default)]
pub struct Packed(Vec<u8>);

impl Packed {
    pub fn frame(&mut self, kind: Kind, id: u32) -> &mut Self {
        self.0.push(kind as u8);
        self.u32(id)
    }

    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.0.push(value);
        self
    }

    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// A length and the bytes. Longer than 4 GiB is cut, which nothing here can be.
    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
        self.u32(length);
        self.0.extend_from_slice(value.get(..length as usize).unwrap_or(value));
        self
    }

    /// As [`Self::bytes`], of what is in several parts.
    pub fn all(&mut self, parts: &[Bytes]) -> &mut Self {
        self.u32(u32::try_from(parts.iter().map(Bytes::len).sum::<usize>()).unwrap_or(u32::MAX));
        for part in parts {
            self.0.extend_from_slice(part);
        }
        self
    }

    /// The length of all of it first, so that a reader who wants none of them can pass over.
    pub fn headers(&mut self, headers: &HeaderMap) -> &mut Self {
        let start = self.0.len();
        self.u32(0);
        for (name, value) in headers {
            self.bytes(name.as_str().as_bytes()).bytes(value.as_bytes());
        }
        let length = u32::try_from(self.0.len() - start - 4).unwrap_or(u32::MAX);
        if let Some(place) = self.0.get_mut(start..start + 4) {
            place.copy_from_slice(&length.to_le_bytes());
        }
        self
    }

    pub fn append(&mut self, frames: &Self) {
        self.0.extend_from_slice(&frames.0);
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

//! Content codings (RFC 9110, 8.4), undone as the body comes in. Memory is bounded by the window of each coding, whatever
//! a server sends: 32 KiB for deflate, 16 MiB for Brotli without large windows, 8 MiB for Zstandard (RFC 9659).

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use bytes::{Buf as _, Bytes};
use flate2::{Decompress, FlushDecompress, Status};
use http::HeaderMap;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderValue, RANGE};
use zstd::stream::raw::{DParameter, Decoder as ZstdDecoder, Operation as _};

use crate::tls::{Failure, Phase};

use super::response::too_large;

/// What this client can undo.
const ACCEPTED: HeaderValue = HeaderValue::from_static("gzip, deflate, br, zstd");
/// A part of an encoded body cannot be decoded by itself.
const IDENTITY: HeaderValue = HeaderValue::from_static("identity");

/// Codings on top of each other, at most; as in undici.
const CODINGS: usize = 5;
/// Decoded bytes come in pieces of at most this size.
const PIECE: usize = 64 * 1024;
const WINDOW_BITS: u8 = 15;
const ZSTD_WINDOW_LOG: u32 = 23;

/// Asks for what can be decoded, unless the caller asked for something.
pub fn accept(headers: &mut HeaderMap) {
    if !headers.contains_key(ACCEPT_ENCODING) {
        let accepted = if headers.contains_key(RANGE) { IDENTITY } else { ACCEPTED };
        headers.insert(ACCEPT_ENCODING, accepted);
    }
}

/// A coding by its name in `content-encoding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
}

/// The decoder of one body.
pub struct Decoder {
    /// In the order in which they are undone.
    stages: Vec<Stage>,
}

impl Decoder {
    /// A decoder for what the head announces; `None` if that is nothing, or something unknown, which is then left as it is.
    ///
    /// # Errors
    /// More codings than anybody has use for.
    pub fn new(headers: &HeaderMap) -> Result<Option<Self>, Failure> {
        if !headers.contains_key(CONTENT_ENCODING) {
            return Ok(None);
        }
        let mut stages = Vec::new();
        for value in headers.get_all(CONTENT_ENCODING) {
            for name in value.to_str().unwrap_or("?").split(',').map(str::trim) {
                match Coding::parse(name) {
                    Ok(coding) => stages.extend(coding.map(Stage::new)),
                    Err(Unknown) => return Ok(None),
                }
            }
        }
        if stages.len() > CODINGS {
            let problem = format!("the body has more than {CODINGS} content codings");
            return Err(Failure::new("Z_DATA_ERROR", Phase::Body, problem));
        }
        stages.reverse();
        Ok((!stages.is_empty()).then_some(Self { stages }))
    }

    /// Takes encoded bytes in, once [`Self::decoded`] has nothing more.
    pub fn feed(&mut self, bytes: Bytes) {
        if let Some(first) = self.stages.first_mut() {
            first.input = bytes;
        }
    }

    /// No more bytes will come.
    pub fn end(&mut self) {
        if let Some(first) = self.stages.first_mut() {
            first.ended = true;
        }
    }

    /// The next decoded bytes; `None` when there are none without further input. No coding may make more than `most` bytes
    /// of what came: one may make a great many of few, and the next almost none of those.
    ///
    /// # Errors
    /// `ERR_HTTP_RESPONSE_TOO_LARGE` beyond that.
    /// `Z_DATA_ERROR` where the bytes are not what the head announced, `Z_BUF_ERROR` where they end too early.
    pub fn decoded(&mut self, most: u64) -> Result<Option<Bytes>, Failure> {
        pull(&mut self.stages, most)
    }

    /// Whether nothing is left to be decoded or to be found wrong.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.stages.iter().all(|stage| stage.input.is_empty() && stage.is_complete())
    }

    /// Bytes that stood behind the end of what was encoded; like zlib and browsers this ignores them.
    #[must_use]
    pub fn ignored(&self) -> u64 {
        self.stages.iter().map(|stage| stage.ignored).sum()
    }
}

fn pull(stages: &mut [Stage], most: u64) -> Result<Option<Bytes>, Failure> {
    let Some((last, before)) = stages.split_last_mut() else { return Ok(None) };
    loop {
        if let Some(bytes) = last.decode()? {
            last.produced += bytes.len() as u64;
            if last.produced > most {
                return Err(too_large("decoded to more than `maxExpansion` times its size"));
            }
            return Ok(Some(bytes));
        }
        let Some(bytes) = pull(before, most)? else {
            last.ended |= before.last().is_some_and(|before| before.ended);
            if last.ended && !last.is_complete() {
                return Err(last.coding.cut_off());
            }
            return Ok(None);
        };
        last.input = bytes;
    }
}

/// One coding of a body.
struct Stage {
    coding: Coding,
    codec: Option<Codec>,
    input: Bytes,
    /// There may be more output without more input.
    full: bool,
    /// No more input will come.
    ended: bool,
    at: At,
    produced: u64,
    ignored: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    /// Before the first byte: a body may be empty, whatever its head announces.
    Start,
    Within,
    /// Behind a gzip member or a zstd frame, where another may follow.
    Between,
    End,
}

impl Stage {
    fn new(coding: Coding) -> Self {
        Self {
            coding,
            codec: None,
            input: Bytes::new(),
            full: false,
            ended: false,
            at: At::Start,
            produced: 0,
            ignored: 0,
        }
    }

    fn is_complete(&self) -> bool {
        self.at != At::Within
    }

    fn decode(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            if self.at != At::Within {
                let Some(&first) = self.input.first() else { return Ok(None) };
                self.begin(first)?;
            }
            let Some(codec) = &mut self.codec else {
                self.ignored += self.input.len() as u64;
                self.input.clear();
                return Ok(None);
            };
            if self.input.is_empty() && !self.full {
                return Ok(None);
            }
            let mut output = vec![0; (4 * self.input.len()).clamp(PIECE / 32, PIECE)];
            let step = codec
                .step(&self.input, &mut output)
                .map_err(|cause| self.coding.invalid(&cause))?;
            self.input.advance(step.read);
            self.full = !step.end && step.written == output.len();
            if step.end {
                (self.codec, self.at) = (None, At::Between);
            } else if step.read == 0 && step.written == 0 {
                // Nothing is left inside; if there was input, it is none that can be read on.
                if !self.input.is_empty() {
                    return Err(self.coding.invalid(&"no progress"));
                }
                return Ok(None);
            }
            if step.written > 0 {
                output.truncate(step.written);
                return Ok(Some(output.into()));
            }
        }
    }

    /// Looks at the first byte of what follows.
    fn begin(&mut self, first: u8) -> Result<(), Failure> {
        let again = match self.coding {
            Coding::Gzip => first == 0x1f,
            // A frame, or one to be skipped.
            Coding::Zstd => first == 0x28 || first & 0xf0 == 0x50,
            Coding::Deflate | Coding::Brotli => false,
        };
        if self.at == At::Start || (self.at == At::Between && again) {
            self.codec =
                Some(Codec::new(self.coding, first).map_err(|cause| self.coding.invalid(&cause))?);
            self.at = At::Within;
        } else {
            self.at = At::End;
        }
        Ok(())
    }
}

/// A coding that this client does not know.
struct Unknown;

impl Coding {
    /// `Ok(None)` for no coding at all.
    fn parse(name: &str) -> Result<Option<Self>, Unknown> {
        Ok(Some(match name.to_ascii_lowercase().as_str() {
            "gzip" | "x-gzip" => Self::Gzip,
            "deflate" => Self::Deflate,
            "br" => Self::Brotli,
            "zstd" => Self::Zstd,
            "identity" | "" => return Ok(None),
            _ => return Err(Unknown),
        }))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    fn invalid(self, cause: &dyn std::fmt::Display) -> Failure {
        let problem = format!("the body is not valid {}", self.name());
        Failure::new("Z_DATA_ERROR", Phase::Body, problem).because(&cause.to_string())
    }

    fn cut_off(self) -> Failure {
        let problem = format!("the body ended before its {} was complete", self.name());
        Failure::new("Z_BUF_ERROR", Phase::Body, problem)
    }
}

/// A library's decoder.
enum Codec {
    Flate(Decompress),
    Brotli(Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>),
    Zstd(ZstdDecoder<'static>),
}

/// What a decoder did: bytes read and written, and whether it is at the end.
struct Step {
    read: usize,
    written: usize,
    end: bool,
}

impl Codec {
    fn new(coding: Coding, first: u8) -> std::io::Result<Self> {
        Ok(match coding {
            Coding::Gzip => Self::Flate(Decompress::new_gzip(WINDOW_BITS)),
            // RFC 9110 means zlib by it; some servers send it bare. A zlib header begins with the method, 8.
            Coding::Deflate => Self::Flate(Decompress::new(first & 0x0f == 8)),
            Coding::Brotli => {
                let alloc = StandardAlloc::default;
                Self::Brotli(Box::new(BrotliState::new_strict(alloc(), alloc(), alloc())))
            }
            Coding::Zstd => {
                let mut decoder = ZstdDecoder::new()?;
                decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG))?;
                Self::Zstd(decoder)
            }
        })
    }

    fn step(&mut self, input: &[u8], output: &mut [u8]) -> Result<Step, String> {
        match self {
            Self::Flate(decoder) => {
                let (read, written) = (decoder.total_in(), decoder.total_out());
                let status = decoder
                    .decompress(input, output, FlushDecompress::None)
                    .map_err(|error| error.to_string())?;
                Ok(Step {
                    read: usize::try_from(decoder.total_in() - read).unwrap_or(usize::MAX),
                    written: usize::try_from(decoder.total_out() - written).unwrap_or(usize::MAX),
                    end: status == Status::StreamEnd,
                })
            }
            Self::Brotli(state) => {
                let (mut read, mut written) = (0, 0);
                let (mut left, mut room) = (input.len(), output.len());
                let result = BrotliDecompressStream(
                    &mut left,
                    &mut read,
                    input,
                    &mut room,
                    &mut written,
                    output,
                    &mut 0,
                    state,
                );
                if matches!(result, BrotliResult::ResultFailure) {
                    return Err(format!("{:?}", state.error_code));
                }
                Ok(Step { read, written, end: matches!(result, BrotliResult::ResultSuccess) })
            }
            Self::Zstd(decoder) => {
                let status =
                    decoder.run_on_buffers(input, output).map_err(|error| error.to_string())?;
                Ok(Step {
                    read: status.bytes_read,
                    written: status.bytes_written,
                    end: status.remaining == 0,
                })
            }
        }
    }
}

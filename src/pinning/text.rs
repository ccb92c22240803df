//! The textual forms of a pin: one parser for every one of them.

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER_PERMISSIVE};

use super::error::{Invalid, hint};
use super::material::{self, Material};
use super::pin::{Algorithm, Pin, Role, Rule, Target};
use super::tlsa;

/// Reads one pin, or the several of curl's `sha256//A;sha256//B`.
///
/// | text | pin |
/// | --- | --- |
/// | `sha256/BASE64` (`OkHttp`), `sha256//BASE64` (curl), `pin-sha256="BASE64"` (RFC 7469), bare base64 | key |
/// | `spki:sha256:HEX`, `spki:sha512:HEX`, `cert:sha256:HEX`, `cert:sha512:HEX` | as named |
/// | `AA:BB:…`, `sha256 Fingerprint=AA:BB:…` (Node's and openssl's fingerprints) | certificate |
/// | `3 1 1 HEX` or a whole TLSA record (RFC 6698); the usage decides the role | as its selector says |
/// | PEM `PUBLIC KEY` or `CERTIFICATE REQUEST` | key, SHA-256 |
///
/// # Errors
///
/// Bare hex is ambiguous, SHA-1 and MD5 are broken, a digest of another length and base64 that is
/// not canonical (RFC 4648, section 3.5) are malformed, a PEM certificate does not say which of its
/// pins is meant, and a private key is a mistake. Each error says what to write instead.
pub fn parse_text(input: &str) -> Result<Vec<Rule>, Invalid> {
    let text = input.trim_ascii();
    if text.is_empty() {
        return Err(Invalid::new("the pin is empty", USUAL));
    }
    if text.contains("-----BEGIN") {
        return Ok(vec![anywhere(pem(text)?)]);
    }
    if let Some(rule) = tlsa::parse(text) {
        return Ok(vec![rule?]);
    }
    text.split(';').map(|part| one(part.trim_ascii()).map(anywhere)).collect()
}

const USUAL: &str = "write `sha256/` and the 44 characters of the key's base64 digest";

fn anywhere(pin: Pin) -> Rule {
    Rule { pin, role: Role::Any }
}

fn pem(text: &str) -> Result<Pin, Invalid> {
    match Material::parse(text.as_bytes())? {
        Material::Certificate(_) => Err(Invalid::new(
            "a certificate does not say whether it or its key is to be pinned",
            "give it as { certificate } to pin this very certificate, or as { publicKey } to pin its key, which \
             a renewal may keep",
        )),
        key => key.pin(Target::Spki, Algorithm::Sha256),
    }
}

fn one(text: &str) -> Result<Pin, Invalid> {
    if text.is_empty() {
        return Err(Invalid::new("a pin between semicolons is empty", "leave out the extra `;`"));
    }
    if let Some(value) = strip_prefix(text, "sha256/") {
        return okhttp_or_curl(value);
    }
    if let Some(value) = strip_prefix(text, "pin-sha256=") {
        return rfc7469(value);
    }
    if let Some(value) = strip_prefix(text, "sha512/") {
        return Err(sha512_base64(value.trim_start_matches('/')));
    }
    if let Some((target, rest)) = named_target(text) {
        return named(target, rest);
    }
    if let Some((label, digest)) = text.split_once('=')
        && let Some(name) = strip_suffix(label.trim_ascii(), " fingerprint")
    {
        let algorithm = algorithm(name)?;
        let digest = colon_hex(digest.trim_ascii()).ok_or_else(|| {
            Invalid::new(
                format!("{} is not a fingerprint", hint(text)),
                format!("write openssl's line as it is: `{algorithm} Fingerprint=AA:BB:…`"),
            )
        })?;
        return pin(Target::Certificate, algorithm, &digest);
    }
    if let Some(bytes) = colon_hex(text) {
        return fingerprint(&bytes);
    }
    bare(text)
}

/// The value after `sha256/`, which is base64 or curl's second slash and base64.
///
/// `/` is itself a base64 digit: only the length tells `sha256/` + `/…` from `sha256//` + `…`.
fn okhttp_or_curl(value: &str) -> Result<Pin, Invalid> {
    let length = BASE64.encode_len(Algorithm::Sha256.length());
    let value = match value.strip_prefix('/') {
        Some(rest) if value.len() != length => rest,
        _ => value,
    };
    pin(Target::Spki, Algorithm::Sha256, &base64(value)?)
}

/// The value of a `pin-sha256` directive: RFC 7469, section 2.1.1 has it in quotes.
fn rfc7469(value: &str) -> Result<Pin, Invalid> {
    let value =
        value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or_else(|| {
            Invalid::new("pin-sha256 without quotes", "write `pin-sha256=\"BASE64\"`")
        })?;
    pin(Target::Spki, Algorithm::Sha256, &base64(value)?)
}

fn sha512_base64(value: &str) -> Invalid {
    let digest = BASE64.decode(value.as_bytes()).ok();
    let digest = digest.and_then(|d| Pin::from_digest(Target::Spki, Algorithm::Sha512, &d));
    let text = digest.map_or_else(|| "spki:sha512:HEX".to_owned(), |pin| pin.to_string());
    Invalid::new("SHA-512 has no base64 form", format!("write `{text}`"))
}

fn named_target(text: &str) -> Option<(Target, &str)> {
    let spki = strip_prefix(text, "spki:").map(|rest| (Target::Spki, rest));
    spki.or_else(|| strip_prefix(text, "cert:").map(|rest| (Target::Certificate, rest)))
}

/// What follows `spki:` or `cert:`.
fn named(target: Target, rest: &str) -> Result<Pin, Invalid> {
    let (name, hex) = rest.split_once(':').ok_or_else(|| {
        Invalid::new(
            format!("a {target} pin names no algorithm"),
            format!("write `{target}:sha256:HEX`"),
        )
    })?;
    let algorithm = algorithm(name)?;
    let digest = HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).map_err(|_| {
        Invalid::new(
            format!("{} is not hexadecimal", hint(hex)),
            format!(
                "write `{target}:{algorithm}:` and {} hexadecimal digits, without colons",
                2 * algorithm.length()
            ),
        )
    })?;
    pin(target, algorithm, &digest)
}

fn algorithm(name: &str) -> Result<Algorithm, Invalid> {
    match name.to_ascii_lowercase().as_str() {
        "sha256" => Ok(Algorithm::Sha256),
        "sha512" => Ok(Algorithm::Sha512),
        "sha1" | "sha-1" => Err(broken("SHA-1")),
        "md5" => Err(broken("MD5")),
        _ => Err(Invalid::new(
            format!("{} is no digest for a pin", hint(name)),
            "use sha256 or sha512",
        )),
    }
}

/// A digest with nothing around it but colons: a certificate's fingerprint.
fn fingerprint(bytes: &[u8]) -> Result<Pin, Invalid> {
    let algorithm = match bytes.len() {
        64 => Algorithm::Sha512,
        _ => Algorithm::Sha256,
    };
    pin(Target::Certificate, algorithm, bytes)
}

/// A text that names neither target nor algorithm: base64 of a SHA-256, or a mistake.
fn bare(text: &str) -> Result<Pin, Invalid> {
    let hexadecimal = text.bytes().all(|b| b.is_ascii_hexdigit());
    match text.len() {
        64 if hexadecimal => Err(ambiguous_hex(text, Algorithm::Sha256)),
        128 if hexadecimal => Err(ambiguous_hex(text, Algorithm::Sha512)),
        40 if hexadecimal => Err(broken("SHA-1")),
        32 if hexadecimal => Err(broken("MD5")),
        44 if text.ends_with('=') => pin(Target::Spki, Algorithm::Sha256, &base64(text)?),
        _ => Err(unknown(text)),
    }
}

/// The error for a text in none of the known forms: the nearest good advice.
fn unknown(text: &str) -> Invalid {
    let name = text.strip_prefix("pin-").unwrap_or(text);
    let name: String =
        name.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    match algorithm(&name) {
        // `sha256:…`, `sha256-…`: it is the target that is missing.
        Ok(algorithm) => Invalid::new(
            format!("{} does not say whether a key or a certificate is pinned", hint(text)),
            format!("write `spki:{algorithm}:HEX` or `cert:{algorithm}:HEX`"),
        ),
        Err(weak) if weak.problem.ends_with(BROKEN) => weak,
        Err(_) => unknown_base64(text)
            .unwrap_or_else(|| Invalid::new(format!("{} is not a pin", hint(text)), USUAL)),
    }
}

/// The error for base64 of something else than a SHA-256 digest. A bare private key must not be
/// repeated.
fn unknown_base64(text: &str) -> Option<Invalid> {
    let text: String = text.split_ascii_whitespace().collect();
    let bytes = BASE64.decode(text.as_bytes()).ok()?;
    match (bytes.len(), Material::parse(&bytes)) {
        (64, _) => Some(sha512_base64(&text)),
        (20, _) => Some(broken("SHA-1")),
        (16, _) => Some(broken("MD5")),
        (_, Ok(_)) => Some(Invalid::new(
            "this is a certificate, key or request itself, not its digest",
            "give it as PEM or DER",
        )),
        (_, Err(error)) if error == material::private_key() => Some(error),
        _ => None,
    }
}

/// The pin with this digest.
///
/// # Errors
///
/// The digest's length is not the algorithm's.
pub(super) fn pin(target: Target, algorithm: Algorithm, digest: &[u8]) -> Result<Pin, Invalid> {
    Pin::from_digest(target, algorithm, digest).ok_or_else(|| match digest.len() {
        20 => broken("SHA-1"),
        16 => broken("MD5"),
        length => Invalid::new(
            format!("the digest has {length} bytes, {algorithm} has {}", algorithm.length()),
            "copy the whole digest",
        ),
    })
}

/// The bytes of canonical base64.
pub(super) fn base64(text: &str) -> Result<Vec<u8>, Invalid> {
    BASE64.decode(text.as_bytes()).map_err(|_| {
        let unpadded = text.trim_end_matches('=');
        let fix = match BASE64URL_NOPAD.decode(unpadded.as_bytes()) {
            Ok(bytes) => format!("write `{}`", BASE64.encode(&bytes)),
            Err(_) => match BASE64.decode(format!("{unpadded}=").as_bytes()) {
                Ok(bytes) => format!("write `{}`", BASE64.encode(&bytes)),
                Err(_) => "copy the whole digest: 44 characters, the last of them `=`".to_owned(),
            },
        };
        Invalid::new(format!("{} is not canonical base64", hint(text)), fix)
    })
}

/// The bytes of `AA:BB:…`, at least two.
fn colon_hex(text: &str) -> Option<Vec<u8>> {
    let octets = text.contains(':') && text.split(':').all(|octet| octet.len() == 2);
    let hex = text.replace(':', "");
    HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok().filter(|_| octets)
}

const BROKEN: &str = "is broken: two keys can be made to share a digest";

fn broken(algorithm: &str) -> Invalid {
    Invalid::new(
        format!("{algorithm} {BROKEN}"),
        "take the SHA-256 digest of the same key or certificate",
    )
}

fn ambiguous_hex(hex: &str, algorithm: Algorithm) -> Invalid {
    let hex = hex.to_ascii_lowercase();
    Invalid::new(
        "bare hexadecimal does not say whether a key or a certificate is pinned",
        format!("write `spki:{algorithm}:{hex}` or `cert:{algorithm}:{hex}`"),
    )
}

/// As `str::strip_prefix`; names of algorithms and directives are case-insensitive.
fn strip_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

fn strip_suffix<'a>(text: &'a str, suffix: &str) -> Option<&'a str> {
    let (rest, end) = text.split_at_checked(text.len().checked_sub(suffix.len())?)?;
    end.eq_ignore_ascii_case(suffix).then_some(rest)
}

#[cfg(test)]
#[path = "text_tests.rs"]
pub(super) mod tests;

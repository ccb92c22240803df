//! The first line of what a client has given away, to recognise it by. What may be a secret is left out: a report is read
//! by more people than a request.

/// So much is looked at.
pub const LOOKED_AT: usize = 1024;
/// A part of a path may be this long; a longer one may be a token.
const PLAIN: usize = 16;

/// What `bytes` begin with, as a reader knows it. Never a value: neither a query nor a word after the first of a line.
#[must_use]
pub fn shown(bytes: &[u8]) -> String {
    if bytes.starts_with(b"PRI * HTTP/2.0\r\n") {
        return "an HTTP/2 request".into();
    }
    if bytes.get(4..8) == Some([0, 3, 0, 0].as_slice()) {
        return "a login of PostgreSQL".into();
    }
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let Ok(line) = str::from_utf8(line) else { return "binary".into() };
    if let Some(request) = http(line) {
        return request;
    }
    let word = line.split(' ').next().unwrap_or_default();
    let is_command =
        (2..=PLAIN).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_uppercase());
    match (is_command, word.len() == line.len()) {
        (true, true) => word.into(),
        (true, false) => format!("{word} …"),
        (false, _) => "binary".into(),
    }
}

/// The host of a request that is for an `https:` URL, in the form for proxies (RFC 9112, section 3.2.2).
#[must_use]
pub fn secure_host(bytes: &[u8]) -> Option<&str> {
    let line = bytes.get(..bytes.len().min(LOOKED_AT))?.split(|byte| *byte == b'\r').next()?;
    let (method, target) = str::from_utf8(line).ok()?.split_once(' ')?;
    let (scheme, authority, _) = absolute(target)?;
    if !is_method(method) || scheme != "https" {
        return None;
    }
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.strip_prefix('[') {
        Some(address) => address.split(']').next()?,
        None => host.split(':').next()?,
    };
    (!host.is_empty()).then_some(host)
}

/// The scheme, the authority and the rest of a target in that form.
fn absolute(target: &str) -> Option<(&'static str, &str, &str)> {
    ["http", "https"].into_iter().find_map(|scheme| {
        let rest = target.strip_prefix(scheme)?.strip_prefix("://")?;
        let (authority, path) = rest.split_at(rest.find(['/', '?', ' ']).unwrap_or(rest.len()));
        Some((scheme, authority, path))
    })
}

fn is_method(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-')
}

/// A request line of HTTP/1.
fn http(line: &str) -> Option<String> {
    let mut parts = line.splitn(3, ' ');
    let (method, target) = (parts.next()?, parts.next()?);
    // Cut off where the line is longer than what is looked at.
    let version = parts.next().unwrap_or("HTTP/1.1");
    if !is_method(method) || !version.starts_with("HTTP/1.") || version.len() > 8 {
        return None;
    }
    let (origin, target) = match absolute(target) {
        Some((scheme, _, path)) => (format!("{scheme}://…"), path),
        None => (String::new(), target),
    };
    let (path, query) = target.split_once('?').map_or((target, ""), |(path, _)| (path, "?…"));
    let path = path.strip_prefix('/')?;
    let parts: Vec<_> =
        path.split('/').map(|part| if is_plain(part) { part } else { "…" }).collect();
    Some(format!("{method} {origin}/{}{query} {version}", parts.join("/")))
}

fn is_plain(part: &str) -> bool {
    let is_usual = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b'~');
    part.len() <= PLAIN && part.bytes().all(is_usual)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_a_secret_is_left_out() {
        for (bytes, expected) in [
            (b"GET / HTTP/1.1\r\nauthorization: Bearer x\r\n".as_slice(), "GET / HTTP/1.1"),
            (b"POST /v1/items?key=secret HTTP/1.1\r\n", "POST /v1/items?… HTTP/1.1"),
            (b"GET /bot123:abcDEF/send HTTP/1.1\r\n", "GET /…/send HTTP/1.1"),
            (b"GET /a/0123456789abcdef0/x HTTP/1.1\r\n", "GET /a/…/x HTTP/1.1"),
            (b"GET /%73ecret HTTP/1.0\r\n", "GET /… HTTP/1.0"),
            (b"M-SEARCH /x HTTP/1.1", "M-SEARCH /x HTTP/1.1"),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "an HTTP/2 request"),
            (b"\0\0\0\x29\0\x03\0\0user\0app\0", "a login of PostgreSQL"),
            (b"EHLO host\r\n", "EHLO …"),
            (b"AUTH PLAIN AHVzZXI=\r\n", "AUTH …"),
            (b"QUIT\r\n", "QUIT"),
            (b"hunter2\r\n", "binary"),
            (b"GET http://user:password@host/a/%20?b HTTP/1.1\r\n", "GET http://…/a/…?… HTTP/1.1"),
            (b"GET https://host HTTP/1.1\r\n", "GET …"),
            (b"*1\r\n$4\r\nPING\r\n", "binary"),
            (b"\xff\xfe", "binary"),
            (b"", "binary"),
        ] {
            assert_eq!(shown(bytes), expected);
        }
    }

    #[test]
    fn a_request_for_an_https_url_has_the_host_that_was_to_be_asked_in_secret() {
        for (bytes, expected) in [
            (b"GET https://a.test/ HTTP/1.1\r\n".as_slice(), Some("a.test")),
            (b"POST https://a.test:8443/x?y HTTP/1.1\r\nhost: b.test\r\n", Some("a.test")),
            (b"GET https://user:pass@a.test?x HTTP/1.1\r\n", Some("a.test")),
            (b"GET https://[::1]:443/ HTTP/1.1\r\n", Some("::1")),
            (b"GET https://a.test", Some("a.test")),
            (b"GET https:/// HTTP/1.1\r\n", None),
            (b"GET http://a.test/ HTTP/1.1\r\n", None),
            (b"GET /https://a.test/ HTTP/1.1\r\n", None),
            (b"CONNECT a.test:443 HTTP/1.1\r\n", None),
            (b"https://a.test/", None),
            (b"say https://a.test/", None),
            (b"\xff https://a.test/", None),
            (b"", None),
        ] {
            assert_eq!(secure_host(bytes), expected);
        }
    }

    #[test]
    fn a_line_that_is_cut_off_shows_no_half_of_a_token() {
        let long = [b"GET /".as_slice(), &[b'a'; LOOKED_AT]].concat();
        assert_eq!(shown(long.get(..LOOKED_AT).unwrap()), "GET /… HTTP/1.1");
    }
}

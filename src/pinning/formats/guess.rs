//! Which format a text is in, where its words leave no doubt.

use super::super::error::Invalid;
use super::{Format, records};

/// The format of a text.
pub(super) fn guess(text: &str) -> Result<Format, Invalid> {
    let has = |word: &str| text.contains(word);
    let data = text.trim_start_matches('\u{feff}').trim_start();
    let signs = [
        (
            Format::TrustKit,
            has("TSKPinnedDomains") || has("TSKPublicKeyHashes") || has("\"publicKeyHashes\""),
        ),
        (Format::Apple, has("NSPinnedDomains")),
        (
            Format::Android,
            data.starts_with('<') && (has("network-security-config") || has("<pin-set")),
        ),
        (Format::OkHttp, has("CertificatePinner") || has(".add(")),
        (Format::Hpkp, has("pin-sha256=\"") && has(";") && !data.starts_with(['{', '[', '"'])),
        (
            Format::Curl,
            has("--pinnedpubkey") || data.trim_start_matches(['\'', '"']).starts_with("sha256//"),
        ),
        (Format::Tlsa, !data.starts_with(['{', '[']) && data.lines().any(is_record)),
    ];
    let mut found = signs.iter().filter(|(_, is)| *is).map(|(format, _)| *format);
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one),
        (None, _) if data.starts_with(['{', '[', '"']) => Ok(Format::Policy),
        (Some(one), Some(other)) => Err(Invalid::new(
            format!("it could be in the format {one} or {other}"),
            "say with --from which one is meant",
        )),
        (None, _) => Err(Invalid::new(
            "it is in none of the known formats",
            "say with --from which one it is; tls-pinning convert --help lists them",
        )),
    }
}

fn is_record(line: &str) -> bool {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    records::is_data(&words) || words.contains(&"TLSA")
}

//! The protocols of lines: SMTP, FTP, IMAP, POP3.

use hyper::rt::{Read, Write};

use super::super::failure::Failure;
use super::talk::Talk;

/// An address that says nothing of this machine (RFC 5321, 4.1.3).
const EHLO: &[u8] = b"EHLO [127.0.0.1]\r\n";

pub async fn smtp<IO: Read + Write + Unpin>(talk: &mut Talk<'_, IO>) -> Result<(), Failure> {
    reply(talk, "220").await?;
    talk.say(EHLO).await?;
    let extensions = reply(talk, "250").await?;
    // The first line is a greeting.
    let offers = extensions.iter().skip(1).filter_map(|line| line.get(4..));
    if !offers.into_iter().any(|keyword| keyword.trim().eq_ignore_ascii_case("STARTTLS")) {
        return Err(talk.refused("STARTTLS is not among the extensions that it offers"));
    }
    talk.say(b"STARTTLS\r\n").await?;
    reply(talk, "220").await.map(drop)
}

pub async fn ftp<IO: Read + Write + Unpin>(talk: &mut Talk<'_, IO>) -> Result<(), Failure> {
    reply(talk, "220").await?;
    talk.say(b"AUTH TLS\r\n").await?;
    reply(talk, "234").await.map(drop)
}

pub async fn imap<IO: Read + Write + Unpin>(talk: &mut Talk<'_, IO>) -> Result<(), Failure> {
    let greeting = talk.line().await?;
    match word(&greeting, 1).as_str() {
        "OK" if greeting.starts_with("* ") => {}
        // Authenticated already, where STARTTLS is not allowed, or not served at all.
        "PREAUTH" | "BYE" if greeting.starts_with("* ") => return Err(talk.refused(&greeting)),
        _ => return Err(talk.unexpected(&greeting)),
    }
    talk.say(b"a1 STARTTLS\r\n").await?;
    loop {
        let line = talk.line().await?;
        let status = word(&line, 1);
        match word(&line, 0).as_str() {
            "*" if status == "BYE" => return Err(talk.refused(&line)),
            // Untagged: not the answer.
            "*" => {}
            "A1" if status == "OK" => return Ok(()),
            "A1" if matches!(status.as_str(), "NO" | "BAD") => return Err(talk.refused(&line)),
            _ => return Err(talk.unexpected(&line)),
        }
    }
}

pub async fn pop3<IO: Read + Write + Unpin>(talk: &mut Talk<'_, IO>) -> Result<(), Failure> {
    status(talk).await?;
    talk.say(b"STLS\r\n").await?;
    status(talk).await
}

async fn status<IO: Read + Write + Unpin>(talk: &mut Talk<'_, IO>) -> Result<(), Failure> {
    let line = talk.line().await?;
    match word(&line, 0).as_str() {
        "+OK" => Ok(()),
        "-ERR" => Err(talk.refused(&line)),
        _ => Err(talk.unexpected(&line)),
    }
}

/// A reply of SMTP or FTP with this code; several lines where a hyphen follows it (RFC 5321, 4.2.1; RFC 959, 4.2).
async fn reply<IO: Read + Write + Unpin>(
    talk: &mut Talk<'_, IO>,
    wanted: &str,
) -> Result<Vec<String>, Failure> {
    let first = talk.line().await?;
    let code = match first.get(..3) {
        Some(code) if code.bytes().all(|byte| byte.is_ascii_digit()) => code.to_owned(),
        _ => return Err(talk.unexpected(&first)),
    };
    let is_last = |line: &str| {
        line.strip_prefix(&code).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    };
    let mut lines = vec![first];
    if !lines.iter().any(|line| is_last(line)) {
        if !lines.iter().any(|line| line.as_bytes().get(3) == Some(&b'-')) {
            return Err(talk.unexpected(&lines.concat()));
        }
        loop {
            let line = talk.line().await?;
            let last = is_last(&line);
            lines.push(line);
            if last {
                break;
            }
        }
    }
    if code == wanted {
        return Ok(lines);
    }
    // 4xx and 5xx say no; others are what nobody has asked for.
    let said = lines.join(" ");
    Err(if code.starts_with(['4', '5']) { talk.refused(&said) } else { talk.unexpected(&said) })
}

/// In upper case; empty where there is none.
fn word(line: &str, at: usize) -> String {
    line.split(' ').nth(at).unwrap_or_default().to_ascii_uppercase()
}

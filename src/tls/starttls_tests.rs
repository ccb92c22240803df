//! What servers say before TLS, as tables: what is said to them, what is taken for a go-ahead and what is not.

use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

use super::starttls::StartTls::{self, Ftp, Imap, Ldap, Mysql, Pop3, Postgres, Smtp, Xmpp};

/// Speaks with a server that says each of these as an answer: the first at once if it greets, the next when something has
/// been said to it. Then it closes. What was said to it is returned too.
async fn speak(protocol: StartTls, says: &[&[u8]], greets: bool) -> (Result<(), String>, Vec<u8>) {
    speak_in_pieces(protocol, says, greets, usize::MAX).await
}

async fn speak_in_pieces(
    protocol: StartTls,
    says: &[&[u8]],
    greets: bool,
    most: usize,
) -> (Result<(), String>, Vec<u8>) {
    let (near, mut far) = duplex(64 * 1024);
    let server = async {
        let mut heard = Vec::new();
        for (index, says) in says.iter().enumerate() {
            if index > 0 || !greets {
                let mut chunk = [0; 1024];
                let count = far.read(&mut chunk).await.unwrap();
                heard.extend_from_slice(&chunk[..count]);
            }
            for piece in says.chunks(most) {
                let _ = far.write_all(piece).await;
                // So that the other side reads it before the next is there.
                tokio::task::yield_now().await;
            }
        }
        let _ = far.shutdown().await;
        let _ = far.read_to_end(&mut heard).await;
        heard
    };
    let client = async {
        let mut near = TokioIo::new(near);
        protocol.speak(&mut near, "a.example").await.map_err(|failure| failure.code.to_string())
    };
    tokio::join!(client, server)
}

fn mysql(capabilities: u16) -> Vec<u8> {
    let mut body = b"\x0a8.0.36\0\x01\0\0\0nonce678\0".to_vec();
    body.extend(capabilities.to_le_bytes());
    body.extend(b"\x2d\x02\0\xff\xc1\x15more");
    let length = u8::try_from(body.len()).unwrap();
    [vec![length, 0, 0, 0], body].concat()
}

const FEATURES: &[u8] = b"<?xml version='1.0'?><stream:stream from='a>b' xmlns='jabber:client'>\
    <stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>";
const PROCEED: &[u8] = b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
const LDAP_OK: &[u8] = b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00";
/// With lengths of four bytes, as Active Directory writes them, and the name of the operation.
const LDAP_OK_LONG: &[u8] =
    b"\x30\x84\x00\x00\x00\x28\x02\x01\x01\x78\x84\x00\x00\x00\x1f\x0a\x01\x00\x04\x00\x04\x00\x8a\x16\
      1.3.6.1.4.1.1466.20037";

/// Go-aheads, each with whether the server greets.
fn well() -> Vec<(StartTls, bool, Vec<Vec<u8>>)> {
    let table: &[(StartTls, bool, &[&[u8]])] = &[
        (
            Smtp,
            true,
            &[b"220 mx ESMTP\r\n", b"250-mx\r\n250-SIZE 1\r\n250 STARTTLS\r\n", b"220 go\r\n"],
        ),
        (
            Smtp,
            true,
            &[b"220-wait\r\n220 mx\r\n", b"250-mx\r\n250-starttls\r\n250 HELP\r\n", b"220\r\n"],
        ),
        (Imap, true, &[b"* OK ready\r\n", b"* CAPABILITY IMAP4rev1\r\na1 OK begin\r\n"]),
        (Imap, true, &[b"* ok ready\n", b"A1 ok begin\n"]),
        (Pop3, true, &[b"+OK\r\n", b"+OK begin\r\n"]),
        (Ftp, true, &[b"220-hello\r\nany text\r\n220 ready\r\n", b"234 go\r\n"]),
        (Postgres, false, &[b"S"]),
        (Ldap, false, &[LDAP_OK]),
        (Ldap, false, &[LDAP_OK_LONG]),
        (Xmpp, false, &[FEATURES, PROCEED]),
        (
            Xmpp,
            false,
            &[FEATURES, b"<proceed xmlns=\"urn:ietf:params:xml:ns:xmpp-tls\"></proceed>"],
        ),
    ];
    let owned = |says: &[&[u8]]| says.iter().map(|says| says.to_vec()).collect();
    let mut rows: Vec<_> =
        table.iter().map(|(protocol, greets, says)| (*protocol, *greets, owned(says))).collect();
    rows.push((Mysql, true, vec![mysql(0x0a00)]));
    rows
}

#[tokio::test]
async fn a_go_ahead_is_taken() {
    for (protocol, greets, says) in well() {
        let says: Vec<&[u8]> = says.iter().map(Vec::as_slice).collect();
        let (result, heard) = speak(protocol, &says, greets).await;
        assert_eq!(result, Ok(()), "{protocol:?} {says:?}");
        assert!(!heard.is_empty());
    }
}

#[tokio::test]
async fn plaintext_behind_the_go_ahead_is_refused() {
    for (protocol, greets, mut says) in well() {
        for extra in [b"250 injected\r\n".as_slice(), b"x", b"\n", b" "] {
            let last = says.len() - 1;
            let before = says[last].len();
            says[last].extend_from_slice(extra);
            let given: Vec<&[u8]> = says.iter().map(Vec::as_slice).collect();
            let (result, _) = speak(protocol, &given, greets).await;
            assert_eq!(result, Err("ERR_STARTTLS_INJECTION".to_owned()), "{protocol:?} {extra:?}");
            says[last].truncate(before);
        }
    }
}

#[tokio::test]
async fn an_answer_before_the_question_is_refused() {
    for (protocol, greets, says) in well().into_iter().filter(|(_, _, says)| says.len() > 1) {
        let together = says.concat();
        let (result, _) = speak(protocol, &[&together], greets).await;
        assert_eq!(result, Err("ERR_STARTTLS_INJECTION".to_owned()), "{protocol:?}");
    }
}

#[tokio::test]
async fn a_byte_at_a_time_is_the_same() {
    for (protocol, greets, says) in well() {
        let says: Vec<&[u8]> = says.iter().map(Vec::as_slice).collect();
        let (result, _) = speak_in_pieces(protocol, &says, greets, 1).await;
        assert_eq!(result, Ok(()), "{protocol:?}");
    }
}

proptest! {
    #[test]
    fn whatever_a_server_says_is_an_answer_or_an_error(
        which in 0..9_usize,
        says in prop::collection::vec(any::<u8>(), 0..200),
        cut in any::<prop::sample::Index>(),
        noise in any::<u8>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (name, _) = StartTls::ports().nth(which).unwrap();
            let protocol = StartTls::parse(name).unwrap();
            let greets = matches!(protocol, Smtp | Imap | Pop3 | Ftp | Mysql);
            let _ = speak(protocol, &[&says], greets).await;
            // A go-ahead with one byte changed, and one that is cut off.
            for (protocol, greets, says) in well() {
                for change in [true, false] {
                    let mut says = says.clone();
                    let last = says.last_mut().unwrap();
                    let at = cut.index(last.len());
                    if change { last[at] ^= noise } else { last.truncate(at) }
                    let says: Vec<&[u8]> = says.iter().map(Vec::as_slice).collect();
                    let (result, _) = speak(protocol, &says, greets).await;
                    if !change {
                        assert!(result.is_err(), "{protocol:?} {says:?}");
                    }
                }
            }
        });
    }
}

#[tokio::test]
async fn a_no_is_told_apart_from_what_is_not_the_protocol() {
    const NO: &str = "ERR_STARTTLS_REFUSED";
    const OTHER: &str = "EPROTO";
    const GONE: &str = "ECONNRESET";
    let without_tls = mysql(0x0200);
    let table: &[(StartTls, bool, &[&[u8]], &str)] = &[
        (Smtp, true, &[b"554 no service\r\n"], NO),
        (Smtp, true, &[b"220 mx\r\n", b"250-mx\r\n250 SIZE\r\n"], NO),
        // The greeting of the answer is no extension.
        (Smtp, true, &[b"220 mx\r\n", b"250 STARTTLS\r\n"], NO),
        (Smtp, true, &[b"220 mx\r\n", b"250-mx\r\n250 STARTTLSX\r\n"], NO),
        (Smtp, true, &[b"220 mx\r\n", b"250-mx\r\n250 STARTTLS\r\n", b"454 not now\r\n"], NO),
        (Smtp, true, &[b"220 mx\r\n", b"250-mx\r\n250 STARTTLS\r\n", b"250 ok\r\n"], OTHER),
        (Smtp, true, &[b"220mx\r\n"], OTHER),
        (Smtp, true, &[b"\r\n"], OTHER),
        (Smtp, true, &[b"\xff\xfe\xfd\r\n"], OTHER),
        (Smtp, true, &[b"HTTP/1.1 400 Bad Request\r\n\r\n"], OTHER),
        (Smtp, true, &[b""], GONE),
        (Smtp, true, &[b"220 mx"], GONE),
        (Smtp, true, &[b"220-mx\r\n221 other\r\n"], GONE),
        (Imap, true, &[b"* PREAUTH hello\r\n"], NO),
        (Imap, true, &[b"* BYE\r\n"], NO),
        (Imap, true, &[b"+ OK\r\n"], OTHER),
        (Imap, true, &[b"* OK\r\n", b"a1 NO\r\n"], NO),
        (Imap, true, &[b"* OK\r\n", b"a1 BAD\r\n"], NO),
        (Imap, true, &[b"* OK\r\n", b"* BYE\r\n"], NO),
        (Imap, true, &[b"* OK\r\n", b"a2 OK\r\n"], OTHER),
        (Imap, true, &[b"* OK\r\n", b"a1 OKAY\r\n"], OTHER),
        (Pop3, true, &[b"+OK\r\n", b"-ERR no\r\n"], NO),
        (Pop3, true, &[b"-ERR no\r\n"], NO),
        (Pop3, true, &[b"+OKAY\r\n"], OTHER),
        (Ftp, true, &[b"220 x\r\n", b"530 login first\r\n"], NO),
        (Ftp, true, &[b"220 x\r\n", b"334 data\r\n"], OTHER),
        (Postgres, false, &[b"N"], NO),
        (Postgres, false, &[b"E\0\0\0\x15SFATAL\0Mtoo many\0\0\0"], NO),
        (Postgres, false, &[b"E\xff\xff\xff\xff"], GONE),
        (Postgres, false, &[b"H"], OTHER),
        (Postgres, false, &[b""], GONE),
        (Mysql, true, &[&without_tls], NO),
        (Mysql, true, &[b"\x0a\0\0\0\xff\x15\x04blocked"], NO),
        (Mysql, true, &[b"\x01\0\0\0\x0a"], OTHER),
        (Mysql, true, &[b"\0\0\0\0"], OTHER),
        (Mysql, true, &[b"\x05\0\0\x01\x0a1\0\0\0"], OTHER),
        (Ldap, false, &[b"\x30\x0f\x02\x01\x01\x78\x0a\x0a\x01\x02\x04\x00\x04\x03no!"], NO),
        // A notice of disconnection, and one that claims success.
        (Ldap, false, &[b"\x30\x0c\x02\x01\x00\x78\x07\x0a\x01\x34\x04\x00\x04\x00"], NO),
        (Ldap, false, &[b"\x30\x0c\x02\x01\x00\x78\x07\x0a\x01\x00\x04\x00\x04\x00"], OTHER),
        // The answer to another request; a bind's answer; a primitive.
        (Ldap, false, &[b"\x30\x0c\x02\x01\x02\x78\x07\x0a\x01\x00\x04\x00\x04\x00"], OTHER),
        (Ldap, false, &[b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00"], OTHER),
        (Ldap, false, &[b"\x04\x02\x01\x01"], OTHER),
        (Ldap, false, &[b"\x30\x84\xff\xff\xff\xff"], GONE),
        (Xmpp, false, &[b"<stream:stream><stream:features><bind/></stream:features>"], NO),
        (Xmpp, false, &[b"<stream:stream><stream:features/>"], NO),
        (
            Xmpp,
            false,
            &[b"<stream:stream><stream:features><starttls xmlns='other'/></stream:features>"],
            NO,
        ),
        (Xmpp, false, &[b"<stream:stream><stream:error><host-unknown/>"], NO),
        (Xmpp, false, &[FEATURES, b"<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"], NO),
        (Xmpp, false, &[FEATURES, b"<proceed/>"], OTHER),
        (Xmpp, false, &[FEATURES, b"<message/>"], OTHER),
        (Xmpp, false, &[b"<html><body>"], OTHER),
        (Xmpp, false, &[b"220 mx\r\n"], GONE),
    ];
    for (protocol, greets, says, code) in table {
        let (result, _) = speak(*protocol, says, *greets).await;
        let shown: Vec<_> = says.iter().map(|says| String::from_utf8_lossy(says)).collect();
        assert_eq!(result, Err((*code).to_owned()), "{protocol:?} {shown:?}");
    }
}

#[tokio::test]
async fn what_has_no_end_is_cut_off() {
    let endless = vec![b'2'; 64 * 1024];
    let packet = [b"\xff\xff\xff\0".as_slice(), &endless].concat();
    let ldap = [b"\x30\x84\x7f\xff\xff\xff".as_slice(), &endless].concat();
    let xmpp = [b"<".as_slice(), &endless].concat();
    let postgres = [b"E\x7f\xff\xff\xff".as_slice(), &endless].concat();
    let lines = b"220-x\r\n".repeat(10_000);
    for (protocol, greets, says) in [
        (Smtp, true, &endless),
        (Smtp, true, &lines),
        (Imap, true, &endless),
        (Pop3, true, &endless),
        (Ftp, true, &endless),
        (Postgres, false, &postgres),
        (Mysql, true, &packet),
        (Ldap, false, &ldap),
        (Xmpp, false, &xmpp),
    ] {
        let (result, _) = speak(protocol, &[says], greets).await;
        assert_eq!(result, Err("EPROTO".to_owned()), "{protocol:?}");
    }
}

#[tokio::test]
async fn nothing_but_the_preamble_is_said() {
    let says: Vec<Vec<u8>> = vec![mysql(0x0a00)];
    let (_, heard) = speak(Mysql, &[&says[0]], true).await;
    assert_eq!(heard.len(), 36);
    assert_eq!(heard[..8], [32, 0, 0, 1, 0x00, 0x8a, 0, 0]);
    let (_, heard) = speak(Ldap, &[LDAP_OK], false).await;
    assert_eq!(heard, b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037");
    let (_, heard) = speak(Postgres, &[b"S"], false).await;
    assert_eq!(heard, [0, 0, 0, 8, 4, 210, 22, 47]);
    let (_, heard) = speak(Imap, &[b"* OK\r\n", b"a1 OK\r\n"], true).await;
    assert_eq!(heard, b"a1 STARTTLS\r\n");
}

#[test]
fn each_name_has_a_port() {
    for (name, port) in StartTls::ports() {
        assert!(StartTls::parse(name).is_ok(), "{name}");
        assert!(port > 0);
    }
    assert_eq!(StartTls::parse("SMTP").unwrap_err().code, "ERR_INVALID_ARG_VALUE");
}

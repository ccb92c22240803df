//! What is spoken in the clear before TLS begins, by protocol.
//!
//! It ends where the server's go-ahead ends, to the byte. What a server, or whoever is in between, sends in the clear
//! after it is an error and never becomes part of what TLS carries (STARTTLS injection, CVE-2011-0411, CVE-2021-23222).

use hyper::rt::{Read, Write};

use super::failure::{Failure, Phase};

mod lines;
mod packets;
mod talk;
mod xmpp;

use talk::Talk;

/// A protocol whose connections begin in the clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartTls {
    /// RFC 3207.
    Smtp,
    /// RFC 9051, 6.2.1.
    Imap,
    /// RFC 2595, 4.
    Pop3,
    /// RFC 4217: `AUTH TLS`.
    Ftp,
    /// `SSLRequest` (PostgreSQL, "Message Flow", "SSL Session Encryption").
    Postgres,
    /// `Protocol::SSLRequest` of MySQL and MariaDB.
    Mysql,
    /// RFC 4511, 4.14.
    Ldap,
    /// RFC 6120, 5, as a client.
    Xmpp,
    /// RFC 6120, 5, as another server.
    XmppServer,
}

/// Names, ports that IANA has given, and what they are called in messages.
const ALL: [(StartTls, &str, u16, &str); 9] = [
    (StartTls::Smtp, "smtp", 25, "SMTP"),
    (StartTls::Imap, "imap", 143, "IMAP"),
    (StartTls::Pop3, "pop3", 110, "POP3"),
    (StartTls::Ftp, "ftp", 21, "FTP"),
    (StartTls::Postgres, "postgres", 5432, "PostgreSQL"),
    (StartTls::Mysql, "mysql", 3306, "MySQL"),
    (StartTls::Ldap, "ldap", 389, "LDAP"),
    (StartTls::Xmpp, "xmpp", 5222, "XMPP"),
    (StartTls::XmppServer, "xmpp-server", 5269, "XMPP"),
];

impl StartTls {
    /// # Errors
    /// `ERR_INVALID_ARG_VALUE`, with the names there are.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        ALL.iter().find(|(_, name, ..)| *name == text).map(|(protocol, ..)| *protocol).ok_or_else(
            || {
                let names: Vec<_> = ALL.iter().map(|(_, name, ..)| *name).collect();
                let message = format!("starttls must be one of {}", names.join(", "));
                Failure::new("ERR_INVALID_ARG_VALUE", Phase::Policy, message)
            },
        )
    }

    /// Each name, and the port where a target names none.
    pub fn ports() -> impl Iterator<Item = (&'static str, u16)> {
        ALL.iter().map(|(_, name, port, _)| (*name, *port))
    }

    fn title(self) -> &'static str {
        ALL.iter().find(|(protocol, ..)| *protocol == self).map_or("", |(.., title)| title)
    }

    /// Speaks with the server until the next byte has to be TLS. `host` is whom XMPP asks for.
    ///
    /// # Errors
    /// `ERR_STARTTLS_REFUSED` with the server's line; `ERR_STARTTLS_INJECTION` for what comes in the clear where nothing
    /// may come; `EPROTO` for what is not the protocol, or is more than [`talk::MOST`]; `ECONNRESET`.
    pub async fn speak<IO>(self, io: &mut IO, host: &str) -> Result<(), Failure>
    where
        IO: Read + Write + Unpin,
    {
        let mut talk = Talk::new(io, self.title());
        match self {
            Self::Smtp => lines::smtp(&mut talk).await?,
            Self::Imap => lines::imap(&mut talk).await?,
            Self::Pop3 => lines::pop3(&mut talk).await?,
            Self::Ftp => lines::ftp(&mut talk).await?,
            Self::Postgres => packets::postgres(&mut talk).await?,
            Self::Mysql => packets::mysql(&mut talk).await?,
            Self::Ldap => packets::ldap(&mut talk).await?,
            Self::Xmpp => xmpp::open(&mut talk, "jabber:client", host).await?,
            Self::XmppServer => xmpp::open(&mut talk, "jabber:server", host).await?,
        }
        talk.end()
    }
}

//! One request to a broker's management API: HTTP/1.0 on a socket, without TLS, as the API itself is.
//! Waits for the answer as long as the connection stands.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::str::FromStr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use socket2::{SockRef, TcpKeepalive};

/// How long an address may take to answer at all.
const CONNECT: Duration = Duration::from_secs(10);
/// A broker that is gone is noticed although nothing was to be sent.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// No answer is longer.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// Where the API is, and who asks.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::cli) struct Uri {
    host: String,
    port: u16,
    user: String,
    /// None if it is to be asked for.
    password: Option<String>,
}

const SCHEME: &str = "http://";
const DEFAULT_PORT: u16 = 15672;
const DEFAULT_USER: &str = "guest";
const DEFAULT_PASSWORD: &str = "guest";

/// An answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

impl FromStr for Uri {
    type Err = String;

    fn from_str(text: &str) -> Result<Uri, String> {
        let rest = text
            .strip_prefix(SCHEME)
            .ok_or("it must begin with http:// (the API has no TLS)")?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#']) {
            return Err("only user, password, host and port belong into it".into());
        }
        let (credentials, address) = match rest.rsplit_once('@') {
            Some((credentials, address)) => (Some(credentials), address),
            None => (None, rest),
        };
        let (user, password) = match credentials {
            None => (DEFAULT_USER.to_owned(), Some(DEFAULT_PASSWORD.to_owned())),
            Some(credentials) => match credentials.split_once(':') {
                Some((user, password)) => (decode(user)?, Some(decode(password)?)),
                None => (decode(credentials)?, None),
            },
        };
        let (host, port) = split_address(address)?;
        Ok(Uri {
            host,
            port,
            user,
            password,
        })
    }
}

impl std::fmt::Debug for Uri {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{SCHEME}{}@{}:{}", self.user, self.host, self.port)
    }
}

fn decode(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded.map_err(|_| "user and password must be UTF-8")?;
    Ok(decoded.into_owned())
}

fn split_address(address: &str) -> Result<(String, u16), String> {
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or("malformed host")?;
            (host, rest.strip_prefix(':'))
        }
        None => match address.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        },
    };
    if host.is_empty() {
        return Err("malformed host".into());
    }
    let port = match port {
        None => DEFAULT_PORT,
        Some(port) => port.parse().map_err(|_| "malformed port")?,
    };
    Ok((host.to_owned(), port))
}

impl Uri {
    /// Whether somebody has to be asked for the password.
    pub(super) fn needs_password(&self) -> bool {
        self.password.is_none()
    }

    pub(super) fn set_password(&mut self, password: String) {
        self.password = Some(password);
    }

    /// Posts JSON to a path and reads the answer.
    pub(super) fn post(&self, path: &str, json: &str) -> io::Result<Answer> {
        let mut stream = self.connect()?;
        let password = self.password.as_deref().unwrap_or_default();
        let credentials = STANDARD.encode(format!("{}:{password}", self.user));
        let (host, length) = (&self.host, json.len());
        // In HTTP/1.0 the answer ends with the connection, and comes in one piece.
        let request = format!(
            "POST {path} HTTP/1.0\r\nhost: {host}\r\nauthorization: Basic {credentials}\r\n\
             content-type: application/json\r\ncontent-length: {length}\r\n\r\n{json}"
        );
        stream.write_all(request.as_bytes())?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
        parse(&answer).ok_or_else(|| io::Error::other("no HTTP answer came"))
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let mut last = io::Error::other("the host has no address");
        for address in (self.host.as_str(), self.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, CONNECT) {
                Ok(stream) => {
                    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE);
                    SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

fn parse(answer: &[u8]) -> Option<Answer> {
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?;
    Some(Answer {
        status: status.trim().parse().ok()?,
        body: answer[end + 4..].to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<(String, u16, String, Option<String>), String> {
        let uri: Uri = text.parse()?;
        Ok((uri.host, uri.port, uri.user, uri.password))
    }

    #[track_caller]
    fn reads(text: &str, (host, port, user, password): (&str, u16, &str, Option<&str>)) {
        let expected = (host.into(), port, user.into(), password.map(str::to_owned));
        assert_eq!(parsed(text), Ok(expected));
    }

    #[test]
    fn every_part_of_a_uri_is_read() {
        reads(
            "http://us%40er:p%3Ass@broker.example:1234/",
            ("broker.example", 1234, "us@er", Some("p:ss")),
        );
        reads("http://[::1]:99", ("::1", 99, "guest", Some("guest")));
        reads("http://h", ("h", 15672, "guest", Some("guest")));
    }

    #[test]
    fn a_user_without_a_password_is_to_be_asked() {
        reads("http://admin@h:1", ("h", 1, "admin", None));
        reads("http://admin:@h:1", ("h", 1, "admin", Some("")));
    }

    #[test]
    fn what_is_no_uri_of_the_api_is_refused() {
        for text in [
            "https://h",
            "h:1",
            "http://",
            "http://h/api",
            "http://h?x",
            "http://h:x",
            "http://[::1",
            "http://%ff@h",
        ] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_password_is_never_shown() {
        let uri: Uri = "http://u:secret@h:1".parse().unwrap();
        assert_eq!(format!("{uri:?}"), "http://u@h:1");
    }

    #[test]
    fn an_answer_is_a_status_and_a_body() {
        let answer = parse(b"HTTP/1.0 400 Bad Request\r\nx: y\r\n\r\n{}").unwrap();
        assert_eq!((answer.status, &answer.body[..]), (400, &b"{}"[..]));
        for rubbish in [&b""[..], b"HTTP/1.0 200", b"\r\n\r\n", b"SSH-2.0\r\n\r\n"] {
            assert!(parse(rubbish).is_none());
        }
    }
}

//! `amqp://user:password@host:port/vhost`, read as RabbitMQ's URI specification says.
//! Owns the parsing and what is shown of a URI; never resolves names and never shows a password.

use std::fmt;
use std::str::FromStr;

use amqp_codec::ShortString;
use percent_encoding::percent_decode_str;

/// Where the broker is and who connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Uri {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) password: String,
    pub(super) vhost: ShortString,
}

/// Why a text is no usable AMQP URI.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UriError {
    /// Anything but `amqp://`.
    #[error("the scheme must be amqp:// (the load generator does not speak TLS)")]
    Scheme,
    /// A query or fragment, none of which has a meaning here.
    #[error("query parameters and fragments are not supported")]
    Query,
    /// More than one path segment.
    #[error("the vhost is one path segment: write '/' inside it as %2F")]
    Path,
    /// Brackets that do not match or text behind them.
    #[error("malformed host")]
    Host,
    /// No number from 1 to 65535.
    #[error("malformed port")]
    Port,
    /// A percent escape that is cut, or decodes to no UTF-8.
    #[error("malformed percent escape")]
    Escape,
    /// A vhost beyond 255 bytes.
    #[error("the vhost is longer than 255 bytes")]
    Vhost,
}

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(text: &str) -> Result<Self, UriError> {
        let rest = strip_scheme(text)?;
        if rest.contains(['?', '#']) {
            return Err(UriError::Query);
        }
        let (authority, path) = match rest.split_once('/') {
            Some((authority, path)) => (authority, Some(path)),
            None => (rest, None),
        };
        let (credentials, address) = match authority.rsplit_once('@') {
            Some((credentials, address)) => (Some(credentials), address),
            None => (None, authority),
        };
        let (user, password) = split_credentials(credentials)?;
        let (host, port) = split_address(address)?;
        Ok(Uri {
            host,
            port,
            user,
            password,
            vhost: vhost(path)?,
        })
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let vhost = percent_encoding::utf8_percent_encode(
            self.vhost.as_str(),
            percent_encoding::NON_ALPHANUMERIC,
        );
        if self.host.contains(':') {
            write!(
                f,
                "amqp://{}@[{}]:{}/{vhost}",
                self.user, self.host, self.port
            )
        } else {
            write!(
                f,
                "amqp://{}@{}:{}/{vhost}",
                self.user, self.host, self.port
            )
        }
    }
}

fn strip_scheme(text: &str) -> Result<&str, UriError> {
    match text.split_at_checked(SCHEME.len()) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(SCHEME) => Ok(rest),
        _ => Err(UriError::Scheme),
    }
}

fn split_credentials(credentials: Option<&str>) -> Result<(String, String), UriError> {
    let Some(credentials) = credentials else {
        return Ok((DEFAULT_USER.to_owned(), DEFAULT_PASSWORD.to_owned()));
    };
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    Ok((decode(user)?, decode(password)?))
}

fn split_address(address: &str) -> Result<(String, u16), UriError> {
    let (host, port) = if let Some(bracketed) = address.strip_prefix('[') {
        let (host, rest) = bracketed.split_once(']').ok_or(UriError::Host)?;
        match rest.strip_prefix(':') {
            Some(port) => (host.to_owned(), Some(port)),
            None if rest.is_empty() => (host.to_owned(), None),
            None => return Err(UriError::Host),
        }
    } else {
        match address.split_once(':') {
            Some((host, port)) => (decode(host)?, Some(port)),
            None => (decode(address)?, None),
        }
    };
    let host = if host.is_empty() {
        DEFAULT_HOST.to_owned()
    } else {
        host
    };
    Ok((host, port.map_or(Ok(DEFAULT_PORT), parse_port)?))
}

fn parse_port(text: &str) -> Result<u16, UriError> {
    match text.parse::<u16>() {
        Ok(port) if port > 0 && text.bytes().all(|b| b.is_ascii_digit()) => Ok(port),
        _ => Err(UriError::Port),
    }
}

/// No path means the default vhost `/`; an empty path means the vhost with the empty name.
fn vhost(path: Option<&str>) -> Result<ShortString, UriError> {
    let Some(path) = path else {
        return Ok(ShortString::clipped(DEFAULT_VHOST));
    };
    if path.contains('/') {
        return Err(UriError::Path);
    }
    ShortString::try_from(decode(path)?).map_err(|_| UriError::Vhost)
}

fn decode(text: &str) -> Result<String, UriError> {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let is_hex = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_hexdigit());
        if byte == b'%' && !(is_hex(bytes.next()) && is_hex(bytes.next())) {
            return Err(UriError::Escape);
        }
    }
    match percent_decode_str(text).decode_utf8() {
        Ok(decoded) => Ok(decoded.into_owned()),
        Err(_) => Err(UriError::Escape),
    }
}

const SCHEME: &str = "amqp://";
const DEFAULT_HOST: &str = "localhost";
const DEFAULT_PORT: u16 = 5672;
const DEFAULT_VHOST: &str = "/";
const DEFAULT_USER: &str = "guest";
const DEFAULT_PASSWORD: &str = "guest";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(String, u16, String, String, String), UriError> {
        let uri: Uri = text.parse()?;
        Ok((
            uri.host,
            uri.port,
            uri.user,
            uri.password,
            uri.vhost.as_str().to_owned(),
        ))
    }

    fn parts(host: &str, port: u16, user: &str, password: &str, vhost: &str) -> ReturnedParts {
        Ok((
            host.into(),
            port,
            user.into(),
            password.into(),
            vhost.into(),
        ))
    }

    type ReturnedParts = Result<(String, u16, String, String, String), UriError>;

    #[test]
    fn every_part_is_read_and_unescaped() {
        assert_eq!(
            parse("amqp://us%40er:p%3Ass@broker.example:1234/a%2Fb"),
            parts("broker.example", 1234, "us@er", "p:ss", "a/b")
        );
    }

    #[test]
    fn missing_parts_have_the_usual_defaults() {
        assert_eq!(
            parse("amqp://"),
            parts("localhost", 5672, "guest", "guest", "/")
        );
        assert_eq!(parse("AMQP://h"), parts("h", 5672, "guest", "guest", "/"));
        assert_eq!(parse("amqp://u@h"), parts("h", 5672, "u", "", "/"));
    }

    #[test]
    fn an_empty_path_is_the_empty_vhost_and_no_path_the_default_one() {
        assert_eq!(parse("amqp://h/"), parts("h", 5672, "guest", "guest", ""));
        assert_eq!(
            parse("amqp://h/%2F"),
            parts("h", 5672, "guest", "guest", "/")
        );
    }

    #[test]
    fn ipv6_hosts_stand_in_brackets() {
        assert_eq!(
            parse("amqp://[::1]:99/v"),
            parts("::1", 99, "guest", "guest", "v")
        );
        assert_eq!(
            parse("amqp://[::1]"),
            parts("::1", 5672, "guest", "guest", "/")
        );
        assert_eq!(parse("amqp://[::1"), Err(UriError::Host));
        assert_eq!(parse("amqp://[::1]x"), Err(UriError::Host));
    }

    #[test]
    fn malformed_uris_are_refused_with_their_reason() {
        assert_eq!(parse("amqps://h"), Err(UriError::Scheme));
        assert_eq!(parse("h:5672"), Err(UriError::Scheme));
        assert_eq!(parse("amqp://h?heartbeat=5"), Err(UriError::Query));
        assert_eq!(parse("amqp://h/a/b"), Err(UriError::Path));
        for port in ["0", "65536", "x", "", "+1"] {
            assert_eq!(
                parse(&format!("amqp://h:{port}/")),
                Err(UriError::Port),
                "{port}"
            );
        }
        for user in ["%", "%4", "%zz", "%ff"] {
            assert_eq!(
                parse(&format!("amqp://{user}@h")),
                Err(UriError::Escape),
                "{user}"
            );
        }
    }

    #[test]
    fn a_vhost_of_255_bytes_passes_and_one_more_does_not() {
        assert!(parse(&format!("amqp://h/{}", "v".repeat(255))).is_ok());
        assert_eq!(
            parse(&format!("amqp://h/{}", "v".repeat(256))),
            Err(UriError::Vhost)
        );
    }

    #[test]
    fn the_password_is_never_shown() {
        let uri: Uri = "amqp://u:secret@h:1/%2F".parse().expect("well-formed");
        assert_eq!(uri.to_string(), "amqp://u@h:1/%2F");
    }
}

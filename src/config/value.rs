//! The values an option can hold and the one way each is read from text.
//!
//! Owns sizes, durations, addresses and the closed choices; never knows which option it reads for.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// How much is logged. Ordered: each level includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Nothing.
    Off,
    /// What an operator must act on.
    Error,
    /// What an operator may have to act on.
    Warn,
    /// The lifecycle of the node and its connections.
    Info,
    /// Every method.
    Debug,
    /// Every frame.
    Trace,
}

/// The shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One readable line per event.
    Text,
    /// One JSON object per event.
    Json,
}

/// What a confirm promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The message was synced to the device: it survives a power loss.
    Fsync,
    /// The operating system has the message: it survives the process, not a power loss.
    Os,
}

/// A closed set of values with the names they have in a file; the first name of a value is the one
/// that is shown.
pub(super) trait Choice: Copy + PartialEq + 'static {
    /// Every accepted name, lower case.
    const NAMES: &'static [(&'static str, Self)];

    /// The value of `text`, or the names it could have been.
    fn parse(text: &str) -> Result<Self, String> {
        let wanted = text.to_ascii_lowercase();
        let found = Self::NAMES.iter().find(|(name, _)| *name == wanted);
        found
            .map(|(_, value)| *value)
            .ok_or_else(|| format!("must be {}", Self::expects()))
    }

    /// The name this value is shown with.
    fn name(self) -> &'static str {
        Self::NAMES
            .iter()
            .find(|(_, value)| *value == self)
            .map_or("", |(name, _)| name)
    }

    /// All names, for a message.
    fn expects() -> String {
        let names: Vec<_> = Self::NAMES.iter().map(|(name, _)| *name).collect();
        format!("one of {}", names.join(", "))
    }
}

impl Choice for LogLevel {
    // RabbitMQ's finer levels fall on the nearest of ours that keeps every line they would show.
    const NAMES: &'static [(&'static str, Self)] = &[
        ("none", LogLevel::Off),
        ("off", LogLevel::Off),
        ("error", LogLevel::Error),
        ("critical", LogLevel::Error),
        ("alert", LogLevel::Error),
        ("emergency", LogLevel::Error),
        ("warning", LogLevel::Warn),
        ("warn", LogLevel::Warn),
        ("notice", LogLevel::Warn),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
        ("trace", LogLevel::Trace),
    ];
}

impl Choice for LogFormat {
    // RabbitMQ calls readable lines plaintext.
    const NAMES: &'static [(&'static str, Self)] = &[
        ("plaintext", LogFormat::Text),
        ("text", LogFormat::Text),
        ("json", LogFormat::Json),
    ];
}

impl Choice for Durability {
    const NAMES: &'static [(&'static str, Self)] =
        &[("fsync", Durability::Fsync), ("os", Durability::Os)];
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A password: never shown by `Debug`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// Wraps the secret's text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the one place that hashes or compares it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The three patterns of the user that is made on first start.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DefaultPermissions {
    /// Names that the user may declare and delete.
    pub configure: String,
    /// Names that the user may publish to and bind into.
    pub write: String,
    /// Names that the user may consume and bind from.
    pub read: String,
}

/// Multipliers by lower-case suffix. A single letter is decimal, as in RabbitMQ since 3.13 (before,
/// it was binary) and in Kubernetes; the `i` makes it binary.
const UNITS: &[(&str, u64)] = &[
    ("", 1),
    ("b", 1),
    ("k", 1_000),
    ("kb", 1_000),
    ("ki", 1 << 10),
    ("kib", 1 << 10),
    ("m", 1_000_000),
    ("mb", 1_000_000),
    ("mi", 1 << 20),
    ("mib", 1 << 20),
    ("g", 1_000_000_000),
    ("gb", 1_000_000_000),
    ("gi", 1 << 30),
    ("gib", 1 << 30),
    ("t", 1_000_000_000_000),
    ("tb", 1_000_000_000_000),
    ("ti", 1 << 40),
    ("tib", 1 << 40),
];

/// A number of bytes with an optional unit: `131072`, `128KiB`, `64 MB`.
pub(super) fn size(text: &str) -> Option<u64> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim_start().to_ascii_lowercase();
    let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// `ADDRESS:PORT`, or a port alone, which stands for every IPv4 interface.
///
/// An IPv6 address may come without brackets, as rabbitmq.conf has it: the last colon separates.
pub(super) fn address(text: &str) -> Option<SocketAddr> {
    if let Ok(port) = text.parse() {
        return Some(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port));
    }
    let (host, port) = text.rsplit_once(':')?;
    let host = host
        .strip_prefix('[')
        .and_then(|h| h.strip_suffix(']'))
        .unwrap_or(host);
    Some(SocketAddr::new(
        host.parse::<IpAddr>().ok()?,
        port.parse().ok()?,
    ))
}

/// What an absent path, an empty list and the like are called in a file.
pub(super) const NONE: &str = "none";

/// What a limit that does not limit is called in a file, as in rabbitmq.conf.
pub(super) const INFINITY: &str = "infinity";

/// What a value chosen at start is called in a file.
pub(super) const AUTO: &str = "auto";

/// What a listener that does not listen is called in a file.
pub(super) const OFF: &str = "off";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_takes_decimal_and_binary_units() {
        let table = [
            ("0", 0),
            ("131072", 131_072),
            ("128KiB", 131_072),
            ("128Ki", 131_072),
            ("1k", 1_000),
            ("1K", 1_000),
            ("1kB", 1_000),
            ("1KB", 1_000),
            ("64 MiB", 67_108_864),
            ("64M", 64_000_000),
            ("2GB", 2_000_000_000),
            ("1GiB", 1_073_741_824),
            ("1TiB", 1 << 40),
            ("7b", 7),
        ];
        for (text, bytes) in table {
            assert_eq!(size(text), Some(bytes), "{text}");
        }
    }

    #[test]
    fn a_size_refuses_what_is_no_number_of_bytes() {
        for text in [
            "",
            "k",
            "-1",
            "1.5G",
            "1XB",
            "99999999999999999999",
            "18446744073709551615k",
        ] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    #[test]
    fn an_address_may_be_a_port_or_have_brackets_or_not() {
        let table = [
            ("5672", "0.0.0.0:5672"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("[::1]:5672", "[::1]:5672"),
            ("::1:5672", "[::1]:5672"),
            (":::5672", "[::]:5672"),
        ];
        for (text, shown) in table {
            assert_eq!(
                address(text).map(|a| a.to_string()).as_deref(),
                Some(shown),
                "{text}"
            );
        }
        for text in [
            "",
            "host:5672",
            "127.0.0.1",
            "127.0.0.1:70000",
            "70000",
            "[::1:5672",
        ] {
            assert_eq!(address(text), None, "{text}");
        }
    }

    #[test]
    fn a_choice_takes_any_of_its_names_and_shows_the_first() {
        assert_eq!(LogLevel::parse("Warning"), Ok(LogLevel::Warn));
        assert_eq!(LogLevel::parse("warn"), Ok(LogLevel::Warn));
        assert_eq!(LogLevel::Warn.to_string(), "warning");
        assert_eq!(
            Durability::parse("maybe"),
            Err("must be one of fsync, os".to_owned())
        );
    }

    #[test]
    fn a_secret_does_not_show_itself() {
        assert!(!format!("{:?}", Secret::new("hunter2")).contains("hunter2"));
    }
}

//! How one option's text becomes one field of `Config`, and back.
//!
//! A `Field` is the type, the unit, the bounds and the place of a value in one; parsing, the
//! sample file and the help all follow from it. It never knows where the text came from.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use regex::Regex;

use super::value::{self, AUTO, Choice, INFINITY, NONE, OFF};
use super::{Config, Durability, LogFormat, LogLevel, Secret, node};

/// Names longer than this could not travel in AMQP's short strings.
const NAME_BYTES_MAX: usize = 255;

/// Files are written in blocks of this.
const BLOCK_BYTES: u64 = 4096;

/// The place of a `T` in the configuration.
type At<T> = fn(&mut Config) -> &mut T;

/// The type of an option with the field it fills.
pub enum Field {
    /// A name, not empty and short enough for the wire.
    Name(At<String>),
    /// A name that may be left out.
    OptionalName(At<Option<String>>),
    /// The node's name, `auto` for the host's.
    NodeName(At<String>),
    /// A regular expression.
    Pattern(At<String>),
    /// A password.
    Secret(At<Secret>),
    /// A file or folder.
    Path(At<PathBuf>),
    /// A file that may be left out.
    OptionalPath(At<Option<PathBuf>>),
    /// A set of names: `KEY = a, b`, or `KEY.a = true` on lines of their own.
    Names(At<Vec<String>>),
    /// Addresses to listen on: `KEY = address, address`, or one line `KEY.NAME = address` each.
    Listeners(At<Vec<SocketAddr>>),
    /// One address to listen on, or `off`.
    Listener(At<Option<SocketAddr>>),
    /// The port alone of such an address, on every interface.
    ListenerPort(At<Option<SocketAddr>>),
    /// The interface alone of such an address.
    ListenerIp(At<Option<SocketAddr>>),
    /// How much is logged.
    LogLevel(At<LogLevel>),
    /// The shape of a log line.
    LogFormat(At<LogFormat>),
    /// What a confirm promises.
    Durability(At<Durability>),
    /// Seconds, 0 for never.
    Seconds(At<u16>),
    /// A number of channels, 0 for as many as the protocol can number.
    Channels(At<u16>),
    /// A number that may be unlimited.
    Limit(At<Option<u32>>),
    /// A number of threads, `auto` for one per processor.
    Threads(At<Option<usize>>, RangeInclusive<u64>),
    /// Bytes.
    Size(At<u32>, RangeInclusive<u64>),
    /// Bytes, where more than 4 GiB make sense.
    LargeSize(At<u64>, RangeInclusive<u64>),
    /// Bytes, or `auto`.
    OptionalSize(At<Option<u64>>, RangeInclusive<u64>),
    /// A decimal fraction, kept in thousandths, or `auto`.
    Share(At<Option<u64>>, RangeInclusive<u64>),
    /// Bytes, rounded up to whole blocks of a disk.
    Blocks(At<u64>, RangeInclusive<u64>),
    /// Milliseconds.
    Millis(At<Duration>, RangeInclusive<u64>),
}

impl Field {
    /// Whether several lines add up to one value.
    pub fn is_list(&self) -> bool {
        matches!(self, Field::Names(_) | Field::Listeners(_))
    }

    /// Empties a list, so that what a file or a flag says replaces what was there.
    pub(super) fn clear(&self, config: &mut Config) {
        match self {
            Field::Names(at) => at(config).clear(),
            Field::Listeners(at) => at(config).clear(),
            _ => {}
        }
    }

    /// Puts the value of `text` in its place. `name` is the last part of a list option's key. The
    /// error says what the text should have been.
    pub(super) fn set(
        &self,
        config: &mut Config,
        name: Option<&str>,
        text: &str,
    ) -> Result<(), String> {
        match self {
            Field::Name(at) => *at(config) = short_name(text)?,
            Field::OptionalName(at) => *at(config) = unless(AUTO, text, short_name)?,
            Field::NodeName(at) => *at(config) = node::name(text)?,
            Field::Pattern(at) => *at(config) = pattern(text)?,
            Field::Secret(at) => *at(config) = secret(text)?,
            Field::Path(at) => *at(config) = path(text)?,
            Field::OptionalPath(at) => *at(config) = unless(NONE, text, path)?,
            Field::Names(at) => add_names(at(config), name, text)?,
            Field::Listeners(at) => add_listeners(at(config), text)?,
            Field::Listener(at) => *at(config) = unless(OFF, text, address)?,
            Field::ListenerPort(at) => *at(config) = Some(any_interface(text)?),
            Field::ListenerIp(at) => set_ip(at(config), text)?,
            Field::LogLevel(at) => *at(config) = LogLevel::parse(text)?,
            Field::LogFormat(at) => *at(config) = LogFormat::parse(text)?,
            Field::Durability(at) => *at(config) = Durability::parse(text)?,
            Field::Seconds(at) => *at(config) = number(text, &SECONDS, "seconds")?,
            Field::Channels(at) => *at(config) = channels(text)?,
            Field::Limit(at) => *at(config) = unless(INFINITY, text, limit)?,
            Field::Threads(at, range) => {
                *at(config) = unless(AUTO, text, |text| number(text, range, "threads"))?;
            }
            Field::Size(at, range) => *at(config) = size(text, range)?,
            Field::LargeSize(at, range) => *at(config) = size(text, range)?,
            Field::OptionalSize(at, range) => {
                *at(config) = unless(AUTO, text, |text| size(text, range))?;
            }
            Field::Share(at, range) => {
                *at(config) = unless(AUTO, text, |text| share(text, range))?;
            }
            Field::Blocks(at, range) => {
                *at(config) = size::<u64>(text, range)?.next_multiple_of(BLOCK_BYTES);
            }
            Field::Millis(at, range) => *at(config) = millis(text, range)?,
        }
        Ok(())
    }

    /// What the option takes, unit and bounds included, as help and the sample file say it.
    pub fn expects(&self) -> String {
        match self {
            Field::Name(_) => "a name".to_owned(),
            Field::OptionalName(_) => format!("a name, or {AUTO}"),
            Field::NodeName(_) => format!("NAME@HOST, or {AUTO}"),
            Field::Pattern(_) => "a regular expression".to_owned(),
            Field::Secret(_) => "a password".to_owned(),
            Field::Path(_) => "a path".to_owned(),
            Field::OptionalPath(_) => format!("a path, or {NONE}"),
            Field::Names(_) => format!("names between commas, or {NONE}"),
            Field::Listeners(_) => "ADDRESS:PORT or a port, several between commas".to_owned(),
            Field::Listener(_) => format!("ADDRESS:PORT, a port, or {OFF}"),
            Field::ListenerPort(_) => "a port".to_owned(),
            Field::ListenerIp(_) => "an IP address".to_owned(),
            Field::LogLevel(_) => LogLevel::expects(),
            Field::LogFormat(_) => LogFormat::expects(),
            Field::Durability(_) => Durability::expects(),
            Field::Seconds(_) => between(&SECONDS, "seconds"),
            Field::Channels(_) => between(&CHANNELS, "channels"),
            Field::Limit(_) => format!("a number from 1, or {INFINITY}"),
            Field::Threads(_, range) => format!("{}, or {AUTO}", between(range, "threads")),
            Field::Size(_, range) | Field::LargeSize(_, range) => between(range, "bytes"),
            Field::OptionalSize(_, range) => format!("{}, or {AUTO}", between(range, "bytes")),
            Field::Share(_, range) => format!("{}, or {AUTO}", shares(range)),
            Field::Blocks(_, range) => {
                format!(
                    "{}, rounded up to whole {BLOCK_BYTES}",
                    between(range, "bytes")
                )
            }
            Field::Millis(_, range) => between(range, "milliseconds"),
        }
    }
}

const SECONDS: RangeInclusive<u64> = 0..=u16::MAX as u64;
const CHANNELS: RangeInclusive<u64> = 0..=u16::MAX as u64;
const LIMIT: RangeInclusive<u64> = 1..=u32::MAX as u64;

fn between(range: &RangeInclusive<u64>, unit: &str) -> String {
    format!("{unit} from {} to {}", range.start(), range.end())
}

fn must_be(what: impl Display) -> String {
    format!("must be {what}")
}

/// `None` for the word that means "left out", else the parsed text.
fn unless<T>(
    word: &str,
    text: &str,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, String> {
    if text == word {
        Ok(None)
    } else {
        parse(text).map(Some)
    }
}

fn bounded<T: TryFrom<u64>>(
    value: Option<u64>,
    range: &RangeInclusive<u64>,
    unit: &str,
) -> Result<T, String> {
    let inside = value.filter(|value| range.contains(value));
    let fitted = inside.and_then(|value| T::try_from(value).ok());
    fitted.ok_or_else(|| must_be(between(range, unit)))
}

fn number<T: TryFrom<u64>>(
    text: &str,
    range: &RangeInclusive<u64>,
    unit: &str,
) -> Result<T, String> {
    bounded(text.parse().ok(), range, unit)
}

fn size<T: TryFrom<u64>>(text: &str, range: &RangeInclusive<u64>) -> Result<T, String> {
    bounded(value::size(text), range, "bytes")
}

fn shares(range: &RangeInclusive<u64>) -> String {
    let shown = |thousandths: &u64| *thousandths as f64 / 1000.0;
    format!(
        "a number from {} to {}",
        shown(range.start()),
        shown(range.end())
    )
}

fn share(text: &str, range: &RangeInclusive<u64>) -> Result<u64, String> {
    let value: Option<f64> = text.parse().ok();
    let thousandths = value
        .map(|value| (value * 1000.0).round())
        .filter(|value| (*range.start() as f64..=*range.end() as f64).contains(value));
    thousandths
        .map(|value| value as u64)
        .ok_or_else(|| must_be(shares(range)))
}

fn millis(text: &str, range: &RangeInclusive<u64>) -> Result<Duration, String> {
    number(text, range, "milliseconds").map(Duration::from_millis)
}

fn limit(text: &str) -> Result<u32, String> {
    number(text, &LIMIT, "a number").map_err(|_| must_be(format!("a number from 1, or {INFINITY}")))
}

fn channels(text: &str) -> Result<u16, String> {
    let count = number(text, &CHANNELS, "channels")?;
    Ok(if count == 0 { u16::MAX } else { count })
}

fn short_name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > NAME_BYTES_MAX {
        return Err(must_be(format!("a name of 1 to {NAME_BYTES_MAX} bytes")));
    }
    Ok(text.to_owned())
}

fn pattern(text: &str) -> Result<String, String> {
    Regex::new(text).map_err(|_| must_be("a regular expression"))?;
    Ok(text.to_owned())
}

fn secret(text: &str) -> Result<Secret, String> {
    if text.is_empty() {
        return Err("must not be empty: an empty password is never accepted".to_owned());
    }
    Ok(Secret::new(text))
}

fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        Err(must_be("a path"))
    } else {
        Ok(PathBuf::from(text))
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    value::address(text).ok_or_else(|| must_be("ADDRESS:PORT, such as 127.0.0.1:5672, or a port"))
}

fn any_interface(text: &str) -> Result<SocketAddr, String> {
    let port = text
        .parse()
        .map_err(|_| must_be("a port from 0 to 65535"))?;
    Ok(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port))
}

fn set_ip(listener: &mut Option<SocketAddr>, text: &str) -> Result<(), String> {
    let ip = text
        .parse::<IpAddr>()
        .map_err(|_| must_be("an IP address"))?;
    let Some(address) = listener else {
        return Err("has no effect: http_bind is off".to_owned());
    };
    address.set_ip(ip);
    Ok(())
}

fn add_names(list: &mut Vec<String>, name: Option<&str>, text: &str) -> Result<(), String> {
    let Some(name) = name else {
        list.clear();
        if text != NONE {
            for name in text.split(',') {
                list.push(short_name(name.trim())?);
            }
        }
        return Ok(());
    };
    match text {
        "true" => list.push(short_name(name)?),
        "false" => list.retain(|known| known != name),
        _ => return Err(must_be("true or false")),
    }
    Ok(())
}

fn add_listeners(list: &mut Vec<SocketAddr>, text: &str) -> Result<(), String> {
    for part in text.split(',') {
        let address = address(part.trim())?;
        if !list.contains(&address) || address.port() == 0 {
            list.push(address);
        }
    }
    Ok(())
}

//! What can be wrong with a configuration, in words for the operator.
//!
//! Every fault of a source is reported at once, each with the place it stands in.

use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A command-line flag, without the dashes.
    Flag(&'static str),
    /// An environment variable.
    Variable(String),
    /// A line of a file, counted from 1.
    Line(PathBuf, usize),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag(name) => write!(f, "--{name}"),
            Origin::Variable(name) => f.write_str(name),
            Origin::Line(path, line) => write!(f, "{}:{line}", path.display()),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// No option has this key.
    #[error("{origin}: unknown key {key}; the nearest known key is {nearest}")]
    UnknownKey {
        /// Where it stands.
        origin: Origin,
        /// The key, as written.
        key: String,
        /// What was probably meant.
        nearest: String,
    },
    /// The value cannot be the option's.
    #[error("{origin}: bad value {value:?} for {key}: {reason}")]
    BadValue {
        /// Where it stands.
        origin: Origin,
        /// The option's key.
        key: String,
        /// The value as given; a secret is replaced.
        value: String,
        /// What it must be.
        reason: String,
    },
    /// Two values that are good each and do not go together.
    #[error("{key} and {other} do not go together: {reason}")]
    Conflict {
        /// One option's key.
        key: &'static str,
        /// The other's.
        other: &'static str,
        /// What must hold between them.
        reason: &'static str,
    },
    /// A line that is no entry, a variable that is no text.
    #[error("{origin}: {reason}")]
    Malformed {
        /// Where it stands.
        origin: Origin,
        /// What is wrong with it.
        reason: String,
    },
}

impl Fault {
    /// Where it stands, when it stands in one place.
    pub fn origin(&self) -> Option<&Origin> {
        match self {
            Fault::UnknownKey { origin, .. }
            | Fault::BadValue { origin, .. }
            | Fault::Malformed { origin, .. } => Some(origin),
            Fault::Conflict { .. } => None,
        }
    }
}

/// Why there is no configuration to start with.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// At least one thing in it is wrong; all of them are here.
    #[error("{}", lines(.0))]
    Invalid(Vec<Fault>),
}

fn lines(faults: &[Fault]) -> String {
    let lines: Vec<_> = faults.iter().map(Fault::to_string).collect();
    lines.join("\n")
}

/// Something that does not keep the node from starting but that the operator should know.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Warning {
    /// The key tunes RabbitMQ's Erlang runtime.
    #[error("{origin}: {key} tunes RabbitMQ's Erlang runtime and has no effect here")]
    ErlangOnly {
        /// Where it stands.
        origin: Origin,
        /// The key, as written.
        key: String,
    },
    /// The same key stands in the file again.
    #[error("{origin}: {key} is set again in line {by}, which counts")]
    Replaced {
        /// Where the value that does not count stands.
        origin: Origin,
        /// The key, as written.
        key: String,
        /// The line that counts.
        by: usize,
    },
    /// A variable is one typing error away from one that has a meaning.
    #[error("{name} is not a variable of Leveret; did you mean {nearest}?")]
    UnknownVariable {
        /// The variable.
        name: String,
        /// What was probably meant.
        nearest: &'static str,
    },
}

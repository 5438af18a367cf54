//! Transcripts: conversations with a broker as text files, played against ours or any other.
//!
//! The format is described in `tests/transcripts/README.md`. `parse` reads a file, `stage` plays it,
//! `hear` waits for and compares what the broker says, `api` makes the HTTP calls, `render` writes
//! what came the way a transcript would.

mod api;
mod hear;
mod parse;
mod render;
mod speak;
mod stage;
mod tests;

use std::net::SocketAddr;

use super::support::term::Phrase;

pub(crate) use parse::parse;
pub(crate) use stage::{Outcome, play};

/// The broker under test.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Where it speaks AMQP.
    pub(crate) amqp: SocketAddr,
    /// Where its management API is. Without it every file runs in the vhost `/`.
    pub(crate) http: Option<SocketAddr>,
    /// What it calls itself: `leveret-0.1.0`, `rabbitmq-3.10.8`.
    pub(crate) brand: String,
}

impl Target {
    /// Whether a name in a transcript (`rabbitmq-3.10`) means this broker.
    pub(crate) fn is(&self, name: &str) -> bool {
        let rest = self.brand.strip_prefix(name);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-']))
    }
}

/// A file, read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transcript {
    /// Connections are sockets only, until the file says more.
    pub(crate) raw: bool,
    /// Brokers it cannot run against (empty: any but ours), and why.
    pub(crate) skip: Vec<(String, String)>,
    /// What happens, in order.
    pub(crate) steps: Vec<Step>,
}

/// One line that does something, or a group of them.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// The line number, from 1.
    pub(crate) line: usize,
    /// The brokers it is for.
    pub(crate) brokers: Brokers,
    /// What it does.
    pub(crate) act: Act,
}

/// Which brokers a line is for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Brokers {
    /// Every one.
    All,
    /// The one of this name.
    Only(String),
    /// Those that the neighbouring lines do not name.
    Otherwise(Vec<String>),
}

/// What a line does.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// `C:` sends.
    Speak(Voice),
    /// `S:` waits and compares.
    Hear(Voice),
    /// `S: in any order` and the indented lines below it.
    Group(Vec<Voice>),
    /// `API:` calls the management API.
    Api(Call),
}

/// A line of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Voice {
    /// The line number, from 1.
    pub(crate) line: usize,
    /// What stands before the colon, so that the line can be written again.
    pub(crate) label: String,
    /// The connection's number.
    pub(crate) peer: u8,
    /// The channel's number.
    pub(crate) channel: u16,
    /// One byte per write.
    pub(crate) bytewise: bool,
    /// The next line is about this content's frames, so they are left unread.
    pub(crate) frames_follow: bool,
    /// What is said.
    pub(crate) phrase: Phrase,
}

/// A call of the management API.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// `PUT`, `GET` ...
    pub(crate) method: String,
    /// The path, from `/api` on.
    pub(crate) path: String,
    /// The JSON body; may be empty.
    pub(crate) body: String,
    /// The statuses that will do.
    pub(crate) statuses: Vec<u16>,
    /// JSON that the answer contains; may be empty.
    pub(crate) answer: String,
    /// The call is repeated until it is answered so.
    pub(crate) eventually: bool,
}

/// Why a transcript failed.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// The line that did not hold; 0 for the end of the file.
    pub(crate) line: usize,
    /// What happened instead, or what went wrong.
    pub(crate) got: String,
}

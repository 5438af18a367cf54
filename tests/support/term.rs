//! What a line of a transcript says, as data: items, arguments and terms.
//!
//! `grammar` makes them from text; whether a term is written to a socket or compared with what came
//! from one is decided in `build` and `compare`.

use std::time::Duration;

pub(crate) use super::grammar::parse;

/// A line's content: what stands behind `C:` or `S:`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Phrase {
    /// The parts between the bars.
    pub(crate) items: Vec<Item>,
    /// The deadline, where the default is not the right one.
    pub(crate) within: Option<Duration>,
    /// The question is asked again until this answer comes.
    pub(crate) eventually: bool,
}

impl Phrase {
    /// The name of the first item.
    pub(crate) fn name(&self) -> &str {
        self.items.first().map_or("", |item| &item.name)
    }
}

/// A method, a content, or a word of the transcript itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Item {
    /// How often in a row; `$n` counts from 1.
    pub(crate) times: Option<u32>,
    /// `queue.declare`, `content`, `eof` ...
    pub(crate) name: String,
    /// What follows the name.
    pub(crate) arguments: Vec<Argument>,
}

/// How an argument is meant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Sense {
    /// `=`: a table may hold more than what is named.
    Equals,
    /// `==`: a table holds this and nothing else.
    Exactly,
    /// `!`: not there at all.
    Absent,
    /// A term without a field name.
    Bare,
}

/// One argument of an item.
#[derive(Clone, Debug)]
pub(crate) struct Argument {
    /// The field's name; empty for a bare term.
    pub(crate) name: String,
    /// How it is meant.
    pub(crate) sense: Sense,
    /// The value.
    pub(crate) term: Term,
}

/// A value, or the description of one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Term {
    /// Text, literal pieces and captured ones, so many times over.
    Text {
        /// What it is put together from.
        pieces: Vec<Piece>,
        /// How often; 1 as a rule.
        repeat: usize,
        /// Whether it stood in quotes.
        quoted: bool,
    },
    /// Matches what the expression finds.
    Regex(Vec<Piece>),
    /// Matches everything.
    Any,
    /// A table value with its type byte.
    Tagged(u8, Option<Box<Term>>),
    /// Keys and values; `None` says that the key is absent.
    Table(Vec<(String, Option<Term>)>),
    /// The elements, all of them.
    Array(Vec<Term>),
}

/// A piece of text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Piece {
    /// These bytes.
    Literal(Vec<u8>),
    /// What was captured under this name.
    Capture(String),
}

/// `200ms`, `5s`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits
        .parse()
        .map_err(|_| format!("'{text}' is no duration"))?;
    match &text[digits.len()..] {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        _ => Err(format!("'{text}' wants ms or s")),
    }
}

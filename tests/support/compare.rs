//! From bytes to verdicts: whether what came is what an `S:` line describes.
//!
//! Only what a line names is compared. A `$name` that is new is bound to what came; it is bound for
//! good only when the whole line matches, so a failed comparison leaves the captures as they were.

use regex::bytes::Regex;

use super::build::{self, Captures};
use super::method::{Field, Header, Method};
use super::term::{Item, Piece, Sense, Term};
use super::value::{Body, Table, Value};

/// Compares a method with an item; says what differs.
pub(crate) fn method(item: &Item, came: &Method, captures: &mut Captures) -> Result<(), String> {
    if item.name != came.spec.name {
        return Err(format!("the method is {}", came.spec.name));
    }
    attempt(captures, |captures| {
        for argument in &item.arguments {
            let field = came
                .field(&argument.name)
                .ok_or_else(|| format!("{} has no field '{}'", item.name, argument.name))?;
            if !matches_field(&argument.term, argument.sense, field, captures) {
                return Err(format!("{} differs", argument.name));
            }
        }
        Ok(())
    })
}

/// Compares a content, or a header alone when `body` is not given.
pub(crate) fn content(
    item: &Item,
    header: &Header,
    body: Option<&[u8]>,
    captures: &mut Captures,
) -> Result<(), String> {
    attempt(captures, |captures| {
        for argument in &item.arguments {
            let found = header
                .properties
                .iter()
                .find(|(name, _)| *name == argument.name);
            let number = |number: u64| Field::Int(number);
            let field = match argument.name.as_str() {
                "body" => body.map(|body| Field::Bytes(body.to_vec())),
                "size" => Some(number(header.size)),
                "class" => Some(number(header.class.into())),
                "weight" => Some(number(header.weight.into())),
                _ => found.map(|(_, field)| field.clone()),
            };
            let same = match (argument.sense, &field) {
                (Sense::Absent, None) => true,
                (Sense::Absent, _) | (_, None) => false,
                (sense, Some(field)) => matches_field(&argument.term, sense, field, captures),
            };
            if !same {
                return Err(format!("{} differs", argument.name));
            }
        }
        Ok(())
    })
}

/// Compares text alone, such as a frame's payload.
pub(crate) fn bytes(term: &Term, came: &[u8], captures: &mut Captures) -> bool {
    attempt(captures, |captures| {
        match matches_bytes(term, came, captures) {
            true => Ok(()),
            false => Err(String::new()),
        }
    })
    .is_ok()
}

fn attempt(
    captures: &mut Captures,
    compare: impl FnOnce(&mut Captures) -> Result<(), String>,
) -> Result<(), String> {
    let mut tried = captures.clone();
    let verdict = compare(&mut tried);
    if verdict.is_ok() {
        *captures = tried;
    }
    verdict
}

fn matches_field(term: &Term, sense: Sense, field: &Field, captures: &mut Captures) -> bool {
    match (term, field) {
        (Term::Any, _) => true,
        (Term::Table(entries), Field::Table(table)) => {
            matches_table(entries, sense == Sense::Exactly, table, captures)
        }
        (_, Field::Table(_)) | (Term::Table(_), _) => false,
        (_, Field::Bytes(bytes)) => matches_bytes(term, bytes, captures),
        (_, Field::Bit(bit)) => matches_bytes(term, bit.to_string().as_bytes(), captures),
        (_, Field::Int(number)) => matches_bytes(term, number.to_string().as_bytes(), captures),
    }
}

fn matches_bytes(term: &Term, came: &[u8], captures: &mut Captures) -> bool {
    if let Some(name) = lone_capture(term) {
        return captures
            .entry(name.to_owned())
            .or_insert_with(|| came.to_vec())
            == came;
    }
    match (term, build::text(term, captures)) {
        (Term::Any, _) => true,
        (Term::Regex(_), Ok(source)) => {
            let source = String::from_utf8_lossy(&source);
            Regex::new(&source).is_ok_and(|regex| regex.is_match(came))
        }
        (_, Ok(text)) => text == came,
        (_, Err(_)) => false,
    }
}

/// The name of a term that is nothing but a capture.
fn lone_capture(term: &Term) -> Option<&str> {
    match term {
        Term::Text {
            pieces, repeat: 1, ..
        } => match pieces.as_slice() {
            [Piece::Capture(name)] => Some(name),
            _ => None,
        },
        _ => None,
    }
}

fn matches_table(
    entries: &[(String, Option<Term>)],
    exactly: bool,
    came: &Table,
    captures: &mut Captures,
) -> bool {
    let present = entries.iter().filter(|(_, term)| term.is_some()).count();
    if exactly && present != came.len() {
        return false;
    }
    entries.iter().all(|(key, term)| {
        let value = came
            .iter()
            .find(|(have, _)| have == key)
            .map(|(_, value)| value);
        match (term, value) {
            (None, None) => true,
            (Some(term), Some(value)) => matches_value(term, exactly, value, captures),
            _ => false,
        }
    })
}

fn matches_value(term: &Term, exactly: bool, came: &Value, captures: &mut Captures) -> bool {
    match (term, &came.body) {
        (Term::Any, _) => true,
        (Term::Tagged(tag, inner), _) => {
            *tag == came.tag
                && inner
                    .as_deref()
                    .is_none_or(|term| matches_body(term, exactly, came, captures))
        }
        (Term::Table(_), Body::Table(_)) | (Term::Array(_), Body::Array(_)) => {
            matches_body(term, exactly, came, captures)
        }
        (Term::Text { quoted: false, .. }, Body::Bool(_)) | (_, Body::Bytes(_)) => {
            came.tag != b'x' && matches_body(term, exactly, came, captures)
        }
        _ => false,
    }
}

fn matches_body(term: &Term, exactly: bool, came: &Value, captures: &mut Captures) -> bool {
    match (term, &came.body) {
        (Term::Any, _) => true,
        (Term::Table(entries), Body::Table(table)) => {
            matches_table(entries, exactly, table, captures)
        }
        (Term::Array(terms), Body::Array(values)) => {
            terms.len() == values.len()
                && terms
                    .iter()
                    .zip(values)
                    .all(|(term, value)| matches_value(term, exactly, value, captures))
        }
        (Term::Table(_) | Term::Array(_), _) => false,
        (_, Body::Bool(value)) => matches_bytes(term, value.to_string().as_bytes(), captures),
        (_, Body::Int(value)) => matches_bytes(term, value.to_string().as_bytes(), captures),
        (_, Body::Float(value)) => build::number(term, captures) == Ok(*value),
        (_, Body::Decimal(scale, number)) => {
            matches_bytes(term, format!("{scale}:{number}").as_bytes(), captures)
        }
        (_, Body::Bytes(bytes)) => matches_bytes(term, bytes, captures),
        (_, Body::Void | Body::Array(_) | Body::Table(_)) => false,
    }
}

//! Entries for people: what an entry says, as a tree that can be printed. Properties are counted,
//! never shown, and so are bodies unless they are asked for.

use super::decode::TurnSection;
use super::{Entry, EntryKind, Malformed, PageEntry, Placement, Runs, Turn};
use crate::message::{RecordRef, Records};

/// A tree of named values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Described {
    /// A number.
    Number(u64),
    /// Yes or no.
    Flag(bool),
    /// Words.
    Text(String),
    /// The body of a message.
    Bytes(Vec<u8>),
    /// Things of one sort.
    List(Vec<Described>),
    /// Values with their names, in the order in which they are to be read.
    Fields(Vec<(&'static str, Described)>),
}

/// Whether bodies are part of what is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bodies {
    /// Their lengths only.
    Counted,
    /// They themselves.
    Shown,
}

use Described::{Bytes, Fields, Flag, List, Number, Text};

/// What the payload of an entry says. The error tells what is wrong with it.
pub fn describe(kind: u8, payload: &[u8], bodies: Bodies) -> Result<Described, Malformed> {
    let kind = EntryKind::try_from(kind)?;
    Ok(match Entry::decode(kind, payload)? {
        Entry::Batch { queue, records } => Fields(vec![
            ("kind", text("batch")),
            ("queue", Number(queue)),
            ("messages", messages(&records, bodies)),
        ]),
        Entry::Turn(turn) => describe_turn(&turn, bodies),
        Entry::Placed { queue, placements } => Fields(vec![
            ("kind", text("placed")),
            ("queue", Number(queue)),
            ("messages", list(&placements, describe_placement)),
        ]),
        Entry::Settled { queue, runs } => Fields(vec![
            ("kind", text("settled")),
            ("queue", Number(queue)),
            ("ordinals", ordinals(&runs)),
        ]),
        Entry::Returned { queue, counts } => Fields(vec![
            ("kind", text("returned")),
            ("queue", Number(queue)),
            ("messages", list(&counts, describe_count)),
        ]),
    })
}

/// What an entry of the map says of a page.
pub fn describe_page(key: &[u8], value: &[u8]) -> Result<Described, Malformed> {
    let page = PageEntry::decode(key, value)?;
    let mut fields = vec![
        ("queue", Number(page.queue)),
        ("page", Number(page.number)),
        ("segment", Number(page.segment)),
        ("offset", Number(page.offset)),
        ("length", Number(page.length.into())),
        ("crc", Text(format!("{:08x}", page.crc))),
    ];
    fields.extend(page.level.map(|level| ("level", Number(level.into()))));
    let flags = [
        ("redelivered", page.is_redelivered),
        ("may_expire", page.may_expire),
    ];
    let set = flags.into_iter().filter(|(_, is_set)| *is_set);
    fields.extend(set.map(|(name, _)| (name, Flag(true))));
    let count = page.runs.count();
    fields.push(("count", Number(count)));
    fields.push(("body_bytes", Number(page.body_length.total(count))));
    fields.push(("ordinals", ordinals(&page.runs)));
    Ok(Fields(fields))
}

/// The messages of a block, such as a page.
pub fn describe_block(block: &[u8]) -> Result<Described, Malformed> {
    Ok(messages(&Records::decode(block)?, Bodies::Counted))
}

fn describe_turn(turn: &Turn, bodies: Bodies) -> Described {
    let describe_section = |section: &TurnSection| describe_section(section, bodies);
    Fields(vec![
        ("kind", text("turn")),
        ("sections", list(&turn.sections, describe_section)),
        ("settled", list(&turn.settles, describe_settle)),
    ])
}

fn describe_section(section: &TurnSection, bodies: Bodies) -> Described {
    Fields(vec![
        ("queues", list(&section.queues, |&queue| Number(queue))),
        ("messages", messages(&section.records, bodies)),
    ])
}

fn describe_settle((queue, runs): &(u64, Runs)) -> Described {
    Fields(vec![
        ("queue", Number(*queue)),
        ("ordinals", ordinals(runs)),
    ])
}

fn describe_placement(placement: &Placement) -> Described {
    let mut fields = vec![
        ("turn", Number(placement.turn.0)),
        ("index", Number(placement.index.into())),
        ("count", Number(placement.count.into())),
    ];
    fields.push(match placement.ordinal {
        0 => ("refused", Flag(true)),
        ordinal => ("ordinal", Number(ordinal)),
    });
    Fields(fields)
}

fn describe_count(&(ordinal, count): &(u64, u32)) -> Described {
    Fields(vec![
        ("ordinal", Number(ordinal)),
        ("delivery_count", Number(count.into())),
    ])
}

fn messages(records: &Records, bodies: Bodies) -> Described {
    let messages = records.iter();
    List(messages.map(|one| describe_message(one, bodies)).collect())
}

fn describe_message(record: RecordRef<'_>, bodies: Bodies) -> Described {
    let mut fields = vec![
        ("ordinal", Number(record.ordinal())),
        ("exchange", text(record.exchange_str())),
        ("routing_key", text(record.routing_key_str())),
        ("properties_bytes", size(record.properties().len())),
        ("body_bytes", size(record.body_len())),
        ("persistent", Flag(record.is_persistent())),
        ("priority", Number(record.priority().into())),
        ("redelivered", Flag(record.is_redelivered())),
        ("delivery_count", Number(record.delivery_count().into())),
        ("enqueued_at", Number(record.enqueued_at().0)),
    ];
    fields.extend(record.expires_at().map(|at| ("expires_at", Number(at.0))));
    if bodies == Bodies::Shown {
        fields.push(("body", Bytes(record.body().to_vec())));
    }
    Fields(fields)
}

fn ordinals(runs: &Runs) -> Described {
    Text(runs.to_string())
}

fn list<T>(things: &[T], describe: impl Fn(&T) -> Described) -> Described {
    List(things.iter().map(describe).collect())
}

fn text(text: &str) -> Described {
    Text(text.to_owned())
}

fn size(bytes: usize) -> Described {
    Number(bytes as u64)
}

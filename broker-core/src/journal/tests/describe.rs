//! What people read of each kind of entry.

use super::{appended, records};
use crate::host::Lsn;
use crate::journal::describe::{Bodies, Described, describe, describe_block, describe_page};
use crate::journal::{
    Block, EntryKind, Malformed, MeanLength, PageEntry, Placement, Runs, Section,
};
use crate::message::Body;

/// As one would write it down.
fn written(described: &Described) -> String {
    match described {
        Described::Number(number) => number.to_string(),
        Described::Flag(flag) => flag.to_string(),
        Described::Text(text) => format!("'{text}'"),
        Described::Bytes(bytes) => format!("'{}'", bytes.escape_ascii()),
        Described::List(list) => {
            let all: Vec<String> = list.iter().map(written).collect();
            format!("[{}]", all.join(", "))
        }
        Described::Fields(fields) => {
            let all = fields
                .iter()
                .map(|(name, value)| format!("{name} {}", written(value)));
            format!("{{{}}}", all.collect::<Vec<_>>().join(", "))
        }
    }
}

#[track_caller]
fn reads((kind, payload, _): (EntryKind, Vec<u8>, bool), expected: &str) {
    let described = describe(kind as u8, &payload, Bodies::Counted).unwrap();
    assert_eq!(written(&described), expected);
}

const MESSAGE: &str = "exchange 'x', routing_key 'key', properties_bytes 2, body_bytes 4, \
    persistent true, priority 9, redelivered false, delivery_count 0, enqueued_at 0";

#[test]
fn a_batch_lists_its_messages_without_their_bodies() {
    let records = records(&[(7, Body::Inline(b"body"))]);
    reads(
        appended(|journal| journal.append_batch(5, &Block::of(&records))),
        &format!("{{kind 'batch', queue 5, messages [{{ordinal 7, {MESSAGE}}}]}}"),
    );
}

#[test]
fn bodies_are_told_where_they_are_asked_for() {
    let records = records(&[(7, Body::Inline(b"body"))]);
    let (_, payload, _) = appended(|journal| journal.append_batch(5, &Block::of(&records)));
    let described = describe(2, &payload, Bodies::Shown).unwrap();
    assert_eq!(
        written(&described),
        format!("{{kind 'batch', queue 5, messages [{{ordinal 7, {MESSAGE}, body 'body'}}]}}")
    );
}

#[test]
fn a_turn_lists_sections_and_settles() {
    let records = records(&[(0, Body::Inline(b"body"))]);
    let section = Section {
        queues: &[5, 6],
        block: Block::of(&records),
    };
    let settles = [(5, Runs::from_iter([1, 2, 4]))];
    reads(
        appended(|journal| journal.append_turn(&[section], &settles)),
        &format!(
            "{{kind 'turn', sections [{{queues [5, 6], messages [{{ordinal 0, {MESSAGE}}}]}}], \
             settled [{{queue 5, ordinals '1-2, 4'}}]}}"
        ),
    );
}

#[test]
fn placed_names_ordinals_or_says_refused() {
    let placement = |ordinal| Placement {
        turn: Lsn(3),
        index: 1,
        count: 2,
        ordinal,
    };
    reads(
        appended(|journal| journal.append_placed(5, &[placement(9), placement(0)])),
        "{kind 'placed', queue 5, messages [{turn 3, index 1, count 2, ordinal 9}, \
         {turn 3, index 1, count 2, refused true}]}",
    );
}

#[test]
fn settled_and_returned_name_ordinals() {
    reads(
        appended(|journal| journal.append_settled(5, &Runs::from_iter([3, 7, 8]))),
        "{kind 'settled', queue 5, ordinals '3, 7-8'}",
    );
    reads(
        appended(|journal| journal.append_returned(5, &[(3, 2)])),
        "{kind 'returned', queue 5, messages [{ordinal 3, delivery_count 2}]}",
    );
}

#[test]
fn a_page_says_where_it_lies_and_what_of_it_is_alive() {
    let page = PageEntry {
        queue: 1,
        number: 2,
        segment: 3,
        offset: 4096,
        length: 1000,
        crc: 0xAB,
        level: Some(4),
        is_redelivered: true,
        may_expire: true,
        body_length: MeanLength::of(25, 10),
        runs: Runs::between(10, 19),
    };
    let described = describe_page(&page.key(), &page.value()).unwrap();
    assert_eq!(
        written(&described),
        "{queue 1, page 2, segment 3, offset 4096, length 1000, crc '000000ab', level 4, \
         redelivered true, may_expire true, count 10, body_bytes 25, ordinals '10-19'}"
    );
    let block = Block::of(&records(&[(7, Body::Inline(b"body"))]))
        .parts()
        .concat();
    let described = describe_block(&block).unwrap();
    assert_eq!(written(&described), format!("[{{ordinal 7, {MESSAGE}}}]"));
}

#[test]
fn what_cannot_be_read_is_said_to_be_so() {
    let unknown = Malformed("unknown kind of entry");
    assert_eq!(describe(1, &[], Bodies::Counted), Err(unknown));
    assert!(describe(5, &[1], Bodies::Counted).is_err());
    assert!(describe_page(b"m", &[]).is_err());
    assert!(describe_block(&[1]).is_err());
}

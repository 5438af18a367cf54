//! Blocks: what is written is read back, and nothing else is.

use bytes::Bytes;
use proptest::prelude::*;

use super::{Block, Body, HEAD, INLINE_BODY_MAX, Malformed, Message, Position, Records};

fn message(body: Body<'_>) -> Message<'_> {
    Message {
        exchange: "amq.topic",
        routing_key: "a.ü",
        properties: &[0x10, 0, 2],
        body,
        persistent: true,
        priority: 3,
        expires_at: None,
        has_bcc: false,
    }
}

fn long_body(byte: u8) -> Body<'static> {
    Body::Shared(Bytes::from(vec![byte; INLINE_BODY_MAX + 1]))
}

/// Small, shared, small, shared.
fn four() -> Records {
    let mut records = Records::new();
    records.push(message(Body::Inline(b"one")));
    records.push(message(long_body(b'2')));
    records.push(message(Body::Inline(b"")));
    records.push(message(long_body(b'4')));
    for (ordinal, position) in positions(&records).into_iter().enumerate() {
        records.head_mut(position).set_ordinal(ordinal as u64 + 1);
    }
    records
}

fn positions(records: &Records) -> Vec<Position> {
    let mut positions = Vec::new();
    let mut next = records.first();
    while let Some(position) = next {
        positions.push(position);
        next = records.next(position);
    }
    positions
}

fn written(block: &Block<'_>) -> Vec<u8> {
    let bytes = block.parts().concat();
    assert_eq!(bytes.len(), block.byte_len());
    bytes
}

fn contents(records: &Records) -> Vec<(u64, Vec<u8>, Vec<u8>)> {
    let live = records.iter().filter(|record| !record.is_removed());
    live.map(|record| {
        let head = record.bytes()[..44].to_vec();
        (record.ordinal(), head, record.body().to_vec())
    })
    .collect()
}

#[test]
fn a_plain_message_makes_the_same_record_either_way() {
    for (persistent, body) in [(true, &b"body"[..]), (false, b"")] {
        let plain = Message {
            persistent,
            priority: 0,
            ..message(Body::Inline(body))
        };
        let (mut one, mut other) = (four(), four());
        let names = [plain.exchange.as_bytes(), plain.routing_key.as_bytes()];
        let at = one.push_plain(names, plain.properties, body, persistent);
        assert_eq!(other.push(plain), at);
        assert_eq!(one.bytes(), other.bytes());
        assert_eq!(one.len(), other.len());
    }
}

#[test]
fn a_block_is_read_back_with_its_shared_bodies() {
    let records = four();
    let block = Block::of(&records);
    assert_eq!(block.count(), 4);
    let read = Records::decode(&written(&block)).unwrap();
    assert_eq!(contents(&read), contents(&records));
    assert_eq!(read.shared_bodies(), records.shared_bodies());
    assert_eq!(read.bytes(), records.bytes());
}

#[test]
fn a_whole_block_copies_no_record_and_no_body() {
    let records = four();
    let block = Block::of(&records);
    let parts = block.parts();
    assert_eq!(parts[1].as_ptr(), records.bytes().as_ptr());
    assert_eq!(parts[2].as_ptr(), records.shared_bodies()[0].as_ptr());
    assert_eq!(parts[3].as_ptr(), records.shared_bodies()[1].as_ptr());
}

#[test]
fn a_block_of_some_records_has_only_their_bodies() {
    let records = four();
    let block = Block::of_some(&records, |record| record.ordinal() >= 3);
    let read = Records::decode(&written(&block)).unwrap();
    assert_eq!(contents(&read), contents(&records)[2..]);
    assert_eq!(read.shared_bodies(), &records.shared_bodies()[1..]);
}

#[test]
fn removed_records_are_not_written() {
    let mut records = four();
    records.remove(positions(&records)[1]);
    let mut copy = Records::new();
    for record in records.iter() {
        copy.push_record(record);
    }
    let mut appended = Records::new();
    appended.push(message(Body::Inline(b"zero")));
    appended.append(&mut copy);
    for (records, count) in [(&records, 3), (&appended, 4)] {
        assert!(records.has_removed());
        let read = Records::decode(&written(&Block::of(records))).unwrap();
        assert_eq!(read.len(), count);
        assert_eq!(contents(&read), contents(records));
        assert!(!read.has_removed());
    }
}

#[test]
fn a_cleared_container_has_nothing_removed() {
    let mut records = four();
    records.remove(Position(0));
    records.remove(Position(0));
    records.clear();
    assert!(!records.has_removed());
    records.push(message(Body::Inline(b"again")));
    assert_eq!(Block::of(&records).count(), 1);
}

#[test]
fn an_empty_block_is_eight_zeros() {
    let records = Records::new();
    let block = Block::of(&records);
    assert!(block.is_empty());
    assert_eq!(written(&block), [0; 8]);
    assert!(Records::decode(&[0; 8]).unwrap().is_empty());
}

#[test]
fn what_lies_behind_a_block_is_given_back() {
    let mut bytes = written(&Block::of(&four()));
    bytes.extend_from_slice(b"rest");
    let mut records = Records::new();
    assert_eq!(records.read_block(&bytes), Ok(&b"rest"[..]));
    assert_eq!(records.len(), 4);
    let all = Malformed("bytes behind a block");
    assert_eq!(Records::decode(&bytes).unwrap_err(), all);
}

#[test]
fn every_truncation_is_refused_and_leaves_nothing() {
    let bytes = written(&Block::of(&four()));
    let mut records = Records::new();
    for length in 0..bytes.len() {
        assert!(records.read_block(&bytes[..length]).is_err(), "{length}");
        assert!(records.is_empty() && records.shared_bodies().is_empty());
    }
}

#[track_caller]
fn refuse(change: impl Fn(&mut Vec<u8>), why: &'static str) {
    let mut bytes = written(&Block::of(&four()));
    change(&mut bytes);
    assert_eq!(Records::decode(&bytes).unwrap_err(), Malformed(why));
}

#[test]
fn each_field_of_a_record_is_checked() {
    let lengths = "a record's lengths do not add up";
    refuse(
        |bytes| bytes[0] = 5,
        "a block holds another number of records",
    );
    refuse(|bytes| bytes[8] += 1, lengths);
    refuse(|bytes| bytes[8 + 6] += 1, lengths);
    refuse(|bytes| bytes[8 + 7] -= 1, lengths);
    refuse(|bytes| bytes[8 + 8] += 1, lengths);
    refuse(|bytes| bytes[8 + 12] -= 1, lengths);
    refuse(|bytes| bytes[8 + 4] |= 8, "a record has an unknown flag");
    refuse(|bytes| bytes[8 + 4] |= 64, "a record has an unknown flag");
    refuse(
        |bytes| bytes[8 + HEAD] = 0xFF,
        "a record's names are not UTF-8",
    );
    refuse(
        |bytes| {
            // The two bytes of the routing key's last letter, parted between the names.
            bytes[8 + 6] += 3;
            bytes[8 + 7] -= 3;
        },
        "a record's names are not UTF-8",
    );
    refuse(|bytes| bytes[8 + 8..8 + 16].fill(0xFF), lengths);
    refuse(
        |bytes| bytes[4..8].copy_from_slice(&u32::MAX.to_le_bytes()),
        "a block ends in its records",
    );
}

proptest! {
    #[test]
    fn flipped_bits_never_panic_and_what_is_read_can_be_used(
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 1..4),
    ) {
        let mut bytes = written(&Block::of(&four()));
        for (index, bit) in flips {
            let index = index.index(400.min(bytes.len()));
            bytes[index] ^= 1 << bit;
        }
        if let Ok(records) = Records::decode(&bytes) {
            for record in records.iter() {
                prop_assert_eq!(record.body().len(), record.body_len());
                prop_assert!(std::str::from_utf8(record.exchange()).is_ok());
                prop_assert!(std::str::from_utf8(record.routing_key()).is_ok());
                prop_assert!(record.properties().len() <= record.record_len());
            }
            prop_assert!(Records::decode(&written(&Block::of(&records))).is_ok());
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Records::decode(&bytes);
    }
}

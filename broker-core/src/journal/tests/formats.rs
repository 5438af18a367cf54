//! Every kind of entry: its bytes by hand, and back.

use bytes::Bytes;
use proptest::prelude::*;

use super::{Kept, appended, records};
use crate::host::Lsn;
use crate::journal::{
    Block, Entry, EntryKind, Journal, Malformed, MeanLength, PageEntry, PageKey, Placement,
    RawChange, Runs, Section,
};
use crate::message::Body;
use crate::time::Timestamp;

/// One record as the module's drawing has it: exchange "x", key "key", two bytes of properties.
fn record_by_hand(flags: u8, ordinal: u8, shared: u8, body_len: u8, inline: &[u8]) -> Vec<u8> {
    let mut record = vec![48 + 1 + 3 + 2 + inline.len() as u8, 0, 0, 0];
    record.extend([flags, 9, 1, 3]);
    record.extend([2, 0, 0, 0, body_len, 0, 0, 0]);
    record.extend([ordinal, 0, 0, 0, 0, 0, 0, 0]);
    record.extend([0; 8]);
    record.extend([0; 8]);
    record.extend([0; 4]);
    record.extend([shared, 0, 0, 0]);
    record.extend(b"xkey\x90\x00");
    record.extend(inline);
    record
}

const fn le(number: u8) -> [u8; 8] {
    [number, 0, 0, 0, 0, 0, 0, 0]
}

#[test]
fn kinds_have_their_numbers() {
    assert_eq!(EntryKind::ALL.map(|kind| kind as u8), [2, 3, 4, 5, 6]);
    for kind in EntryKind::ALL {
        assert_eq!(EntryKind::try_from(kind as u8), Ok(kind));
    }
    for unknown in [0, 1, 7, 255] {
        assert!(EntryKind::try_from(unknown).is_err());
    }
}

#[test]
fn a_batch_is_its_queue_and_a_block() {
    let body = Bytes::from_static(b"shared");
    let records = records(&[(7, Body::Inline(b"in")), (8, Body::Shared(body))]);
    let (kind, payload, is_freeing) =
        appended(|journal| journal.append_batch(0x0102, &Block::of(&records)));
    let mut expected = vec![2, 1, 0, 0, 0, 0, 0, 0];
    expected.extend([2, 0, 0, 0, 110, 0, 0, 0]);
    expected.extend(record_by_hand(1, 7, 0, 2, b"in"));
    expected.extend(record_by_hand(1 | 4, 8, 0, 6, b""));
    expected.extend(b"shared");
    assert_eq!((kind, is_freeing), (EntryKind::Batch, false));
    assert_eq!(payload, expected);
    let Entry::Batch {
        queue,
        records: read,
    } = Entry::decode(kind, &payload).unwrap()
    else {
        panic!("another kind");
    };
    assert_eq!(queue, 0x0102);
    assert_eq!(read.bytes(), records.bytes());
    assert_eq!(read.shared_bodies(), records.shared_bodies());
}

#[test]
fn the_rest_of_a_record_head_stands_where_it_did() {
    let mut records = records(&[(1, Body::Inline(b""))]);
    let mut head = records.head_mut(crate::message::Position(0));
    head.set_expires_at(Some(Timestamp(0x0201)));
    head.set_enqueued_at(Timestamp(0x0403));
    head.set_delivery_count(0x0605);
    head.set_redelivered(true);
    let mut expected = record_by_hand(1 | 2, 1, 0, 0, b"");
    expected[24..26].copy_from_slice(&[1, 2]);
    expected[32..34].copy_from_slice(&[3, 4]);
    expected[40..42].copy_from_slice(&[5, 6]);
    assert_eq!(records.bytes(), expected);
}

#[test]
fn a_turn_is_sections_and_settles() {
    let body = Bytes::from_static(b"shared");
    let (first, second) = (
        records(&[(0, Body::Shared(body))]),
        records(&[(0, Body::Inline(b"in"))]),
    );
    let sections = [
        Section {
            queues: &[5, 6],
            block: Block::of(&first),
        },
        Section {
            queues: &[6],
            block: Block::of(&second),
        },
    ];
    let settles = [
        (5, Runs::from_iter([1, 2, 3, 9])),
        (6, Runs::from_iter([4])),
    ];
    let (kind, payload, _) = appended(|journal| journal.append_turn(&sections, &settles));
    let mut expected = vec![2, 0, 0, 0];
    expected.extend([2, 0, 0, 0]);
    expected.extend([le(5), le(6)].concat());
    expected.extend([1, 0, 0, 0, 54, 0, 0, 0]);
    expected.extend(record_by_hand(1 | 4, 0, 0, 6, b""));
    expected.extend(b"shared");
    expected.extend([1, 0, 0, 0]);
    expected.extend(le(6));
    expected.extend([1, 0, 0, 0, 56, 0, 0, 0]);
    expected.extend(record_by_hand(1, 0, 0, 2, b"in"));
    expected.extend([2, 0, 0, 0]);
    expected.extend(le(5));
    expected.extend([2, 0, 0, 0]);
    expected.extend(le(1));
    expected.extend([3, 0, 0, 0]);
    expected.extend(le(9));
    expected.extend([1, 0, 0, 0]);
    expected.extend(le(6));
    expected.extend([1, 0, 0, 0]);
    expected.extend(le(4));
    expected.extend([1, 0, 0, 0]);
    assert_eq!(payload, expected);
    let Entry::Turn(turn) = Entry::decode(kind, &payload).unwrap() else {
        panic!("another kind");
    };
    assert_eq!(turn.sections.len(), 2);
    assert_eq!(turn.sections[0].queues[..], [5, 6]);
    assert_eq!(turn.sections[0].records.shared_bodies()[0], "shared");
    assert_eq!(turn.sections[1].queues[..], [6]);
    assert_eq!(turn.sections[1].records.bytes(), second.bytes());
    assert_eq!(turn.settles, settles);
}

#[test]
fn placed_names_turn_index_count_and_ordinal() {
    let placements = [
        Placement {
            turn: Lsn(3),
            index: 1,
            count: 2,
            ordinal: 10,
        },
        Placement {
            turn: Lsn(4),
            index: 0,
            count: 1,
            ordinal: 0,
        },
    ];
    let (kind, payload, _) = appended(|journal| journal.append_placed(5, &placements));
    let mut expected = le(5).to_vec();
    expected.extend(le(3));
    expected.extend([1, 0, 0, 0, 2, 0, 0, 0]);
    expected.extend(le(10));
    expected.extend(le(4));
    expected.extend([0, 0, 0, 0, 1, 0, 0, 0]);
    expected.extend(le(0));
    assert_eq!(payload, expected);
    let Entry::Placed {
        queue,
        placements: read,
    } = Entry::decode(kind, &payload).unwrap()
    else {
        panic!("another kind");
    };
    assert_eq!((queue, &read[..]), (5, &placements[..]));
}

#[test]
fn settled_is_runs_and_may_use_the_reserve() {
    let runs = Runs::from_iter([3, 4, 9]);
    let (kind, payload, is_freeing) = appended(|journal| journal.append_settled(5, &runs));
    let mut expected = le(5).to_vec();
    expected.extend(le(3));
    expected.extend([2, 0, 0, 0]);
    expected.extend(le(9));
    expected.extend([1, 0, 0, 0]);
    assert_eq!(payload, expected);
    assert!(is_freeing);
    let Entry::Settled { queue, runs: read } = Entry::decode(kind, &payload).unwrap() else {
        panic!("another kind");
    };
    assert_eq!((queue, read), (5, runs));
}

#[test]
fn returned_is_ordinals_and_counts() {
    let counts = [(9, 1), (4, 0x0201)];
    let (kind, payload, _) = appended(|journal| journal.append_returned(5, &counts));
    let mut expected = le(5).to_vec();
    expected.extend(le(9));
    expected.extend([1, 0, 0, 0]);
    expected.extend(le(4));
    expected.extend([1, 2, 0, 0]);
    assert_eq!(payload, expected);
    let Entry::Returned {
        queue,
        counts: read,
    } = Entry::decode(kind, &payload).unwrap()
    else {
        panic!("another kind");
    };
    assert_eq!((queue, &read[..]), (5, &counts[..]));
}

#[test]
fn where_there_is_nothing_to_say_nothing_is_appended() {
    let kept = Kept::default();
    let journal: &dyn Journal = &kept;
    let none = records(&[]);
    assert_eq!(journal.append_batch(1, &Block::of(&none)), Lsn::NONE);
    assert_eq!(journal.append_turn(&[], &[]), Lsn::NONE);
    assert_eq!(journal.append_placed(1, &[]), Lsn::NONE);
    assert_eq!(journal.append_settled(1, &Runs::new()), Lsn::NONE);
    assert_eq!(journal.append_returned(1, &[]), Lsn::NONE);
    assert!(kept.entries.lock().is_empty());
}

fn page() -> PageEntry {
    PageEntry {
        queue: 0x0102,
        number: 3,
        segment: 4,
        offset: 0x5000,
        length: 500,
        crc: 0x0403_0201,
        level: Some(7),
        is_redelivered: false,
        may_expire: false,
        body_length: MeanLength::of(3, 2),
        runs: Runs::from_iter([1, 2, 9]),
    }
}

#[test]
fn a_page_entry_has_an_ordered_key_and_a_versioned_value() {
    let page = page();
    let key = [
        &b"m"[..],
        &[0, 0, 0, 0, 0, 0, 1, 2],
        &[0, 0, 0, 0, 0, 0, 0, 3],
    ]
    .concat();
    let mut value = vec![2];
    value.extend(le(4));
    value.extend([0, 0x50, 0, 0, 0, 0, 0, 0]);
    value.extend([0xF4, 1, 0, 0, 1, 2, 3, 4]);
    value.extend([1, 7, 0, 0x80, 1, 0, 0, 0, 0, 0]);
    value.extend([2, 0, 0, 0]);
    value.extend(le(1));
    value.extend([2, 0, 0, 0]);
    value.extend(le(9));
    value.extend([1, 0, 0, 0]);
    assert_eq!(page.key(), key);
    assert_eq!(page.value(), value);
    assert_eq!(PageEntry::decode(&key, &value), Ok(page.clone()));
    let deleted = RawChange {
        key: key.clone(),
        value: None,
    };
    assert_eq!(page.page_key().deleted(), deleted);
    let put = RawChange {
        key,
        value: Some(value),
    };
    assert_eq!(page.put(), put);
}

#[test]
fn a_page_of_several_levels_names_none() {
    let page = PageEntry {
        level: None,
        ..page()
    };
    assert_eq!(page.value()[25..27], [0, 0]);
    assert_eq!(PageEntry::decode(&page.key(), &page.value()), Ok(page));
}

#[test]
fn a_page_entry_says_in_its_flags_what_holds_for_all_of_the_page() {
    for (is_redelivered, may_expire, flags) in [(true, false, 3), (false, true, 5), (true, true, 7)]
    {
        let page = PageEntry {
            is_redelivered,
            may_expire,
            ..page()
        };
        assert_eq!(page.value()[25], flags);
        assert_eq!(PageEntry::decode(&page.key(), &page.value()), Ok(page));
    }
}

#[test]
fn a_page_entry_with_an_unknown_flag_or_a_level_of_none_is_refused() {
    let (key, value) = (page().key(), page().value());
    for (flags, level) in [(8, 0), (9, 7), (0, 7), (6, 1)] {
        let mut value = value.clone();
        (value[25], value[26]) = (flags, level);
        assert!(PageEntry::decode(&key, &value).is_err(), "{flags} {level}");
    }
}

#[test]
fn a_page_key_is_told_from_others() {
    let key = PageKey {
        queue: 1,
        number: 2,
    }
    .bytes();
    assert_eq!(
        PageKey::parse(&key),
        Some(PageKey {
            queue: 1,
            number: 2
        })
    );
    assert_eq!(PageKey::parse(&key[..16]), None);
    assert_eq!(PageKey::parse(&[&key[..], &[0]].concat()), None);
    assert_eq!(PageKey::parse(b"y\0\x01/\0\x01q------------"), None);
    assert_eq!(PageKey::parse(b""), None);
}

#[test]
fn a_page_entry_names_no_more_messages_than_its_length_holds() {
    let full = PageEntry {
        length: 8 + 3 * 48,
        ..page()
    };
    assert!(PageEntry::decode(&full.key(), &full.value()).is_ok());
    let too_short = PageEntry {
        length: full.length - 1,
        ..page()
    };
    let error = PageEntry::decode(&too_short.key(), &too_short.value()).unwrap_err();
    assert_eq!(
        error,
        Malformed("a page entry names more messages than fit")
    );
}

#[test]
fn a_page_entry_with_longer_bodies_than_its_page_is_refused() {
    for (bytes, is_read) in [(500, true), (501, false)] {
        let page = PageEntry {
            body_length: MeanLength::of(bytes, 1),
            ..page()
        };
        let read = PageEntry::decode(&page.key(), &page.value());
        assert_eq!(read.is_ok(), is_read, "{bytes}");
    }
}

proptest! {
    #[test]
    fn a_mean_gives_the_sum_it_was_made_of(count in 1u64..65_536, bytes in 0..=u64::from(u32::MAX)) {
        prop_assert_eq!(MeanLength::of(bytes, count).total(count), bytes);
    }
}

//! Bytes that nobody wrote.

use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::Index;

use super::{appended, records};
use crate::host::Lsn;
use crate::journal::{
    Block, Entry, EntryKind, Malformed, MeanLength, PageEntry, Placement, Runs, Section, encode,
};
use crate::message::Body;

fn payloads() -> Vec<(EntryKind, Vec<u8>)> {
    let body = Bytes::from_static(b"a shared body");
    let batch = records(&[(7, Body::Inline(b"in")), (8, Body::Shared(body.clone()))]);
    let turn = records(&[(0, Body::Shared(body))]);
    let sections = [
        Section {
            queues: &[5, 6],
            block: Block::of(&turn),
        },
        Section {
            queues: &[6],
            block: Block::of(&batch),
        },
    ];
    let settles = [
        (5, Runs::from_iter([1, 2, 3, 9])),
        (6, Runs::from_iter([4])),
    ];
    let placement = Placement {
        turn: Lsn(3),
        index: 1,
        count: 2,
        ordinal: 10,
    };
    let runs = Runs::from_iter([1, 5, 6]);
    let entries = [
        appended(|journal| journal.append_batch(5, &Block::of(&batch))),
        appended(|journal| journal.append_turn(&sections, &settles)),
        appended(|journal| journal.append_placed(5, &[placement, placement])),
        appended(|journal| journal.append_settled(5, &runs)),
        appended(|journal| journal.append_returned(5, &[(4, 1), (5, 2)])),
    ];
    entries.map(|(kind, payload, _)| (kind, payload)).into()
}

/// Where an entry may end because its last items may be fewer.
fn whole_items(kind: EntryKind, length: usize) -> bool {
    match kind {
        EntryKind::Batch | EntryKind::Turn => false,
        EntryKind::Placed => length > 8 && (length - 8).is_multiple_of(24),
        EntryKind::Settled | EntryKind::Returned => length > 8 && (length - 8).is_multiple_of(12),
    }
}

#[test]
fn every_truncation_within_an_item_is_refused() {
    for (kind, payload) in payloads() {
        assert!(Entry::decode(kind, &payload).is_ok());
        for length in 0..payload.len() {
            let is_read = Entry::decode(kind, &payload[..length]).is_ok();
            assert_eq!(is_read, whole_items(kind, length), "{kind:?} of {length}");
        }
        let longer = [&payload[..], &[0]].concat();
        assert!(Entry::decode(kind, &longer).is_err(), "{kind:?}");
    }
}

#[test]
fn every_truncated_page_entry_is_refused() {
    let page = PageEntry {
        queue: 1,
        number: 2,
        segment: 3,
        offset: 4,
        length: 5000,
        crc: 6,
        level: None,
        is_redelivered: false,
        may_expire: false,
        body_length: MeanLength::default(),
        runs: Runs::from_iter([1, 5, 6]),
    };
    let (key, value) = (page.key(), page.value());
    for length in 0..value.len() {
        assert!(PageEntry::decode(&key, &value[..length]).is_err());
    }
    assert!(PageEntry::decode(&key, &[&value[..], &[0]].concat()).is_err());
    assert!(PageEntry::decode(&key[1..], &value).is_err());
}

#[track_caller]
fn refuse_runs(runs: &[(u64, u32)]) {
    let mut payload = 1u64.to_le_bytes().to_vec();
    for (first, count) in runs {
        payload.extend(first.to_le_bytes());
        payload.extend(count.to_le_bytes());
    }
    let error = Entry::decode(EntryKind::Settled, &payload).unwrap_err();
    assert_eq!(error, Malformed("runs that overlap, descend or are none"));
}

#[test]
fn runs_are_ascending_apart_and_within_the_numbers() {
    refuse_runs(&[(5, 0)]);
    refuse_runs(&[(0, 1)]);
    refuse_runs(&[(5, 2), (6, 1)]);
    refuse_runs(&[(5, 2), (1, 1)]);
    refuse_runs(&[(u64::MAX, 2)]);
    let mut payload = 1u64.to_le_bytes().to_vec();
    payload.extend(u64::MAX.to_le_bytes());
    payload.extend(1u32.to_le_bytes());
    assert!(Entry::decode(EntryKind::Settled, &payload).is_ok());
}

#[test]
fn a_batch_has_no_message_without_an_ordinal() {
    let records = records(&[(1, Body::Inline(b"")), (0, Body::Inline(b""))]);
    let (kind, payload, _) = appended(|journal| journal.append_batch(1, &Block::of(&records)));
    let error = Entry::decode(kind, &payload).unwrap_err();
    assert_eq!(error, Malformed("a message without an ordinal"));
}

#[test]
fn a_placement_stays_within_the_numbers() {
    let placement = |index, count, ordinal| {
        let placement = Placement {
            turn: Lsn(1),
            index,
            count,
            ordinal,
        };
        Entry::decode(EntryKind::Placed, &encode::placed(1, &[placement]))
    };
    assert!(placement(0, 0, 1).is_err());
    assert!(placement(u32::MAX, 1, 1).is_err());
    assert!(placement(u32::MAX - 1, 1, 1).is_ok());
    assert!(placement(0, 2, u64::MAX - 1).is_err());
    assert!(placement(0, 2, u64::MAX - 2).is_ok());
}

#[test]
fn counts_beyond_the_bytes_reserve_nothing() {
    for (kind, payload) in [
        (EntryKind::Turn, vec![0xFF; 4]),
        (EntryKind::Turn, [[1, 0, 0, 0], [0xFF; 4]].concat()),
        (EntryKind::Turn, [[0, 0, 0, 0], [0xFF; 4]].concat()),
    ] {
        assert!(Entry::decode(kind, &payload).is_err());
    }
}

proptest! {
    #[test]
    fn flipped_bits_never_panic(
        flips in prop::collection::vec((any::<Index>(), 0u8..8), 1..4),
        which in 0usize..5,
    ) {
        let (kind, mut payload) = payloads().swap_remove(which);
        for (index, bit) in flips {
            let index = index.index(payload.len());
            payload[index] ^= 1 << bit;
        }
        let _ = Entry::decode(kind, &payload);
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for kind in EntryKind::ALL {
            let _ = Entry::decode(kind, &bytes);
        }
        let _ = PageEntry::decode(&bytes, &bytes);
        let key = crate::journal::PageKey { queue: 1, number: 2 }.bytes();
        let _ = PageEntry::decode(&key, &bytes);
    }

    #[test]
    fn page_entries_are_read_back(
        numbers in any::<[u64; 4]>(),
        crc in any::<u32>(),
        level in any::<Option<u8>>(),
        is_redelivered in any::<bool>(),
        may_expire in any::<bool>(),
        ordinals in prop::collection::btree_set(1u64..100, 0..20),
    ) {
        let page = PageEntry {
            queue: numbers[0],
            number: numbers[1],
            segment: numbers[2],
            offset: numbers[3],
            length: 8 + 48 * 20,
            crc,
            level,
            is_redelivered,
            may_expire,
            body_length: MeanLength::default(),
            runs: ordinals.into_iter().collect(),
        };
        prop_assert_eq!(PageEntry::decode(&page.key(), &page.value()), Ok(page));
    }
}

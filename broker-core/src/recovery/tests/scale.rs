//! Many messages: what they cost, and orders in which a search through all of them for each would
//! not come to an end here.

use super::{entry, page, push};
use crate::host::Lsn;
use crate::journal::{Block, Runs};
use crate::message::Records;
use crate::recovery::Recovery;

const MANY: u64 = 200_000;
const BATCH: u64 = 1000;

/// A message's record in these tests.
const RECORD_BYTES: usize = 48 + 1 + 2 + 6;

/// Queue 1 with all messages in the log.
fn many() -> Recovery {
    let mut recovery = Recovery::new();
    recovery.queue_exists(1);
    for batch in 0..MANY / BATCH {
        let mut records = Records::new();
        for ordinal in batch * BATCH + 1..=(batch + 1) * BATCH {
            push(&mut records, ordinal, 100_000, 0);
        }
        let (kind, payload) = entry(|log| log.append_batch(1, &Block::of(&records)));
        let lsn = Lsn(batch + 1);
        recovery.entry(lsn, kind as u8, &payload).unwrap();
    }
    recovery
}

fn settle(recovery: &mut Recovery, lsn: u64, ordinals: impl Iterator<Item = u64>) {
    let runs: Runs = ordinals.collect();
    let (kind, payload) = entry(|log| log.append_settled(1, &runs));
    recovery.entry(Lsn(lsn), kind as u8, &payload).unwrap();
}

fn found(recovery: Recovery) -> Vec<u64> {
    let restored = recovery.finish();
    let chunks = restored.queues[0].chunks.iter();
    chunks
        .flat_map(|chunk| chunk.records.iter())
        .map(|record| record.ordinal())
        .collect()
}

#[test]
fn a_message_costs_less_than_24_bytes_beside_its_record() {
    let recovery = many();
    let beside = recovery.memory_bytes() - MANY as usize * RECORD_BYTES;
    let each = beside as f64 / MANY as f64;
    assert!(each < 24.0, "{each} bytes");
    assert_eq!(found(recovery), (1..=MANY).collect::<Vec<_>>());
}

#[test]
fn memory_follows_what_is_settled_in_any_order() {
    let mut recovery = many();
    let full = recovery.memory_bytes();
    let mut lsn = 1000;
    // Every residue on its own: each settle is a run of one, all over the queue.
    for residue in 1..10 {
        lsn += 1;
        settle(&mut recovery, lsn, (residue..=MANY).step_by(10));
    }
    let tenth = recovery.memory_bytes();
    assert!(tenth < full / 3, "{tenth} of {full}");
    assert!(found(recovery).into_iter().eq((10..=MANY).step_by(10)));
}

#[test]
fn messages_come_again_in_descending_order() {
    let mut recovery = many();
    settle(&mut recovery, 1000, 1..=MANY - 1);
    for (lsn, ordinal) in (1001..).zip((1..MANY / 20).rev()) {
        let mut records = Records::new();
        push(&mut records, ordinal, 100_000, 0);
        let (kind, payload) = entry(|log| log.append_batch(1, &Block::of(&records)));
        recovery.entry(Lsn(lsn), kind as u8, &payload).unwrap();
    }
    let expected = (1..MANY / 20).chain([MANY]);
    assert!(found(recovery).into_iter().eq(expected));
}

#[test]
fn pages_are_put_from_the_back_and_settled_one_by_one() {
    let mut recovery = many();
    let full = recovery.memory_bytes();
    for number in (0..MANY / 100).rev() {
        let runs = Runs::between(number * 100 + 1, number * 100 + 100);
        let page = page(1, number, runs);
        recovery.page(&page.key(), &page.value()).unwrap();
        let left = (recovery.memory_bytes() as f64) / full as f64;
        let expected = number as f64 / (MANY / 100) as f64;
        if number % 100 == 0 {
            assert!(left < expected + 0.1, "{left} with {number} pages to come");
        }
    }
    for (lsn, ordinal) in (1001..).zip((1..=MANY).filter(|ordinal| ordinal % 4 != 0)) {
        settle(&mut recovery, lsn, std::iter::once(ordinal));
    }
    let restored = recovery.finish();
    let queue = &restored.queues[0];
    assert_eq!(queue.pages.len() as u64, MANY / 100);
    assert!(queue.pages.iter().all(|page| page.runs.count() == 25));
    assert_eq!(queue.stale_pages.len(), queue.pages.len());
}

#[test]
fn many_turns_for_many_queues_are_placed_late_and_backwards() {
    let queues: Vec<u64> = (1..=200).collect();
    let mut recovery = Recovery::new();
    queues
        .iter()
        .for_each(|&queue| recovery.queue_exists(queue));
    let turns = 100;
    for lsn in 1..=turns {
        let mut records = Records::new();
        push(&mut records, 0, lsn as u32, 0);
        let section = crate::journal::Section {
            queues: &queues,
            block: Block::of(&records),
        };
        let (kind, payload) = entry(|log| log.append_turn(&[section], &[]));
        recovery.entry(Lsn(lsn), kind as u8, &payload).unwrap();
    }
    let mut lsn = turns;
    for &queue in queues.iter().rev() {
        for turn in (2..=turns).rev() {
            let placement = crate::journal::Placement {
                turn: Lsn(turn),
                index: 0,
                count: 1,
                ordinal: turns + 1 - turn,
            };
            let (kind, payload) = entry(|log| log.append_placed(queue, &[placement]));
            lsn += 1;
            recovery.entry(Lsn(lsn), kind as u8, &payload).unwrap();
        }
    }
    let restored = recovery.finish();
    assert_eq!(restored.queues.len(), queues.len());
    for queue in &restored.queues {
        let records = queue.chunks.iter().map(|chunk| chunk.records.len());
        assert_eq!(records.sum::<usize>() as u64, turns);
        assert_eq!(queue.placements[0].turn, Lsn(1));
        assert_eq!(queue.placements[0].ordinal, turns);
    }
}

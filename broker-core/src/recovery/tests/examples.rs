//! What a start makes of map and log, fact by fact.

use std::collections::BTreeMap;

use super::{Contents, entry, in_log, page, push};
use crate::host::Lsn;
use crate::journal::{Block, EntryKind, Journal, Malformed, PageKey, Placement, Runs, Section};
use crate::message::Records;
use crate::recovery::{Damaged, Recovery, Restored, StalePage, Tally};

/// A recovery of queue 1 that counts its LSNs itself.
#[derive(Default)]
struct Start {
    recovery: Recovery,
    lsn: u64,
}

impl Start {
    fn new() -> Start {
        let mut start = Start::default();
        start.recovery.queue_exists(1);
        start
    }

    fn entry(&mut self, append: impl FnOnce(&dyn Journal) -> Lsn) -> Lsn {
        let (kind, payload) = entry(append);
        self.lsn += 1;
        let lsn = Lsn(self.lsn);
        self.recovery.entry(lsn, kind as u8, &payload).unwrap();
        lsn
    }

    /// Messages of queue 1 with these ordinals and, as their bodies, the same numbers.
    fn batch(&mut self, ordinals: &[u64]) -> Lsn {
        self.batch_of(1, ordinals)
    }

    fn batch_of(&mut self, queue: u64, ordinals: &[u64]) -> Lsn {
        let mut records = Records::new();
        for &ordinal in ordinals {
            push(&mut records, ordinal, ordinal as u32, 0);
        }
        self.entry(|log| log.append_batch(queue, &Block::of(&records)))
    }

    /// A message for these queues, its body `body`.
    fn turn(&mut self, queues: &[u64], body: u32) -> Lsn {
        let mut records = Records::new();
        push(&mut records, 0, body, 0);
        let block = Block::of(&records);
        self.entry(|log| log.append_turn(&[Section { queues, block }], &[]))
    }

    fn place(&mut self, queue: u64, turn: Lsn, ordinal: u64) -> Lsn {
        let placement = Placement {
            turn,
            index: 0,
            count: 1,
            ordinal,
        };
        self.entry(|log| log.append_placed(queue, &[placement]))
    }

    fn settle(&mut self, ordinals: &[u64]) -> Lsn {
        let runs = ordinals.iter().copied().collect();
        self.entry(|log| log.append_settled(1, &runs))
    }

    /// As a transaction does.
    fn settle_in_turn(&mut self, ordinals: &[u64]) -> Lsn {
        let runs = ordinals.iter().copied().collect();
        self.entry(|log| log.append_turn(&[], &[(1, runs)]))
    }

    fn put_page(&mut self, number: u64, ordinals: &[u64]) {
        let page = page(1, number, ordinals.iter().copied().collect());
        self.recovery.page(&page.key(), &page.value()).unwrap();
    }

    fn drop_page(&mut self, number: u64) {
        let key = PageKey { queue: 1, number };
        self.recovery.page_gone(&key.bytes());
    }

    fn finish(self) -> Restored {
        self.recovery.finish()
    }
}

fn ordinals(contents: &Contents) -> Vec<u64> {
    contents.keys().copied().collect()
}

/// Number of the page to its runs.
fn pages(restored: &Restored) -> BTreeMap<u64, Vec<u64>> {
    let pages = restored.queues.iter().flat_map(|queue| &queue.pages);
    pages
        .map(|page| (page.number, page.runs.iter().collect()))
        .collect()
}

#[test]
fn what_was_published_and_not_settled_is_there_in_order() {
    let mut start = Start::new();
    start.batch(&[1, 2, 3]);
    start.batch(&[4, 6]);
    start.settle(&[2, 4]);
    let restored = start.finish();
    let found = in_log(&restored, 1);
    assert_eq!(ordinals(&found), [1, 3, 6]);
    assert_eq!(found[&6], (6, 0));
    assert_eq!(restored.queues[0].next_ordinal, 7);
    assert_eq!(restored.queues[0].first_lsn, Some(Lsn(1)));
    let tally = Tally {
        entries: 3,
        ..Tally::default()
    };
    assert_eq!(restored.tally, tally);
}

#[test]
fn a_batch_of_what_is_there_changes_nothing() {
    let mut start = Start::new();
    start.batch(&[1]);
    let mut records = Records::new();
    push(&mut records, 1, 99, 5);
    start.entry(|log| log.append_batch(1, &Block::of(&records)));
    assert_eq!(in_log(&start.finish(), 1)[&1], (1, 0));
}

#[test]
fn a_message_that_was_settled_may_come_again_with_its_old_ordinal() {
    let mut start = Start::new();
    start.batch(&[1, 2, 3]);
    start.settle(&[1, 2]);
    start.batch(&[2]);
    assert_eq!(ordinals(&in_log(&start.finish(), 1)), [2, 3]);
}

#[test]
fn what_came_again_is_there_as_any_other() {
    let mut start = Start::new();
    start.batch(&[1, 2, 3]);
    start.settle(&[2]);
    start.batch(&[2]);
    let mut records = Records::new();
    push(&mut records, 2, 99, 5);
    start.entry(|log| log.append_batch(1, &Block::of(&records)));
    start.entry(|log| log.append_returned(1, &[(2, 1)]));
    let expected = Contents::from([(1, (1, 0)), (2, (2, 1)), (3, (3, 0))]);
    assert_eq!(in_log(&start.finish(), 1), expected);
}

#[test]
fn settling_what_is_not_there_only_counts_its_ordinal() {
    let mut start = Start::new();
    start.settle(&[7]);
    let restored = start.finish();
    assert_eq!(restored.queues[0].next_ordinal, 8);
    assert_eq!(restored.queues[0].first_lsn, None);
    assert!(restored.queues[0].chunks.is_empty());
}

#[test]
fn the_entry_of_a_chunk_whose_messages_are_all_settled_is_not_needed() {
    let mut start = Start::new();
    start.batch(&[1]);
    start.settle(&[1]);
    let second = start.batch(&[2]);
    assert_eq!(start.finish().queues[0].first_lsn, Some(second));
}

#[test]
fn a_page_takes_its_messages_out_of_memory_at_once() {
    let mut start = Start::new();
    let ordinals: Vec<u64> = (1..=2000).collect();
    start.batch(&ordinals);
    let before = start.recovery.memory_bytes();
    assert!(before > 2000 * 48);
    start.put_page(1, &ordinals[..1990]);
    let after = start.recovery.memory_bytes();
    assert!(after < before / 20, "{after} of {before}");
    start.put_page(2, &ordinals[1990..]);
    assert!(start.recovery.memory_bytes() < 1024);
    let restored = start.finish();
    assert!(restored.queues[0].chunks.is_empty());
    assert_eq!(restored.queues[0].first_lsn, None);
    assert_eq!(pages(&restored)[&2].len(), 10);
}

#[test]
fn a_page_that_loses_messages_is_stale_from_the_first_settle_on() {
    let mut start = Start::new();
    start.put_page(1, &[1, 2, 3]);
    start.put_page(2, &[4]);
    let since = start.settle(&[2]);
    start.settle(&[1, 4]);
    let restored = start.finish();
    assert_eq!(pages(&restored), BTreeMap::from([(1, vec![3])]));
    let queue = &restored.queues[0];
    assert_eq!(queue.dead_pages.len(), 1);
    assert_eq!(queue.dead_pages[0].number, 2);
    let stale = |number, since| StalePage { number, since };
    assert_eq!(queue.stale_pages, [stale(1, since), stale(2, Lsn(2))]);
    assert_eq!(queue.first_lsn, Some(since));
}

#[test]
fn a_page_that_is_put_again_is_not_stale() {
    let mut start = Start::new();
    start.put_page(1, &[1, 2]);
    start.settle(&[2]);
    start.put_page(1, &[1]);
    let restored = start.finish();
    assert_eq!(pages(&restored), BTreeMap::from([(1, vec![1])]));
    assert!(restored.queues[0].stale_pages.is_empty());
}

#[test]
fn what_two_pages_name_is_in_the_newer_one() {
    let mut start = Start::new();
    start.put_page(9, &[2, 3]);
    start.put_page(4, &[1, 2, 3, 4]);
    start.put_page(10, &[4]);
    let restored = start.finish();
    let expected = BTreeMap::from([(4, vec![1]), (9, vec![2, 3]), (10, vec![4])]);
    assert_eq!(pages(&restored), expected);
    let stale = &restored.queues[0].stale_pages;
    assert_eq!(stale.len(), 1);
    assert_eq!(stale[0].number, 4);
}

#[test]
fn messages_of_a_page_that_are_logged_again_outlive_it() {
    let mut start = Start::new();
    start.put_page(1, &[1, 2, 4]);
    start.settle(&[2]);
    let mut records = Records::new();
    push(&mut records, 1, 1, 0);
    push(&mut records, 4, 4, 3);
    start.entry(|log| log.append_again(1, &records));
    start.drop_page(1);
    let restored = start.finish();
    assert_eq!(
        in_log(&restored, 1),
        Contents::from([(1, (1, 0)), (4, (4, 3))])
    );
    let queue = &restored.queues[0];
    assert_eq!((queue.first_lsn, queue.next_ordinal), (Some(Lsn(2)), 5));
    assert!(queue.placements.is_empty());
}

#[test]
fn a_page_that_stays_keeps_what_was_logged_again() {
    let mut start = Start::new();
    start.put_page(2, &[1, 2]);
    let mut records = Records::new();
    push(&mut records, 1, 1, 4);
    push(&mut records, 2, 2, 0);
    start.entry(|log| log.append_again(1, &records));
    let restored = start.finish();
    let queue = &restored.queues[0];
    assert_eq!(queue.pages[0].runs, Runs::between(1, 2));
    assert_eq!(queue.returned, [(1, 4)]);
    assert!(queue.chunks.is_empty() && queue.stale_pages.is_empty());
    assert_eq!(queue.first_lsn, None);
}

#[test]
fn what_was_logged_again_and_settled_stays_away_when_its_page_goes() {
    let mut start = Start::new();
    start.put_page(1, &[1, 2]);
    let mut records = Records::new();
    push(&mut records, 1, 1, 0);
    push(&mut records, 2, 2, 0);
    start.entry(|log| log.append_again(1, &records));
    start.entry(|log| log.append_returned(1, &[(2, 3)]));
    start.settle(&[1]);
    start.drop_page(1);
    let restored = start.finish();
    assert_eq!(in_log(&restored, 1), Contents::from([(2, (2, 3))]));
    assert_eq!(restored.tally.vanished, 0);
}

#[test]
fn what_a_transaction_settled_stays_away_though_its_queue_hears_of_it_later() {
    let mut start = Start::new();
    start.batch(&[1, 2, 3, 4]);
    let turn = start.settle_in_turn(&[1, 2]);
    start.put_page(1, &[1, 2, 3]);
    let mut records = Records::new();
    push(&mut records, 2, 2, 0);
    start.entry(|log| log.append_again(1, &records));
    let restored = start.finish();
    assert_eq!(pages(&restored), BTreeMap::from([(1, vec![3])]));
    assert_eq!(ordinals(&in_log(&restored, 1)), [4]);
    let stale = StalePage {
        number: 1,
        since: turn,
    };
    assert_eq!(restored.queues[0].stale_pages, [stale]);
    assert_eq!(restored.tally.vanished, 0);
}

#[test]
fn what_its_queue_settled_too_may_come_again_with_its_old_ordinal() {
    let mut start = Start::new();
    start.batch(&[1, 2]);
    start.settle_in_turn(&[1]);
    start.settle(&[1]);
    start.put_page(1, &[1, 2]);
    assert_eq!(pages(&start.finish()), BTreeMap::from([(1, vec![1, 2])]));
}

#[test]
fn messages_that_leave_their_page_for_nowhere_are_counted() {
    let mut start = Start::new();
    start.put_page(1, &[1, 2, 3, 4, 5]);
    start.settle(&[2]);
    start.batch(&[1]);
    start.drop_page(1);
    start.batch(&[3]);
    start.put_page(2, &[4]);
    let restored = start.finish();
    assert_eq!(restored.tally.vanished, 2);
    assert_eq!(ordinals(&in_log(&restored, 1)), [3]);
}

#[test]
fn messages_may_leave_the_pages_of_a_map_that_is_older_than_the_floor() {
    let mut start = Start::new();
    start.recovery.map_is_older();
    start.put_page(1, &[1, 2]);
    start.drop_page(1);
    let restored = start.finish();
    assert_eq!(restored.tally.vanished, 0);
    assert!(pages(&restored).is_empty());
}

#[test]
fn pages_stand_in_the_order_of_their_first_ordinals() {
    let mut start = Start::new();
    start.put_page(1, &[7, 8]);
    start.put_page(2, &[3, 9]);
    start.put_page(3, &[4]);
    let restored = start.finish();
    let pages = restored.queues[0].pages.iter();
    assert!(pages.map(|page| page.number).eq([2, 3, 1]));
}

#[test]
fn counts_of_messages_in_pages_stand_apart() {
    let mut start = Start::new();
    start.put_page(1, &[1, 2]);
    start.batch(&[3, 4]);
    start.entry(|log| log.append_returned(1, &[(1, 2), (2, 1), (3, 1), (4, 7)]));
    start.settle(&[2]);
    start.put_page(2, &[4]);
    let restored = start.finish();
    assert_eq!(restored.queues[0].returned, [(1, 2), (4, 7)]);
    assert_eq!(in_log(&restored, 1), Contents::from([(3, (3, 1))]));
}

#[test]
fn no_count_is_reported_of_what_lies_in_no_page() {
    let mut start = Start::new();
    start.put_page(1, &[1]);
    start.entry(|log| log.append_returned(1, &[(1, 2), (9, 1)]));
    start.drop_page(1);
    let restored = start.finish();
    assert!(restored.queues[0].returned.is_empty());
    assert_eq!(restored.queues[0].next_ordinal, 10);
}

#[test]
fn a_count_ends_with_the_settle_of_its_message() {
    let mut start = Start::new();
    start.put_page(1, &[1]);
    start.entry(|log| log.append_returned(1, &[(1, 2)]));
    start.settle(&[1]);
    start.batch(&[1]);
    start.put_page(2, &[1]);
    assert!(start.finish().queues[0].returned.is_empty());
}

#[test]
fn a_turn_is_placed_queue_by_queue() {
    let mut start = Start::new();
    start.recovery.queue_exists(2);
    start.batch(&[1]);
    let turn = start.turn(&[1, 2], 30);
    start.batch(&[2]);
    start.place(1, turn, 3);
    start.place(2, turn, 1);
    let restored = start.finish();
    assert_eq!(in_log(&restored, 1)[&3], (30, 0));
    assert_eq!(in_log(&restored, 2), Contents::from([(1, (30, 0))]));
    assert_eq!(restored.queues[1].first_lsn, Some(turn));
    assert!(
        restored
            .queues
            .iter()
            .all(|queue| queue.placements.is_empty())
    );
}

#[test]
fn a_refused_message_of_a_turn_is_gone() {
    let mut start = Start::new();
    let turn = start.turn(&[1], 30);
    start.place(1, turn, 0);
    assert_eq!(start.recovery.memory_bytes(), 0);
    let restored = start.finish();
    assert!(in_log(&restored, 1).is_empty());
}

#[test]
fn what_was_not_placed_goes_behind_everything_and_is_reported() {
    let mut start = Start::new();
    let first = start.turn(&[1], 30);
    let second = start.turn(&[1], 31);
    start.batch(&[1]);
    start.place(1, first, 0);
    start.settle(&[5]);
    let restored = start.finish();
    assert_eq!(
        in_log(&restored, 1),
        Contents::from([(1, (1, 0)), (6, (31, 0))])
    );
    let queue = &restored.queues[0];
    let placement = Placement {
        turn: second,
        index: 0,
        count: 1,
        ordinal: 6,
    };
    assert_eq!(queue.placements, [placement]);
    assert_eq!((queue.next_ordinal, queue.first_lsn), (7, Some(second)));
}

#[test]
fn a_turn_settles_what_was_there_before_it() {
    let mut start = Start::new();
    start.batch(&[1, 2]);
    let mut records = Records::new();
    push(&mut records, 0, 30, 0);
    let section = Section {
        queues: &[1],
        block: Block::of(&records),
    };
    let settles = [(1, Runs::from_iter([1]))];
    start.entry(|log| log.append_turn(&[section], &settles));
    assert_eq!(ordinals(&in_log(&start.finish(), 1)), [2, 3]);
}

#[test]
fn placed_messages_of_an_unread_turn_are_passed_over_but_their_ordinals_count() {
    let mut start = Start::new();
    start.lsn = 10;
    start.place(1, Lsn(3), 7);
    let restored = start.finish();
    assert!(in_log(&restored, 1).is_empty());
    assert_eq!(restored.queues[0].next_ordinal, 8);
}

#[test]
fn a_queue_that_is_gone_has_nothing_and_its_pages_are_orphans() {
    let mut start = Start::new();
    start.put_page(1, &[1]);
    start.put_page(2, &[2]);
    start.batch(&[3]);
    start.recovery.queue_gone(1);
    assert_eq!(start.recovery.memory_bytes(), 0);
    start.batch(&[4]);
    let turn = start.turn(&[1], 30);
    start.place(1, turn, 5);
    assert_eq!(start.recovery.memory_bytes(), 0);
    start.drop_page(2);
    start.put_page(3, &[4]);
    let restored = start.finish();
    assert!(restored.queues.is_empty());
    let orphan = |number| PageKey { queue: 1, number };
    assert_eq!(restored.orphans, [orphan(1), orphan(3)]);
}

#[test]
fn a_queue_that_nobody_names_has_nothing() {
    let mut start = Start::new();
    start.batch_of(2, &[1]);
    start.turn(&[2], 30);
    let page = page(3, 1, Runs::from_iter([1]));
    start.recovery.page(&page.key(), &page.value()).unwrap();
    let restored = start.finish();
    assert!(restored.queues.is_empty());
    assert_eq!(restored.orphans, [page.page_key()]);
}

#[test]
fn a_damaged_entry_is_counted_and_passed_over() {
    let mut start = Start::new();
    start.batch(&[1]);
    let damaged = start.recovery.entry(Lsn(2), 5, &[1, 2, 3]);
    let why = Malformed("ends before its last item");
    let expected = Damaged {
        lsn: Lsn(2),
        kind: 5,
        why,
    };
    assert_eq!(damaged, Err(expected));
    let text = expected.to_string();
    assert_eq!(text, "entry 2 of kind 5: ends before its last item");
    assert!(start.recovery.entry(Lsn(3), 99, &[]).is_err());
    let key = PageKey {
        queue: 1,
        number: 1,
    };
    assert!(start.recovery.page(&key.bytes(), &[9]).is_err());
    let mut records = Records::new();
    push(&mut records, 0, 1, 0);
    let (kind, payload) = entry(|log| log.append_batch(1, &Block::of(&records)));
    assert_eq!(kind, EntryKind::Batch);
    assert!(start.recovery.entry(Lsn(4), 2, &payload).is_err());
    start.lsn = 4;
    start.batch(&[2]);
    let restored = start.finish();
    assert_eq!(ordinals(&in_log(&restored, 1)), [1, 2]);
    assert_eq!(restored.tally.damaged, 4);
}

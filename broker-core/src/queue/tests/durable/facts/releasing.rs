//! What of the log a queue needs, and how it comes to need less.

use super::super::bed::{Bed, persistent, transient};
use super::super::run::push;
use crate::journal::{Block, Journal, Section};
use crate::message::Records;
use crate::queue::tests::Client;
use crate::queue::*;
use crate::turns::{OpenTurn, OpenTurns};
use std::sync::Arc;

/// A turn with messages of these ids is in the log.
pub(super) fn begin_turn(bed: &Bed, ids: std::ops::Range<u32>) -> Arc<OpenTurn> {
    let mut records = Records::new();
    for id in ids {
        push(&mut records, id, &persistent());
    }
    let section = Section {
        queues: &[1],
        block: Block::of(&records),
    };
    let journal: Arc<dyn Journal> = bed.disk.log().clone();
    let turns: Arc<OpenTurns> = Arc::default();
    turns.begin(|| journal.append_turn(&[section], &[]))
}

#[test]
fn the_log_is_needed_from_the_first_message_that_no_page_has() {
    let mut bed = Bed::with_memory(Settings::default());
    assert_eq!(bed.needed_from(), None);
    bed.publish(4);
    bed.publish(4);
    assert_eq!(bed.needed_from(), Some(1));
    let client = Client::new();
    bed.consume(&client, 0);
    bed.ack(1..=4);
    assert_eq!(bed.needed_from(), Some(2));
    bed.ack(5..=8);
    assert_eq!(bed.needed_from(), None);
}

#[test]
fn transient_messages_need_nothing_of_the_log() {
    let mut bed = Bed::with_memory(Settings::default());
    bed.publish_all(&[persistent(), transient()]);
    assert_eq!(bed.needed_from(), Some(1));
    let client = Client::new();
    bed.get(&client);
    bed.ack([1]);
    assert_eq!(bed.needed_from(), None);
    assert_eq!(bed.queue.counts().ready, 1);
}

#[test]
fn what_only_the_log_has_is_put_into_pages() {
    let mut bed = Bed::with_memory(Settings::default());
    bed.publish(8);
    bed.release();
    assert_eq!(bed.needed_from(), None);
    let entries = bed.entries();
    let runs = entries.iter().map(|entry| entry.runs.to_string());
    assert_eq!(runs.collect::<Vec<_>>(), ["1-4", "5-8"]);
    assert_eq!(bed.away(), 0, "there is memory");
}

#[test]
fn what_is_logged_later_is_left_alone() {
    let mut bed = Bed::with_memory(Settings::default());
    bed.publish(4);
    let upto = crate::host::Lsn(bed.disk.log().last());
    bed.publish(4);
    bed.submit(Command::Release { upto });
    assert_eq!((bed.needed_from(), bed.pages()), (Some(2), 1));
}

#[test]
fn a_settlement_is_needed_until_the_entry_is_put_again() {
    let mut bed = Bed::with_memory(Settings::default());
    bed.publish(4);
    bed.release();
    let client = Client::new();
    bed.consume(&client, 0);
    let last = bed.disk.log().last();
    bed.ack([2]);
    bed.ack([3]);
    assert_eq!(bed.needed_from(), Some(last + 1));
    bed.release();
    assert_eq!(bed.needed_from(), None);
    assert_eq!(bed.entries()[0].runs.to_string(), "1, 4");
    assert_eq!(bed.pages(), 1, "the page itself is as it was");
}

#[test]
fn an_entry_goes_with_the_last_message_of_its_page() {
    let mut bed = Bed::with_memory(Settings::default());
    bed.publish(4);
    bed.release();
    let client = Client::new();
    bed.consume(&client, 0);
    let last = bed.disk.log().last();
    bed.ack(1..=4);
    assert_eq!(bed.log_behind(last), ["settled 1-4", "delete"]);
    assert_eq!((bed.needed_from(), bed.pages()), (None, 0));
}

#[test]
fn a_return_is_needed_until_the_page_says_it() {
    let mut bed = Bed::with_memory(Settings::default());
    bed.publish(4);
    bed.release();
    let client = Client::new();
    bed.get(&client);
    let last = bed.disk.log().last();
    bed.submit(Command::Requeue { ordinals: vec![1] });
    assert_eq!(bed.log_behind(last), ["returned [(1, 1)]"]);
    assert_eq!(bed.needed_from(), Some(last + 1));
    bed.release();
    assert_eq!(bed.needed_from(), None);
}

#[test]
fn a_page_on_disk_is_read_to_be_written_with_what_came_back() {
    let mut bed = Bed::new(Settings::default());
    bed.publish(4);
    let client = Client::new();
    bed.get(&client);
    bed.submit(Command::Shrink);
    bed.submit(Command::Requeue { ordinals: vec![1] });
    bed.traffic();
    bed.release();
    assert_eq!((bed.traffic(), bed.needed_from()), ((1, 1), None));
    bed.restart(true);
    assert_eq!(bed.drain()[0], (1, true, 1));
}

#[test]
fn a_turn_is_needed_though_the_queue_logged_others_before_it_placed_it() {
    let mut bed = Bed::with_memory(Settings::default());
    let turn = begin_turn(&bed, 2..3);
    bed.publish(1);
    assert_eq!(bed.needed_from(), Some(2));
    let in_turn = InTurn {
        turn,
        runs: vec![(0, 1)],
    };
    bed.publish_batch(&[persistent()], Some(in_turn));
    assert_eq!(bed.needed_from(), Some(1));
}

#[test]
fn a_turn_that_is_placed_after_its_log_was_to_go_is_in_a_page_at_once() {
    let mut bed = Bed::with_memory(Settings::default());
    let turn = begin_turn(&bed, 5..6);
    bed.publish(4);
    bed.release();
    let in_turn = InTurn {
        turn,
        runs: vec![(0, 1)],
    };
    bed.publish_batch(&[persistent()], Some(in_turn));
    assert_eq!(bed.needed_from(), None);
    let runs: Vec<_> = bed.entries().iter().map(|e| e.runs.to_string()).collect();
    assert_eq!(runs, ["1-4", "5"]);
}

#[test]
fn a_chunk_takes_no_more_messages_once_its_page_was_begun() {
    let mut bed = Bed::with_memory(Settings::default());
    bed.publish(1);
    bed.disk.set_later(true);
    bed.release();
    bed.publish(1);
    bed.disk.work_all();
    assert_eq!(bed.entries()[0].runs.to_string(), "1");
    assert_eq!(bed.needed_from(), Some(2));
    assert_eq!(bed.drain().len(), 2);
}

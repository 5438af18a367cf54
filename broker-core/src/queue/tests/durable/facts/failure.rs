//! What is left of a durable queue whose machine panicked.

use super::super::bed::{Bed, persistent, transient};
use super::super::disk::Disk;
use super::releasing::begin_turn;
use crate::inbox::ConsumerId;
use crate::message::Records;
use crate::queue::chunks::Place;
use crate::queue::tests::{identity, message};
use crate::queue::*;

/// Breaks the tables of the queue, so that it panics now.
fn fail(bed: &Bed) {
    {
        let mut records = Records::new();
        records.push(message("never stored"));
        let record = records.iter().next().expect("a record");
        let mut queue = bed.queue.queue_for_tests();
        let outside = Place::outside_for_tests();
        queue.unacked.insert(outside, record, 0, ConsumerId(1));
    }
    bed.ack([0]);
    assert_eq!(bed.disk.failures.lock().len(), 1);
}

/// Twelve persistent messages, some of them on disk, and a transient one.
fn failed() -> Bed {
    let mut bed = Bed::new(Settings::default());
    bed.publish(12);
    bed.publish_all(&[transient()]);
    assert!(bed.away() > 0);
    fail(&bed);
    bed
}

fn ids(bed: &Bed) -> Vec<u32> {
    bed.drain().into_iter().map(|(id, ..)| id).collect()
}

#[test]
fn its_messages_are_there_again_after_the_next_start() {
    let mut bed = failed();
    assert_eq!(bed.needed_from(), Some(1), "the log may not go");
    bed.restart(true);
    assert!(ids(&bed).into_iter().eq(1..=12));
}

#[test]
fn its_log_may_go_when_it_is_to() {
    let mut bed = failed();
    bed.release();
    assert_eq!(bed.needed_from(), None);
    let named: u64 = bed.entries().iter().map(|entry| entry.runs.count()).sum();
    assert_eq!(named, 12);
    bed.restart(true);
    assert!(ids(&bed).into_iter().eq(1..=12));
}

#[test]
fn a_page_that_was_being_written_gets_its_entry() {
    let mut bed = Bed::with_memory(Settings::default());
    bed.publish(4);
    bed.disk.set_later(true);
    bed.release();
    fail(&bed);
    bed.disk.work_all();
    assert_eq!((bed.needed_from(), bed.entries().len()), (None, 1));
}

#[test]
fn a_page_that_was_being_read_changes_nothing() {
    let mut bed = Bed::new(Settings::default());
    bed.publish(8);
    bed.submit(Command::Shrink);
    bed.disk.set_later(true);
    bed.get(&crate::queue::tests::Client::new());
    fail(&bed);
    bed.disk.work_all();
    bed.release();
    bed.disk.work_all();
    assert_eq!(bed.disk.failures.lock().len(), 1);
    bed.disk.set_later(false);
    bed.restart(true);
    assert!(ids(&bed).into_iter().eq(1..=8));
}

#[test]
fn what_was_settled_before_stays_settled() {
    let mut bed = Bed::new(Settings::default());
    bed.publish(12);
    let client = crate::queue::tests::Client::new();
    bed.consume(&client, 0);
    bed.ack([2, 3]);
    fail(&bed);
    bed.restart(false);
    let left = ids(&bed);
    assert!(left.into_iter().eq([1].into_iter().chain(4..=12)));
}

#[test]
fn a_turn_that_it_refuses_does_not_come_to_it_after_all() {
    let mut bed = Bed::with_memory(Settings::default());
    bed.publish(1);
    fail(&bed);
    let turn = begin_turn(&bed, 2..5);
    let in_turn = InTurn {
        turn,
        runs: vec![(0, 1), (2, 2)],
    };
    let (refused, _) = bed.publish_batch(&vec![persistent(); 4], Some(in_turn));
    assert_eq!(refused, [0, 1, 2, 3]);
    bed.restart(false);
    assert_eq!(ids(&bed), [1]);
}

#[test]
fn its_deletion_leaves_nothing_on_disk() {
    let bed = failed();
    bed.submit(Command::Delete {
        if_unused: false,
        if_empty: false,
        reply: None,
        reason: Deletion::Requested,
    });
    assert_eq!((bed.pages(), bed.entries().len()), (0, 0));
    assert!(bed.crash().chunks.is_empty());
}

#[test]
fn a_queue_that_does_not_survive_a_restart_leaves_nothing_at_once() {
    let identity = Identity {
        durable: false,
        ..identity()
    };
    let mut bed = Bed::of(identity, Disk::new(false), Settings::default());
    bed.publish(20);
    assert!(bed.pages() > 0);
    fail(&bed);
    assert_eq!(bed.pages(), 0);
    let resident = bed.disk.budget.as_ref().map(|budget| budget.resident());
    assert!(resident.is_some_and(|bytes| bytes < 2048), "{resident:?}");
}

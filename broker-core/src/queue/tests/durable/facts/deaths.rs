//! Dead letters on disk, and the end of the queue.

use super::super::bed::Bed;
use crate::queue::tests::{Client, with_dead_letters};
use crate::queue::*;

/// So many messages, all of them dead.
fn dead(count: usize) -> Bed {
    let mut bed = Bed::new(with_dead_letters(Settings::default()));
    bed.publish(count);
    let client = Client::new();
    bed.consume(&client, 0);
    bed.submit(Command::Reject {
        ordinals: (1..=count as u64).collect(),
    });
    assert_eq!(bed.queue.counts().dead, count as u64);
    bed
}

/// Takes letters whenever they are announced, as the queue's surroundings do.
fn bury(bed: &Bed) -> Vec<u64> {
    let mut buried = Vec::new();
    while std::mem::take(&mut *bed.disk.is_announced.lock()) {
        let letters = bed.queue.take_dead_letters(3);
        let ordinals: Vec<u64> = letters.iter().map(|letter| letter.ordinal).collect();
        if !ordinals.is_empty() {
            buried.extend_from_slice(&ordinals);
            bed.submit(Command::DeadLettered { ordinals });
        }
    }
    buried
}

fn delete(bed: &Bed) {
    bed.submit(Command::Delete {
        if_unused: false,
        if_empty: false,
        reply: None,
        reason: Deletion::Requested,
    });
}

#[test]
fn dead_letters_on_disk_are_announced_when_they_were_read() {
    let bed = dead(20);
    bed.submit(Command::Cancel {
        consumer: crate::inbox::ConsumerId(5),
        reply: None,
    });
    bed.submit(Command::Shrink);
    assert_eq!(bed.away(), 5);
    assert!(bury(&bed).into_iter().eq(1..=20));
    assert_eq!(bed.pages(), 0);
}

#[test]
fn dead_letters_of_a_deleted_queue_are_read_too() {
    let bed = dead(20);
    bed.submit(Command::Cancel {
        consumer: crate::inbox::ConsumerId(5),
        reply: None,
    });
    bed.submit(Command::Shrink);
    delete(&bed);
    assert!(bury(&bed).into_iter().eq(1..=20));
    assert_eq!((bed.pages(), bed.entries().len()), (0, 0));
}

#[test]
fn a_dead_letter_that_cannot_be_read_does_not_hold_up_the_others() {
    let bed = dead(8);
    bed.submit(Command::Cancel {
        consumer: crate::inbox::ConsumerId(5),
        reply: None,
    });
    bed.submit(Command::Shrink);
    bed.disk.fail_reads(1);
    assert!(bury(&bed).into_iter().eq(5..=8));
    assert_eq!(bed.disk.losses.lock().told, 4);
    assert_eq!(bed.queue.counts().dead, 0);
}

#[test]
fn a_dead_letter_comes_again_after_a_crash_unless_it_was_settled() {
    let mut bed = dead(3);
    let letters = bed.queue.take_dead_letters(2);
    assert_eq!(letters.len(), 2);
    bed.submit(Command::DeadLettered { ordinals: vec![1] });
    bed.restart(false);
    assert_eq!(bed.drain(), [(2, true, 0), (3, true, 0)]);
}

#[test]
fn a_deleted_queue_leaves_nothing_on_disk() {
    let mut bed = Bed::new(Settings::default());
    bed.publish(80);
    let client = Client::new();
    bed.consume(&client, 3);
    assert!(bed.pages() > 0);
    delete(&bed);
    assert_eq!((bed.pages(), bed.entries().len()), (0, 0));
    assert_eq!(bed.needed_from(), None);
    assert!(bed.crash().chunks.is_empty());
}

#[test]
fn the_last_dead_letter_of_many_chunks_outlives_its_queue() {
    for survivor in [1, 30, 48] {
        let mut bed = Bed::with_memory(with_dead_letters(Settings::default()));
        bed.publish(48);
        let client = Client::new();
        bed.consume(&client, 0);
        let others = (1..=48).filter(|ordinal| *ordinal != survivor);
        // Some chunks are free before the queue is.
        bed.ack(others.filter(|ordinal| ordinal % 3 == 0 || *ordinal > 24));
        bed.submit(Command::Reject {
            ordinals: vec![survivor],
        });
        delete(&bed);
        assert_eq!(bury(&bed), [survivor]);
        assert!(bed.disk.failures.lock().is_empty());
    }
}

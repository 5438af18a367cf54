//! Chunks that are needed again, and pages that cannot be read.

use super::super::bed::{Bed, persistent};
use super::super::ops::Draft;
use crate::queue::chunks::ChunksOf;
use crate::queue::tests::Client;
use crate::queue::*;

/// Three chunks, all of them on disk.
fn shrunken() -> Bed {
    let mut bed = Bed::new(Settings::default());
    bed.publish(12);
    bed.submit(Command::Shrink);
    assert_eq!(bed.away(), 3);
    bed
}

fn ids(bed: &Bed) -> Vec<u32> {
    bed.drain().into_iter().map(|(id, ..)| id).collect()
}

#[test]
fn the_queue_goes_on_behind_pages_that_cannot_be_read() {
    for failing in 1..=3 {
        let bed = shrunken();
        bed.disk.fail_reads(failing);
        let left = ids(&bed);
        assert!(left.into_iter().eq(4 * failing + 1..=12), "{failing}");
        assert_eq!(bed.disk.losses.lock().told, u64::from(4 * failing));
        assert_eq!(bed.queue.snapshot().totals.dropped, u64::from(4 * failing));
    }
}

#[test]
fn the_queue_goes_on_behind_a_page_that_cannot_be_read_and_a_chunk_that_was_emptied() {
    let mut bed = Bed::with_memory(Settings::default());
    let _wide = ChunksOf::bytes(2_000);
    bed.publish(1);
    bed.submit(Command::Shrink);
    bed.publish(10);
    let ordinals = (2..=11).collect();
    bed.submit(Command::Remove { ordinals });
    bed.publish(1);
    bed.disk.fail_reads(1);
    assert_eq!(ids(&bed), [12]);
}

#[test]
fn what_is_lost_does_not_come_again_after_a_crash() {
    let mut bed = shrunken();
    bed.disk.fail_reads(1);
    assert_eq!(ids(&bed).len(), 8);
    bed.restart(false);
    assert!(ids(&bed).into_iter().eq(5..=12));
}

#[test]
fn a_message_that_a_client_has_survives_the_loss_of_its_page() {
    let mut bed = Bed::new(Settings::default());
    bed.publish(8);
    let client = Client::new();
    bed.get(&client);
    bed.submit(Command::Shrink);
    bed.disk.fail_reads(1);
    bed.get(&client);
    assert_eq!(bed.ids(&client), [1, 5]);
    assert_eq!(bed.disk.losses.lock().told, 3);
    bed.submit(Command::Requeue { ordinals: vec![1] });
    bed.get(&client);
    assert_eq!(bed.given(&client), [(1, true, 1)], "the disk reads again");
    bed.ack([1, 5]);
    assert_eq!(bed.queue.counts().ready, 3);
}

#[test]
fn a_message_whose_page_still_cannot_be_read_when_it_comes_back_is_lost() {
    let mut bed = Bed::new(Settings::default());
    bed.publish(8);
    let client = Client::new();
    bed.get(&client);
    bed.submit(Command::Shrink);
    bed.disk.fail_reads(1);
    bed.get(&client);
    bed.disk.fail_reads(1);
    bed.submit(Command::Requeue { ordinals: vec![1] });
    bed.get(&client);
    assert_eq!(bed.ids(&client), [1, 5, 6]);
    assert_eq!(bed.disk.losses.lock().told, 4);
}

#[test]
fn a_message_is_taken_out_of_a_page() {
    let bed = shrunken();
    bed.traffic();
    bed.submit(Command::Remove {
        ordinals: vec![6, 7, 99],
    });
    assert_eq!(bed.queue.counts().ready, 10);
    assert_eq!(bed.traffic(), (0, 1));
    assert_eq!(ids(&bed), [1, 2, 3, 4, 5, 8, 9, 10, 11, 12]);
}

#[test]
fn an_unacked_message_on_disk_is_not_removed_when_it_is_read() {
    let mut bed = Bed::new(Settings::default());
    bed.publish(8);
    let client = Client::new();
    bed.get(&client);
    bed.submit(Command::Shrink);
    bed.disk.set_later(true);
    bed.submit(Command::Remove {
        ordinals: vec![1, 2],
    });
    bed.submit(Command::Requeue { ordinals: vec![1] });
    bed.disk.work_all();
    assert_eq!(bed.queue.counts().ready, 7);
}

#[test]
fn messages_on_disk_expire_in_every_line() {
    let mut bed = Bed::new(Settings {
        max_priority: Some(2),
        message_ttl: Some(1_000),
        ..Settings::default()
    });
    for priority in 0..3 {
        let draft = Draft {
            priority,
            ..persistent()
        };
        bed.publish_all(&vec![draft; 12]);
    }
    bed.submit(Command::Shrink);
    assert_eq!(
        bed.away(),
        3 * 2,
        "the heads are needed for their deadlines"
    );
    bed.advance(999);
    assert_eq!(bed.queue.counts().ready, 36);
    bed.advance(1);
    assert_eq!(bed.queue.counts().ready, 0);
    assert_eq!(bed.pages(), 0);
}

#[test]
fn a_queue_on_disk_is_trimmed_from_its_head() {
    let bed = shrunken();
    bed.submit(Command::Configure(Settings {
        max_length: Some(5),
        ..Settings::default()
    }));
    assert_eq!(ids(&bed), [8, 9, 10, 11, 12]);
}

#[test]
fn what_comes_while_the_head_is_read_to_be_trimmed_is_trimmed_too() {
    let mut bed = shrunken();
    bed.disk.set_later(true);
    bed.submit(Command::Configure(Settings {
        max_length: Some(2),
        ..Settings::default()
    }));
    bed.publish(3);
    assert_eq!(bed.queue.counts().ready, 15);
    bed.disk.work_all();
    assert_eq!(bed.queue.counts().ready, 2);
    bed.disk.set_later(false);
    assert_eq!(ids(&bed), [14, 15]);
}

#[test]
fn a_page_that_was_purged_while_it_was_read_is_free() {
    let bed = shrunken();
    bed.disk.set_later(true);
    let client = Client::new();
    bed.consume(&client, 0);
    bed.submit(Command::Purge { reply: None });
    bed.disk.work_all();
    assert!(bed.ids(&client).is_empty());
    assert_eq!((bed.pages(), bed.disk.losses.lock().told), (0, 0));
}

#[test]
fn a_purge_leaves_what_is_unacked_on_disk() {
    let mut bed = Bed::new(Settings::default());
    bed.publish(8);
    let client = Client::new();
    bed.get(&client);
    bed.get(&client);
    bed.submit(Command::Requeue { ordinals: vec![2] });
    bed.submit(Command::Shrink);
    bed.submit(Command::Purge { reply: None });
    assert_eq!(bed.queue.counts().ready, 0);
    bed.submit(Command::Requeue { ordinals: vec![1] });
    assert_eq!(bed.drain(), [(1, true, 1)]);
}

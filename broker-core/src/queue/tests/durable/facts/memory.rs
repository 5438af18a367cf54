//! What a queue and its messages cost in memory.

use std::sync::Arc;

use super::super::bed::{Bed, transient};
use super::super::disk::Disk;
use crate::message::Message;
use crate::queue::handle::{OnDisk, Snapshot};
use crate::queue::tests::{Client, identity, message};
use crate::queue::*;

const MANY: u64 = 200_000;

/// A durable queue with many messages, of as many priorities as it has.
fn backlog(max_priority: Option<u8>) -> (Arc<Disk>, Arc<QueueHandle>) {
    let disk = Arc::new(Disk::new(false));
    let settings = Settings {
        max_priority,
        ..Settings::default()
    };
    let queue = QueueHandle::new(identity(), settings, disk.clone());
    let levels = u64::from(max_priority.unwrap_or(0)) + 1;
    for batch in 0..MANY / 1000 {
        let mut records = Batch::default();
        for index in 0..1000 {
            records.records.push(Message {
                persistent: true,
                priority: ((batch * 7 + index * 13) % levels) as u8,
                ..message("0123456789abcdef")
            });
        }
        queue.publish(disk.now(), &mut records);
    }
    assert_eq!(queue.counts().ready, MANY);
    (disk, queue)
}

fn each(queue: &QueueHandle) -> f64 {
    queue.snapshot().memory_bytes as f64 / MANY as f64
}

#[test]
fn a_message_on_disk_costs_less_than_four_bytes() {
    let (_disk, queue) = backlog(None);
    assert!(each(&queue) <= 4.0, "{}", each(&queue));
}

/// Each line has a chunk at both of its ends in memory.
#[test]
fn a_message_on_disk_costs_less_than_sixteen_bytes_in_a_priority_queue() {
    let (disk, queue) = backlog(Some(3));
    assert!(each(&queue) <= 16.0, "{}", each(&queue));
    queue.submit(disk.now(), Command::Shrink);
    assert!(each(&queue) <= 5.0, "{}", each(&queue));
}

#[test]
fn a_message_costs_no_more_after_a_start() {
    let (disk, queue) = backlog(None);
    queue.submit(disk.now(), Command::Shrink);
    let every_other: Vec<u64> = (1..=MANY / 100).map(|ordinal| ordinal * 2).collect();
    queue.submit(
        disk.now(),
        Command::Remove {
            ordinals: every_other,
        },
    );
    assert!(each(&queue) <= 4.0, "{}", each(&queue));
}

#[test]
fn an_idle_queue_that_was_used_is_small() {
    let disk = Arc::new(Disk::new(true));
    let queue = QueueHandle::new(identity(), Settings::default(), disk.clone());
    let mut batch = Batch::default();
    batch.records.push(Message {
        persistent: true,
        ..message("a")
    });
    queue.publish(disk.now(), &mut batch);
    queue.submit(disk.now(), Command::Purge { reply: None });
    let memory = queue.snapshot().memory_bytes;
    assert!(memory < 1400, "{memory}");
}

#[test]
fn what_is_on_disk_only_is_told_from_what_is_in_memory() {
    let mut bed = Bed::with_memory(Settings::default());
    bed.publish(8);
    bed.publish_all(&[transient(), transient()]);
    let client = Client::new();
    (0..3).for_each(|_| bed.get(&client));
    assert_eq!(bed.queue.snapshot().on_disk, OnDisk::default());
    bed.submit(Command::Shrink);
    let Snapshot {
        counts, on_disk, ..
    } = bed.queue.snapshot();
    assert_eq!((on_disk.ready, on_disk.unacked), (7, 3));
    let bytes = counts.ready_bytes + counts.unacked_bytes;
    assert_eq!(on_disk.bytes, bytes);
    let transient_bytes = bytes - counts.persistent_bytes;
    assert_eq!(
        (on_disk.transient, on_disk.transient_bytes),
        (2, transient_bytes)
    );
}

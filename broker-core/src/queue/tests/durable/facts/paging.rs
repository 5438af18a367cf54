//! Which chunks leave memory.

use super::super::bed::{Bed, persistent};
use super::super::ops::Draft;
use crate::queue::paging::CHUNKS_AHEAD;
use crate::queue::tests::Client;
use crate::queue::*;

#[test]
fn without_memory_all_leave_but_the_first_and_the_last() {
    let mut bed = Bed::new(Settings::default());
    bed.publish(40);
    assert_eq!(bed.away(), 8);
    assert_eq!(bed.traffic(), (8, 0));
}

#[test]
fn with_memory_nothing_leaves() {
    let mut bed = Bed::with_memory(Settings::default());
    bed.publish(40);
    assert_eq!((bed.away(), bed.traffic()), (0, (0, 0)));
}

#[test]
fn a_queue_that_shrinks_keeps_nothing_unless_it_is_consumed() {
    let mut bed = Bed::with_memory(Settings::default());
    bed.publish(40);
    bed.submit(Command::Shrink);
    assert_eq!(bed.away(), 10);
    let mut bed = Bed::with_memory(Settings::default());
    bed.publish(40);
    let client = Client::new();
    bed.consume(&client, 1);
    bed.submit(Command::Shrink);
    assert_eq!(bed.away(), 10 - CHUNKS_AHEAD);
}

#[test]
fn a_consumer_has_four_chunks_read_ahead() {
    for chunks in [CHUNKS_AHEAD - 1, CHUNKS_AHEAD, CHUNKS_AHEAD + 1] {
        let mut bed = Bed::new(Settings::default());
        bed.publish(4 * chunks);
        bed.submit(Command::Shrink);
        assert_eq!(bed.away(), chunks);
        bed.traffic();
        let client = Client::new();
        bed.consume(&client, 1);
        assert_eq!(bed.traffic(), (0, chunks.min(CHUNKS_AHEAD)));
    }
}

#[test]
fn a_backlog_is_written_once_and_read_once() {
    let mut bed = Bed::new(Settings::default());
    bed.publish(80);
    let away = bed.away();
    assert_eq!(bed.traffic(), (away, 0));
    let given = bed.drain();
    assert_eq!(given.len(), 80);
    let (written, read) = bed.traffic();
    assert_eq!(read, away, "each once");
    assert!(away + written <= 20, "{written} more");
}

#[test]
fn a_consumer_that_takes_one_at_a_time_has_each_chunk_read_once() {
    let mut bed = Bed::new(Settings::default());
    bed.publish(40);
    let away = bed.away();
    bed.traffic();
    let client = Client::new();
    bed.consume(&client, 1);
    for id in 1..=40 {
        assert_eq!(bed.ids(&client), [id]);
        bed.ack([u64::from(id)]);
    }
    assert_eq!(bed.traffic(), (0, away));
    assert_eq!(bed.pages(), 0);
}

#[test]
fn what_comes_back_from_disk_unchanged_leaves_again_at_once() {
    let mut bed = Bed::new(Settings::default());
    bed.publish(12);
    bed.submit(Command::Shrink);
    bed.traffic();
    let client = Client::new();
    bed.get(&client);
    bed.submit(Command::Return {
        ordinals: vec![1],
        records: Default::default(),
    });
    bed.submit(Command::Shrink);
    assert_eq!((bed.away(), bed.traffic()), (3, (0, 1)));
}

#[test]
fn a_chunk_with_a_message_that_was_requeued_is_written_again() {
    let mut bed = Bed::new(Settings::default());
    bed.publish(12);
    bed.submit(Command::Shrink);
    bed.traffic();
    let client = Client::new();
    bed.get(&client);
    bed.submit(Command::Requeue { ordinals: vec![1] });
    bed.submit(Command::Shrink);
    assert_eq!((bed.away(), bed.traffic()), (3, (1, 1)));
    assert_eq!(bed.pages(), 3, "the former page is free");
    bed.ids(&client);
    bed.get(&client);
    assert_eq!(bed.given(&client), [(1, true, 1)]);
}

#[test]
fn a_message_that_is_requeued_while_it_is_on_disk_says_so_when_it_is_read() {
    let mut bed = Bed::new(Settings::default());
    bed.publish(8);
    let client = Client::new();
    bed.get(&client);
    bed.submit(Command::Shrink);
    assert_eq!(bed.away(), 2);
    bed.submit(Command::Requeue { ordinals: vec![1] });
    bed.ids(&client);
    bed.get(&client);
    bed.get(&client);
    assert_eq!(bed.given(&client), [(1, true, 1), (2, false, 0)]);
}

#[test]
fn a_page_holds_one_message_that_is_larger_than_a_chunk_or_as_many_as_a_chunk() {
    let mut bed = Bed::new(Settings::default());
    let large = Draft {
        bytes: 5_000,
        ..persistent()
    };
    bed.publish_all(&vec![large; 3]);
    bed.publish(8);
    bed.submit(Command::Shrink);
    let pages = bed.disk.pages.lock();
    let mut lengths: Vec<_> = pages
        .iter()
        .filter_map(|page| page.bytes.as_ref().map(|bytes| bytes.len()))
        .collect();
    lengths.sort_unstable_by(|one, other| other.cmp(one));
    assert_eq!(lengths.len(), 5);
    assert!(lengths[..3].iter().all(|&bytes| bytes < 5_100));
    assert!(lengths[3..].iter().all(|&bytes| bytes <= 408));
}

#[test]
fn a_chunk_of_mixed_messages_keeps_the_transient_ones_too() {
    let mut bed = Bed::new(Settings::default());
    let mixed = [persistent(), super::super::bed::transient()];
    bed.publish_all(&mixed.iter().cycle().take(12).cloned().collect::<Vec<_>>());
    bed.submit(Command::Shrink);
    assert_eq!(bed.away(), 3);
    let ids: Vec<_> = bed.drain().into_iter().map(|(id, ..)| id).collect();
    assert!(ids.into_iter().eq(1..=12));
}

#[test]
fn each_line_of_a_priority_queue_keeps_its_first_chunk() {
    let mut bed = Bed::new(Settings {
        max_priority: Some(2),
        ..Settings::default()
    });
    for priority in 0..3 {
        let draft = Draft {
            priority,
            ..persistent()
        };
        bed.publish_all(&vec![draft; 16]);
    }
    assert_eq!(bed.away(), 3 * 2);
    let ids: Vec<_> = bed.drain().into_iter().map(|(id, ..)| id).collect();
    let expected = (33..=48).chain(17..=32).chain(1..=16);
    assert!(ids.into_iter().eq(expected));
}

//! What a start makes of what it finds.

use super::super::bed::{Bed, persistent};
use super::super::ops::Draft;
use super::releasing::begin_turn;
use crate::queue::tests::Client;
use crate::queue::*;

/// Twelve messages, the first of which came back once.
fn returned() -> Bed {
    let mut bed = Bed::new(Settings::default());
    bed.publish(12);
    let client = Client::new();
    bed.get(&client);
    bed.submit(Command::Requeue { ordinals: vec![1] });
    bed
}

fn expect(bed: &Bed, first: (bool, u32), others: bool) {
    let given = bed.drain();
    assert_eq!(given[0], (1, first.0, first.1));
    let rest = (2..=12).map(|id| (id, others, 0));
    assert!(given[1..].iter().copied().eq(rest), "{given:?}");
}

#[test]
fn after_a_stop_in_good_order_messages_are_as_they_were() {
    let mut bed = returned();
    bed.release();
    bed.restart(true);
    expect(&bed, (true, 1), false);
}

#[test]
fn the_bytes_of_messages_are_known_before_their_pages_are_read() {
    for acked in [0, 4] {
        let mut bed = Bed::new(Settings::default());
        bed.publish(12);
        let client = Client::new();
        (0..acked).for_each(|_| bed.get(&client));
        bed.ack(1..=acked);
        bed.release();
        let before = bed.queue.counts();
        assert!(before.ready_bytes > 0);
        bed.restart(true);
        assert_eq!(bed.queue.counts(), before, "{acked} acked");
        assert_eq!(bed.traffic().1, 0, "nothing was read");
    }
}

fn filled(settings: Settings) -> Bed {
    let mut bed = Bed::new(settings);
    bed.publish(12);
    bed
}

#[test]
fn a_limit_in_bytes_holds_for_what_a_start_has_found() {
    let unlimited = filled(Settings::default());
    let bytes = unlimited.queue.counts().ready_bytes;
    drop(unlimited);
    let mut bed = filled(Settings {
        max_length_bytes: Some(bytes),
        ..Settings::default()
    });
    bed.release();
    bed.restart(true);
    bed.publish(1);
    let counts = bed.queue.counts();
    assert!(
        counts.ready < 13 && counts.ready_bytes <= bytes,
        "{counts:?}"
    );
}

#[test]
fn after_a_crash_every_message_may_have_been_delivered() {
    let mut bed = returned();
    bed.restart(false);
    expect(&bed, (true, 1), true);
}

#[test]
fn a_crash_is_not_forgotten_by_a_stop_in_good_order() {
    let mut bed = returned();
    bed.release();
    bed.restart(false);
    assert_eq!(bed.away(), 3, "nothing was read");
    bed.release();
    let flagged = bed
        .entries()
        .into_iter()
        .filter(|entry| entry.is_redelivered);
    assert_eq!(flagged.count(), 2, "the first one is written anew");
    bed.restart(true);
    expect(&bed, (true, 1), true);
}

#[test]
fn a_crash_is_not_forgotten_by_a_chunk_that_leaves_memory_again() {
    let mut bed = returned();
    bed.release();
    bed.restart(false);
    let client = Client::new();
    bed.get(&client);
    bed.submit(Command::Return {
        ordinals: vec![1],
        records: Default::default(),
    });
    bed.submit(Command::Shrink);
    assert_eq!(bed.away(), 3);
    expect(&bed, (true, 1), true);
}

#[test]
fn a_count_that_only_the_log_says_is_logged_again() {
    let mut bed = Bed::new(Settings::default());
    bed.publish(12);
    bed.release();
    let client = Client::new();
    bed.get(&client);
    bed.submit(Command::Requeue { ordinals: vec![1] });
    bed.restart(true);
    let needed = bed.needed_from().expect("for the count");
    let expected = bed.log_behind(needed - 1);
    assert_eq!(expected[0], "returned [(1, 1)]");
    bed.release();
    assert_eq!(bed.needed_from(), None);
    bed.restart(true);
    expect(&bed, (true, 1), false);
}

#[test]
fn pages_are_not_read_before_they_are_needed() {
    let mut bed = Bed::new(Settings::default());
    bed.publish(12);
    bed.release();
    bed.restart(false);
    assert_eq!((bed.away(), bed.traffic()), (3, (0, 0)));
    assert_eq!(bed.queue.counts().ready, 12);
}

#[test]
fn the_first_page_is_read_when_messages_may_expire() {
    let mut bed = Bed::new(Settings {
        message_ttl: Some(10_000),
        ..Settings::default()
    });
    bed.publish(12);
    bed.release();
    bed.restart(false);
    assert_eq!((bed.away(), bed.traffic()), (2, (0, 1)));
}

#[test]
fn pages_of_several_priorities_stay_where_they_are() {
    let mut bed = Bed::new(Settings {
        max_priority: Some(2),
        ..Settings::default()
    });
    let drafts: Vec<Draft> = (0..36)
        .map(|index| Draft {
            priority: index % 3,
            ..persistent()
        })
        .collect();
    bed.publish_all(&drafts);
    bed.release();
    let pages = bed.pages();
    bed.restart(true);
    assert_eq!((bed.away(), bed.traffic()), (pages, (0, 0)));
    let ids: Vec<u32> = bed.drain().into_iter().map(|(id, ..)| id).collect();
    let of_rest = |rest: u32| (1..=36).filter(move |id| id % 3 == rest);
    assert!(
        ids.into_iter()
            .eq(of_rest(0).chain(of_rest(2)).chain(of_rest(1)))
    );
}

#[test]
fn messages_that_stand_between_those_of_a_page_keep_their_places() {
    let mut bed = Bed::new(Settings::default());
    let client = Client::new();
    // Some go out at once and lie aside, some wait in line, again and again.
    for _ in 0..4 {
        bed.consume(&client, 0);
        bed.publish(1);
        bed.submit(Command::Cancel {
            consumer: crate::inbox::ConsumerId(5),
            reply: None,
        });
        bed.publish(2);
    }
    bed.release();
    bed.restart(false);
    let ids: Vec<u32> = bed.drain().into_iter().map(|(id, ..)| id).collect();
    assert!(ids.into_iter().eq(1..=12));
    bed.restart(false);
    assert_eq!(bed.queue.counts().ready, 12);
}

#[test]
fn messages_whose_page_cannot_be_read_at_the_start_are_lost_and_counted() {
    let mut bed = Bed::new(Settings {
        max_priority: Some(1),
        ..Settings::default()
    });
    let client = Client::new();
    bed.consume(&client, 0);
    let high = Draft {
        priority: 1,
        ..persistent()
    };
    bed.publish_all(&[persistent(), high]);
    bed.release();
    assert_eq!(bed.entries()[0].level, None);
    bed.disk.pages.lock()[0].bytes = None;
    bed.restart(false);
    assert_eq!(bed.disk.losses.lock().told, 2);
    assert_eq!((bed.queue.counts().ready, bed.entries().len()), (0, 0));
}

#[test]
fn messages_of_a_turn_that_the_start_placed_are_settled_for_good() {
    let mut bed = Bed::with_memory(Settings::default());
    bed.publish(1);
    drop(begin_turn(&bed, 2..4));
    bed.restart(false);
    assert_eq!(bed.needed_from(), Some(1));
    let client = Client::new();
    bed.consume(&client, 0);
    assert_eq!(bed.ids(&client), [1, 2, 3]);
    bed.ack([1, 2]);
    bed.restart(false);
    assert_eq!(bed.drain(), [(3, true, 0)]);
}

#[test]
fn messages_of_a_turn_stay_when_the_log_goes_after_a_start() {
    let mut bed = Bed::with_memory(Settings::default());
    drop(begin_turn(&bed, 1..4));
    bed.restart(false);
    bed.release();
    assert_eq!(bed.needed_from(), None);
    assert_eq!(bed.entries()[0].runs.to_string(), "1-3");
}

#[test]
fn an_entry_that_names_the_dead_is_put_again() {
    let mut bed = Bed::new(Settings::default());
    bed.publish(12);
    bed.release();
    let client = Client::new();
    bed.consume(&client, 0);
    bed.ack([2, 5, 6, 7, 8]);
    bed.restart(true);
    let last = bed.disk.log().last();
    assert!(bed.needed_from().is_some_and(|lsn| lsn <= last));
    bed.release();
    assert_eq!(bed.needed_from(), None);
    let runs: Vec<_> = bed.entries().iter().map(|e| e.runs.to_string()).collect();
    assert_eq!(runs, ["1, 3-4", "9-12"]);
}

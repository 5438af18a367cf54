//! What a queue tells the log.

use super::super::bed::{Bed, persistent, transient};
use super::releasing::begin_turn;
use crate::defects::{Defect, find_with};
use crate::queue::tests::{Client, with_dead_letters};
use crate::queue::*;

fn max_length(max: u64, overflow: Overflow) -> Settings {
    Settings {
        max_length: Some(max),
        overflow,
        ..Settings::default()
    }
}

fn a_message_is_logged_before_its_settlement() {
    let mut bed = Bed::with_memory(max_length(1, Overflow::DropHead));
    bed.publish(3);
    assert_eq!(bed.log_behind(0), ["batch of 3", "settled 1-2"]);
    bed.restart(false);
    assert_eq!(bed.drain(), [(3, true, 0)]);
}

#[test]
fn what_dies_in_the_command_that_brought_it_stays_dead() {
    find_with(
        Defect::SettledBeforePublished,
        a_message_is_logged_before_its_settlement,
    );
}

#[test]
fn transient_messages_leave_no_trace() {
    let mut bed = Bed::with_memory(Settings::default());
    let (_, lsn) = bed.publish_all(&vec![transient(); 3]);
    let client = Client::new();
    bed.consume(&client, 0);
    bed.submit(Command::Requeue { ordinals: vec![1] });
    bed.ack([1, 2]);
    bed.submit(Command::Reject { ordinals: vec![3] });
    assert_eq!((lsn, bed.disk.log().last()), (0, 0));
}

#[test]
fn only_the_persistent_messages_of_a_batch_are_logged() {
    let mut bed = Bed::with_memory(Settings::default());
    let (_, lsn) = bed.publish_all(&[transient(), persistent(), transient()]);
    assert_eq!((lsn, bed.log_behind(0)), (1, vec!["batch of 1".to_owned()]));
    bed.restart(false);
    assert_eq!(bed.drain(), [(2, true, 0)]);
}

#[test]
fn a_delivery_that_nobody_acks_is_settled_when_it_is_sent() {
    let bed = &mut Bed::with_memory(Settings::default());
    let client = Client::new();
    let spec = ConsumerSpec {
        no_ack: true,
        ..client.spec(1)
    };
    bed.submit(Command::Consume(spec, 1));
    bed.publish(3);
    assert_eq!(bed.ids(&client), [1, 2, 3]);
    assert_eq!(bed.log_behind(0), ["batch of 3"]);
    bed.submit(Command::Sent {
        ordinals: vec![1, 2],
    });
    assert_eq!(bed.log_behind(1), ["settled 1-2"]);
    bed.restart(false);
    assert_eq!(bed.drain(), [(3, true, 0)]);
}

#[test]
fn what_comes_back_unseen_is_no_news() {
    let mut bed = Bed::with_memory(Settings::default());
    bed.publish(1);
    let client = Client::new();
    bed.get(&client);
    bed.submit(Command::Return {
        ordinals: vec![1],
        records: Default::default(),
    });
    assert_eq!(bed.disk.log().last(), 1);
}

#[test]
fn each_return_says_how_often_it_was() {
    let mut bed = Bed::with_memory(Settings::default());
    bed.publish(2);
    let client = Client::new();
    for _ in 0..2 {
        bed.get(&client);
        bed.submit(Command::Requeue { ordinals: vec![1] });
    }
    assert_eq!(
        bed.log_behind(1),
        ["returned [(1, 1)]", "returned [(1, 2)]"]
    );
}

#[test]
fn a_purge_is_one_record_that_spares_what_is_unacked() {
    let mut bed = Bed::new(Settings::default());
    bed.publish(20);
    let client = Client::new();
    bed.consume(&client, 2);
    let last = bed.disk.log().last();
    bed.submit(Command::Purge { reply: None });
    assert_eq!(bed.log_behind(last)[0], "settled 3-20");
    bed.restart(false);
    assert_eq!(bed.drain(), [(1, true, 0), (2, true, 0)]);
}

#[test]
fn a_deletion_settles_what_was_there() {
    let mut bed = Bed::with_memory(Settings::default());
    bed.publish(3);
    bed.submit(Command::Delete {
        if_unused: false,
        if_empty: false,
        reply: None,
        reason: Deletion::Requested,
    });
    assert_eq!(bed.log_behind(1), ["settled 1-3"]);
}

#[test]
fn what_is_refused_is_neither_logged_nor_named_by_a_page() {
    let settings = max_length(1, Overflow::RejectPublishDlx);
    let mut bed = Bed::with_memory(with_dead_letters(settings));
    let (refused, lsn) = bed.publish_all(&vec![persistent(); 3]);
    assert_eq!((refused, lsn), (vec![1, 2], 1));
    assert_eq!(bed.log_behind(0), ["batch of 1"]);
    assert_eq!(bed.queue.counts().dead, 2);
    bed.release();
    let last = bed.disk.log().last();
    let runs: Vec<_> = bed.entries().iter().map(|e| e.runs.to_string()).collect();
    assert_eq!(runs, ["1"]);
    let ordinals = bed.queue.take_dead_letters(9);
    let ordinals = ordinals.iter().map(|letter| letter.ordinal).collect();
    bed.submit(Command::DeadLettered { ordinals });
    assert_eq!(bed.disk.log().last(), last);
}

#[test]
fn messages_of_a_turn_are_placed_amid_others() {
    let mut bed = Bed::with_memory(Settings::default());
    let turn = begin_turn(&bed, 1..4);
    let in_turn = InTurn {
        turn,
        runs: vec![(0, 2), (3, 1)],
    };
    let (_, lsn) = bed.publish_batch(&vec![persistent(); 4], Some(in_turn));
    let expected = ["placed [(0, 2, 1), (2, 1, 4)]", "batch of 1"];
    assert_eq!(
        (bed.log_behind(1), lsn),
        (expected.map(String::from).into(), 3)
    );
}

#[test]
fn a_message_of_a_turn_that_is_refused_is_placed_nowhere() {
    let mut bed = Bed::with_memory(max_length(1, Overflow::RejectPublish));
    let turn = begin_turn(&bed, 1..4);
    let in_turn = InTurn {
        turn,
        runs: vec![(0, 3)],
    };
    let (refused, lsn) = bed.publish_batch(&vec![persistent(); 3], Some(in_turn));
    assert_eq!((refused, lsn), (vec![1, 2], 2));
    assert_eq!(bed.log_behind(1), ["placed [(0, 1, 1), (1, 2, 0)]"]);
    bed.restart(false);
    assert_eq!(bed.drain(), [(1, true, 0)]);
}

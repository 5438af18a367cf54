//! basic.get of a queue whose head is on disk.

use super::super::bed::Bed;
use crate::defects::{Defect, find_with};
use crate::inbox::Answer;
use crate::queue::tests::Client;
use crate::queue::*;

/// Two chunks on disk, which is slow.
fn slow() -> Bed {
    let mut bed = Bed::new(Settings::default());
    bed.publish(8);
    bed.submit(Command::Shrink);
    bed.disk.set_later(true);
    bed
}

#[test]
fn those_who_ask_wait_for_the_disk_in_order() {
    let bed = slow();
    let (one, other) = (Client::new(), Client::new());
    bed.get(&one);
    bed.get(&other);
    bed.get(&one);
    assert!(bed.ids(&one).is_empty() && bed.ids(&other).is_empty());
    bed.disk.work_all();
    assert_eq!((bed.ids(&one), bed.ids(&other)), (vec![1, 3], vec![2]));
}

#[test]
fn what_is_published_meanwhile_does_not_overtake() {
    let mut bed = slow();
    let client = Client::new();
    bed.get(&client);
    bed.publish(1);
    bed.disk.work_all();
    assert_eq!(bed.ids(&client), [1]);
}

#[test]
fn a_message_for_somebody_who_has_gone_stays() {
    let bed = slow();
    let (gone, other) = (Client::new(), Client::new());
    bed.get(&gone);
    gone.close();
    bed.get(&other);
    bed.disk.work_all();
    assert_eq!(bed.given(&other), [(1, false, 0)]);
    let counts = bed.queue.counts();
    assert_eq!((counts.ready, counts.unacked), (7, 1));
}

fn a_purge_answers_at_once() {
    let bed = slow();
    let client = Client::new();
    bed.get(&client);
    bed.submit(Command::Purge { reply: None });
    assert!(matches!(client.answer(), Answer::Empty));
    bed.disk.work_all();
    assert!(client.read().is_empty(), "one answer only");
}

#[test]
fn a_purge_answers_those_who_wait() {
    find_with(Defect::ParkedGetForgotten, a_purge_answers_at_once);
}

#[test]
fn a_deletion_refuses_those_who_wait() {
    let bed = slow();
    let client = Client::new();
    bed.get(&client);
    bed.submit(Command::Delete {
        if_unused: false,
        if_empty: false,
        reply: None,
        reason: Deletion::Requested,
    });
    let Answer::Refused(error) = client.answer() else {
        panic!("refused");
    };
    assert!(error.to_string().contains("no queue 'q'"), "{error}");
    bed.disk.work_all();
    assert!(client.read().is_empty());
    assert_eq!(bed.pages(), 0);
}

#[test]
fn a_page_that_cannot_be_read_lets_those_who_wait_have_the_next() {
    let bed = slow();
    let client = Client::new();
    bed.get(&client);
    bed.disk.fail_reads(1);
    bed.disk.work_all();
    assert_eq!(bed.ids(&client), [5]);
}

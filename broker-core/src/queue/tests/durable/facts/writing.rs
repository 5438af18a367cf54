//! Pages that are being written, and pages that are free.

use super::super::bed::{Bed, persistent, transient};
use super::super::ops::Draft;
use crate::defects::{Defect, find_with};
use crate::journal::RawChange;
use crate::queue::chunks::ChunksOf;
use crate::queue::log::{CHANGES_BYTES_MAX, CHANGES_MAX, QueueLog};
use crate::queue::releasing::PAGE_RETRY_MS;
use crate::queue::tests::Client;
use crate::queue::*;

#[test]
fn a_chunk_that_is_gone_when_its_page_is_written_has_no_page() {
    let mut bed = Bed::with_memory(Settings::default());
    bed.publish(4);
    bed.disk.set_later(true);
    bed.release();
    bed.submit(Command::Purge { reply: None });
    bed.disk.work_all();
    assert_eq!((bed.pages(), bed.entries().len()), (0, 0));
    assert_eq!(bed.needed_from(), None);
}

#[test]
fn a_page_names_what_is_alive_when_it_is_written() {
    let mut bed = Bed::with_memory(Settings::default());
    bed.publish(4);
    let client = Client::new();
    bed.get(&client);
    bed.disk.set_later(true);
    bed.release();
    bed.ack([1]);
    bed.disk.work_all();
    let runs: Vec<u64> = bed.entries()[0].runs.iter().collect();
    assert_eq!(runs, [2, 3, 4]);
}

#[test]
fn a_page_that_is_out_of_date_when_it_is_written_is_written_again() {
    let mut bed = Bed::with_memory(Settings::default());
    bed.publish(4);
    let client = Client::new();
    bed.get(&client);
    bed.disk.set_later(true);
    bed.release();
    bed.submit(Command::Requeue { ordinals: vec![1] });
    assert!(bed.disk.work(0));
    assert!(bed.entries().is_empty());
    assert!(bed.disk.work(0), "without being asked again");
    assert_eq!(bed.entries().len(), 1);
    assert_eq!((bed.needed_from(), bed.pages()), (None, 1));
    bed.disk.set_later(false);
    bed.restart(true);
    assert_eq!(bed.drain()[0], (1, true, 1));
}

fn a_write_is_tried_again() {
    let mut bed = Bed::new(Settings::default());
    bed.disk.fail_writes(3);
    bed.publish(20);
    assert_eq!((bed.away(), bed.disk.armed.lock().is_some()), (0, true));
    bed.publish(4);
    assert_eq!(bed.traffic(), (0, 0), "it is left alone");
    bed.advance(PAGE_RETRY_MS - 1);
    assert_eq!(bed.away(), 0);
    bed.advance(1);
    assert_eq!(bed.away(), 4);
}

#[test]
fn a_disk_that_did_not_take_a_page_is_asked_again_after_a_second() {
    find_with(Defect::FailedWriteForgotten, a_write_is_tried_again);
}

#[test]
fn a_log_that_is_to_go_goes_when_the_disk_takes_pages_again() {
    let mut bed = Bed::with_memory(Settings::default());
    bed.publish(8);
    bed.disk.fail_writes(1);
    bed.release();
    assert_eq!(bed.needed_from(), Some(1));
    bed.advance(PAGE_RETRY_MS);
    assert_eq!(bed.needed_from(), None);
}

#[test]
fn whoever_asks_for_the_log_again_need_not_wait() {
    let mut bed = Bed::with_memory(Settings::default());
    bed.publish(8);
    bed.disk.fail_writes(1);
    bed.release();
    bed.release();
    assert_eq!(bed.needed_from(), None);
}

#[test]
fn a_failed_write_leaves_the_former_page_of_no_more_use_than_it_was() {
    let mut bed = Bed::new(Settings::default());
    bed.publish(4);
    bed.submit(Command::Shrink);
    let client = Client::new();
    bed.get(&client);
    bed.submit(Command::Requeue { ordinals: vec![1] });
    bed.disk.fail_writes(1);
    bed.submit(Command::Shrink);
    bed.submit(Command::Shrink);
    assert_eq!(bed.away(), 0, "the page does not say that it came back");
    bed.ids(&client);
    bed.get(&client);
    assert_eq!(bed.given(&client), [(1, true, 1)]);
}

fn places_are_those_of_the_page() {
    let mut bed = Bed::with_memory(Settings::default());
    let _wide = ChunksOf::bytes(2_000);
    let drafts = [1_000, 0, 0, 0].map(|bytes| Draft {
        bytes,
        ..persistent()
    });
    bed.publish_all(&drafts);
    bed.release();
    let client = Client::new();
    (0..3).for_each(|_| bed.get(&client));
    bed.ack([1, 2]);
    bed.submit(Command::Shrink);
    bed.get(&client);
    bed.ack([3]);
    bed.submit(Command::Requeue { ordinals: vec![4] });
    assert_eq!(bed.drain(), [(4, true, 1)]);
}

#[test]
fn a_chunk_that_was_compacted_does_not_leave_for_its_former_page() {
    find_with(Defect::MovedChunkLeaves, places_are_those_of_the_page);
}

#[test]
fn a_new_page_has_its_entry_before_that_of_the_former_goes() {
    let mut bed = Bed::with_memory(Settings::default());
    bed.publish(4);
    bed.release();
    let client = Client::new();
    bed.get(&client);
    bed.submit(Command::Requeue { ordinals: vec![1] });
    let last = bed.disk.log().last();
    bed.release();
    assert_eq!(bed.log_behind(last), ["put delete"]);
}

#[test]
fn a_page_is_free_when_its_entry_is_durably_gone() {
    let mut bed = Bed::with_memory(Settings::default());
    bed.publish_all(&[persistent(), transient()]);
    bed.release();
    let client = Client::new();
    bed.get(&client);
    bed.ack([1]);
    bed.release();
    assert!(bed.entries().is_empty());
    let gone_at = bed.disk.log().last();
    bed.publish(1);
    bed.get(&client);
    bed.ack([2]);
    let freed = bed.disk.pages.lock()[0].freed;
    assert_eq!(freed, Some(gone_at), "not before, though nothing named it");
}

#[test]
fn a_thousand_changes_are_one_record_and_one_more_are_two() {
    let change = |number: usize| RawChange {
        key: number.to_le_bytes().to_vec(),
        value: None,
    };
    for (changes, records) in [
        (0, 0),
        (1, 1),
        (CHANGES_MAX - 1, 1),
        (CHANGES_MAX, 1),
        (CHANGES_MAX + 1, 2),
    ] {
        let bed = Bed::new(Settings::default());
        let mut log = QueueLog::new(QueueId(1), Some(bed.disk.log().clone()));
        let last = log.change_pages((0..changes).map(change).collect());
        assert_eq!(bed.disk.log().last(), records, "{changes}");
        assert_eq!(last.0, records);
    }
}

#[test]
fn a_mebibyte_of_changes_is_one_record_and_more_are_two() {
    let change = |bytes: usize| RawChange {
        key: Vec::new(),
        value: Some(vec![0; bytes]),
    };
    for (bytes, records) in [
        (CHANGES_BYTES_MAX - 1, 1),
        (CHANGES_BYTES_MAX, 2),
        (CHANGES_BYTES_MAX + 1, 2),
    ] {
        let bed = Bed::new(Settings::default());
        let mut log = QueueLog::new(QueueId(1), Some(bed.disk.log().clone()));
        log.change_pages(vec![change(bytes), change(1)]);
        assert_eq!(bed.disk.log().last(), records, "{bytes}");
    }
}

//! What freed pages give back, and when.

use super::*;
use crate::store::sim::Event;

/// The holes punched since the last call: where each begins and ends.
fn holes(disk: &SimDisk) -> Vec<(u64, u64)> {
    let events = disk.take_events().into_iter();
    events
        .filter_map(|event| match event {
            Event::Punch { offset, bytes, .. } => Some((offset, offset + bytes)),
            _ => None,
        })
        .collect()
}

/// Pages that take `framed` bytes each, from the first block on.
fn written(framed: usize, count: u8) -> (SimDisk, Pages, Vec<PageAt>) {
    let disk = SimDisk::new();
    let pages = open(&disk, &[]);
    let at = (0..count).map(|seed| write(&pages, &bytes(seed, framed - 16)));
    let at = at.collect();
    disk.record_events();
    (disk, pages, at)
}

#[test]
fn only_whole_blocks_inside_a_freed_page_are_punched() {
    let (disk, pages, at) = written(10_000, 3);
    pages.free(at[1]);
    pages.tidy();
    // The page lies from 14096 to 24096.
    assert_eq!(holes(&disk), [(16_384, 20_480)]);
    assert_eq!(pages.read(at[0]).unwrap(), bytes(0, 9_984));
    assert_eq!(pages.read(at[2]).unwrap(), bytes(2, 9_984));
}

#[test]
fn neighbouring_small_pages_give_their_blocks_back_in_any_order() {
    for order in [[2, 3, 4, 5], [5, 4, 3, 2], [2, 5, 3, 4], [3, 5, 2, 4]] {
        let (disk, pages, at) = written(1_500, 10);
        let (last, before): (&usize, &[usize]) = order.split_last().unwrap();
        before.iter().for_each(|index| pages.free(at[*index]));
        assert_eq!(holes(&disk), [], "{order:?}");
        pages.free(at[*last]);
        // Freed is 7096 to 13096.
        assert_eq!(holes(&disk), [(8_192, 12_288)], "{order:?}");
    }
}

#[test]
fn no_block_is_punched_twice_or_forgotten() {
    let (disk, pages, at) = written(700, 80);
    let mut order: Vec<_> = (0..79).collect();
    // Every third, then the rest from the back.
    order.sort_by_key(|index| (index % 3 != 1, 80 - index));
    let mut punched = BTreeSet::new();
    let mut note = |holes: Vec<(u64, u64)>| {
        for (start, end) in holes {
            for block in start / BLOCK..end / BLOCK {
                assert!(punched.insert(block), "block {block} was punched before");
            }
        }
    };
    for index in order {
        pages.free(at[index]);
        note(holes(&disk));
    }
    pages.tidy();
    note(holes(&disk));
    // All but the header's block and the one the last page begins in.
    let last = at[79].offset / BLOCK;
    assert_eq!(punched, (1..last).collect());
    assert_eq!(pages.read(at[79]).unwrap(), bytes(79, 684));
}

#[test]
fn a_sealed_segment_without_live_pages_is_removed_at_once() {
    let (disk, pages, at) = written(20_000, 4);
    assert_eq!((at[2].segment, at[3].segment), (1, 2));
    pages.free(at[1]);
    pages.free(at[0]);
    assert!(disk.paths().contains(&segment_path(1)));
    pages.free(at[2]);
    assert!(!disk.paths().contains(&segment_path(1)));
    assert_eq!(pages.read(at[3]).unwrap(), bytes(3, 19_984));
}

#[test]
fn an_empty_segment_is_removed_when_the_next_one_begins() {
    let (disk, pages, at) = written(20_000, 3);
    at.iter().for_each(|at| pages.free(*at));
    assert_eq!(disk.paths(), [segment_path(1)], "it is the current one");
    write(&pages, &bytes(9, 20_000));
    assert_eq!(disk.paths(), [segment_path(2)]);
}

#[test]
fn gaps_of_earlier_runs_are_punched_by_tidying() {
    let (disk, pages, at) = written(12_288, 5);
    pages.sync().unwrap();
    disk.kill();
    let pages_before = disk.allocated(&segment_path(1));
    drop(pages);
    let in_use = [at[1], at[3]];
    let pages = open(&disk, &in_use);
    assert_eq!(disk.allocated(&segment_path(1)), pages_before);
    pages.tidy();
    let expected = BLOCK + 2 * 12_288;
    assert_eq!(disk.allocated(&segment_path(1)), expected);
    assert_eq!(pages.status().durable.disk_bytes, expected);
    for at in in_use {
        pages.verify(at).unwrap();
    }
}

#[test]
fn without_holes_only_whole_files_give_space_back() {
    let (disk, pages, at) = written(20_000, 4);
    disk.set_without_holes();
    pages.free(at[0]);
    pages.free(at[1]);
    pages.tidy();
    assert!(!pages.status().has_holes);
    assert_eq!(holes(&disk), []);
    assert!(disk.allocated(&segment_path(1)) > 60_000);
    pages.free(at[2]);
    assert!(!disk.paths().contains(&segment_path(1)));
}

#[test]
fn a_hole_that_could_not_be_punched_is_tried_again_by_tidying() {
    let (disk, pages, at) = written(20_000, 3);
    disk.fail_next_punch();
    pages.free(at[1]);
    assert_eq!(holes(&disk), []);
    assert!(pages.status().has_holes);
    pages.tidy();
    assert_eq!(holes(&disk), [(24_576, 40_960)]);
}

#[test]
fn a_file_that_could_not_be_removed_is_removed_by_tidying() {
    let (disk, pages, at) = written(20_000, 4);
    pages.free(at[0]);
    pages.free(at[1]);
    pages.tidy();
    disk.crash_after(0);
    pages.free(at[2]);
    assert!(disk.paths().contains(&segment_path(1)));
    disk.crash_after(u64::MAX);
    pages.tidy();
    assert!(!disk.paths().contains(&segment_path(1)));
}

#[test]
fn a_file_of_an_earlier_run_that_could_not_be_removed_is_not_taken_for_a_new_one() {
    let disk = SimDisk::new();
    let pages = open(&disk, &[]);
    pages.write_transient(&[b"old"]).unwrap();
    write(&pages, b"old");
    disk.kill();
    // The folder's name is synced, and then nothing goes any more.
    disk.crash_after(1);
    let pages = open(&disk, &[]);
    disk.crash_after(u64::MAX);
    assert_eq!(pages.status().leftover_files, 2);
    let transient = pages.write_transient(&[b"new"]).unwrap();
    let durable = write(&pages, b"new");
    pages.tidy();
    assert_eq!(pages.status().leftover_files, 0);
    assert_eq!(disk.paths().len(), 2);
    assert_eq!(pages.read(transient).unwrap(), b"new");
    assert_eq!(pages.read(durable).unwrap(), b"new");
}

#[test]
fn the_rest_of_a_block_that_a_sync_leaves_is_given_back() {
    let (disk, pages, _) = written(100, 0);
    let first = write(&pages, &bytes(1, 100));
    pages.free(first);
    pages.sync().unwrap();
    let second = write(&pages, &bytes(2, 100));
    assert_eq!(second.offset, 2 * BLOCK);
    pages.tidy();
    assert_eq!(holes(&disk), [(BLOCK, 2 * BLOCK)]);
}

#[test]
fn few_free_blocks_wait_until_they_are_a_batch() {
    let disk = SimDisk::new();
    let opened = Pages::open(Arc::new(disk.clone()), dir(), IDENTITY, 1 << 20, []);
    let pages = opened.unwrap().pages;
    let at: Vec<_> = (0..6)
        .map(|seed| write(&pages, &bytes(seed, 4080)))
        .collect();
    disk.record_events();
    for index in [0, 1, 3] {
        pages.free(at[index]);
    }
    assert_eq!(holes(&disk), []);
    pages.free(at[4]);
    assert_eq!(holes(&disk), [(4096, 12_288), (16_384, 24_576)]);
    pages.free(at[5]);
    assert_eq!(holes(&disk), []);
    pages.tidy();
    assert_eq!(holes(&disk), [(24_576, 28_672)]);
}

#[test]
fn more_segments_than_files_are_held_open_are_read() {
    let disk = SimDisk::new();
    let pages = open(&disk, &[]);
    let at: Vec<_> = (0..200)
        .map(|seed| write(&pages, &bytes(seed, 40_000)))
        .collect();
    assert_eq!(pages.segments().len(), 200);
    for (seed, at) in at.iter().enumerate() {
        assert_eq!(pages.read(*at).unwrap(), bytes(seed as u8, 40_000));
    }
}

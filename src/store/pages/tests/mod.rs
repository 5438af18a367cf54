//! Pages on the simulated disk, and on the real one where the system matters.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::*;
use crate::store::disk::RealDisk;
use crate::store::sim::SimDisk;

mod damage;
mod faults;
mod model;
mod space;
mod threads;

const IDENTITY: Identity = Identity {
    node: [5; 16],
    cluster: [0; 16],
};
const BLOCK: u64 = 4096;
const SEGMENT: u64 = SEGMENT_MIN_BYTES;

fn dir() -> &'static Path {
    Path::new("/sim")
}

fn segment_path(number: u64) -> PathBuf {
    PathBuf::from(format!("/sim/pages/{number:020}.seg"))
}

fn try_open(disk: &SimDisk, in_use: &[PageAt]) -> Result<OpenedPages, StoreError> {
    let disk = Arc::new(disk.clone());
    Pages::open(disk, dir(), IDENTITY, SEGMENT, in_use.iter().copied())
}

#[track_caller]
fn open(disk: &SimDisk, in_use: &[PageAt]) -> Pages {
    let opened = try_open(disk, in_use).expect("the segments open");
    assert_eq!(opened.missing, []);
    opened.pages
}

/// The error of an open that must not succeed.
#[track_caller]
fn refused(disk: &SimDisk, in_use: &[PageAt]) -> StoreError {
    match try_open(disk, in_use) {
        Ok(_) => panic!("the segments open"),
        Err(error) => error,
    }
}

/// Bytes that differ from page to page.
fn bytes(seed: u8, length: usize) -> Vec<u8> {
    (0..length)
        .map(|index| (index as u8).wrapping_mul(31) ^ (index >> 8) as u8 ^ seed)
        .collect()
}

#[track_caller]
fn write(pages: &Pages, held: &[u8]) -> PageAt {
    pages.write(&[held]).expect("the page is written")
}

/// A disk with one synced page, and what it holds.
fn disk_with_page(length: usize) -> (SimDisk, PageAt, Vec<u8>) {
    let disk = SimDisk::new();
    let held = bytes(1, length);
    let pages = open(&disk, &[]);
    let at = write(&pages, &held);
    pages.sync().unwrap();
    drop(pages);
    disk.kill();
    (disk, at, held)
}

#[test]
fn a_page_reads_back_as_its_parts_one_behind_the_other() {
    let pages = open(&SimDisk::new(), &[]);
    let at = pages.write(&[b"some", b"", b" ", b"parts"]).unwrap();
    assert_eq!(at.length, 10);
    assert_eq!(pages.read(at).unwrap(), b"some parts");
    pages.verify(at).unwrap();
}

#[test]
fn an_empty_page_is_a_page() {
    let pages = open(&SimDisk::new(), &[]);
    let (empty, next) = (pages.write(&[]).unwrap(), write(&pages, b"next"));
    assert_eq!(pages.read(empty).unwrap(), b"");
    assert_eq!(pages.read(next).unwrap(), b"next");
}

#[test]
fn pages_follow_each_other_behind_the_headers_block() {
    let pages = open(&SimDisk::new(), &[]);
    let (first, second) = (write(&pages, &[1; 100]), write(&pages, &[2; 100]));
    assert_eq!((first.segment, first.offset), (1, 4096));
    assert_eq!((second.segment, second.offset), (1, 4096 + 116));
}

#[test]
fn the_page_after_a_sync_begins_in_another_block() {
    let pages = open(&SimDisk::new(), &[]);
    write(&pages, &[1; 100]);
    pages.sync().unwrap();
    assert_eq!(write(&pages, &[2; 100]).offset, 2 * BLOCK);
    // Nothing was written since: the block is still untouched.
    pages.sync().unwrap();
    pages.sync().unwrap();
    assert_eq!(write(&pages, &[3; 100]).offset, 3 * BLOCK);
}

#[test]
fn a_page_is_in_the_next_segment_when_it_does_not_fit() {
    let pages = open(&SimDisk::new(), &[]);
    let room = (SEGMENT - BLOCK) as usize - 16;
    let exact = write(&pages, &bytes(1, room));
    let next = write(&pages, b"");
    assert_eq!((exact.segment, exact.offset), (1, BLOCK));
    assert_eq!((next.segment, next.offset), (2, BLOCK));
    assert_eq!(pages.read(exact).unwrap(), bytes(1, room));
}

#[test]
fn a_page_larger_than_a_segment_gets_one_of_its_own() {
    let disk = SimDisk::new();
    let pages = open(&disk, &[]);
    let before = write(&pages, b"before");
    let held = bytes(7, (SEGMENT - BLOCK) as usize - 15);
    let large = write(&pages, &held);
    let after = write(&pages, b"after");
    assert_eq!(
        (before.segment, large.segment, after.segment),
        (1, 2, 1),
        "the current segment goes on"
    );
    pages.sync().unwrap();
    disk.power_loss(1);
    let pages = open(&disk, &[before, large, after]);
    assert_eq!(pages.read(large).unwrap(), held);
    pages.verify(large).unwrap();
    pages.free(large);
    assert_eq!(disk.contents(&segment_path(2)), b"");
}

#[test]
fn pages_of_earlier_runs_are_read_and_their_segments_not_written() {
    let (disk, at, held) = disk_with_page(1000);
    let pages = open(&disk, &[at]);
    let before = disk.contents(&segment_path(1));
    let next = write(&pages, b"next");
    assert_eq!(next.segment, 2);
    assert_eq!(disk.contents(&segment_path(1)), before);
    assert_eq!(pages.read(at).unwrap(), held);
}

#[test]
fn a_number_that_is_in_use_is_not_given_again_even_if_its_file_is_missing() {
    let (disk, at, _) = disk_with_page(1000);
    disk.lose_file(&segment_path(1));
    let pages = try_open(&disk, &[at]).unwrap().pages;
    assert_eq!(write(&pages, b"next").segment, 2);
}

#[test]
fn transient_pages_have_files_of_their_own_that_are_gone_at_the_next_start() {
    let disk = SimDisk::new();
    let pages = open(&disk, &[]);
    let transient = pages.write_transient(&[b"soon gone"]).unwrap();
    let durable = write(&pages, b"stays");
    assert_eq!(pages.read(transient).unwrap(), b"soon gone");
    let paths = |disk: &SimDisk| BTreeSet::from_iter(disk.paths());
    let file = PathBuf::from("/sim/pages/transient-1.seg");
    assert_eq!(
        paths(&disk),
        BTreeSet::from([file.clone(), segment_path(1)])
    );
    pages.sync().unwrap();
    disk.kill();
    let pages = open(&disk, &[durable]);
    assert_eq!(paths(&disk), BTreeSet::from([segment_path(1)]));
    assert!(pages.read(transient).is_err());
}

#[test]
fn transient_pages_are_not_synced() {
    let disk = SimDisk::new();
    let pages = open(&disk, &[]);
    pages.write_transient(&[b"page"]).unwrap();
    disk.record_events();
    pages.sync().unwrap();
    assert_eq!(disk.take_events(), []);
}

#[test]
fn segments_nobody_names_are_removed_at_a_start_and_others_files_are_left_alone() {
    let disk = SimDisk::new();
    let pages = open(&disk, &[]);
    let mut at = Vec::new();
    while at.last().is_none_or(|at: &PageAt| at.segment < 3) {
        at.push(write(&pages, &bytes(2, 20_000)));
    }
    pages.sync().unwrap();
    disk.kill();
    let others = dir().join("pages/1.seg");
    disk.create(&others).unwrap();
    let in_use: Vec<_> = at.iter().copied().filter(|at| at.segment == 2).collect();
    let _pages = open(&disk, &in_use);
    assert_eq!(disk.paths(), [segment_path(2), others]);
}

#[test]
fn inspecting_changes_nothing() {
    let (disk, at, held) = disk_with_page(1000);
    let pages = open(&disk, &[at]);
    let unnamed = write(&pages, b"unnamed");
    pages.write_transient(&[b"transient"]).unwrap();
    disk.kill();
    disk.record_events();
    let before = disk.paths();
    let source = Arc::new(disk.clone());
    let pages = Pages::inspect(source, dir(), IDENTITY, SEGMENT, [at])
        .unwrap()
        .pages;
    assert_eq!(pages.read(at).unwrap(), held);
    assert!(pages.verify(unnamed).is_err());
    assert_eq!(disk.paths(), before);
    assert_eq!(disk.take_events(), []);
}

#[test]
fn a_directory_that_was_never_used_is_inspected_as_empty() {
    let source = Arc::new(SimDisk::new());
    let opened = Pages::inspect(source, dir(), IDENTITY, SEGMENT, []).unwrap();
    assert_eq!(opened.pages.segments(), []);
}

#[test]
fn a_segment_size_that_cannot_work_is_refused() {
    for bytes in [0, SEGMENT_MIN_BYTES - BLOCK, SEGMENT_MIN_BYTES + 1] {
        let disk = Arc::new(SimDisk::new());
        let opened = Pages::open(disk, dir(), IDENTITY, bytes, []);
        assert!(
            matches!(opened, Err(StoreError::InvalidOption { name, .. }) if name == "segment_bytes")
        );
    }
}

#[test]
fn the_status_counts_what_was_done() {
    let pages = open(&SimDisk::new(), &[]);
    let first = write(&pages, &[1; 84]);
    write(&pages, &[1; 84]);
    pages.write_transient(&[&[1; 34]]).unwrap();
    pages.sync().unwrap();
    pages.read(first).unwrap();
    pages.free(first);
    let status = pages.status();
    assert_eq!((status.writes, status.written_bytes), (3, 250));
    assert_eq!((status.reads, status.read_bytes), (1, 100));
    assert_eq!(status.syncs, 1);
    let expected = Usage {
        files: 1,
        pages: 1,
        live_bytes: 100,
        disk_bytes: 2 * BLOCK,
    };
    assert_eq!(status.durable, expected);
    let expected = Usage {
        live_bytes: 50,
        ..expected
    };
    assert_eq!(status.transient, expected);
    assert!(status.has_holes && status.failed.is_none());
}

#[test]
fn segments_are_listed_with_what_they_hold() {
    let (disk, at, _) = disk_with_page(1000);
    let pages = open(&disk, &[at]);
    write(&pages, &[1; 84]);
    let listed = pages.segments();
    let expected = SegmentStatus {
        segment: 1,
        path: segment_path(1),
        is_transient: false,
        is_sealed: true,
        bytes: BLOCK + 1016,
        pages: 1,
        live_bytes: 1016,
        disk_bytes: BLOCK + 1016,
    };
    assert_eq!(listed[0], expected);
    assert_eq!((listed[1].segment, listed[1].is_sealed), (2, false));
}

#[test]
fn pages_work_on_a_real_disk_and_only_the_owner_may_read_them() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let open = |in_use: &[PageAt]| {
        let disk = Arc::new(RealDisk);
        let in_use = in_use.iter().copied();
        Pages::open(disk, folder.path(), IDENTITY, SEGMENT_BYTES, in_use)
            .unwrap()
            .pages
    };
    let held = bytes(3, 300_000);
    let pages = open(&[]);
    let parts: Vec<_> = held.chunks(100).collect();
    assert!(parts.len() > 1024, "more parts than one system call takes");
    let at = pages.write(&parts).unwrap();
    pages.sync().unwrap();
    drop(pages);
    let pages = open(&[at]);
    assert_eq!(pages.read(at).unwrap(), held);
    pages.verify(at).unwrap();
    let path = pages.segments()[0].path.clone();
    let mode = std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn holes_give_space_back_on_a_real_disk_that_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let opened = Pages::open(Arc::new(RealDisk), folder.path(), IDENTITY, SEGMENT, []);
    let pages = opened.unwrap().pages;
    let at: Vec<_> = (0..3)
        .map(|seed| write(&pages, &bytes(seed, 16_000)))
        .collect();
    pages.sync().unwrap();
    pages.free(at[1]);
    pages.tidy();
    for kept in [at[0], at[2]] {
        pages.verify(kept).unwrap();
    }
    let status = pages.status();
    let file = std::fs::File::open(&pages.segments()[0].path).unwrap();
    let taken = std::os::unix::fs::MetadataExt::blocks(&file.metadata().unwrap()) * 512;
    let expected = if status.has_holes { 12_288 } else { 0 };
    assert_eq!(status.punched_bytes, expected);
    assert!(taken + expected <= 14 * BLOCK, "{taken} bytes are taken");
}

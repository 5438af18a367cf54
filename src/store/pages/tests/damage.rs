//! Pages and segment files that are not what they were, and files of others.

use super::*;
use crate::store::layout::{Magic, reseal, write_header};

#[track_caller]
fn names(error: &StoreError, path: &Path) {
    let path = path.display().to_string();
    assert!(error.to_string().contains(&path), "{error}");
}

/// A disk whose segment 1 begins with `header` and holds `at`.
fn with_header(header: &[u8]) -> (SimDisk, PageAt) {
    let (disk, at, _) = disk_with_page(100);
    let mut contents = disk.contents(&segment_path(1));
    contents[..header.len()].copy_from_slice(header);
    disk.overwrite(&segment_path(1), &contents);
    (disk, at)
}

#[test]
fn every_flipped_bit_of_a_page_is_noticed_and_the_error_names_the_file() {
    let (disk, at, _) = disk_with_page(50);
    let pages = open(&disk, &[at]);
    for bit in 0..(16 + 50) * 8 {
        let (offset, mask) = (at.offset + bit / 8, 1 << (bit % 8));
        disk.flip(&segment_path(1), offset, mask);
        for error in [pages.read(at).unwrap_err(), pages.verify(at).unwrap_err()] {
            assert!(matches!(error, StoreError::Corrupt { offset: 4096, .. }));
            names(&error, &segment_path(1));
        }
        disk.flip(&segment_path(1), offset, mask);
        pages.read(at).unwrap();
    }
}

#[test]
fn a_page_cut_short_at_any_byte_is_noticed() {
    for cut in 0..116 {
        let (disk, at, _) = disk_with_page(100);
        disk.truncate(&segment_path(1), 4096 + cut);
        let pages = open(&disk, &[at]);
        for error in [pages.read(at).unwrap_err(), pages.verify(at).unwrap_err()] {
            let StoreError::Corrupt { offset, .. } = error else {
                panic!("{error}");
            };
            assert_eq!(offset, 4096 + cut as u64);
        }
    }
}

#[test]
fn a_damaged_page_leaves_the_others_readable() {
    let disk = SimDisk::new();
    let pages = open(&disk, &[]);
    let (first, second) = (write(&pages, b"first"), write(&pages, b"second"));
    disk.flip(&segment_path(1), first.offset + 18, 1);
    assert!(pages.read(first).is_err());
    assert_eq!(pages.read(second).unwrap(), b"second");
}

#[test]
fn a_page_moved_to_another_place_or_segment_or_node_does_not_pass() {
    let disk = SimDisk::new();
    let pages = open(&disk, &[]);
    let room = (SEGMENT - BLOCK) as usize;
    let first = write(&pages, &bytes(1, room / 2 - 16));
    let second = write(&pages, &bytes(2, room / 2 - 16));
    let third = write(&pages, &bytes(3, room / 2 - 16));
    assert_eq!((second.segment, third.segment), (1, 2));
    pages.sync().unwrap();
    disk.kill();
    // The second page's bytes over the first, and the first segment's over the second.
    let contents = disk.contents(&segment_path(1));
    let mut moved = contents.clone();
    moved.copy_within(second.offset as usize.., first.offset as usize);
    disk.overwrite(&segment_path(1), &moved);
    let mut stale = disk.contents(&segment_path(2));
    stale.truncate(4096);
    stale.extend_from_slice(&contents[first.offset as usize..second.offset as usize]);
    disk.overwrite(&segment_path(2), &stale);
    let crcs = |at: PageAt, crc| PageAt { crc, ..at };
    let in_use = [crcs(first, second.crc), crcs(third, first.crc)];
    let pages = open(&disk, &in_use);
    for at in in_use {
        let error = pages.read(at).unwrap_err().to_string();
        assert!(error.contains("checksum"), "{error}");
    }
}

#[test]
fn a_page_named_with_another_length_or_checksum_does_not_pass() {
    let (disk, at, _) = disk_with_page(1000);
    for wrong in [
        PageAt { length: 999, ..at },
        PageAt { length: 1001, ..at },
        PageAt {
            length: u32::MAX,
            ..at
        },
        PageAt {
            crc: at.crc ^ 1,
            ..at
        },
        PageAt { offset: 8192, ..at },
    ] {
        let pages = open(&disk, &[wrong]);
        assert!(pages.read(wrong).is_err(), "{wrong:?}");
        assert!(pages.verify(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_page_that_can_be_nowhere_is_an_error_when_it_is_read() {
    let (disk, at, held) = disk_with_page(1000);
    for offset in [0, 4095, u64::MAX] {
        let wrong = PageAt { offset, ..at };
        let pages = open(&disk, &[at, wrong]);
        names(&pages.read(wrong).unwrap_err(), &segment_path(1));
        assert_eq!(pages.read(at).unwrap(), held);
    }
}

#[test]
fn a_file_with_another_magic_stops_the_start_named_or_not() {
    let header = write_header(Magic::Log, &IDENTITY, &1u64.to_le_bytes());
    let (disk, at) = with_header(&header);
    for in_use in [&[at][..], &[]] {
        let error = refused(&disk, in_use);
        assert!(matches!(error, StoreError::Foreign { .. }));
        names(&error, &segment_path(1));
    }
}

#[test]
fn a_file_of_a_later_format_stops_the_start_named_or_not() {
    let mut header = write_header(Magic::Segment, &IDENTITY, &1u64.to_le_bytes());
    header[8] = 2;
    reseal(&mut header);
    let (disk, at) = with_header(&header);
    for in_use in [&[at][..], &[]] {
        let error = refused(&disk, in_use);
        assert!(matches!(error, StoreError::NewerFormat { found: 2, .. }));
        names(&error, &segment_path(1));
    }
}

#[test]
fn a_file_of_another_node_stops_the_start_named_or_not() {
    let other = Identity {
        node: [6; 16],
        ..IDENTITY
    };
    let (disk, at) = with_header(&write_header(Magic::Segment, &other, &1u64.to_le_bytes()));
    for in_use in [&[at][..], &[]] {
        let error = refused(&disk, in_use);
        assert!(matches!(error, StoreError::WrongNode { .. }));
        names(&error, &segment_path(1));
    }
}

#[test]
fn a_file_under_another_segments_name_stops_the_start() {
    let header = write_header(Magic::Segment, &IDENTITY, &3u64.to_le_bytes());
    let (disk, at) = with_header(&header);
    let error = refused(&disk, &[at]);
    assert!(matches!(error, StoreError::Misplaced { number: 3, .. }));
    names(&error, &segment_path(1));
}

#[test]
fn a_damaged_header_leaves_whole_pages_readable() {
    let (disk, at, held) = disk_with_page(1000);
    disk.flip(&segment_path(1), 60, 1);
    let pages = open(&disk, &[at]);
    assert_eq!(pages.read(at).unwrap(), held);
}

#[test]
fn a_nameless_file_with_no_or_a_damaged_header_is_removed() {
    for contents in [
        &b""[..],
        &[0; 4096],
        &write_header(Magic::Segment, &IDENTITY, &[])[..50],
    ] {
        let (disk, _, _) = disk_with_page(100);
        disk.overwrite(&segment_path(1), contents);
        let _pages = open(&disk, &[]);
        assert_eq!(disk.paths(), [] as [PathBuf; 0]);
    }
}

#[test]
fn a_missing_segment_is_reported_and_the_rest_is_served() {
    let disk = SimDisk::new();
    let pages = open(&disk, &[]);
    let lost = [
        write(&pages, &bytes(1, 30_000)),
        write(&pages, &bytes(2, 20_000)),
    ];
    let kept = write(&pages, &bytes(3, 30_000));
    pages.sync().unwrap();
    disk.kill();
    disk.lose_file(&segment_path(1));
    let opened = try_open(&disk, &[lost[0], kept, lost[1]]).unwrap();
    let expected = MissingSegment {
        segment: 1,
        path: segment_path(1),
        pages: 2,
        bytes: 50_032,
    };
    assert_eq!(opened.missing, [expected]);
    let pages = opened.pages;
    assert_eq!(pages.read(kept).unwrap(), bytes(3, 30_000));
    let error = pages.read(lost[0]).unwrap_err();
    assert!(matches!(error, StoreError::MissingFile { .. }));
    names(&error, &segment_path(1));
    // The owner gives up what is lost.
    pages.free(lost[0]);
    assert_eq!(pages.status().durable.pages, 1);
}

#[test]
fn a_freed_page_is_not_read() {
    let pages = open(&SimDisk::new(), &[]);
    let (freed, kept) = (write(&pages, b"freed"), write(&pages, b"kept"));
    pages.free(freed);
    assert!(matches!(pages.read(freed), Err(StoreError::Corrupt { .. })));
    // Freeing it again changes nothing.
    pages.free(freed);
    assert_eq!(pages.status().durable.pages, 1);
    assert_eq!(pages.read(kept).unwrap(), b"kept");
}

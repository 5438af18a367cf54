//! Full disks, errors of the device, and crashes at every operation.

use super::*;
use crate::store::sim::Event;

#[test]
fn a_write_on_a_full_disk_leaves_nothing_and_works_once_there_is_space() {
    for free in (0..10_000).step_by(250) {
        let disk = SimDisk::new();
        let pages = open(&disk, &[]);
        disk.set_free(Some(free));
        let error = pages.write(&[&[7; 10_000]]).unwrap_err();
        assert!(error.is_disk_full(), "{error}");
        let usage = pages.status().durable;
        assert_eq!((usage.pages, usage.live_bytes), (0, 0));
        disk.set_free(None);
        let at = write(&pages, &[7; 10_000]);
        assert_eq!(at.offset, BLOCK);
        pages.sync().unwrap();
        disk.power_loss(free);
        let pages = open(&disk, &[at]);
        assert_eq!(pages.read(at).unwrap(), [7; 10_000]);
    }
}

#[test]
fn a_full_disk_keeps_no_file_that_could_not_be_begun() {
    let disk = SimDisk::new();
    let pages = open(&disk, &[]);
    disk.set_free(Some(100));
    for held in [&[7; 10][..], &[7; 100_000]] {
        assert!(pages.write(&[held]).unwrap_err().is_disk_full());
        assert_eq!(disk.paths(), [] as [PathBuf; 0]);
    }
    disk.set_free(Some(50_000));
    assert!(pages.write(&[&[7; 100_000]]).unwrap_err().is_disk_full());
    assert_eq!(disk.paths(), [] as [PathBuf; 0]);
    assert_eq!(pages.status().durable, Usage::default());
}

#[test]
fn writes_go_on_behind_earlier_pages_after_a_full_disk() {
    let disk = SimDisk::new();
    let pages = open(&disk, &[]);
    let first = write(&pages, b"first");
    disk.set_free(Some(1000));
    assert!(pages.write(&[&[7; 10_000]]).is_err());
    disk.set_free(None);
    let second = write(&pages, b"second");
    assert_eq!(second.offset, first.offset + first.framed_bytes());
    assert_eq!(pages.read(first).unwrap(), b"first");
    assert_eq!(pages.read(second).unwrap(), b"second");
}

#[test]
fn what_a_failed_write_left_in_a_segment_is_given_back() {
    let disk = SimDisk::new();
    let pages = open(&disk, &[]);
    let first = write(&pages, &bytes(1, 4080));
    disk.set_free(Some(40_000));
    assert!(pages.write(&[&[7; 50_000]]).is_err());
    disk.set_free(None);
    assert!(disk.allocated(&segment_path(1)) > 40_000);
    // The next page does not fit behind the first, so the segment is sealed.
    let next = write(&pages, &bytes(2, 57_340));
    assert_eq!((first.segment, next.segment), (1, 2));
    assert_eq!(disk.allocated(&segment_path(1)), 2 * BLOCK);
    assert_eq!(pages.read(first).unwrap(), bytes(1, 4080));
}

#[test]
fn freeing_and_starting_need_no_space() {
    let (disk, at, _) = disk_with_page(50_000);
    disk.set_free(Some(0));
    let pages = open(&disk, &[at]);
    pages.free(at);
    assert_eq!(disk.paths(), [] as [PathBuf; 0]);
    write(&pages, b"there is space again");
}

#[test]
fn a_write_error_leaves_no_page_and_names_the_file() {
    let disk = SimDisk::new();
    let pages = open(&disk, &[]);
    write(&pages, b"first");
    disk.fail_next_write();
    let error = pages.write(&[b"second"]).unwrap_err();
    assert!(
        error
            .to_string()
            .contains(&segment_path(1).display().to_string())
    );
    assert!(!error.is_passing());
    assert_eq!(pages.status().durable.pages, 1);
    let second = write(&pages, b"second");
    pages.sync().unwrap();
    assert_eq!(pages.read(second).unwrap(), b"second");
}

#[test]
fn after_a_failed_sync_nothing_is_called_durable_any_more() {
    let disk = SimDisk::new();
    let pages = open(&disk, &[]);
    let early = write(&pages, b"early");
    pages.sync().unwrap();
    let late = write(&pages, b"late");
    disk.fail_next_sync();
    for _ in 0..2 {
        assert!(matches!(pages.sync(), Err(StoreError::SegmentsFailed(_))));
    }
    let refused = pages.write(&[b"more"]).unwrap_err();
    assert!(matches!(refused, StoreError::SegmentsFailed(_)));
    assert!(pages.status().failed.is_some());
    // What is there can still be read and freed, and what needs no sync written.
    assert_eq!(pages.read(early).unwrap(), b"early");
    pages.free(late);
    let transient = pages.write_transient(&[b"transient"]).unwrap();
    assert_eq!(pages.read(transient).unwrap(), b"transient");
}

#[test]
fn a_sync_syncs_each_file_that_changed_and_the_names_after_them() {
    let disk = SimDisk::new();
    let pages = open(&disk, &[]);
    disk.record_events();
    let syncs = |disk: &SimDisk| {
        let events = disk.take_events().into_iter();
        events
            .filter(|event| matches!(event, Event::Sync(_) | Event::SyncDir(_)))
            .collect::<Vec<_>>()
    };
    for seed in 0..3 {
        write(&pages, &bytes(seed, 30_000));
    }
    pages.sync().unwrap();
    let names = Event::SyncDir(dir().join("pages"));
    let files = [1, 2].map(|number| Event::Sync(segment_path(number)));
    assert_eq!(syncs(&disk), [&files[..], &[names]].concat());
    write(&pages, b"more");
    pages.sync().unwrap();
    assert_eq!(syncs(&disk), files[1..]);
    pages.sync().unwrap();
    assert_eq!(syncs(&disk), []);
}

#[test]
fn the_folders_name_is_synced_by_each_start() {
    let disk = SimDisk::new();
    for _ in 0..2 {
        disk.record_events();
        let _pages = open(&disk, &[]);
        assert_eq!(disk.take_events(), [Event::SyncDir(dir().to_path_buf())]);
        disk.kill();
    }
}

#[test]
fn a_crash_at_any_operation_loses_no_synced_page() {
    for after in 0..40 {
        for seed in 0..8 {
            let disk = SimDisk::new();
            disk.crash_after(after);
            let synced = write_until_crash(&disk);
            disk.power_loss(seed);
            let in_use: Vec<_> = synced.iter().map(|(at, _)| *at).collect();
            let pages = open(&disk, &in_use);
            for (at, held) in synced {
                assert_eq!(pages.read(at).unwrap(), held, "after {after}, seed {seed}");
            }
        }
    }
}

/// Writes pages of all sizes, two to a sync; returns those that were synced.
fn write_until_crash(disk: &SimDisk) -> Vec<(PageAt, Vec<u8>)> {
    let (mut synced, mut written) = (Vec::new(), Vec::new());
    let Ok(opened) = try_open(disk, &[]) else {
        return synced;
    };
    for seed in 0..20_u8 {
        let held = bytes(seed, usize::from(seed) * 997 % 30_000);
        let Ok(at) = opened.pages.write(&[&held]) else {
            break;
        };
        written.push((at, held));
        if seed % 2 == 1 {
            if opened.pages.sync().is_err() {
                break;
            }
            synced.append(&mut written);
        }
    }
    synced
}

//! Several threads at once.

use std::time::{Duration, Instant};

use super::*;
use crate::store::sim::Event;

/// Waits until `reached` holds.
#[track_caller]
fn wait_until(reached: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !reached() {
        assert!(Instant::now() < deadline, "it does not come about");
        std::thread::yield_now();
    }
}

/// Lets what hangs go on at its end, so that a test that fails does not hang as well.
struct Held<'a>(&'a SimDisk);

impl Held<'_> {
    fn syncs(disk: &SimDisk) -> Held<'_> {
        disk.hold_syncs();
        Held(disk)
    }

    fn writes(disk: &SimDisk) -> Held<'_> {
        disk.hold_writes();
        Held(disk)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.release_syncs();
        self.0.release_writes();
    }
}

#[test]
fn writers_readers_and_syncs_at_once_keep_every_page_apart() {
    let folder = tempfile::tempdir().unwrap();
    let opened = Pages::open(Arc::new(RealDisk), folder.path(), IDENTITY, SEGMENT, []);
    let pages = opened.unwrap().pages;
    let written: Vec<Vec<(PageAt, Vec<u8>)>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4_u8)
            .map(|thread| {
                let pages = &pages;
                scope.spawn(move || {
                    let mut kept = Vec::new();
                    for round in 0..60_usize {
                        let held = bytes(thread, 1 + (round * 1_237 + usize::from(thread)) % 9_000);
                        let at = write(pages, &held);
                        assert_eq!(pages.read(at).unwrap(), held);
                        if round % 3 == 0 {
                            pages.free(at);
                        } else {
                            kept.push((at, held));
                        }
                        if round % 20 == 0 {
                            pages.sync().unwrap();
                        }
                    }
                    kept
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    pages.sync().unwrap();
    pages.tidy();
    let kept: Vec<_> = written.into_iter().flatten().collect();
    assert_eq!(pages.status().durable.pages, kept.len());
    drop(pages);
    let in_use = kept.iter().map(|(at, _)| *at);
    let opened = Pages::open(Arc::new(RealDisk), folder.path(), IDENTITY, SEGMENT, in_use);
    let pages = opened.unwrap().pages;
    for (at, held) in &kept {
        assert_eq!(pages.read(*at).unwrap(), *held);
    }
}

#[test]
fn syncs_that_come_during_one_share_the_next() {
    let disk = SimDisk::new();
    let pages = open(&disk, &[]);
    write(&pages, b"first");
    std::thread::scope(|scope| {
        let held = Held::syncs(&disk);
        let sync = || pages.sync().unwrap();
        scope.spawn(sync);
        wait_until(|| disk.hanging_syncs() == 1);
        write(&pages, b"second");
        for _ in 0..5 {
            scope.spawn(sync);
        }
        wait_until(|| pages.status().sync_waiting == 5);
        drop(held);
    });
    assert_eq!(pages.status().syncs, 2);
}

#[test]
fn a_page_written_during_a_sync_is_durable_only_after_the_next() {
    let lost = (0..50).any(|seed| {
        let disk = SimDisk::new();
        let pages = open(&disk, &[]);
        let first = write(&pages, b"first");
        let second = std::thread::scope(|scope| {
            let held = Held::syncs(&disk);
            scope.spawn(|| pages.sync().unwrap());
            wait_until(|| disk.hanging_syncs() == 1);
            let second = write(&pages, b"second");
            drop(held);
            second
        });
        assert!(
            second.offset / BLOCK > first.offset / BLOCK,
            "the block is left alone"
        );
        pages.sync().unwrap();
        disk.power_loss(seed);
        let pages = open(&disk, &[first, second]);
        assert_eq!(pages.read(first).unwrap(), b"first");
        pages.read(second).unwrap() != b"second"
    });
    assert!(!lost);
}

#[test]
fn a_sync_waits_for_pages_on_their_way_into_the_block_it_ends() {
    let disk = SimDisk::new();
    let pages = open(&disk, &[]);
    write(&pages, b"first");
    disk.record_events();
    std::thread::scope(|scope| {
        let held = Held::writes(&disk);
        let second = scope.spawn(|| write(&pages, b"second"));
        wait_until(|| disk.hanging_writes() == 1);
        scope.spawn(|| pages.sync().unwrap());
        // Nobody else gets in while a sync waits.
        wait_until(|| pages.writing.try_read().is_none());
        drop(held);
        assert_eq!(second.join().unwrap().offset / BLOCK, 1);
    });
    let events = disk.take_events();
    assert_eq!(events.last(), Some(&Event::SyncDir(dir().join("pages"))));
    let is_write = |event: &Event| matches!(event, Event::Write { .. });
    let synced = events.iter().position(|event| !is_write(event)).unwrap();
    assert_eq!(synced, 2, "header and bytes of the page: {events:?}");
    assert_eq!(write(&pages, b"third").offset, 2 * BLOCK);
}

#[test]
fn reading_and_freeing_go_on_while_a_sync_hangs() {
    let disk = SimDisk::new();
    let pages = open(&disk, &[]);
    let (first, second) = (write(&pages, b"first"), write(&pages, b"second"));
    std::thread::scope(|scope| {
        let held = Held::syncs(&disk);
        scope.spawn(|| pages.sync().unwrap());
        wait_until(|| disk.hanging_syncs() == 1);
        assert_eq!(pages.read(first).unwrap(), b"first");
        pages.free(second);
        let third = write(&pages, b"third");
        assert_eq!(pages.read(third).unwrap(), b"third");
        drop(held);
    });
}

#[test]
fn every_waiting_sync_learns_of_a_failure() {
    let disk = SimDisk::new();
    let pages = open(&disk, &[]);
    write(&pages, b"page");
    let sync = || pages.sync().is_err();
    std::thread::scope(|scope| {
        let held = Held::syncs(&disk);
        let first = scope.spawn(sync);
        wait_until(|| disk.hanging_syncs() == 1);
        let others: Vec<_> = (0..3).map(|_| scope.spawn(sync)).collect();
        wait_until(|| pages.status().sync_waiting == 3);
        disk.fail_next_sync();
        drop(held);
        assert!(first.join().unwrap());
        assert!(others.into_iter().all(|thread| thread.join().unwrap()));
    });
}

//! The store with its threads, on the simulated disk.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::*;

/// Waits until `reached`; the deadline is for a defect, not for a slow machine.
#[track_caller]
pub(super) fn wait_until(what: &str, reached: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !reached() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::yield_now();
    }
}

pub(super) fn start_with(site: &Site, notify: core::Notify) -> Store {
    let (disk, catalogue) = (
        Arc::new(site.disk.clone()),
        Arc::new(site.catalogue.clone()),
    );
    let options = site.options.clone();
    let (store, _) =
        Store::open_on(disk, catalogue, options, notify, &mut NoEntries).expect("the store opens");
    store.attach(Arc::new(NoEntries));
    store
}

#[test]
fn an_appended_record_becomes_durable_and_is_announced() {
    let announced = Arc::new(AtomicU64::new(0));
    let seen = Arc::clone(&announced);
    let notify: core::Notify = Box::new(move |lsn| seen.store(lsn.0, Ordering::SeqCst));
    let store = start_with(&Site::new(), notify);
    let lsn = store.append(&[put("a", "1")]).unwrap();
    store.wait_durable(lsn).unwrap();
    assert_eq!(store.durable(), lsn);
    wait_until("the announcement", || {
        announced.load(Ordering::SeqCst) == lsn.0
    });
}

#[test]
fn what_arrives_during_a_sync_goes_into_one_next_group() {
    let site = Site::new();
    let store = site.start();
    site.disk.hold_syncs();
    store.append(&[put("first", "1")]).unwrap();
    wait_until("the sync", || site.disk.hanging_syncs() == 1);
    let appended: Vec<_> = (0..50)
        .map(|i| store.append(&[put(&format!("k{i}"), "1")]).unwrap())
        .collect();
    assert_eq!(store.durable(), Lsn(0));
    assert!(store.status().sync_age.is_some());
    site.disk.record_events();
    site.disk.release_syncs();
    store.wait_durable(*appended.last().unwrap()).unwrap();
    let writes = site.disk.take_events().into_iter().filter(
        |event| matches!(event, sim::Event::Write { path, .. } if path.starts_with("/sim/log")),
    );
    assert_eq!(writes.count(), 1);
}

#[test]
fn a_full_disk_is_an_alarm_until_there_is_space_and_nothing_is_lost() {
    let site = Site::new();
    let store = site.start();
    site.disk.set_free(Some(0));
    let lsn = store.append(&[put("a", "1")]).unwrap();
    wait_until("the alarm", || store.status().blocked.is_some());
    assert!(store.failed().is_none());
    let later = store.append(&[put("b", "2")]).unwrap();
    assert!(store.durable() < lsn);
    site.disk.set_free(None);
    store.wait_durable(later).unwrap();
    assert!(store.status().blocked.is_none());
    store.close().unwrap();
    assert_holds(&site.open().1, &[("a", "1"), ("b", "2")]);
}

#[test]
fn closing_on_a_full_disk_says_what_was_not_written() {
    let site = Site::new();
    let store = site.start();
    site.disk.set_free(Some(0));
    store.append(&[put("a", "1")]).unwrap();
    wait_until("the alarm", || store.status().blocked.is_some());
    let error = store.close().unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::NotWritten {
                first: Lsn(1),
                last: Lsn(1)
            }
        ),
        "{error}"
    );
}

#[test]
fn a_failed_sync_is_announced_to_the_owner_and_to_those_who_wait() {
    let site = Site::new();
    let calls = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&calls);
    let store = start_with(
        &site,
        Box::new(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
        }),
    );
    site.disk.fail_next_sync();
    let lsn = store.append(&[put("a", "1")]).unwrap();
    assert!(matches!(
        store.wait_durable(lsn),
        Err(StoreError::Failed(_))
    ));
    wait_until("the call", || calls.load(Ordering::SeqCst) == 1);
    assert!(matches!(store.checkpoint(), Err(StoreError::Failed(_))));
    assert!(store.status().failed.is_some());
    assert!(matches!(store.close(), Err(StoreError::Failed(_))));
}

#[test]
fn a_panicking_callback_stops_the_log_instead_of_hanging_it() {
    let site = Site::new();
    let store = start_with(&site, Box::new(|_| panic!("the owner's defect")));
    store.append(&[put("a", "1")]).unwrap();
    wait_until("the failure", || store.failed().is_some());
    let failure = store.failed().unwrap().to_string();
    assert!(failure.contains("leveret-log") && failure.contains("the owner's defect"));
}

#[test]
fn closing_writes_what_was_appended_and_clones_are_refused_afterwards() {
    let site = Site::new();
    let store = site.start();
    let clone = store.clone();
    store.append(&[put("a", "1")]).unwrap();
    store.close().unwrap();
    assert!(matches!(
        clone.append(&[put("b", "2")]),
        Err(StoreError::Closed)
    ));
    assert!(matches!(clone.checkpoint(), Err(StoreError::Closed)));
    assert!(clone.wait_durable(Lsn(1)).is_ok());
    assert!(matches!(clone.close(), Err(StoreError::Closed)));
    let (_driven, recovered) = site.open();
    assert_holds(&recovered, &[("a", "1")]);
    assert!(recovered.clean);
}

#[test]
fn dropping_without_closing_gives_the_directory_back_and_is_not_clean() {
    let site = Site::new();
    let store = site.start();
    let lsn = store.append(&[put("a", "1")]).unwrap();
    store.wait_durable(lsn).unwrap();
    drop(store);
    let (_driven, recovered) = site.open();
    assert_holds(&recovered, &[("a", "1")]);
    assert!(!recovered.clean);
}

#[test]
fn a_checkpoint_that_is_asked_for_is_waited_for() {
    let site = Site::new();
    let store = site.start();
    let lsn = store.append(&[put("a", "1")]).unwrap();
    store.wait_durable(lsn).unwrap();
    store.checkpoint().unwrap();
    assert_eq!(site.catalogue.mark(), Some(lsn));
    assert_eq!(store.status().checkpoint, lsn);
    site.catalogue.fail_next(sim::Step::Flush);
    let lsn = store.append(&[put("a", "2")]).unwrap();
    store.wait_durable(lsn).unwrap();
    let error = store.checkpoint().unwrap_err();
    assert!(matches!(error, StoreError::Checkpoint(_)), "{error}");
    assert!(store.failed().is_none());
}

#[test]
fn a_record_that_was_never_appended_is_not_waited_for() {
    let store = Site::new().start();
    let refused = store.wait_durable(Lsn(1));
    assert!(matches!(
        refused,
        Err(StoreError::NotAppended { lsn: Lsn(1) })
    ));
}

#[test]
fn enough_log_brings_checkpoint_snapshot_and_recycling_by_itself() {
    let mut site = Site::new();
    site.options.checkpoint_log_bytes = FILE_BYTES;
    site.options.snapshot_log_bytes = 2 * FILE_BYTES;
    let store = site.start();
    for _ in 0..40 {
        let lsn = store.append(&[put("key", vec![1; 20_000])]).unwrap();
        store.wait_durable(lsn).unwrap();
    }
    wait_until("a snapshot", || store.status().snapshot > Lsn(0));
    wait_until("recycling", || !site.log_files().contains(&log_file(1)));
}

#[test]
fn many_threads_append_and_every_record_is_there() {
    let site = Site::new();
    let store = site.start();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let store = store.clone();
            scope.spawn(move || {
                for i in 0..100 {
                    let lsn = store.append(&[put(&format!("{thread}-{i}"), "v")]).unwrap();
                    if i % 10 == 0 {
                        store.wait_durable(lsn).unwrap();
                    }
                }
            });
        }
    });
    store.close().unwrap();
    assert_eq!(site.open().1.entries.len(), 400);
}

#[test]
fn the_status_counts_syncs_and_what_the_log_occupies() {
    let site = Site::new();
    let store = site.start();
    let before = store.status();
    assert_eq!((before.syncs.count, before.last_group_bytes), (0, 0));
    for bytes in [10, 20_000] {
        let lsn = store.append_entry(2, &[&vec![0; bytes]]);
        store.wait_durable(lsn).unwrap();
    }
    let status = store.status();
    assert_eq!(status.syncs.count, 2);
    assert_eq!(status.syncs.times.iter().sum::<u64>(), 2);
    // A header, a block and five blocks.
    assert_eq!(status.syncs.bytes, 7 * 4096);
    assert_eq!(status.last_group_bytes, 5 * 4096);
    assert_eq!((status.log_files, status.log_bytes), (1, FILE_BYTES));
    assert!(!status.backlogged);
    store.checkpoint().unwrap();
    assert_eq!(store.status().floor, Lsn(2));
}

#[test]
fn a_busy_log_thread_is_left_alone_and_an_idle_one_is_woken_once() {
    let site = Site::new();
    let store = site.start();
    site.disk.hold_syncs();
    let first = store.append_entry(2, &[b"wakes"]);
    wait_until("the sync", || site.disk.hanging_syncs() == 1);
    let core = &store.inner.core;
    for _ in 0..10 {
        store.append_entry(2, &[b"does not"]);
        assert_eq!(core.queue.lock().waiting, core::Waiting::No);
    }
    site.disk.release_syncs();
    store.wait_durable(Lsn(first.0 + 10)).unwrap();
    assert_eq!(store.status().syncs.count, 2);
}

#[test]
fn files_follow_each_other_while_upkeep_makes_others_ready_and_no_record_is_lost() {
    let mut site = Site::new();
    site.options.log_max_bytes = 1024 * FILE_BYTES;
    let store = start_with(&site, Box::new(|_| {}));
    store.attach(Arc::new(owner::Held::default()));
    let entry = vec![7; 15_000];
    let (threads, entries) = (2, 400);
    let running = AtomicU64::new(threads);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..entries {
                    let lsn = store.append_entry(2, &[&entry]);
                    store.wait_durable(lsn).unwrap();
                }
                running.fetch_sub(1, Ordering::SeqCst);
            });
        }
        while running.load(Ordering::SeqCst) > 0 {
            store.checkpoint().unwrap();
        }
    });
    drop(store);
    site.disk.kill();
    let expected: Vec<_> = (1..=threads * entries).collect();
    assert_eq!(site.own().2.lsns(), expected);
}

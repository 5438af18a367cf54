//! A log that gets too long and a disk that is full: what is asked of the owner, what waits, what
//! goes through all the same, and how it ends.

use super::running::{start_with, wait_until};
use super::*;

const GROUP: usize = 40_000;

/// A log of at most four files.
fn short_site() -> Site {
    let mut site = Site::new();
    site.options.log_max_bytes = 4 * FILE_BYTES;
    site
}

/// A store with entries in so many files, the last of which is just begun.
fn with_files(site: &Site, files: usize) -> (Driven, Arc<Held>) {
    let (mut driven, _, _, held) = site.own();
    driven.enter_all(files, GROUP);
    assert_eq!(driven.parts.core.files.lock().spans.len(), files);
    (driven, held)
}

fn look(driven: &mut Driven) {
    driven
        .parts
        .upkeep
        .round(false)
        .expect("the round succeeds");
}

#[test]
fn the_owner_is_asked_to_let_go_of_what_makes_the_log_longer_than_half_its_limit() {
    for (files, upto) in [(1, 0), (2, 0), (3, 1), (4, 2)] {
        let (mut driven, held) = with_files(&short_site(), files);
        look(&mut driven);
        assert_eq!(held.released().0, Lsn(upto), "{files} files");
    }
}

#[test]
fn the_owner_is_not_asked_twice_before_the_log_is_at_its_limit_and_again_when_it_is() {
    let (mut driven, held) = with_files(&short_site(), 4);
    look(&mut driven);
    look(&mut driven);
    assert_eq!(held.released(), (Lsn(2), 1));
    driven.enter(GROUP);
    look(&mut driven);
    assert_eq!(held.released(), (Lsn(3), 2));
    look(&mut driven);
    assert_eq!(held.released(), (Lsn(3), 3));
}

#[test]
fn the_owner_is_not_asked_for_what_it_has_let_go_already() {
    let (mut driven, held) = with_files(&short_site(), 4);
    held.raise(Lsn(4));
    look(&mut driven);
    assert_eq!(held.released(), (Lsn(0), 0));
    assert_eq!(driven.parts.core.files.lock().spans.len(), 1);
}

#[test]
fn a_log_that_is_too_long_is_shortened_as_soon_as_the_floor_allows_it() {
    let site = short_site();
    let (mut driven, held) = with_files(&site, 4);
    look(&mut driven);
    assert!(site.log_files().contains(&log_file(1)));
    held.raise(Lsn(2));
    look(&mut driven);
    let files = site.log_files();
    assert!(!files.contains(&log_file(1)) && !files.contains(&log_file(2)));
    assert!(files.contains(&log_file(3)));
}

#[test]
fn at_the_limit_entries_wait_and_what_frees_space_goes_through_with_all_before_it() {
    let (mut driven, held) = with_files(&short_site(), 5);
    let core = Arc::clone(&driven.parts.core);
    assert!(!core.is_backlogged());
    look(&mut driven);
    assert!(core.is_backlogged());
    let waits = core.append_entry(2, &[b"publish"], false);
    driven.commit();
    assert!(core.durable() < waits);
    let frees = core.append_entry(3, &[b"settle"], true);
    driven.commit();
    assert_eq!(core.durable(), frees);
    let waits = core.append_entry(2, &[b"publish"], false);
    driven.commit();
    assert!(core.durable() < waits);
    let page = core.append_changes_unbounded(&[put("page", "")]);
    driven.commit();
    assert_eq!(core.durable(), page);
    held.raise(frees);
    look(&mut driven);
    assert!(!core.is_backlogged());
    let entry = core.append_entry(2, &[b"publish"], false);
    driven.commit();
    assert_eq!(core.durable(), entry);
}

#[test]
fn at_the_limit_what_a_higher_floor_waits_for_is_written() {
    let (mut driven, held) = with_files(&short_site(), 5);
    let core = Arc::clone(&driven.parts.core);
    look(&mut driven);
    let waits = core.append_entry(2, &[b"publish"], false);
    look(&mut driven);
    driven.commit();
    assert!(core.durable() < waits && core.is_backlogged());
    held.raise(waits.before());
    look(&mut driven);
    driven.commit();
    assert_eq!(core.durable(), waits);
    look(&mut driven);
    assert!(!core.is_backlogged());
}

#[test]
fn a_log_at_its_limit_and_not_a_byte_beyond_takes_entries() {
    for (files, full) in [(4, false), (5, true)] {
        let (mut driven, _) = with_files(&short_site(), files);
        look(&mut driven);
        assert_eq!(driven.parts.core.is_backlogged(), full, "{files} files");
    }
}

#[test]
fn more_pending_than_may_be_is_a_backlog_until_it_is_written() {
    let limit = Site::new().options.pending_max_bytes;
    for (bytes, backlogged) in [(limit - 1, false), (limit, false), (limit + 1, true)] {
        let (mut driven, ..) = Site::new().own();
        let core = Arc::clone(&driven.parts.core);
        let half = bytes / 2 - record::RECORD_HEADER_BYTES;
        let rest = bytes - bytes / 2 - record::RECORD_HEADER_BYTES;
        core.append_entry(2, &[&vec![0; half]], false);
        core.append_entry(2, &[&vec![0; rest]], false);
        assert_eq!(core.appended().1, bytes);
        assert_eq!(core.is_backlogged(), backlogged, "{bytes}");
        driven.commit();
        assert!(!core.is_backlogged());
    }
}

#[test]
fn what_only_deletes_is_taken_however_much_waits() {
    let (mut driven, ..) = Site::new().own();
    let core = Arc::clone(&driven.parts.core);
    core.append(&[put("queue", "")]).unwrap();
    let limit = core.options.pending_max_bytes;
    core.append_entry(2, &[&vec![0; limit]], false);
    let refused = core.append(&[delete("queue"), put("other", "")]);
    assert!(matches!(refused, Err(StoreError::Backlog { .. })));
    let deleted = core.append(&[delete("queue")]).unwrap();
    while core.durable() < deleted {
        assert!(driven.commit(), "the group is committed");
    }
}

/// The files of the reserve.
fn reserve(site: &Site) -> Vec<PathBuf> {
    let paths = site.disk.paths().into_iter();
    paths
        .filter(|path| path.to_string_lossy().contains("/reserve-"))
        .collect()
}

/// A store with threads whose reserve is whole and whose disk is full. Its file has room for
/// nothing more, and no other is ready.
fn full_store(site: &Site, notify: core::Notify) -> Store {
    let store = start_with(site, notify);
    store.attach(Arc::new(Held::default()));
    let lsn = store.append_entry(2, &[&vec![0; GROUP]]);
    store.wait_durable(lsn).unwrap();
    wait_until("the reserve", || reserve(site).len() == 2);
    // Upkeep does nothing more by itself.
    store.checkpoint().unwrap();
    site.disk.set_free(Some(0));
    // Uses up the file that is ready.
    let lsn = store.append_entry(2, &[&vec![0; GROUP]]);
    store.wait_durable(lsn).unwrap();
    store
}

#[test]
fn on_a_full_disk_entries_wait_and_what_frees_space_is_written_to_the_reserve() {
    let site = Site::new();
    let store = full_store(&site, Box::new(|_| {}));
    let publish = store.append_entry(2, &[&vec![1; GROUP]]);
    wait_until("the alarm", || store.status().blocked.is_some());
    assert!(store.is_backlogged() && store.durable() < publish);
    assert_eq!(reserve(&site).len(), 2, "a publish does not touch it");
    let settle = store.append_freeing_entry(5, &[b"settle"]);
    store.wait_durable(settle).unwrap();
    assert_eq!(reserve(&site).len(), 1);
    assert!(store.is_backlogged() && store.status().blocked.is_some());
    let publish = store.append_entry(2, &[b"small"]);
    let settle = store.append_freeing_entry(5, &[b"settle"]);
    store.wait_durable(settle).unwrap();
    assert!(store.durable() >= publish);
    drop(store);
    site.disk.kill();
    assert_eq!(site.own().2.lsns(), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn once_the_reserve_is_used_only_what_frees_space_is_taken_until_it_is_whole_again() {
    let site = Site::new();
    let (mut driven, ..) = site.own();
    let core = Arc::clone(&driven.parts.core);
    driven.enter(GROUP);
    look(&mut driven);
    site.disk.set_free(Some(0));
    driven.enter(GROUP);
    core.append_entry(2, &[&vec![1; GROUP]], false);
    let settle = core.append_entry(5, &[b"settle"], true);
    driven.commit();
    assert_eq!((core.durable(), reserve(&site).len()), (settle, 1));
    // There is room for it in the file.
    let publish = core.append_entry(2, &[b"small"], false);
    driven.commit();
    assert!(core.durable() < publish && core.is_backlogged());
    look(&mut driven);
    driven.commit();
    assert!(core.durable() < publish && core.is_backlogged());
    site.disk.set_free(None);
    driven.parts.upkeep.reserve_tried_at = None;
    look(&mut driven);
    assert_eq!(reserve(&site).len(), 2);
    assert_eq!(core.next_group().map(|group| group.last()), Some(publish));
    assert!(!core.is_backlogged());
}

#[test]
fn an_alarm_ends_and_is_announced_although_nothing_waits_to_be_written() {
    let site = Site::new();
    let announced = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let count = Arc::clone(&announced);
    let store = full_store(
        &site,
        Box::new(move |_| {
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }),
    );
    let settle = store.append_freeing_entry(5, &[&vec![1; GROUP]]);
    store.wait_durable(settle).unwrap();
    assert!(store.is_backlogged());
    let before = announced.load(std::sync::atomic::Ordering::SeqCst);
    site.disk.set_free(None);
    wait_until("the end of the alarm", || !store.is_backlogged());
    wait_until("the announcement", || {
        announced.load(std::sync::atomic::Ordering::SeqCst) > before
    });
}

#[test]
fn when_the_reserve_is_used_up_all_waits_for_space_and_nothing_is_lost() {
    let site = Site::new();
    let store = full_store(&site, Box::new(|_| {}));
    for _ in 0..2 {
        let settle = store.append_freeing_entry(5, &[&vec![1; GROUP]]);
        store.wait_durable(settle).unwrap();
    }
    assert_eq!(reserve(&site).len(), 0);
    let settle = store.append_freeing_entry(5, &[&vec![1; GROUP]]);
    wait_until("the alarm", || store.status().blocked.is_some());
    assert!(store.durable() < settle && store.failed().is_none());
    site.disk.set_free(None);
    store.wait_durable(settle).unwrap();
    wait_until("a whole reserve", || reserve(&site).len() == 2);
}

#[test]
fn what_waits_for_space_does_not_take_what_the_reserve_is_to_be_made_whole_with() {
    let site = Site::new();
    let store = full_store(&site, Box::new(|_| {}));
    let publish = store.append_entry(2, &[&vec![1; GROUP]]);
    wait_until("the alarm", || store.status().blocked.is_some());
    // As when a file of the reserve made room for a checkpoint.
    let core = &store.inner.core;
    core.files.lock().reserve.pop();
    core.note_reserve();
    site.disk.record_events();
    site.disk.set_free(Some(FILE_BYTES - 1));
    let tries = Mutex::new(0);
    wait_until("the third try to fill a file", || {
        let removed = |event: &sim::Event| matches!(event, sim::Event::Remove(_));
        let events = site.disk.take_events();
        let mut tries = tries.lock();
        *tries += events.iter().filter(|event| removed(event)).count();
        *tries >= 3
    });
    assert!(store.durable() < publish);
    site.disk.set_free(None);
    store.wait_durable(publish).unwrap();
}

#[test]
fn old_log_makes_the_reserve_whole_on_a_full_disk() {
    let site = Site::new();
    let store = full_store(&site, Box::new(|_| {}));
    let held = Arc::new(Held::default());
    store.attach(Arc::clone(&held) as Arc<dyn Owner>);
    let settle = store.append_freeing_entry(5, &[&vec![1; GROUP]]);
    store.wait_durable(settle).unwrap();
    assert!(store.is_backlogged());
    held.raise(settle);
    // The snapshot takes the place of a reserve file; two old log files take theirs.
    wait_until("the end of the alarm", || !store.is_backlogged());
    assert_eq!(reserve(&site).len(), 2);
    let publish = store.append_entry(2, &[b"small"]);
    store.wait_durable(publish).unwrap();
}

#[test]
fn a_reserve_is_found_again_by_a_start_on_a_full_disk() {
    let site = Site::new();
    drop(full_store(&site, Box::new(|_| {})));
    site.disk.kill();
    site.disk.set_free(Some(0));
    let store = start_with(&site, Box::new(|_| {}));
    store.attach(Arc::new(Held::default()));
    let publish = store.append_entry(2, &[b"small"]);
    wait_until("the alarm", || store.status().blocked.is_some());
    assert!(store.durable() < publish);
    let settle = store.append_freeing_entry(5, &[b"settle"]);
    store.wait_durable(settle).unwrap();
    assert_eq!(reserve(&site).len(), 1);
}

#[test]
fn a_reserve_file_of_another_size_is_replaced() {
    let mut site = Site::new();
    drop(full_store(&site, Box::new(|_| {})));
    site.disk.kill();
    site.disk.set_free(None);
    site.options.log_file_bytes = 2 * FILE_BYTES;
    let (mut driven, ..) = site.own();
    assert_eq!(reserve(&site), Vec::<PathBuf>::new());
    driven.enter(2 * GROUP);
    look(&mut driven);
    for path in reserve(&site) {
        assert_eq!(site.disk.contents(&path).len() as u64, 2 * FILE_BYTES);
    }
    assert_eq!(reserve(&site).len(), 2);
}

#[test]
fn a_close_on_a_full_disk_writes_what_waits_to_the_reserve() {
    let site = Site::new();
    let store = full_store(&site, Box::new(|_| {}));
    let publish = store.append_entry(2, &[&vec![1; GROUP]]);
    wait_until("the alarm", || store.status().blocked.is_some());
    let durable = store.clone();
    // The snapshot does not fit, which a close survives.
    store.close().unwrap();
    assert_eq!(durable.durable(), publish);
    site.disk.kill();
    assert_eq!(site.own().2.lsns(), [1, 2, 3]);
}

#[test]
fn a_full_disk_keeps_no_half_of_a_snapshot() {
    let site = Site::new();
    let (mut driven, ..) = site.own();
    driven.write("a", "1");
    driven.checkpoint();
    site.disk.set_free(Some(100));
    driven.snapshot();
    assert!(driven.parts.upkeep.status.lock().snapshot_error.is_some());
    let left = site.disk.paths();
    assert!(
        !left
            .iter()
            .any(|path| path.extension().is_some_and(|e| e == "tmp")),
        "{left:?}"
    );
}

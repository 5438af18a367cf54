//! Entries: what is handed over at a start, in what order, and what the floor keeps and lets go.

use std::sync::OnceLock;

use super::owner::Seen;
use super::*;

/// What a start hands over after a kill.
fn replayed(site: &Site) -> Recorder {
    site.disk.kill();
    site.own().2
}

/// Raises the floor and records it with the catalogue.
#[track_caller]
fn let_go(driven: &mut Driven, held: &Held, floor: Lsn) {
    held.raise(floor);
    driven.checkpoint();
}

/// Fills the current file with entries and begins the next one.
fn fill_with_entries(driven: &mut Driven) -> Lsn {
    let before = driven.parts.core.files.lock().spans.len();
    loop {
        let last = driven.enter(9_000);
        if driven.parts.core.files.lock().spans.len() > before {
            return last;
        }
    }
}

#[test]
fn entries_and_changes_come_back_in_the_order_in_which_they_were_appended() {
    let site = Site::new();
    let (mut driven, ..) = site.own();
    let core = Arc::clone(&driven.parts.core);
    core.append_entry(2, &[b"first, ", b"", b"in parts"], false);
    core.append(&[put("a", "1"), put("b", "1")]).unwrap();
    core.append_entry(127, &[], true);
    driven.commit();
    core.append_changes_unbounded(&[delete("a")]);
    core.append_entry(3, &[b"last"], false);
    driven.commit();
    let recorder = replayed(&site);
    let entry = |lsn, kind, payload: &[u8]| (Lsn(lsn), Seen::Entry(kind, payload.to_vec()));
    let change = |lsn, change| (Lsn(lsn), Seen::Change(change));
    let expected = [
        entry(1, 2, b"first, in parts"),
        change(2, put("a", "1")),
        change(2, put("b", "1")),
        entry(3, 127, b""),
        change(4, delete("a")),
        entry(5, 3, b"last"),
    ];
    assert_eq!(recorder.seen, expected);
    assert_eq!(recorder.base, Some(Map::new()));
}

#[test]
fn entries_older_than_the_base_come_with_the_changes_behind_it() {
    let site = Site::new();
    let (mut driven, ..) = site.own();
    driven.enter(10);
    driven.write("in the base", "1");
    driven.checkpoint();
    driven.write("in the log", "1");
    let recorder = replayed(&site);
    assert_eq!(recorder.lsns(), [1]);
    assert_eq!(
        recorder.seen[1..],
        [(Lsn(3), Seen::Change(put("in the log", "1")))]
    );
    let base = recorder.base.clone().unwrap();
    assert!(base.contains_key(&b"in the base"[..]) && base.len() == 1);
}

#[test]
fn entries_up_to_the_recorded_floor_are_not_handed_over() {
    for floor in 0..=4 {
        let site = Site::new();
        let (mut driven, _, _, held) = site.own();
        driven.enter_all(4, 10);
        let_go(&mut driven, &held, Lsn(floor));
        let expected: Vec<u64> = (floor + 1..=4).collect();
        assert_eq!(replayed(&site).lsns(), expected, "floor {floor}");
    }
}

#[test]
fn a_floor_that_was_never_recorded_counts_for_nothing() {
    let site = Site::new();
    let (mut driven, _, _, held) = site.own();
    driven.enter(10);
    held.raise(Lsn(1));
    driven.parts.upkeep.round(false).unwrap();
    assert_eq!(replayed(&site).lsns(), [1]);
}

#[test]
fn a_floor_waits_for_the_changes_it_relies_on() {
    for durable in [false, true] {
        let site = Site::new();
        let (mut driven, _, _, held) = site.own();
        driven.enter(10);
        driven.put("page", "of the entry");
        held.raise(Lsn(1));
        driven.checkpoint();
        assert_eq!(driven.parts.upkeep.checkpoint_floor, Lsn(0));
        if durable {
            driven.commit();
            driven.checkpoint();
        }
        let recorder = replayed(&site);
        let expected: &[u64] = if durable { &[] } else { &[1] };
        assert_eq!(recorder.lsns(), expected);
        assert_eq!(recorder.map().len(), usize::from(durable));
    }
}

/// Appends an entry while it is asked for the floor, which it says has been passed by all.
struct Busy(OnceLock<Arc<core::Core>>);

impl Owner for Busy {
    fn floor(&self) -> Lsn {
        if let Some(core) = self.0.get() {
            core.append_entry(2, &[b"meanwhile"], false);
        }
        Lsn(u64::MAX)
    }
    fn release(&self, _upto: Lsn) {}
}

#[test]
fn an_entry_appended_while_the_owner_answers_is_above_the_floor() {
    let site = Site::new();
    let (mut driven, ..) = site.own();
    driven.enter(10);
    let busy = Busy(OnceLock::from(Arc::clone(&driven.parts.core)));
    driven.attach(Arc::new(busy));
    driven.parts.upkeep.floor.ask(&driven.parts.core);
    driven.commit();
    driven.checkpoint();
    driven.commit();
    assert_eq!(driven.parts.upkeep.checkpoint_floor, Lsn(1));
    assert_eq!(replayed(&site).lsns(), [2, 3]);
}

#[test]
fn without_an_owner_the_floor_stays_where_the_start_left_it() {
    let mut site = Site::new();
    site.options.snapshot_log_bytes = 1;
    let (mut driven, _, _, held) = site.own();
    driven.enter(10);
    let_go(&mut driven, &held, Lsn(1));
    site.disk.kill();
    let (mut driven, recovered) = site.try_replay(&mut NoEntries).unwrap();
    assert_eq!(recovered.report.floor, Lsn(1));
    fill_with_entries(&mut driven);
    fill_with_entries(&mut driven);
    driven.checkpoint();
    assert_eq!(driven.parts.upkeep.checkpoint_floor, Lsn(1));
    assert!(site.log_files().contains(&log_file(2)));
}

#[test]
fn a_file_goes_when_the_floor_behind_it_is_recorded_with_catalogue_and_snapshot() {
    let site = Site::new();
    let (mut driven, _, _, held) = site.own();
    let last = fill_with_entries(&mut driven);
    let kept = |site: &Site| site.log_files().contains(&log_file(1));
    // The last entry is the first of the second file.
    held.raise(Lsn(last.0 - 2));
    driven.snapshot();
    driven.parts.upkeep.retire();
    assert!(kept(&site), "its last entry is above the floor");
    let_go(&mut driven, &held, Lsn(last.0 - 1));
    assert!(kept(&site), "the snapshot's floor is older");
    driven.snapshot();
    driven.parts.upkeep.retire();
    assert!(!kept(&site));
    assert_eq!(replayed(&site).lsns(), [last.0]);
}

#[test]
fn a_file_that_comes_back_after_it_was_removed_brings_nothing_back() {
    let site = Site::new();
    let (mut driven, _, _, held) = site.own();
    let last = fill_with_entries(&mut driven);
    let contents = site.disk.contents(&log_file(1));
    held.raise(last);
    driven.snapshot();
    driven.parts.upkeep.retire();
    driven.write("later", "1");
    site.disk.kill();
    assert!(!site.log_files().contains(&log_file(1)));
    site.disk.create(&log_file(1)).unwrap();
    site.disk.overwrite(&log_file(1), &contents);
    for base in ["catalogue", "snapshot"] {
        if base == "snapshot" {
            site.catalogue.damage();
        }
        let (mut driven, recovered, recorder, held) = site.own();
        let is_newer = |lsn: &u64| *lsn > last.0;
        assert!(recorder.lsns().iter().all(is_newer), "{base}");
        assert_eq!(recovered.entries.len(), 1);
        assert_eq!(recovered.report.damage, []);
        held.raise(driven.enter(10));
        driven.checkpoint();
        site.disk.kill();
    }
    // And it goes for good.
    let (mut driven, ..) = site.own();
    driven.snapshot();
    driven.parts.upkeep.retire();
    assert!(!site.log_files().contains(&log_file(1)));
}

#[test]
fn a_close_is_clean_only_when_no_entry_is_needed_any_more() {
    for (floor, clean, left) in [(2, false, &[3][..]), (3, true, &[])] {
        let site = Site::new();
        let (mut driven, _, _, held) = site.own();
        driven.enter_all(3, 10);
        held.raise(Lsn(floor));
        driven.close();
        site.disk.kill();
        let (driven, recovered, recorder, _) = site.own();
        assert_eq!(recovered.clean, clean, "floor {floor}");
        assert_eq!(recorder.lsns(), left);
        assert_eq!(recovered.report.log_bytes_read == 0, clean);
        assert_eq!(driven.parts.node.state.floor, Lsn(floor));
    }
}

#[test]
fn a_map_rebuilt_from_the_snapshot_has_the_entries_behind_the_snapshots_floor() {
    let site = Site::new();
    let (mut driven, _, _, held) = site.own();
    driven.enter_all(4, 10);
    held.raise(Lsn(2));
    driven.snapshot();
    let_go(&mut driven, &held, Lsn(3));
    site.disk.kill();
    site.catalogue.damage();
    let (_driven, recovered, recorder, _) = site.own();
    assert!(recovered.report.rebuilt && !recorder.is_base_older);
    assert_eq!(recorder.lsns(), [3, 4]);
}

#[test]
fn the_floor_of_a_clean_close_counts_although_the_snapshot_is_older() {
    let site = Site::new();
    let (mut driven, _, _, held) = site.own();
    driven.enter_all(2, 10);
    driven.snapshot();
    held.raise(Lsn(2));
    site.disk.set_free(Some(0));
    driven.close();
    site.disk.kill();
    site.disk.set_free(None);
    site.catalogue.damage();
    let (_driven, recovered, recorder, _) = site.own();
    assert!(recovered.report.rebuilt && recorder.is_base_older);
    assert!(recorder.lsns().is_empty());
}

#[test]
fn a_map_that_is_older_than_the_floor_is_said_to_be() {
    let site = Site::new();
    let (mut driven, _, _, held) = site.own();
    driven.put("a", "1");
    let entry = driven.enter(10);
    driven.write("b", "2");
    driven.snapshot();
    held.raise(entry);
    driven.write("c", "3");
    site.disk.set_free(Some(0));
    driven.close();
    site.disk.kill();
    site.disk.set_free(None);
    site.catalogue.damage();
    let (_driven, recovered, recorder, _) = site.own();
    assert!(recovered.report.rebuilt && recorder.is_base_older);
    assert!(recovered.report.floor < recovered.report.base);
    assert_eq!(recorder.map().len(), 3);
}

#[test]
fn an_entry_up_to_the_size_of_a_group_shares_one_and_a_larger_one_does_not() {
    let limit = Site::new().options.record_max_bytes() - record::RECORD_HEADER_BYTES;
    for bytes in [limit - 1, limit, limit + 1] {
        let site = Site::new();
        let (mut driven, ..) = site.own();
        driven.enter(10);
        driven.enter(bytes);
        driven.enter(10);
        let size = site.disk.contents(&log_file(2)).len() as u64;
        assert_eq!(size > FILE_BYTES, bytes > limit, "{bytes}");
        let entries = replayed(&site).entries();
        let lengths: Vec<_> = entries
            .iter()
            .map(|(_, _, payload)| payload.len())
            .collect();
        assert_eq!(lengths, [10, bytes, 10]);
    }
}

#[test]
fn a_large_entry_has_a_file_of_its_size_that_is_removed_and_not_used_again() {
    let site = Site::new();
    let (mut driven, _, _, held) = site.own();
    driven.enter(10);
    driven.enter(5 * FILE_BYTES as usize);
    let large = site.disk.contents(&log_file(2));
    assert_eq!(large.len() as u64, 5 * FILE_BYTES + 2 * 4096);
    let named = u64::from_le_bytes(large[80..88].try_into().unwrap());
    assert_eq!(named, large.len() as u64);
    driven.enter(10);
    assert_eq!(driven.parts.core.files.lock().spans.len(), 3);
    held.raise(Lsn(2));
    site.disk.record_events();
    driven.snapshot();
    driven.parts.upkeep.retire();
    let events = site.disk.take_events();
    assert!(events.contains(&sim::Event::Remove(log_file(2))));
    assert_eq!(replayed(&site).lsns(), [3]);
}

#[test]
fn a_large_entry_takes_a_file_that_is_ready() {
    let site = Site::new();
    let (mut driven, ..) = site.own();
    driven.enter(20_000);
    driven.parts.upkeep.round(false).unwrap();
    assert!(site.log_files().contains(&log_file(2)));
    driven.enter(2 * FILE_BYTES as usize);
    driven.enter(10);
    let files = driven.parts.core.files.lock().spans.clone();
    let numbers: Vec<_> = files.iter().map(|span| span.number).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert_eq!(
        files[1].bytes,
        site.disk.contents(&log_file(2)).len() as u64
    );
    assert_eq!(replayed(&site).lsns(), [1, 2, 3]);
}

#[test]
fn a_large_entry_torn_by_a_power_loss_is_there_whole_or_not_at_all() {
    let mut outcomes = std::collections::BTreeSet::new();
    for seed in 0..40 {
        let site = Site::new();
        let (mut driven, ..) = site.own();
        driven.enter(10);
        let large = vec![7; 3 * FILE_BYTES as usize];
        driven.parts.core.append_entry(2, &[&large], false);
        // The file is made and named, header and entry are written, nothing is synced.
        site.disk.crash_after(4);
        assert!(!driven.commit());
        site.power_loss(seed);
        let (_driven, recovered, recorder, _) = site.own();
        assert_eq!(recovered.report.damage, []);
        outcomes.insert(recorder.lsns());
    }
    assert_eq!(outcomes, [vec![1], vec![1, 2]].into());
}

#[test]
fn a_large_entry_damaged_in_the_middle_is_a_torn_tail_at_the_end_and_damage_before_others() {
    for followed in [false, true] {
        let site = Site::new();
        let (mut driven, ..) = site.own();
        driven.enter(10);
        driven.enter(3 * FILE_BYTES as usize);
        if followed {
            driven.enter(10);
        }
        site.disk.kill();
        site.disk.flip(&log_file(2), FILE_BYTES, 1);
        let (_driven, recovered, recorder, _) = site.own();
        let report = recovered.report;
        assert_eq!(report.torn_tail.is_some(), !followed);
        assert_eq!(report.damaged_places, u64::from(followed));
        assert_eq!(recorder.lsns().len(), 1 + usize::from(followed));
    }
}

#[test]
fn an_entry_beyond_the_limit_stops_the_log_and_nothing_is_promised() {
    let mut site = Site::new();
    let limit = 3 * FILE_BYTES as usize;
    site.options.entry_max_bytes = limit;
    let payload = limit - record::RECORD_HEADER_BYTES;
    let (mut driven, ..) = site.own();
    driven.enter(payload - 1);
    driven.enter(payload);
    let core = &driven.parts.core;
    let lsn = core.append_entry(2, &[&vec![0; payload + 1]], false);
    let failure = core.failed().expect("the log has stopped");
    assert!(
        matches!(*failure, StoreError::RecordTooLarge { .. }),
        "{failure}"
    );
    assert!(lsn > core.appended().0 && core.durable() < lsn);
}

#[test]
fn changes_that_the_catalogue_cannot_take_stop_the_log() {
    let limit = Site::new().options.record_max_bytes();
    let value = limit - record::changes_record_bytes(&[put("k", "")]);
    let long = "k".repeat(KEY_MAX_BYTES);
    let cases = [
        (put("k", vec![0; value]), true),
        (put("k", vec![0; value + 1]), false),
        (put(&long, ""), true),
        (put(&(long + "k"), ""), false),
    ];
    for (change, taken) in cases {
        let (driven, ..) = Site::new().own();
        let core = &driven.parts.core;
        let lsn = core.append_changes_unbounded(&[change]);
        assert_eq!(core.failed().is_none(), taken);
        assert_eq!(lsn <= core.appended().0, taken);
    }
}

#[test]
fn no_change_at_all_is_nothing_to_wait_for() {
    let (driven, ..) = Site::new().own();
    assert_eq!(driven.parts.core.append_changes_unbounded(&[]), Lsn(0));
}

#[test]
fn what_is_appended_after_a_failure_never_becomes_durable() {
    let site = Site::new();
    let (mut driven, ..) = site.own();
    driven.enter(10);
    driven.parts.core.append_entry(2, &[b"lost"], false);
    site.disk.fail_next_sync();
    assert!(!driven.commit());
    let core = &driven.parts.core;
    let refused = [
        core.append_entry(2, &[b"late"], true),
        core.append_entry(2, &[&vec![0; 2 * FILE_BYTES as usize]], false),
        core.append_changes_unbounded(&[put("late", "")]),
    ];
    assert_eq!(refused, [Lsn(3); 3]);
    assert_eq!(core.appended().0, Lsn(2));
    assert_eq!(core.durable(), Lsn(1));
}

#[test]
fn what_is_appended_after_a_close_never_becomes_durable() {
    let store = Site::new().start();
    let clone = store.clone();
    store.append_entry(2, &[b"in time"]);
    store.close().unwrap();
    assert_eq!(clone.append_entry(2, &[b"late"]), Lsn(2));
    assert_eq!(clone.append_freeing_entry(2, &[b"late"]), Lsn(2));
    assert_eq!(clone.durable(), Lsn(1));
}

#[test]
fn a_kind_that_is_the_stores_own_is_a_defect_of_the_caller() {
    for kind in [0, 1, 128, 255] {
        let (driven, ..) = Site::new().own();
        let append = || driven.parts.core.append_entry(kind, &[], false);
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(append));
        assert!(panic.is_err(), "{kind}");
    }
}

#[test]
fn a_start_over_begins_with_a_base_again() {
    let mut site = Site::new();
    site.options.durability = Durability::Os;
    let (mut driven, ..) = site.own();
    driven.write("a", "1");
    driven.enter(10);
    driven.snapshot();
    driven.enter(10);
    driven.write("b", "2");
    let entries = [(b"b".to_vec(), Some(b"2".to_vec()))].into();
    site.catalogue.touch(&entries, Lsn(4));
    let used = site.disk.contents(&log_file(1)).len() - 4096;
    drop(driven);
    site.disk.kill();
    site.disk.truncate(&log_file(1), used.min(4 * 4096));
    let (_driven, recovered, recorder, _) = site.own();
    assert!(recovered.report.catalogue_set_aside.is_some());
    assert_eq!(recorder.map(), recovered.entries);
    assert_eq!(recorder.lsns(), [2, 3]);
}

#[test]
fn a_log_lost_behind_a_checkpoint_without_syncs_goes_on_and_is_no_damage() {
    let mut site = Site::new();
    site.options.durability = Durability::Os;
    let (mut driven, ..) = site.own();
    driven.enter(10);
    driven.write("a", "1");
    driven.checkpoint();
    site.disk.kill();
    site.disk.truncate(&log_file(1), 0);
    for run in 0..3 {
        let (mut driven, recovered, recorder, _) = site.own();
        assert_eq!(recovered.report.damage, [], "run {run}");
        assert_eq!(recovered.entries.len(), 1);
        assert_eq!(recorder.lsns(), (3..3 + run).collect::<Vec<_>>());
        assert_eq!(driven.enter(10), Lsn(3 + run));
        site.disk.kill();
    }
}

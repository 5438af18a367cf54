//! Full disks, failing writes and syncs, failing checkpoints.

use super::sim::Step;
use super::*;

#[test]
fn a_failed_sync_stops_the_log_for_good_and_announces_it() {
    let site = Site::new();
    let (mut driven, _) = site.open();
    driven.write("a", "1");
    driven.put("b", "2");
    site.disk.fail_next_sync();
    assert!(!driven.commit());
    let core = &driven.parts.core;
    assert_eq!(core.durable(), Lsn(1));
    let failure = core.failed().expect("the failure is kept").to_string();
    assert!(
        failure.contains("sync") && failure.contains(".log"),
        "{failure}"
    );
    assert!(matches!(
        core.append(&[put("c", "3")]),
        Err(StoreError::Failed(_))
    ));
    assert!(matches!(
        core.wait_durable(Lsn(2)),
        Err(StoreError::Failed(_))
    ));
    assert!(core.next_group().is_none());
}

#[test]
fn a_failed_write_stops_the_log_for_good() {
    let site = Site::new();
    let (mut driven, _) = site.open();
    driven.put("a", "1");
    site.disk.fail_next_write();
    assert!(!driven.commit());
    assert!(driven.parts.core.failed().is_some());
}

#[test]
fn what_was_durable_before_a_failed_sync_is_there_after_it() {
    for seed in 0..20 {
        let site = Site::new();
        let (mut driven, _) = site.open();
        driven.write("a", "1");
        driven.put("b", "2");
        site.disk.fail_next_sync();
        driven.commit();
        drop(driven);
        site.power_loss(seed);
        let entries = site.open().1.entries;
        assert_eq!(entries.get(&b"a"[..]).map(Vec::as_slice), Some(&b"1"[..]));
    }
}

#[test]
fn a_store_opens_on_a_full_disk_and_takes_records() {
    let site = Site::new();
    let (mut driven, _) = site.open();
    driven.write("a", "1");
    site.disk.kill();
    site.disk.set_free(Some(0));
    let (driven, recovered) = site.open();
    assert_holds(&recovered, &[("a", "1")]);
    assert_eq!(driven.put("b", "2"), Lsn(2));
}

#[test]
fn a_full_disk_is_left_for_a_file_that_is_filled_already() {
    let site = Site::new();
    let (mut driven, _) = site.open();
    driven.write("a", vec![1; 20_000]);
    driven.parts.upkeep.round(false).unwrap();
    site.disk.set_free(Some(0));
    driven.fill_file("b");
    assert_eq!(
        driven
            .parts
            .core
            .files
            .lock()
            .spans
            .back()
            .map(|span| span.number),
        Some(2)
    );
}

#[test]
fn a_group_that_fits_is_written_although_the_file_cannot_grow_in_full() {
    let mut site = Site::new();
    site.options.log_file_bytes = 8 * FILE_BYTES;
    site.options.pending_max_bytes = 8 * FILE_BYTES as usize;
    let (mut driven, _) = site.open();
    // The header and three groups of a block each.
    site.disk.set_free(Some(4 * 4096));
    for key in ["a", "b", "c"] {
        driven.write(key, key);
    }
    assert_eq!(site.disk.contents(&log_file(1)).len(), 4 * 4096);
    site.disk.kill();
    assert_holds(&site.open().1, &[("a", "a"), ("b", "b"), ("c", "c")]);
}

#[test]
fn a_torn_group_left_behind_on_a_full_disk_is_no_damage() {
    let mut site = Site::new();
    site.options.log_file_bytes = 8 * FILE_BYTES;
    site.options.pending_max_bytes = 8 * FILE_BYTES as usize;
    let (mut driven, _) = site.open();
    driven.write("a", vec![1; 140_000]);
    driven.parts.upkeep.round(false).unwrap();
    site.disk.set_free(Some(1_000));
    // Does not fit the part of the first file that is filled; the second file is whole.
    driven.write("b", vec![2; 200_000]);
    assert_eq!(driven.parts.core.files.lock().spans.len(), 2);
    driven.write("c", "3");
    site.disk.kill();
    let (_driven, recovered) = site.open();
    assert_eq!(recovered.entries.len(), 3);
    assert_eq!(recovered.report.damage, []);
}

#[test]
fn a_checkpoint_that_failed_is_made_good_by_the_next_one() {
    for step in [Step::Apply, Step::Flush, Step::Sync] {
        let site = Site::new();
        let (mut driven, _) = site.open();
        driven.write("a", "1");
        driven.write("b", "1");
        site.catalogue.fail_next(step);
        assert!(driven.parts.upkeep.round(true).is_err());
        assert!(driven.parts.upkeep.status.lock().checkpoint_error.is_some());
        driven.write("b", "2");
        driven.checkpoint();
        assert!(driven.parts.upkeep.status.lock().checkpoint_error.is_none());
        assert_eq!(site.catalogue.mark(), Some(Lsn(3)));
        driven.close();
        assert_holds(&site.open().1, &[("a", "1"), ("b", "2")]);
    }
}

#[test]
fn a_catalogue_that_breaks_while_running_is_set_aside_and_rebuilt() {
    for with_snapshot in [false, true] {
        let site = Site::new();
        let (mut driven, _) = site.open();
        driven.write("a", "1");
        driven.write("b", "1");
        driven.checkpoint();
        if with_snapshot {
            driven.snapshot();
        }
        driven.write("b", "2");
        site.catalogue.fail_next(Step::Apply);
        assert!(driven.parts.upkeep.round(true).is_err());
        site.catalogue.damage();
        driven.checkpoint();
        assert_eq!(site.catalogue.times_set_aside(), 1);
        driven.close();
        assert_holds(&site.open().1, &[("a", "1"), ("b", "2")]);
    }
}

#[test]
fn a_snapshot_that_cannot_be_written_keeps_the_log() {
    let mut site = Site::new();
    site.options.snapshot_log_bytes = 1;
    let (mut driven, _) = site.open();
    driven.fill_file("a");
    driven.fill_file("b");
    site.disk.set_free(Some(0));
    driven.checkpoint();
    assert!(driven.parts.upkeep.status.lock().snapshot_error.is_some());
    assert!(site.log_files().contains(&log_file(1)));
    site.disk.set_free(None);
    driven.write("c", "1");
    driven.checkpoint();
    assert!(driven.parts.upkeep.status.lock().snapshot_error.is_none());
    assert!(!site.log_files().contains(&log_file(1)));
}

#[test]
fn a_log_at_its_limit_takes_deletions_only_until_a_checkpoint_succeeds() {
    let mut site = Site::new();
    site.options.log_max_bytes = 4 * FILE_BYTES;
    site.options.snapshot_log_bytes = 1;
    let (mut driven, _) = site.open();
    for key in ["a", "b", "c", "d"] {
        driven.fill_file(key);
    }
    site.catalogue.fail_next(Step::Apply);
    assert!(driven.parts.upkeep.round(false).is_err());
    let core = Arc::clone(&driven.parts.core);
    assert!(matches!(
        core.append(&[put("e", "1")]),
        Err(StoreError::LogFull { .. })
    ));
    assert!(core.append(&[delete("a")]).is_ok());
    driven.commit();
    driven.checkpoint();
    assert!(core.append(&[put("e", "1")]).is_ok());
}

#[test]
fn pending_records_are_bounded_and_the_bound_is_named() {
    let mut site = Site::new();
    site.options.pending_max_bytes = FILE_BYTES as usize;
    let (mut driven, _) = site.open();
    let record = [put("a", vec![0; 30_000])];
    driven.parts.core.append(&record).unwrap();
    driven.parts.core.append(&record).unwrap();
    let error = driven.parts.core.append(&record).unwrap_err();
    assert!(matches!(error, StoreError::Backlog { limit, .. } if limit == FILE_BYTES as usize));
    driven.commit();
    assert!(driven.parts.core.append(&record).is_ok());
}

#[test]
fn the_largest_record_fits_and_one_byte_more_does_not() {
    let site = Site::new();
    let (mut driven, _) = site.open();
    let limit = site.options.record_max_bytes();
    let value = limit - record::changes_record_bytes(&[put("k", "")]);
    driven.write("k", vec![1; value]);
    let refused = driven.parts.core.append(&[put("k", vec![1; value + 1])]);
    assert!(matches!(refused, Err(StoreError::RecordTooLarge { .. })));
    site.disk.kill();
    assert_eq!(site.open().1.entries[&b"k"[..]].len(), value);
}

#[test]
fn the_longest_key_fits_and_one_byte_more_does_not() {
    let (driven, _) = Site::new().open();
    let key = "k".repeat(KEY_MAX_BYTES);
    assert!(driven.parts.core.append(&[put(&key, "")]).is_ok());
    let refused = driven.parts.core.append(&[put(&(key + "k"), "")]);
    assert!(matches!(refused, Err(StoreError::KeyTooLong { .. })));
}

#[test]
fn nothing_to_append_is_nothing_to_wait_for() {
    let (driven, _) = Site::new().open();
    assert_eq!(driven.parts.core.append(&[]).unwrap(), Lsn(0));
    assert!(driven.parts.core.wait_durable(Lsn(0)).is_ok());
}

//! What a start makes of what it finds: damaged, missing, foreign and outdated files.

use super::*;

/// Three records, `a`, `b` and `c`, in a group each, then a kill.
fn site_with_three_records() -> Site {
    let site = Site::new();
    let (mut driven, _) = site.open();
    for key in ["a", "b", "c"] {
        driven.write(key, key);
    }
    site.disk.kill();
    site
}

/// Two full files and the beginning of a third, the catalogue up to the first record of the
/// second file and the snapshot with it.
fn site_with_three_files() -> Site {
    let site = Site::new();
    let (mut driven, _) = site.open();
    driven.fill_file("first");
    driven.snapshot();
    driven.fill_file("second");
    driven.write("third", "3");
    site.disk.kill();
    site
}

/// The offsets of the groups in a log file.
fn group_offsets(site: &Site, number: u64) -> Vec<u64> {
    let bytes = site.disk.contents(&log_file(number));
    let blocks = (0..bytes.len() / 4096).map(|block| block * 4096);
    blocks
        .filter(|at| bytes[*at..].starts_with(b"LVGP"))
        .map(|at| at as u64)
        .collect()
}

#[track_caller]
fn refusal(site: &Site) -> StoreError {
    match site.try_open() {
        Ok(_) => panic!("the directory opened"),
        Err(error) => error,
    }
}

#[test]
fn a_new_directory_is_empty_and_clean() {
    let (_driven, recovered) = Site::new().open();
    assert_holds(&recovered, &[]);
    assert!(recovered.clean);
    assert_eq!(recovered.report.last, Lsn(0));
}

#[test]
fn a_killed_store_gives_back_what_was_durable_and_is_not_clean() {
    let site = site_with_three_records();
    let (_driven, recovered) = site.open();
    assert_holds(&recovered, &[("a", "a"), ("b", "b"), ("c", "c")]);
    assert!(!recovered.clean);
    assert_eq!(recovered.report.replayed_records, 3);
    assert_eq!(recovered.report.torn_tail, None);
}

#[test]
fn the_node_id_stays_and_differs_between_directories() {
    let site = Site::new();
    let first = site.open().1.node_id;
    site.disk.kill();
    assert_eq!(site.open().1.node_id, first);
    assert_ne!(Site::new().open().1.node_id, first);
}

#[test]
fn a_closed_store_reads_no_log_when_it_opens() {
    let site = Site::new();
    let (driven, _) = site.open();
    driven.put("a", "1");
    driven.close();
    let (_driven, recovered) = site.open();
    assert_holds(&recovered, &[("a", "1")]);
    assert!(recovered.clean);
    assert_eq!(
        (
            recovered.report.log_bytes_read,
            recovered.report.replayed_records
        ),
        (0, 0)
    );
}

#[test]
fn lsns_go_on_after_a_start() {
    let site = site_with_three_records();
    let (mut driven, recovered) = site.open();
    assert_eq!(recovered.report.last, Lsn(3));
    assert_eq!(driven.write("d", "d"), Lsn(4));
    driven.close();
    assert_eq!(site.open().0.put("e", "e"), Lsn(5));
}

#[test]
fn a_record_of_many_changes_is_applied_in_order() {
    let site = Site::new();
    let (mut driven, _) = site.open();
    let changes = [
        put("a", "1"),
        put("b", "1"),
        delete("a"),
        put("b", "2"),
        delete("never"),
    ];
    driven.parts.core.append(&changes).unwrap();
    driven.commit();
    site.disk.kill();
    assert_holds(&site.open().1, &[("b", "2")]);
}

#[test]
fn a_group_cut_short_at_the_end_is_dropped_whole_and_reported() {
    let site = site_with_three_records();
    let last = *group_offsets(&site, 1).last().unwrap();
    site.disk.flip(&log_file(1), last + 70, 1);
    let (mut driven, recovered) = site.open();
    assert_holds(&recovered, &[("a", "a"), ("b", "b")]);
    let place = Place {
        path: log_file(1),
        offset: last,
    };
    assert_eq!(recovered.report.torn_tail, Some(place));
    assert_eq!(recovered.report.damage, []);
    assert_eq!(driven.write("d", "d"), Lsn(3));
    site.disk.kill();
    assert_holds(&site.open().1, &[("a", "a"), ("b", "b"), ("d", "d")]);
}

#[test]
fn a_damaged_record_with_a_later_group_is_skipped_reported_and_the_rest_served() {
    let site = site_with_three_records();
    let second = group_offsets(&site, 1)[1];
    site.disk.flip(&log_file(1), second + 64 + 14, 1);
    let (_driven, recovered) = site.open();
    assert_holds(&recovered, &[("a", "a"), ("c", "c")]);
    let place = Place {
        path: log_file(1),
        offset: second + 64,
    };
    assert_eq!(
        recovered.report.damage,
        [Damage {
            place,
            first: Lsn(2),
            records: 1
        }]
    );
}

#[test]
fn a_damaged_group_header_costs_the_group_and_no_other() {
    let site = site_with_three_records();
    let second = group_offsets(&site, 1)[1];
    site.disk.flip(&log_file(1), second + 20, 1);
    let (_driven, recovered) = site.open();
    assert_holds(&recovered, &[("a", "a"), ("c", "c")]);
    let place = Place {
        path: log_file(1),
        offset: second,
    };
    assert_eq!(
        recovered.report.damage,
        [Damage {
            place,
            first: Lsn(2),
            records: 1
        }]
    );
}

#[test]
fn a_damaged_record_costs_no_other_record_of_its_group() {
    let site = Site::new();
    let (mut driven, _) = site.open();
    for key in ["a", "b", "c"] {
        driven.put(key, key);
    }
    driven.commit();
    driven.write("d", "d");
    site.disk.kill();
    let group = group_offsets(&site, 1)[0];
    let record_bytes = record::changes_record_bytes(&[put("a", "a")]) as u64;
    site.disk
        .flip(&log_file(1), group + 64 + record_bytes + 13, 0x10);
    let (_driven, recovered) = site.open();
    assert_holds(&recovered, &[("a", "a"), ("c", "c"), ("d", "d")]);
    assert_eq!(recovered.report.damaged_places, 1);
}

#[test]
fn any_flipped_byte_of_the_log_is_an_error_or_costs_at_most_one_group() {
    let length = site_with_three_records().disk.contents(&log_file(1)).len();
    let used = group_offsets(&site_with_three_records(), 1)[2] as usize + 4096;
    for offset in (0..length.min(used)).filter(|offset| offset % 4096 < 140) {
        let site = site_with_three_records();
        site.disk.flip(&log_file(1), offset as u64, 0x04);
        match site.try_open() {
            Err(error) => assert!(error.to_string().contains(".log"), "{offset}: {error}"),
            Ok((_driven, recovered)) => {
                let missing = 3 - recovered.entries.len();
                let report = recovered.report;
                let noticed = report.torn_tail.is_some() || report.damaged_places > 0;
                assert!(missing <= 1, "{offset}");
                let last_group = offset >= used - 4096;
                assert!(missing == 0 || noticed || last_group, "{offset}");
            }
        }
    }
}

#[test]
fn a_damaged_file_header_is_reported_and_costs_nothing() {
    let site = site_with_three_records();
    site.disk.flip(&log_file(1), 70, 1);
    let (_driven, recovered) = site.open();
    assert_eq!(recovered.entries.len(), 3);
    let place = Place {
        path: log_file(1),
        offset: 0,
    };
    assert_eq!(
        recovered.report.damage,
        [Damage {
            place,
            first: Lsn(1),
            records: 0
        }]
    );
}

#[test]
fn damage_below_the_checkpoint_is_of_no_account() {
    let site = Site::new();
    let (mut driven, _) = site.open();
    driven.write("a", "a");
    driven.write("b", "b");
    driven.checkpoint();
    driven.write("c", "c");
    site.disk.kill();
    site.disk
        .flip(&log_file(1), group_offsets(&site, 1)[0] + 20, 1);
    let (_driven, recovered) = site.open();
    assert_holds(&recovered, &[("a", "a"), ("b", "b"), ("c", "c")]);
    assert_eq!(recovered.report.damage, []);
}

#[test]
fn a_lost_tail_of_an_earlier_run_is_damage_although_nothing_follows_it() {
    let site = site_with_three_records();
    drop(site.open());
    site.disk.kill();
    let last = *group_offsets(&site, 1).last().unwrap();
    site.disk.flip(&log_file(1), last + 20, 1);
    let (_driven, recovered) = site.open();
    assert_eq!(recovered.entries.len(), 2);
    let place = Place {
        path: log_file(1),
        offset: 0,
    };
    assert_eq!(
        recovered.report.damage,
        [Damage {
            place,
            first: Lsn(3),
            records: 1
        }]
    );
}

#[test]
fn a_missing_file_between_others_is_named() {
    let site = site_with_three_files();
    site.disk.lose_file(&log_file(2));
    let error = refusal(&site);
    assert!(
        matches!(&error, StoreError::MissingFile { path } if *path == log_file(2)),
        "{error}"
    );
}

#[test]
fn a_missing_file_this_run_began_is_named() {
    let site = site_with_three_records();
    site.disk.lose_file(&log_file(1));
    let error = refusal(&site);
    assert!(
        matches!(&error, StoreError::MissingFile { path } if *path == log_file(1)),
        "{error}"
    );
}

#[test]
fn a_missing_node_file_is_named_when_there_is_anything_else() {
    let site = site_with_three_records();
    site.disk.lose_file(Path::new("/sim/node"));
    let error = refusal(&site);
    assert!(matches!(&error, StoreError::MissingFile { path } if path.ends_with("node")));
}

#[test]
fn a_foreign_log_file_is_named() {
    let site = site_with_three_records();
    site.disk
        .overwrite(&log_file(1), b"PNG and so on, nothing of ours");
    let error = refusal(&site);
    assert!(
        matches!(&error, StoreError::Foreign { path } if *path == log_file(1)),
        "{error}"
    );
}

#[test]
fn a_log_file_of_a_later_format_is_named() {
    let site = site_with_three_records();
    let mut bytes = site.disk.contents(&log_file(1));
    bytes[8] = 3;
    layout::reseal(&mut bytes);
    site.disk.overwrite(&log_file(1), &bytes);
    let error = refusal(&site);
    let StoreError::NewerFormat { path, found, known } = error else {
        panic!("{error}")
    };
    assert_eq!((path, found, known), (log_file(1), 3, 1));
}

#[test]
fn a_log_file_of_another_node_is_named() {
    let (site, other) = (site_with_three_records(), site_with_three_records());
    site.disk
        .overwrite(&log_file(1), &other.disk.contents(&log_file(1)));
    let error = refusal(&site);
    assert!(
        matches!(&error, StoreError::WrongNode { path } if *path == log_file(1)),
        "{error}"
    );
}

#[test]
fn a_log_file_under_a_lower_number_is_named() {
    let site = site_with_three_files();
    site.disk
        .overwrite(&log_file(1), &site.disk.contents(&log_file(2)));
    let error = refusal(&site);
    assert!(
        matches!(error, StoreError::Misplaced { number: 2, .. }),
        "{error}"
    );
}

#[test]
fn an_unknown_record_is_an_error_with_file_and_offset_unless_it_may_be_skipped() {
    for (flags, expected) in [(0, None), (record::FLAG_SKIPPABLE, Some(3))] {
        let site = site_with_record(200, flags);
        match expected {
            None => {
                let error = refusal(&site);
                let StoreError::UnknownRecord { path, offset, kind } = error else {
                    panic!("{error}")
                };
                let at = group_offsets(&site, 1)[1] + 64;
                assert_eq!((path, offset, kind), (log_file(1), at, 200));
            }
            Some(last) => assert_eq!(site.open().1.report.last, Lsn(last)),
        }
    }
}

/// A log whose second record is of the given kind.
fn site_with_record(kind: u8, flags: u8) -> Site {
    let site = Site::new();
    let (mut driven, _) = site.open();
    driven.write("a", "a");
    driven.put("b", "b");
    let mut group = driven.parts.core.next_group().unwrap();
    let at = group::GROUP_HEADER_BYTES + 8;
    group.bytes[at..at + 2].copy_from_slice(&[kind, flags]);
    assert!(driven.parts.core.commit(&mut driven.parts.writer, group));
    driven.write("c", "c");
    site.disk.kill();
    site
}

#[test]
fn a_lost_catalogue_is_rebuilt_from_snapshot_and_log() {
    let site = site_with_three_files();
    let whole = site_with_three_files().open().1.entries;
    site.catalogue.lose();
    let (_driven, recovered) = site.open();
    assert_eq!(recovered.entries, whole);
}

#[test]
fn a_damaged_catalogue_is_set_aside_and_rebuilt() {
    let site = site_with_three_files();
    let whole = site_with_three_files().open().1.entries;
    site.catalogue.damage();
    let (mut driven, recovered) = site.open();
    assert_eq!(recovered.entries, whole);
    assert!(recovered.report.rebuilt);
    let (aside, reason) = recovered.report.catalogue_set_aside.unwrap();
    assert!(aside.ends_with("catalogue.aside-1") && reason.contains("simulated damage"));
    driven.checkpoint();
    site.disk.kill();
    let again = site.open().1;
    assert_eq!((again.entries, again.report.replayed_records), (whole, 0));
}

#[test]
fn a_damaged_snapshot_is_replaced_while_the_catalogue_is_sound() {
    let site = site_with_three_files();
    site.disk
        .flip(Path::new("/sim/definitions.snapshot"), 200, 1);
    let (mut driven, recovered) = site.open();
    let whole = recovered.entries;
    driven.checkpoint();
    site.disk.kill();
    site.catalogue.damage();
    assert_eq!(site.open().1.entries, whole);
}

#[test]
fn a_lost_snapshot_is_replaced_once_the_log_no_longer_makes_up_for_it() {
    let site = site_with_three_files();
    let (mut driven, _) = site.open();
    driven.snapshot();
    driven.checkpoint();
    site.disk.kill();
    assert!(
        !site.log_files().contains(&log_file(1)),
        "the first file was recycled"
    );
    site.disk.lose_file(Path::new("/sim/definitions.snapshot"));
    let (mut driven, recovered) = site.open();
    driven.write("more", "4");
    driven.checkpoint();
    site.disk.kill();
    site.catalogue.damage();
    assert_eq!(site.open().1.entries.len(), recovered.entries.len() + 1);
}

#[test]
fn damaged_catalogue_and_snapshot_without_the_whole_log_are_an_error_saying_so() {
    let site = site_with_three_files();
    let (mut driven, _) = site.open();
    driven.checkpoint();
    site.disk.kill();
    site.catalogue.damage();
    site.disk
        .flip(Path::new("/sim/definitions.snapshot"), 200, 1);
    let error = refusal(&site);
    assert!(matches!(error, StoreError::Unrecoverable { .. }));
    let text = error.to_string();
    assert!(
        text.contains("simulated damage") && text.contains("definitions.snapshot"),
        "{text}"
    );
    assert_eq!(
        site.catalogue.times_set_aside(),
        0,
        "nothing is moved in vain"
    );
}

#[test]
fn damaged_catalogue_and_snapshot_with_the_whole_log_lose_nothing() {
    let site = site_with_three_records();
    site.catalogue.damage();
    let (_driven, recovered) = site.open();
    assert_eq!(recovered.entries.len(), 3);
}

#[test]
fn a_directory_in_use_is_named() {
    let site = Site::new();
    let first = site.open();
    let error = refusal(&site);
    assert!(
        matches!(&error, StoreError::Locked { dir } if dir == Path::new("/sim")),
        "{error}"
    );
    drop(first);
    site.open();
}

#[test]
fn a_read_only_disk_is_an_error_naming_what_could_not_be_made() {
    let site = Site::new();
    site.disk.set_read_only();
    let error = refusal(&site);
    assert!(matches!(&error, StoreError::Io { .. }) && error.to_string().contains("/sim"));
}

#[test]
fn many_short_runs_do_not_pile_up_files() {
    let mut site = Site::new();
    site.options.checkpoint_log_bytes = 2 * FILE_BYTES;
    site.options.snapshot_log_bytes = 2 * FILE_BYTES;
    for run in 0..40 {
        let (mut driven, recovered) = site.open();
        assert_eq!(recovered.report.last, Lsn(run));
        driven.write("run", run.to_string());
        driven.parts.upkeep.round(false).unwrap();
        site.disk.kill();
    }
    assert!(site.log_files().len() <= 8, "{:?}", site.log_files());
}

#[test]
fn names_that_a_killed_start_left_unsynced_are_durable_after_the_next_start() {
    for killed_after in 0..20 {
        for seed in 0..8 {
            let site = Site::new();
            site.disk.crash_after(killed_after);
            drop(site.try_open());
            site.disk.kill();
            let (mut driven, _) = site.open();
            driven.write("a", "1");
            drop(driven);
            site.power_loss(seed);
            assert_holds(&site.open().1, &[("a", "1")]);
        }
    }
}

#[test]
fn without_syncs_a_record_of_an_abandoned_run_does_not_come_back() {
    let mut site = Site::new();
    site.options.durability = Durability::Os;
    let (mut driven, _) = site.open();
    for key in ["a", "b", "abandoned"] {
        driven.write(key, "1");
    }
    site.disk.kill();
    // As after a power loss that kept the third group and not the second.
    site.disk
        .flip(&log_file(1), group_offsets(&site, 1)[1] + 20, 1);
    let (mut driven, recovered) = site.open();
    assert_holds(&recovered, &[("a", "1")]);
    driven.write("c", "1");
    driven.checkpoint();
    drop(driven);
    // And after one that kept nothing of the second run's log.
    site.disk.truncate(&log_file(2), 0);
    assert_holds(&site.open().1, &[("a", "1"), ("c", "1")]);
}

#[test]
fn a_checkpoint_cut_short_is_made_whole_by_the_log() {
    let site = Site::new();
    let (mut driven, _) = site.open();
    driven.write("a", "1");
    driven.checkpoint();
    for key in ["a", "b", "c"] {
        driven.write(key, "2");
    }
    site.catalogue.fail_next(sim::Step::Flush);
    assert!(driven.parts.upkeep.round(true).is_err());
    drop(driven);
    for seed in 0..20 {
        site.power_loss(seed);
        let (driven, recovered) = site.open();
        assert_holds(&recovered, &[("a", "2"), ("b", "2"), ("c", "2")]);
        assert_eq!(recovered.report.catalogue_set_aside, None);
        drop(driven);
    }
}

#[test]
fn a_checkpoint_cut_short_is_of_no_use_when_the_log_ends_before_it() {
    let mut site = Site::new();
    site.options.durability = Durability::Os;
    let (mut driven, _) = site.open();
    driven.write("a", "1");
    driven.snapshot();
    driven.write("b", "2");
    driven.write("c", "3");
    let entries = [(b"c".to_vec(), Some(b"3".to_vec()))].into();
    site.catalogue.touch(&entries, Lsn(3));
    drop(driven);
    let second = group_offsets(&site, 1)[1];
    site.disk.truncate(&log_file(1), second as usize);
    let (_driven, recovered) = site.open();
    assert_holds(&recovered, &[("a", "1")]);
    assert!(recovered.report.catalogue_set_aside.is_some());
}

#[test]
fn a_catalogue_older_than_the_log_is_set_aside_and_rebuilt() {
    let site = site_with_three_files();
    let (mut driven, recovered) = site.open();
    driven.snapshot();
    driven.checkpoint();
    driven.write("more", "4");
    site.disk.kill();
    assert!(
        !site.log_files().contains(&log_file(1)),
        "the first file was recycled"
    );
    site.catalogue.set_back(Lsn(1));
    let (_driven, again) = site.open();
    assert_eq!(again.entries.len(), recovered.entries.len() + 1);
    let (_aside, reason) = again.report.catalogue_set_aside.expect("it is set aside");
    assert!(reason.contains("before the log begins"), "{reason}");
}

#[test]
fn what_a_start_read_from_the_log_survives_a_power_loss_after_it() {
    for seed in 0..20 {
        let site = Site::new();
        let (mut driven, _) = site.open();
        driven.put("a", "1");
        // Header and group written, not synced.
        site.disk.crash_after(2);
        assert!(!driven.commit());
        drop(driven);
        site.disk.kill();
        assert_holds(&site.open().1, &[("a", "1")]);
        site.power_loss(seed);
        assert_holds(&site.open().1, &[("a", "1")]);
    }
}

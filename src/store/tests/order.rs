//! What must happen before what: entries in the catalogue, flushed, synced, then the log recycled.

use super::sim::{Event, Step};
use super::*;

fn position(events: &[Event], wanted: impl Fn(&Event) -> bool) -> Option<usize> {
    events.iter().position(wanted)
}

fn leaves_the_log(event: &Event) -> bool {
    let retired =
        |path: &Path| path.starts_with("/sim/log") && path.extension().is_some_and(|e| e == "log");
    match event {
        Event::Rename(from, _) => retired(from),
        Event::Remove(path) => retired(path),
        _ => false,
    }
}

/// Two full files in the log, and a third begun.
fn driven_with_files(site: &Site) -> Driven {
    let (mut driven, _) = site.open();
    driven.fill_file("first");
    driven.fill_file("second");
    driven
}

#[test]
fn a_log_file_goes_only_after_apply_flush_sync_and_snapshot() {
    let mut site = Site::new();
    site.options.snapshot_log_bytes = 1;
    let mut driven = driven_with_files(&site);
    site.disk.record_events();
    driven.checkpoint();
    let events = site.disk.take_events();
    let step = |step| position(&events, |event| *event == Event::Catalogue(step));
    let snapshot = position(
        &events,
        |event| matches!(event, Event::Rename(_, to) if to.ends_with("definitions.snapshot")),
    );
    let named = position(&events[snapshot.unwrap()..], |event| {
        *event == Event::SyncDir(PathBuf::from("/sim"))
    });
    let retired = position(&events, leaves_the_log);
    let order = [
        step(Step::Apply),
        step(Step::Flush),
        step(Step::Sync),
        snapshot,
        retired,
    ];
    assert!(order.iter().all(Option::is_some), "{order:?}");
    assert!(order.is_sorted(), "{order:?}");
    assert!(snapshot.unwrap() + named.unwrap() < retired.unwrap());
}

#[test]
fn no_log_file_goes_without_a_snapshot() {
    let site = Site::new();
    let mut driven = driven_with_files(&site);
    site.disk.record_events();
    driven.checkpoint();
    assert!(!site.disk.take_events().iter().any(leaves_the_log));
}

#[test]
fn no_log_file_goes_when_a_step_of_the_checkpoint_fails() {
    for step in [Step::Apply, Step::Flush, Step::Sync] {
        let mut site = Site::new();
        site.options.snapshot_log_bytes = 1;
        let mut driven = driven_with_files(&site);
        site.catalogue.fail_next(step);
        site.disk.record_events();
        assert!(driven.parts.upkeep.round(true).is_err());
        assert!(
            !site.disk.take_events().iter().any(leaves_the_log),
            "{step:?}"
        );
    }
}

#[test]
fn the_catalogue_is_given_nothing_that_is_not_durable() {
    let site = Site::new();
    let (mut driven, _) = site.open();
    driven.write("durable", "1");
    driven.put("pending", "2");
    driven.checkpoint();
    assert_eq!(site.catalogue.mark(), Some(Lsn(1)));
    site.power_loss(3);
    assert_holds(&site.open().1, &[("durable", "1")]);
}

#[test]
fn a_recycled_file_is_durable_under_its_new_name_before_it_is_written() {
    let mut site = Site::new();
    site.options.snapshot_log_bytes = 1;
    let mut driven = driven_with_files(&site);
    site.disk.record_events();
    driven.checkpoint();
    driven.fill_file("third");
    let events = site.disk.take_events();
    let renamed = events.iter().find_map(|event| match event {
        Event::Rename(from, to) if leaves_the_log(event) && from != to => Some(to.clone()),
        _ => None,
    });
    let renamed = renamed.expect("a file was recycled");
    let written = position(
        &events,
        |e| matches!(e, Event::Write { path, .. } if *path == renamed),
    );
    let named = position(
        &events,
        |e| matches!(e, Event::Rename(_, to) if *to == renamed),
    );
    let (named, written) = (
        named.unwrap(),
        written.expect("the recycled file is written"),
    );
    assert!(events[named..written].contains(&Event::SyncDir(PathBuf::from("/sim/log"))));
}

#[test]
fn endless_appending_keeps_the_number_of_files_and_reuses_them() {
    let mut site = Site::new();
    site.options.checkpoint_log_bytes = FILE_BYTES;
    site.options.snapshot_log_bytes = 2 * FILE_BYTES;
    let (mut driven, _) = site.open();
    site.disk.record_events();
    for round in 0..200 {
        driven.write("key", vec![round as u8; 20_000]);
        driven.parts.upkeep.round(false).unwrap();
        assert!(
            site.log_files().len() <= 8,
            "round {round}: {:?}",
            site.log_files()
        );
    }
    let events = site.disk.take_events();
    let recycled = events
        .iter()
        .filter(|event| matches!(event, Event::Rename(..)) && leaves_the_log(event))
        .count();
    assert!(recycled > 40, "only {recycled} files were used again");
    site.disk.kill();
    assert_eq!(site.open().1.entries.len(), 1);
}

#[test]
fn the_next_file_is_filled_and_durable_before_it_is_needed() {
    let site = Site::new();
    let (mut driven, _) = site.open();
    driven.write("key", vec![1; 20_000]);
    site.disk.record_events();
    driven.parts.upkeep.round(false).unwrap();
    let events = site.disk.take_events();
    let zeros = position(
        &events,
        |e| matches!(e, Event::Write { path, .. } if path.ends_with("spare.tmp")),
    );
    let synced = position(&events, |e| {
        *e == Event::Sync(PathBuf::from("/sim/log/spare.tmp"))
    });
    let named = position(
        &events,
        |e| matches!(e, Event::Rename(_, to) if *to == log_file(2)),
    );
    let order = [zeros, synced, named];
    assert!(
        order.iter().all(Option::is_some) && order.is_sorted(),
        "{order:?}"
    );
    assert_eq!(site.disk.contents(&log_file(2)).len() as u64, FILE_BYTES);
    driven.fill_file("key");
    assert!(!site.log_files().contains(&log_file(3)));
}

#[test]
fn a_file_that_had_to_grow_is_filled_up_and_used_again() {
    let mut site = Site::new();
    // No multiple of the steps it grows in.
    site.options.log_file_bytes = 600 << 10;
    site.options.log_max_bytes = 6000 << 10;
    site.options.pending_max_bytes = 600 << 10;
    site.options.snapshot_log_bytes = 1;
    let (mut driven, _) = site.open();
    for bytes in [150_000, 150_000, 150_000, 200_000] {
        driven.write("key", vec![1; bytes]);
    }
    assert_eq!(site.disk.contents(&log_file(1)).len(), 512 << 10);
    site.disk.record_events();
    driven.checkpoint();
    let events = site.disk.take_events();
    let filled = position(&events, |e| *e == Event::Sync(log_file(1)));
    let renamed = position(&events, |e| *e == Event::Rename(log_file(1), log_file(3)));
    assert!(filled.is_some() && filled < renamed, "{events:?}");
    assert_eq!(site.disk.contents(&log_file(3)).len(), 600 << 10);
}

#[test]
fn a_large_snapshot_is_not_made_as_often_as_a_small_one() {
    let mut site = Site::new();
    site.options.checkpoint_log_bytes = FILE_BYTES;
    site.options.snapshot_log_bytes = FILE_BYTES;
    let (mut driven, _) = site.open();
    let next_after = |driven: &mut Driven| {
        let (before, mut bytes) = (driven.parts.upkeep.snapshot, 0);
        while driven.parts.upkeep.snapshot == before {
            driven.write("key", vec![1; 10_000]);
            bytes += 10_000;
            driven.parts.upkeep.round(false).unwrap();
        }
        bytes
    };
    next_after(&mut driven);
    let small = next_after(&mut driven);
    assert!(small <= 2 * FILE_BYTES, "{small}");
    for key in ["a", "b", "c"] {
        driven.write(key, vec![1; 50_000]);
    }
    next_after(&mut driven);
    let large = next_after(&mut driven);
    assert!((500_000..700_000).contains(&large), "{large}");
}

//! Log files that lost their beginning or their end, and what an operator is told.

use super::*;

/// `a`, `b` and `c`, each of a size, in a group each of file `number`, then a kill. Earlier files
/// are retired.
fn site(bytes: usize) -> Site {
    let site = Site::new();
    let (mut driven, _) = site.open();
    for key in ["a", "b", "c"] {
        driven.write(key, vec![b'x'; bytes]);
    }
    site.disk.kill();
    site
}

fn zero(site: &Site, number: u64, bytes: usize) {
    let mut contents = site.disk.contents(&log_file(number));
    contents[..bytes].fill(0);
    site.disk.overwrite(&log_file(number), &contents);
}

fn cut(site: &Site, number: u64, bytes: usize) {
    let contents = site.disk.contents(&log_file(number));
    site.disk.overwrite(&log_file(number), &contents[..bytes]);
}

fn damage(number: u64, offset: u64, first: u64, records: u64) -> Damage {
    Damage {
        place: Place {
            path: log_file(number),
            offset,
        },
        first: Lsn(first),
        records,
    }
}

fn keys(recovered: &Recovered) -> Vec<&str> {
    let keys = recovered.entries.keys();
    keys.map(|key| std::str::from_utf8(key).expect("text"))
        .collect()
}

#[test]
fn a_header_that_is_zeroed_is_told_and_costs_nothing() {
    let site = site(10);
    zero(&site, 1, 4096);
    let (_driven, recovered) = site.open();
    assert_eq!(keys(&recovered), ["a", "b", "c"]);
    assert_eq!(recovered.report.damage, [damage(1, 0, 1, 0)]);
}

#[test]
fn a_header_that_was_never_written_is_no_damage() {
    let site = Site::new();
    let (mut driven, _) = site.open();
    driven.write("a", "1");
    site.disk.kill();
    zero(&site, 1, 4096);
    let (_driven, recovered) = site.open();
    assert_eq!(keys(&recovered), ["a"]);
    assert_eq!(recovered.report.damage, []);
}

#[test]
fn a_header_lost_with_the_first_group_costs_that_group() {
    let zeroed = site(10);
    zero(&zeroed, 1, 2 * 4096);
    let garbled = site(10);
    let mut contents = garbled.disk.contents(&log_file(1));
    contents[40..4096 + 60].fill(0x55);
    garbled.disk.overwrite(&log_file(1), &contents);
    for site in [zeroed, garbled] {
        let (_driven, recovered) = site.open();
        assert_eq!(keys(&recovered), ["b", "c"]);
        assert_eq!(
            recovered.report.damage,
            [damage(1, 0, 1, 1), damage(1, 0, 2, 0)]
        );
    }
}

#[test]
fn a_file_between_others_that_lost_its_beginning_is_named_and_the_rest_of_it_read() {
    let site = Site::new();
    let (mut driven, _) = site.open();
    driven.fill_file("first");
    driven.write("second", "2");
    driven.write("third", "3");
    let before = driven.write("fourth", "4").0;
    driven.fill_file("fifth");
    site.disk.kill();
    let expected = keys(&site_state(&site)).len();
    assert_eq!(expected, 5);
    // The group that began the file, and the one of `second`.
    zero(&site, 2, 4096 + 3 * 4096 + 4096);
    let (_driven, recovered) = site.open();
    assert!(keys(&recovered).contains(&"third"), "{recovered:?}");
    assert!(!keys(&recovered).contains(&"second"));
    let [lost, header] = &recovered.report.damage[..] else {
        panic!("{:?}", recovered.report.damage);
    };
    assert_eq!((&lost.place, lost.records), (&damage(2, 0, 0, 0).place, 2));
    assert_eq!(*header, damage(2, 0, before - 1, 0));
}

/// What a start finds, which begins no epoch.
fn site_state(site: &Site) -> Recovered {
    let disk = Arc::new(site.disk.clone());
    let found = recover::look(disk, &site.catalogue, &site.options, &mut NoEntries);
    found.expect("it opens")
}

#[test]
fn the_oldest_file_without_its_beginning_is_damage_and_no_refusal() {
    let site = Site::new();
    let (mut driven, _) = site.open();
    driven.fill_file("first");
    driven.snapshot();
    let needed = driven.write("second", "2");
    driven.fill_file("third");
    driven.parts.upkeep.retire();
    site.disk.kill();
    assert!(!site.log_files().contains(&log_file(1)), "it is retired");
    // The header, the group before the checkpoint and the one behind it.
    let mut contents = site.disk.contents(&log_file(2));
    contents[40..4096 + 3 * 4096 + 60].fill(0x55);
    site.disk.overwrite(&log_file(2), &contents);
    let (_driven, recovered) = site.open();
    assert_eq!(keys(&recovered), ["first", "third"]);
    let lost = &recovered.report.damage[0];
    assert_eq!(*lost, damage(2, 0, needed.0, 1));
    assert!(recovered.report.catalogue_set_aside.is_none());
}

#[test]
fn a_filled_file_that_is_shorter_was_cut() {
    let site = Site::new();
    let (mut driven, _) = site.open();
    driven.fill_file("first");
    driven.parts.upkeep.fill_files();
    driven.fill_file("second");
    driven.write("third", "3");
    let last = driven.write("fourth", "4");
    site.disk.kill();
    let number = site.log_files().len() as u64;
    let whole = site.disk.contents(&log_file(number));
    assert_eq!(whole.len() as u64, FILE_BYTES, "it was filled before");
    let groups = (0..whole.len()).step_by(4096);
    let groups: Vec<usize> = groups
        .filter(|at| whole[*at..].starts_with(b"LVGP"))
        .collect();
    let end = groups.last().copied().expect("a group");
    cut(&site, number, end);
    let (_driven, recovered) = site.open();
    assert!(keys(&recovered).contains(&"third"));
    assert!(!keys(&recovered).contains(&"fourth"));
    assert_eq!(
        recovered.report.damage,
        [damage(number, end as u64, last.0, UNKNOWN)]
    );
}

#[test]
fn a_file_that_grew_and_is_shorter_was_cut_as_its_groups_know() {
    let site = site(10);
    cut(&site, 1, 3 * 4096 + 80);
    let (_driven, recovered) = site.open();
    assert_eq!(keys(&recovered), ["a", "b"]);
    let end = 3 * 4096 + 80;
    assert_eq!(recovered.report.damage, [damage(1, end, 3, UNKNOWN)]);
    assert!(recovered.report.torn_tail.is_none());
}

#[test]
fn a_file_cut_behind_the_group_that_made_it_grow_has_a_torn_tail() {
    let site = site(10);
    cut(&site, 1, 2 * 4096 + 80);
    let (_driven, recovered) = site.open();
    assert_eq!(keys(&recovered), ["a"]);
    assert_eq!(recovered.report.damage, []);
    let torn = recovered.report.torn_tail.expect("a torn tail");
    assert_eq!((torn.path, torn.offset), (log_file(1), 2 * 4096));
}

#[test]
fn what_costs_nothing_raises_the_alarm_too() {
    let site = Site::new();
    let (mut driven, _) = site.open();
    driven.fill_file("first");
    driven.snapshot();
    driven.fill_file("second");
    driven.snapshot();
    driven.parts.upkeep.retire();
    site.disk.kill();
    let found = |site: &Site| {
        let (driven, _) = site.open();
        let found = driven.parts.core.damage.found();
        site.disk.kill();
        found.named
    };
    assert_eq!(found(&site), []);
    site.disk.flip(&node::node_path(Path::new("/sim")), 70, 1);
    let what = "a slot's checksum does not hold; the other one counts";
    assert_eq!(found(&site), [Finding::error("/sim/node", Some(0), what)]);

    let snapshot = snapshot::snapshot_path(Path::new("/sim"));
    let whole = site.disk.contents(&snapshot);
    site.disk.flip(&snapshot, 70, 1);
    let finds = found(&site);
    assert_eq!(
        finds.last().and_then(|find| find.path.clone()),
        Some(snapshot.clone())
    );
    site.disk.overwrite(&snapshot, &whole);
    site.disk.lose_file(&snapshot);
    let finds = found(&site);
    let missing = Finding::error(snapshot, None, "missing, and written anew");
    assert_eq!(finds.last(), Some(&missing));
}

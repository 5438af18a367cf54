//! Copies of a store that goes on: the state at their record, whatever happens meanwhile.

use proptest::prelude::*;

use super::*;
use crate::store::backup::{Copying, LogPin, StoreCopy};

impl Driven {
    fn try_copy(&self, target: &Path) -> Result<StoreCopy, StoreError> {
        let copying = Copying {
            core: &self.parts.core,
            site: &self.parts.upkeep.site,
            node: self.parts.node.state,
            target,
        };
        copying.run()
    }

    /// Copies all of it; returns the record as of which the copy is.
    #[track_caller]
    fn copy(&self, target: &str) -> (Lsn, Map) {
        let copy = self.try_copy(Path::new(target)).expect("a copy");
        let (lsn, map) = (copy.lsn(), copy.map().clone());
        copy.finish().expect("the node file is written");
        (lsn, map)
    }
}

/// The directory of a copy, with no catalogue.
fn site_of(site: &Site, dir: &str) -> Site {
    Site {
        disk: site.disk.clone(),
        catalogue: SimCatalogue::new(&site.disk),
        options: StoreOptions {
            dir: dir.into(),
            ..site.options.clone()
        },
    }
}

#[derive(Debug, Clone)]
enum Op {
    /// Key, and the size of the value or none to delete.
    Append(u8, Option<u16>),
    Enter(u32),
    /// The owner lets entries go, up to this part of 255 of what there is.
    LetGo(u8),
    Commit,
    Look,
    Checkpoint,
    Snapshot,
    Copy,
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    let value = proptest::option::weighted(0.8, prop_oneof![0..100u16, 0..12_000u16]);
    prop_oneof![
        6 => (0..6u8, value).prop_map(|(key, value)| Op::Append(key, value)),
        6 => (0..20_000u32).prop_map(Op::Enter),
        2 => any::<u8>().prop_map(Op::LetGo),
        6 => Just(Op::Commit),
        2 => Just(Op::Look),
        1 => Just(Op::Checkpoint),
        1 => Just(Op::Snapshot),
        3 => Just(Op::Copy),
        1 => Just(Op::Restart),
    ]
}

/// The map after each record, and which records are entries, from 0 on.
struct History {
    states: Vec<Map>,
    entries: Vec<Option<Vec<u8>>>,
}

impl History {
    fn new() -> History {
        History {
            states: vec![Map::new()],
            entries: vec![None],
        }
    }

    fn change(&mut self, change: &Change) {
        let mut map = self.states.last().cloned().unwrap_or_default();
        match change {
            Change::Put { key, value } => map.insert(key.clone(), value.clone()),
            Change::Delete { key } => map.remove(key),
        };
        self.states.push(map);
        self.entries.push(None);
    }

    fn enter(&mut self, payload: Vec<u8>) {
        self.states
            .push(self.states.last().cloned().unwrap_or_default());
        self.entries.push(Some(payload));
    }

    /// What came after the last record that was found never was.
    fn cut(&mut self, last: Lsn) {
        self.states.truncate(last.0 as usize + 1);
        self.entries.truncate(last.0 as usize + 1);
    }

    /// The entries behind the floor, up to a record.
    fn between(&self, floor: Lsn, lsn: Lsn) -> Vec<(Lsn, u8, Vec<u8>)> {
        let numbered = (0..).zip(&self.entries);
        let wanted = numbered.filter(|(at, _)| *at > floor.0 && *at <= lsn.0);
        wanted
            .filter_map(|(at, payload)| Some((Lsn(at), 2, payload.clone()?)))
            .collect()
    }
}

#[track_caller]
fn assert_opens(site: &Site, dir: &str, history: &History, (lsn, map): (Lsn, Map)) {
    let copy = site_of(site, dir);
    let (_driven, recovered, recorder, _held) = copy.own();
    let Report {
        floor,
        last,
        damaged_places,
        ..
    } = recovered.report;
    assert_eq!(damaged_places, 0, "{:?}", recovered.report);
    assert_eq!(last, lsn);
    assert_eq!(recovered.entries, history.states[lsn.0 as usize]);
    assert_eq!(map, recovered.entries, "what the copy says of itself");
    assert_eq!(recorder.map(), recovered.entries);
    assert_eq!(recorder.entries(), history.between(floor, lsn));
    assert!(!recovered.clean);
}

fn run(ops: &[Op]) {
    let site = Site::new();
    let (mut driven, _, _, mut held) = site.own();
    let mut history = History::new();
    for (number, op) in ops.iter().enumerate() {
        match op {
            Op::Append(key, value) => {
                let key = format!("key-{key}");
                let change = match value {
                    Some(bytes) => put(&key, vec![b'v'; *bytes as usize]),
                    None => delete(&key),
                };
                if driven
                    .parts
                    .core
                    .append(std::slice::from_ref(&change))
                    .is_ok()
                {
                    history.change(&change);
                }
            }
            Op::Enter(bytes) => {
                let payload = vec![number as u8; *bytes as usize];
                driven.parts.core.append_entry(2, &[&payload], false);
                history.enter(payload);
            }
            Op::LetGo(part) => {
                let last = driven.parts.core.appended().0.0;
                held.raise(Lsn(last * u64::from(*part) / 255));
            }
            Op::Commit => assert!(driven.commit()),
            Op::Look => driven.parts.upkeep.round(false).expect("a look"),
            Op::Checkpoint => driven.checkpoint(),
            Op::Snapshot => driven.snapshot(),
            Op::Copy => {
                let dir = format!("/copy-{number}");
                let copied = driven.copy(&dir);
                assert_eq!(copied.0, driven.parts.core.durable());
                assert_opens(&site, &dir, &history, copied);
            }
            Op::Restart => {
                drop(driven);
                site.disk.kill();
                let (again, recovered, _, owner) = site.own();
                history.cut(recovered.report.last);
                (driven, held) = (again, owner);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn a_copy_opens_with_the_state_at_its_record(ops in proptest::collection::vec(op(), 1..60)) {
        run(&ops);
    }
}

#[test]
fn a_copy_of_a_store_without_records_is_empty() {
    let site = Site::new();
    let (driven, _) = site.open();
    let (lsn, _) = driven.copy("/copy");
    assert_eq!(lsn, Lsn(0));
    assert_holds(&site_of(&site, "/copy").open().1, &[]);
}

#[test]
fn a_copy_of_a_store_that_only_started_again_has_what_came_before() {
    let site = Site::new();
    let (mut driven, _) = site.open();
    driven.write("a", "1");
    driven.close();
    let (driven, _) = site.open();
    driven.copy("/copy");
    assert_holds(&site_of(&site, "/copy").open().1, &[("a", "1")]);
}

#[test]
fn what_is_written_and_not_durable_is_not_copied() {
    let site = Site::new();
    let (mut driven, _) = site.open();
    let durable = driven.write("a", "1");
    driven.put("b", "2");
    let core = Arc::clone(&driven.parts.core);
    let mut group = core.take_group(&mut core.queue.lock()).expect("a group");
    let written = driven.parts.writer.write(&mut group, durable);
    assert!(written.is_ok(), "the group is in the file");
    assert_eq!(driven.copy("/copy").0, durable);
    assert_holds(&site_of(&site, "/copy").open().1, &[("a", "1")]);
    site.disk.kill();
    assert_holds(&site.open().1, &[("a", "1"), ("b", "2")]);
}

#[test]
fn a_copy_takes_over_only_the_log_that_is_needed() {
    let site = Site::new();
    let (mut driven, _) = site.open();
    for key in ["a", "b", "c"] {
        driven.fill_file(key);
    }
    let core = Arc::clone(&driven.parts.core);
    let pin = LogPin::new(&core);
    driven.snapshot();
    driven.copy("/copy");
    drop(pin);
    let copied = site.disk.paths();
    let copied = copied.iter().filter(|path| path.starts_with("/copy/log"));
    assert_eq!(copied.count(), 1);
    assert_eq!(site_of(&site, "/copy").open().1.entries.len(), 3);
}

#[test]
fn no_log_file_goes_while_the_log_is_pinned() {
    let site = Site::new();
    let (mut driven, _) = site.open();
    driven.fill_file("a");
    driven.fill_file("b");
    let core = Arc::clone(&driven.parts.core);
    let (one, two) = (LogPin::new(&core), LogPin::new(&core));
    let before = site.log_files();
    driven.snapshot();
    driven.checkpoint();
    let there = |path: &PathBuf| site.log_files().contains(path);
    assert!(before.iter().all(there));
    drop(one);
    driven.checkpoint();
    assert!(before.iter().all(there), "one is left");
    drop(two);
    driven.checkpoint();
    assert!(!before.iter().all(there));
}

/// Every operation of a copy may be the last.
#[test]
fn a_copy_that_was_cut_short_does_not_open() {
    for operations in 0.. {
        let site = Site::new();
        let (mut driven, _) = site.open();
        driven.fill_file("a");
        driven.snapshot();
        driven.enter(100);
        driven.write("b", "2");
        site.disk.crash_after(operations);
        let copied = driven.try_copy(Path::new("/copy"));
        let finished = copied.and_then(StoreCopy::finish).is_ok();
        let copy = site_of(&site, "/copy");
        site.disk.power_loss(operations);
        let there = site.disk.paths();
        let is_begun = there.iter().any(|path| path.starts_with("/copy"));
        let opened = copy.try_open();
        match opened {
            Ok((_, recovered)) if is_begun => {
                assert!(
                    recovered.entries.contains_key(&b"b"[..]),
                    "after {operations}"
                );
            }
            Ok((_, recovered)) => assert!(recovered.entries.is_empty() && !finished),
            Err(error) => {
                let is_torn =
                    matches!(&error, StoreError::Corrupt { path, .. } if path.ends_with("node"));
                assert!(is_torn && !finished, "after {operations}: {error}");
            }
        }
        if finished {
            return;
        }
    }
}

#[test]
fn a_damaged_snapshot_is_not_copied() {
    let site = Site::new();
    let (mut driven, _) = site.open();
    driven.write("a", "1");
    driven.snapshot();
    site.disk
        .flip(Path::new("/sim/definitions.snapshot"), 130, 1);
    let Err(error) = driven.try_copy(Path::new("/copy")) else {
        panic!("it is damaged");
    };
    assert!(
        error.to_string().contains("definitions.snapshot"),
        "{error}"
    );
}

#[test]
fn a_running_store_makes_a_snapshot_for_its_copy() {
    let site = Site::new();
    let store = site.start();
    store.attach(Arc::new(NoEntries));
    let lsn = store.append(&[put("a", "1")]).unwrap();
    store.wait_durable(lsn).unwrap();
    let copy = store.copy_to(Path::new("/copy")).unwrap();
    assert_eq!((copy.lsn(), store.status().snapshot), (lsn, lsn));
    copy.finish().unwrap();
    store.close().unwrap();
    assert_holds(&site_of(&site, "/copy").open().1, &[("a", "1")]);
}

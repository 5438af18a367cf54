//! Directories that a store left, whole and damaged, and what is found in them.

use std::fs;
use std::time::Duration;

use super::*;
use crate::store::pages::{PageAt, Pages};
use crate::store::{Change, Owner, RealDisk, Store};

/// Keeps all entries.
struct Keep;

impl Owner for Keep {
    fn floor(&self) -> Lsn {
        Lsn(0)
    }

    fn release(&self, _upto: Lsn) {}
}

fn open(dir: &Path) -> Store {
    let options = StoreOptions {
        log_file_bytes: 64 << 10,
        log_max_bytes: 64 << 20,
        pending_max_bytes: 60 << 10,
        entry_max_bytes: (60 << 10) - 64,
        checkpoint_interval: Duration::from_secs(3600),
        checkpoint_log_bytes: 1 << 40,
        ..StoreOptions::new(dir)
    };
    let opened = Store::open(options, Box::new(|_| {}), &mut NoEntries);
    opened.expect("the store opens").0
}

fn put(key: &str, value: &str) -> Change {
    Change::Put {
        key: key.into(),
        value: value.into(),
    }
}

#[track_caller]
fn write(store: &Store, key: &str, value: &str) -> Lsn {
    let lsn = store.append(&[put(key, value)]).expect("it is taken");
    store.wait_durable(lsn).expect("it becomes durable");
    lsn
}

#[track_caller]
fn enter(store: &Store, bytes: usize) -> Lsn {
    let lsn = store.append_entry(2, &[&vec![b'e'; bytes]]);
    store.wait_durable(lsn).expect("it becomes durable");
    lsn
}

/// A killed store: map and snapshot as of record 1, then two entries of a block each (records 2
/// and 3) and a change (4), each in a group of its own.
fn killed() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    let store = open(dir.path());
    store.attach(Arc::new(Keep));
    write(&store, "needle", "one");
    let copied = store.copy_to(&dir.path().join("copy"));
    drop(copied.expect("a snapshot is made for it"));
    fs::remove_dir_all(dir.path().join("copy")).expect("removed");
    enter(&store, 100);
    enter(&store, 100);
    write(&store, "b", "two");
    drop(store);
    dir
}

/// The same, closed, and nobody needs the entries.
fn closed() -> tempfile::TempDir {
    let dir = killed();
    let store = open(dir.path());
    store.attach(Arc::new(NoEntries));
    write(&store, "c", "three");
    store.close().expect("closed");
    dir
}

/// Counts what it is handed.
#[derive(Default)]
struct Counted {
    records: Vec<(Lsn, bool)>,
    enough: usize,
}

impl Sink for Counted {
    fn change(&mut self, lsn: Lsn, _change: Change) {
        self.records.push((lsn, false));
    }

    fn entry(&mut self, lsn: Lsn, _kind: u8, _payload: &[u8]) {
        self.records.push((lsn, true));
    }

    fn is_satisfied(&self) -> bool {
        self.enough > 0 && self.records.len() >= self.enough
    }
}

#[track_caller]
fn examine(dir: &Path) -> Examination {
    let inspection = Inspection::open(dir).expect("it can be looked at");
    let examined = inspection.examine(&mut NoEntries, &mut Counted::default());
    examined.expect("it can be examined")
}

/// The only finding, as severity, name of the file and offset.
#[track_caller]
fn only(examined: &Examination) -> (Severity, String, Option<u64>) {
    let [finding] = &examined.findings[..] else {
        panic!("one finding expected: {:?}", examined.findings);
    };
    let path = finding.path.as_ref().expect("a file");
    let name = path.file_name().expect("a name").to_string_lossy();
    (finding.severity, name.into_owned(), finding.offset)
}

fn flip(path: &Path, offset: usize) {
    let mut bytes = fs::read(path).expect("read");
    bytes[offset] ^= 0x10;
    fs::write(path, bytes).expect("written");
}

fn first_log(dir: &Path) -> PathBuf {
    dir.join("log/00000000000000000001.log")
}

/// Names, lengths and contents of all files below a folder.
fn everything(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.append(&mut everything(&path));
        } else {
            let bytes = fs::read(&path).expect("read");
            files.push((path, bytes));
        }
    }
    files.sort();
    files
}

#[test]
fn a_killed_and_a_closed_directory_are_in_order_and_stay_as_they_are() {
    for dir in [killed(), closed()] {
        let before = everything(dir.path());
        let examined = examine(dir.path());
        assert_eq!(examined.findings, []);
        let inspection = Inspection::open(dir.path()).expect("again");
        inspection.state().expect("a state");
        inspection
            .records(&mut Counted::default())
            .expect("records");
        drop(inspection);
        assert!(before == everything(dir.path()), "something was changed");
        let state = examined.state.expect("a state");
        assert_eq!(state.map[&b"needle"[..]], b"one");
        assert_eq!(state.map[&b"b"[..]], b"two");
    }
}

#[test]
fn each_file_is_told_for_what_it_is() {
    let dir = closed();
    fs::create_dir(dir.path().join("catalogue.aside-1")).expect("made");
    fs::write(dir.path().join("definitions.tmp"), "x").expect("written");
    fs::write(dir.path().join("log/spare.tmp"), "x").expect("written");
    let files = examine(dir.path()).files;
    let told = |name: &str| {
        let named = |file: &&Examined| file.path == dir.path().join(name);
        files.iter().find(named).map(|file| file.content)
    };
    let is_log = |content, epoch, first, last| {
        let (first, last) = (Lsn(first), Lsn(last));
        content == Some(Content::Log { epoch, first, last })
    };
    assert!(is_log(told("log/00000000000000000001.log"), 1, 1, 4));
    assert!(is_log(told("log/00000000000000000002.log"), 2, 5, 5));
    let upto = Lsn(5);
    let entries = 3;
    assert_eq!(told("catalogue"), Some(Content::Catalogue { upto }));
    let snapshot = Content::Snapshot { upto, entries };
    assert_eq!(told("definitions.snapshot"), Some(snapshot));
    let node = Content::Node {
        epoch: 2,
        last: Lsn(5),
        is_clean: true,
    };
    assert_eq!(told("node"), Some(node));
    assert_eq!(told("definitions.tmp"), Some(Content::Leftover));
    assert_eq!(told("log/spare.tmp"), Some(Content::Leftover));
    assert_eq!(told("catalogue.aside-1"), Some(Content::Aside));
}

#[test]
fn files_of_nobody_are_warnings() {
    for name in ["other", "log/other", "log/1.log"] {
        let dir = killed();
        fs::write(dir.path().join(name), "x").expect("written");
        let (severity, file, _) = only(&examine(dir.path()));
        assert_eq!(severity, Severity::Warning);
        assert!(name.ends_with(&file));
    }
}

#[test]
fn a_flipped_bit_of_a_record_names_file_and_offset() {
    // Records 1 to 4 lie in the blocks from 4096 on, each behind a group's header of 64 bytes.
    for (dir, what) in [(killed(), ""), (closed(), "not needed any more")] {
        flip(&first_log(dir.path()), 2 * 4096 + 64 + 50);
        let examined = examine(dir.path());
        let at = (2 * 4096 + 64) as u64;
        let name = "00000000000000000001.log".to_owned();
        assert_eq!(only(&examined), (Severity::Error, name, Some(at)));
        let text = &examined.findings[0].what;
        assert!(
            text.contains("record 2 is damaged") && text.contains(what),
            "{text}"
        );
    }
}

#[test]
fn a_flipped_bit_of_a_group_header_names_file_and_offset() {
    let dir = killed();
    flip(&first_log(dir.path()), 3 * 4096 + 33);
    let name = "00000000000000000001.log".to_owned();
    let expected = (Severity::Error, name, Some(3 * 4096));
    assert_eq!(only(&examine(dir.path())), expected);
}

#[test]
fn a_flipped_bit_of_a_log_header_names_the_file() {
    for dir in [killed(), closed()] {
        flip(&first_log(dir.path()), 60);
        let name = "00000000000000000001.log".to_owned();
        assert_eq!(only(&examine(dir.path())), (Severity::Error, name, Some(0)));
    }
}

#[test]
fn a_last_write_that_was_cut_short_is_a_warning() {
    let dir = killed();
    let path = first_log(dir.path());
    let mut bytes = fs::read(&path).expect("read");
    bytes[4 * 4096 + 70..].fill(0);
    fs::write(&path, bytes).expect("written");
    let examined = examine(dir.path());
    let name = "00000000000000000001.log".to_owned();
    let expected = (Severity::Warning, name, Some(4 * 4096));
    assert_eq!(only(&examined), expected);
    let map = examined.state.expect("a state").map;
    assert!(!map.contains_key(&b"b"[..]));
}

#[test]
fn the_last_record_of_a_closed_log_must_be_there() {
    let dir = closed();
    let path = dir.path().join("log/00000000000000000002.log");
    flip(&path, 4096 + 70);
    let name = "00000000000000000002.log".to_owned();
    assert_eq!(
        only(&examine(dir.path())),
        (Severity::Error, name, Some(4096))
    );
}

#[test]
fn flipped_bits_of_the_node_file_name_the_slot() {
    for slot in [0, 4096] {
        let dir = closed();
        flip(&dir.path().join("node"), slot + 60);
        let (severity, file, offset) = only(&examine(dir.path()));
        assert_eq!((severity, file.as_str()), (Severity::Error, "node"));
        assert_eq!(offset, Some(slot as u64));
    }
    let dir = closed();
    flip(&dir.path().join("node"), 60);
    flip(&dir.path().join("node"), 4096 + 60);
    let Err(error) = Inspection::open(dir.path()) else {
        panic!("nobody knows whose it is");
    };
    assert!(error.is_damage());
}

#[test]
fn a_flipped_bit_of_the_snapshot_names_it() {
    for (at, offset) in [(50, 0), (140, 128)] {
        for dir in [killed(), closed()] {
            flip(&dir.path().join("definitions.snapshot"), at);
            let name = "definitions.snapshot".to_owned();
            let expected = (Severity::Error, name, Some(offset));
            assert_eq!(only(&examine(dir.path())), expected);
        }
    }
}

#[test]
fn a_flipped_bit_of_an_entry_of_the_catalogue_names_it() {
    for dir in [killed(), closed()] {
        let db = dir.path().join("catalogue/db");
        let bytes = fs::read(&db).expect("read");
        let places = bytes.windows(6).enumerate();
        let places: Vec<usize> = places
            .filter(|(_, window)| window == b"needle")
            .map(|(at, _)| at)
            .collect();
        assert!(!places.is_empty(), "its entry is in there");
        places.into_iter().for_each(|at| flip(&db, at));
        // sled may take it for the end of its own log, and so for a catalogue that is empty.
        let examined = examine(dir.path());
        assert_eq!(only(&examined).1, "catalogue");
        let state = examined.state.expect("the snapshot has it");
        assert_eq!(state.map[&b"needle"[..]], b"one");
    }
}

#[test]
fn a_catalogue_that_cannot_be_opened_is_an_error() {
    for dir in [killed(), closed()] {
        fs::write(dir.path().join("catalogue/conf"), "garbage\n".repeat(9)).expect("written");
        let examined = examine(dir.path());
        let expected = (Severity::Error, "catalogue".to_owned(), None);
        assert_eq!(only(&examined), expected);
        let state = examined.state.expect("the snapshot has it");
        assert_eq!(state.map[&b"needle"[..]], b"one");
    }
}

#[test]
fn a_snapshot_of_another_state_differs() {
    let (dir, other) = (closed(), closed());
    let store = open(other.path());
    store.attach(Arc::new(NoEntries));
    write(&store, "needle", "two");
    drop(store);
    // The same node, so that the snapshot is taken for this directory's.
    fs::copy(dir.path().join("node"), other.path().join("node")).expect("copied");
    assert_eq!(examine(dir.path()).findings, []);
    let identity = Inspection::open(dir.path()).expect("open").identity;
    let mut map = examine(dir.path()).state.expect("a state").map;
    map.insert(b"needle".to_vec(), b"other".to_vec());
    map.insert(b"new".to_vec(), b"x".to_vec());
    let mut snapshot =
        crate::store::snapshot::SnapshotWriter::create(&RealDisk, dir.path()).expect("begun");
    map.iter()
        .for_each(|(key, value)| snapshot.push(key, value));
    snapshot.finish(&identity, Lsn(5), Lsn(5)).expect("written");
    let examined = examine(dir.path());
    assert!(
        examined.findings[0].what.starts_with("2 entries differ"),
        "{examined:?}"
    );
}

#[test]
fn a_missing_log_file_is_noticed() {
    let dir = killed();
    fs::remove_file(first_log(dir.path())).expect("removed");
    let (severity, file, _) = only(&examine(dir.path()));
    // The file itself, or the folder if the next one was made already.
    assert_eq!(severity, Severity::Error);
    assert!(
        ["log", "00000000000000000001.log"].contains(&file.as_str()),
        "{file}"
    );
    let dir = closed();
    let store = open(dir.path());
    write(&store, "d", "four");
    drop(store);
    for log in fs::read_dir(dir.path().join("log")).expect("a folder") {
        fs::remove_file(log.expect("a file").path()).expect("removed");
    }
    let examined = examine(dir.path());
    assert!(examined.state.is_none());
    let name = &only(&examined).1;
    assert!(name.ends_with(".log"), "the one that was begun: {name}");
}

#[test]
fn a_log_file_of_another_kind_stops_nothing_but_the_log() {
    let dir = killed();
    fs::write(
        first_log(dir.path()),
        "no log at all, but long enough for one",
    )
    .expect("written");
    let examined = examine(dir.path());
    assert!(examined.state.is_none());
    assert_eq!(only(&examined).1, "00000000000000000001.log");
    let is_snapshot = |file: &Examined| matches!(file.content, Content::Snapshot { .. });
    assert!(
        examined.files.iter().any(is_snapshot),
        "it is looked at anyway"
    );
}

#[test]
fn a_directory_in_use_and_one_of_nobody_are_not_examined() {
    let dir = tempfile::tempdir().expect("a folder");
    let opened = Inspection::open(dir.path()).map(drop);
    assert!(matches!(opened, Err(StoreError::NoStore { .. })));
    let _store = open(dir.path());
    let opened = Inspection::open(dir.path()).map(drop);
    assert!(matches!(opened, Err(StoreError::Locked { .. })));
    let opened = Inspection::open(&dir.path().join("nowhere")).map(drop);
    assert!(matches!(opened, Err(StoreError::Io { .. })));
}

#[test]
fn a_missing_node_file_is_damage() {
    let dir = killed();
    fs::remove_file(dir.path().join("node")).expect("removed");
    let opened = Inspection::open(dir.path()).map(drop);
    assert!(matches!(opened, Err(StoreError::MissingFile { .. })));
}

#[test]
fn all_records_are_handed_over_in_order_needed_or_not() {
    let expected = [(1, false), (2, true), (3, true), (4, false), (5, false)];
    let expected = expected.map(|(lsn, is_entry)| (Lsn(lsn), is_entry));
    let dir = closed();
    let inspection = Inspection::open(dir.path()).expect("open");
    let mut all = Counted::default();
    assert_eq!(inspection.records(&mut all).expect("read"), []);
    assert_eq!(all.records, expected);
    let mut some = Counted {
        enough: 2,
        ..Counted::default()
    };
    inspection.records(&mut some).expect("read");
    assert!(some.records.len() < expected.len(), "it had enough");
}

#[test]
fn segments_are_listed_with_what_is_wrong_and_their_pages_read() {
    let dir = killed();
    let inspection = Inspection::open(dir.path()).expect("open");
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let at: PageAt = {
        let identity = inspection.identity;
        let opened = Pages::open(disk, dir.path(), identity, 64 << 10, []).expect("open");
        let at = opened.pages.write(&[b"page"]).expect("written");
        opened.pages.write_transient(&[b"gone"]).expect("written");
        opened.pages.sync().expect("synced");
        at
    };
    fs::write(dir.path().join("pages/other"), "x").expect("written");
    let segments = inspection.segments();
    let listed = segments.list().expect("listed");
    assert_eq!(listed.others, [dir.path().join("pages/other")]);
    let kinds: Vec<bool> = listed
        .segments
        .iter()
        .map(|file| file.is_transient)
        .collect();
    assert_eq!(kinds, [false, true]);
    assert!(listed.segments.iter().all(|file| file.fault.is_none()));
    assert_eq!(segments.read(&at).expect("read"), b"page");
    flip(&segments.path(at.segment), 60);
    flip(&segments.path(at.segment), at.offset as usize + 17);
    let segments = inspection.segments();
    let listed = segments.list().expect("listed");
    let fault = listed.segments[0].fault.as_ref().expect("a fault");
    assert_eq!(fault.place().and_then(|(_, offset)| offset), Some(0));
    let error = segments.read(&at).expect_err("damaged");
    assert_eq!(
        error.place().and_then(|(_, offset)| offset),
        Some(at.offset)
    );
}

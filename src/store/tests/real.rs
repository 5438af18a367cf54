//! The store on real files, with sled.

use std::os::unix::fs::PermissionsExt;

use super::*;

fn options(dir: &Path) -> StoreOptions {
    StoreOptions {
        checkpoint_interval: Duration::from_secs(3600),
        ..StoreOptions::new(dir)
    }
}

#[track_caller]
fn open(dir: &Path) -> (Store, Recovered) {
    let (store, recovered) =
        Store::open(options(dir), Box::new(|_| {}), &mut NoEntries).expect("the store opens");
    store.attach(Arc::new(NoEntries));
    (store, recovered)
}

#[track_caller]
fn write(store: &Store, key: &str, value: impl AsRef<[u8]>) {
    let lsn = store
        .append(&[put(key, value)])
        .expect("the record is taken");
    store.wait_durable(lsn).expect("the record becomes durable");
}

fn names(dir: &Path) -> Vec<String> {
    RealDisk.list(dir).expect("the directory can be listed")
}

/// A closed store with `a`, and `b` that only the log has.
fn dir_with_log_after_checkpoint() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    write(&store, "a", "1");
    store.close().unwrap();
    let (store, _) = open(dir.path());
    write(&store, "b", "2");
    drop(store);
    dir
}

#[test]
fn a_store_on_files_opens_writes_closes_and_opens_again() {
    let dir = tempfile::tempdir().unwrap();
    let (store, recovered) = open(dir.path());
    assert_holds(&recovered, &[]);
    write(&store, "a", "1");
    store.close().unwrap();
    let (_store, recovered) = open(dir.path());
    assert_holds(&recovered, &[("a", "1")]);
    assert!(recovered.clean);
    assert_eq!(recovered.report.log_bytes_read, 0);
}

#[test]
fn a_store_dropped_without_closing_replays_its_log() {
    let dir = dir_with_log_after_checkpoint();
    let (_store, recovered) = open(dir.path());
    assert_holds(&recovered, &[("a", "1"), ("b", "2")]);
    assert!(!recovered.clean);
    assert_eq!(recovered.report.replayed_records, 1);
}

#[test]
fn opening_twice_names_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path());
    let Err(error) = Store::open(options(dir.path()), Box::new(|_| {}), &mut NoEntries) else {
        panic!("the directory opened twice");
    };
    assert!(matches!(&error, StoreError::Locked { dir: named } if named == dir.path()));
    drop(first);
    open(dir.path());
}

#[test]
fn files_and_directories_are_the_owners_alone() {
    let outer = tempfile::tempdir().unwrap();
    let dir = outer.path().join("made");
    let (store, _) = open(&dir);
    write(&store, "a", "1");
    store.close().unwrap();
    let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for name in ["", "log", "catalogue"] {
        assert_eq!(mode(dir.join(name)), 0o700, "{name}");
    }
    let log = names(&dir.join("log")).pop().unwrap();
    let files = [
        "node",
        "lock",
        "definitions.snapshot",
        "catalogue/db",
        "catalogue/conf",
    ];
    for name in files
        .iter()
        .map(ToString::to_string)
        .chain([format!("log/{log}")])
    {
        assert_eq!(mode(dir.join(&name)), 0o600, "{name}");
    }
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let outer = tempfile::tempdir().unwrap();
    let file = outer.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    let Err(error) = Store::open(options(&file.join("dir")), Box::new(|_| {}), &mut NoEntries)
    else {
        panic!("a directory inside a file opened");
    };
    assert!(matches!(&error, StoreError::Io { .. }) && error.to_string().contains("file/dir"));
}

#[test]
fn a_deleted_sled_directory_is_rebuilt() {
    let dir = dir_with_log_after_checkpoint();
    std::fs::remove_dir_all(dir.path().join("catalogue")).unwrap();
    let (store, recovered) = open(dir.path());
    assert_holds(&recovered, &[("a", "1"), ("b", "2")]);
    assert!(recovered.report.rebuilt);
    store.close().unwrap();
    assert_holds(&open(dir.path()).1, &[("a", "1"), ("b", "2")]);
}

#[test]
fn sled_files_of_garbage_are_set_aside_and_rebuilt() {
    for (name, garbage) in [
        ("db", vec![0xa5; 1 << 20]),
        ("db", Vec::new()),
        ("conf", b"garbage\n".repeat(9).to_vec()),
    ] {
        let dir = dir_with_log_after_checkpoint();
        let catalogue = dir.path().join("catalogue");
        std::fs::write(catalogue.join(name), &garbage).unwrap();
        for snap in names(&catalogue)
            .iter()
            .filter(|name| name.starts_with("snap"))
        {
            std::fs::write(catalogue.join(snap), b"garbage").unwrap();
        }
        let (store, recovered) = open(dir.path());
        assert_holds(&recovered, &[("a", "1"), ("b", "2")]);
        store.close().unwrap();
        let again = open(dir.path()).1;
        assert_holds(&again, &[("a", "1"), ("b", "2")]);
        assert!(again.clean, "{name}");
    }
}

#[test]
fn every_damaged_page_of_sled_is_noticed_or_harmless() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    for i in 0..300 {
        store
            .append(&[put(&format!("key-{i}"), vec![i as u8; 100])])
            .unwrap();
    }
    store.close().unwrap();
    let (store, recovered) = open(dir.path());
    let expected = recovered.entries;
    assert_eq!(expected.len(), 300);
    store.close().unwrap();
    let db = dir.path().join("catalogue/db");
    let whole = std::fs::read(&db).unwrap();
    let used = whole.iter().rposition(|byte| *byte != 0).unwrap_or(0);
    for part in 1..8 {
        let mut bytes = whole.clone();
        let at = used * part / 8;
        bytes[at..at + 64].iter_mut().for_each(|byte| *byte ^= 0x5a);
        std::fs::write(&db, &bytes).unwrap();
        let (store, recovered) = open(dir.path());
        assert_eq!(recovered.entries, expected, "part {part}");
        store.close().unwrap();
        let _set_aside = std::fs::remove_dir_all(dir.path().join("catalogue.aside-1"));
    }
}

#[test]
fn a_log_file_grows_in_steps_and_is_not_filled_for_a_few_records() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    write(&store, "a", "1");
    let log = dir.path().join("log");
    let sizes = || -> Vec<u64> {
        let size = |name: &String| std::fs::metadata(log.join(name)).unwrap().len();
        names(&log).iter().map(size).collect()
    };
    assert_eq!(sizes(), [256 << 10]);
    write(&store, "b", vec![0; 300 << 10]);
    assert_eq!(sizes(), [512 << 10]);
}

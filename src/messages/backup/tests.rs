//! Where a copy may go, which pages are in it, and that none of them goes meanwhile.

use std::fs;

use broker_core::host;
use broker_core::journal::Runs;
use broker_core::queue::handle::{self, PageFree, QueueId};
use broker_core::topology::QueueSpec;

use super::*;
use crate::clock::Clock;
use crate::store::pages::{Pages, SEGMENT_BYTES};
use crate::store::{Identity, NoEntries, StoreOptions};

/// How long something that happens on another thread may take.
const PATIENCE: Duration = Duration::from_secs(30);

struct Stage {
    folder: tempfile::TempDir,
    backups: Backups,
}

impl Stage {
    fn new() -> Stage {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().join("data");
        let options = StoreOptions::new(&dir);
        let opened = Store::open(options, Box::new(|_| {}), &mut NoEntries);
        let (store, recovered) = opened.expect("the store opens");
        let identity = Identity {
            node: recovered.node_id,
            cluster: [0; 16],
        };
        let disk = Arc::new(RealDisk);
        let opened = Pages::open(disk, &dir, identity, SEGMENT_BYTES, []);
        let pages = opened.expect("the pages open").pages;
        let pager = Pager::start(pages, store.clone(), Clock::start()).expect("threads");
        let backups = Backups::new(store, pager, &dir);
        Stage { folder, backups }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    #[track_caller]
    fn refused(&self, target: &Path, why: &str) {
        let made = self.backups.make(target);
        let Err(BackupError::Target { why: said, .. }) = made else {
            panic!("{}: {made:?}", target.display());
        };
        assert!(said.contains(why), "{said}");
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.backups.pager.stop();
    }
}

fn queue(name: &str, id: u64) -> (Vec<u8>, Vec<u8>) {
    let spec = QueueSpec {
        name: name.into(),
        durable: true,
        exclusive: None,
        auto_delete: false,
        arguments: Default::default(),
    };
    let definition = Definition::Queue("/".into(), spec, QueueId(id));
    (definition.key(), definition.value())
}

fn page(queue: u64, at: PageAt) -> (Vec<u8>, Vec<u8>) {
    let entry = PageEntry {
        queue,
        number: 1,
        segment: at.segment,
        offset: at.offset,
        length: at.length,
        crc: at.crc,
        level: None,
        is_redelivered: false,
        may_expire: false,
        body_length: Default::default(),
        runs: Runs::new(),
    };
    (entry.key(), entry.value())
}

#[test]
fn a_target_is_empty_or_new_and_not_part_of_the_data() {
    let stage = Stage::new();
    stage.refused(Path::new("relative"), "absolute");
    stage.refused(&stage.path("a/../b"), "absolute");
    stage.refused(&stage.path("data/copy"), "inside");
    stage.refused(&stage.path("data"), "inside");
    let link = stage.path("link");
    std::os::unix::fs::symlink(stage.path("data/log"), &link).expect("linked");
    stage.refused(&link, "inside");
    stage.refused(&stage.path("nowhere/copy"), "No such file");
    let full = stage.path("full");
    fs::create_dir(&full).expect("made");
    fs::write(full.join("file"), "x").expect("written");
    stage.refused(&full, "not empty");
    stage.refused(&full.join("file"), "");
    assert!(full.join("file").exists());
    let empty = stage.path("empty");
    fs::create_dir(&empty).expect("made");
    for target in [empty, stage.path("new")] {
        assert!(stage.backups.make(&target).is_ok());
        assert!(target.join("node").exists());
    }
}

#[test]
fn one_copy_is_made_at_a_time() {
    let stage = Stage::new();
    let turn = stage.backups.turn.lock();
    let made = stage.backups.make(&stage.path("copy"));
    assert!(matches!(made, Err(BackupError::Busy)));
    drop(turn);
    assert!(stage.backups.make(&stage.path("copy")).is_ok());
}

#[test]
fn a_copy_that_failed_is_not_left_behind() {
    let stage = Stage::new();
    let target = stage.path("copy");
    stage.backups.store.clone().close().expect("closed");
    let made = stage.backups.make(&target);
    assert!(matches!(made, Err(BackupError::Store(StoreError::Closed))));
    assert!(!target.exists());
}

#[test]
fn pages_of_queues_that_are_gone_are_not_copied() {
    let at = |segment| PageAt {
        segment,
        offset: 4096,
        length: 100,
        crc: 0,
    };
    let map = Map::from([queue("a", 1), queue("b", 3), page(1, at(1)), page(2, at(2))]);
    assert_eq!(pages(&map), [at(1)]);
}

#[test]
fn pages_are_copied_and_those_that_are_damaged_are_counted() {
    let stage = Stage::new();
    let pages = stage.backups.pager.pages();
    let whole = pages.write(&[b"whole"]).expect("written");
    let damaged = PageAt {
        crc: whole.crc ^ 1,
        ..pages.write(&[b"other"]).expect("written")
    };
    let entries = [
        queue("a", 1),
        queue("b", 2),
        page(1, whole),
        page(2, damaged),
    ];
    let changes = entries.map(|(key, value)| crate::store::Change::Put { key, value });
    let lsn = stage.backups.store.append(&changes).expect("taken");
    stage.backups.store.wait_durable(lsn).expect("durable");
    let target = stage.path("copy");
    let backup = stage.backups.make(&target).expect("a copy");
    assert_eq!((backup.pages, backup.lost_pages, backup.lsn), (1, 1, lsn));
    let inspection = crate::store::inspect::Inspection::open(&target).expect("open");
    let copied = inspection.segments().read(&whole).expect("read");
    assert_eq!(copied, b"whole");
}

#[test]
fn no_page_is_freed_while_pages_are_held() {
    let stage = Stage::new();
    let pager = &stage.backups.pager;
    let at = pager.pages().write(&[b"page"]).expect("written");
    let held = [pager.hold(), pager.hold()];
    pager.free(PageFree {
        at: handle::PageAt {
            segment: at.segment,
            offset: at.offset,
            length: at.length,
            crc: at.crc,
        },
        lsn: host::Lsn::NONE,
    });
    for guard in held {
        pager.free_durable();
        assert!(pager.pages().verify(at).is_ok(), "it is held");
        drop(guard);
    }
    let deadline = Instant::now() + PATIENCE;
    while pager.pages().verify(at).is_ok() {
        assert!(Instant::now() < deadline, "it is never freed");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

//! The whole store on the simulated disk, driven step by step without threads.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use self::owner::{Held, Recorder};
use super::sim::{SimCatalogue, SimDisk};
use super::*;

mod backup;
mod beginnings;
mod entries;
mod faults;
mod full;
mod model;
mod order;
mod owner;
mod real;
mod recovery;
mod running;

/// A data directory that outlives the stores opened in it.
struct Site {
    disk: SimDisk,
    catalogue: SimCatalogue,
    options: StoreOptions,
}

const FILE_BYTES: u64 = 64 << 10;

impl Site {
    /// Small files, and checkpoints only when a test asks for them.
    fn new() -> Site {
        let disk = SimDisk::new();
        let catalogue = SimCatalogue::new(&disk);
        let options = StoreOptions {
            log_file_bytes: FILE_BYTES,
            log_max_bytes: 64 * FILE_BYTES,
            pending_max_bytes: 4 * FILE_BYTES as usize,
            checkpoint_log_bytes: u64::MAX,
            checkpoint_interval: Duration::from_secs(3600),
            snapshot_log_bytes: u64::MAX,
            ..StoreOptions::new("/sim")
        };
        Site {
            disk,
            catalogue,
            options,
        }
    }

    fn try_open(&self) -> Result<(Driven, Recovered), StoreError> {
        let (driven, recovered) = self.try_replay(&mut NoEntries)?;
        driven.attach(Arc::new(NoEntries));
        Ok((driven, recovered))
    }

    /// Opens with an owner of entries, which is not attached yet.
    fn try_replay(&self, replay: &mut dyn Replay) -> Result<(Driven, Recovered), StoreError> {
        let (disk, catalogue) = (self.disk.clone(), self.catalogue.clone());
        let notify: core::Notify = Box::new(|_| {});
        let (parts, recovered) = Parts::open(
            Arc::new(disk),
            Arc::new(catalogue),
            self.options.clone(),
            notify,
            replay,
        )?;
        Ok((Driven { parts }, recovered))
    }

    #[track_caller]
    fn open(&self) -> (Driven, Recovered) {
        self.try_open().expect("the directory opens")
    }

    /// Opens with an owner that holds on to entries, and returns what it was handed.
    #[track_caller]
    fn own(&self) -> (Driven, Recovered, Recorder, Arc<Held>) {
        let (mut recorder, held) = (Recorder::default(), Arc::new(Held::default()));
        let (driven, recovered) = self.try_replay(&mut recorder).expect("the directory opens");
        held.raise(recovered.report.floor);
        driven.attach(Arc::clone(&held) as Arc<dyn Owner>);
        (driven, recovered, recorder, held)
    }

    /// Opens with threads.
    #[track_caller]
    fn start(&self) -> Store {
        self.open().0.parts.start().expect("threads start")
    }

    fn power_loss(&self, seed: u64) {
        self.disk.power_loss(seed);
        self.catalogue.power_loss(seed);
    }

    fn log_files(&self) -> Vec<PathBuf> {
        let paths = self.disk.paths();
        paths
            .into_iter()
            .filter(|path| path.starts_with("/sim/log") && path.extension().is_some())
            .collect()
    }
}

/// A store whose threads' work the test does itself.
struct Driven {
    parts: Parts,
}

impl Driven {
    fn attach(&self, owner: Arc<dyn Owner>) {
        *self.parts.core.owner.lock() = Some(owner);
    }

    /// Appends an entry of so many bytes, and commits it.
    #[track_caller]
    fn enter(&mut self, bytes: usize) -> Lsn {
        let lsn = self
            .parts
            .core
            .append_entry(2, &[&vec![b'e'; bytes]], false);
        assert!(self.commit(), "the group is committed");
        assert_eq!(self.parts.core.durable(), lsn);
        lsn
    }

    /// Appends and commits so many entries of so many bytes.
    #[track_caller]
    fn enter_all(&mut self, count: usize, bytes: usize) {
        for _ in 0..count {
            self.enter(bytes);
        }
    }

    #[track_caller]
    fn put(&self, key: &str, value: impl AsRef<[u8]>) -> Lsn {
        self.parts
            .core
            .append(&[put(key, value)])
            .expect("the record is taken")
    }

    /// Commits one group, if any waits; `false` if the log has stopped.
    fn commit(&mut self) -> bool {
        let core = &self.parts.core;
        let group = core.take_group(&mut core.queue.lock());
        match group {
            Some(group) => core.commit(&mut self.parts.writer, group),
            None => core.failed().is_none(),
        }
    }

    /// Puts and commits.
    #[track_caller]
    fn write(&mut self, key: &str, value: impl AsRef<[u8]>) -> Lsn {
        let lsn = self.put(key, value);
        assert!(self.commit(), "the group is committed");
        assert_eq!(self.parts.core.durable(), lsn);
        lsn
    }

    /// Writes so much that the log goes on in another file.
    fn fill_file(&mut self, key: &str) {
        let before = self.parts.core.files.lock().spans.len();
        while self.parts.core.files.lock().spans.len() == before {
            self.write(key, vec![b'x'; 9_000]);
        }
    }

    #[track_caller]
    fn checkpoint(&mut self) {
        self.parts
            .upkeep
            .round(true)
            .expect("the checkpoint succeeds");
    }

    /// A checkpoint and a snapshot.
    #[track_caller]
    fn snapshot(&mut self) {
        self.parts.upkeep.finish().expect("the checkpoint succeeds");
    }

    #[track_caller]
    fn close(mut self) {
        self.parts.core.drain();
        while self.parts.core.appended().0 > self.parts.core.durable() {
            assert!(self.commit(), "the group is committed");
        }
        self.parts.close().expect("the store closes");
    }
}

impl Parts {
    /// As [`Running::close`], the threads having ended.
    fn close(mut self) -> Result<(), StoreError> {
        self.core.drain();
        end(&self.core, self.upkeep, &mut self.node)
    }
}

fn put(key: &str, value: impl AsRef<[u8]>) -> Change {
    Change::Put {
        key: key.into(),
        value: value.as_ref().to_vec(),
    }
}

fn delete(key: &str) -> Change {
    Change::Delete { key: key.into() }
}

#[track_caller]
fn assert_holds(recovered: &Recovered, expected: &[(&str, &str)]) {
    let expected: Map = expected
        .iter()
        .map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec()))
        .collect();
    assert_eq!(recovered.entries, expected);
}

fn log_file(number: u64) -> PathBuf {
    logdir::file_path(Path::new("/sim/log"), number)
}

//! The whole store on the simulated disk, driven step by step without threads.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::sim::{SimCatalogue, SimDisk};
use super::*;

mod faults;
mod model;
mod order;
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
        let (disk, catalogue) = (self.disk.clone(), self.catalogue.clone());
        let notify: core::Notify = Box::new(|_| {});
        let (parts, recovered) = Parts::open(
            Arc::new(disk),
            Arc::new(catalogue),
            self.options.clone(),
            notify,
            &mut NoEntries,
        )?;
        *parts.core.owner.lock() = Some(Arc::new(NoEntries));
        Ok((Driven { parts }, recovered))
    }

    #[track_caller]
    fn open(&self) -> (Driven, Recovered) {
        self.try_open().expect("the directory opens")
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
        if core.appended().0 == core.durable() {
            return true;
        }
        let group = core.next_group();
        group.is_some_and(|group| core.commit(&mut self.parts.writer, group))
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

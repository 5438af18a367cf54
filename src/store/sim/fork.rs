//! Copies of the simulated disk: what would be left if everything ended here.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Inode, NameChange, Operation, Shared, SimDisk, State, Update};

/// The files that names lead to, numbered anew.
struct Copies<'a> {
    from: &'a [Inode],
    numbers: BTreeMap<usize, usize>,
    inodes: Vec<Inode>,
}

impl Copies<'_> {
    fn of(&mut self, inode: usize) -> usize {
        *self.numbers.entry(inode).or_insert_with(|| {
            self.inodes.push(self.from[inode].clone());
            self.inodes.len() - 1
        })
    }
}

impl SimDisk {
    /// A disk with the same files, synced and unsynced as here, and a fate of its own. Nobody has
    /// any of its files open, nobody watches it, and no fault awaits it.
    pub fn fork(&self) -> SimDisk {
        let state = self.shared.state.lock();
        let mut copies = Copies {
            from: &state.inodes,
            numbers: BTreeMap::new(),
            inodes: Vec::new(),
        };
        let names = state.names.iter();
        let names = names.map(|(path, inode)| (path.clone(), copies.of(*inode)));
        let names = names.collect();
        let synced = state.synced_names.iter();
        let synced = synced.map(|(path, inode)| (path.clone(), copies.of(*inode)));
        let synced_names = synced.collect();
        let renames = state.renames.iter().map(|change| NameChange {
            dir: change.dir.clone(),
            names: change
                .names
                .iter()
                .map(|(path, inode)| (path.clone(), inode.map(|inode| copies.of(inode))))
                .collect(),
        });
        let forked = State {
            dirs: state.dirs.clone(),
            names,
            synced_names,
            renames: renames.collect(),
            free: state.free,
            without_holes: state.without_holes,
            inodes: copies.inodes,
            ..State::default()
        };
        SimDisk {
            shared: Arc::new(Shared {
                state: Mutex::new(forked),
                ..Shared::default()
            }),
        }
    }

    /// Begins an operation that another disk is about to do: what a crash inside it may leave of
    /// it is the crash's business. Of what cannot be cut short nothing is done.
    pub fn begin(&self, operation: Operation<'_>) {
        match operation {
            Operation::Write {
                path,
                offset,
                bytes,
            } => self.update(path, &|| Update::Write {
                offset,
                bytes: bytes.into(),
            }),
            Operation::Punch {
                path,
                offset,
                bytes,
            } => self.update(path, &|| Update::Punch { offset, bytes }),
            _ => {}
        }
    }

    fn update(&self, path: &Path, update: &dyn Fn() -> Update) {
        let mut state = self.shared.state.lock();
        if let Some(inode) = state.names.get(path).copied() {
            state.inodes[inode].update(update());
        }
    }

    /// What all files take together.
    pub fn allocated_in_all(&self) -> u64 {
        let state = self.shared.state.lock();
        let inodes = state.names.values();
        inodes
            .map(|inode| state.inodes[*inode].cache.allocated())
            .sum()
    }
}

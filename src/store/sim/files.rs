//! The simulated disk as the store sees it: its names and its open files.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::MutexGuard;

use super::{Event, ExtendNames, Inode, Operation, Shared, SimDisk, State, Update};
use crate::store::disk::{Disk, File};

impl SimDisk {
    fn handle(&self, inode: usize, state: &State) -> Arc<dyn File> {
        Arc::new(SimFile {
            shared: Arc::clone(&self.shared),
            inode,
            life: state.life,
        })
    }
}

impl Disk for SimDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let is_there = self.shared.state.lock().dirs.contains(path);
        if !is_there {
            self.shared.before(Operation::CreateDir(path));
            let mut state = self.shared.state.lock();
            state.step()?;
            state.dirs.insert(path.to_path_buf());
        }
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let mut state = self.shared.state.lock();
        if !state.locks.insert(path.to_path_buf()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let shared = Arc::clone(&self.shared);
        Ok(Box::new(SimLock {
            shared,
            path: path.to_path_buf(),
            life: state.life,
        }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let state = self.shared.state.lock();
        let inode = *state.names.get(path).ok_or_else(|| not_found(path))?;
        Ok(self.handle(inode, &state))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.shared.before(Operation::Create(path));
        let mut state = self.shared.state.lock();
        state.step()?;
        let inode = state.inodes.len();
        state.inodes.push(Inode {
            path: path.to_path_buf(),
            ..Inode::default()
        });
        state.rename(&parent(path), vec![(path.to_path_buf(), Some(inode))]);
        Ok(self.handle(inode, &state))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.shared.before(Operation::Rename(from, to));
        let mut state = self.shared.state.lock();
        let inode = *state.names.get(from).ok_or_else(|| not_found(from))?;
        state.step()?;
        state.inodes[inode].path = to.to_path_buf();
        state.event(Event::Rename(from.to_path_buf(), to.to_path_buf()));
        let names = vec![(from.to_path_buf(), None), (to.to_path_buf(), Some(inode))];
        state.rename(&parent(to), names);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.shared.before(Operation::Remove(path));
        let mut state = self.shared.state.lock();
        let inode = *state.names.get(path).ok_or_else(|| not_found(path))?;
        state.step()?;
        let bytes = state.inodes[inode].cache.allocated();
        state.free = state.free.map(|free| free + bytes);
        state.event(Event::Remove(path.to_path_buf()));
        state.rename(&parent(path), vec![(path.to_path_buf(), None)]);
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.shared.state.lock();
        if !state.dirs.contains(dir) {
            return Err(not_found(dir));
        }
        let inside = state.names.keys().filter(|path| path.parent() == Some(dir));
        let names = inside.filter_map(|path| path.file_name());
        Ok(names
            .map(|name| name.to_string_lossy().into_owned())
            .collect())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.shared.before(Operation::SyncDir(dir));
        let mut state = self.shared.state.lock();
        state.step()?;
        state.event(Event::SyncDir(dir.to_path_buf()));
        let changes = std::mem::take(&mut state.renames);
        for change in changes {
            if change.dir == dir {
                state.synced_names.extend_names(change.names);
            } else {
                state.renames.push(change);
            }
        }
        Ok(())
    }
}

struct SimLock {
    shared: Arc<Shared>,
    path: PathBuf,
    life: u64,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        if state.life == self.life {
            state.locks.remove(&self.path);
        }
    }
}

struct SimFile {
    shared: Arc<Shared>,
    inode: usize,
    life: u64,
}

impl SimFile {
    /// Calls whoever watches; the file has its path.
    fn before(&self, operation: impl FnOnce(&Path, &dyn Fn(Operation<'_>))) {
        let (watcher, path) = {
            let state = self.shared.state.lock();
            match &state.watcher {
                Some(watcher) if state.life == self.life => {
                    (Arc::clone(watcher), state.inodes[self.inode].path.clone())
                }
                _ => return,
            }
        };
        operation(&path, &*watcher);
    }

    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.shared.state.lock();
        if state.life == self.life {
            return Ok(state);
        }
        Err(io::Error::other(
            "the simulated process that opened this file is dead",
        ))
    }
}

impl File for SimFile {
    fn pread(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.state()?;
        let contents = &state.inodes[self.inode].cache.bytes;
        let start = contents.len().min(offset as usize);
        let count = buf.len().min(contents.len() - start);
        buf[..count].copy_from_slice(&contents[start..start + count]);
        state.bytes_read += count as u64;
        Ok(count)
    }

    fn pwrite(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.before(|path, tell| {
            tell(Operation::Write {
                path,
                offset,
                bytes: buf,
            });
        });
        let mut state = self.state()?;
        state.hanging_writes += 1;
        while state.faults.hold_writes {
            self.shared.released.wait(&mut state);
        }
        state.hanging_writes -= 1;
        if state.life != self.life {
            return Err(io::Error::other("the simulated process is dead"));
        }
        state.step()?;
        if std::mem::take(&mut state.faults.next_write) {
            return Err(io::Error::other("simulated write error"));
        }
        let growth = state.inodes[self.inode]
            .cache
            .growth(offset, buf.len() as u64);
        let short = growth - state.grow(growth);
        let buf = &buf[..buf.len() - (short as usize).min(buf.len())];
        let inode = &mut state.inodes[self.inode];
        inode.update(Update::Write {
            offset,
            bytes: buf.into(),
        });
        let (path, bytes) = (inode.path.clone(), buf.len());
        state.event(Event::Write {
            path,
            offset,
            bytes,
        });
        if short > 0 {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            Ok(())
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.before(|path, tell| tell(Operation::Sync(path)));
        let mut state = self.state()?;
        state.hanging += 1;
        while state.faults.hold_syncs {
            self.shared.released.wait(&mut state);
        }
        state.hanging -= 1;
        if state.life != self.life {
            return Err(io::Error::other("the simulated process is dead"));
        }
        state.step()?;
        let failing = std::mem::take(&mut state.faults.next_sync);
        let inode = &mut state.inodes[self.inode];
        let mut updates = std::mem::take(&mut inode.unsynced);
        if failing {
            // As Linux does: the pages count as clean from now on, wherever they are.
            inode.dropped.append(&mut updates);
            return Err(io::Error::other("simulated sync error"));
        }
        for update in &updates {
            inode.device.apply(update);
        }
        let path = inode.path.clone();
        state.event(Event::Sync(path));
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.state()?.inodes[self.inode].cache.size())
    }

    fn punch_hole(&self, offset: u64, bytes: u64) -> io::Result<()> {
        self.before(|path, tell| {
            tell(Operation::Punch {
                path,
                offset,
                bytes,
            });
        });
        let mut state = self.state()?;
        if state.without_holes {
            return Err(io::ErrorKind::Unsupported.into());
        }
        state.step()?;
        if std::mem::take(&mut state.faults.next_punch) {
            return Err(io::Error::other("simulated failure to punch a hole"));
        }
        let inode = &mut state.inodes[self.inode];
        let before = inode.cache.allocated();
        inode.update(Update::Punch { offset, bytes });
        let given = before - inode.cache.allocated();
        let path = inode.path.clone();
        state.free = state.free.map(|free| free + given);
        state.event(Event::Punch {
            path,
            offset,
            bytes,
        });
        Ok(())
    }

    fn allocated(&self) -> io::Result<u64> {
        Ok(self.state()?.inodes[self.inode].cache.allocated())
    }
}

fn not_found(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, path.display().to_string())
}

fn parent(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("/")).to_path_buf()
}

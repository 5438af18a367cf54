//! The few file operations the store is built on, as traits, and the real disk behind them.
//! Never decides when something must be synced: that is the log's and the checkpoint's rule.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::buffer::spare_capacity;
use rustix::fs::{FallocateFlags, FlockOperation, OFlags, fallocate, flock};
use rustix::io::{Errno, pwritev};

use super::group::BLOCK_BYTES;

/// A directory tree that files live in. Paths are absolute or relative to the process.
pub trait Disk: Send + Sync {
    /// Makes a directory that only its owner may enter; an existing one is left as it is.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Takes the lock file `path` for as long as the guard lives; `WouldBlock` if it is taken.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>>;
    /// Opens an existing file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// [`open`](Self::open) of a file that is written once and hardly ever read: what lies on whole
    /// blocks, in memory and in the file, goes past the page cache where the system can do that.
    fn open_direct(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.open(path)
    }
    /// Makes an empty file that only its owner may read, in place of what had the name.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Gives a file or directory another name, replacing a file that had it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// The names in a directory, in no order; `NotFound` if there is no such directory.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// An open file.
pub trait File: Send + Sync {
    /// Reads at `offset` until `buf` is full or the file ends; returns how much was read.
    fn pread(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `buf` at `offset`.
    fn pwrite(&self, buf: &[u8], offset: u64) -> io::Result<()>;
    /// Makes what was written durable, with the length it needs to be read back.
    fn sync_data(&self) -> io::Result<()>;
    /// The file's length in bytes.
    fn size(&self) -> io::Result<u64>;

    /// Reads `bytes` bytes at `offset`, fewer only where the file ends before.
    fn read(&self, bytes: usize, offset: u64) -> io::Result<Vec<u8>> {
        let mut buf = reserved(bytes)?;
        buf.resize(bytes, 0);
        let count = self.pread(&mut buf, offset)?;
        buf.truncate(count);
        Ok(buf)
    }

    /// Writes all of `parts`, one behind the other, beginning at `offset`.
    fn pwrite_parts(&self, parts: &[&[u8]], mut offset: u64) -> io::Result<()> {
        for part in parts {
            self.pwrite(part, offset)?;
            offset += part.len() as u64;
        }
        Ok(())
    }

    /// Gives the space of whole blocks back; they read as zeros from then on, and the file's length
    /// stays. `Unsupported` where files have no holes.
    fn punch_hole(&self, _offset: u64, _bytes: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The space the file takes.
    fn allocated(&self) -> io::Result<u64> {
        self.size()
    }
}

/// The operating system's files.
#[derive(Debug, Default, Clone, Copy)]
pub struct RealDisk;

const FILE_MODE: u32 = 0o600;
const DIR_MODE: u32 = 0o700;

impl Disk for RealDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        DirBuilder::new()
            .mode(DIR_MODE)
            .recursive(true)
            .create(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(FILE_MODE)
            .open(path)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Box::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        Ok(Arc::new(RealFile::new(file)))
    }

    fn open_direct(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let flags = OFlags::DIRECT.bits().cast_signed();
        let direct = OpenOptions::new()
            .write(true)
            .custom_flags(flags)
            .open(path);
        Ok(Arc::new(RealFile {
            file,
            // Not every file system has it.
            direct: direct.ok().map(Direct::new),
        }))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .mode(FILE_MODE)
            .open(path)?;
        Ok(Arc::new(RealFile::new(file)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        Ok(names)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        std::fs::File::open(dir)?.sync_all()
    }
}

struct RealFile {
    file: std::fs::File,
    direct: Option<Direct>,
}

impl RealFile {
    fn new(file: std::fs::File) -> RealFile {
        RealFile { file, direct: None }
    }
}

/// The same file, opened to be written past the page cache. A sync of either makes what was
/// written to both durable.
struct Direct {
    file: std::fs::File,
    works: AtomicBool,
}

impl Direct {
    fn new(file: std::fs::File) -> Direct {
        let works = AtomicBool::new(true);
        Direct { file, works }
    }

    /// Writes what lies on whole blocks. `false` if it does not, or if the file system wants
    /// something else: then anything may have been written, and all of it is to be written.
    fn pwrite(&self, buf: &[u8], offset: u64) -> io::Result<bool> {
        let is_whole = buf.as_ptr().align_offset(BLOCK_BYTES) == 0
            && buf.len().is_multiple_of(BLOCK_BYTES)
            && offset.is_multiple_of(BLOCK_BYTES as u64);
        if !is_whole || !self.works.load(Ordering::Relaxed) {
            return Ok(false);
        }
        match self.file.write_all_at(buf, offset) {
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                self.works.store(false, Ordering::Relaxed);
                Ok(false)
            }
            done => done.map(|()| true),
        }
    }
}

impl File for RealFile {
    fn pread(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buf.len() {
            match self.file.read_at(&mut buf[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn pwrite(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        let done = self.direct.as_ref();
        if done.map_or(Ok(false), |direct| direct.pwrite(buf, offset))? {
            return Ok(());
        }
        self.file.write_all_at(buf, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read(&self, bytes: usize, offset: u64) -> io::Result<Vec<u8>> {
        let mut buf = reserved(bytes)?;
        while buf.len() < bytes {
            let at = offset + buf.len() as u64;
            match rustix::io::pread(&self.file, spare_capacity(&mut buf), at) {
                Ok(0) => break,
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        buf.truncate(bytes);
        Ok(buf)
    }

    fn pwrite_parts(&self, parts: &[&[u8]], mut offset: u64) -> io::Result<()> {
        let mut slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let mut rest = slices.as_mut_slice();
        // Drops empty slices at the front, so that what is left has bytes to write.
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            match pwritev(&self.file, rest, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    offset += count as u64;
                    IoSlice::advance_slices(&mut rest, count);
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    fn punch_hole(&self, offset: u64, bytes: u64) -> io::Result<()> {
        let mode = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        loop {
            match fallocate(&self.file, mode, offset, bytes) {
                Err(Errno::INTR) => {}
                done => return Ok(done?),
            }
        }
    }

    fn allocated(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.blocks() * STAT_BLOCK_BYTES)
    }
}

/// What `st_blocks` counts in, whatever the file system's blocks are.
const STAT_BLOCK_BYTES: u64 = 512;

/// An empty buffer with room for `bytes`; an error where there is no memory for it.
fn reserved(bytes: usize) -> io::Result<Vec<u8>> {
    let mut buf = Vec::new();
    buf.try_reserve_exact(bytes)
        .map_err(|_| io::ErrorKind::OutOfMemory)?;
    Ok(buf)
}

/// Writes `bytes` so that after a crash `path` holds either what it held or all of them.
/// Durable when it returns.
pub(super) fn replace_file(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = temporary_name(path);
    let file = disk.create(&temporary)?;
    file.pwrite(bytes, 0)?;
    file.sync_data()?;
    publish_file(disk, path)
}

/// The name under which the next content of `path` is written.
pub(super) fn temporary_name(path: &Path) -> std::path::PathBuf {
    path.with_extension("tmp")
}

/// Gives the synced temporary file of `path` its name, durably.
pub(super) fn publish_file(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    disk.rename(&temporary_name(path), path)?;
    disk.sync_dir(path.parent().unwrap_or(Path::new(".")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::buffer::Buffer;
    use crate::store::sim::SimDisk;

    /// A file of the simulated disk, which has the trait's own methods, and two real ones.
    fn files(folder: &Path) -> [Arc<dyn File>; 3] {
        let real = RealDisk.create(&folder.join("file")).unwrap();
        let direct = direct_file(folder);
        let simulated = SimDisk::new().create(Path::new("/file")).unwrap();
        [simulated, real, direct]
    }

    fn direct_file(folder: &Path) -> Arc<dyn File> {
        let path = folder.join("direct");
        RealDisk.create(&path).unwrap();
        RealDisk.open_direct(&path).unwrap()
    }

    /// Two blocks on blocks of memory.
    fn blocks(byte: u8) -> Buffer {
        let mut blocks = Buffer::default();
        blocks.resize(2 * BLOCK_BYTES);
        blocks.fill(byte);
        blocks
    }

    #[test]
    fn parts_are_written_one_behind_the_other_and_reading_ends_with_the_file() {
        let folder = tempfile::tempdir().unwrap();
        for file in files(folder.path()) {
            file.pwrite_parts(&[b"", b"ab", b"", b"c", b""], 2).unwrap();
            file.pwrite_parts(&[], 0).unwrap();
            file.pwrite_parts(&[b"", b""], 0).unwrap();
            assert_eq!(file.read(5, 0).unwrap(), b"\0\0abc");
            assert_eq!(file.read(2, 2).unwrap(), b"ab");
            assert_eq!(file.read(100, 3).unwrap(), b"bc");
            assert_eq!(file.read(0, 0).unwrap(), b"");
            assert_eq!(file.read(1, 5).unwrap(), b"");
        }
    }

    #[test]
    fn what_goes_past_the_page_cache_and_what_does_not_is_one_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = direct_file(folder.path());
        file.pwrite(&blocks(1), 0).unwrap();
        // Neither begins on a block: one in memory, one in the file.
        file.pwrite(&blocks(2)[1..], BLOCK_BYTES as u64).unwrap();
        file.pwrite(&blocks(3), 3 * BLOCK_BYTES as u64 - 1).unwrap();
        file.pwrite(&blocks(4), 5 * BLOCK_BYTES as u64).unwrap();
        file.sync_data().unwrap();
        let end = 7 * BLOCK_BYTES;
        assert_eq!(file.size().unwrap(), end as u64);
        let bytes = file.read(end, 0).unwrap();
        let runs = bytes.chunk_by(|a, b| a == b);
        let runs: Vec<_> = runs.map(|run| (run[0], run.len())).collect();
        let block = BLOCK_BYTES;
        let expected = [
            (1, block),
            (2, 2 * block - 1),
            (3, 2 * block),
            (0, 1),
            (4, 2 * block),
        ];
        assert_eq!(runs, expected);
    }

    #[test]
    fn a_file_system_that_wants_it_otherwise_is_written_as_usual() {
        let folder = tempfile::tempdir().unwrap();
        // Takes no such number, and says so as a file system does whose blocks are larger.
        let stubborn = Path::new("/proc/self/oom_score_adj");
        let stubborn = OpenOptions::new().write(true).open(stubborn).unwrap();
        let path = folder.path().join("file");
        let file = OpenOptions::new()
            .create_new(true)
            .read(true)
            .write(true)
            .open(path);
        let file = RealFile {
            file: file.unwrap(),
            direct: Some(Direct::new(stubborn)),
        };
        for byte in [1, 2] {
            file.pwrite(&blocks(byte), 0).unwrap();
            assert_eq!(file.read(1 << 20, 0).unwrap(), *blocks(byte));
        }
        let direct = file.direct.unwrap();
        assert!(
            !direct.works.load(Ordering::Relaxed),
            "it is not asked again"
        );
    }

    #[test]
    fn a_length_there_is_no_memory_for_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        for file in files(folder.path()) {
            let error = file.read(usize::MAX, 0).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
        }
    }
}

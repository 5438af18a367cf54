//! Reading log files in large pieces, and saying how far it has come while that takes long.
//! Knows nothing of what the bytes mean.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::info;

use super::StoreError;
use super::disk::File;
use super::logdir::LogFile;

/// So much is read at once; more where a group is larger.
const WINDOW_BYTES: usize = 4 << 20;
/// A buffer larger than this is given back as soon as it is not needed.
const WINDOW_KEPT_BYTES: usize = 16 << 20;
/// How often a long replay says how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// A stretch of one file in memory, so that groups do not cost a read each.
pub(super) struct Window {
    /// The file, by its number.
    number: Option<u64>,
    /// What is in memory: `filled` bytes from `at` on.
    at: u64,
    buffer: Vec<u8>,
    filled: usize,
    pub(super) bytes_read: u64,
}

impl Window {
    pub(super) fn new() -> Window {
        Window {
            number: None,
            at: 0,
            buffer: Vec::new(),
            filled: 0,
            bytes_read: 0,
        }
    }

    /// `length` bytes of the file at `at`; fewer where the file ends.
    pub(super) fn slice(
        &mut self,
        file: &LogFile,
        at: u64,
        length: usize,
    ) -> Result<&[u8], StoreError> {
        if self.number != Some(file.number) {
            (self.number, self.at, self.filled) = (Some(file.number), at, 0);
        }
        if at < self.at || at + length as u64 > self.at + self.filled as u64 {
            self.move_to(&file.file, at, length)
                .map_err(StoreError::io("read", &file.path))?;
        }
        let start = (at - self.at) as usize;
        let end = (start + length).min(self.filled);
        Ok(&self.buffer[start.min(end)..end])
    }

    /// Moves the window so that it begins at `at`. What it holds already is not read again.
    fn move_to(&mut self, file: &Arc<dyn File>, at: u64, length: usize) -> io::Result<()> {
        let end = self.at + self.filled as u64;
        let kept = if (self.at..end).contains(&at) {
            let start = (at - self.at) as usize;
            self.buffer.copy_within(start..self.filled, 0);
            self.filled - start
        } else {
            0
        };
        // An error below leaves nothing in the window that is not from the file.
        (self.at, self.filled) = (at, kept);
        let wanted = length.max(WINDOW_BYTES);
        if self.buffer.len() < wanted || self.buffer.len() > wanted.max(WINDOW_KEPT_BYTES) {
            let mut buffer = vec![0; wanted];
            buffer[..kept].copy_from_slice(&self.buffer[..kept]);
            self.buffer = buffer;
        }
        let read = file.pread(&mut self.buffer[kept..wanted], at + kept as u64)?;
        self.filled = kept + read;
        self.bytes_read += read as u64;
        Ok(())
    }
}

/// Says about once a second how much of the log was read.
pub(super) struct Progress {
    total: u64,
    said_at: Instant,
}

impl Progress {
    pub(super) fn new(files: &[LogFile], now: Instant) -> Progress {
        let total = files.iter().map(|file| file.bytes).sum();
        let said_at = now;
        Progress { total, said_at }
    }

    /// Tells the operator, if it is time to; whether it was.
    pub(super) fn tell(&mut self, read: u64, now: Instant) -> bool {
        if now.duration_since(self.said_at) < PROGRESS_EVERY {
            return false;
        }
        self.said_at = now;
        let (read_mib, total_mib) = (read >> 20, self.total >> 20);
        info!(read_mib, total_mib, "reading the log");
        true
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::store::disk::Disk;
    use crate::store::sim::SimDisk;

    /// Every byte of the file tells where it is.
    fn file(disk: &SimDisk, bytes: usize) -> LogFile {
        let path = Path::new("/sim/file");
        disk.create_dir(Path::new("/sim")).unwrap();
        let contents: Vec<u8> = (0..bytes).map(|at| (at / 7) as u8).collect();
        let file = disk.create(path).unwrap();
        file.pwrite(&contents, 0).unwrap();
        LogFile {
            number: 1,
            path: path.to_path_buf(),
            file,
            bytes: bytes as u64,
            header: None,
            damaged: false,
            lost_front: false,
        }
    }

    #[test]
    fn every_slice_is_what_the_file_holds_there() {
        let disk = SimDisk::new();
        let file = file(&disk, 2 * WINDOW_BYTES + 1000);
        let contents = disk.contents(&file.path);
        let mut window = Window::new();
        let end = contents.len();
        for (at, length) in [
            (0, 64),
            (WINDOW_BYTES - 10, 64),
            (WINDOW_BYTES - 10, WINDOW_BYTES),
            (100, WINDOW_BYTES + 1),
            (end - 10, 64),
            (end, 64),
            (end + 5000, 64),
            (0, 4),
        ] {
            let slice = window.slice(&file, at as u64, length).unwrap();
            let expected = &contents[at.min(end)..(at + length).min(end)];
            assert!(slice == expected, "{at} {length}");
        }
    }

    #[test]
    fn reading_on_reads_no_byte_twice() {
        let disk = SimDisk::new();
        let bytes = 3 * WINDOW_BYTES;
        let file = file(&disk, bytes);
        let mut window = Window::new();
        for at in (0..bytes).step_by(100_000) {
            let length = 100_000.min(bytes - at);
            assert_eq!(
                window.slice(&file, at as u64, length).unwrap().len(),
                length
            );
        }
        assert_eq!(window.bytes_read, bytes as u64);
        assert_eq!(disk.bytes_read(), bytes as u64);
    }

    #[test]
    fn the_buffer_of_a_huge_slice_is_given_back() {
        let disk = SimDisk::new();
        let file = file(&disk, 2 * WINDOW_KEPT_BYTES);
        let mut window = Window::new();
        window.slice(&file, 0, WINDOW_KEPT_BYTES + 1).unwrap();
        assert_eq!(window.buffer.len(), WINDOW_KEPT_BYTES + 1);
        window
            .slice(&file, WINDOW_KEPT_BYTES as u64 + 1, 64)
            .unwrap();
        assert_eq!(window.buffer.len(), WINDOW_BYTES);
    }

    #[test]
    fn progress_is_told_once_a_second() {
        let start = Instant::now();
        let mut progress = Progress::new(&[], start);
        let told: Vec<_> = (0..=25)
            .filter(|tenth| progress.tell(0, start + Duration::from_millis(100 * tenth)))
            .collect();
        assert_eq!(told, [10, 20]);
    }
}

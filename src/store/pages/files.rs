//! The segment files themselves: their names, their header, making and removing them, and a
//! bounded number of them held open. Knows nothing of pages.
//!
//! ```text
//! segment file
//!    0  128  file header; its fields:
//!   48    8    segment number, as in the name
//!  128       zero
//! 4096       pages, one behind the other; holes where they are not needed any more
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::store::StoreError;
use crate::store::disk::{Disk, File};
use crate::store::layout::{
    Cursor, HEADER_BYTES, Header, Identity, Magic, read_header, write_header,
};

/// Segment files held open at most, those being written or synced not counted.
const OPEN_FILES_MAX: usize = 128;
/// Set in the number of a segment that does not outlive the process.
const TRANSIENT: u64 = 1 << 63;

const SUFFIX: &str = ".seg";
const TRANSIENT_PREFIX: &str = "transient-";
const DIGITS: usize = 20;

/// What becomes of a segment's pages when the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeping {
    /// They are there at the next start.
    Durable,
    /// They are gone.
    Transient,
}

impl Keeping {
    pub(super) fn of(segment: u64) -> Keeping {
        if segment & TRANSIENT == 0 {
            Keeping::Durable
        } else {
            Keeping::Transient
        }
    }

    /// The number of the first segment of this kind.
    pub(super) fn first(self) -> u64 {
        match self {
            Keeping::Durable => 1,
            Keeping::Transient => TRANSIENT | 1,
        }
    }
}

fn file_name(segment: u64) -> String {
    match Keeping::of(segment) {
        Keeping::Durable => format!("{segment:0DIGITS$}{SUFFIX}"),
        Keeping::Transient => format!("{TRANSIENT_PREFIX}{}{SUFFIX}", segment & !TRANSIENT),
    }
}

/// The number of the segment whose file has that name; `None` if no segment's has.
pub(super) fn parse_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let number = match digits.strip_prefix(TRANSIENT_PREFIX) {
        Some(count) => count.parse::<u64>().ok()? | TRANSIENT,
        None => digits.parse().ok()?,
    };
    // A name that another number would be written as is not ours.
    (file_name(number) == name).then_some(number)
}

/// What a segment's header turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SegmentHeader {
    Whole,
    /// It was never written, or its checksum does not hold.
    Broken,
}

/// The segment files of a data directory.
pub(super) struct Files {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    pub(super) identity: Identity,
    /// Open files, the one used last at the end.
    open: Mutex<Vec<(u64, Arc<dyn File>)>>,
}

impl Files {
    pub(super) fn new(disk: Arc<dyn Disk>, data_dir: &Path, identity: Identity) -> Files {
        Files {
            disk,
            dir: data_dir.join("pages"),
            identity,
            open: Mutex::default(),
        }
    }

    pub(super) fn path(&self, segment: u64) -> PathBuf {
        self.dir.join(file_name(segment))
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Makes the directory if it is not there, and its name durable: a process that was killed may
    /// have made it and no more.
    pub(super) fn create_dir(&self) -> Result<(), StoreError> {
        self.disk
            .create_dir(&self.dir)
            .map_err(StoreError::io("create", &self.dir))?;
        let parent = self.dir.parent().unwrap_or(Path::new("."));
        self.disk
            .sync_dir(parent)
            .map_err(StoreError::io("sync", parent))
    }

    /// The names in the directory; none if it is not there.
    pub(super) fn names(&self) -> Result<Vec<String>, StoreError> {
        match self.disk.list(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            listed => listed.map_err(StoreError::io("list", &self.dir)),
        }
    }

    /// Makes the names in the directory durable.
    pub(super) fn sync_names(&self) -> Result<(), StoreError> {
        self.disk
            .sync_dir(&self.dir)
            .map_err(StoreError::io("sync", &self.dir))
    }

    /// Makes the file of a new segment, with its header. If that fails there may be a file that is
    /// of no use.
    pub(super) fn create(&self, segment: u64) -> Result<Arc<dyn File>, StoreError> {
        let path = self.path(segment);
        let file = self
            .disk
            .create(&path)
            .map_err(StoreError::io("create", &path))?;
        let header = write_header(Magic::Segment, &self.identity, &segment.to_le_bytes());
        file.pwrite(&header, 0)
            .map_err(StoreError::io("write", &path))?;
        self.hold(&mut self.open.lock(), segment, Arc::clone(&file));
        Ok(file)
    }

    /// The open file of a segment.
    pub(super) fn get(&self, segment: u64) -> Result<Arc<dyn File>, StoreError> {
        // Opened under the lock, so that a file that is being removed does not stay open here.
        let mut open = self.open.lock();
        let held = open.iter().rposition(|(number, _)| *number == segment);
        let file = match held {
            Some(index) => open.remove(index).1,
            None => self.open_file(segment)?,
        };
        self.hold(&mut open, segment, Arc::clone(&file));
        Ok(file)
    }

    fn open_file(&self, segment: u64) -> Result<Arc<dyn File>, StoreError> {
        let path = self.path(segment);
        self.disk.open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => StoreError::MissingFile { path },
            _ => StoreError::io("open", &path)(error),
        })
    }

    fn hold(&self, open: &mut Vec<(u64, Arc<dyn File>)>, segment: u64, file: Arc<dyn File>) {
        if open.len() >= OPEN_FILES_MAX {
            open.remove(0);
        }
        open.push((segment, file));
    }

    /// Removes a segment's file; that it is not there any more is no error.
    pub(super) fn remove(&self, segment: u64) -> Result<(), StoreError> {
        let path = self.path(segment);
        let removed = self.disk.remove(&path);
        self.open.lock().retain(|(number, _)| *number != segment);
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StoreError::io("remove", &path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Reads the header of a segment's file. One of another kind, version, node or number is an
    /// error.
    pub(super) fn check_header(&self, segment: u64) -> Result<SegmentHeader, StoreError> {
        let path = self.path(segment);
        let mut bytes = [0; HEADER_BYTES];
        let read = self
            .get(segment)?
            .pread(&mut bytes, 0)
            .map_err(StoreError::io("read", &path))?;
        match read_header(&path, Magic::Segment, &bytes[..read])? {
            Header::Blank | Header::Damaged => Ok(SegmentHeader::Broken),
            Header::Whole { identity, .. } if identity != self.identity => {
                Err(StoreError::WrongNode { path })
            }
            Header::Whole { fields, .. } => match Cursor::new(fields).u64() {
                Some(number) if number != segment => Err(StoreError::Misplaced { path, number }),
                Some(_) => Ok(SegmentHeader::Whole),
                None => Ok(SegmentHeader::Broken),
            },
        }
    }
}

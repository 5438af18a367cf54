//! Segment files for those who only look: which there are, what is wrong with their headers, and
//! what a page holds. Keeps no account of pages and changes nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::store::StoreError;
use crate::store::disk::Disk;
use crate::store::layout::Identity;

use super::files::{Files, Keeping, SegmentHeader, parse_name};
use super::page::{PageAt, PageReader};

/// The segment files of a data directory.
pub struct SegmentFiles {
    files: Files,
}

/// One of them.
#[derive(Debug)]
pub struct SegmentFile {
    /// Its number.
    pub segment: u64,
    /// The file.
    pub path: PathBuf,
    /// Whether the next start removes it, whatever it holds.
    pub is_transient: bool,
    /// Its length.
    pub bytes: u64,
    /// What is wrong with its header.
    pub fault: Option<StoreError>,
}

/// What lies in the directory of the segments.
#[derive(Debug, Default)]
pub struct SegmentListing {
    /// By number; transient ones last.
    pub segments: Vec<SegmentFile>,
    /// Files that are none.
    pub others: Vec<PathBuf>,
}

impl SegmentFiles {
    /// Those under the data directory `dir`.
    pub fn new(disk: Arc<dyn Disk>, dir: &Path, identity: Identity) -> SegmentFiles {
        SegmentFiles {
            files: Files::new(disk, dir, identity),
        }
    }

    /// Looks at every file. The error is that of a file or directory that cannot be read.
    pub fn list(&self) -> Result<SegmentListing, StoreError> {
        let mut listing = SegmentListing::default();
        for name in self.files.names()? {
            match parse_name(&name) {
                Some(segment) => listing.segments.push(self.look_at(segment)?),
                None => listing.others.push(self.files.dir().join(name)),
            }
        }
        listing.segments.sort_unstable_by_key(|file| file.segment);
        listing.others.sort_unstable();
        Ok(listing)
    }

    fn look_at(&self, segment: u64) -> Result<SegmentFile, StoreError> {
        let path = self.files.path(segment);
        let file = self.files.get(segment)?;
        let bytes = file.size().map_err(StoreError::io("measure", &path))?;
        let is_transient = Keeping::of(segment) == Keeping::Transient;
        let fault = match self.files.check_header(segment) {
            _ if is_transient => None,
            Ok(SegmentHeader::Whole) => None,
            Ok(SegmentHeader::Broken) => Some(StoreError::Corrupt {
                path: path.clone(),
                offset: 0,
                what: "the header's checksum does not hold",
            }),
            Err(error) if error.is_damage() => Some(error),
            Err(error) => return Err(error),
        };
        Ok(SegmentFile {
            segment,
            path,
            is_transient,
            bytes,
            fault,
        })
    }

    /// Where a segment's file lies, or should.
    pub fn path(&self, segment: u64) -> PathBuf {
        self.files.path(segment)
    }

    /// What a page holds, checked.
    pub fn read(&self, at: &PageAt) -> Result<Vec<u8>, StoreError> {
        let path = self.files.path(at.segment);
        let reader = PageReader {
            identity: &self.files.identity,
            file: &*self.files.get(at.segment)?,
            path: &path,
        };
        reader.read(at)
    }
}

//! A copy of the catalogue, for sled writes into what it opens. The copy lies in the system's
//! folder for temporary files, and goes when nobody needs it any more.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::store::catalogue::{
    Catalogue, CatalogueError, CatalogueSource, Entries, Mark, SledSource, Visit,
};
use crate::store::disk::RealDisk;
use crate::store::layout::Identity;
use crate::store::{Lsn, StoreError};

const CACHE_BYTES: u64 = 16 << 20;

/// The catalogue of a data directory, as a source for a start that changes nothing.
pub(super) struct CopiedCatalogue {
    /// Where the catalogue itself lies.
    original: PathBuf,
    /// None if there is no catalogue, or it was found to be of no use.
    copy: Mutex<Option<Scratch>>,
    /// How far it held the map when it was opened last.
    complete: Mutex<Option<Lsn>>,
}

impl CopiedCatalogue {
    /// Copies the catalogue of `dir`, if there is one.
    pub(super) fn new(dir: &Path) -> Result<CopiedCatalogue, StoreError> {
        let original = dir.join(NAME);
        let copy = match fs::symlink_metadata(&original) {
            Ok(_) => Some(Scratch::with(&original)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(StoreError::io("open", &original)(error)),
        };
        Ok(CopiedCatalogue {
            original,
            copy: Mutex::new(copy),
            complete: Mutex::default(),
        })
    }

    /// How far the catalogue holds the map, once it was opened and found to be of use.
    pub(super) fn complete(&self) -> Option<Lsn> {
        *self.complete.lock()
    }
}

const NAME: &str = "catalogue";

impl CatalogueSource for CopiedCatalogue {
    fn exists(&self) -> bool {
        self.copy.lock().is_some()
    }

    fn open(&self, identity: &Identity) -> Result<Box<dyn Catalogue>, CatalogueError> {
        let Some(dir) = self.copy.lock().as_ref().map(|copy| copy.dir.clone()) else {
            return Ok(Box::new(NoCatalogue));
        };
        let catalogue = SledSource::new(Arc::new(RealDisk), &dir, CACHE_BYTES).open(identity)?;
        let complete = catalogue.mark().map_or(Lsn(0), |mark| mark.complete);
        *self.complete.lock() = Some(complete);
        Ok(catalogue)
    }

    /// From now on it is as if there were none.
    fn set_aside(&self) -> io::Result<PathBuf> {
        *self.copy.lock() = None;
        *self.complete.lock() = None;
        Ok(self.original.clone())
    }

    fn path(&self) -> PathBuf {
        self.original.clone()
    }
}

/// The catalogue of a directory that has none: empty, and never written.
struct NoCatalogue;

impl NoCatalogue {
    fn refused() -> Result<(), CatalogueError> {
        let error = io::ErrorKind::ReadOnlyFilesystem.into();
        Err(CatalogueError::Refused(error))
    }
}

impl Catalogue for NoCatalogue {
    fn mark(&self) -> Option<Mark> {
        None
    }

    fn scan(&self, _visit: Visit<'_>) -> Result<(), CatalogueError> {
        Ok(())
    }

    fn apply(&mut self, _: &Entries, _: Lsn, _: Lsn) -> Result<(), CatalogueError> {
        NoCatalogue::refused()
    }

    fn flush(&mut self) -> Result<(), CatalogueError> {
        NoCatalogue::refused()
    }

    fn sync(&mut self) -> Result<(), CatalogueError> {
        NoCatalogue::refused()
    }
}

/// A folder of our own; removed with all that is in it.
struct Scratch {
    dir: PathBuf,
}

impl Scratch {
    fn with(original: &Path) -> Result<Scratch, StoreError> {
        let mut name = [0; 8];
        let temporary = std::env::temp_dir();
        let failed = |error| StoreError::io("copy the catalogue to", &temporary)(error);
        getrandom::fill(&mut name).map_err(|error| failed(io::Error::other(error.to_string())))?;
        let name = u64::from_le_bytes(name);
        let dir = temporary.join(format!("leveret-inspect-{name:016x}"));
        DirBuilder::new().mode(0o700).create(&dir).map_err(failed)?;
        let scratch = Scratch { dir };
        copy_tree(original, &scratch.dir.join(NAME)).map_err(failed)?;
        Ok(scratch)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            tracing::warn!(dir = %self.dir.display(), %error, "a copy of the catalogue is left");
        }
    }
}

/// Copies regular files and folders; sled makes nothing else.
fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let target = to.join(entry.file_name());
        if kind.is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

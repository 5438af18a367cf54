//! Pages: byte strings of any size in segment files, written once, read back with their checksum
//! checked, and freed. Append only; what is freed is given back as holes or whole files. Knows
//! neither messages nor queues, nor which pages are in use after a restart: its owner does.
//!
//! ```text
//! write ─► place (ledger) ─► pwrite ─► sync ─► the owner may name the page durably
//! free  ─► ledger ─► hole punched, or the file removed
//! ```
//!
//! A page is freed only when nothing durable names it any more. Segments of an earlier run are never
//! written to again, nor is a block that was synced. Layout: docs/STORAGE.md, "Segments".

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::StoreError;
use super::disk::{Disk, File};
use super::group::BLOCK_BYTES;
use super::layout::Identity;
use crate::defects::{Defect, is_planted};

mod copy;
mod files;
mod ledger;
mod listing;
mod page;
mod rounds;
mod segment;
mod status;
mod survey;

use self::files::{Files, Keeping};
use self::ledger::{Dirty, Ledger, NotLive, Place, Punching, Relief};
use self::page::{PageReader, framed_bytes};
use self::rounds::{RoundError, Rounds};
use self::segment::Blocks;
use self::status::Counters;
use self::survey::Survey;

pub use self::copy::PagesCopied;
pub use self::listing::{SegmentFile, SegmentFiles, SegmentListing};
pub use self::page::{PAGE_MAX_BYTES, PageAt};
pub use self::status::{PagesStatus, SegmentStatus, Usage};
pub use self::survey::MissingSegment;

/// The size of a segment file where nothing else is asked for: large enough that files are few, small
/// enough that one that still holds a live page soon becomes free.
pub const SEGMENT_BYTES: u64 = 64 << 20;
/// Smaller segments would be headers and holes.
const SEGMENT_MIN_BYTES: u64 = 64 << 10;

/// The pages of a data directory. Shared by all threads.
pub struct Pages {
    files: Files,
    ledger: Mutex<Ledger>,
    /// Held while a new segment is begun, so that one is and not several.
    beginning: Mutex<()>,
    /// Read while a durable page is being written, so that a sync can wait until none is.
    writing: RwLock<()>,
    rounds: Rounds,
    counters: Counters,
}

/// Opened pages, and what of them is lost.
pub struct OpenedPages {
    /// The pages.
    pub pages: Pages,
    /// Segments with pages in use that are not there. The rest can be served.
    pub missing: Vec<MissingSegment>,
    /// Segments with pages in use whose headers are damaged. Their pages can be served.
    pub broken: Vec<PathBuf>,
}

impl Pages {
    /// Opens the segments under the data directory `dir`, of which the pages `in_use` are needed.
    /// Files without any are removed; new pages go into new files of `segment_bytes`.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        identity: Identity,
        segment_bytes: u64,
        in_use: impl IntoIterator<Item = PageAt>,
    ) -> Result<OpenedPages, StoreError> {
        let opened = Pages::inspect(disk, dir, identity, segment_bytes, in_use)?;
        opened.pages.files.create_dir()?;
        opened.pages.remove_leftovers();
        Ok(opened)
    }

    /// As [`open`](Self::open), and changes nothing on disk: for reading, checking and listing. What
    /// nobody needs is removed by [`tidy`](Self::tidy) only.
    pub fn inspect(
        disk: Arc<dyn Disk>,
        dir: &Path,
        identity: Identity,
        segment_bytes: u64,
        in_use: impl IntoIterator<Item = PageAt>,
    ) -> Result<OpenedPages, StoreError> {
        if segment_bytes < SEGMENT_MIN_BYTES || !segment_bytes.is_multiple_of(BLOCK_BYTES as u64) {
            return Err(StoreError::InvalidOption {
                name: "segment_bytes",
                reason: "must be a multiple of 4096 and at least 65536",
            });
        }
        let files = Files::new(disk, dir, identity);
        let mut survey = Survey::read(&files, in_use.into_iter())?;
        let missing = std::mem::take(&mut survey.missing);
        let broken = std::mem::take(&mut survey.broken);
        let pages = Pages {
            files,
            ledger: Mutex::new(Ledger::new(segment_bytes, survey)),
            beginning: Mutex::default(),
            writing: RwLock::default(),
            rounds: Rounds::default(),
            counters: Counters::default(),
        };
        Ok(OpenedPages {
            pages,
            missing,
            broken,
        })
    }

    /// Writes a page that holds `parts`, one behind the other. It is durable after the next
    /// [`sync`](Self::sync). After an error there is no page, and the same can be tried again.
    pub fn write(&self, parts: &[&[u8]]) -> Result<PageAt, StoreError> {
        if let Some(failure) = self.rounds.failed() {
            return Err(StoreError::SegmentsFailed(failure));
        }
        self.append(Keeping::Durable, parts)
    }

    /// Writes a page that is gone when the process ends.
    pub fn write_transient(&self, parts: &[&[u8]]) -> Result<PageAt, StoreError> {
        self.append(Keeping::Transient, parts)
    }

    fn append(&self, keeping: Keeping, parts: &[&[u8]]) -> Result<PageAt, StoreError> {
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        let length = u32::try_from(bytes)
            .ok()
            .filter(|_| bytes <= PAGE_MAX_BYTES);
        let Some(length) = length else {
            let limit = PAGE_MAX_BYTES;
            return Err(StoreError::PageTooLarge { bytes, limit });
        };
        let framed = framed_bytes(length);
        if self.ledger.lock().is_oversize(framed) {
            let (segment, file) = self.create(keeping)?;
            let mut ledger = self.ledger.lock();
            let place = ledger.begin_oversize(keeping, segment, (framed, file));
            drop(ledger);
            return self.put(&place, length, parts);
        }
        let _writing = match keeping {
            Keeping::Durable => Some(self.writing.read()),
            Keeping::Transient => None,
        };
        let place = self.place(keeping, framed)?;
        self.put(&place, length, parts)
    }

    /// A place in the current segment, or in a new one.
    fn place(&self, keeping: Keeping, bytes: u64) -> Result<Place, StoreError> {
        loop {
            if let Some(place) = self.ledger.lock().place(keeping, bytes) {
                return Ok(place);
            }
            let _beginning = self.beginning.lock();
            // Whoever had the lock before may have begun one.
            if let Some(place) = self.ledger.lock().place(keeping, bytes) {
                return Ok(place);
            }
            let (segment, file) = self.create(keeping)?;
            let relief = self.ledger.lock().begin(keeping, segment, file);
            self.relieve(relief);
        }
    }

    fn create(&self, keeping: Keeping) -> Result<(u64, Arc<dyn File>), StoreError> {
        let segment = self.ledger.lock().draw_number(keeping);
        let created = self.files.create(segment);
        if created.is_err() {
            self.remove(segment);
        }
        Ok((segment, created?))
    }

    fn put(&self, place: &Place, length: u32, parts: &[&[u8]]) -> Result<PageAt, StoreError> {
        let (segment, offset) = (place.segment, place.offset);
        let (at, header) = page::seal(&self.files.identity, (segment, offset), length, parts);
        let mut framed = Vec::with_capacity(1 + parts.len());
        framed.push(&header[..]);
        framed.extend_from_slice(parts);
        if let Err(error) = place.file.pwrite_parts(&framed, offset) {
            let relief = self.ledger.lock().cancel(place);
            self.relieve(relief);
            return Err(StoreError::io("write", &self.files.path(segment))(error));
        }
        self.ledger.lock().written(place);
        self.counters.written(at.framed_bytes());
        Ok(at)
    }

    /// Makes every page durable that was written before this call. Callers at the same time share
    /// the work. Once it has failed for a reason that may have lost pages, it always fails.
    pub fn sync(&self) -> Result<(), StoreError> {
        self.rounds.join(|| self.sync_round())
    }

    fn sync_round(&self) -> Result<(), RoundError> {
        let Dirty { files, names } = {
            let _quiet = self.writing.write();
            self.ledger.lock().take_dirty()
        };
        for (segment, file) in &files {
            file.sync_data().map_err(|error| {
                RoundError::Final(StoreError::io("sync", &self.files.path(*segment))(error))
            })?;
        }
        if names && !is_planted(Defect::SegmentNameUnsynced) {
            self.files
                .sync_names()
                .map_err(|error| self.names_unsynced(error))?;
        }
        self.counters.synced();
        Ok(())
    }

    fn names_unsynced(&self, error: StoreError) -> RoundError {
        if !error.is_out_of_descriptors() {
            return RoundError::Final(error);
        }
        // The directory was not even opened, so nothing of it was dropped.
        self.ledger.lock().put_names_back();
        RoundError::Passing(error)
    }

    /// What a page holds. The page must be in use until this returns.
    pub fn read(&self, at: PageAt) -> Result<Vec<u8>, StoreError> {
        let bytes = self.with_reader(&at, |reader| reader.read(&at))?;
        self.counters.read(at.framed_bytes());
        Ok(bytes)
    }

    /// Where a segment's file lies, or should.
    pub fn path(&self, segment: u64) -> PathBuf {
        self.files.path(segment)
    }

    /// Checks a page without handing it out.
    pub fn verify(&self, at: PageAt) -> Result<(), StoreError> {
        self.with_reader(&at, |reader| reader.verify(&at))
    }

    fn with_reader<T>(
        &self,
        at: &PageAt,
        read: impl FnOnce(&PageReader<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let path = self.files.path(at.segment);
        let known = {
            let ledger = self.ledger.lock();
            let account = ledger.segments.get(&at.segment);
            account.map(|account| account.has(at.offset, at.framed_bytes()))
        };
        match known {
            None => Err(StoreError::MissingFile { path }),
            Some(false) => Err(StoreError::Corrupt {
                path,
                offset: at.offset,
                what: "no page in use is there",
            }),
            Some(true) => read(&PageReader {
                identity: &self.files.identity,
                file: &*self.files.get(at.segment)?,
                path: &path,
            }),
        }
    }

    /// The page is not needed any more, and nothing durable names it. Its space is given back, now or
    /// with its neighbours', for which this may wait for the file system. A page of a missing segment
    /// may be freed as well.
    pub fn free(&self, at: PageAt) {
        let freed = self.ledger.lock().free(&at);
        match freed {
            Ok(relief) => self.relieve(relief),
            Err(NotLive) => {
                let path = self.files.path(at.segment);
                tracing::error!(path = %path.display(), at.offset, "freed a page that is not in use");
            }
        }
    }

    /// Gives back what can be: free blocks that were too few to be worth it, what could not be given
    /// back before, and gaps in segments of earlier runs.
    pub fn tidy(&self) {
        self.remove_leftovers();
        self.ledger.lock().resume_punching();
        let mut from = 0;
        loop {
            let owed = self.ledger.lock().take_owed_from(from);
            let Some((segment, blocks)) = owed else {
                return;
            };
            self.punch(segment, &blocks);
            from = segment.saturating_add(1);
        }
    }

    fn remove_leftovers(&self) {
        let leftover = std::mem::take(&mut self.ledger.lock().leftover);
        for segment in leftover {
            tracing::info!(path = %self.files.path(segment).display(), "segment without pages");
            self.remove(segment);
        }
    }

    fn relieve(&self, relief: Relief) {
        if let Some(segment) = relief.remove {
            self.remove(segment);
        }
        if let Some((segment, blocks)) = relief.punch {
            self.punch(segment, &blocks);
        }
    }

    fn remove(&self, segment: u64) {
        if let Err(error) = self.files.remove(segment) {
            tracing::warn!(%error, "a segment without pages stays for now");
            self.ledger.lock().leftover.push(segment);
        }
    }

    /// Gives `blocks` of a segment back; what fails stays owed.
    fn punch(&self, segment: u64, blocks: &Blocks) {
        match self.try_punch(segment, blocks) {
            Ok(measured) => {
                self.counters.punched(blocks.bytes());
                self.ledger.lock().punched(segment, blocks, measured);
            }
            Err(error) if error.is_unsupported() => {
                tracing::warn!(%error, "only whole segment files give space back");
                let punching = Punching::Impossible;
                self.ledger.lock().unpunched(segment, blocks, punching);
            }
            // The segment went while its blocks were to be punched.
            Err(StoreError::MissingFile { .. }) => {}
            Err(error) => {
                tracing::warn!(%error, "space is given back later");
                let punching = Punching::Paused;
                self.ledger.lock().unpunched(segment, blocks, punching);
            }
        }
    }

    /// Returns what the file takes now, if the system says so.
    fn try_punch(&self, segment: u64, blocks: &Blocks) -> Result<Option<u64>, StoreError> {
        let file = self.files.get(segment)?;
        for (start, end) in blocks.iter() {
            file.punch_hole(start, end - start).map_err(StoreError::io(
                "punch a hole into",
                &self.files.path(segment),
            ))?;
        }
        Ok(file.allocated().ok())
    }
}

#[cfg(test)]
mod tests;

//! The accounts of all segments: where the next page goes, what a freed page gives back, and what
//! the next sync has to make durable. Pure bookkeeping behind one short lock; it does no I/O.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::store::disk::File;

use super::files::Keeping;
use super::page::PageAt;
use super::segment::{Blocks, FIRST_PAGE_AT, Segment};
use super::survey::Survey;

/// A segment's free blocks are given back as soon as they are this part of a full one.
const BATCH_PART: u64 = 64;

/// The place of a page that is being written.
pub(super) struct Place {
    pub(super) segment: u64,
    pub(super) offset: u64,
    pub(super) file: Arc<dyn File>,
}

/// What has to be done to the files after a change of the accounts.
#[derive(Default)]
pub(super) struct Relief {
    /// Nobody needs the segment any more.
    pub(super) remove: Option<u64>,
    /// Blocks of a segment that nobody needs any more.
    pub(super) punch: Option<(u64, Blocks)>,
}

/// The page is not one of its segment's.
#[derive(Debug)]
pub(super) struct NotLive;

/// What a sync has to make durable.
#[derive(Default)]
pub(super) struct Dirty {
    pub(super) files: BTreeMap<u64, Arc<dyn File>>,
    /// A file got a name.
    pub(super) names: bool,
}

/// The segment that pages of one kind are added to.
#[derive(Clone)]
struct Current {
    segment: u64,
    file: Arc<dyn File>,
}

/// What is known of one kind of segments.
struct Kind {
    current: Option<Current>,
    /// The number of the last segment of this kind.
    last: u64,
}

/// Whether free blocks are given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Punching {
    On,
    /// It failed, and is tried again with the next [`tidy`](super::Pages::tidy).
    Paused,
    /// The file system has no holes.
    Impossible,
}

/// The accounts.
pub(super) struct Ledger {
    segment_bytes: u64,
    pub(super) segments: BTreeMap<u64, Segment>,
    durable: Kind,
    transient: Kind,
    dirty: Dirty,
    pub(super) punching: Punching,
    /// Files that are of no use and could not be removed yet.
    pub(super) leftover: Vec<u64>,
}

impl Ledger {
    /// Begins with what was found; new segments get numbers above those.
    pub(super) fn new(segment_bytes: u64, found: Survey) -> Ledger {
        let kind = |last: u64| Kind {
            current: None,
            last,
        };
        Ledger {
            segment_bytes,
            segments: found.segments,
            durable: kind(found.last),
            transient: kind(found.last_transient.max(Keeping::Transient.first() - 1)),
            dirty: Dirty::default(),
            punching: Punching::On,
            leftover: found.leftover,
        }
    }

    fn kind(&mut self, keeping: Keeping) -> &mut Kind {
        match keeping {
            Keeping::Durable => &mut self.durable,
            Keeping::Transient => &mut self.transient,
        }
    }

    /// Whether a page that takes `bytes` needs a segment of its own.
    pub(super) fn is_oversize(&self, bytes: u64) -> bool {
        FIRST_PAGE_AT + bytes > self.segment_bytes
    }

    /// A number no segment had.
    pub(super) fn draw_number(&mut self, keeping: Keeping) -> u64 {
        let kind = self.kind(keeping);
        kind.last += 1;
        kind.last
    }

    /// A place in the current segment; `None` if a new one must be begun.
    pub(super) fn place(&mut self, keeping: Keeping, bytes: u64) -> Option<Place> {
        let limit = self.segment_bytes;
        let Current { segment, file } = self.kind(keeping).current.clone()?;
        let offset = self.segments.get_mut(&segment)?.place(bytes, limit)?;
        Some(Place {
            segment,
            offset,
            file,
        })
    }

    /// Goes on in a new segment.
    pub(super) fn begin(&mut self, keeping: Keeping, segment: u64, file: Arc<dyn File>) -> Relief {
        self.enter(keeping, segment, Segment::begun());
        let before = self
            .kind(keeping)
            .current
            .replace(Current { segment, file });
        before.map_or_else(Relief::default, |before| self.seal(before.segment))
    }

    /// Adds a segment that holds one page alone.
    pub(super) fn begin_oversize(
        &mut self,
        keeping: Keeping,
        segment: u64,
        (bytes, file): (u64, Arc<dyn File>),
    ) -> Place {
        self.enter(keeping, segment, Segment::holding(bytes));
        Place {
            segment,
            offset: FIRST_PAGE_AT,
            file,
        }
    }

    fn enter(&mut self, keeping: Keeping, segment: u64, account: Segment) {
        self.segments.insert(segment, account);
        self.dirty.names |= keeping == Keeping::Durable;
    }

    fn seal(&mut self, segment: u64) -> Relief {
        if let Some(account) = self.segments.get_mut(&segment) {
            account.seal();
        }
        self.relief(segment)
    }

    /// The page at `place` is in the file.
    pub(super) fn written(&mut self, place: &Place) {
        if Keeping::of(place.segment) == Keeping::Durable {
            let file = || Arc::clone(&place.file);
            self.dirty.files.entry(place.segment).or_insert_with(file);
        }
    }

    /// The page at `place` could not be written.
    pub(super) fn cancel(&mut self, place: &Place) -> Relief {
        if let Some(account) = self.segments.get_mut(&place.segment) {
            account.cancel(place.offset);
        }
        self.relief(place.segment)
    }

    /// The page is not needed any more.
    pub(super) fn free(&mut self, at: &PageAt) -> Result<Relief, NotLive> {
        let Some(account) = self.segments.get_mut(&at.segment) else {
            return Ok(Relief::default());
        };
        if !account.has(at.offset, at.framed_bytes()) {
            return Err(NotLive);
        }
        account.free(at.offset);
        Ok(self.relief(at.segment))
    }

    /// What of `segment` can be given back now.
    fn relief(&mut self, segment: u64) -> Relief {
        let mut relief = Relief::default();
        let batch = self.segment_bytes / BATCH_PART;
        let Some(account) = self.segments.get_mut(&segment) else {
            return relief;
        };
        if account.is_over() {
            self.forget(segment);
            relief.remove = Some(segment);
        } else if account.owed_bytes() >= batch && self.punching == Punching::On {
            relief.punch = Some((segment, account.take_owed()));
        }
        relief
    }

    fn forget(&mut self, segment: u64) {
        self.segments.remove(&segment);
        self.dirty.files.remove(&segment);
    }

    /// Hands out the free blocks of the next segment from `from` on that has any.
    pub(super) fn take_owed_from(&mut self, from: u64) -> Option<(u64, Blocks)> {
        if self.punching != Punching::On {
            return None;
        }
        let mut segments = self.segments.range_mut(from..);
        let (segment, account) = segments.find(|(_, account)| account.owed_bytes() > 0)?;
        Some((*segment, account.take_owed()))
    }

    /// Hands out what has to be made durable. No durable page is being written in the current
    /// segment: the next one goes into a block of its own, so that what is durable is never
    /// written again.
    pub(super) fn take_dirty(&mut self) -> Dirty {
        let current = self.durable.current.as_ref();
        if let Some(current) =
            current.filter(|current| self.dirty.files.contains_key(&current.segment))
            && let Some(account) = self.segments.get_mut(&current.segment)
        {
            account.end_block();
        }
        std::mem::take(&mut self.dirty)
    }

    /// `blocks` of a segment were punched, and its file takes `measured` now if that is known.
    pub(super) fn punched(&mut self, segment: u64, blocks: &Blocks, measured: Option<u64>) {
        if let Some(account) = self.segments.get_mut(&segment) {
            account.punched(blocks.bytes(), measured);
        }
    }

    /// `blocks` of a segment could not be punched.
    pub(super) fn unpunched(&mut self, segment: u64, blocks: &Blocks, punching: Punching) {
        self.punching = punching;
        if let Some(account) = self.segments.get_mut(&segment) {
            account.put_back(blocks);
        }
    }

    /// What could not be punched for a reason that may pass is tried again.
    pub(super) fn resume_punching(&mut self) {
        if self.punching == Punching::Paused {
            self.punching = Punching::On;
        }
    }

    /// The names are still to be made durable.
    pub(super) fn put_names_back(&mut self) {
        self.dirty.names = true;
    }
}

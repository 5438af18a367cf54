//! Chunks on disk: written as pages, given up in memory, and read again.
//!
//! ```text
//!            begin_page            page_written             leave
//!   in memory ────────▶ being written ────────▶ with a page ──────▶ away
//!       ▲                                            ▲               │ want
//!       └───────── a record's head changes ──────────┘◀── arrive ────┘
//! ```
//!
//! A page is the chunk's block of bytes; places hold in both. What dies while a chunk is away is
//! kept as runs of ordinals. A durable queue's page has an entry in the map, which replaces the
//! log records of its messages: the log is needed from `first_lsn` on, the first record of a
//! message that stands in no page entry, and from `settled_from` on, the first settlement that a
//! page entry does not know of.

use rustc_hash::FxHashMap;

use crate::host::Lsn;
use crate::journal::{Block, PageEntry, RawChange, Runs};
use crate::message::{RecordRef, Records};
use crate::queue::handle::QueueId;
use crate::queue::tally::Tally;

use super::super::spare;
use super::{Chunk, Chunks, Place, Slot};

/// Where a page lies on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PageAt {
    /// The segment file's number.
    pub segment: u64,
    /// Where in the file.
    pub offset: u64,
    /// Bytes of the block.
    pub length: u32,
    /// CRC32C of the block.
    pub crc: u32,
}

/// Names one page being written or read; an answer to another job is too late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Job {
    /// The chunk.
    pub(in crate::queue) slot: u32,
    /// Unique in the queue.
    pub(in crate::queue) number: u32,
}

/// A chunk to be written.
#[derive(Debug)]
pub struct PageOut {
    /// To be named in the answer.
    pub job: Job,
    /// The block.
    pub bytes: Vec<u8>,
    /// Whether it must survive a restart: the answer waits for the sync.
    pub durable: bool,
}

/// A page to be read.
#[derive(Debug)]
pub struct PageIn {
    /// To be named in the answer.
    pub job: Job,
    /// Where it lies.
    pub at: PageAt,
}

/// A page that is not needed any more once the log is durable to the LSN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageFree {
    /// Where it lies.
    pub at: PageAt,
    /// The record that says so.
    pub lsn: Lsn,
}

/// LSNs that are not known before the end of the command.
const SOON: u64 = u64::MAX;

/// The page of a chunk.
#[derive(Debug)]
pub(super) struct Home {
    number: u64,
    at: PageAt,
    /// The level that all its messages share.
    level: Option<u8>,
    /// The map names it.
    has_entry: bool,
    /// Places in memory are places in the page.
    is_exact: bool,
    /// The first settlement that its entry lacks; 0 for none.
    settled_from: u64,
}

/// What is known of a chunk whose records are only on disk.
#[derive(Debug, Default)]
pub(super) struct Away {
    alive: Runs,
    /// Those of them that are not logged.
    unlogged: Runs,
    /// Those of them that are ready.
    ready: Tally,
    /// Messages that came back meanwhile, with their delivery counts.
    heads: FxHashMap<u64, u32>,
    /// Everything in it may have been delivered before the start.
    is_redelivered: bool,
    /// `ready` counts all that is alive, and its bytes are not known.
    is_estimated: bool,
    may_expire: bool,
    is_wanted: bool,
}

/// What the pages of a queue need beside its chunks.
#[derive(Debug, Default)]
pub(super) struct Paging {
    next_job: u32,
    next_page: u64,
    /// Chunks with logged records whose LSN comes at the end of the command.
    logging: Vec<Slot>,
    /// Chunks whose page entries lack a settlement of this command.
    settling: Vec<Slot>,
    wanted: Vec<Slot>,
    /// Logged records come whose place in the log may be before that of others.
    is_out_of_order: bool,
    /// For the log: page entries that come and go.
    changes: Vec<RawChange>,
    /// Pages that are not needed once those changes are durable.
    freed: Vec<PageAt>,
}

impl Paging {
    /// No chunk is left of those that are named here.
    pub(super) fn forget_slots(&mut self) {
        self.logging.clear();
        self.settling.clear();
        self.wanted.clear();
    }
}

/// A queue's messages as they were found at the start.
#[derive(Debug)]
pub(in crate::queue) struct Restored {
    pub(in crate::queue) entry: PageEntry,
    pub(in crate::queue) is_redelivered: bool,
    pub(in crate::queue) heads: Vec<(u64, u32)>,
}

impl Home {
    /// The chunk was compacted: places in memory are not those in the page any more.
    pub(super) fn is_moved(&mut self) {
        self.is_exact = false;
    }
}

impl Chunks {
    /// Whether the chunk's records can be read.
    #[inline]
    pub(in crate::queue) fn is_here(&self, slot: Slot) -> bool {
        self.chunk(slot).away.is_none()
    }

    /// Whether any chunk is on disk only.
    #[inline]
    pub(in crate::queue) fn has_away(&self) -> bool {
        self.away_count > 0
    }

    /// The chunk a job is about, while it is.
    pub(in crate::queue) fn slot_of(&self, job: Job) -> Option<Slot> {
        let chunk = self.chunks.get(job.slot as usize)?;
        (chunk.job == job.number).then_some(Slot(job.slot))
    }

    /// Whether the chunk's page is as the chunk is.
    pub(in crate::queue) fn has_exact_page(&self, slot: Slot) -> bool {
        let chunk = self.chunk(slot);
        let is_exact = chunk.home.as_ref().is_some_and(|home| home.is_exact);
        is_exact && !chunk.is_stale && chunk.job == 0 && chunk.away.is_none()
    }

    /// Whether the chunk has messages for which the log is needed at or before `upto`.
    pub(in crate::queue) fn holds_back(&self, slot: Slot, upto: u64) -> bool {
        let chunk = self.chunk(slot);
        chunk.live > 0 && chunk.first_lsn != 0 && chunk.first_lsn <= upto && chunk.job == 0
    }

    /// Whether the message is alive in a chunk that is away.
    pub(in crate::queue) fn has_away_in(&self, slot: Slot, ordinal: u64) -> bool {
        let away = self.chunk(slot).away.as_ref();
        away.is_some_and(|away| away.alive.contains(ordinal))
    }

    /// The ordinals that a page entry of this chunk would name now.
    fn logged_runs(&self, slot: Slot) -> Runs {
        let chunk = self.chunk(slot);
        if let Some(away) = &chunk.away {
            let mut runs = away.alive.clone();
            runs.remove_all(&away.unlogged);
            return runs;
        }
        runs_of(&chunk.records, |record| record.is_logged())
    }

    /// A logged record came into the chunk.
    #[inline]
    pub(super) fn note_logged_in(&mut self, slot: Slot) {
        let chunk = self.chunk_mut(slot);
        if chunk.first_lsn == 0 {
            chunk.first_lsn = SOON;
        } else if !self.paging.is_out_of_order {
            return;
        }
        if self.paging.logging.last() != Some(&slot) {
            self.paging.logging.push(slot);
        }
    }

    /// What comes now may stand in the log before what chunks have already: until
    /// [`Self::logged_at`].
    pub(in crate::queue) fn expect_earlier_records(&mut self) {
        self.paging.is_out_of_order = true;
    }

    /// The batch is in the log: its chunks know from where.
    pub(in crate::queue) fn logged_at(&mut self, lsn: Lsn) {
        self.paging.is_out_of_order = false;
        while let Some(slot) = self.paging.logging.pop() {
            let chunk = self.chunk_mut(slot);
            chunk.first_lsn = match (chunk.first_lsn, lsn) {
                (SOON, lsn) => lsn.0,
                (first, Lsn::NONE) => first,
                (first, lsn) => first.min(lsn.0),
            };
        }
    }

    /// A logged record of the chunk died.
    #[inline]
    pub(super) fn note_settled_in(&mut self, slot: Slot) {
        if let Some(home) = &mut self.chunks[slot.0 as usize].home
            && home.has_entry
            && home.settled_from == 0
        {
            home.settled_from = SOON;
            self.paging.settling.push(slot);
        }
    }

    /// The settlements of a command are in the log.
    pub(in crate::queue) fn settled_at(&mut self, lsn: Lsn) {
        while let Some(slot) = self.paging.settling.pop() {
            if let Some(home) = &mut self.chunk_mut(slot).home
                && home.settled_from == SOON
            {
                home.settled_from = lsn.0;
            }
        }
    }

    /// A record's head changes: its page, if it has one, does not have it as it is.
    pub(super) fn note_changed_in(&mut self, slot: Slot) {
        let chunk = self.chunk_mut(slot);
        if chunk.home.is_none() && chunk.job == 0 {
            return;
        }
        chunk.is_stale = true;
        self.note_logged_in(slot);
    }

    /// The first record of the log that this queue needs.
    pub(in crate::queue) fn needed_from(&self) -> Option<u64> {
        let needed = self.chunks.iter().flat_map(|chunk| {
            let messages = Some(chunk.first_lsn).filter(|_| chunk.live > 0);
            let settles = chunk.home.as_ref().map(|home| home.settled_from);
            messages.into_iter().chain(settles)
        });
        needed.filter(|&lsn| lsn != 0).min()
    }

    /// Chunks that hold the log back at or before `upto`.
    pub(in crate::queue) fn held_back(&self, upto: u64) -> Vec<Slot> {
        self.slots()
            .filter(|&slot| self.holds_back(slot, upto))
            .collect()
    }

    pub(in crate::queue) fn slots(&self) -> impl Iterator<Item = Slot> + use<> {
        (0..self.chunks.len() as u32).map(Slot)
    }

    /// Puts the entries of pages again whose settlements before `upto` only the log knows.
    pub(in crate::queue) fn renew_entries(&mut self, queue: QueueId, upto: u64) {
        for slot in self.slots() {
            let needs = |home: &Home| home.settled_from != 0 && home.settled_from <= upto;
            if self
                .chunk(slot)
                .home
                .as_ref()
                .is_some_and(|home| needs(home))
            {
                self.put_entry(queue, slot);
            }
        }
    }

    fn put_entry(&mut self, queue: QueueId, slot: Slot) {
        let runs = self.logged_runs(slot);
        if let Some(home) = &mut self.chunk_mut(slot).home {
            home.settled_from = 0;
            home.has_entry = !runs.is_empty();
            let entry = PageEntry {
                queue: queue.0,
                number: home.number,
                segment: home.at.segment,
                offset: home.at.offset,
                length: home.at.length,
                crc: home.at.crc,
                level: home.level,
                runs,
            };
            let change = match home.has_entry {
                true => entry.put(),
                false => entry.page_key().deleted(),
            };
            self.paging.changes.push(change);
        }
    }

    /// Whether the chunk could leave memory after it was written, or now.
    pub(in crate::queue) fn is_worth_paging(&self, slot: Slot) -> bool {
        let chunk = self.chunk(slot);
        chunk.live > 0 && chunk.away.is_none() && chunk.job == 0
    }

    /// Begins to write a chunk, which takes no more records from now on. `None` when it is being
    /// written, or nothing is alive in it. The caller has compacted it.
    pub(in crate::queue) fn begin_page(&mut self, slot: Slot, durable: bool) -> Option<PageOut> {
        if !self.is_worth_paging(slot) {
            return None;
        }
        self.paging.next_job = self.paging.next_job.wrapping_add(1).max(1);
        let number = self.paging.next_job;
        if self.aside == Some(slot) {
            self.aside = None;
            self.chunk_mut(slot).is_listed = false;
        }
        let chunk = self.chunk_mut(slot);
        chunk.is_sealed = true;
        chunk.job = number;
        chunk.is_stale = false;
        chunk.is_moved = false;
        let block = Block::of(&chunk.records);
        let mut bytes = Vec::with_capacity(block.byte_len());
        for part in block.parts() {
            bytes.extend_from_slice(part);
        }
        let durable = durable
            && chunk
                .records
                .iter()
                .any(|r| r.is_logged() && !r.is_removed());
        Some(PageOut {
            job: Job {
                slot: slot.0,
                number,
            },
            bytes,
            durable,
        })
    }

    /// A chunk was written, or could not be. Gives its slot when it may leave memory now.
    pub(in crate::queue) fn page_written(
        &mut self,
        queue: QueueId,
        job: Job,
        at: Option<PageAt>,
        level: Option<u8>,
        durable: bool,
    ) -> Option<Slot> {
        let slot = Slot(job.slot);
        let is_current =
            (slot.0 as usize) < self.chunks.len() && self.chunk(slot).job == job.number;
        let Some(at) = at else {
            if is_current {
                self.chunk_mut(slot).job = 0;
            }
            return None;
        };
        if !is_current || self.chunk(slot).is_stale {
            if is_current {
                self.chunk_mut(slot).job = 0;
            }
            self.paging.freed.push(at);
            return None;
        }
        let former = self.chunk_mut(slot).home.take();
        self.paging.next_page += 1;
        let number = self.paging.next_page;
        let chunk = self.chunk_mut(slot);
        chunk.job = 0;
        chunk.home = Some(Box::new(Home {
            number,
            at,
            level,
            has_entry: false,
            is_exact: !chunk.is_moved,
            settled_from: 0,
        }));
        if durable {
            chunk.first_lsn = 0;
            self.put_entry(queue, slot);
        }
        // After the new entry: a crash between the two finds the messages in one or in both.
        self.forget_home(former);
        Some(slot)
    }

    fn forget(&mut self, queue: QueueId, home: Home) {
        if home.has_entry {
            let key = crate::journal::PageKey {
                queue: queue.0,
                number: home.number,
            };
            self.paging.changes.push(key.deleted());
        }
        self.paging.freed.push(home.at);
    }

    pub(super) fn forget_home(&mut self, home: Option<Box<Home>>) {
        if let Some(home) = home {
            self.forget(self.queue, *home);
        }
    }

    /// Gives the memory of a chunk up that its page has as it is. `ready` counts those of its
    /// messages that are ready. False when it has to be written first.
    pub(in crate::queue) fn leave(&mut self, slot: Slot, ready: Tally) -> bool {
        if !self.has_exact_page(slot) {
            return false;
        }
        let chunk = &mut self.chunks[slot.0 as usize];
        let away = Away {
            alive: runs_of(&chunk.records, |_| true),
            unlogged: runs_of(&chunk.records, |record| !record.is_logged()),
            ready,
            may_expire: chunk.records.iter().any(|r| r.expires_at().is_some()),
            ..Away::default()
        };
        chunk.away = Some(Box::new(away));
        self.away_count += 1;
        self.empty(slot);
        true
    }

    /// Lets the records of a chunk go that has them elsewhere.
    fn empty(&mut self, slot: Slot) {
        let chunk = &mut self.chunks[slot.0 as usize];
        let records = std::mem::take(&mut chunk.records);
        self.memory_bytes -= records.capacity() + chunk.shared_bytes;
        chunk.shared_bytes = 0;
        chunk.live_bytes = 0;
        spare::give(records);
    }

    /// The chunk is needed in memory.
    pub(in crate::queue) fn want(&mut self, slot: Slot) {
        if let Some(away) = &mut self.chunks[slot.0 as usize].away
            && !away.is_wanted
        {
            away.is_wanted = true;
            self.paging.wanted.push(slot);
        }
    }

    /// Whether one of the chunk's messages may have a time to live of its own.
    pub(in crate::queue) fn may_expire(&self, slot: Slot) -> bool {
        let away = self.chunk(slot).away.as_ref();
        away.is_some_and(|away| away.may_expire)
    }

    /// Chunks to be read, at most `max` of them.
    pub(in crate::queue) fn take_wanted(&mut self) -> Vec<PageIn> {
        let wanted = std::mem::take(&mut self.paging.wanted);
        let mut pages = Vec::with_capacity(wanted.len());
        for slot in wanted {
            self.paging.next_job = self.paging.next_job.wrapping_add(1).max(1);
            let number = self.paging.next_job;
            let chunk = self.chunk_mut(slot);
            let Some(home) = &chunk.home else { continue };
            let job = Job {
                slot: slot.0,
                number,
            };
            pages.push(PageIn { job, at: home.at });
            chunk.job = number;
        }
        pages
    }

    /// A chunk was read. Gives what of it is ready, before and now (which differ after a start),
    /// or none when nobody waits for it any more.
    pub(in crate::queue) fn arrive(&mut self, job: Job, records: Records) -> Option<Arrival> {
        let slot = Slot(job.slot);
        if slot.0 as usize >= self.chunks.len() || self.chunk(slot).job != job.number {
            return None;
        }
        let chunk = &mut self.chunks[slot.0 as usize];
        let away = chunk.away.take()?;
        self.away_count -= 1;
        chunk.job = 0;
        chunk.records = records;
        let mut now = Tally::default();
        let (mut live_bytes, mut shared_bytes, mut live) = (0, 0, 0);
        let mut next = chunk.records.first();
        while let Some(position) = next {
            next = chunk.records.next(position);
            let ordinal = chunk.records.at(position).ordinal();
            if !away.alive.contains(ordinal) {
                chunk.records.remove(position);
                continue;
            }
            away.refresh(chunk, position, ordinal);
            let record = chunk.records.at(position);
            now.add(record);
            live += 1;
            live_bytes += record.record_len();
            shared_bytes += record.memory_bytes() - record.record_len();
        }
        chunk.live = live;
        chunk.live_bytes = live_bytes;
        chunk.shared_bytes = shared_bytes;
        if !away.heads.is_empty() {
            chunk.is_stale = true;
        }
        self.memory_bytes += chunk.records.capacity() + shared_bytes;
        let before = away.ready;
        let now = if away.is_estimated { now } else { before };
        Some(Arrival { slot, before, now })
    }

    /// A chunk cannot be read: its messages are lost. Gives the ordinals that were in it and
    /// those that were ready.
    pub(in crate::queue) fn lose(&mut self, job: Job) -> Option<(Slot, Runs, Tally)> {
        let slot = Slot(job.slot);
        if slot.0 as usize >= self.chunks.len() || self.chunk(slot).job != job.number {
            return None;
        }
        let chunk = self.chunk_mut(slot);
        chunk.job = 0;
        let away = chunk.away.as_mut()?;
        let lost = away.alive.clone();
        let ready = std::mem::take(&mut away.ready);
        Some((slot, lost, ready))
    }

    /// A chunk as it was found at the start, away.
    pub(in crate::queue) fn restore(&mut self, restored: Restored) -> (Slot, Tally) {
        let Restored {
            entry,
            is_redelivered,
            heads,
        } = restored;
        self.paging.next_page = self.paging.next_page.max(entry.number);
        let count = entry.runs.count();
        let ready = Tally::of_persistent(count);
        let slot = self.take_slot();
        self.away_count += 1;
        let first = entry.runs.first().unwrap_or_default();
        let chunk = self.chunk_mut(slot);
        chunk.first_ordinal = first;
        chunk.is_listed = true;
        chunk.is_sealed = true;
        chunk.live = count as u32;
        chunk.home = Some(Box::new(Home {
            number: entry.number,
            at: PageAt {
                segment: entry.segment,
                offset: entry.offset,
                length: entry.length,
                crc: entry.crc,
            },
            level: entry.level,
            has_entry: true,
            is_exact: true,
            settled_from: 0,
        }));
        chunk.away = Some(Box::new(Away {
            alive: entry.runs,
            ready,
            heads: heads.into_iter().collect(),
            is_redelivered,
            is_estimated: true,
            may_expire: true,
            ..Away::default()
        }));
        (slot, ready)
    }

    /// An entry of the map that names nothing of use.
    pub(in crate::queue) fn delete_entry(&mut self, entry: &PageEntry) {
        self.paging.next_page = self.paging.next_page.max(entry.number);
        self.paging.changes.push(entry.page_key().deleted());
        self.paging.freed.push(PageAt {
            segment: entry.segment,
            offset: entry.offset,
            length: entry.length,
            crc: entry.crc,
        });
    }

    /// Pages whose entries lack settlements, and since when.
    pub(in crate::queue) fn set_stale(&mut self, stale: &[(u64, Lsn)]) {
        for home in self
            .chunks
            .iter_mut()
            .filter_map(|chunk| chunk.home.as_mut())
        {
            if let Some((_, since)) = stale.iter().find(|(number, _)| *number == home.number) {
                home.settled_from = since.0;
            }
        }
    }

    /// Ends a record's life, wherever it is. `is_logged` if it is in the log.
    #[inline]
    pub(in crate::queue) fn end(&mut self, place: Place, ordinal: u64, is_logged: bool) {
        if is_logged {
            self.note_settled_in(place.slot);
        }
        if self.is_here(place.slot) {
            return self.remove(place);
        }
        let chunk = &mut self.chunks[place.slot.0 as usize];
        let is_there = chunk
            .away
            .as_mut()
            .is_some_and(|away| away.alive.remove(ordinal));
        if is_there {
            chunk.live -= 1;
            self.tidy(place.slot);
        }
    }

    /// A message came back from a client: its head says so, now or when it is read again.
    pub(in crate::queue) fn come_back(&mut self, place: Place, ordinal: u64, deliveries: u32) {
        if let Some(away) = &mut self.chunk_mut(place.slot).away {
            away.heads.insert(ordinal, deliveries);
            return self.note_logged_in(place.slot);
        }
        let mut head = self.head_mut(place);
        head.set_redelivered(true);
        head.set_delivery_count(deliveries);
        self.note_changed_in(place.slot);
    }

    /// Counts a message among the ready ones of a chunk that is away.
    pub(in crate::queue) fn ready_away(&mut self, slot: Slot, one: Tally) {
        if let Some(away) = &mut self.chunk_mut(slot).away {
            away.ready.add_all(one);
        }
    }

    /// Everything in the chunk but these ordinals goes. For chunks that are away.
    pub(in crate::queue) fn keep_only(&mut self, slot: Slot, kept: &Runs) {
        let chunk = self.chunk_mut(slot);
        let Some(away) = &mut chunk.away else { return };
        let mut gone = away.alive.clone();
        gone.remove_all(kept);
        away.alive.remove_all(&gone);
        away.ready = Tally::default();
        chunk.live = away.alive.count() as u32;
        self.note_settled_in(slot);
        self.tidy(slot);
    }

    /// Page entries that came and went in this command, for the log, and the pages that are free
    /// once the log has them.
    pub(in crate::queue) fn take_page_changes(&mut self) -> (Vec<RawChange>, Vec<PageAt>) {
        (
            std::mem::take(&mut self.paging.changes),
            std::mem::take(&mut self.paging.freed),
        )
    }

    /// Whether there is anything for the log or the disk.
    #[inline]
    pub(in crate::queue) fn has_page_work(&self) -> bool {
        let paging = &self.paging;
        !(paging.changes.is_empty() && paging.freed.is_empty() && paging.wanted.is_empty())
    }
}

/// A chunk is in memory again.
#[derive(Debug)]
pub(in crate::queue) struct Arrival {
    pub(in crate::queue) slot: Slot,
    pub(in crate::queue) before: Tally,
    pub(in crate::queue) now: Tally,
}

impl Away {
    /// What changed while the record was away.
    fn refresh(&self, chunk: &mut Chunk, position: crate::message::Position, ordinal: u64) {
        let mut head = chunk.records.head_mut(position);
        if self.is_redelivered {
            head.set_redelivered(true);
        }
        if let Some(count) = self.heads.get(&ordinal) {
            head.set_redelivered(true);
            head.set_delivery_count(*count);
        }
    }
}

fn runs_of(records: &Records, mut wanted: impl FnMut(RecordRef<'_>) -> bool) -> Runs {
    let mut runs = Runs::new();
    for record in records.iter() {
        if !record.is_removed() && wanted(record) {
            runs.insert(record.ordinal());
        }
    }
    runs
}

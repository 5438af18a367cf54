//! Reading the log back: which groups count, where it ends, and what is damaged.
//! Changes no file. Decides by the bytes alone, so reading twice gives the same answer.
//!
//! A group counts if it is whole and its first LSN is the next one. Where no such group stands,
//! the reader looks for what comes after, in this order:
//!
//! 1. a later file that begins with the LSN it waits for, or that says that no file had those in
//!    between: the file simply ends here;
//! 2. a later group or file written when the missing LSN was already known to be on the device:
//!    the bytes were there once, so this is damage; it is reported and what follows is read;
//! 3. otherwise nothing that was promised is missing: the write was cut short, the log ends.

use std::path::PathBuf;
use std::time::Instant;

use super::entries::ENTRY_KINDS;
use super::group::{BLOCK_BYTES, GROUP_HEADER_BYTES, GroupHeader, LogHeader};
use super::layout::Identity;
use super::logdir::{FIRST_GROUP_AT, Horizon, LogFile};
use super::record::{Change, FLAG_SKIPPABLE, KIND_CHANGES, Record, Records, Step, decode_changes};
use super::window::{Progress, Window};
use super::{Lsn, StoreError};
use crate::defects::{Defect, is_planted};

/// A place in a file of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub path: PathBuf,
    /// The byte in it.
    pub offset: u64,
}

/// Something that was durable once and cannot be read any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Where the damage begins.
    pub place: Place,
    /// The first record it may have cost.
    pub first: Lsn,
    /// How many records it may have cost; none if only a file's header is damaged, [`UNKNOWN`] if
    /// the file was cut where nobody knows what stood behind.
    pub records: u64,
}

/// So many records that nobody can count them.
pub const UNKNOWN: u64 = u64::MAX;

/// What a replay found.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    /// The last record of the log, by the headers too of what holds nothing that can be read.
    pub(super) last: Lsn,
    /// The last record that was read, or that was not needed.
    pub(super) reached: Lsn,
    pub(super) records: u64,
    pub(super) bytes_read: u64,
    /// Where a write that was never promised was cut short.
    pub(super) torn_tail: Option<Place>,
    /// Where the log ends: nothing counts from there on.
    pub(super) ends_at: Option<Place>,
    /// Up to [`DAMAGE_MAX`] damaged places.
    pub(super) damage: Vec<Damage>,
    pub(super) damaged_places: u64,
}

/// So many damaged places are named; the rest is counted.
const DAMAGE_MAX: usize = 64;

/// Takes what a replay reads, in the order of LSNs.
pub trait Sink {
    /// A change of the map.
    fn change(&mut self, lsn: Lsn, change: Change);
    /// An entry, as it lies in the buffer of the reader.
    fn entry(&mut self, lsn: Lsn, kind: u8, payload: &[u8]);
    /// Whether nothing more needs to be read.
    fn is_satisfied(&self) -> bool {
        false
    }
}

/// What to read, and how far.
pub(super) struct Range {
    /// Changes up to this record are known already.
    pub(super) after: Lsn,
    /// Entries up to this record are of no interest.
    pub(super) floor: Lsn,
    /// Nothing behind this record is read.
    pub(super) until: Lsn,
    /// Behind this nothing of earlier runs counts.
    pub(super) horizon: Horizon,
}

impl Range {
    /// The first record of interest.
    pub(super) fn from(&self) -> Lsn {
        self.after.min(self.floor).next()
    }

    fn wants(&self, lsn: Lsn, kind: u8) -> bool {
        let known = if ENTRY_KINDS.contains(&kind) {
            self.floor
        } else {
            self.after
        };
        lsn > known && lsn <= self.until
    }
}

/// Reads `files` and hands every change and entry in `range` to `sink`, in order.
pub(super) fn replay(
    files: &[LogFile],
    identity: &Identity,
    range: Range,
    sink: &mut dyn Sink,
) -> Result<Replayed, StoreError> {
    let mut reader = Reader {
        files,
        identity,
        expected: range.from(),
        filled: 0,
        range,
        sink,
        window: Window::new(),
        progress: Progress::new(files, Instant::now()),
        found: Replayed::default(),
    };
    reader.found.reached = reader.range.from().before();
    reader.run()?;
    reader.found.last = reader.expected.before();
    reader.found.bytes_read = reader.window.bytes_read;
    Ok(reader.found)
}

struct Reader<'a> {
    files: &'a [LogFile],
    identity: &'a Identity,
    range: Range,
    /// The next record's LSN.
    expected: Lsn,
    /// What the file that is being read had once, by the last header of it that was read.
    filled: u64,
    sink: &'a mut dyn Sink,
    window: Window,
    progress: Progress,
    found: Replayed,
}

/// What stands behind a place where the expected group does not.
enum Behind {
    /// A file that begins with the expected record.
    Successor(usize),
    /// A group of the same file that the log goes on with.
    Group(GroupHeader),
    /// A file that the log goes on with.
    File(usize),
    /// Nothing the log could go on with.
    Nothing,
}

/// Where the reader goes on.
enum GoOn {
    At(u64),
    InFile(usize),
    Nowhere,
}

/// What the checksums say about a group.
struct Checked {
    header: GroupHeader,
    /// So many records stand where they can be told from each other.
    known: u64,
    /// Where damaged records lie, with the first LSN and the number of records each may have cost.
    damaged: Vec<(u64, Lsn, u64)>,
}

impl Checked {
    /// Checks the records of a group, which lie at `records_at` in their file.
    fn new(header: GroupHeader, bytes: &[u8], seed: u32, records_at: u64) -> Checked {
        let mut damaged = Vec::new();
        let (mut count, mut first_damaged) = (0, None);
        for (step, lsn) in Records::new(bytes, seed).zip(header.first.0..) {
            if let Step::Damaged(at) = step {
                first_damaged.get_or_insert(count);
                damaged.push((records_at + at as u64, Lsn(lsn), 1));
            }
            count += 1;
        }
        let records = u64::from(header.records);
        if count == records {
            let known = records;
            return Checked {
                header,
                known,
                damaged,
            };
        }
        // A length is damaged: behind it nobody knows which record is which.
        let known = first_damaged.unwrap_or(count).min(records);
        damaged.clear();
        damaged.push((header.offset, Lsn(header.first.0 + known), records - known));
        Checked {
            header,
            known,
            damaged,
        }
    }

    fn is_damaged(&self, lsn: Lsn) -> bool {
        self.damaged
            .binary_search_by_key(&lsn, |(_, first, _)| *first)
            .is_ok()
    }
}

impl<'a> Reader<'a> {
    fn run(&mut self) -> Result<(), StoreError> {
        let start = self.files.iter().position(|file| file.header.is_some());
        let Some((start, header)) = start.and_then(|at| Some((at, self.files[at].header?))) else {
            return Ok(());
        };
        self.expected = header.first;
        if start > 0 || self.files[0].lost_front {
            let from = self.range.from();
            let lost = header.first.0.saturating_sub(from.0);
            if lost > 0 && !header.reaches_back_to(from, self.range.after) {
                self.report(&self.files[0], 0, from, lost);
            }
        }
        let mut go_on = GoOn::InFile(start);
        while let GoOn::InFile(index) = go_on {
            go_on = self.read_file(index)?;
        }
        Ok(())
    }

    fn read_file(&mut self, index: usize) -> Result<GoOn, StoreError> {
        let file = &self.files[index];
        let Some(header) = file.header else {
            return Ok(GoOn::Nowhere);
        };
        self.expected = self.expected.max(header.first);
        self.filled = header.filled;
        if file.damaged {
            self.report(file, 0, self.expected, 0);
        }
        let mut at = FIRST_GROUP_AT;
        while self.expected <= self.range.until && !self.sink.is_satisfied() {
            match self.read_step(index, &header, at)? {
                GoOn::At(next) => at = next,
                elsewhere => return Ok(elsewhere),
            }
        }
        Ok(GoOn::Nowhere)
    }

    fn read_step(&mut self, index: usize, file: &LogHeader, at: u64) -> Result<GoOn, StoreError> {
        let header = self.header_at(&self.files[index], file, at)?;
        let Some(header) = header.filter(|header| header.first == self.expected) else {
            return self.pass_over(index, at);
        };
        let group = self.check_group(&self.files[index], header)?;
        if group.damaged.is_empty() {
            return self.accept(index, group);
        }
        // A group whose header is whole has lost its damaged records only, if it ever counted.
        match self.behind(index, header.end())? {
            Behind::Successor(next) => Ok(GoOn::InFile(next)),
            Behind::Group(_) | Behind::File(_) => self.accept(index, group),
            Behind::Nothing if is_planted(Defect::TornGroupCounts) => self.accept(index, group),
            Behind::Nothing => self.end_torn(index, at),
        }
    }

    /// Goes on behind a place where the expected group is not.
    fn pass_over(&mut self, index: usize, at: u64) -> Result<GoOn, StoreError> {
        let (first, go_on) = match self.behind(index, at + BLOCK_BYTES as u64)? {
            Behind::Successor(next) => return Ok(GoOn::InFile(next)),
            Behind::Nothing => return self.end_torn(index, at),
            Behind::Group(group) => (group.first, GoOn::At(group.offset)),
            Behind::File(next) => (self.first_of(next), GoOn::InFile(next)),
        };
        let lost = first.0 - self.expected.0;
        if lost > 0 {
            let (file, at) = self.place_of_lost(index, at, &go_on);
            self.report(file, at, self.expected, lost);
        }
        self.expected = first;
        Ok(go_on)
    }

    /// Where records stood that are missing between a place and where the log goes on: in a file
    /// that has lost its beginning, if there is one between them.
    fn place_of_lost(&self, index: usize, at: u64, go_on: &GoOn) -> (&'a LogFile, u64) {
        let files = self.files;
        let next = match go_on {
            GoOn::InFile(next) => *next,
            _ => index,
        };
        let mut between = files.iter().take(next + 1).skip(index + 1);
        let lost_front = between.find(|file| file.header.is_none() || file.lost_front);
        lost_front.map_or((&files[index], at), |file| (file, 0))
    }

    fn first_of(&self, index: usize) -> Lsn {
        self.files[index]
            .header
            .map_or(self.expected, |header| header.first)
    }

    /// What stands behind the place where the expected group is not: later in the same file, from
    /// `scan_from` on, or in another.
    fn behind(&mut self, index: usize, scan_from: u64) -> Result<Behind, StoreError> {
        let (files, expected) = (self.files, self.expected);
        let later = || {
            let files = files.iter().enumerate().skip(index + 1);
            files.filter_map(|(index, file)| Some((index, file.header?)))
        };
        let known = self.range.after;
        let continues = |header: &LogHeader| {
            header.first == expected
                || (header.follows == expected.before() && header.first <= known.next())
        };
        // The last one: those before it were left without a whole group.
        if let Some((next, _)) = later().rev().find(|(_, header)| continues(header)) {
            return Ok(Behind::Successor(next));
        }
        if let Some((next, header)) = later().find(|(_, header)| header.first < expected) {
            let (path, reached) = (files[next].path.clone(), expected.before());
            return Err(StoreError::OutOfSequence {
                path,
                first: header.first,
                reached,
            });
        }
        if let Some(group) = self.later_group(&files[index], scan_from)? {
            return Ok(Behind::Group(group));
        }
        let follows = |header: &LogHeader| header.follows == expected.before();
        let proves = |header: &LogHeader| self.goes_on_with(header.first, header.synced);
        let proof = later()
            .rev()
            .find(|(_, header)| follows(header))
            .or_else(|| later().find(|(_, header)| proves(header)));
        Ok(proof.map_or(Behind::Nothing, |(next, _)| Behind::File(next)))
    }

    /// Whether the log goes on with what begins at `first`, although the record before it is not
    /// there: nothing is missing that is not known already, or the first record that is missing
    /// was on the device when this was written, so it is damaged and not merely unfinished.
    fn goes_on_with(&self, first: Lsn, synced: Lsn) -> bool {
        let needed = self.expected.max(self.range.from());
        first <= needed || synced >= needed
    }

    /// The first group from `at` on that the log goes on with.
    fn later_group(
        &mut self,
        file: &LogFile,
        mut at: u64,
    ) -> Result<Option<GroupHeader>, StoreError> {
        let Some(header) = file.header else {
            return Ok(None);
        };
        while at < file.bytes {
            match self.header_at(file, &header, at)? {
                Some(group)
                    if group.first >= self.expected
                        && self.goes_on_with(group.first, group.synced) =>
                {
                    return Ok(Some(group));
                }
                _ => at += BLOCK_BYTES as u64,
            }
        }
        Ok(None)
    }

    /// The header of the group at `at`, if it is one of this file and this place.
    fn header_at(
        &mut self,
        file: &LogFile,
        header: &LogHeader,
        at: u64,
    ) -> Result<Option<GroupHeader>, StoreError> {
        let (identity, horizon) = (self.identity, self.range.horizon);
        let group = GroupHeader::decode(identity, self.window.slice(file, at, GROUP_HEADER_BYTES)?);
        Ok(group.filter(|group| {
            group.epoch == header.epoch
                && group.number == file.number
                && group.offset == at
                && !horizon.abandons(group.epoch, group.next().before())
                && group.end() <= file.bytes.next_multiple_of(BLOCK_BYTES as u64)
        }))
    }

    fn check_group(&mut self, file: &LogFile, header: GroupHeader) -> Result<Checked, StoreError> {
        let seed = self.identity.seed(header.epoch, header.number);
        let records_at = header.records_at();
        let bytes = self
            .window
            .slice(file, records_at, header.records_bytes as usize)?;
        Ok(Checked::new(header, bytes, seed, records_at))
    }

    /// Hands over what a group holds, and reports what it lost.
    fn accept(&mut self, index: usize, group: Checked) -> Result<GoOn, StoreError> {
        let (file, header) = (&self.files[index], &group.header);
        for (at, first, records) in &group.damaged {
            self.report(file, *at, *first, *records);
        }
        let at = header.records_at();
        let bytes = self.window.slice(file, at, header.records_bytes as usize)?;
        let records = Records::checked(bytes).take(group.known as usize);
        for (record, lsn) in records.zip(header.first.0..) {
            let lsn = Lsn(lsn);
            if self.range.wants(lsn, record.kind) && !group.is_damaged(lsn) {
                hand_over(&mut *self.sink, lsn, &record, || Place {
                    path: file.path.clone(),
                    offset: at + record.at as u64,
                })?;
                self.found.records += 1;
            }
        }
        self.expected = header.next();
        self.filled = self.filled.max(header.filled);
        self.found.reached = self.found.reached.max(self.expected.before());
        self.progress.tell(self.window.bytes_read, Instant::now());
        Ok(GoOn::At(header.end()))
    }

    /// Reports damage that cost `records` records from `first` on, unless all are known already.
    fn report(&mut self, file: &LogFile, offset: u64, first: Lsn, records: u64) {
        let end = first.0.saturating_add(records);
        let first = first.max(self.range.from());
        if records > 0 && end <= first.0 {
            return;
        }
        self.found.damaged_places += 1;
        if self.found.damage.len() < DAMAGE_MAX {
            let place = Place {
                path: file.path.clone(),
                offset,
            };
            let records = match records {
                UNKNOWN => UNKNOWN,
                _ => end.saturating_sub(first.0),
            };
            self.found.damage.push(Damage {
                place,
                first,
                records,
            });
        }
    }

    /// Ends the log at a place; notes if a group was begun there.
    fn end_torn(&mut self, index: usize, at: u64) -> Result<GoOn, StoreError> {
        let file = &self.files[index];
        let place = || Place {
            path: file.path.clone(),
            offset: at,
        };
        self.found.ends_at = Some(place());
        if file.bytes < self.filled {
            self.report(file, file.bytes, self.expected, UNKNOWN);
            return Ok(GoOn::Nowhere);
        }
        if let Some(header) = file.header {
            let bytes = self.window.slice(file, at, GROUP_HEADER_BYTES)?;
            if GroupHeader::begins(bytes, header.epoch, file.number) {
                self.found.torn_tail = Some(place());
            }
        }
        Ok(GoOn::Nowhere)
    }
}

/// Hands a whole record to `sink`; `place` is where it lies.
fn hand_over(
    sink: &mut dyn Sink,
    lsn: Lsn,
    record: &Record<'_>,
    place: impl Fn() -> Place,
) -> Result<(), StoreError> {
    if ENTRY_KINDS.contains(&record.kind) {
        sink.entry(lsn, record.kind, record.payload);
        return Ok(());
    }
    let Place { path, offset } = match record.kind {
        KIND_CHANGES => match decode_changes(record.payload) {
            Some(changes) => {
                changes
                    .into_iter()
                    .for_each(|change| sink.change(lsn, change));
                return Ok(());
            }
            None => place(),
        },
        _ if record.flags & FLAG_SKIPPABLE != 0 => return Ok(()),
        _ => place(),
    };
    Err(match record.kind {
        KIND_CHANGES => StoreError::Corrupt {
            path,
            offset,
            what: "a record of changes is not well formed",
        },
        kind => StoreError::UnknownRecord { path, offset, kind },
    })
}

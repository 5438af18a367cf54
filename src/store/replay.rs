//! Reading the log back: which groups count, where it ends, and what is damaged.
//! Changes no file. Decides by the bytes alone, so reading twice gives the same answer.
//!
//! A group counts if it is whole and its first LSN is the next one. Where no such group stands,
//! the reader looks for what comes after, in this order:
//!
//! 1. a later file that begins with the LSN it waits for: the file simply ends here;
//! 2. a later group or file written when the missing LSN was already known to be on the device:
//!    the bytes were there once, so this is damage; it is reported and what follows is read;
//! 3. otherwise nothing that was promised is missing: the write was cut short, the log ends.

use std::path::PathBuf;
use std::sync::Arc;

use super::disk::File;
use super::group::{BLOCK_BYTES, GROUP_HEADER_BYTES, GroupHeader, LogHeader, whole_blocks};
use super::layout::Identity;
use super::logdir::{FIRST_GROUP_AT, Horizon, LogFile};
use super::record::{Change, FLAG_SKIPPABLE, KIND_CHANGES, Record, Records, Step, decode_changes};
use super::{Lsn, StoreError};

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
    /// How many records it may have cost; none if only a file's header is damaged.
    pub records: u64,
}

/// What a replay found.
#[derive(Debug, Default)]
pub(super) struct Replayed {
    /// The last record the log holds.
    pub(super) last: Lsn,
    pub(super) records: u64,
    pub(super) bytes_read: u64,
    /// Where a write that was never promised was cut short.
    pub(super) torn_tail: Option<Place>,
    /// Up to [`DAMAGE_MAX`] damaged places.
    pub(super) damage: Vec<Damage>,
    pub(super) damaged_places: u64,
}

/// So many damaged places are named; the rest is counted.
const DAMAGE_MAX: usize = 64;

/// What to read, and how far.
pub(super) struct Range {
    /// Records up to this one are known already.
    pub(super) after: Lsn,
    /// Nothing behind this record is read.
    pub(super) until: Lsn,
    /// Behind this nothing of earlier runs counts.
    pub(super) horizon: Horizon,
}

/// Reads `files` and hands every change in `range` to `apply`, in order.
pub(super) fn replay(
    files: &[LogFile],
    identity: &Identity,
    range: Range,
    apply: &mut dyn FnMut(Change),
) -> Result<Replayed, StoreError> {
    let mut reader = Reader {
        files,
        identity,
        expected: range.after.next(),
        range,
        apply,
        window: None,
        found: Replayed::default(),
    };
    reader.run()?;
    reader.found.last = reader.expected.before();
    reader.leave_window();
    Ok(reader.found)
}

struct Reader<'a> {
    files: &'a [LogFile],
    identity: &'a Identity,
    range: Range,
    /// The next record's LSN.
    expected: Lsn,
    apply: &'a mut dyn FnMut(Change),
    window: Option<Window>,
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

/// A group as it was read.
struct Group {
    header: GroupHeader,
    changes: Vec<Change>,
    /// Records with changes, or that were skipped on purpose.
    records: u64,
    /// Where damaged records lie, with the first LSN and the number of records each may have cost.
    damaged: Vec<(u64, Lsn, u64)>,
    /// A whole record that this version must not pass over.
    refused: Option<StoreError>,
}

impl Group {
    fn new(header: GroupHeader) -> Group {
        Group {
            header,
            changes: Vec::new(),
            records: 0,
            damaged: Vec::new(),
            refused: None,
        }
    }

    fn take(&mut self, record: Result<Vec<Change>, StoreError>) {
        match record {
            Ok(changes) => {
                self.records += 1;
                self.changes.extend(changes);
            }
            Err(error) => {
                self.refused.get_or_insert(error);
            }
        }
    }
}

impl Reader<'_> {
    fn run(&mut self) -> Result<(), StoreError> {
        let Some(first) = self.files.first().and_then(|file| file.header) else {
            return Ok(());
        };
        self.expected = first.first;
        let mut go_on = GoOn::InFile(0);
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
        if file.damaged {
            self.report(file, 0, self.expected, 0);
        }
        let mut at = FIRST_GROUP_AT;
        while self.expected <= self.range.until {
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
        let group = self.read_group(&self.files[index], header)?;
        if group.damaged.is_empty() {
            return self.accept(index, group);
        }
        // A group whose header is whole has lost its damaged records only, if it ever counted.
        match self.behind(index, header.end())? {
            Behind::Successor(next) => Ok(GoOn::InFile(next)),
            Behind::Group(_) | Behind::File(_) => self.accept(index, group),
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
        self.report(
            &self.files[index],
            at,
            self.expected,
            first.0 - self.expected.0,
        );
        self.expected = first;
        Ok(go_on)
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
        if let Some((next, _)) = later().find(|(_, header)| header.first == expected) {
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
        let proof = later().find(|(_, header)| self.goes_on_with(header.first, header.synced));
        Ok(proof.map_or(Behind::Nothing, |(next, _)| Behind::File(next)))
    }

    /// Whether the log goes on with what begins at `first`, although the record before it is not
    /// there: nothing is missing that is not known already, or the first record that is missing
    /// was on the device when this was written, so it is damaged and not merely unfinished.
    fn goes_on_with(&self, first: Lsn, synced: Lsn) -> bool {
        let needed = self.expected.max(self.range.after.next());
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
                    if group.first > self.expected
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
        let group = GroupHeader::decode(identity, self.slice(file, at, GROUP_HEADER_BYTES)?);
        Ok(group.filter(|group| {
            group.epoch == header.epoch
                && group.number == file.number
                && group.offset == at
                && !horizon.abandons(group.epoch, group.next().before())
                && group.end() <= file.bytes.next_multiple_of(BLOCK_BYTES as u64)
        }))
    }

    fn read_group(&mut self, file: &LogFile, header: GroupHeader) -> Result<Group, StoreError> {
        let wanted = self.range.after.next()..=self.range.until;
        let seed = self.identity.seed(header.epoch, header.number);
        let records_at = header.offset + GROUP_HEADER_BYTES as u64;
        let bytes = self.slice(file, records_at, header.records_bytes as usize)?;
        let mut steps: Vec<_> = Records::new(bytes, seed).collect();
        let is_damaged = |step: &Step<'_>| matches!(step, Step::Damaged(_));
        let mut group = Group::new(header);
        if steps.len() != header.records as usize {
            // A length is damaged: behind it nobody knows which record is which.
            let known = steps.iter().position(is_damaged).unwrap_or(steps.len());
            steps.truncate(known.min(header.records as usize));
            let (first, lost) = (steps.len() as u64, header.next().0 - header.first.0);
            group
                .damaged
                .push((header.offset, Lsn(header.first.0 + first), lost - first));
        }
        for (step, lsn) in steps.into_iter().zip(header.first.0..) {
            match step {
                Step::Whole(record) if wanted.contains(&Lsn(lsn)) => {
                    group.take(decode(file, records_at, &record));
                }
                Step::Whole(_) => {}
                Step::Damaged(at) => group.damaged.push((records_at + at as u64, Lsn(lsn), 1)),
            }
        }
        Ok(group)
    }

    /// Hands over what a group holds, and reports what it held and lost.
    fn accept(&mut self, index: usize, group: Group) -> Result<GoOn, StoreError> {
        if let Some(error) = group.refused {
            return Err(error);
        }
        for (at, first, records) in group.damaged {
            self.report(&self.files[index], at, first, records);
        }
        self.found.records += group.records;
        group.changes.into_iter().for_each(&mut self.apply);
        self.expected = group.header.next();
        Ok(GoOn::At(group.header.end()))
    }

    /// Reports damage that cost `records` records from `first` on, unless all are known already.
    fn report(&mut self, file: &LogFile, offset: u64, first: Lsn, records: u64) {
        let end = first.0.saturating_add(records);
        let first = first.max(self.range.after.next());
        if records > 0 && end <= first.0 {
            return;
        }
        self.found.damaged_places += 1;
        if self.found.damage.len() < DAMAGE_MAX {
            let place = Place {
                path: file.path.clone(),
                offset,
            };
            let records = end.saturating_sub(first.0);
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
        if let Some(header) = file.header {
            let bytes = self.slice(file, at, GROUP_HEADER_BYTES)?;
            if GroupHeader::begins(bytes, header.epoch, file.number) {
                self.found.torn_tail = Some(Place {
                    path: file.path.clone(),
                    offset: at,
                });
            }
        }
        Ok(GoOn::Nowhere)
    }

    /// `length` bytes of the file at `at`; fewer where the file ends.
    fn slice(&mut self, file: &LogFile, at: u64, length: usize) -> Result<&[u8], StoreError> {
        if self
            .window
            .as_ref()
            .is_none_or(|window| window.number != file.number)
        {
            self.leave_window();
        }
        let window = self.window.get_or_insert_with(|| Window::new(file));
        window
            .slice(at, length)
            .map_err(StoreError::io("read", &file.path))
    }

    fn leave_window(&mut self) {
        self.found.bytes_read += self.window.take().map_or(0, |window| window.bytes_read);
    }
}

fn decode(file: &LogFile, base: u64, record: &Record<'_>) -> Result<Vec<Change>, StoreError> {
    let (path, offset) = (|| file.path.clone(), base + record.at as u64);
    match record.kind {
        KIND_CHANGES => decode_changes(record.payload).ok_or_else(|| StoreError::Corrupt {
            path: path(),
            offset,
            what: "a record of changes is not well formed",
        }),
        _ if record.flags & FLAG_SKIPPABLE != 0 => Ok(Vec::new()),
        kind => Err(StoreError::UnknownRecord {
            path: path(),
            offset,
            kind,
        }),
    }
}

/// A stretch of one file in memory, so that small groups do not cost a read each.
struct Window {
    number: u64,
    file: Arc<dyn File>,
    at: u64,
    bytes: Vec<u8>,
    bytes_read: u64,
}

const WINDOW_BYTES: usize = 256 << 10;

impl Window {
    fn new(file: &LogFile) -> Window {
        let (number, file) = (file.number, Arc::clone(&file.file));
        Window {
            number,
            file,
            at: 0,
            bytes: Vec::new(),
            bytes_read: 0,
        }
    }

    fn slice(&mut self, at: u64, length: usize) -> std::io::Result<&[u8]> {
        let end = at + length as u64;
        if at < self.at || end > self.at + self.bytes.len() as u64 {
            self.bytes.resize(whole_blocks(length).max(WINDOW_BYTES), 0);
            let read = self.file.pread(&mut self.bytes, at)?;
            self.bytes.truncate(read);
            self.bytes_read += read as u64;
            self.at = at;
        }
        let start = (at - self.at) as usize;
        let end = (start + length).min(self.bytes.len());
        Ok(&self.bytes[start.min(end)..end])
    }
}

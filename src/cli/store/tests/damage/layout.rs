//! Where things lie in the files of a directory that is whole, read by docs/STORAGE.md and not by the
//! store's own code.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

const BLOCK: u64 = 4096;
const GROUP_HEADER: u64 = 64;
const RECORD_HEADER: u64 = 12;
/// What every file begins with.
pub(super) const FILE_HEADER: u64 = 128;

/// A record of the log.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) lsn: u64,
    pub(super) at: Range<u64>,
}

impl Record {
    /// Where its length stands: without it nobody knows where the next one begins.
    pub(super) fn length_at(&self) -> Range<u64> {
        self.at.start + 4..self.at.start + 8
    }
}

/// A group of the log.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) at: u64,
    pub(super) first: u64,
    /// What the file had when it was written.
    filled: u64,
    pub(super) records: Vec<Record>,
}

impl Group {
    pub(super) fn header(&self) -> Range<u64> {
        self.at..self.at + GROUP_HEADER
    }

    /// Its bytes, padding not counted.
    pub(super) fn bytes(&self) -> Range<u64> {
        let end = self
            .records
            .last()
            .map_or(self.header().end, |last| last.at.end);
        self.at..end
    }

    pub(super) fn end(&self) -> u64 {
        self.bytes().end.next_multiple_of(BLOCK)
    }
}

/// A file of the log.
#[derive(Clone, Debug)]
pub(super) struct LogFile {
    /// As seen from the directory.
    pub(super) name: PathBuf,
    /// None: nothing was ever written under this number.
    pub(super) groups: Vec<Group>,
    /// What it had before it was begun.
    filled: u64,
}

impl LogFile {
    /// What the file had, as far as is known when it ends at `end`: if that is more, it was cut.
    pub(super) fn filled(&self, end: u64) -> u64 {
        let whole = self.groups.iter().filter(|group| group.bytes().end <= end);
        let groups = whole.map(|group| group.filled).max().unwrap_or_default();
        let header = if end < FILE_HEADER { 0 } else { self.filled };
        groups.max(header)
    }
}

/// The numbered files of the log, in order.
pub(super) fn log_files(dir: &Path) -> Vec<LogFile> {
    let names = super::hurt::files(dir);
    let logs = names.into_iter().filter(|name| {
        name.starts_with("log") && name.extension().is_some_and(|ending| ending == "log")
    });
    logs.map(|name| {
        let bytes = fs::read(dir.join(&name)).expect("read");
        let stem = name.file_stem().and_then(|stem| stem.to_str());
        let number = stem.and_then(|stem| stem.parse().ok()).expect("a number");
        let groups = groups(&bytes, number);
        let filled = match groups[..] {
            [] => 0,
            _ => u64_at(&bytes, 96),
        };
        LogFile {
            name,
            groups,
            filled,
        }
    })
    .collect()
}

fn u64_at(bytes: &[u8], at: u64) -> u64 {
    let field = bytes[at as usize..].first_chunk().expect("a field");
    u64::from_le_bytes(*field)
}

fn u32_at(bytes: &[u8], at: u64) -> u64 {
    let field = bytes[at as usize..].first_chunk().expect("a field");
    u64::from(u32::from_le_bytes(*field))
}

fn groups(bytes: &[u8], number: u64) -> Vec<Group> {
    let mut groups = Vec::new();
    if !bytes.starts_with(b"LVRTWLOG") || u64_at(bytes, 56) != number {
        return groups;
    }
    let epoch = u64_at(bytes, 48);
    let mut at = BLOCK;
    while at + GROUP_HEADER <= bytes.len() as u64 {
        let is_own = bytes[at as usize..].starts_with(b"LVGP")
            && [epoch, number] == [8, 16].map(|field| u64_at(bytes, at + field))
            && at / BLOCK == u32_at(bytes, at + 24);
        if !is_own {
            break;
        }
        let group = group(bytes, at);
        at = group.end();
        groups.push(group);
    }
    groups
}

fn group(bytes: &[u8], at: u64) -> Group {
    let first = u64_at(bytes, at + 32);
    let count = u32_at(bytes, at + 52);
    let mut records = Vec::new();
    let mut next = at + GROUP_HEADER;
    for lsn in first..first + count {
        let end = next + RECORD_HEADER + u32_at(bytes, next + 4);
        records.push(Record { lsn, at: next..end });
        next = end;
    }
    assert_eq!(
        next,
        at + GROUP_HEADER + u32_at(bytes, at + 48),
        "a whole group"
    );
    let filled = u32_at(bytes, at + 28) * BLOCK;
    Group {
        at,
        first,
        filled,
        records,
    }
}

/// Whether two places share a byte.
pub(super) fn touch(one: &Range<u64>, other: &Range<u64>) -> bool {
    one.start < other.end && other.start < one.end
}

//! A page's entry in the map: where the page lies and which of its messages are alive.
//!
//! ```text
//! key    'm', queue u64, page number u64 (both big-endian)
//! value  0 u8 version = 2     1 u64 segment   9 u64 offset   17 u32 length   21 u32 CRC
//!       25 u8 flags (1: the page holds one level; 2: its messages may have been delivered before;
//!             4: one of them may have a time to live of its own)         26 u8 level
//!       27 u64 mean length of their bodies, in parts of 65536
//!       35 u32 number of runs   39 runs × (first u64, count u32)
//! ```
//!
//! The page itself is a block, in the order of the queue. What it holds beside the ordinals in
//! its entry is dead.

use super::encode::push_runs;
use super::reader::Reader;
use super::{Malformed, RawChange, Runs};
use crate::message::RECORD_BYTES_MIN;

const KEY_FIRST: u8 = b'm';
const VERSION: u8 = 2;
const ONE_LEVEL: u8 = 1;
const REDELIVERED: u8 = 2;
const EXPIRES: u8 = 4;
const HEAD_BYTES: usize = 39;
const RUN_BYTES: usize = 12;
const BLOCK_HEAD_BYTES: u64 = 8;

/// Which page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageKey {
    /// Id of its queue.
    pub queue: u64,
    /// Its number, never used twice by the queue.
    pub number: u64,
}

impl PageKey {
    /// What all keys of pages begin with, and no other key.
    pub const PREFIX: &[u8] = &[KEY_FIRST];

    /// Reads a key of the map; none if it is no page's.
    pub fn parse(key: &[u8]) -> Option<PageKey> {
        let (&[KEY_FIRST], rest) = key.split_first_chunk()? else {
            return None;
        };
        let (queue, rest) = rest.split_first_chunk()?;
        Some(PageKey {
            queue: u64::from_be_bytes(*queue),
            number: u64::from_be_bytes(rest.try_into().ok()?),
        })
    }

    /// The key of the map.
    pub fn bytes(&self) -> Vec<u8> {
        let mut key = Vec::with_capacity(17);
        key.push(KEY_FIRST);
        key.extend_from_slice(&self.queue.to_be_bytes());
        key.extend_from_slice(&self.number.to_be_bytes());
        key
    }

    /// The page goes.
    pub fn deleted(&self) -> RawChange {
        RawChange {
            key: self.bytes(),
            value: None,
        }
    }
}

/// The mean length of bodies. The sum for all the messages it was made of is exact while they are
/// fewer than 65536, which is more than a chunk of ordinary size holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MeanLength(u64);

impl MeanLength {
    const PARTS: u128 = 1 << 16;

    /// Of so many bytes in so many bodies.
    pub fn of(bytes: u64, count: u64) -> MeanLength {
        let count = u128::from(count.max(1));
        let mean = (u128::from(bytes) * Self::PARTS + count / 2) / count;
        MeanLength(u64::try_from(mean).unwrap_or(u64::MAX))
    }

    /// How many bytes so many bodies have.
    pub fn total(self, count: u64) -> u64 {
        let parts = u128::from(self.0) * u128::from(count) + Self::PARTS / 2;
        u64::try_from(parts / Self::PARTS).unwrap_or(u64::MAX)
    }
}

/// A page and what of it is alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageEntry {
    /// Id of its queue.
    pub queue: u64,
    /// Its number in the queue.
    pub number: u64,
    /// The segment it lies in.
    pub segment: u64,
    /// Where in the segment.
    pub offset: u64,
    /// Bytes of the block.
    pub length: u32,
    /// CRC32C of the block.
    pub crc: u32,
    /// The level of all its messages, if they have one in common.
    pub level: Option<u8>,
    /// All its messages may have been delivered before, whatever stands in the page.
    pub is_redelivered: bool,
    /// One of its messages may have a time to live of its own.
    pub may_expire: bool,
    /// The mean length of the bodies that were alive when this was known last.
    pub body_length: MeanLength,
    /// The ordinals that are alive.
    pub runs: Runs,
}

impl PageEntry {
    /// Its key.
    pub fn page_key(&self) -> PageKey {
        PageKey {
            queue: self.queue,
            number: self.number,
        }
    }

    /// The key of the map.
    pub fn key(&self) -> Vec<u8> {
        self.page_key().bytes()
    }

    /// The value in the map.
    pub fn value(&self) -> Vec<u8> {
        let runs = self.runs.runs();
        let mut value = Vec::with_capacity(HEAD_BYTES + runs.len() * RUN_BYTES);
        value.push(VERSION);
        value.extend_from_slice(&self.segment.to_le_bytes());
        value.extend_from_slice(&self.offset.to_le_bytes());
        value.extend_from_slice(&self.length.to_le_bytes());
        value.extend_from_slice(&self.crc.to_le_bytes());
        value.push(self.flags());
        value.push(self.level.unwrap_or_default());
        value.extend_from_slice(&self.body_length.0.to_le_bytes());
        value.extend_from_slice(&(runs.len() as u32).to_le_bytes());
        push_runs(&mut value, &self.runs);
        value
    }

    /// The page is there, with these runs.
    pub fn put(&self) -> RawChange {
        RawChange {
            key: self.key(),
            value: Some(self.value()),
        }
    }

    /// Reads an entry of the map.
    pub fn decode(key: &[u8], value: &[u8]) -> Result<PageEntry, Malformed> {
        let PageKey { queue, number } =
            PageKey::parse(key).ok_or(Malformed("the key is no page's"))?;
        let mut reader = Reader(value);
        if reader.u8()? != VERSION {
            return Err(Malformed("a page entry of an unknown version"));
        }
        let mut entry = PageEntry {
            queue,
            number,
            segment: reader.u64()?,
            offset: reader.u64()?,
            length: reader.u32()?,
            crc: reader.u32()?,
            level: None,
            is_redelivered: false,
            may_expire: false,
            body_length: MeanLength::default(),
            runs: Runs::new(),
        };
        entry.read_flags(reader.u8()?, reader.u8()?)?;
        entry.body_length = MeanLength(reader.u64()?);
        let count = reader.count(RUN_BYTES)?;
        entry.runs = reader.runs(count)?;
        reader.end()?;
        if entry.runs.count() > entry.records_max() {
            return Err(Malformed("a page entry names more messages than fit"));
        }
        if entry.body_length.total(1) > u64::from(entry.length) {
            return Err(Malformed("a page entry names longer bodies than fit"));
        }
        Ok(entry)
    }

    fn flags(&self) -> u8 {
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        flag(self.level.is_some(), ONE_LEVEL)
            | flag(self.is_redelivered, REDELIVERED)
            | flag(self.may_expire, EXPIRES)
    }

    fn read_flags(&mut self, flags: u8, level: u8) -> Result<(), Malformed> {
        if flags & !(ONE_LEVEL | REDELIVERED | EXPIRES) != 0 {
            return Err(Malformed("a page entry has an unknown flag"));
        }
        self.level = (flags & ONE_LEVEL != 0).then_some(level);
        self.is_redelivered = flags & REDELIVERED != 0;
        self.may_expire = flags & EXPIRES != 0;
        match self.level {
            None if level != 0 => Err(Malformed("a page entry of no level names one")),
            _ => Ok(()),
        }
    }

    /// How many records the page has room for at most.
    fn records_max(&self) -> u64 {
        u64::from(self.length).saturating_sub(BLOCK_HEAD_BYTES) / RECORD_BYTES_MIN as u64
    }
}

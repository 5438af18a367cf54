//! Entries from bytes. What no [`super::encode`] wrote is refused as a whole, and nothing here
//! panics or reserves more memory than the bytes given account for.

use smallvec::SmallVec;

use super::reader::Reader;
use super::{EntryKind, Malformed, Runs};
use crate::host::Lsn;
use crate::message::Records;

/// An entry of the log.
#[derive(Debug)]
pub enum Entry {
    /// [`EntryKind::Batch`].
    Batch {
        /// Whose messages.
        queue: u64,
        /// The messages with their ordinals.
        records: Records,
    },
    /// [`EntryKind::Turn`].
    Turn(Turn),
    /// [`EntryKind::Placed`].
    Placed {
        /// The queue that gave ordinals.
        queue: u64,
        /// Which ordinals for what; never empty.
        placements: Vec<Placement>,
    },
    /// [`EntryKind::Settled`].
    Settled {
        /// Whose messages.
        queue: u64,
        /// Their ordinals; never empty.
        runs: Runs,
    },
    /// [`EntryKind::Returned`].
    Returned {
        /// Whose messages.
        queue: u64,
        /// Ordinals and delivery counts; never empty.
        counts: Vec<(u64, u32)>,
    },
}

/// Messages and settles that hold together or not at all.
#[derive(Debug, Default)]
pub struct Turn {
    /// The messages.
    pub sections: Vec<TurnSection>,
    /// Per queue what is settled with them.
    pub settles: Vec<(u64, Runs)>,
}

/// Messages of a turn that go to the same queues.
#[derive(Debug, Default)]
pub struct TurnSection {
    /// Ids of the queues.
    pub queues: SmallVec<[u64; 4]>,
    /// The messages.
    pub records: Records,
}

/// Messages of a turn that got consecutive ordinals in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The turn's place in the log.
    pub turn: Lsn,
    /// The first of them, counted over all the turn's messages of this queue.
    pub index: u32,
    /// How many; at least one.
    pub count: u32,
    /// The first one's ordinal; 0 when the queue refused them.
    pub ordinal: u64,
}

impl Placement {
    /// Whether a message with this ordinal (0: refused) continues the run.
    pub(crate) fn is_followed_by(&self, ordinal: u64) -> bool {
        match self.ordinal {
            0 => ordinal == 0,
            first => ordinal == first + u64::from(self.count),
        }
    }
}

impl Entry {
    /// Reads the payload of an entry.
    pub fn decode(kind: EntryKind, payload: &[u8]) -> Result<Entry, Malformed> {
        match kind {
            EntryKind::Batch => {
                let mut records = Records::new();
                let queue = read_batch(payload, &mut records)?;
                Ok(Entry::Batch { queue, records })
            }
            EntryKind::Turn => Turn::decode(payload).map(Entry::Turn),
            EntryKind::Placed => {
                let (queue, placements) = read_placed(payload)?;
                Ok(Entry::Placed { queue, placements })
            }
            EntryKind::Settled => {
                let (queue, runs) = read_settled(payload)?;
                Ok(Entry::Settled { queue, runs })
            }
            EntryKind::Returned => {
                let (queue, counts) = read_returned(payload)?;
                Ok(Entry::Returned { queue, counts })
            }
        }
    }
}

/// Reads a batch: its queue; its messages in place of what `records` held.
pub fn read_batch(payload: &[u8], records: &mut Records) -> Result<u64, Malformed> {
    let mut reader = Reader(payload);
    let queue = reader.u64()?;
    reader.0 = records.read_block(reader.0)?;
    reader.end()?;
    if records.iter().any(|record| record.ordinal() == 0) {
        return Err(Malformed("a message without an ordinal"));
    }
    Ok(queue)
}

impl Turn {
    /// Reads a turn.
    pub fn decode(payload: &[u8]) -> Result<Turn, Malformed> {
        let mut reader = Reader(payload);
        let mut turn = Turn::default();
        for _ in 0..reader.count(SECTION_BYTES_MIN)? {
            turn.sections.push(read_section(&mut reader)?);
        }
        for _ in 0..reader.count(SETTLE_BYTES_MIN)? {
            let queue = reader.u64()?;
            let count = reader.count(RUN_BYTES)?;
            turn.settles.push((queue, reader.runs(count)?));
        }
        reader.end()?;
        Ok(turn)
    }
}

fn read_section(reader: &mut Reader<'_>) -> Result<TurnSection, Malformed> {
    let mut section = TurnSection::default();
    for _ in 0..reader.count(size_of::<u64>())? {
        section.queues.push(reader.u64()?);
    }
    reader.0 = section.records.read_block(reader.0)?;
    Ok(section)
}

/// Reads a queue and what it placed.
pub fn read_placed(payload: &[u8]) -> Result<(u64, Vec<Placement>), Malformed> {
    let mut reader = Reader(payload);
    let queue = reader.u64()?;
    let count = reader.count_of_rest(PLACEMENT_BYTES)?;
    let placements = (0..count).map(|_| read_placement(&mut reader));
    Ok((queue, placements.collect::<Result<_, _>>()?))
}

fn read_placement(reader: &mut Reader<'_>) -> Result<Placement, Malformed> {
    let placement = Placement {
        turn: Lsn(reader.u64()?),
        index: reader.u32()?,
        count: reader.u32()?,
        ordinal: reader.u64()?,
    };
    let indexes_end = placement.index.checked_add(placement.count);
    let ordinals_end = placement.ordinal.checked_add(placement.count.into());
    if placement.count == 0 || indexes_end.is_none() || ordinals_end.is_none() {
        return Err(Malformed("a placement of no or too many messages"));
    }
    Ok(placement)
}

/// Reads a queue and what is gone from it.
pub fn read_settled(payload: &[u8]) -> Result<(u64, Runs), Malformed> {
    let mut reader = Reader(payload);
    let queue = reader.u64()?;
    let count = reader.count_of_rest(RUN_BYTES)?;
    Ok((queue, reader.runs(count)?))
}

/// Reads a queue and what came back to it.
pub fn read_returned(payload: &[u8]) -> Result<(u64, Vec<(u64, u32)>), Malformed> {
    let mut reader = Reader(payload);
    let queue = reader.u64()?;
    let count = reader.count_of_rest(RETURN_BYTES)?;
    let counts = (0..count).map(|_| Ok((reader.u64()?, reader.u32()?)));
    Ok((queue, counts.collect::<Result<_, _>>()?))
}

const RUN_BYTES: usize = 12;
const RETURN_BYTES: usize = 12;
const PLACEMENT_BYTES: usize = 24;
/// No queues and an empty block.
const SECTION_BYTES_MIN: usize = 4 + 8;
/// A queue and no runs.
const SETTLE_BYTES_MIN: usize = 8 + 4;

//! Records: what the log is a sequence of, and the one kind that carries changes of the map. The
//! kinds from 2 to 127 carry entries, whose bytes are the owner's.
//! Never reads or writes a file. A record's LSN is its place in the log and not stored with it.
//!
//! ```text
//!  0  4  CRC32C of bytes 4.., seeded by node, epoch and file
//!  4  4  payload length
//!  8  1  kind                 1 = changes; 2..=127 = entries; 0 is never used
//!  9  1  flags                bit 0: a reader that does not know the kind may skip the record
//! 10  2  zero
//! 12  …  payload
//!
//! changes:  one or more of
//!   1  put     key length u32, value length u32, key, value
//!   2  delete  key length u32, key
//! ```

use super::layout::Cursor;

/// The bytes before a record's payload.
pub(super) const RECORD_HEADER_BYTES: usize = 12;
/// The longest key: what the catalogue keeps in one page together with its neighbours.
pub const KEY_MAX_BYTES: usize = 2048;

/// The record's payload is changes of the map.
pub(super) const KIND_CHANGES: u8 = 1;
/// A reader that does not know the record's kind may pass over it.
pub(super) const FLAG_SKIPPABLE: u8 = 1;

const OP_PUT: u8 = 1;
const OP_DELETE: u8 = 2;

/// One change of the map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The key has this value from now on.
    Put {
        /// The key, up to [`KEY_MAX_BYTES`].
        key: Vec<u8>,
        /// Its new value.
        value: Vec<u8>,
    },
    /// The key is no longer in the map; no error if it never was.
    Delete {
        /// The key.
        key: Vec<u8>,
    },
}

impl Change {
    /// The key the change is about.
    pub fn key(&self) -> &[u8] {
        match self {
            Change::Put { key, .. } | Change::Delete { key } => key,
        }
    }

    /// The key and its new value, `None` where it is deleted.
    pub(super) fn into_entry(self) -> (Vec<u8>, Option<Vec<u8>>) {
        match self {
            Change::Put { key, value } => (key, Some(value)),
            Change::Delete { key } => (key, None),
        }
    }

    fn encoded_bytes(&self) -> usize {
        match self {
            Change::Put { key, value } => 9 + key.len() + value.len(),
            Change::Delete { key } => 5 + key.len(),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Change::Put { key, value } => {
                out.push(OP_PUT);
                out.extend_from_slice(&(key.len() as u32).to_le_bytes());
                out.extend_from_slice(&(value.len() as u32).to_le_bytes());
                out.extend_from_slice(key);
                out.extend_from_slice(value);
            }
            Change::Delete { key } => {
                out.push(OP_DELETE);
                out.extend_from_slice(&(key.len() as u32).to_le_bytes());
                out.extend_from_slice(key);
            }
        }
    }
}

/// How many bytes the record of these changes takes in the log.
pub(super) fn changes_record_bytes(changes: &[Change]) -> usize {
    RECORD_HEADER_BYTES + changes.iter().map(Change::encoded_bytes).sum::<usize>()
}

/// Appends the record of these changes to `out`, without its checksum: [`seal`] adds it.
pub(super) fn encode_changes(changes: &[Change], out: &mut Vec<u8>) {
    begin_record(
        KIND_CHANGES,
        0,
        changes_record_bytes(changes) - RECORD_HEADER_BYTES,
        out,
    );
    for change in changes {
        change.encode(out);
    }
}

/// Appends the header of a record whose payload, of `length` bytes, the caller appends next.
pub(super) fn begin_record(kind: u8, flags: u8, length: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(length as u32).to_le_bytes());
    out.extend_from_slice(&[kind, flags, 0, 0]);
}

/// Writes the checksums of all records in `records`; called when their file is known.
pub(super) fn seal(records: &mut [u8], seed: u32) {
    let mut rest = records;
    while rest.len() >= RECORD_HEADER_BYTES {
        let length = u32::from_le_bytes([rest[4], rest[5], rest[6], rest[7]]) as usize;
        let (record, after) = rest.split_at_mut(RECORD_HEADER_BYTES + length);
        let crc = crc32c::crc32c_append(seed, &record[4..]);
        record[..4].copy_from_slice(&crc.to_le_bytes());
        rest = after;
    }
}

/// A record as it lies in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record<'a> {
    /// Where it begins, from the start of the records.
    pub(super) at: usize,
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) payload: &'a [u8],
}

/// One step through the records of a group.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// A record whose checksum holds.
    Whole(Record<'a>),
    /// A record whose checksum does not hold, at this place.
    Damaged(usize),
}

/// Walks the records of a group. After a damaged record it trusts that record's length: if the
/// length is what was damaged, the next checksum fails too.
#[derive(Debug)]
pub(super) struct Records<'a> {
    bytes: &'a [u8],
    at: usize,
    seed: u32,
}

impl<'a> Records<'a> {
    pub(super) fn new(bytes: &'a [u8], seed: u32) -> Self {
        Records { bytes, at: 0, seed }
    }

    /// Walks records whose checksums were checked before, and does not check them again.
    pub(super) fn checked(bytes: &'a [u8]) -> impl Iterator<Item = Record<'a>> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let (_crc, record) = parse(bytes, at)?;
            at += RECORD_HEADER_BYTES + record.payload.len();
            Some(record)
        })
    }

    fn check(&self, at: usize) -> Option<(usize, Step<'a>)> {
        let (crc, record) = parse(self.bytes, at)?;
        let end = at + RECORD_HEADER_BYTES + record.payload.len();
        let whole = crc32c::crc32c_append(self.seed, &self.bytes[at + 4..end]) == crc;
        let step = if whole {
            Step::Whole(record)
        } else {
            Step::Damaged(at)
        };
        Some((end, step))
    }
}

/// The checksum a record names, and the record.
fn parse(bytes: &[u8], at: usize) -> Option<(u32, Record<'_>)> {
    let mut cursor = Cursor::new(bytes.get(at..)?);
    let (crc, length) = (cursor.u32()?, cursor.u32()? as usize);
    let (kind, flags) = (cursor.u8()?, cursor.u8()?);
    cursor.u16()?;
    let payload = cursor.bytes(length)?;
    Some((
        crc,
        Record {
            at,
            kind,
            flags,
            payload,
        },
    ))
}

impl<'a> Iterator for Records<'a> {
    type Item = Step<'a>;

    fn next(&mut self) -> Option<Step<'a>> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let at = self.at;
        let (next, step) = self
            .check(at)
            .unwrap_or((self.bytes.len(), Step::Damaged(at)));
        self.at = next;
        Some(step)
    }
}

/// Reads the changes of a record's payload; `None` if it is not well formed.
pub(super) fn decode_changes(payload: &[u8]) -> Option<Vec<Change>> {
    let mut cursor = Cursor::new(payload);
    let mut changes = Vec::new();
    while !cursor.is_empty() {
        changes.push(decode_change(&mut cursor)?);
    }
    Some(changes)
}

fn decode_change(cursor: &mut Cursor<'_>) -> Option<Change> {
    match cursor.u8()? {
        OP_PUT => {
            let (key, value) = (cursor.u32()? as usize, cursor.u32()? as usize);
            let (key, value) = (cursor.bytes(key)?.to_vec(), cursor.bytes(value)?.to_vec());
            Some(Change::Put { key, value })
        }
        OP_DELETE => {
            let key = cursor.u32()? as usize;
            Some(Change::Delete {
                key: cursor.bytes(key)?.to_vec(),
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes() -> Vec<Change> {
        vec![
            Change::Put {
                key: b"queue".to_vec(),
                value: b"orders".to_vec(),
            },
            Change::Delete { key: Vec::new() },
            Change::Put {
                key: b"empty".to_vec(),
                value: Vec::new(),
            },
        ]
    }

    fn two_records() -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_changes(&changes(), &mut bytes);
        begin_record(9, FLAG_SKIPPABLE, 3, &mut bytes);
        bytes.extend_from_slice(b"abc");
        seal(&mut bytes, 5);
        bytes
    }

    #[test]
    fn changes_read_back_in_order() {
        let bytes = two_records();
        let steps: Vec<_> = Records::new(&bytes, 5).collect();
        let [Step::Whole(first), Step::Whole(second)] = steps[..] else {
            panic!("two whole records expected, got {steps:?}");
        };
        assert_eq!(first.kind, KIND_CHANGES);
        assert_eq!(decode_changes(first.payload), Some(changes()));
        assert_eq!(
            (second.kind, second.flags, second.payload),
            (9, 1, &b"abc"[..])
        );
        assert_eq!(second.at, changes_record_bytes(&changes()));
    }

    #[test]
    fn another_seed_makes_every_record_damaged() {
        let bytes = two_records();
        assert!(Records::new(&bytes, 6).all(|step| matches!(step, Step::Damaged(_))));
    }

    #[test]
    fn every_flipped_bit_is_noticed_and_spares_the_other_record() {
        let whole = two_records();
        let second_at = changes_record_bytes(&changes());
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let steps: Vec<_> = Records::new(&bytes, 5).collect();
            let damaged = steps
                .iter()
                .filter(|step| matches!(step, Step::Damaged(_)))
                .count();
            assert!(damaged >= 1, "bit {bit}");
            if bit / 8 >= second_at {
                assert!(matches!(steps[0], Step::Whole(_)), "bit {bit}");
            }
        }
    }

    #[test]
    fn malformed_payloads_are_refused() {
        let mut payload = Vec::new();
        changes()[0].encode(&mut payload);
        for length in 1..payload.len() {
            assert_eq!(decode_changes(&payload[..length]), None, "length {length}");
        }
        assert_eq!(decode_changes(&[3]), None);
    }
}

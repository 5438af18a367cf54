//! Groups: what one write and one sync carry, and the header of a log file.
//! Knows the bytes only; where a group goes is the log's decision, whether it counts the replay's.
//!
//! ```text
//! log file                                     group, on a multiple of 4096
//!   0  128  file header; its fields:             0  4  magic "LVGP"
//!   48   8    epoch      which start wrote it    4  4  CRC32C of bytes 8..64, seeded
//!   56   8    number     as in the name          8  8  epoch
//!   64   8    first LSN of the file             16  8  file number
//!   72   8    synced LSN when it was begun      24  4  offset in the file, in blocks
//!   80   8    size of the file                  28  4  blocks it had, durably
//!   88   8    LSN it follows                    32  8  LSN of the first record
//!   96   8    bytes it had, durably             40  8  synced LSN when it was written
//!  128       zero                               48  4  bytes of records
//! 4096       groups                             52  4  number of records
//! seed = CRC32C(node id, epoch, file number)    56  8  LSN it follows
//!                                               64  …  records, then zero up to 4096
//! ```

use super::Lsn;
use super::layout::{Cursor, Identity, Magic, write_header};
use super::record;

/// Files, and groups in them, begin on multiples of this.
pub(super) const BLOCK_BYTES: usize = 4096;
/// The bytes before a group's records.
pub(super) const GROUP_HEADER_BYTES: usize = 64;
/// The largest group, header included: what waits longer goes into the next one.
pub(super) const GROUP_MAX_BYTES: usize = 8 << 20;

const GROUP_MAGIC: &[u8; 4] = b"LVGP";

/// `bytes` rounded up to whole blocks.
pub(super) fn whole_blocks(bytes: usize) -> usize {
    bytes.next_multiple_of(BLOCK_BYTES)
}

/// `bytes` in blocks, a part of one not counted. A file of the log is far below 16 TiB.
fn blocks(bytes: u64) -> u32 {
    u32::try_from(bytes / BLOCK_BYTES as u64).unwrap_or(u32::MAX)
}

/// The fields of a log file's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LogHeader {
    /// Counts the starts of the node.
    pub(super) epoch: u64,
    pub(super) number: u64,
    /// The LSN of the file's first record.
    pub(super) first: Lsn,
    /// What was known to be on the device when the file was begun.
    pub(super) synced: Lsn,
    /// The size of the file.
    pub(super) file_bytes: u64,
    /// The last record in the files before it. Mostly the one before `first`; but without syncs,
    /// or after damage, a start may find less in the log than in the catalogue.
    pub(super) follows: Lsn,
    /// What the file had, durably, before it was begun: a shorter one was cut. 0: nothing.
    pub(super) filled: u64,
}

impl LogHeader {
    /// Whether nothing is missing between record `from` and the file: either the file has that
    /// record, or no file ever had it, and changes up to `known` are known from elsewhere.
    pub(super) fn reaches_back_to(&self, from: Lsn, known: Lsn) -> bool {
        self.first <= from || (self.follows < from && self.first <= known.next())
    }

    /// The file's first block.
    pub(super) fn encode(&self, identity: &Identity) -> [u8; BLOCK_BYTES] {
        let mut fields = Vec::with_capacity(56);
        for field in [
            self.epoch,
            self.number,
            self.first.0,
            self.synced.0,
            self.file_bytes,
            self.follows.0,
            self.filled,
        ] {
            fields.extend_from_slice(&field.to_le_bytes());
        }
        let header = write_header(Magic::Log, identity, &fields);
        let mut block = [0; BLOCK_BYTES];
        block[..header.len()].copy_from_slice(&header);
        block
    }

    /// From the fields of a file header whose checksum held.
    pub(super) fn decode(fields: &[u8]) -> Option<LogHeader> {
        let mut cursor = Cursor::new(fields);
        Some(LogHeader {
            epoch: cursor.u64()?,
            number: cursor.u64()?,
            first: Lsn(cursor.u64()?),
            synced: Lsn(cursor.u64()?),
            file_bytes: cursor.u64()?,
            follows: Lsn(cursor.u64()?),
            filled: cursor.u64()?,
        })
    }
}

/// The header of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GroupHeader {
    pub(super) epoch: u64,
    pub(super) number: u64,
    /// Where it begins, on a whole block.
    pub(super) offset: u64,
    /// What the file had, durably, when the group was written, in whole blocks: as in
    /// [`LogHeader`].
    pub(super) filled: u64,
    /// The LSN of the first record.
    pub(super) first: Lsn,
    /// What was known to be on the device when the group was written.
    pub(super) synced: Lsn,
    /// The last record in the log before it, as in [`LogHeader`].
    pub(super) follows: Lsn,
    pub(super) records_bytes: u32,
    pub(super) records: u32,
}

impl GroupHeader {
    /// The LSN after the group's last record.
    pub(super) fn next(&self) -> Lsn {
        Lsn(self.first.0.saturating_add(u64::from(self.records)))
    }

    /// Whether what says so of `epoch` was written when the group's first record was known to be
    /// on the device.
    pub(super) fn is_synced_at(&self, epoch: u64, synced: Lsn) -> bool {
        epoch == self.epoch && synced >= self.first
    }

    /// Where the group's records begin.
    pub(super) fn records_at(&self) -> u64 {
        self.offset + GROUP_HEADER_BYTES as u64
    }

    /// Where the next group begins.
    pub(super) fn end(&self) -> u64 {
        let bytes = whole_blocks(GROUP_HEADER_BYTES + self.records_bytes as usize);
        self.offset.saturating_add(bytes as u64)
    }

    /// Writes the header and all checksums into `group`, which has room for the header in front
    /// of its records.
    pub(super) fn seal(&self, identity: &Identity, group: &mut [u8]) {
        let (header, records) = group.split_at_mut(GROUP_HEADER_BYTES);
        record::seal(records, identity.seed(self.epoch, self.number));
        self.seal_header(identity, header);
    }

    /// Writes the header in front of records that have their checksums.
    pub(super) fn seal_header(&self, identity: &Identity, header: &mut [u8]) {
        header.fill(0);
        header[..4].copy_from_slice(GROUP_MAGIC);
        header[8..16].copy_from_slice(&self.epoch.to_le_bytes());
        header[16..24].copy_from_slice(&self.number.to_le_bytes());
        header[24..28].copy_from_slice(&blocks(self.offset).to_le_bytes());
        header[28..32].copy_from_slice(&blocks(self.filled).to_le_bytes());
        header[32..40].copy_from_slice(&self.first.0.to_le_bytes());
        header[40..48].copy_from_slice(&self.synced.0.to_le_bytes());
        header[48..52].copy_from_slice(&self.records_bytes.to_le_bytes());
        header[52..56].copy_from_slice(&self.records.to_le_bytes());
        header[56..64].copy_from_slice(&self.follows.0.to_le_bytes());
        let seed = identity.seed(self.epoch, self.number);
        let crc = crc32c::crc32c_append(seed, &header[8..GROUP_HEADER_BYTES]);
        header[4..8].copy_from_slice(&crc.to_le_bytes());
    }

    /// Reads a group header; `None` if it is not one, or its checksum does not hold.
    pub(super) fn decode(identity: &Identity, bytes: &[u8]) -> Option<GroupHeader> {
        let bytes = bytes.get(..GROUP_HEADER_BYTES)?;
        let mut cursor = Cursor::new(bytes);
        let (magic, crc): ([u8; 4], u32) = (cursor.array()?, cursor.u32()?);
        let header = GroupHeader {
            epoch: cursor.u64()?,
            number: cursor.u64()?,
            offset: u64::from(cursor.u32()?) * BLOCK_BYTES as u64,
            filled: u64::from(cursor.u32()?) * BLOCK_BYTES as u64,
            first: Lsn(cursor.u64()?),
            synced: Lsn(cursor.u64()?),
            records_bytes: cursor.u32()?,
            records: cursor.u32()?,
            follows: Lsn(cursor.u64()?),
        };
        let seed = identity.seed(header.epoch, header.number);
        let whole = &magic == GROUP_MAGIC && crc32c::crc32c_append(seed, &bytes[8..]) == crc;
        whole.then_some(header)
    }

    /// Whether `bytes` begin like a group of that file at that place, whatever its checksum says:
    /// a write was cut short there.
    pub(super) fn begins(bytes: &[u8], epoch: u64, number: u64) -> bool {
        let mut cursor = Cursor::new(bytes);
        let magic = cursor
            .array::<4>()
            .is_some_and(|magic| &magic == GROUP_MAGIC);
        let _crc = cursor.u32();
        magic && cursor.u64() == Some(epoch) && cursor.u64() == Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::layout::{Header, read_header};
    use crate::store::record::{Change, Records, Step, encode_changes};

    const IDENTITY: Identity = Identity {
        node: [3; 16],
        cluster: [0; 16],
    };

    fn sealed() -> (GroupHeader, Vec<u8>) {
        let mut bytes = vec![0; GROUP_HEADER_BYTES];
        encode_changes(&[Change::Delete { key: b"k".to_vec() }], &mut bytes);
        let header = GroupHeader {
            epoch: 4,
            number: 9,
            offset: 8192,
            filled: 1 << 18,
            first: Lsn(100),
            synced: Lsn(99),
            follows: Lsn(97),
            records_bytes: (bytes.len() - GROUP_HEADER_BYTES) as u32,
            records: 1,
        };
        header.seal(&IDENTITY, &mut bytes);
        (header, bytes)
    }

    #[test]
    fn a_group_reads_back_with_its_records() {
        let (header, bytes) = sealed();
        assert_eq!(GroupHeader::decode(&IDENTITY, &bytes), Some(header));
        assert_eq!(header.next(), Lsn(101));
        assert_eq!(header.end(), 8192 + 4096);
        let mut records = Records::new(&bytes[GROUP_HEADER_BYTES..], IDENTITY.seed(4, 9));
        assert!(matches!(records.next(), Some(Step::Whole(_))));
        assert_eq!(records.next(), None);
    }

    #[test]
    fn every_flipped_bit_of_a_group_header_is_noticed() {
        let (_, bytes) = sealed();
        for bit in 0..GROUP_HEADER_BYTES * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(GroupHeader::decode(&IDENTITY, &damaged), None, "bit {bit}");
        }
    }

    #[test]
    fn a_group_of_another_node_is_none() {
        let (_, bytes) = sealed();
        let other = Identity {
            node: [4; 16],
            ..IDENTITY
        };
        assert_eq!(GroupHeader::decode(&other, &bytes), None);
    }

    #[test]
    fn sealing_again_for_another_file_leaves_nothing_of_the_first() {
        let (header, mut bytes) = sealed();
        let moved = GroupHeader {
            number: 10,
            offset: 4096,
            ..header
        };
        moved.seal(&IDENTITY, &mut bytes);
        assert_eq!(GroupHeader::decode(&IDENTITY, &bytes), Some(moved));
        assert!(GroupHeader::begins(&bytes, 4, 10));
        assert!(!GroupHeader::begins(&bytes, 4, 9));
    }

    #[test]
    fn a_file_reaches_back_over_records_that_no_file_has_if_their_changes_are_known() {
        let header = LogHeader {
            epoch: 1,
            number: 2,
            first: Lsn(10),
            synced: Lsn(9),
            file_bytes: 1 << 26,
            follows: Lsn(6),
            filled: 0,
        };
        let cases = [(10, 0, true), (9, 0, false), (9, 8, false), (9, 9, true)];
        for (from, known, reaches) in cases.into_iter().chain([(7, 9, true), (6, 9, false)]) {
            let found = header.reaches_back_to(Lsn(from), Lsn(known));
            assert_eq!(found, reaches, "{from} {known}");
        }
    }

    #[test]
    fn a_log_header_reads_back() {
        let header = LogHeader {
            epoch: 1,
            number: 2,
            first: Lsn(3),
            synced: Lsn(2),
            file_bytes: 1 << 26,
            follows: Lsn(1),
            filled: 1 << 20,
        };
        let block = header.encode(&IDENTITY);
        let path = std::path::Path::new("log");
        let Ok(Header::Whole { identity, fields }) = read_header(path, Magic::Log, &block) else {
            panic!("whole header expected");
        };
        assert_eq!(identity, IDENTITY);
        assert_eq!(LogHeader::decode(fields), Some(header));
    }
}

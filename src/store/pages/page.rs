//! The bytes of a page in a segment file: a small header and what the page holds. Knows nothing of
//! which pages are in use.
//!
//! ```text
//!  0  4  magic "LVPG"
//!  4  4  CRC32C of bytes 8.., seeded with node id, segment and offset
//!  8  4  length of what the page holds
//! 12  4  zero
//! 16  …  what the page holds
//! ```

use std::path::Path;

use crate::store::StoreError;
use crate::store::disk::File;
use crate::store::layout::Identity;

/// The bytes before what a page holds.
pub(super) const PAGE_HEADER_BYTES: usize = 16;
/// What a page can hold at most: with its header, what a 32-bit length can say.
pub const PAGE_MAX_BYTES: usize = u32::MAX as usize - PAGE_HEADER_BYTES;

const PAGE_MAGIC: &[u8; 4] = b"LVPG";
/// A page is verified in pieces of this size.
const PIECE_BYTES: usize = 1 << 20;

/// Where a page lies, and the checksum it must have there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageAt {
    /// The segment's number; numbers of transient segments have the highest bit set.
    pub segment: u64,
    /// Where the page's header begins in the segment file.
    pub offset: u64,
    /// The bytes the page holds, its header not counted.
    pub length: u32,
    /// The checksum in its header.
    pub crc: u32,
}

impl PageAt {
    /// The bytes the page takes in the file, with its header.
    pub(super) fn framed_bytes(&self) -> u64 {
        framed_bytes(self.length)
    }
}

/// What a page that holds `length` bytes takes in the file.
pub(super) fn framed_bytes(length: u32) -> u64 {
    PAGE_HEADER_BYTES as u64 + u64::from(length)
}

/// The header of a page that holds `parts`, one behind the other, `length` bytes together.
pub(super) fn seal(
    identity: &Identity,
    (segment, offset): (u64, u64),
    length: u32,
    parts: &[&[u8]],
) -> (PageAt, [u8; PAGE_HEADER_BYTES]) {
    let mut header = [0; PAGE_HEADER_BYTES];
    header[..4].copy_from_slice(PAGE_MAGIC);
    header[8..12].copy_from_slice(&length.to_le_bytes());
    let mut crc = crc32c::crc32c_append(identity.seed(segment, offset), &header[8..]);
    for part in parts {
        crc = crc32c::crc32c_append(crc, part);
    }
    header[4..8].copy_from_slice(&crc.to_le_bytes());
    let at = PageAt {
        segment,
        offset,
        length,
        crc,
    };
    (at, header)
}

/// Pages of one segment file, as they are read.
pub(super) struct PageReader<'a> {
    pub(super) identity: &'a Identity,
    pub(super) file: &'a dyn File,
    pub(super) path: &'a Path,
}

impl PageReader<'_> {
    /// What the page holds, checked.
    pub(super) fn read(&self, at: &PageAt) -> Result<Vec<u8>, StoreError> {
        let seed = self.check_header(at)?;
        let bytes = self.piece(at, 0, at.length as usize)?;
        self.check(at, crc32c::crc32c_append(seed, &bytes))?;
        Ok(bytes)
    }

    /// Checks the page without holding all of it in memory.
    pub(super) fn verify(&self, at: &PageAt) -> Result<(), StoreError> {
        let mut crc = self.check_header(at)?;
        let mut done = 0;
        while done < at.length as usize {
            let wanted = (at.length as usize - done).min(PIECE_BYTES);
            crc = crc32c::crc32c_append(crc, &self.piece(at, done, wanted)?);
            done += wanted;
        }
        self.check(at, crc)
    }

    /// Compares the header with what it must be; returns the checksum of what it covers of itself.
    fn check_header(&self, at: &PageAt) -> Result<u32, StoreError> {
        let mut found = [0; PAGE_HEADER_BYTES];
        let read = self
            .file
            .pread(&mut found, at.offset)
            .map_err(StoreError::io("read", self.path))?;
        if read < PAGE_HEADER_BYTES {
            return Err(self.corrupt(at.offset + read as u64, "the page is cut short"));
        }
        let mut expected = [0; PAGE_HEADER_BYTES];
        expected[..4].copy_from_slice(PAGE_MAGIC);
        expected[4..8].copy_from_slice(&at.crc.to_le_bytes());
        expected[8..12].copy_from_slice(&at.length.to_le_bytes());
        if found != expected {
            return Err(self.corrupt(at.offset, "the page's header is not the one it must be"));
        }
        let seed = self.identity.seed(at.segment, at.offset);
        Ok(crc32c::crc32c_append(seed, &found[8..]))
    }

    fn piece(&self, at: &PageAt, from: usize, bytes: usize) -> Result<Vec<u8>, StoreError> {
        let offset = at.offset + (PAGE_HEADER_BYTES + from) as u64;
        let piece = self
            .file
            .read(bytes, offset)
            .map_err(StoreError::io("read", self.path))?;
        if piece.len() == bytes {
            return Ok(piece);
        }
        Err(self.corrupt(offset + piece.len() as u64, "the page is cut short"))
    }

    fn check(&self, at: &PageAt, crc: u32) -> Result<(), StoreError> {
        if crc == at.crc {
            return Ok(());
        }
        Err(self.corrupt(at.offset, "the page's checksum does not hold"))
    }

    fn corrupt(&self, offset: u64, what: &'static str) -> StoreError {
        StoreError::Corrupt {
            path: self.path.to_path_buf(),
            offset,
            what,
        }
    }
}

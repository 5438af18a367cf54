//! What one file of the simulated disk holds: its bytes, and which of its blocks are holes.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{BLOCK_BYTES, SECTOR_BYTES};

/// The bytes of a file; a clone shares them until either is changed.
#[derive(Debug, Clone, Default)]
pub(super) struct Contents {
    pub(super) bytes: Arc<Vec<u8>>,
    /// The blocks that take no space.
    holes: BTreeSet<u64>,
}

/// A change of a file's bytes that may not have reached the device.
#[derive(Debug, Clone)]
pub(super) enum Update {
    Write { offset: u64, bytes: Arc<[u8]> },
    Punch { offset: u64, bytes: u64 },
}

impl Update {
    /// What a power loss can do one without the other.
    pub(super) fn parts(&self) -> Vec<Update> {
        let (offset, end, step) = match self {
            Update::Write { offset, bytes } => {
                (*offset, offset + bytes.len() as u64, SECTOR_BYTES as u64)
            }
            Update::Punch { offset, bytes } => (*offset, offset + bytes, BLOCK_BYTES),
        };
        let mut parts = Vec::new();
        let mut from = offset;
        while from < end {
            let to = ((from / step + 1) * step).min(end);
            parts.push(match self {
                Update::Write { bytes, .. } => {
                    let part = (from - offset) as usize..(to - offset) as usize;
                    let bytes = bytes[part].into();
                    Update::Write {
                        offset: from,
                        bytes,
                    }
                }
                Update::Punch { .. } => Update::Punch {
                    offset: from,
                    bytes: to - from,
                },
            });
            from = to;
        }
        parts
    }
}

impl Contents {
    pub(super) fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// The bytes that are in no hole.
    pub(super) fn allocated(&self) -> u64 {
        let holes = self.holes.iter();
        self.size() - holes.map(|block| self.block_bytes(*block)).sum::<u64>()
    }

    /// What a block has of the file; the last one is shorter.
    fn block_bytes(&self, block: u64) -> u64 {
        let start = block * BLOCK_BYTES;
        (self.size().saturating_sub(start)).min(BLOCK_BYTES)
    }

    /// The space that `count` bytes written at `offset` need.
    pub(super) fn growth(&self, offset: u64, count: u64) -> u64 {
        if count == 0 {
            return 0;
        }
        let end = offset + count;
        let touched = offset / BLOCK_BYTES..=(end - 1) / BLOCK_BYTES;
        let holes = self.holes.range(touched);
        let filled = holes.map(|block| self.block_bytes(*block)).sum::<u64>();
        filled + end.saturating_sub(self.size())
    }

    pub(super) fn apply(&mut self, update: &Update) {
        match update {
            Update::Write { offset, bytes } => self.write(*offset, bytes),
            Update::Punch { offset, bytes } => self.punch(*offset, *bytes),
        }
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let (start, end) = (offset as usize, offset as usize + bytes.len());
        let all = Arc::make_mut(&mut self.bytes);
        if all.len() < end {
            all.resize(end, 0);
        }
        all[start..end].copy_from_slice(bytes);
        for block in offset / BLOCK_BYTES..=(end as u64 - 1) / BLOCK_BYTES {
            self.holes.remove(&block);
        }
    }

    /// Zeros the range; whole blocks in it, the file's last one included, become holes.
    fn punch(&mut self, offset: u64, bytes: u64) {
        let end = (offset + bytes).min(self.size());
        if offset >= end {
            return;
        }
        Arc::make_mut(&mut self.bytes)[offset as usize..end as usize].fill(0);
        for block in offset.div_ceil(BLOCK_BYTES)..end.div_ceil(BLOCK_BYTES) {
            let whole = block * BLOCK_BYTES + self.block_bytes(block) <= end;
            if whole {
                self.holes.insert(block);
            }
        }
    }
}

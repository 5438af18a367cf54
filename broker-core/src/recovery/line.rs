//! Messages whose ordinals came in order: nearly all of them. Chunks one behind the other, each
//! with the positions of its records, so that an ordinal is found by two short searches and
//! costs four bytes beside its record.

use std::collections::VecDeque;

use super::chunk::{CHUNK_BYTES_MAX, Chunk};
use crate::host::Lsn;
use crate::message::{Position, RecordRef};

/// So many empty chunks are stepped over rather than taken out.
const SHELLS_KEPT: usize = 8;

#[derive(Debug)]
struct Link {
    chunk: Chunk,
    /// Of all records in `chunk`, ascending like their ordinals.
    positions: Vec<Position>,
    /// Ordinals between which all its records lie, and no record of another link.
    first: u64,
    last: u64,
}

/// Ascending ordinals.
#[derive(Debug, Default)]
pub(super) struct Line {
    links: VecDeque<Link>,
    /// Links without a record that is alive.
    shells: usize,
}

impl Line {
    /// The ordinal that the next one has to be above.
    #[inline]
    pub(super) fn last(&self) -> u64 {
        self.links.back().map_or(0, |link| link.last)
    }

    #[inline]
    pub(super) fn push(&mut self, ordinal: u64, record: RecordRef<'_>, lsn: Lsn) {
        let back = self.links.back();
        if back.is_none_or(|link| !link.has_room(record.record_len())) {
            self.open();
        }
        if let Some(link) = self.links.back_mut() {
            link.push(ordinal, record, lsn);
        }
    }

    #[inline]
    pub(super) fn find(&self, ordinal: u64) -> Option<RecordRef<'_>> {
        let link = &self.links[self.index_of(ordinal)?];
        let record = link.chunk.record(*link.positions.get(link.find(ordinal))?);
        (record.ordinal() == ordinal && !record.is_removed()).then_some(record)
    }

    /// False if the ordinal is not here.
    pub(super) fn set_delivery_count(&mut self, ordinal: u64, count: u32) -> bool {
        if self.find(ordinal).is_none() {
            return false;
        }
        let Some(index) = self.index_of(ordinal) else {
            return false;
        };
        let link = &mut self.links[index];
        let position = link.positions[link.find(ordinal)];
        let mut head = link.chunk.records.head_mut(position);
        head.set_delivery_count(count);
        true
    }

    /// Removes what is alive from `first` to `last`; `gone` sees it before.
    pub(super) fn remove_between(
        &mut self,
        first: u64,
        last: u64,
        mut gone: impl FnMut(RecordRef<'_>),
    ) {
        let start = self.links.partition_point(|link| link.last < first);
        for link in self.links.range_mut(start..) {
            if link.first > last {
                break;
            }
            if !link.chunk.is_dead() {
                link.remove_between(first, last, &mut gone);
                self.shells += usize::from(link.chunk.is_dead());
            }
        }
        self.prune();
    }

    /// Bytes of memory of all of it.
    pub(super) fn memory_bytes(&self) -> usize {
        let links = self.links.iter().map(|link| {
            link.chunk.memory_bytes() + link.positions.capacity() * size_of::<Position>()
        });
        links.sum::<usize>() + self.links.capacity() * size_of::<Link>()
    }

    /// All chunks with a record that is alive, in order.
    pub(super) fn into_chunks(self) -> impl Iterator<Item = Chunk> {
        let chunks = self.links.into_iter().map(|link| link.chunk);
        chunks.filter(|chunk| !chunk.is_dead())
    }

    #[inline]
    fn index_of(&self, ordinal: u64) -> Option<usize> {
        let index = self.links.partition_point(|link| link.last < ordinal);
        (index < self.links.len()).then_some(index)
    }

    /// The first chunk grows with the queue; behind a full one the next will be full as well.
    fn open(&mut self) {
        let mut capacity = 0;
        if let Some(link) = self.links.back_mut() {
            link.positions.shrink_to_fit();
            capacity = CHUNK_BYTES_MAX;
        }
        self.links.push_back(Link {
            chunk: Chunk::with_capacity(capacity),
            positions: Vec::new(),
            first: u64::MAX,
            last: 0,
        });
    }

    fn prune(&mut self) {
        while self.links.front().is_some_and(|link| link.chunk.is_dead()) {
            self.links.pop_front();
            self.shells -= 1;
        }
        if self.shells > SHELLS_KEPT && self.shells > self.links.len() / 2 {
            self.links.retain(|link| !link.chunk.is_dead());
            self.shells = 0;
        }
    }
}

impl Link {
    fn has_room(&self, bytes: usize) -> bool {
        !self.chunk.is_dead() && self.chunk.has_room(bytes)
    }

    #[inline]
    fn push(&mut self, ordinal: u64, record: RecordRef<'_>, lsn: Lsn) {
        self.positions.push(self.chunk.push(ordinal, record, lsn));
        self.first = self.first.min(ordinal);
        self.last = ordinal;
    }

    /// Where in `positions` the ordinal is, or would be. Mostly none is missing before it.
    #[inline]
    fn find(&self, ordinal: u64) -> usize {
        let ordinal_at = |position: &Position| self.chunk.record(*position).ordinal();
        let guess = usize::try_from(ordinal.saturating_sub(self.first)).unwrap_or(usize::MAX);
        match self.positions.get(guess) {
            Some(position) if ordinal_at(position) == ordinal => guess,
            _ => self
                .positions
                .partition_point(|position| ordinal_at(position) < ordinal),
        }
    }

    fn remove_between(&mut self, first: u64, last: u64, gone: &mut impl FnMut(RecordRef<'_>)) {
        for index in self.find(first)..self.positions.len() {
            let position = self.positions[index];
            let record = self.chunk.record(position);
            if record.ordinal() > last {
                break;
            }
            if !record.is_removed() {
                gone(record);
                self.chunk.remove(position);
            }
        }
        if self.chunk.is_dead() {
            self.chunk = Chunk::default();
            self.positions = Vec::new();
        } else if self.chunk.is_sparse() {
            let positions = &mut self.positions;
            positions.clear();
            self.chunk.compact(|_, position| positions.push(position));
            positions.shrink_to_fit();
        }
    }
}

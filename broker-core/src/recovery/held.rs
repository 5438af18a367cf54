//! The messages of a queue that are only in the log: a [`Line`], and beside it the few that came
//! again after messages with higher ordinals.

use std::collections::BTreeMap;

use super::chunk::{CHUNK_BYTES_MAX, Chunk};
use super::line::Line;
use super::restored::RestoredChunk;
use crate::host::Lsn;
use crate::message::{Position, RecordRef, Records};

/// Messages by ordinal.
#[derive(Debug, Default)]
pub(super) struct Held {
    line: Line,
    beside: Beside,
}

impl Held {
    /// Keeps a message whose ordinal is not here.
    #[inline]
    pub(super) fn insert(&mut self, ordinal: u64, record: RecordRef<'_>, lsn: Lsn) {
        if ordinal > self.line.last() {
            self.line.push(ordinal, record, lsn);
        } else {
            self.beside.insert(ordinal, record, lsn);
        }
    }

    #[inline]
    pub(super) fn contains(&self, ordinal: u64) -> bool {
        ordinal <= self.line.last() && self.line.find(ordinal).is_some()
            || self.beside.index.contains_key(&ordinal)
    }

    /// False if the ordinal is not here.
    pub(super) fn set_delivery_count(&mut self, ordinal: u64, count: u32) -> bool {
        self.line.set_delivery_count(ordinal, count)
            || self.beside.set_delivery_count(ordinal, count)
    }

    /// Removes what is here from `first` to `last`; `gone` sees it before.
    pub(super) fn remove_between(
        &mut self,
        first: u64,
        last: u64,
        mut gone: impl FnMut(RecordRef<'_>),
    ) {
        self.line.remove_between(first, last, &mut gone);
        self.beside.remove_between(first, last, gone);
    }

    /// Bytes of memory of all of it.
    pub(super) fn memory_bytes(&self) -> usize {
        self.line.memory_bytes() + self.beside.memory_bytes()
    }

    /// All of them in order. Chunks that are whole are not copied.
    pub(super) fn into_chunks(self) -> Vec<RestoredChunk> {
        let mut sorted = Sorted::default();
        let mut beside = self.beside.index.iter().peekable();
        let chunks = &self.beside.chunks;
        for mut chunk in self.line.into_chunks() {
            let last = || chunk.records.iter().last().map_or(0, |last| last.ordinal());
            let is_unmixed = beside.peek().is_none_or(|&(&ordinal, _)| ordinal > last());
            if is_unmixed && !chunk.records.has_removed() {
                sorted.append(&mut chunk.records, chunk.first_lsn);
                continue;
            }
            for record in chunk.records.iter().filter(|record| !record.is_removed()) {
                while let Some((_, place)) =
                    beside.next_if(|&(&ordinal, _)| ordinal < record.ordinal())
                {
                    sorted.push(chunks, *place);
                }
                sorted.push_record(record, chunk.first_lsn);
            }
        }
        beside.for_each(|(_, place)| sorted.push(chunks, *place));
        sorted.chunks
    }
}

#[derive(Clone, Copy, Debug)]
struct Place {
    chunk: u32,
    position: Position,
}

/// Messages in any order.
#[derive(Debug, Default)]
struct Beside {
    index: BTreeMap<u64, Place>,
    chunks: Vec<Chunk>,
}

impl Beside {
    fn insert(&mut self, ordinal: u64, record: RecordRef<'_>, lsn: Lsn) {
        let bytes = record.record_len();
        if self.chunks.last().is_none_or(|last| !last.has_room(bytes)) {
            self.chunks.push(Chunk::default());
        }
        let chunk = self.chunks.len() - 1;
        let place = Place {
            chunk: chunk as u32,
            position: self.chunks[chunk].push(ordinal, record, lsn),
        };
        self.index.insert(ordinal, place);
    }

    fn set_delivery_count(&mut self, ordinal: u64, count: u32) -> bool {
        let Some(place) = self.index.get(&ordinal) else {
            return false;
        };
        let chunk = &mut self.chunks[place.chunk as usize];
        let mut head = chunk.records.head_mut(place.position);
        head.set_delivery_count(count);
        true
    }

    fn remove_between(&mut self, first: u64, last: u64, mut gone: impl FnMut(RecordRef<'_>)) {
        while let Some((&ordinal, &place)) = self.index.range(first..=last).next() {
            self.index.remove(&ordinal);
            let chunk = &mut self.chunks[place.chunk as usize];
            gone(chunk.record(place.position));
            chunk.remove(place.position);
            self.tidy(place.chunk);
        }
    }

    fn memory_bytes(&self) -> usize {
        let chunks = self.chunks.iter().map(Chunk::memory_bytes);
        let entries = 2 * self.index.len() * size_of::<(u64, Place)>();
        chunks.sum::<usize>() + self.chunks.capacity() * size_of::<Chunk>() + entries
    }

    fn tidy(&mut self, at: u32) {
        let chunk = &mut self.chunks[at as usize];
        if self.index.is_empty() {
            self.chunks = Vec::new();
        } else if chunk.is_dead() {
            chunk.records = Records::new();
        } else if chunk.is_sparse() {
            let index = &mut self.index;
            chunk.compact(|ordinal, position| {
                let place = Place {
                    chunk: at,
                    position,
                };
                index.insert(ordinal, place);
            });
        }
    }
}

/// Messages in the order of their ordinals, put together to chunks.
#[derive(Debug, Default)]
struct Sorted {
    chunks: Vec<RestoredChunk>,
}

impl Sorted {
    fn append(&mut self, records: &mut Records, lsn: Lsn) {
        let last = self.last_with_room(records.record_bytes(), lsn);
        last.append(records);
    }

    fn push_record(&mut self, record: RecordRef<'_>, lsn: Lsn) {
        self.last_with_room(record.record_len(), lsn)
            .push_record(record);
    }

    fn push(&mut self, chunks: &[Chunk], place: Place) {
        let chunk = &chunks[place.chunk as usize];
        self.push_record(chunk.record(place.position), chunk.first_lsn);
    }

    fn last_with_room(&mut self, bytes: usize, lsn: Lsn) -> &mut Records {
        let has_room =
            |last: &&mut RestoredChunk| last.records.record_bytes() + bytes <= CHUNK_BYTES_MAX;
        if self.chunks.last_mut().filter(has_room).is_none() {
            self.chunks.push(RestoredChunk {
                records: Records::new(),
                first_lsn: lsn,
            });
        }
        let index = self.chunks.len() - 1;
        let last = &mut self.chunks[index];
        last.first_lsn = last.first_lsn.min(lsn);
        &mut last.records
    }
}

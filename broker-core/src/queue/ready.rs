//! The messages that may be delivered now, in the order in which they will be.
//!
//! One line per priority in use, highest first; without x-max-priority there is only one. In each
//! line the messages that came back stand in front, by their ordinals; they are all older than
//! the rest, which stands in a [`Fifo`].

use std::collections::BTreeMap;

use super::chunks::{Chunks, Place, Slot};
use super::fifo::{Fifo, Find};
use super::log::QueueLog;
use super::tally::Tally;
use crate::journal::Runs;
use crate::message::RecordRef;

#[derive(Debug)]
struct Line {
    priority: u8,
    /// What was taken from the head and came back, by ordinal.
    returned: BTreeMap<u64, Place>,
    fifo: Fifo,
}

impl Line {
    #[inline]
    fn head(&self) -> Option<Place> {
        match self.returned.first_key_value() {
            Some((_, &place)) => Some(place),
            None => self.fifo.head(),
        }
    }

    #[inline]
    fn drop_head(&mut self, chunks: &mut Chunks) {
        if self.returned.pop_first().is_none() {
            self.fifo.advance(chunks);
        }
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.returned.is_empty() && self.fifo.is_empty()
    }
}

/// What came of taking a message out of the middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removal {
    Done,
    /// It is not ready here.
    Absent,
    /// It can be done once its chunk is read.
    OnDisk,
}

/// All ready messages of a queue.
#[derive(Debug, Default)]
pub(super) struct Ready {
    /// Lines that are not empty, highest priority first.
    lines: Vec<Line>,
    tally: Tally,
}

impl Ready {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    /// The message to be delivered next.
    #[inline]
    pub(super) fn head(&self) -> Option<Place> {
        self.lines.first().and_then(Line::head)
    }

    /// The first message of each line.
    pub(super) fn heads(&self) -> impl Iterator<Item = Place> {
        self.lines.iter().filter_map(Line::head)
    }

    /// The first message of the line at `index`, highest priority first.
    pub(super) fn head_of(&self, index: usize) -> Option<Place> {
        self.lines.get(index).and_then(Line::head)
    }

    /// Takes the head of the line at `index` out of it. The record stays where it lies, unless
    /// it was removed before; the line may be gone afterwards.
    #[inline]
    pub(super) fn take_head_of(&mut self, index: usize, chunks: &mut Chunks) {
        let Some(line) = self.lines.get_mut(index) else {
            return;
        };
        if let Some(place) = line.head() {
            self.tally.subtract(chunks.record(place));
            line.drop_head(chunks);
        }
        if line.is_empty() {
            self.lines.remove(index);
        }
    }

    /// A new message joins the end of its line.
    #[inline]
    pub(super) fn push(
        &mut self,
        priority: u8,
        record: RecordRef<'_>,
        chunks: &mut Chunks,
        expected: usize,
    ) -> Place {
        self.tally.add(record);
        self.line(priority).fifo.push(chunks, record, expected)
    }

    /// A message goes back to its place.
    pub(super) fn put_back(&mut self, priority: u8, ordinal: u64, place: Place, tally: Tally) {
        self.tally.add_all(tally);
        let former = self.line(priority).returned.insert(ordinal, place);
        debug_assert!(former.is_none(), "a message comes back once");
    }

    /// A chunk that was found at the start, with so many messages.
    pub(super) fn push_chunk(&mut self, priority: u8, slot: Slot, tally: Tally) {
        self.tally.add_all(tally);
        self.line(priority).fifo.push_chunk(slot);
    }

    /// The chunks that are needed next, at most `max` of them.
    pub(super) fn next_slots(&self, max: usize) -> Vec<Slot> {
        let mut slots: Vec<Slot> = Vec::new();
        for line in &self.lines {
            let returned = line.returned.values().map(|place| place.slot);
            for slot in returned.take(max).chain(line.fifo.first_slots(max)) {
                if slots.len() < max && !slots.contains(&slot) {
                    slots.push(slot);
                }
            }
        }
        slots
    }

    /// A chunk was read; before, its ready messages were taken for `before`.
    pub(super) fn arrived(&mut self, slot: Slot, before: Tally, now: Tally, chunks: &mut Chunks) {
        self.tally.subtract_all(before);
        self.tally.add_all(now);
        for line in &mut self.lines {
            line.fifo.arrived(slot, chunks);
        }
        self.lines.retain(|line| !line.is_empty());
    }

    /// A chunk is lost with the ready messages in it.
    pub(super) fn lose(&mut self, slot: Slot, ready: Tally, chunks: &mut Chunks) {
        self.tally.subtract_all(ready);
        for line in &mut self.lines {
            line.returned.retain(|_, place| place.slot != slot);
            line.fifo.lose(slot, chunks);
        }
        self.lines.retain(|line| !line.is_empty());
    }

    /// Takes a message out of the middle and ends it, or wants its chunk.
    pub(super) fn remove(
        &mut self,
        ordinal: u64,
        chunks: &mut Chunks,
        log: &mut QueueLog,
    ) -> Removal {
        for index in 0..self.lines.len() {
            let line = &mut self.lines[index];
            let is_head = line.fifo.head();
            let place = match line.returned.remove(&ordinal) {
                Some(place) => place,
                None => match line.fifo.find(chunks, ordinal) {
                    Find::At(place) => place,
                    Find::Nowhere => continue,
                    Find::OnDisk(slot) => {
                        chunks.want(slot);
                        return Removal::OnDisk;
                    }
                },
            };
            if !chunks.is_here(place.slot) {
                line.returned.insert(ordinal, place);
                chunks.want(place.slot);
                return Removal::OnDisk;
            }
            let record = chunks.record(place);
            self.tally.subtract(record);
            log.gone(ordinal, record.is_logged());
            chunks.end(place, ordinal);
            if is_head == Some(place) {
                line.fifo.advance(chunks);
            }
            if line.is_empty() {
                self.lines.remove(index);
            }
            return Removal::Done;
        }
        Removal::Absent
    }

    /// Ends all of them and tells how many there were. What is not ready is in `kept`.
    pub(super) fn clear(&mut self, kept: &Runs, chunks: &mut Chunks) -> u64 {
        for mut line in std::mem::take(&mut self.lines) {
            for (ordinal, place) in line.returned {
                chunks.end(place, ordinal);
            }
            line.fifo.clear(kept, chunks);
        }
        chunks.none_ready_away();
        std::mem::take(&mut self.tally).count
    }

    /// A chunk was compacted: the record at `old` lies at `new`.
    pub(super) fn moved(&mut self, ordinal: u64, old: Place, new: Place) {
        for line in &mut self.lines {
            match line.returned.get_mut(&ordinal) {
                Some(place) => *place = new,
                None => line.fifo.moved(old, new),
            }
        }
    }

    #[inline]
    fn line(&mut self, priority: u8) -> &mut Line {
        let index = self.lines.partition_point(|line| line.priority > priority);
        if self
            .lines
            .get(index)
            .is_none_or(|line| line.priority != priority)
        {
            let line = Line {
                priority,
                returned: BTreeMap::new(),
                fifo: Fifo::default(),
            };
            self.lines.insert(index, line);
        }
        &mut self.lines[index]
    }
}

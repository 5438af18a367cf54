//! The messages that were delivered and not settled, by ordinal.
//!
//! Deliveries mostly go out in the order of their ordinals, and acks come back in it: those
//! entries stand in one run, settled ones as blanks until they reach the front or are too many.
//! Deliveries out of order (redelivered ones, priorities) stand in a tree. Either way a settle
//! finds its entry without a search of the whole, and memory shrinks with what is left.

use std::collections::{BTreeMap, VecDeque};

use super::chunks::{Place, Slot};
use super::tally::Tally;
use crate::inbox::ConsumerId;
use crate::message::RecordRef;

/// A run with fewer entries is not tidied.
const RUN_KEPT: usize = 8;

/// One unacked message, with what must be known of it while its record is on disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) ordinal: u64,
    /// [`Place::NOWHERE`] in a blank.
    pub(super) place: Place,
    pub(super) consumer: ConsumerId,
    /// Bytes of the body.
    bytes: u32,
    /// How often it was delivered before, as far as this goes.
    pub(super) deliveries: u16,
    /// Its priority here.
    pub(super) level: u8,
    traits: u8,
}

const PERSISTENT: u8 = 1;
const LOGGED: u8 = 2;

impl Entry {
    pub(super) fn new(
        place: Place,
        record: RecordRef<'_>,
        level: u8,
        consumer: ConsumerId,
    ) -> Entry {
        let persistent = if record.is_persistent() {
            PERSISTENT
        } else {
            0
        };
        let logged = if record.is_logged() { LOGGED } else { 0 };
        Entry {
            ordinal: record.ordinal(),
            place,
            consumer,
            bytes: record.body_len() as u32,
            deliveries: record.delivery_count().min(u32::from(u16::MAX)) as u16,
            level,
            traits: persistent | logged,
        }
    }

    pub(super) fn is_logged(&self) -> bool {
        self.traits & LOGGED != 0
    }

    /// What it counts.
    #[inline]
    pub(super) fn tally(&self) -> Tally {
        Tally::of(self.bytes, self.traits & PERSISTENT != 0)
    }

    fn is_blank(&self) -> bool {
        self.place == Place::NOWHERE
    }
}

#[derive(Debug, Default)]
pub(super) struct Unacked {
    /// Ascending; the first and the last are no blanks.
    run: VecDeque<Entry>,
    blanks: usize,
    scattered: BTreeMap<u64, Entry>,
    tally: Tally,
}

impl Unacked {
    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    /// Bytes of memory of the entries.
    pub(super) fn memory_bytes(&self) -> usize {
        (self.run.capacity() + 2 * self.scattered.len()) * size_of::<Entry>()
    }

    #[inline]
    pub(super) fn insert(
        &mut self,
        place: Place,
        record: RecordRef<'_>,
        level: u8,
        consumer: ConsumerId,
    ) {
        self.tally.add(record);
        let ordinal = record.ordinal();
        let entry = || Entry::new(place, record, level, consumer);
        // Made where it is put: an entry that is copied costs as much as all the rest here.
        if self.run.back().is_none_or(|last| last.ordinal < ordinal) {
            self.run.push_back(entry());
        } else {
            self.scattered.insert(ordinal, entry());
        }
    }

    /// The entry of an ordinal, which is settled or goes back.
    #[inline]
    pub(super) fn take(&mut self, ordinal: u64) -> Option<Entry> {
        let entry = self.take_entry(ordinal)?;
        self.tally.subtract_all(entry.tally());
        Some(entry)
    }

    #[inline]
    fn take_entry(&mut self, ordinal: u64) -> Option<Entry> {
        let Some(index) = self.index(ordinal) else {
            return self.scattered.remove(&ordinal);
        };
        let entry = self.run[index];
        if entry.is_blank() {
            return self.scattered.remove(&ordinal);
        }
        self.run[index].place = Place::NOWHERE;
        self.blanks += 1;
        self.tidy();
        Some(entry)
    }

    /// A chunk was compacted. False if the message is not unacked.
    pub(super) fn moved(&mut self, ordinal: u64, new: Place) -> bool {
        let entry = match self.index(ordinal) {
            Some(index) if !self.run[index].is_blank() => Some(&mut self.run[index]),
            _ => self.scattered.get_mut(&ordinal),
        };
        entry.map(|entry| entry.place = new).is_some()
    }

    /// Whether the message is here.
    pub(super) fn contains(&self, ordinal: u64) -> bool {
        match self.index(ordinal) {
            Some(index) if !self.run[index].is_blank() => true,
            _ => self.scattered.contains_key(&ordinal),
        }
    }

    /// The messages.
    pub(super) fn ordinals(&self) -> impl Iterator<Item = u64> {
        self.entries().map(|entry| entry.ordinal)
    }

    /// Those of the messages that lie in chunks of a kind.
    pub(super) fn tally_in(&self, mut is_counted: impl FnMut(Slot) -> bool) -> Tally {
        let mut tally = Tally::default();
        let counted = self.entries().filter(|entry| is_counted(entry.place.slot));
        counted.for_each(|entry| tally.add_all(entry.tally()));
        tally
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        let run = self.run.iter().filter(|entry| !entry.is_blank());
        run.chain(self.scattered.values())
    }

    /// Forgets all of them.
    pub(super) fn clear(&mut self) {
        *self = Unacked::default();
    }

    /// Where the run has an entry of this ordinal. Ordinals ascend, so it is not behind the
    /// place that it has when none is missing.
    #[inline]
    fn index(&self, ordinal: u64) -> Option<usize> {
        let first = self.run.front()?.ordinal;
        let distance = usize::try_from(ordinal.checked_sub(first)?).ok()?;
        let guess = distance.min(self.run.len() - 1);
        if self.run[guess].ordinal == ordinal {
            return Some(guess);
        }
        self.run
            .binary_search_by_key(&ordinal, |entry| entry.ordinal)
            .ok()
    }

    /// Keeps blanks off both ends and below one half, and gives memory back.
    #[inline]
    fn tidy(&mut self) {
        while self.run.front().is_some_and(Entry::is_blank) {
            self.run.pop_front();
            self.blanks -= 1;
        }
        while self.run.back().is_some_and(Entry::is_blank) {
            self.run.pop_back();
            self.blanks -= 1;
        }
        if self.run.len() > RUN_KEPT && self.blanks > self.run.len() / 2 {
            self.run.retain(|entry| !entry.is_blank());
            self.blanks = 0;
        }
        if self.run.capacity() > 4 * self.run.len().max(RUN_KEPT) {
            self.run.shrink_to(2 * self.run.len());
        }
    }
}

//! The messages that died and wait to be dead-lettered. They stay with their queue until their
//! targets have them, so that a message is never nowhere.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::chunks::{Chunks, Place};
use super::dead_letter::{DeadLetter, Reason};
use crate::message::Records;

#[derive(Debug, Default)]
pub(super) struct Dead {
    /// Those that nobody took yet, in the order of their deaths.
    waiting: VecDeque<(u64, Reason)>,
    /// Where each of them lies, taken or not.
    places: FxHashMap<u64, Place>,
    /// The surroundings know that some wait.
    is_announced: bool,
}

impl Dead {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn add(&mut self, ordinal: u64, place: Place, reason: Reason) {
        self.waiting.push_back((ordinal, reason));
        self.places.insert(ordinal, place);
    }

    /// Whether the surroundings must be told; they count as told then.
    pub(super) fn announce(&mut self) -> bool {
        let news = !self.waiting.is_empty() && !self.is_announced;
        self.is_announced |= news;
        news
    }

    /// Copies of up to `max` of them, oldest death first.
    pub(super) fn take(&mut self, max: usize, chunks: &Chunks) -> Vec<DeadLetter> {
        self.is_announced = false;
        let count = max.min(self.waiting.len());
        let mut letters = Vec::with_capacity(count);
        for (ordinal, reason) in self.waiting.drain(..count) {
            if let Some(&place) = self.places.get(&ordinal) {
                let mut message = Records::new();
                message.push_record(chunks.record(place));
                letters.push(DeadLetter {
                    ordinal,
                    reason,
                    message,
                });
            }
        }
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
        letters
    }

    /// A dead letter reached its targets.
    pub(super) fn settle(&mut self, ordinal: u64, chunks: &mut Chunks) {
        if let Some(place) = self.places.remove(&ordinal) {
            chunks.remove(place);
        }
        if self.places.is_empty() {
            self.places = FxHashMap::default();
        }
    }

    /// A chunk was compacted. False if the message is not dead.
    pub(super) fn moved(&mut self, ordinal: u64, new: Place) -> bool {
        let place = self.places.get_mut(&ordinal);
        place.map(|place| *place = new).is_some()
    }

    /// Copies all of them to chunks of their own: the queue is deleted, they are not.
    pub(super) fn rehouse(&mut self, from: &Chunks) -> Chunks {
        let mut chunks = Chunks::default();
        for place in self.places.values_mut() {
            *place = chunks.keep(from.record(*place), 0);
        }
        chunks
    }

    /// Bytes of memory of the entries, roughly.
    pub(super) fn memory_bytes(&self) -> usize {
        self.waiting.capacity() * size_of::<(u64, Reason)>()
            + self.places.capacity() * size_of::<(u64, Place)>()
    }
}

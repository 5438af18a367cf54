//! The messages that died and wait to be dead-lettered. They stay with their queue until their
//! targets have them, so that a message is never nowhere.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use super::chunks::{Chunks, Place, Slot};
use super::dead_letter::{DeadLetter, Reason};
use super::log::QueueLog;
use crate::message::Records;

#[derive(Debug, Default)]
pub(super) struct Dead {
    /// Those that nobody took yet, in the order of their deaths.
    waiting: VecDeque<(u64, Reason)>,
    /// Where each of them lies, taken or not.
    places: FxHashMap<u64, Grave>,
    /// The surroundings know that some wait.
    is_announced: bool,
}

/// Where a dead letter lies.
#[derive(Clone, Copy, Debug)]
struct Grave {
    place: Place,
    is_logged: bool,
}

impl Dead {
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn add(&mut self, ordinal: u64, place: Place, is_logged: bool, reason: Reason) {
        self.waiting.push_back((ordinal, reason));
        self.places.insert(ordinal, Grave { place, is_logged });
    }

    pub(super) fn contains(&self, ordinal: u64) -> bool {
        self.places.contains_key(&ordinal)
    }

    /// Forgets a message that is lost.
    pub(super) fn lose(&mut self, ordinal: u64) {
        self.places.remove(&ordinal);
    }

    /// The chunk of the one that is taken next.
    pub(super) fn next_slot(&self) -> Option<Slot> {
        let (ordinal, _) = self.waiting.front()?;
        self.places.get(ordinal).map(|grave| grave.place.slot)
    }

    /// Whether the surroundings must be told; they count as told then.
    pub(super) fn announce(&mut self) -> bool {
        let news = !self.waiting.is_empty() && !self.is_announced;
        self.is_announced |= news;
        news
    }

    /// Copies of up to `max` of them, oldest death first. Ends at one that is on disk, and wants
    /// it: when it arrives, it is announced.
    pub(super) fn take(&mut self, max: usize, chunks: &mut Chunks) -> Vec<DeadLetter> {
        self.is_announced = false;
        let mut letters = Vec::with_capacity(max.min(self.waiting.len()));
        while letters.len() < max
            && let Some(&(ordinal, reason)) = self.waiting.front()
        {
            if let Some(&Grave { place, .. }) = self.places.get(&ordinal) {
                if !chunks.is_here(place.slot) {
                    self.is_announced = true;
                    chunks.want(place.slot);
                    break;
                }
                let mut message = Records::new();
                message.push_record(chunks.record(place));
                letters.push(DeadLetter {
                    ordinal,
                    reason,
                    message,
                });
            }
            self.waiting.pop_front();
        }
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
        letters
    }

    /// A dead letter reached its targets.
    pub(super) fn settle(&mut self, ordinal: u64, chunks: &mut Chunks, log: &mut QueueLog) {
        if let Some(Grave { place, is_logged }) = self.places.remove(&ordinal) {
            log.gone(ordinal, is_logged);
            chunks.end(place, ordinal);
        }
        if self.places.is_empty() {
            self.places = FxHashMap::default();
        }
    }

    /// A chunk was compacted. False if the message is not dead.
    pub(super) fn moved(&mut self, ordinal: u64, new: Place) -> bool {
        let grave = self.places.get_mut(&ordinal);
        grave.map(|grave| grave.place = new).is_some()
    }

    /// A page that was on disk is in memory: those that waited for it are announced.
    pub(super) fn arrived(&mut self) {
        self.is_announced = false;
    }

    /// The messages, in no order.
    pub(super) fn ordinals(&self) -> impl Iterator<Item = u64> {
        self.places.keys().copied()
    }

    /// Bytes of memory of the entries, roughly.
    pub(super) fn memory_bytes(&self) -> usize {
        self.waiting.capacity() * size_of::<(u64, Reason)>()
            + self.places.capacity() * size_of::<(u64, Grave)>()
    }
}

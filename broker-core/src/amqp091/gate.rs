//! The reply gate of a channel: answers leave in the order of their commands.
//!
//! A command whose answer is not there yet (a durable declare that waits for the log, a question
//! a queue has not answered) closes the gate. Answers to later commands, and a channel.close, wait
//! behind it. Deliveries wait too (the channel keeps them un-encoded); confirms and returns do not
//! pass here. What is held is bounded: above [`GATE_BYTES_MAX`] the connection stops reading.

use std::collections::VecDeque;

use crate::host::Lsn;

/// Held answers of one channel, in bytes, above which its connection is not read.
pub const GATE_BYTES_MAX: usize = 64 * 1024;
/// What one waiting command counts, besides its frames.
const SLOT_BYTES: usize = 64;

/// What stands at the front of the gate.
#[derive(Debug)]
pub(super) enum Slot<T> {
    /// These frames leave when the log is durable to the LSN.
    Durable(Lsn, Vec<u8>),
    /// These frames leave when everything persistent that the connection published is durable.
    Published(Vec<u8>),
    /// A queue was asked under this token; `T` says what for.
    Asked(u32, T),
    /// Frames that only wait for those before them.
    Ready(Vec<u8>),
}

/// The gate of one channel.
#[derive(Debug)]
pub(super) struct Gate<T> {
    slots: VecDeque<Slot<T>>,
    bytes: usize,
    next_token: u32,
}

impl<T> Default for Gate<T> {
    fn default() -> Self {
        Gate {
            slots: VecDeque::new(),
            bytes: 0,
            next_token: 0,
        }
    }
}

impl<T> Gate<T> {
    /// Whether an answer may leave at once.
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether more is held than the connection may pile up.
    pub(super) fn is_full(&self) -> bool {
        self.bytes > GATE_BYTES_MAX
    }

    /// The oldest entry.
    pub(super) fn front(&self) -> Option<&Slot<T>> {
        self.slots.front()
    }

    /// Removes the oldest entry.
    pub(super) fn pop(&mut self) -> Option<Slot<T>> {
        let slot = self.slots.pop_front()?;
        self.bytes -= Self::size(&slot);
        Some(slot)
    }

    /// Holds an answer until the log is durable to `lsn`.
    pub(super) fn hold_durable(&mut self, lsn: Lsn, frames: Vec<u8>) {
        self.push(Slot::Durable(lsn, frames));
    }

    /// Holds an answer until the connection's publishes are durable.
    pub(super) fn hold_published(&mut self, frames: Vec<u8>) {
        self.push(Slot::Published(frames));
    }

    /// Holds an answer behind those that wait.
    pub(super) fn hold(&mut self, frames: Vec<u8>) {
        self.push(Slot::Ready(frames));
    }

    /// Closes the gate until the answer to the returned token comes.
    pub(super) fn ask(&mut self, question: T) -> u32 {
        self.next_token = self.next_token.wrapping_add(1);
        let token = self.next_token;
        self.push(Slot::Asked(token, question));
        token
    }

    /// Holds an answer whose turn it is until the log is durable to `lsn`.
    pub(super) fn hold_front(&mut self, lsn: Lsn, frames: Vec<u8>) {
        let slot = Slot::Durable(lsn, frames);
        self.bytes += Self::size(&slot);
        self.slots.push_front(slot);
    }

    /// What was asked under `token`, if it is not answered.
    pub(super) fn question(&self, token: u32) -> Option<&T> {
        self.slots.iter().find_map(|slot| match slot {
            Slot::Asked(other, question) if *other == token => Some(question),
            _ => None,
        })
    }

    /// Whether a question like this waits for its answer.
    pub(super) fn asks(&self, mut like: impl FnMut(&T) -> bool) -> bool {
        self.slots
            .iter()
            .any(|slot| matches!(slot, Slot::Asked(_, question) if like(question)))
    }

    fn push(&mut self, slot: Slot<T>) {
        self.bytes += Self::size(&slot);
        self.slots.push_back(slot);
    }

    fn size(slot: &Slot<T>) -> usize {
        SLOT_BYTES
            + match slot {
                Slot::Durable(_, frames) | Slot::Published(frames) | Slot::Ready(frames) => {
                    frames.len()
                }
                Slot::Asked(..) => 0,
            }
    }
}

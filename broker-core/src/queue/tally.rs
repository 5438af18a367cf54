//! How much lies somewhere: messages and the bytes of their bodies.

use crate::message::RecordRef;

/// A running count of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) count: u64,
    pub(super) bytes: u64,
    /// Those with delivery mode 2.
    pub(super) persistent: u64,
    pub(super) persistent_bytes: u64,
}

impl Tally {
    #[inline]
    pub(super) fn add(&mut self, record: RecordRef<'_>) {
        let bytes = record.body_len() as u64;
        self.count += 1;
        self.bytes += bytes;
        if record.is_persistent() {
            self.persistent += 1;
            self.persistent_bytes += bytes;
        }
    }

    /// One message.
    #[inline]
    pub(super) fn of(bytes: u32, is_persistent: bool) -> Tally {
        let (bytes, one) = (u64::from(bytes), u64::from(is_persistent));
        Tally {
            count: 1,
            bytes,
            persistent: one,
            persistent_bytes: bytes * one,
        }
    }

    /// So many persistent messages with bodies of so many bytes.
    pub(super) fn of_persistent(count: u64, bytes: u64) -> Tally {
        Tally {
            count,
            bytes,
            persistent: count,
            persistent_bytes: bytes,
        }
    }

    #[inline]
    pub(super) fn add_all(&mut self, other: Tally) {
        self.count += other.count;
        self.bytes += other.bytes;
        self.persistent += other.persistent;
        self.persistent_bytes += other.persistent_bytes;
    }

    #[inline]
    pub(super) fn subtract_all(&mut self, other: Tally) {
        debug_assert!(self.count >= other.count && self.bytes >= other.bytes);
        self.count -= other.count;
        self.bytes -= other.bytes;
        self.persistent -= other.persistent;
        self.persistent_bytes -= other.persistent_bytes;
    }

    #[inline]
    pub(super) fn subtract(&mut self, record: RecordRef<'_>) {
        let bytes = record.body_len() as u64;
        debug_assert!(self.count > 0 && self.bytes >= bytes, "more left than came");
        self.count -= 1;
        self.bytes -= bytes;
        if record.is_persistent() {
            self.persistent -= 1;
            self.persistent_bytes -= bytes;
        }
    }
}

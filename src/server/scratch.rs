//! Buffers of a worker thread, lent to whichever connection has its turn.
//!
//! An idle connection owns no buffer at all; that is what makes it cost two or three kilobytes.

use std::cell::RefCell;

use broker_core::amqp091::batches::Batches;
use broker_core::inbox::Mail;

/// Bytes read from a socket at once.
pub(super) const READ_BYTES: usize = 64 * 1024;
/// Output buffers kept for the next connection with something to say.
const SPARE_MAX: usize = 4;
/// An output buffer above this size is not kept.
const SPARE_BYTES_MAX: usize = 1024 * 1024;

/// What a turn needs.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// The rest of the last read, and behind it room for the next.
    pub(super) read: Vec<u8>,
    pub(super) batches: Batches,
    pub(super) mail: Mail,
    spare: Vec<Vec<u8>>,
}

impl Scratch {
    /// An empty buffer for output.
    pub(super) fn output(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    /// Keeps an output buffer that is written.
    pub(super) fn keep(&mut self, buffer: Vec<u8>) {
        if self.spare.len() < SPARE_MAX && (1..=SPARE_BYTES_MAX).contains(&buffer.capacity()) {
            self.spare.push(buffer);
        }
    }
}

thread_local! {
    static SCRATCH: RefCell<Option<Box<Scratch>>> = const { RefCell::new(None) };
}

/// Runs `act` with this thread's buffers.
pub(super) fn with<T>(act: impl FnOnce(&mut Scratch) -> T) -> T {
    // Taken out for the time of the turn: a turn inside a turn gets buffers of its own.
    let mut scratch = SCRATCH.take().unwrap_or_default();
    let outcome = act(&mut scratch);
    SCRATCH.set(Some(scratch));
    outcome
}

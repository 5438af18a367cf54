//! The edge of the core: what it asks of the process around it.
//!
//! The process gives a log, timers and randomness; the core never does I/O and never reads a
//! clock. Everything here may be called with a topology lock held, so an implementation must not
//! block on a disk or call back into the broker.

use std::sync::Arc;

use crate::definition::Change;
use crate::error::BrokerError;
use crate::inbox::Inbox;
use crate::journal::Journal;
use crate::queue::handle::{Budget, PageFree, PageIn, PageOut, QueueHandle};
use crate::time::Timestamp;
use crate::turns::OpenTurns;
use crate::vhost::Vhost;

/// A place in the log. What was appended at `lsn` survives a crash once the log is durable to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl Lsn {
    /// Nothing to wait for.
    pub const NONE: Lsn = Lsn(0);
}

/// What the core asks of the process.
pub trait Host: Send + Sync {
    /// Appends changes of the definitions to the log as one record: after a crash all of them
    /// are there or none. Refused when the log has failed or its buffer is full.
    fn append(&self, changes: Vec<Change>) -> Result<Lsn, BrokerError>;

    /// Whether the log is durable up to `lsn`.
    fn is_durable(&self, lsn: Lsn) -> bool;

    /// Whether more waits to be written to the log than should: who has messages of its own among
    /// that publishes no more for the moment.
    fn is_backlogged(&self) -> bool;

    /// The log for a queue's messages.
    fn journal(&self) -> Arc<dyn Journal>;

    /// The turns that are in the log and not yet in their queues.
    fn turns(&self) -> &Arc<OpenTurns>;

    /// The memory that messages may take; none for no limit.
    fn budget(&self) -> Option<Arc<Budget>>;

    /// Has a page of a queue written, and submits [`crate::queue::Command::PageWritten`].
    fn write_page(&self, queue: &Arc<QueueHandle>, page: PageOut);

    /// Has a page of a queue read, and submits [`crate::queue::Command::PageRead`].
    fn read_page(&self, queue: &Arc<QueueHandle>, page: PageIn);

    /// A page is not needed any more once the log is durable to its LSN.
    fn free_page(&self, page: PageFree);

    /// Something an operator must know: so many messages of a queue cannot be read from disk.
    fn report_lost_messages(&self, vhost: &str, queue: &str, count: u64);

    /// Wakes the inbox's owner once [`Self::is_durable`] holds for `lsn`.
    fn wake_when_durable(&self, lsn: Lsn, inbox: &Arc<Inbox>);

    /// Sends [`crate::queue::Command::Tick`] to the queue at that time (or a little later).
    fn arm(&self, queue: &Arc<QueueHandle>, at: Timestamp);

    /// The queue is gone: its deadline need not be kept.
    fn disarm(&self, _queue: &QueueHandle) {}

    /// More dead letters wait than one turn may move: calls [`Vhost::move_dead_letters`] soon,
    /// from a task of its own.
    fn more_dead_letters(&self, vhost: &Arc<Vhost>);

    /// Unpredictable bytes, for names and tokens nobody may guess.
    fn random(&self) -> [u8; 16];

    /// Something an operator should read: a queue that failed.
    fn report_failed_queue(&self, vhost: &str, queue: &str, why: &str);
}

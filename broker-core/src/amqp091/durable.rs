//! What of a connection waits for the log: confirms, the ends of channels and of the connection,
//! and, when the log falls behind, its publishes.

use std::collections::VecDeque;
use std::sync::Arc;

use super::connection::{Connection, Io};
use crate::host::{Host, Lsn};
use crate::inbox::{ConfirmRun, Inbox};
use crate::time::Timestamp;

/// A batch of publishes that waits for the log before it is confirmed.
#[derive(Debug)]
pub(super) struct Unsynced {
    pub(super) lsn: Lsn,
    pub(super) confirms: Vec<ConfirmRun>,
    pub(super) rejected: Vec<(u16, u64)>,
}

impl Connection {
    /// A queue took a batch. What is in the log is confirmed once it is durable.
    pub(super) fn taken(
        &mut self,
        confirms: Vec<ConfirmRun>,
        rejected: Vec<(u16, u64)>,
        lsn: Lsn,
        now: Timestamp,
        io: &mut Io<'_>,
    ) {
        let host = self.broker.host();
        if host.is_durable(lsn) {
            return self.published(&confirms, &rejected, now, io);
        }
        if self.unsynced.is_empty() {
            host.wake_when_durable(lsn, &self.inbox);
        }
        let batch = Unsynced {
            lsn,
            confirms,
            rejected,
        };
        self.unsynced.push_back(batch);
    }

    /// Confirms what became durable. A later batch never waits long for one before it: the log
    /// becomes durable in order.
    pub(super) fn release_synced(&mut self, now: Timestamp, io: &mut Io<'_>) {
        while let Some(batch) = self.unsynced.front() {
            let host = self.broker.host();
            if !host.is_durable(batch.lsn) {
                return host.wake_when_durable(batch.lsn, &self.inbox);
            }
            if let Some(batch) = self.unsynced.pop_front() {
                self.published(&batch.confirms, &batch.rejected, now, io);
            }
        }
        if self.unsynced.capacity() > 0 {
            self.unsynced = VecDeque::new();
        }
    }

    /// Whether too much waits to be written to the log, and messages of this connection are among
    /// it: it is not read until they are durable.
    pub(super) fn outruns_the_log(&self) -> bool {
        let host = self.broker.host();
        let logged = self.inbox.logged();
        if logged == Lsn::NONE || !host.is_backlogged() || host.is_durable(logged) {
            return false;
        }
        host.wake_when_durable(logged, &self.inbox);
        true
    }
}

/// Whether everything persistent that was published through `inbox` is durable. If not, the inbox
/// is woken when it is.
pub(super) fn are_durable(inbox: &Arc<Inbox>, host: &dyn Host) -> bool {
    // A batch that waits for a busy queue wakes the inbox when it arrives.
    if !inbox.is_settled() {
        return false;
    }
    let logged = inbox.logged();
    let is_durable = host.is_durable(logged);
    if !is_durable {
        host.wake_when_durable(logged, inbox);
    }
    is_durable
}

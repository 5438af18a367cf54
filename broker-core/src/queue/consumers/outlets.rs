//! What is staged for the connections of a queue's consumers.
//!
//! All consumers of one connection share an outlet, so that their messages leave in the order in
//! which they were chosen. What is staged is pushed to the inbox once per batch. Its bytes are
//! counted in the inbox in steps, so that a step is all a connection can be given too much.
//!
//! Whose turn it is, and who owes what, is not known here.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::super::effects::Effects;
use crate::inbox::{ConsumerId, DeliveryRun, Inbox};
use crate::message::{RecordRef, Records};
use crate::spare;

/// Staged bytes are counted in the connection's inbox at the latest when they are this many; so
/// much may a queue exceed what the connection has room for.
const RESERVE_STEP_BYTES: usize = 4 * 1024;

/// First capacity of a stage.
const STAGE_BYTES: usize = 32 * 1024;

/// Room for so many runs is kept from one batch to the next: 4 KiB.
const KEPT_RUNS_MAX: usize = 256;

/// Names an outlet while it has members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::queue) struct OutletKey(u32);

/// Staged messages of a connection that is gone.
#[derive(Debug)]
pub(in crate::queue) struct Unsent {
    /// Whose they are, in the order of the records.
    pub(in crate::queue) runs: Vec<DeliveryRun>,
    pub(in crate::queue) records: Records,
}

#[derive(Debug)]
struct Outlet {
    inbox: Arc<Inbox>,
    /// Consumers that share it.
    members: usize,
    staged: Records,
    /// Whose the staged records are.
    runs: Vec<DeliveryRun>,
    /// Staged bytes that the inbox does not count yet.
    unreserved: usize,
}

#[derive(Debug, Default)]
pub(super) struct Outlets {
    seats: Vec<Option<Outlet>>,
    free: Vec<OutletKey>,
    /// By address, which stays taken as long as the outlet holds the inbox.
    by_inbox: FxHashMap<usize, OutletKey>,
    /// Those with something staged, in the order in which they were first chosen.
    staged: Vec<OutletKey>,
}

impl Outlets {
    /// The outlet for one more consumer of this connection.
    pub(super) fn join(&mut self, inbox: &Arc<Inbox>) -> OutletKey {
        let key = match self.by_inbox.get(&address(inbox)) {
            Some(&key) => key,
            None => self.open(inbox),
        };
        if let Some(outlet) = self.get(key) {
            outlet.members += 1;
        }
        key
    }

    /// Whether a consumer of this connection has joined.
    pub(super) fn has(&self, inbox: &Arc<Inbox>) -> bool {
        self.by_inbox.contains_key(&address(inbox))
    }

    fn open(&mut self, inbox: &Arc<Inbox>) -> OutletKey {
        let key = self.free.pop().unwrap_or_else(|| {
            self.seats.push(None);
            OutletKey(self.seats.len() as u32 - 1)
        });
        self.seats[key.0 as usize] = Some(Outlet {
            inbox: inbox.clone(),
            members: 0,
            staged: Records::new(),
            runs: Vec::new(),
            unreserved: 0,
        });
        self.by_inbox.insert(address(inbox), key);
        key
    }

    /// A consumer goes. Nothing may be staged for it.
    pub(super) fn leave(&mut self, key: OutletKey) {
        debug_assert!(!self.staged.contains(&key), "every command flushes");
        let Some(outlet) = self.get(key) else { return };
        outlet.members -= 1;
        if outlet.members > 0 {
            return;
        }
        let address = address(&outlet.inbox);
        self.by_inbox.remove(&address);
        self.seats[key.0 as usize] = None;
        self.free.push(key);
    }

    /// Bytes that are staged without being counted in the inbox.
    #[inline]
    pub(super) fn unreserved(&self, key: OutletKey) -> usize {
        self.seats[key.0 as usize]
            .as_ref()
            .map_or(0, |outlet| outlet.unreserved)
    }

    /// Stages a message for a consumer behind all that is staged for its connection.
    #[inline]
    pub(super) fn stage(
        &mut self,
        key: OutletKey,
        channel: u16,
        consumer: ConsumerId,
        record: RecordRef<'_>,
    ) {
        let Some(outlet) = &mut self.seats[key.0 as usize] else {
            return;
        };
        if outlet.staged.is_empty() {
            self.staged.push(key);
        }
        outlet.stage(channel, consumer, record);
    }

    /// Pushes what is staged, one push per connection, and gives back what could not be pushed.
    pub(super) fn flush(&mut self, effects: &mut Effects) -> Vec<Unsent> {
        let mut unsent = Vec::new();
        for key in self.staged.drain(..) {
            if let Some(outlet) = &mut self.seats[key.0 as usize] {
                unsent.extend(outlet.flush(effects));
            }
        }
        unsent
    }

    /// Bytes of memory, roughly.
    pub(super) fn memory_bytes(&self) -> usize {
        self.seats.capacity() * size_of::<Option<Outlet>>()
    }

    fn get(&mut self, key: OutletKey) -> Option<&mut Outlet> {
        self.seats.get_mut(key.0 as usize)?.as_mut()
    }
}

impl Outlet {
    #[inline]
    fn stage(&mut self, channel: u16, consumer: ConsumerId, record: RecordRef<'_>) {
        if self.staged.capacity() == 0 {
            self.staged = spare::take(STAGE_BYTES);
        }
        self.staged.push_record(record);
        match self.runs.last_mut() {
            Some(run) if run.consumer == consumer => run.count += 1,
            _ => self.runs.push(DeliveryRun {
                channel,
                consumer,
                count: 1,
            }),
        }
        self.unreserved += record.memory_bytes();
        if self.unreserved >= RESERVE_STEP_BYTES {
            let bytes = std::mem::take(&mut self.unreserved);
            self.inbox.reserve_bytes(bytes);
        }
    }

    /// Pushes what is staged. If the connection is closed it comes back, and its inbox does not
    /// count it any more.
    fn flush(&mut self, effects: &mut Effects) -> Option<Unsent> {
        let mut records = std::mem::take(&mut self.staged);
        let bytes = std::mem::take(&mut self.unreserved);
        self.inbox.reserve_bytes(bytes);
        if effects.pushed(self.inbox.push_runs(&self.runs, &mut records)) {
            spare::give(records);
            self.runs.clear();
            self.runs.shrink_to(KEPT_RUNS_MAX);
            return None;
        }
        let bytes = records.iter().map(|record| record.memory_bytes()).sum();
        self.inbox.release_bytes(bytes);
        let runs = std::mem::take(&mut self.runs);
        Some(Unsent { runs, records })
    }
}

fn address(inbox: &Arc<Inbox>) -> usize {
    Arc::as_ptr(inbox).addr()
}

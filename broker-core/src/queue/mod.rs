//! A queue: messages in order, and the consumers they go to.
//!
//! ```text
//!   publish ──▶ ready ──────────▶ unacked ──ack──▶ gone
//!                │  ▲   deliver      │ │
//!        expired │  └──── requeue ───┘ │ rejected
//!         maxlen │                     │
//!                └──────▶ dead ◀───────┘ ──dead-lettered──▶ gone
//! ```
//!
//! The queue gives each message an ordinal when it comes: its place. Ready messages are delivered
//! in that order, higher priorities first if the queue has priorities; a message that comes back
//! goes to its old place. A delivery to a consumer that does not ack is gone at once. A message
//! that dies is dropped, or, with a dead-letter exchange, stays here as dead until the exchange's
//! queues have it.
//!
//! The machine is total and deterministic: it reads no clock, knows no other queue and does no
//! I/O. What it tells others goes to their inboxes and to [`effects::Effects`]. Each command runs
//! to its end here in [`Queue::apply`], then [`Queue::finish`] delivers, expires and tidies.
//! Threads, locks and panics are `handle`'s business.

pub mod budget;
mod chunks;
mod command;
mod consumer;
mod consumers;
mod consuming;
mod dead;
pub mod dead_letter;
mod delivery;
mod effects;
mod expiry;
mod failure;
mod fifo;
pub mod handle;
mod limits;
mod log;
mod pacing;
mod paging;
mod pending;
mod publishing;
mod ready;
mod releasing;
mod removal;
mod restoring;
mod settings;
mod settling;
mod snapshot;
mod tally;
#[cfg(test)]
mod tests;
mod unacked;

pub use handle::*;

use std::sync::Arc;

use crate::defects::{Defect, is_planted};
use crate::inbox::Answer;
use crate::journal::Journal;
use crate::time::Timestamp;
use budget::Share;
use chunks::{Chunks, Slot};
use consumers::Consumers;
use dead::Dead;
use delivery::Parked;
use effects::Effects;
use log::QueueLog;
use pacing::Pacing;
use ready::Ready;
use releasing::Releasing;
use unacked::Unacked;

/// Whether the queue still does its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Running,
    /// Only its dead letters are left.
    Deleted,
    /// Its machine panicked.
    Failed,
}

/// The machine of one queue.
#[derive(Debug)]
struct Queue {
    identity: Identity,
    settings: Settings,
    life: Life,
    /// The latest time anybody came with.
    now: Timestamp,
    next_ordinal: u64,
    /// Where the messages lie; everything below refers to it by place.
    chunks: Chunks,
    ready: Ready,
    unacked: Unacked,
    dead: Dead,
    consumers: Consumers,
    log: QueueLog,
    share: Share,
    parked: Parked,
    /// Messages to be taken out of the middle once they are read from disk.
    removals: Vec<u64>,
    /// None before the log was asked to go.
    releasing: Option<Box<Releasing>>,
    totals: Totals,
    pacing: Pacing,
    /// When the queue was last used as x-expires means it; none before the first command.
    leased_at: Option<Timestamp>,
    /// The deadline the surroundings were asked to wake us at.
    armed: Option<Timestamp>,
    active_at: Option<Timestamp>,
}

impl Queue {
    fn new(
        identity: Identity,
        settings: Settings,
        journal: Option<Arc<dyn Journal>>,
        share: Share,
    ) -> Queue {
        Queue {
            log: QueueLog::new(identity.id, journal),
            share,
            parked: None,
            removals: Vec::new(),
            releasing: None,
            chunks: Chunks::new(identity.id),
            identity,
            settings,
            life: Life::Running,
            now: Timestamp::default(),
            next_ordinal: 1,
            ready: Ready::default(),
            unacked: Unacked::default(),
            dead: Dead::default(),
            consumers: Consumers::default(),
            totals: Totals::default(),
            pacing: Pacing::default(),
            leased_at: None,
            armed: None,
            active_at: None,
        }
    }

    /// Carries out one command.
    fn apply(&mut self, now: Timestamp, command: Command, effects: &mut Effects) {
        if self.life != Life::Running {
            return self.decline(command, effects);
        }
        self.begin(now);
        match command {
            Command::Publish(mut batch) => self.take_batch(&mut batch, effects),
            Command::Consume(spec, token) => self.consume(spec, token, effects),
            Command::Cancel { consumer, reply } => self.cancel(consumer, reply, effects),
            Command::Get {
                no_ack,
                reply,
                consumer,
            } => self.get(no_ack, &reply, consumer, effects),
            Command::Ack { ordinals } => self.ack(&ordinals),
            Command::Sent { ordinals } => self.sent(&ordinals),
            Command::Requeue { ordinals } => self.requeue(&ordinals),
            Command::Reject { ordinals } => self.reject(&ordinals),
            Command::Return { ordinals, records } => self.put_back_unseen(&ordinals, &records),
            Command::Purge { reply } => self.purge(reply, effects),
            Command::Delete {
                if_unused,
                if_empty,
                reply,
                reason,
            } => {
                self.delete_on(if_unused, if_empty, reply, reason, effects);
            }
            Command::Count { reply } => self.count(&reply, effects),
            Command::Touch => self.renew_lease(),
            Command::Tick => self.tick(effects),
            Command::Resume => self.consumers.resume(),
            Command::DeadLettered { ordinals } => self.dead_lettered(&ordinals),
            Command::Configure(settings) => self.configure(settings),
            Command::PageWritten { job, at, durable } => {
                self.page_written(job, at, durable, effects);
            }
            Command::PageRead { job, records } => self.page_read(job, records, effects),
            Command::Restore(found) => self.restore(*found, effects),
            Command::Release { upto } => self.release(upto.0, effects),
            Command::Shrink => self.shrink(effects),
            Command::Remove { ordinals } => self.remove(&ordinals),
        }
        self.finish(effects);
    }

    /// [`Command::Publish`] of a batch that its publisher wants back, empty.
    fn publish(&mut self, now: Timestamp, batch: &mut Batch, effects: &mut Effects) {
        if self.life != Life::Running {
            return self.decline_batch(batch, effects);
        }
        self.begin(now);
        self.take_batch(batch, effects);
        self.finish(effects);
    }

    /// Time never runs backwards here, whatever order the callers get the lock in.
    fn begin(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        self.leased_at.get_or_insert(self.now);
    }

    /// What every command ends with: messages move on, deadlines are kept, memory is tidied.
    fn finish(&mut self, effects: &mut Effects) {
        if self.life == Life::Running {
            if !is_planted(Defect::ParkedGetForgotten) {
                self.answer_gets(effects);
            }
            self.deliver(effects);
            self.expire();
            self.drop_gone_consumers(effects);
        }
        self.finish_log();
        self.consumers.take_freed(effects);
        self.unpace(effects);
        effects.dead_letters |= self.dead.announce();
        if self.life == Life::Running {
            self.arm(effects);
            self.compact();
            self.page(effects);
        }
        self.finish_pages(effects);
    }

    /// What became of messages is in the log, and their chunks know where.
    fn finish_log(&mut self) {
        let lsn = self.log.finish();
        self.chunks.logged_at(lsn);
        self.chunks.settled_at(lsn);
    }

    fn count(&self, reply: &ReplyTo, effects: &mut Effects) {
        let answer = Answer::Counted {
            messages: saturated(self.ready.tally().count),
            consumers: saturated(self.consumers.len() as u64),
        };
        effects.answer(reply, answer);
    }

    /// New settings hold at once, also for what waits. The lease of x-expires starts afresh.
    fn configure(&mut self, settings: Settings) {
        let max_priority = self.settings.max_priority;
        if settings.expires != self.settings.expires {
            self.renew_lease();
        }
        self.settings = Settings {
            max_priority,
            ..settings
        };
        self.trim();
    }

    fn dead_lettered(&mut self, ordinals: &[u64]) {
        for &ordinal in ordinals {
            self.dead.settle(ordinal, &mut self.chunks, &mut self.log);
        }
    }

    fn take_dead_letters(&mut self, max: usize, effects: &mut Effects) -> Vec<DeadLetter> {
        let letters = self.dead.take(max, &mut self.chunks);
        self.finish_pages(effects);
        letters
    }

    fn dead_letter_to(&self) -> Option<DeadLetterTo> {
        self.settings.dead_letter.clone()
    }

    fn now(&self) -> Timestamp {
        self.now
    }

    /// Copies chunks together that are mostly dead, and tells everybody who refers to a place.
    fn compact(&mut self) {
        while let Some(slot) = self.chunks.next_sparse() {
            self.compact_chunk(slot);
        }
    }

    fn compact_chunk(&mut self, slot: Slot) {
        let (unacked, dead, ready) = (&mut self.unacked, &mut self.dead, &mut self.ready);
        self.chunks.compact(slot, |ordinal, old, new| {
            if !unacked.moved(ordinal, new) && !dead.moved(ordinal, new) {
                ready.moved(ordinal, old, new);
            }
        });
    }
}

/// A count as AMQP's 32-bit fields can say it.
fn saturated(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

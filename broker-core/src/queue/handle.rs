//! A queue as everybody else sees it: a name, and a place to leave commands.
//!
//! The handle runs the queue's machine under its lock, in the thread of whoever submits. When the
//! lock is busy the command goes to a short pending list, and the holder of the lock takes it
//! along before it is done; nobody waits unless that list is full. Deliveries and answers are
//! pushed to inboxes under the lock; wakers, timers and the queue's surroundings are called after
//! it. The order of one submitter's commands is kept. A panic in the machine fails this queue and
//! nothing else.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, Weak};

use parking_lot::{Mutex, MutexGuard};

use super::Queue;
pub use super::budget::Budget;
use super::budget::Share;
pub use super::chunks::page::{Job, PageAt, PageFree, PageIn, PageOut};
pub use super::command::{Batch, Command, ConsumerSpec, InTurn, ReplyTo};
pub use super::dead_letter::{DeadLetter, Reason};
use super::effects::Effects;
use super::pending::Pending;
pub use super::restoring::Found;
pub use super::settings::{DeadLetterTo, Overflow, Settings};
pub use super::snapshot::{ConsumerSnapshot, Counts, OnDisk, Snapshot, Totals};
use crate::host::Lsn;
use crate::journal::{Journal, PageEntry};
use crate::message::Records;
use crate::recovery::RestoredQueue;
use crate::time::Timestamp;

/// One life of a queue: never used again, not even for a queue of the same name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueId(pub u64);

/// What a queue is from its first to its last moment.
#[derive(Clone, Debug)]
pub struct Identity {
    /// This life of the queue.
    pub id: QueueId,
    /// Its vhost.
    pub vhost: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// Whether it outlives a restart.
    pub durable: bool,
    /// Whether it goes with its last consumer.
    pub auto_delete: bool,
    /// The only connection that may use it.
    pub exclusive: Option<u64>,
}

/// Why a queue was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// Somebody asked for it.
    Requested,
    /// It is auto-delete and its last consumer went.
    LastConsumerGone,
    /// It was unused for longer than x-expires.
    Expired,
    /// It was exclusive to a connection that ended.
    OwnerGone,
}

/// What a queue asks of its surroundings; always called with no lock held.
pub trait QueueHost: Send + Sync {
    /// Submits [`Command::Tick`] at that time or a little later. The queue asks again after each
    /// tick, so one timer per queue is enough: a new deadline may replace the one before.
    fn arm(&self, queue: &Arc<QueueHandle>, deadline: Timestamp);

    /// Messages wait for [`QueueHandle::take_dead_letters`]. Said once for all that wait; said
    /// again when more come after some were taken.
    fn dead_letters_waiting(&self, queue: &Arc<QueueHandle>, now: Timestamp);

    /// The queue is gone. Its dead letters, if it has any, can still be taken.
    fn deleted(&self, queue: &Arc<QueueHandle>, reason: Deletion, now: Timestamp);

    /// The log for the messages of durable queues, if there is one.
    fn journal(&self) -> Option<Arc<dyn Journal>> {
        None
    }

    /// The memory for messages, if it is limited. Then pages are written and read.
    fn budget(&self) -> Option<Arc<Budget>> {
        None
    }

    /// Has a page written, and submits [`Command::PageWritten`].
    fn write_page(&self, queue: &Arc<QueueHandle>, page: PageOut);

    /// Has a page read, and submits [`Command::PageRead`].
    fn read_page(&self, queue: &Arc<QueueHandle>, page: PageIn);

    /// A page is not needed any more.
    fn free_page(&self, page: PageFree);

    /// Messages are lost, because a page cannot be read.
    fn messages_lost(&self, queue: &Arc<QueueHandle>, count: u64);

    /// The queue's machine panicked: it refuses everything from now on.
    fn failed(&self, queue: &Arc<QueueHandle>, message: &str);
}

/// A queue, shared by all who use it.
pub struct QueueHandle {
    identity: Identity,
    host: Arc<dyn QueueHost>,
    closed: AtomicBool,
    queue: Mutex<Queue>,
    pending: Pending,
    this: Weak<QueueHandle>,
}

impl QueueHandle {
    /// An empty queue. Submit [`Command::Touch`] to it next: time begins with the first command.
    pub fn new(
        identity: Identity,
        settings: Settings,
        host: Arc<dyn QueueHost>,
    ) -> Arc<QueueHandle> {
        Arc::new_cyclic(|this| QueueHandle {
            queue: Mutex::new(Queue::new(
                identity.clone(),
                settings,
                identity.durable.then(|| host.journal()).flatten(),
                Share::new(host.budget()),
            )),
            identity,
            host,
            closed: AtomicBool::new(false),
            pending: Pending::default(),
            this: this.clone(),
        })
    }

    /// Who it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Whether it was deleted. Publishes to it count as taken; all else is refused.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Has the command carried out, by the caller or by whoever holds the queue at the moment.
    pub fn submit(self: &Arc<Self>, now: Timestamp, command: Command) {
        match self.queue.try_lock() {
            Some(queue) => self.run(queue, now, |queue, effects| {
                queue.apply_guarded(now, command, effects);
            }),
            None => self.leave(now, command),
        }
    }

    /// Publishes a batch and leaves it empty with its memory (or, when the queue is busy, with
    /// none).
    pub fn publish(self: &Arc<Self>, now: Timestamp, batch: &mut Batch) {
        match self.queue.try_lock() {
            Some(queue) => self.run(queue, now, |queue, effects| {
                queue.publish_guarded(now, batch, effects);
            }),
            None => {
                if let Some(origin) = &batch.origin {
                    origin.note_on_the_way();
                }
                self.leave(now, Command::Publish(std::mem::take(batch)));
            }
        }
        batch.clear();
    }

    /// [`Self::publish`] that waits while the queue is busy: what is published here is in the log
    /// when this returns.
    pub fn publish_waiting(self: &Arc<Self>, now: Timestamp, batch: &mut Batch) {
        self.run(self.queue.lock(), now, |queue, effects| {
            queue.publish_guarded(now, batch, effects);
        });
        batch.clear();
    }

    /// Takes in what a start has found of it; comes first. `read` gives the messages of a page
    /// that cannot stay on disk as it is, or none when they are lost.
    pub fn restore(
        self: &Arc<Self>,
        now: Timestamp,
        found: RestoredQueue,
        is_clean: bool,
        read: impl FnMut(&PageEntry) -> Option<Records>,
    ) {
        let max_priority = self.look(|queue| queue.max_priority());
        let found = Found::sort(found, max_priority, is_clean, read);
        self.submit(now, Command::Restore(Box::new(found)));
    }

    /// [`Self::submit`] that waits while the queue is busy: when this returns, the command was
    /// carried out.
    pub fn submit_waiting(self: &Arc<Self>, now: Timestamp, command: Command) {
        self.run(self.queue.lock(), now, |queue, effects| {
            queue.apply_guarded(now, command, effects);
        });
    }

    /// Up to `max` messages that wait to be dead-lettered, oldest death first. They stay with the
    /// queue, marked as taken, until [`Command::DeadLettered`] names them.
    pub fn take_dead_letters(self: &Arc<Self>, max: usize) -> Vec<DeadLetter> {
        let mut letters = Vec::new();
        self.run(self.queue.lock(), Timestamp::default(), |queue, effects| {
            letters = queue.take_dead_letters(max, effects);
        });
        letters
    }

    /// Where the queue's dead letters go at the moment.
    pub fn dead_letter_to(&self) -> Option<DeadLetterTo> {
        self.look(|queue| queue.dead_letter_to())
    }

    /// The first record of the log that the queue needs; none when it needs nothing of it.
    pub fn needed_from(&self) -> Option<Lsn> {
        self.look(|queue| queue.needed_from().map(Lsn))
    }

    /// Whether a start after a stop in good order would take messages for new that may have been
    /// delivered: until the queue is asked to let the log go.
    pub fn owes_redelivered(&self) -> bool {
        self.look(|queue| queue.owes_redelivered())
    }

    /// What the queue holds at the moment.
    pub fn counts(&self) -> Counts {
        self.look(|queue| queue.counts())
    }

    /// Bytes of messages in memory that [`Command::Shrink`] may send to disk.
    pub fn pageable_bytes(&self) -> usize {
        self.look(|queue| queue.pageable_bytes())
    }

    /// All that the management API shows of a queue.
    pub fn snapshot(&self) -> Snapshot {
        self.look(|queue| queue.snapshot())
    }

    /// The machine itself, for tests that break it.
    #[cfg(test)]
    pub(super) fn queue_for_tests(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock()
    }

    /// Waits for the lock. Whoever held it takes along what others left meanwhile.
    fn look<T>(&self, see: impl FnOnce(&mut Queue) -> T) -> T {
        let mut queue = self.queue.lock();
        let seen = see(&mut queue);
        drop(queue);
        if let Some(this) = self.this.upgrade() {
            this.take_along();
        }
        seen
    }

    /// Leaves a command for the holder of the lock. With too many of them there, waits instead.
    fn leave(self: &Arc<Self>, now: Timestamp, command: Command) {
        match self.pending.leave(now, command) {
            Ok(()) => self.take_along(),
            Err(command) => {
                self.run(self.queue.lock(), now, |queue, effects| {
                    apply_left(queue, now, command, effects);
                });
            }
        }
    }

    /// Carries out `act`, what was left before it, and what is left before the lock is free.
    fn run(
        self: &Arc<Self>,
        mut queue: MutexGuard<'_, Queue>,
        now: Timestamp,
        act: impl FnOnce(&mut Queue, &mut Effects),
    ) {
        let mut effects = Effects::default();
        self.apply_pending(&mut queue, &mut effects);
        act(&mut queue, &mut effects);
        self.unlock(queue, now, effects);
        self.take_along();
    }

    /// Carries out what was left while the lock was busy. Whoever leaves a command comes here, and
    /// whoever held the lock: one of them sees the other, because of the fence between what each
    /// wrote (the list, the lock) and what it reads (the lock, the list).
    fn take_along(self: &Arc<Self>) {
        loop {
            fence(Ordering::SeqCst);
            if self.pending.is_empty() {
                return;
            }
            let Some(mut queue) = self.queue.try_lock() else {
                return;
            };
            let mut effects = Effects::default();
            let now = queue.now();
            self.apply_pending(&mut queue, &mut effects);
            self.unlock(queue, now, effects);
        }
    }

    fn apply_pending(&self, queue: &mut Queue, effects: &mut Effects) {
        for (now, command) in self.pending.take() {
            apply_left(queue, now, command, effects);
        }
    }

    /// Frees the lock, then does what must not be done under it.
    fn unlock(self: &Arc<Self>, queue: MutexGuard<'_, Queue>, now: Timestamp, effects: Effects) {
        if effects.deleted.is_some() {
            self.closed.store(true, Ordering::Release);
        }
        let now = now.max(queue.now());
        drop(queue);
        if effects.carry_out(self, self.host.as_ref(), now) {
            self.pending.leave_resume(now);
        }
    }
}

/// Carries out a command that could not be carried out at once.
fn apply_left(queue: &mut Queue, now: Timestamp, command: Command, effects: &mut Effects) {
    let origin = match &command {
        Command::Publish(batch) => batch.origin.clone(),
        _ => None,
    };
    queue.apply_guarded(now, command, effects);
    if let Some(origin) = origin
        && origin.note_arrived()
    {
        effects.arrived.push(origin);
    }
}

impl fmt::Debug for QueueHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QueueHandle")
            .field("identity", &self.identity)
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

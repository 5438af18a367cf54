//! What a turn of the machine leaves to be done once the queue is unlocked.

use std::sync::Arc;
use std::task::Waker;

use smallvec::SmallVec;

use super::chunks::page::{PageFree, PageIn, PageOut};
use super::command::Command;
use super::handle::{Deletion, QueueHandle, QueueHost, ReplyTo};
use crate::credit::ChannelCredit;
use crate::inbox::{Answer, Event, Inbox, Pushed};
use crate::time::Timestamp;

/// Collected under the lock, carried out after it.
#[derive(Default)]
pub(super) struct Effects {
    wakers: SmallVec<[Waker; 2]>,
    /// Connections and channels that had no room for a message.
    skipped: Vec<(Arc<Inbox>, Arc<ChannelCredit>)>,
    /// Connections whose channels got credit back.
    pub(super) freed: Vec<Arc<Inbox>>,
    /// Connections all of whose batches have reached their queues.
    pub(super) arrived: Vec<Arc<Inbox>>,
    /// Publishing connections that may go on.
    pub(super) unpaced: SmallVec<[Arc<Inbox>; 1]>,
    pub(super) arm: Option<Timestamp>,
    pub(super) dead_letters: bool,
    /// A bounded step ended before the work did.
    pub(super) unfinished: bool,
    pub(super) pages_out: Vec<PageOut>,
    pub(super) pages_in: Vec<PageIn>,
    pub(super) pages_free: Vec<PageFree>,
    /// Messages that were in a page that cannot be read.
    pub(super) lost: u64,
    pub(super) deleted: Option<Deletion>,
    pub(super) failed: Option<String>,
}

impl Effects {
    /// Keeps the waker of a push. False when the inbox was closed.
    pub(super) fn pushed(&mut self, pushed: Pushed) -> bool {
        match pushed {
            Pushed::Done(waker) => {
                self.wakers.extend(waker);
                true
            }
            Pushed::Closed => false,
        }
    }

    /// Answers a question of a channel. False when nobody is left to read it.
    pub(super) fn answer(&mut self, reply: &ReplyTo, answer: Answer) -> bool {
        let event = Event::Answer {
            channel: reply.channel,
            token: reply.token,
            answer,
        };
        self.pushed(reply.inbox.push_event(event, None))
    }

    /// A consumer was passed over because its connection or channel had no room.
    pub(super) fn skip(&mut self, inbox: &Arc<Inbox>, credit: &Arc<ChannelCredit>) {
        self.skipped.push((inbox.clone(), credit.clone()));
    }

    /// Wakes, registers, arms and reports; no lock is held. True when the queue must be resumed.
    #[must_use]
    pub(super) fn carry_out(
        mut self,
        queue: &Arc<QueueHandle>,
        host: &dyn QueueHost,
        now: Timestamp,
    ) -> bool {
        for waker in self.wakers.drain(..) {
            waker.wake();
        }
        for inbox in self.arrived.drain(..) {
            inbox.wake();
        }
        for publisher in &self.unpaced {
            publisher.unpace();
        }
        let resume = self.register(queue) | self.resume_others(queue, now) | self.unfinished;
        if let Some(deadline) = self.arm {
            host.arm(queue, deadline);
        }
        self.page(queue, host);
        if self.dead_letters {
            host.dead_letters_waiting(queue, now);
        }
        if let Some(message) = &self.failed {
            host.failed(queue, message);
        }
        if let Some(reason) = self.deleted {
            host.deleted(queue, reason, now);
        }
        resume
    }

    fn page(&mut self, queue: &Arc<QueueHandle>, host: &dyn QueueHost) {
        for page in self.pages_out.drain(..) {
            host.write_page(queue, page);
        }
        for page in self.pages_in.drain(..) {
            host.read_page(queue, page);
        }
        for page in self.pages_free.drain(..) {
            host.free_page(page);
        }
        if self.lost > 0 {
            host.messages_lost(queue, self.lost);
        }
    }

    /// Leaves the queue's name with the connections that had no room. What became ready before
    /// will not tell us: true if something did.
    fn register(&self, queue: &Arc<QueueHandle>) -> bool {
        let mut became_ready = false;
        for (inbox, credit) in &self.skipped {
            inbox.skip(queue);
            became_ready |= inbox.is_ready() && credit.is_ready();
        }
        became_ready
    }

    /// Lets the queues go on that waited for the credit which is free now. True if this is one.
    fn resume_others(&self, queue: &Arc<QueueHandle>, now: Timestamp) -> bool {
        let mut is_among = false;
        for skipped in self.freed.iter().flat_map(|inbox| inbox.take_skipped()) {
            let Some(skipped) = skipped.upgrade() else {
                continue;
            };
            if Arc::ptr_eq(&skipped, queue) {
                is_among = true;
            } else {
                skipped.submit(now, Command::Resume);
            }
        }
        is_among
    }
}

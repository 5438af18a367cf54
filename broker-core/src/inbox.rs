//! A connection's inbox: what queues and the broker have for it, in the order it was decided.
//!
//! Queues push under their own lock (the inbox is a leaf: nothing is taken under it) and wake the
//! connection after unlocking. Deliveries of one batch lie in one [`Records`], so that a batch
//! costs one lock, one wake and no allocation. The owner swaps the whole content out with
//! [`Inbox::take`]. The inbox also carries the connection's readiness: a queue does not choose a
//! message for a connection that has more than [`INBOX_BYTES_MAX`] waiting here or in its socket
//! buffer; it leaves its name in the skipped list and is told when there is room again.

mod record_list;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::Waker;

use amqp_codec::ReplyCode;
use parking_lot::Mutex;

use crate::error::BrokerError;
use crate::host::Lsn;
use crate::message::{RecordRef, Records};
use crate::queue::handle::QueueHandle;
pub use record_list::{Iter as RecordIter, RecordList};

/// A connection with this many bytes of deliveries before it is not ready for more. One message
/// of any size passes when nothing is in flight.
pub const INBOX_BYTES_MAX: usize = 256 * 1024;

/// Buffer that an idle inbox may keep.
const IDLE_BYTES_MAX: usize = 1024;

/// Names one consumer of one channel, unique in the process and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerId(pub u64);

impl ConsumerId {
    /// In whose name a delivery is kept that nobody acks.
    pub(crate) const NOBODY: ConsumerId = ConsumerId(u64::MAX);

    /// An id nobody has had before.
    pub fn next() -> ConsumerId {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        ConsumerId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Consecutive publishes of one channel that await their confirm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfirmRun {
    /// The channel they were published on.
    pub channel: u16,
    /// Publish sequence number of the first.
    pub first: u64,
    /// How many, each one more than the one before.
    pub count: u32,
}

/// Consecutive deliveries to one consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeliveryRun {
    /// The consumer's channel.
    pub channel: u16,
    /// The consumer.
    pub consumer: ConsumerId,
    /// How many.
    pub count: u32,
}

/// What a queue answers to a command of a channel.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The consumer is registered; deliveries follow.
    Consuming,
    /// The consumer is gone; its last delivery has been pushed.
    Cancelled(ConsumerId),
    /// A message for basic.get: the next record of the mail; this many ready ones are left.
    Got {
        /// Ready messages left in the queue.
        message_count: u32,
    },
    /// basic.get found nothing.
    Empty,
    /// This many ready messages were purged.
    Purged {
        /// How many.
        count: u32,
        /// The record of the log that says so.
        lsn: Lsn,
    },
    /// The queue is deleted, with this many ready messages.
    Deleted(u32),
    /// Ready messages and consumers of the queue, for declare-ok.
    Counted {
        /// Ready messages.
        messages: u32,
        /// Consumers.
        consumers: u32,
    },
    /// Refused, with the reason for the close.
    Refused(BrokerError),
}

/// Something for a connection that is not a plain delivery.
#[derive(Clone, Debug)]
pub enum Event {
    /// A batch of publishes was taken by one of its queues; `rejected` ones were not (full).
    Published {
        /// Who awaits a confirm for the batch.
        confirms: Vec<ConfirmRun>,
        /// (channel, sequence number) of the publishes that were refused.
        rejected: Vec<(u16, u64)>,
        /// Where the log has the batch: the confirms wait until it is durable.
        lsn: Lsn,
    },
    /// The answer to the command that carried `token`.
    Answer {
        /// The channel that asked.
        channel: u16,
        /// What it called its question.
        token: u32,
        /// The answer.
        answer: Answer,
    },
    /// The broker ended a consumer (its queue is gone): basic.cancel.
    ConsumerCancelled {
        /// The consumer's channel.
        channel: u16,
        /// The consumer.
        consumer: ConsumerId,
    },
    /// An alarm was raised (its reason) or the last one cleared (none).
    Blocked(Option<&'static str>),
    /// The heartbeat interval is over: send one if nothing else was sent.
    HeartbeatDue,
}

/// One entry of a connection's mail.
#[derive(Clone, Debug)]
pub enum Item {
    /// The next `count` records are deliveries to this consumer.
    Deliveries {
        /// The consumer's channel.
        channel: u16,
        /// The consumer.
        consumer: ConsumerId,
        /// How many records.
        count: u32,
    },
    /// Anything else.
    Event(Event),
}

/// What lay in an inbox: items in order, and the records they refer to in the same order.
#[derive(Debug, Default)]
pub struct Mail {
    /// The items.
    pub items: Vec<Item>,
    /// Records of the deliveries (and of [`Answer::Got`]), in the order of the items.
    pub records: RecordList,
}

impl Mail {
    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Names the consumer of the records that were appended last.
    fn add_run(&mut self, run: DeliveryRun) {
        match self.items.last_mut() {
            Some(Item::Deliveries {
                channel,
                consumer,
                count,
            }) if *channel == run.channel && *consumer == run.consumer => *count += run.count,
            _ => self.items.push(Item::Deliveries {
                channel: run.channel,
                consumer: run.consumer,
                count: run.count,
            }),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    mail: Mail,
    /// Called when mail comes.
    waker: Option<Waker>,
    /// Called when the owner must look up, even if it takes no mail at the moment.
    urgent: Option<Waker>,
    /// Somebody ends the connection.
    ending: Option<(ReplyCode, String)>,
    closed: bool,
}

/// A connection's inbox. Shared by the connection, the queues it consumes from and the broker.
#[derive(Debug)]
pub struct Inbox {
    state: Mutex<State>,
    /// Bytes of deliveries here and, as far as the owner says, in its socket buffer.
    bytes: AtomicUsize,
    skipped: Mutex<Vec<Weak<QueueHandle>>>,
    has_skipped: AtomicBool,
    closed: AtomicBool,
    /// The last log record of a message that this connection published.
    logged: AtomicU64,
    /// Batches of this connection that wait for a busy queue.
    on_the_way: AtomicUsize,
    /// The owner publishes faster than consumers take.
    paced: AtomicBool,
    /// The next tick of the process lets the owner go on.
    on_tick: AtomicBool,
}

impl Inbox {
    /// An open, empty inbox.
    pub fn new() -> Arc<Inbox> {
        Arc::new(Inbox {
            state: Mutex::default(),
            bytes: AtomicUsize::new(0),
            skipped: Mutex::default(),
            has_skipped: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            logged: AtomicU64::new(0),
            on_the_way: AtomicUsize::new(0),
            paced: AtomicBool::new(false),
            on_tick: AtomicBool::new(false),
        })
    }

    /// Whether a queue may choose a message for this connection now.
    #[inline]
    pub fn is_ready(&self) -> bool {
        self.bytes.load(Ordering::SeqCst) < INBOX_BYTES_MAX && !self.is_closed()
    }

    /// Bytes of deliveries that wait here or in the owner's socket buffer.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::SeqCst)
    }

    /// Counts bytes that were chosen for this connection but are not pushed yet.
    #[inline]
    pub fn reserve_bytes(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::SeqCst);
    }

    /// The owner has sent (or returned) this many bytes of deliveries.
    pub fn release_bytes(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::SeqCst);
    }

    /// A queue has appended messages of this connection to the log.
    pub(crate) fn note_logged(&self, lsn: Lsn) {
        self.logged.fetch_max(lsn.0, Ordering::Release);
    }

    /// The last log record of a message that this connection published, as far as its queues
    /// have taken them.
    pub fn logged(&self) -> Lsn {
        Lsn(self.logged.load(Ordering::Acquire))
    }

    /// A batch of this connection waits for a busy queue.
    pub(crate) fn note_on_the_way(&self) {
        self.on_the_way.fetch_add(1, Ordering::SeqCst);
    }

    /// A queue took a batch that waited. True when it was the last one.
    pub(crate) fn note_arrived(&self) -> bool {
        self.on_the_way.fetch_sub(1, Ordering::SeqCst) == 1
    }

    /// Whether every queue has taken what this connection published.
    pub fn is_settled(&self) -> bool {
        self.on_the_way.load(Ordering::SeqCst) == 0
    }

    /// Whether the owner is gone: nothing pushed will be read.
    #[inline]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Appends deliveries to one consumer, emptying `records`; their bytes must have been
    /// reserved. Gives the waker to call after the queue is unlocked. On a closed inbox the
    /// records stay with the caller (false).
    #[must_use]
    pub fn push_deliveries(
        &self,
        channel: u16,
        consumer: ConsumerId,
        records: &mut Records,
    ) -> Pushed {
        let run = DeliveryRun {
            channel,
            consumer,
            count: records.len() as u32,
        };
        self.push_runs(&[run], records)
    }

    /// [`Self::push_deliveries`] to several consumers: `records` are those of the runs, in order.
    #[must_use]
    pub fn push_runs(&self, runs: &[DeliveryRun], records: &mut Records) -> Pushed {
        let mut state = self.state.lock();
        if state.closed {
            return Pushed::Closed;
        }
        state.mail.records.append(records);
        for run in runs {
            state.mail.add_run(*run);
        }
        Pushed::Done(state.waker.take())
    }

    /// Appends an event, with the record it speaks of if it is [`Answer::Got`] (the record's
    /// bytes must have been reserved).
    #[must_use]
    pub fn push_event(&self, event: Event, record: Option<RecordRef<'_>>) -> Pushed {
        let mut state = self.state.lock();
        if state.closed {
            return Pushed::Closed;
        }
        if let Some(record) = record {
            state.mail.records.push_record(record);
        }
        state.mail.items.push(Item::Event(event));
        Pushed::Done(state.waker.take())
    }

    /// [`Self::push_event`] from outside any queue's lock: wakes at once.
    pub fn send(&self, event: Event) {
        self.push_event(event, None).wake();
    }

    /// Wakes the owner without any mail (the log became durable, its time is up), also when it
    /// takes no mail because its client does not read.
    pub fn wake(&self) {
        let (waker, urgent) = {
            let mut state = self.state.lock();
            (state.waker.take(), state.urgent.take())
        };
        if let Some(waker) = urgent.or(waker) {
            waker.wake();
        }
    }

    /// The connection must close with this code and text (operator, shutdown). Apart from the
    /// mail, so that it is heard by an owner that takes none.
    pub fn end_with(&self, code: ReplyCode, text: String) {
        self.state.lock().ending.get_or_insert((code, text));
        self.wake();
    }

    /// Registers the owner for [`Self::wake`], and gives what [`Self::end_with`] said, once.
    pub fn look_up(&self, waker: &Waker) -> Option<(ReplyCode, String)> {
        let mut state = self.state.lock();
        if !state
            .urgent
            .as_ref()
            .is_some_and(|kept| kept.will_wake(waker))
        {
            state.urgent = Some(waker.clone());
        }
        state.ending.take()
    }

    /// Swaps the content into `mail`, which must be empty. False when there was nothing; then
    /// `waker`, if given, is kept and called at the next push.
    pub fn take(&self, mail: &mut Mail, waker: Option<&Waker>) -> bool {
        debug_assert!(mail.is_empty() && mail.records.is_empty());
        let mut state = self.state.lock();
        if state.mail.is_empty() {
            // Who has nothing to do owns no buffer; the worker thread keeps the larger one.
            if state.mail.records.capacity() > IDLE_BYTES_MAX {
                if state.mail.records.capacity() > mail.records.capacity() {
                    std::mem::swap(&mut state.mail, mail);
                }
                state.mail = Mail::default();
            }
            if let Some(waker) = waker
                && !state
                    .waker
                    .as_ref()
                    .is_some_and(|kept| kept.will_wake(waker))
            {
                state.waker = Some(waker.clone());
            }
            return false;
        }
        std::mem::swap(&mut state.mail, mail);
        state.waker = None;
        true
    }

    /// Ends the inbox and gives back what lay in it: nothing can be pushed after.
    pub fn close(&self) -> Mail {
        self.closed.store(true, Ordering::SeqCst);
        let mut state = self.state.lock();
        state.closed = true;
        state.waker = None;
        std::mem::take(&mut state.mail)
    }

    /// The owner publishes to a queue faster than its consumers take: it should wait with its next
    /// read until [`Self::unpace`], which is sure to come only if the owner asks for it.
    pub fn pace(&self) {
        self.paced.store(true, Ordering::SeqCst);
    }

    /// Whether the owner should wait with its next read.
    #[inline]
    pub fn is_paced(&self) -> bool {
        self.paced.load(Ordering::SeqCst)
    }

    /// The owner may read on.
    pub fn unpace(&self) {
        if self.paced.swap(false, Ordering::SeqCst) {
            self.wake();
        }
    }

    /// Notes that the owner is on the list of the next tick. False if it was already.
    pub fn join_tick(&self) -> bool {
        !self.on_tick.swap(true, Ordering::SeqCst)
    }

    /// The tick the owner had joined: it may read on.
    pub fn tick(&self) {
        self.on_tick.store(false, Ordering::SeqCst);
        self.unpace();
    }

    /// A queue passed this connection over because it was not ready. The queue must look at
    /// [`Self::is_ready`] once more after this call, or the wake may be lost.
    pub fn skip(&self, queue: &Arc<QueueHandle>) {
        let mut skipped = self.skipped.lock();
        let weak = Arc::downgrade(queue);
        if !skipped.iter().any(|other| other.ptr_eq(&weak)) {
            skipped.push(weak);
        }
        self.has_skipped.store(true, Ordering::SeqCst);
    }

    /// The queues that passed this connection over since the last call. The owner calls this
    /// when it became ready again and resumes each.
    pub fn take_skipped(&self) -> Vec<Weak<QueueHandle>> {
        if !self.has_skipped.swap(false, Ordering::SeqCst) {
            return Vec::new();
        }
        std::mem::take(&mut self.skipped.lock())
    }
}

/// What became of a push.
#[derive(Debug)]
pub enum Pushed {
    /// It lies in the inbox; wake the owner with this once no lock is held.
    Done(Option<Waker>),
    /// The owner is gone.
    Closed,
}

impl Pushed {
    /// Wakes the owner, if it waits.
    pub fn wake(self) {
        if let Pushed::Done(Some(waker)) = self {
            waker.wake();
        }
    }
}

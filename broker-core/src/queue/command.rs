//! What a queue can be told. Answers never return to the caller: they are pushed to inboxes.

use std::fmt;
use std::sync::Arc;

use amqp_codec::FieldTable;

use super::chunks::page::{Job, PageAt};
use super::handle::Deletion;
use super::restoring::Found;
use super::settings::Settings;
use crate::credit::ChannelCredit;
use crate::host::Lsn;
use crate::inbox::{ConfirmRun, ConsumerId, Inbox};
use crate::message::Records;
use crate::turns::OpenTurn;

/// Messages of one publisher for one queue, in the order they were published.
#[derive(Debug, Default)]
pub struct Batch {
    /// The messages.
    pub records: Records,
    /// Who awaits a confirm: nobody (empty), or one sequence number for each record, in order.
    pub confirms: Vec<ConfirmRun>,
    /// The publisher's connection, if it is one: it may be paced, gets
    /// [`crate::inbox::Event::Published`] when `confirms` is not empty, and is told where the log
    /// has the messages.
    pub origin: Option<Arc<Inbox>>,
    /// Those of the messages that are in the log already.
    pub in_turn: Option<InTurn>,
}

impl Batch {
    /// Forgets everything but its memory and its origin.
    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.confirms.clear();
        self.in_turn = None;
    }
}

/// Messages of a batch that are in the log as part of a turn: the queue logs which ordinals they
/// got, and not the messages.
#[derive(Debug)]
pub struct InTurn {
    /// The turn.
    pub turn: Arc<OpenTurn>,
    /// Runs of the batch's records, by index: first and count, ascending.
    pub runs: Vec<(u32, u32)>,
}

/// Where an answer goes and what the asker calls its question.
#[derive(Clone, Debug)]
pub struct ReplyTo {
    /// The asker's inbox.
    pub inbox: Arc<Inbox>,
    /// The channel that asked.
    pub channel: u16,
    /// Its name for the question.
    pub token: u32,
}

/// A consumer as basic.consume described it.
#[derive(Clone)]
pub struct ConsumerSpec {
    /// Its name in the process.
    pub id: ConsumerId,
    /// Its channel.
    pub channel: u16,
    /// Its consumer tag.
    pub tag: Arc<str>,
    /// The inbox of its connection.
    pub inbox: Arc<Inbox>,
    /// The credit its channel shares among its consumers.
    pub credit: Arc<ChannelCredit>,
    /// Deliveries are settled when they are encoded.
    pub no_ack: bool,
    /// No other consumer may have the queue.
    pub exclusive: bool,
    /// x-priority: higher ones are served first.
    pub priority: i32,
    /// How many unacked deliveries it may have; 0 means any number.
    pub prefetch: u16,
    /// The arguments as they came, for listings.
    pub arguments: FieldTable,
}

impl fmt::Debug for ConsumerSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsumerSpec")
            .field("id", &self.id)
            .field("channel", &self.channel)
            .field("tag", &self.tag)
            .field("no_ack", &self.no_ack)
            .field("exclusive", &self.exclusive)
            .field("priority", &self.priority)
            .field("prefetch", &self.prefetch)
            .finish_non_exhaustive()
    }
}

/// Everything that can happen to a queue. Ordinals that the queue does not know are ignored.
#[derive(Debug)]
pub enum Command {
    /// Takes messages.
    Publish(Batch),
    /// Registers a consumer; the number is the token of the answer. Answers
    /// [`crate::inbox::Answer::Consuming`] before the first delivery, or a refusal.
    Consume(ConsumerSpec, u32),
    /// Ends a consumer. Its unacked messages stay unacked. The answer comes after its last
    /// delivery; a consumer that is not there is answered alike.
    Cancel {
        /// The consumer.
        consumer: ConsumerId,
        /// Who waits for the answer.
        reply: Option<ReplyTo>,
    },
    /// basic.get: one message or [`crate::inbox::Answer::Empty`]. Not limited by any prefetch.
    Get {
        /// The message is settled when it is encoded.
        no_ack: bool,
        /// Who waits for the message.
        reply: ReplyTo,
        /// In whose name it is unacked.
        consumer: ConsumerId,
    },
    /// Settles deliveries.
    Ack {
        /// The messages, by their place in the queue.
        ordinals: Vec<u64>,
    },
    /// Deliveries that no client acks were encoded: the queue kept them until now because they
    /// are in the log.
    Sent {
        /// The messages.
        ordinals: Vec<u64>,
    },
    /// Puts deliveries that a client had back to their places, marked redelivered (nack and
    /// reject with requeue, recover, the end of a channel).
    Requeue {
        /// The messages.
        ordinals: Vec<u64>,
    },
    /// reject or nack without requeue: dead-letters or drops.
    Reject {
        /// The messages.
        ordinals: Vec<u64>,
    },
    /// Puts deliveries that no client ever saw back to their places, not redelivered.
    Return {
        /// Those that await an ack.
        ordinals: Vec<u64>,
        /// Those that do not: the queue has nothing left of them.
        records: Records,
    },
    /// Drops all ready messages.
    Purge {
        /// Who waits for the count.
        reply: Option<ReplyTo>,
    },
    /// Deletes the queue.
    Delete {
        /// Only without consumers.
        if_unused: bool,
        /// Only without ready messages.
        if_empty: bool,
        /// Who waits for the answer.
        reply: Option<ReplyTo>,
        /// Why, for the surroundings.
        reason: Deletion,
    },
    /// Asks for ready messages and consumers.
    Count {
        /// Who asks.
        reply: ReplyTo,
    },
    /// The queue was declared, for the first time or again: renews the lease of x-expires. Whoever
    /// makes a queue sends this first, or x-expires does not begin before the next command.
    Touch,
    /// A deadline may have passed.
    Tick,
    /// A consumer's connection or channel became ready.
    Resume,
    /// Dead letters have been pushed to their targets, or had none.
    DeadLettered {
        /// The messages.
        ordinals: Vec<u64>,
    },
    /// The settings changed; they hold at once, also for messages that wait.
    Configure(Settings),
    /// A page was written, or (none) could not be.
    PageWritten {
        /// What was to be written.
        job: Job,
        /// Where it lies.
        at: Option<PageAt>,
        /// Whether it was synced.
        durable: bool,
    },
    /// A page was read; none when it cannot be: its messages are lost.
    PageRead {
        /// What was to be read.
        job: Job,
        /// What is in it.
        records: Option<Records>,
    },
    /// What a start has found of the queue, which is empty: comes first.
    Restore(Box<Found>),
    /// The log up to this record is to be recycled: what only it has goes into pages.
    Release {
        /// The last record to go.
        upto: Lsn,
    },
    /// Memory is short: everything that is not about to be delivered goes to disk.
    Shrink,
    /// Takes ready messages out of the middle, without dead-lettering.
    Remove {
        /// The messages.
        ordinals: Vec<u64>,
    },
}

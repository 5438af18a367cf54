//! The kit of the queue's tests: a queue with recorded surroundings, and clients that read their
//! inboxes as a connection does.

mod concurrency;
mod consuming;
mod dead_letters;
mod delivering;
mod durable;
mod expiry;
mod failure;
mod limits;
mod memory;
mod model;
mod ordering;
mod pacing;
mod publishing;
mod readdressing;
mod removal;
mod settling;
mod snapshots;

use std::sync::Arc;

use amqp_codec::FieldTable;
use parking_lot::Mutex;

use super::*;
use crate::credit::ChannelCredit;
use crate::inbox::{ConfirmRun, ConsumerId, Event, Inbox, Item, Mail};
use crate::journal::Journal;
use crate::message::{Body, Message, Records};

/// What a queue asked of its surroundings.
#[derive(Default)]
struct Surroundings {
    armed: Mutex<Vec<Timestamp>>,
    dead_letters: Mutex<usize>,
    deleted: Mutex<Vec<Deletion>>,
    failed: Mutex<Vec<String>>,
    budget: Option<Arc<Budget>>,
    journal: Option<Arc<dyn Journal>>,
    /// Pages by their offset; none once they are free.
    pages: Mutex<Vec<Option<Vec<u8>>>>,
    lost: Mutex<u64>,
}

impl Surroundings {
    /// Where messages go to disk as soon as they may.
    fn without_memory() -> Surroundings {
        Surroundings {
            budget: Some(Arc::new(Budget::new(0))),
            ..Surroundings::default()
        }
    }
}

impl QueueHost for Surroundings {
    fn arm(&self, _queue: &Arc<QueueHandle>, deadline: Timestamp) {
        self.armed.lock().push(deadline);
    }

    fn dead_letters_waiting(&self, _queue: &Arc<QueueHandle>, _now: Timestamp) {
        *self.dead_letters.lock() += 1;
    }

    fn deleted(&self, queue: &Arc<QueueHandle>, reason: Deletion, _now: Timestamp) {
        assert!(queue.is_closed());
        self.deleted.lock().push(reason);
    }

    fn journal(&self) -> Option<Arc<dyn Journal>> {
        self.journal.clone()
    }

    fn budget(&self) -> Option<Arc<Budget>> {
        self.budget.clone()
    }

    fn write_page(&self, queue: &Arc<QueueHandle>, page: PageOut) {
        let mut pages = self.pages.lock();
        let at = PageAt {
            segment: 1,
            offset: pages.len() as u64,
            length: page.bytes.len() as u32,
            crc: 0,
        };
        pages.push(Some(page.bytes));
        drop(pages);
        let (job, durable) = (page.job, page.durable);
        let written = Command::PageWritten {
            job,
            at: Some(at),
            durable,
        };
        queue.submit(Timestamp(0), written);
    }

    fn read_page(&self, queue: &Arc<QueueHandle>, page: PageIn) {
        let bytes = self.pages.lock()[page.at.offset as usize].clone();
        let bytes = bytes.expect("a page that is not free");
        let records = Records::decode(&bytes).ok();
        let job = page.job;
        queue.submit(Timestamp(0), Command::PageRead { job, records });
    }

    fn free_page(&self, page: PageFree) {
        let freed = self.pages.lock()[page.at.offset as usize].take();
        assert!(freed.is_some(), "a page is freed once");
    }

    fn messages_lost(&self, _queue: &Arc<QueueHandle>, count: u64) {
        *self.lost.lock() += count;
    }

    fn failed(&self, _queue: &Arc<QueueHandle>, message: &str) {
        self.failed.lock().push(message.to_owned());
    }
}

/// A queue `q` in vhost `v`, its surroundings, and the time.
struct Bed {
    host: Arc<Surroundings>,
    queue: Arc<QueueHandle>,
    now: Timestamp,
}

fn identity() -> Identity {
    Identity {
        id: QueueId(1),
        vhost: "v".into(),
        name: "q".into(),
        durable: true,
        auto_delete: false,
        exclusive: None,
    }
}

impl Bed {
    fn new(settings: Settings) -> Bed {
        Bed::with(identity(), settings)
    }

    fn with(identity: Identity, settings: Settings) -> Bed {
        Bed::amid(Surroundings::default(), identity, settings)
    }

    fn amid(host: Surroundings, identity: Identity, settings: Settings) -> Bed {
        let host = Arc::new(host);
        let queue = QueueHandle::new(identity, settings, host.clone());
        let now = Timestamp(1_000);
        queue.submit(now, Command::Touch);
        Bed { host, queue, now }
    }

    fn submit(&self, command: Command) {
        self.queue.submit(self.now, command);
    }

    /// Publishes these bodies in one batch, without confirms.
    fn publish(&self, bodies: &[&str]) {
        let messages = bodies.iter().map(|body| message(body));
        self.publish_all(messages);
    }

    fn publish_all<'a>(&self, messages: impl IntoIterator<Item = Message<'a>>) {
        let mut batch = Batch::default();
        for message in messages {
            batch.records.push(message);
        }
        self.queue.publish(self.now, &mut batch);
        assert!(batch.records.is_empty());
    }

    /// Later by so many milliseconds; the deadlines in between come in their order.
    fn advance(&mut self, ms: u64) {
        let end = self.now.plus_ms(ms);
        loop {
            let due = self.host.armed.lock().drain(..).min();
            match due {
                Some(due) if due <= end => {
                    self.now = self.now.max(due);
                    self.submit(Command::Tick);
                }
                later => {
                    self.host.armed.lock().extend(later);
                    break;
                }
            }
        }
        self.now = end;
    }

    #[track_caller]
    fn assert_counts(&self, ready: u64, unacked: u64) {
        let counts = self.queue.counts();
        assert_eq!((counts.ready, counts.unacked), (ready, unacked));
    }

    fn totals(&self) -> Totals {
        self.queue.snapshot().totals
    }
}

fn message(body: &str) -> Message<'_> {
    Message {
        exchange: "x",
        routing_key: "key",
        properties: &[0, 0],
        body: Body::Inline(body.as_bytes()),
        persistent: false,
        priority: 0,
        expires_at: None,
        has_bcc: false,
    }
}

/// One delivery or answer with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Delivery {
    consumer: u64,
    body: String,
    redelivered: bool,
    ordinal: u64,
}

/// What a connection found in its inbox, in order.
#[derive(Clone, Debug)]
enum Seen {
    Delivery(Delivery),
    Event(Event),
}

/// A connection with one channel.
struct Client {
    inbox: Arc<Inbox>,
    credit: Arc<ChannelCredit>,
}

impl Client {
    fn new() -> Client {
        Client {
            inbox: Inbox::new(),
            credit: Arc::new(ChannelCredit::new()),
        }
    }

    fn spec(&self, id: u64) -> ConsumerSpec {
        ConsumerSpec {
            id: ConsumerId(id),
            channel: 1,
            tag: format!("tag{id}").into(),
            inbox: self.inbox.clone(),
            credit: self.credit.clone(),
            no_ack: false,
            exclusive: false,
            priority: 0,
            prefetch: 0,
            arguments: FieldTable::new(),
        }
    }

    /// Consumes without limits and acks.
    fn consume(&self, bed: &Bed, id: u64) {
        self.consume_as(bed, self.spec(id));
    }

    fn consume_no_ack(&self, bed: &Bed, id: u64) {
        let spec = ConsumerSpec {
            no_ack: true,
            ..self.spec(id)
        };
        self.consume_as(bed, spec);
    }

    /// Consumes and expects to be accepted with nothing before.
    #[track_caller]
    fn consume_as(&self, bed: &Bed, spec: ConsumerSpec) {
        bed.submit(Command::Consume(spec, 7));
    }

    fn reply(&self, token: u32) -> ReplyTo {
        ReplyTo {
            inbox: self.inbox.clone(),
            channel: 1,
            token,
        }
    }

    /// Empties the inbox as if all of it was encoded and sent.
    fn read(&self) -> Vec<Seen> {
        let mut mail = Mail::default();
        self.inbox.take(&mut mail, None);
        let bytes = mail
            .records
            .iter()
            .map(|record| record.memory_bytes())
            .sum();
        self.inbox.release_bytes(bytes);
        seen(mail)
    }

    /// Reads, and gives the deliveries only.
    fn deliveries(&self) -> Vec<Delivery> {
        deliveries(self.read())
    }

    /// Reads, and gives the bodies of the deliveries only.
    fn bodies(&self) -> Vec<String> {
        self.deliveries()
            .into_iter()
            .map(|delivery| delivery.body)
            .collect()
    }

    /// Reads, and gives the only answer there is.
    #[track_caller]
    fn answer(&self) -> Answer {
        let mut answers = self.read().into_iter().filter_map(|seen| match seen {
            Seen::Event(Event::Answer { answer, .. }) => Some(answer),
            _ => None,
        });
        let answer = answers.next().expect("an answer");
        assert!(answers.next().is_none(), "one answer only");
        answer
    }

    /// The connection ends: gives what it had not read yet.
    fn close(&self) -> Mail {
        self.inbox.close()
    }

    /// Tells all queues that passed this connection over to go on.
    fn resume(&self, now: Timestamp) {
        for queue in self.inbox.take_skipped() {
            if let Some(queue) = queue.upgrade() {
                queue.submit(now, Command::Resume);
            }
        }
    }
}

fn seen(mail: Mail) -> Vec<Seen> {
    let mut records = mail.records.iter();
    let mut all = Vec::new();
    for item in mail.items {
        let (consumer, count) = match &item {
            Item::Deliveries {
                consumer, count, ..
            } => (consumer.0, *count),
            Item::Event(Event::Answer {
                answer: Answer::Got { .. },
                ..
            }) => (0, 1),
            Item::Event(_) => (0, 0),
        };
        if let Item::Event(event) = item {
            all.push(Seen::Event(event));
        }
        for _ in 0..count {
            let record = records.next().expect("a record for each delivery");
            assert!(!record.is_removed());
            all.push(Seen::Delivery(Delivery {
                consumer,
                body: String::from_utf8(record.body().to_vec()).expect("text"),
                redelivered: record.is_redelivered(),
                ordinal: record.ordinal(),
            }));
        }
    }
    assert!(records.next().is_none(), "no record without a delivery");
    all
}

fn deliveries(seen: Vec<Seen>) -> Vec<Delivery> {
    seen.into_iter()
        .filter_map(|seen| match seen {
            Seen::Delivery(delivery) => Some(delivery),
            Seen::Event(_) => None,
        })
        .collect()
}

fn ordinals(deliveries: &[Delivery]) -> Vec<u64> {
    deliveries.iter().map(|delivery| delivery.ordinal).collect()
}

/// The dead letters that wait, as (body, reason), and settles them.
fn bury(bed: &Bed) -> Vec<(String, Reason)> {
    let letters = bed.queue.take_dead_letters(usize::MAX);
    let ordinals = letters.iter().map(|letter| letter.ordinal).collect();
    bed.submit(Command::DeadLettered { ordinals });
    letters
        .iter()
        .map(|letter| {
            let record = letter.message.iter().next().expect("one record");
            (
                String::from_utf8(record.body().to_vec()).expect("text"),
                letter.reason,
            )
        })
        .collect()
}

/// Settings with a dead-letter exchange.
fn with_dead_letters(settings: Settings) -> Settings {
    let to = DeadLetterTo {
        exchange: "dlx".into(),
        routing_key: None,
    };
    Settings {
        dead_letter: Some(to),
        ..settings
    }
}

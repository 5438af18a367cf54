//! The straight way of a publish and the general one do the same: every conversation is held
//! twice, once with publishes that come whole, once with a heartbeat between each method and its
//! content, which keeps them from the straight way.

use std::sync::Arc;

use amqp_codec::{
    FieldTable, FieldValue, ShortString, basic, channel, confirm, exchange, put_content,
    put_heartbeat, queue, tx,
};
use proptest::collection::vec;
use proptest::prelude::*;

use super::support::{Client, TestLog, broker, cases, frame, words};
use crate::access::Permission;
use crate::broker::Broker;
use crate::journal::EntryKind;

/// One channel of each mode: plain, confirms, transactions.
const CHANNELS: [u16; 3] = [1, 2, 3];

const QUEUES: [&str; 5] = ["plain", "durable", "full", "brief", "levels"];

/// Exchange and routing key.
const NAMES: &[(&str, &str)] = &[
    ("", "plain"),
    ("", "durable"),
    ("", "full"),
    ("", "brief"),
    ("", "levels"),
    ("", "nowhere"),
    ("direct", "one"),
    ("direct", "two"),
    ("direct", "none"),
    ("topic", "a.b"),
    ("headers", ""),
    ("internal", "one"),
    ("absent", "one"),
    ("", "amq.rabbitmq.reply-to.nobody"),
];

const PROPERTIES: &[&[u8]] = &[
    b"\0\0",
    b"\x10\0\x02",
    b"\x10\0\x01",
    b"\x90\0\x04text\x02",
    b"\0\x80\x02id",
    // Priorities.
    b"\x08\0\x05",
    b"\x18\0\x02\x01",
    // Times to live.
    b"\x01\0\x010",
    b"\x01\0\x0560000",
    b"\x01\0\x01x",
    // Users.
    b"\0\x10\x05guest",
    b"\0\x10\x05other",
    // A reply address without a consumer.
    b"\x02\0\x15amq.rabbitmq.reply-to",
    // Headers: a number, CC, BCC.
    b"\x20\0\0\0\0\x04\x01nB\x05",
    b"\x30\0\0\0\0\x14\x02CCA\0\0\0\x0CS\0\0\0\x07durable\x02",
    b"\x20\0\0\0\0\x15\x03BCCA\0\0\0\x0CS\0\0\0\x07durable",
];

/// Properties that end the connection.
const MALFORMED: &[&[u8]] = &[
    b"\x10\0",
    b"\0\0x",
    b"\0\x02",
    b"\0\x01\0\0",
    b"\x10\0\x02x",
];

#[derive(Clone, Debug)]
struct Publish {
    channel: u16,
    names: (&'static str, &'static str),
    mandatory: bool,
    immediate: bool,
    properties: &'static [u8],
    body: usize,
}

#[derive(Clone, Debug)]
enum Step {
    /// All of them in one read.
    Read(Vec<Publish>),
    /// The log is durable.
    Sync,
    Commit,
    Delete(&'static str),
    DeleteExchange,
    /// Everything that is gone is declared and bound again.
    Declare,
    Unbind,
    Consume(&'static str),
    /// The right to write.
    Permit(&'static str),
}

/// One broker, a client that publishes and one that does everything else.
struct Talk {
    is_straight: bool,
    broker: Arc<Broker>,
    log: Arc<TestLog>,
    publisher: Client,
    other: Client,
    consumers: u32,
}

impl Talk {
    fn new(is_straight: bool) -> Talk {
        let (broker, log) = broker();
        let mut talk = Talk {
            is_straight,
            publisher: Client::connect(&broker),
            other: Client::with_channels(&broker, &[1]),
            consumers: 0,
            broker,
            log,
        };
        talk.declare();
        open(&mut talk.publisher, &CHANNELS);
        talk.other.received();
        talk
    }

    fn declare(&mut self) {
        for (queue, arguments) in [
            ("plain", vec![]),
            ("durable", vec![]),
            (
                "full",
                vec![
                    ("x-max-length", 2.into()),
                    ("x-overflow", "reject-publish".into()),
                ],
            ),
            ("brief", vec![("x-message-ttl", 0.into())]),
            ("levels", vec![("x-max-priority", 3.into())]),
        ] {
            let method = queue::Declare {
                queue,
                durable: queue != "plain",
                arguments: table(arguments),
                ..Default::default()
            };
            self.other.send(1, method);
        }
        for (exchange, kind) in [
            ("direct", "direct"),
            ("topic", "topic"),
            ("headers", "headers"),
            ("internal", "direct"),
            ("unrouted", "fanout"),
        ] {
            let alternate = vec![("alternate-exchange", FieldValue::from("unrouted"))];
            let method = exchange::Declare {
                exchange,
                kind,
                internal: exchange == "internal",
                arguments: table(if exchange == "direct" {
                    alternate
                } else {
                    vec![]
                }),
                ..Default::default()
            };
            self.other.send(1, method);
        }
        for (exchange, queue, routing_key) in [
            ("direct", "durable", "one"),
            ("direct", "plain", "two"),
            ("direct", "durable", "two"),
            ("topic", "levels", "a.#"),
            ("headers", "plain", ""),
            ("internal", "plain", "one"),
            ("unrouted", "plain", ""),
        ] {
            let method = queue::Bind {
                exchange,
                queue,
                routing_key,
                ..Default::default()
            };
            self.other.send(1, method);
        }
    }

    /// Does it, and tells all that was sent for it.
    fn step(&mut self, step: &Step) -> Vec<u8> {
        match step {
            Step::Read(publishes) => {
                let bytes: Vec<u8> = publishes
                    .iter()
                    .flat_map(|each| self.frames(each))
                    .collect();
                self.publisher.offer(&bytes);
            }
            Step::Sync => self.log.sync(),
            Step::Commit => self.publisher.send(3, tx::Commit {}),
            Step::Declare => self.declare(),
            Step::Delete(queue) => {
                let method = queue::Delete {
                    queue,
                    ..Default::default()
                };
                self.other.send(1, method);
            }
            Step::DeleteExchange => {
                let method = exchange::Delete {
                    exchange: "direct",
                    ..Default::default()
                };
                self.other.send(1, method);
            }
            Step::Unbind => {
                let method = queue::Unbind {
                    queue: "durable",
                    exchange: "direct",
                    routing_key: "one",
                    ..Default::default()
                };
                self.other.send(1, method);
            }
            Step::Consume(queue) => self.consume(queue),
            Step::Permit(write) => {
                let permission = Permission::new(".*", write, ".*").expect("valid patterns");
                self.broker
                    .put_permission("/", "guest", permission)
                    .expect("the log takes it");
            }
        }
        let published = self.publisher.received_bytes();
        let received = self.other.received_bytes();
        self.reopen(&published, &received);
        [published, received].concat()
    }

    fn consume(&mut self, queue: &str) {
        self.consumers += 1;
        let method = basic::Consume {
            queue,
            consumer_tag: &self.consumers.to_string(),
            no_ack: true,
            ..Default::default()
        };
        self.other.send(1, method);
    }

    /// Whatever was closed is opened again.
    fn reopen(&mut self, published: &[u8], received: &[u8]) {
        if words(received)
            .iter()
            .any(|word| word.contains("channel.close"))
        {
            self.other.send(1, channel::CloseOk {});
            self.other.open(1);
        }
        let closed = |number: &u16| {
            let close = format!("{number} channel.close");
            words(published).iter().any(|word| word.starts_with(&close))
        };
        let mut channels: Vec<u16> = CHANNELS.into_iter().filter(closed).collect();
        for &number in &channels {
            self.publisher.send(number, channel::CloseOk {});
        }
        if closed(&0)
            || words(published)
                .iter()
                .any(|word| word.starts_with("0 connection.close"))
        {
            self.publisher.hang_up();
            self.publisher = Client::connect(&self.broker);
            channels = CHANNELS.to_vec();
        }
        open(&mut self.publisher, &channels);
    }

    /// What is in the queues, in the log, and what was counted.
    fn end(mut self) -> (Vec<u8>, String) {
        let (mut messages, mut end) = (Vec::new(), String::new());
        self.log.sync();
        for queue in QUEUES {
            let ready = self.broker.vhost("/").and_then(|vhost| vhost.queue(queue));
            let ready = ready.map_or(0, |queue| queue.counts().ready);
            for _ in 0..ready {
                let method = basic::Get {
                    queue,
                    no_ack: true,
                    ..Default::default()
                };
                self.other.send(1, method);
            }
            messages.extend(self.other.received_bytes());
            end += &format!("{queue} {ready}\n");
        }
        let mut sessions = self.broker.connections();
        sessions.sort_by_key(|session| session.id);
        for session in sessions {
            for (number, entry) in session.channels.lock().iter() {
                end += &format!("{number} {:?}\n", entry.totals);
            }
        }
        for (kind, payload) in self.log.entries.lock().iter() {
            // Ids of queues are given once in the life of the process: not twice the same.
            let behind_id = match kind {
                EntryKind::Turn => &[],
                _ => &payload[8..],
            };
            end += &format!("{kind:?} {} {behind_id:?}\n", payload.len());
        }
        (messages, end)
    }

    fn frames(&self, publish: &Publish) -> Vec<u8> {
        let (exchange, routing_key) = publish.names;
        let method = basic::Publish {
            exchange,
            routing_key,
            mandatory: publish.mandatory,
            immediate: publish.immediate,
            ..Default::default()
        };
        let mut bytes = frame(publish.channel, method);
        if !self.is_straight {
            put_heartbeat(&mut bytes);
        }
        let body = vec![b'x'; publish.body];
        put_content(&mut bytes, publish.channel, publish.properties, &body, 4096);
        bytes
    }
}

fn table(arguments: Vec<(&str, FieldValue)>) -> FieldTable {
    let named = |(name, value)| (ShortString::clipped(name), value);
    arguments.into_iter().map(named).collect()
}

/// Opens these channels in their modes.
fn open(client: &mut Client, channels: &[u16]) {
    for &number in channels {
        client.send(number, channel::Open::default());
        match number {
            2 => client.send(2, confirm::Select { nowait: false }),
            3 => client.send(3, tx::Select {}),
            _ => {}
        }
    }
    client.received();
}

fn one_of<T: Copy + std::fmt::Debug>(of: &'static [T]) -> impl Strategy<Value = T> {
    prop::sample::select(of)
}

fn properties() -> impl Strategy<Value = &'static [u8]> {
    prop_oneof![
        20 => one_of(&PROPERTIES[..5]),
        20 => one_of(PROPERTIES),
        1 => one_of(MALFORMED),
    ]
}

fn publish() -> impl Strategy<Value = Publish> {
    (
        prop_oneof![2 => Just(1), 3 => Just(2), 1 => Just(3)],
        prop_oneof![3 => one_of(&NAMES[..2]), 3 => one_of(&NAMES[..10]), 1 => one_of(NAMES)],
        any::<bool>(),
        prop::bool::weighted(0.03),
        properties(),
        prop_oneof![Just(0), Just(1), Just(4088), Just(9000)],
    )
        .prop_map(
            |(channel, names, mandatory, immediate, properties, body)| Publish {
                channel,
                names,
                mandatory,
                immediate,
                properties,
                body,
            },
        )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => vec(publish(), 1..6).prop_map(Step::Read),
        3 => Just(Step::Sync),
        2 => Just(Step::Commit),
        2 => one_of(&QUEUES).prop_map(Step::Delete),
        1 => Just(Step::DeleteExchange),
        3 => Just(Step::Declare),
        1 => Just(Step::Unbind),
        1 => one_of(&QUEUES).prop_map(Step::Consume),
        1 => one_of(&["", "amq.default", "direct", ".*"]).prop_map(Step::Permit),
    ]
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn both_ways_do_the_same(steps in vec(step(), 1..24)) {
        let mut straight = Talk::new(true);
        let mut general = Talk::new(false);
        for (index, step) in steps.iter().enumerate() {
            let (one, other) = (straight.step(step), general.step(step));
            prop_assert!(one == other, "step {}: {:.200?}", index, (words(&one), words(&other)));
        }
        let (straight, general) = (straight.end(), general.end());
        prop_assert_eq!(straight.1, general.1);
        prop_assert!(straight.0 == general.0, "messages in the queues");
    }
}

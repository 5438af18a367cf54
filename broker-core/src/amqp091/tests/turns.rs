//! What of a turn of a connection is one record of the log: fan-outs and transactions.

use std::sync::Arc;

use amqp_codec::{basic, put_content, queue, tx};

use super::support::{Client, TestLog, broker, frame};
use crate::defects::{Defect, find_with};
use crate::journal::{Entry, EntryKind, Turn};
use crate::turns::Needed;

/// Flags that name the delivery mode, and delivery mode 2.
const PERSISTENT: [u8; 3] = [0x10, 0, 2];
const LARGE: [u8; 256] = [b'x'; 256];

struct Bed {
    log: Arc<TestLog>,
    client: Client,
}

impl Bed {
    /// A client with a channel, and two durable queues that amq.fanout leads to.
    fn new() -> Bed {
        let (broker, log) = broker();
        let mut client = Client::with_channels(&broker, &[1]);
        for name in ["one", "two"] {
            let declare = queue::Declare {
                queue: name,
                durable: true,
                ..Default::default()
            };
            client.send(1, declare);
            let bind = queue::Bind {
                queue: name,
                exchange: "amq.fanout",
                ..Default::default()
            };
            client.send(1, bind);
        }
        log.sync();
        client.received();
        Bed { log, client }
    }

    fn publish(&mut self, exchange: &str, routing_key: &str, properties: &[u8], body: &[u8]) {
        let publish = basic::Publish {
            exchange,
            routing_key,
            ..Default::default()
        };
        let mut bytes = frame(1, publish);
        put_content(&mut bytes, 1, properties, body, 4096);
        self.client.bytes(&bytes);
    }

    /// What was logged since the last call.
    fn logged(&mut self) -> Vec<(EntryKind, Vec<u8>)> {
        self.client.turn();
        std::mem::take(&mut *self.log.entries.lock())
    }

    fn kinds(&mut self) -> Vec<EntryKind> {
        self.logged().into_iter().map(|(kind, _)| kind).collect()
    }
}

fn turn((kind, payload): &(EntryKind, Vec<u8>)) -> Turn {
    match Entry::decode(*kind, payload) {
        Ok(Entry::Turn(turn)) => turn,
        other => panic!("a turn, not {other:?}"),
    }
}

#[test]
fn a_large_message_for_several_queues_is_logged_once() {
    let mut bed = Bed::new();
    bed.publish("amq.fanout", "", &PERSISTENT, &LARGE);
    let logged = bed.logged();
    assert_eq!(turn(&logged[0]).sections.len(), 1);
    assert_eq!(turn(&logged[0]).sections[0].queues.len(), 2);
    let kinds: Vec<_> = logged.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(
        kinds,
        [EntryKind::Turn, EntryKind::Placed, EntryKind::Placed]
    );
    assert_eq!(bed.log.turns.needed(), Needed::Nothing);
}

#[test]
fn a_small_message_is_logged_by_each_queue() {
    let mut bed = Bed::new();
    bed.publish("amq.fanout", "", &PERSISTENT, &LARGE[1..]);
    assert_eq!(bed.kinds(), [EntryKind::Batch, EntryKind::Batch]);
}

#[test]
fn a_message_for_one_queue_is_logged_by_it() {
    let mut bed = Bed::new();
    bed.publish("", "one", &PERSISTENT, &LARGE);
    assert_eq!(bed.kinds(), [EntryKind::Batch]);
}

#[test]
fn a_transient_message_is_not_logged() {
    let mut bed = Bed::new();
    bed.publish("amq.fanout", "", &[0, 0], &LARGE);
    assert_eq!(bed.kinds(), []);
}

#[test]
fn queues_that_do_not_survive_a_restart_have_no_part_in_it() {
    let mut bed = Bed::new();
    bed.client.declare("transient");
    let bind = queue::Bind {
        queue: "transient",
        exchange: "amq.fanout",
        ..Default::default()
    };
    bed.client.send(1, bind);
    bed.logged();
    bed.publish("amq.fanout", "", &PERSISTENT, &LARGE);
    let logged = bed.logged();
    assert_eq!(turn(&logged[0]).sections[0].queues.len(), 2);
    assert_eq!(logged.len(), 3);
}

fn a_transaction() {
    let mut bed = Bed::new();
    bed.publish("", "one", &PERSISTENT, b"before");
    bed.client.send(
        1,
        basic::Get {
            queue: "one",
            ..Default::default()
        },
    );
    bed.client.send(1, tx::Select {});
    bed.logged();
    bed.publish("", "one", &PERSISTENT, b"a");
    bed.publish("", "two", &PERSISTENT, b"b");
    bed.publish("", "two", &[0, 0], b"transient");
    bed.publish("", "two", &PERSISTENT, b"c");
    bed.client.send(
        1,
        basic::Ack {
            delivery_tag: 1,
            multiple: false,
        },
    );
    assert_eq!(bed.kinds(), [], "nothing before the commit");
    bed.client.send(1, tx::Commit {});
    let logged = bed.logged();
    let kinds: Vec<_> = logged.iter().map(|(kind, _)| *kind).collect();
    let placed = EntryKind::Placed;
    assert_eq!(kinds, [EntryKind::Turn, EntryKind::Settled, placed, placed]);
    let turn = turn(&logged[0]);
    let counts: Vec<_> = turn.sections.iter().map(|s| s.records.len()).collect();
    assert_eq!(counts, [1, 2]);
    assert_eq!(turn.settles.len(), 1, "the ack is part of it");
    assert_eq!(turn.settles[0].1.to_string(), "1");
}

#[test]
fn a_transaction_is_one_record_with_its_acks() {
    find_with(Defect::TurnWithoutSettles, a_transaction);
}

#[test]
fn a_commit_is_answered_when_its_messages_are_durable() {
    let mut bed = Bed::new();
    bed.client.send(1, tx::Select {});
    bed.client.received();
    bed.publish("", "one", &PERSISTENT, b"a");
    bed.client.send(1, tx::Commit {});
    assert!(bed.client.received().is_empty());
    bed.log.sync();
    assert_eq!(bed.client.received(), ["1 tx.commit-ok"]);
}

#[test]
fn a_transaction_of_acks_is_over_when_its_queues_have_them() {
    let mut bed = Bed::new();
    bed.publish("", "one", &PERSISTENT, b"a");
    let get = basic::Get {
        queue: "one",
        ..Default::default()
    };
    bed.client.send(1, get);
    bed.client.send(1, tx::Select {});
    bed.logged();
    let ack = basic::Ack {
        delivery_tag: 1,
        multiple: false,
    };
    bed.client.send(1, ack);
    bed.client.send(1, tx::Commit {});
    assert_eq!(bed.kinds(), [EntryKind::Turn, EntryKind::Settled]);
    assert_eq!(bed.log.turns.needed(), Needed::Nothing);
}

#[test]
fn what_is_rolled_back_is_not_logged() {
    let mut bed = Bed::new();
    bed.client.send(1, tx::Select {});
    bed.publish("", "one", &PERSISTENT, b"a");
    bed.client.send(1, tx::Rollback {});
    assert_eq!(bed.kinds(), []);
}

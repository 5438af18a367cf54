//! A publisher with a window of unconfirmed messages, for brokers that may stop taking them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::body::Id;
use super::line::{Envelope, Event, Line};
use super::workers::STUCK;
use crate::support::broker::Broker;

/// Where it publishes to.
pub(super) const QUEUE: &str = "full";
/// Messages that wait for their confirm at most.
const WINDOW: usize = 40;
/// No confirm for so long: the broker takes nothing.
const SILENCE: Duration = Duration::from_secs(3);
/// More than fits any disk here.
const TOO_MANY: u32 = 10_000;

/// A publisher that remembers what was confirmed.
pub(super) struct Publisher {
    pub(super) line: Line,
    body_bytes: usize,
    published: u32,
    /// Messages without a confirm, by tag.
    waiting: BTreeMap<u64, Id>,
    pub(super) confirmed: BTreeSet<Id>,
}

impl Publisher {
    pub(super) fn open(address: SocketAddr, body_bytes: usize) -> Publisher {
        let mut line = Line::open(address).expect("a connection");
        let question = format!("queue.declare queue={QUEUE} durable=true");
        line.call(1, &question, "queue.declare-ok")
            .expect("declared");
        line.call(1, "confirm.select", "confirm.select-ok")
            .expect("an answer");
        Publisher {
            line,
            body_bytes,
            published: 0,
            waiting: BTreeMap::new(),
            confirmed: BTreeSet::new(),
        }
    }

    /// Publishes until no confirm comes any more; returns how many have come.
    pub(super) fn fill(&mut self, broker: &Broker) -> usize {
        let before = self.confirmed.len();
        loop {
            self.publish(WINDOW - self.waiting.len());
            assert!(self.published < TOO_MANY, "the disk never fills up");
            if !self.read(SILENCE) {
                let log = broker.log();
                assert!(
                    log.contains("No space left"),
                    "it waits for nothing:\n{log}"
                );
                return self.confirmed.len() - before;
            }
        }
    }

    pub(super) fn publish(&mut self, count: usize) {
        for _ in 0..count {
            self.published += 1;
            let (publisher, number) = (1, self.published);
            let id = Id { publisher, number };
            let to = Envelope {
                key: QUEUE,
                ..Envelope::default()
            };
            self.line.publish(1, to, id, self.body_bytes);
            self.waiting.insert(u64::from(number), id);
        }
        self.line.flush().expect("written");
    }

    /// Publishes so many and waits for their confirms, however long the broker blocks.
    pub(super) fn flood(&mut self, count: u32, broker: &Broker) {
        let end = self.published + count;
        let mut moved = Instant::now();
        while self.published < end {
            let room = WINDOW - self.waiting.len();
            self.publish(room.min((end - self.published) as usize));
            if self.read(SILENCE) {
                moved = Instant::now();
            }
            assert!(moved.elapsed() < STUCK, "it blocks:\n{}", broker.log());
        }
        self.await_all(broker);
    }

    /// Reads one confirm; false if none came in time.
    fn read(&mut self, within: Duration) -> bool {
        match self.line.next(within).expect("a broker") {
            Event::Quiet => false,
            Event::Method(0, method) if method.spec.name.starts_with("connection.") => true,
            Event::Confirm {
                tag,
                multiple,
                taken,
            } => {
                let later = self.waiting.split_off(&(tag + 1));
                let rest = match multiple {
                    true => std::mem::take(&mut self.waiting),
                    false => self
                        .waiting
                        .remove(&tag)
                        .map(|id| (tag, id))
                        .into_iter()
                        .collect(),
                };
                if taken {
                    self.confirmed.extend(rest.into_values());
                }
                self.waiting.extend(later);
                true
            }
            other => panic!("nobody expected {other:?}"),
        }
    }

    pub(super) fn await_all(&mut self, broker: &Broker) {
        let deadline = Instant::now() + STUCK;
        while !self.waiting.is_empty() {
            let (waiting, log) = (self.waiting.len(), broker.log());
            assert!(
                Instant::now() < deadline,
                "{waiting} are not confirmed:\n{log}"
            );
            self.read(SILENCE);
        }
    }
}

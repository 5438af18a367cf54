//! A disk that fills up: publishers wait, consumers go on and make room, nothing confirmed is lost,
//! and a broker starts where there is no space left at all. Root's alone: others are told.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use super::body::Id;
use super::ground::{Mount, can_mount};
use super::line::{Envelope, Event, Line};
use super::workers::STUCK;
use crate::support::broker::Broker;

const OPTIONS: [&str; 10] = [
    "--disk-free-limit",
    "0",
    "--wal-file-size",
    "1048576",
    "--wal-max-size",
    "8388608",
    "--wal-checkpoint-interval",
    "500",
    "--resident-bytes",
    "1000000",
];
const DISK_MIB: u64 = 48;
const QUEUE: &str = "full";
const BODY_BYTES: usize = 8_000;
/// Messages that wait for their confirm at most.
const WINDOW: usize = 40;
/// An acknowledgement takes a block of the log, and a full disk has few left.
const ACKED_AT_ONCE: usize = 20;
/// No confirm for so long: the disk is full.
const SILENCE: Duration = Duration::from_secs(3);
/// More than fits the disk.
const TOO_MANY: u32 = 10_000;

#[test]
fn a_full_ext4_stops_publishers_and_loses_nothing() {
    on_a_disk(|folder| Mount::ext4(folder, DISK_MIB));
}

#[test]
fn a_full_tmpfs_stops_publishers_and_loses_nothing() {
    on_a_disk(|folder| Mount::tmpfs(folder, DISK_MIB));
}

fn on_a_disk(mount: fn(&Path) -> Result<Mount, String>) {
    if !can_mount() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mount = mount(folder.path()).expect("a disk");
    let data = mount.path().join("data");
    let broker = Broker::start_in(&data, &OPTIONS).expect("it starts");
    let mut publisher = Publisher::open(broker.amqp());

    let confirmed = publisher.fill(&broker);
    eprintln!("{confirmed} messages of {BODY_BYTES} bytes were confirmed on {DISK_MIB} MiB");
    assert_says_why(&broker, mount.path());
    let settled = consume(broker.amqp(), publisher.confirmed.len() / 2);
    publisher.await_all(&broker);
    eprintln!("after {} were consumed, publishing went on", settled.len());

    publisher.fill(&broker);
    let Publisher {
        confirmed, line, ..
    } = publisher;
    drop(line);
    broker.kill().expect("killed");
    let junk = fill_up(mount.path());
    let broker = Broker::start_in(&data, &OPTIONS).expect("it starts where there is no space");
    let found: BTreeSet<Id> = consume(broker.amqp(), usize::MAX).into_iter().collect();
    let lost: Vec<&Id> = confirmed
        .difference(&found)
        .filter(|id| !settled.contains(id))
        .collect();
    assert!(lost.is_empty(), "{} lost: {:x?}", lost.len(), lost.first());

    std::fs::remove_file(junk).expect("removed");
    let mut publisher = Publisher::open(broker.amqp());
    publisher.publish(100);
    publisher.await_all(&broker);
    assert!(broker.stop().expect("an end").success());
}

/// The broker is alive and has said what it cannot write.
fn assert_says_why(broker: &Broker, disk: &Path) {
    let log = broker.log_with("No space left");
    let disk = disk.to_str().expect("a path");
    let says = |line: &&str| line.contains("No space left") && line.contains(disk);
    assert!(log.lines().any(|line| says(&line)), "{log}");
    Line::open(broker.amqp()).expect("it takes connections");
}

/// Takes the last of the space; returns what takes it.
fn fill_up(disk: &Path) -> std::path::PathBuf {
    let junk = disk.join("junk");
    let mut file = File::create(&junk).expect("a file");
    for size in [1 << 20, 4096, 1] {
        while file.write_all(&vec![1; size]).is_ok() && file.sync_data().is_ok() {}
    }
    junk
}

/// A publisher that remembers what was confirmed.
struct Publisher {
    line: Line,
    published: u32,
    /// Messages without a confirm, by tag.
    waiting: BTreeMap<u64, Id>,
    confirmed: BTreeSet<Id>,
}

impl Publisher {
    fn open(address: SocketAddr) -> Publisher {
        let mut line = Line::open(address).expect("a connection");
        let question = format!("queue.declare queue={QUEUE} durable=true");
        line.call(1, &question, "queue.declare-ok")
            .expect("declared");
        line.call(1, "confirm.select", "confirm.select-ok")
            .expect("an answer");
        Publisher {
            line,
            published: 0,
            waiting: BTreeMap::new(),
            confirmed: BTreeSet::new(),
        }
    }

    /// Publishes until no confirm comes any more; returns how many have come.
    fn fill(&mut self, broker: &Broker) -> usize {
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

    fn publish(&mut self, count: usize) {
        for _ in 0..count {
            self.published += 1;
            let (publisher, number) = (1, self.published);
            let id = Id { publisher, number };
            let to = Envelope {
                key: QUEUE,
                ..Envelope::default()
            };
            self.line.publish(1, to, id, BODY_BYTES);
            self.waiting.insert(u64::from(number), id);
        }
        self.line.flush().expect("written");
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

    fn await_all(&mut self, broker: &Broker) {
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

/// Consumes and acknowledges so many messages, or all there are.
fn consume(address: SocketAddr, count: usize) -> Vec<Id> {
    let mut line = Line::open(address).expect("a connection");
    let mut taken = Vec::new();
    while taken.len() < count {
        line.get(1, QUEUE);
        line.flush().expect("written");
        match line.next(STUCK).expect("a broker") {
            Event::Delivery(delivery) => {
                taken.push(delivery.id.expect("a body that was published"));
                if taken.len().is_multiple_of(ACKED_AT_ONCE) {
                    line.ack(1, delivery.tag, true);
                }
            }
            Event::Empty => break,
            other => panic!("nobody expected {other:?}"),
        }
    }
    line.ack(1, 0, true);
    line.flush().expect("written");
    line.call(0, "connection.close reply-code=200", "connection.close-ok")
        .expect("closed");
    taken
}

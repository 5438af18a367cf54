//! Ten times the memory of a machine, published to a consumer that has stopped.

use std::fs;

use super::line::{Event, Line};
use super::publisher::{Publisher, QUEUE};
use super::workers::STUCK;
use crate::support::broker::Broker;

const MIB: u64 = 1 << 20;
/// What the machine is said to have.
const MEMORY: u64 = 160 * MIB;
/// Above the default share of it publishers are blocked.
const WATERMARK: u64 = MEMORY / 10 * 6;
const BODY_BYTES: usize = 32 << 10;
const PREFETCH: u64 = 10;

#[test]
fn ten_times_the_memory_is_taken_for_a_stopped_consumer_and_the_broker_stays_within_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let watermark = WATERMARK.to_string();
    let options = ["--memory-high-watermark", &watermark];
    let broker = Broker::start_in(folder.path(), &options).expect("it starts");
    let count = (10 * MEMORY / BODY_BYTES as u64) as u32;
    let mut publisher = Publisher::open(broker.amqp(), BODY_BYTES);
    let mut consumer = Line::open(broker.amqp()).expect("a connection");
    let qos = format!("basic.qos prefetch-count={PREFETCH}");
    let consume = format!("basic.consume queue={QUEUE} consumer-tag=c");
    for (question, answer) in [
        (qos.as_str(), "basic.qos-ok"),
        (consume.as_str(), "basic.consume-ok"),
    ] {
        consumer.call(1, question, answer).expect("an answer");
    }

    publisher.flood(count, &broker);
    let most = most_resident(&broker);
    eprintln!("{count} messages of {BODY_BYTES} bytes, at most {most} bytes resident");
    assert!(most < MEMORY, "{most} bytes of {MEMORY}");

    let mut taken = 0;
    while taken < count {
        match consumer.next(STUCK).expect("a broker") {
            Event::Delivery(delivery) => {
                assert_eq!(delivery.id.map(|id| id.number), Some(taken + 1));
                taken += 1;
                consumer.ack(1, delivery.tag, false);
                consumer.flush().expect("written");
            }
            other => panic!("nobody expected {other:?}"),
        }
    }
    let most = most_resident(&broker);
    assert!(most < MEMORY, "{most} bytes of {MEMORY}");
}

/// The most memory that the process ever had, in bytes.
fn most_resident(broker: &Broker) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", broker.pid())).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kib: u64 = kib.and_then(|kib| kib.parse().ok()).expect("a number");
    kib * 1024
}

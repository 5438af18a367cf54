//! A disk that fills up: publishers wait, consumers go on and make room, nothing confirmed is lost,
//! and a broker starts where there is no space left at all. Root's alone: others are told.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;

use super::body::Id;
use super::ground::{Mount, can_mount};
use super::line::{Event, Line};
use super::publisher::{Publisher, QUEUE};
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
const BODY_BYTES: usize = 8_000;
/// An acknowledgement takes a block of the log, and a full disk has few left.
const ACKED_AT_ONCE: usize = 20;

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
    let mut publisher = Publisher::open(broker.amqp(), BODY_BYTES);

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
    let mut publisher = Publisher::open(broker.amqp(), BODY_BYTES);
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

/// Consumes and acknowledges so many messages, or all there are.
pub(super) fn consume(address: SocketAddr, count: usize) -> Vec<Id> {
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

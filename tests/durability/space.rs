//! Disk space comes back: of queues that are filled and drained again and again, purged, deleted.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::full::consume;
use super::line::Line;
use super::publisher::{Publisher, QUEUE};
use super::workers::STUCK;
use crate::support::broker::Broker;

const MIB: u64 = 1 << 20;
const LOG_FILE: u64 = MIB;
const LOG_LIMIT: u64 = 8 * MIB;
/// What lies beside log and pages whatever is live: the log's reserve of two files, catalogue,
/// snapshot.
const BESIDE: u64 = 2 * LOG_FILE + 2 * MIB;
const BODY_BYTES: usize = 8_000;
/// What is drained each round, …
const ROUND: u32 = 2_000;
/// … and what stays.
const KEPT: u32 = 500;
const ROUNDS: usize = 6;

fn start(folder: &Path) -> Broker {
    let (file, limit) = (LOG_FILE.to_string(), LOG_LIMIT.to_string());
    let options = [
        "--wal-file-size",
        &file,
        "--wal-max-size",
        &limit,
        "--resident-bytes",
        "1000000",
    ];
    Broker::start_in(folder, &options).expect("it starts")
}

/// Bytes of disk that everything under a folder takes.
fn used(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => used(&entry.path()),
        // A file that has gone meanwhile takes nothing.
        metadata => metadata.map_or(0, |metadata| metadata.blocks() * 512),
    });
    sizes.sum()
}

fn await_space(folder: &Path, live: u64) {
    let limit = 2 * live + LOG_LIMIT + BESIDE;
    let deadline = Instant::now() + STUCK;
    while used(folder) > limit {
        let used = used(folder);
        assert!(Instant::now() < deadline, "{used} bytes, {limit} may be");
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

#[test]
fn a_queue_that_is_filled_and_drained_for_ever_takes_twice_what_is_live_beside_the_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let broker = start(folder.path());
    let mut publisher = Publisher::open(broker.amqp(), BODY_BYTES);
    let live = u64::from(KEPT) * BODY_BYTES as u64;
    publisher.flood(KEPT, &broker);
    for round in 0..ROUNDS {
        publisher.flood(ROUND, &broker);
        let taken = consume(broker.amqp(), ROUND as usize);
        assert_eq!(taken.len(), ROUND as usize, "in round {round}");
        await_space(folder.path(), live);
    }
    let left = consume(broker.amqp(), usize::MAX);
    assert_eq!(left.len(), KEPT as usize);
    await_space(folder.path(), 0);
}

#[test]
fn what_is_purged_or_deleted_takes_no_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    let broker = start(folder.path());
    for question in [
        format!("queue.purge queue={QUEUE}"),
        format!("queue.delete queue={QUEUE}"),
    ] {
        let mut publisher = Publisher::open(broker.amqp(), BODY_BYTES);
        publisher.flood(2 * ROUND, &broker);
        let live = 2 * u64::from(ROUND) * BODY_BYTES as u64;
        assert!(used(folder.path()) > live, "it is on disk");
        let mut line = Line::open(broker.amqp()).expect("a connection");
        let answer = format!("{}-ok", question.split(' ').next().expect("a method"));
        line.call(1, &question, &answer).expect(&question);
        await_space(folder.path(), 0);
    }
}

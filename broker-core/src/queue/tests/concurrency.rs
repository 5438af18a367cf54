//! Many threads, one queue: no command is lost, and each thread's order is kept.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use super::*;

const PATIENCE: Duration = Duration::from_secs(60);

fn publish_numbered(bed: &Bed, thread: usize, batches: usize, per_batch: usize) {
    let mut batch = Batch::default();
    for number in 0..batches {
        for index in 0..per_batch {
            let body = format!("{thread}:{}", number * per_batch + index);
            batch.records.push(message(&body));
        }
        bed.queue.publish(bed.now, &mut batch);
    }
}

/// Checks that the numbers of each thread come in their order, and counts them.
#[derive(Default)]
struct Sequences(HashMap<String, usize>);

impl Sequences {
    fn check(&mut self, body: &str) {
        let (thread, number) = body.split_once(':').expect("thread:number");
        let next = self.0.entry(thread.to_owned()).or_default();
        assert_eq!(number.parse::<usize>().unwrap(), *next, "thread {thread}");
        *next += 1;
    }

    fn total(&self) -> usize {
        self.0.values().sum()
    }
}

#[test]
fn no_batch_is_lost_and_each_publishers_order_is_kept() {
    let bed = Bed::new(Settings::default());
    thread::scope(|scope| {
        for thread in 0..4 {
            let bed = &bed;
            scope.spawn(move || publish_numbered(bed, thread, 500, 7));
        }
    });
    bed.assert_counts(4 * 500 * 7, 0);
    let client = Client::new();
    client.consume_no_ack(&bed, 1);
    let mut sequences = Sequences::default();
    while sequences.total() < 4 * 500 * 7 {
        let bodies = client.bodies();
        assert!(!bodies.is_empty());
        bodies.iter().for_each(|body| sequences.check(body));
        client.resume(bed.now);
    }
}

#[test]
fn a_consumer_beside_publishers_gets_everything_once_and_in_order() {
    const TOTAL: usize = 3 * 2_000 * 20;
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    client.credit.set_limit(50);
    let spec = ConsumerSpec {
        prefetch: 30,
        ..client.spec(1)
    };
    client.consume_as(&bed, spec);
    thread::scope(|scope| {
        for thread in 0..3 {
            let bed = &bed;
            scope.spawn(move || publish_numbered(bed, thread, 2_000, 20));
        }
        scope.spawn(|| {
            let started = Instant::now();
            let mut sequences = Sequences::default();
            while sequences.total() < TOTAL {
                assert!(
                    started.elapsed() < PATIENCE,
                    "stalled at {}",
                    sequences.total()
                );
                let taken = client.deliveries();
                assert!(taken.len() <= 30);
                taken
                    .iter()
                    .for_each(|delivery| sequences.check(&delivery.body));
                bed.submit(Command::Ack {
                    ordinals: ordinals(&taken),
                });
                client.resume(bed.now);
            }
        });
    });
    bed.assert_counts(0, 0);
    assert_eq!(bed.totals().ack, TOTAL as u64);
}

struct CountingWaker(AtomicUsize);

impl Wake for CountingWaker {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Reads like a connection's task: only when woken, and resumes only when asked to.
#[test]
fn no_wake_is_lost_between_a_full_connection_and_its_queue() {
    const TOTAL: usize = 300;
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    client.consume_no_ack(&bed, 1);
    client.read();
    let body = "b".repeat(100 * 1024);
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..TOTAL {
                bed.publish(&[&body]);
            }
        });
        scope.spawn(|| {
            let woken = Arc::new(CountingWaker(AtomicUsize::new(0)));
            let waker = Waker::from(Arc::clone(&woken));
            let started = Instant::now();
            let (mut seen, mut got) = (0, 0);
            while got < TOTAL {
                let mut mail = Mail::default();
                if client.inbox.take(&mut mail, Some(&waker)) {
                    for record in mail.records.iter() {
                        got += 1;
                        client.inbox.release_bytes(record.memory_bytes());
                    }
                    client.resume(bed.now);
                    continue;
                }
                while woken.0.load(Ordering::SeqCst) == seen {
                    assert!(started.elapsed() < PATIENCE, "never woken after {got}");
                    thread::yield_now();
                }
                seen = woken.0.load(Ordering::SeqCst);
            }
        });
    });
    bed.assert_counts(0, 0);
}

#[test]
fn reading_the_counts_loses_no_command() {
    let bed = Bed::new(Settings::default());
    thread::scope(|scope| {
        scope.spawn(|| publish_numbered(&bed, 0, 3_000, 3));
        scope.spawn(|| {
            for _ in 0..3_000 {
                bed.queue.snapshot();
            }
        });
    });
    bed.assert_counts(9_000, 0);
}

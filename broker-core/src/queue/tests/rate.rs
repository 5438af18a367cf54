//! What a message costs, in nanoseconds; measured, not asserted. Run with
//! `cargo test -p broker-core --release rate -- --ignored --nocapture --test-threads 1`.

use std::time::Instant;

use super::*;

const BATCH: usize = 700;
const ROUNDS: usize = 3_000;

/// Publishes batches of 700 messages of 16 bytes and lets `read` empty the inbox after each.
fn measure(what: &str, bed: &Bed, mut read: impl FnMut(&mut Mail)) {
    let mut batch = Batch::default();
    let mut mail = Mail::default();
    let mut rounds = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        for _ in 0..BATCH {
            batch.records.push(message("0123456789abcdef"));
        }
        let started = Instant::now();
        bed.queue.publish(bed.now, &mut batch);
        read(&mut mail);
        rounds.push((started.elapsed().as_nanos(), BATCH));
        mail.items.clear();
        mail.records.clear();
    }
    report(what, &rounds);
}

/// The median and the best of all rounds: the machine may have other work.
fn report(what: &str, rounds: &[(u128, usize)]) {
    let mut each: Vec<_> = rounds
        .iter()
        .map(|&(nanos, count)| nanos as f64 / count.max(1) as f64)
        .collect();
    each.sort_by(f64::total_cmp);
    let (best, median) = (each[0], each[each.len() / 2]);
    println!("{what}: median {median:.1}, best {best:.1} ns/message");
}

fn take(client: &Client, mail: &mut Mail) {
    client.inbox.take(mail, None);
    client.inbox.release_bytes(client.inbox.bytes());
}

#[test]
#[ignore = "a measurement"]
fn no_ack_to_one_consumer() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    client.consume_no_ack(&bed, 1);
    client.read();
    measure("no-ack, one consumer", &bed, |mail| take(&client, mail));
}

#[test]
#[ignore = "a measurement"]
fn no_ack_to_four_consumers() {
    let bed = Bed::new(Settings::default());
    let clients: Vec<Client> = (0..4).map(|_| Client::new()).collect();
    for (id, client) in clients.iter().enumerate() {
        client.consume_no_ack(&bed, id as u64);
        client.read();
    }
    measure("no-ack, four consumers", &bed, |mail| {
        for client in &clients {
            mail.items.clear();
            mail.records.clear();
            take(client, mail);
        }
    });
}

#[test]
#[ignore = "a measurement"]
fn acked_by_one_consumer() {
    for (what, prefetch) in [("acked, unlimited", 0), ("acked, prefetch 1000", 1000)] {
        let bed = Bed::new(Settings::default());
        let client = Client::new();
        client.consume_as(
            &bed,
            ConsumerSpec {
                prefetch,
                ..client.spec(1)
            },
        );
        client.read();
        measure(what, &bed, |mail| {
            take(&client, mail);
            let ordinals = mail.records.iter().map(|record| record.ordinal()).collect();
            bed.submit(Command::Ack { ordinals });
        });
    }
}

#[test]
#[ignore = "a measurement"]
fn acked_by_two_consumers() {
    let bed = Bed::new(Settings::default());
    let clients = [Client::new(), Client::new()];
    for (id, client) in clients.iter().enumerate() {
        client.consume_as(
            &bed,
            ConsumerSpec {
                prefetch: 1000,
                ..client.spec(id as u64)
            },
        );
        client.read();
    }
    measure("acked, two consumers", &bed, |mail| {
        for client in &clients {
            mail.items.clear();
            mail.records.clear();
            take(client, mail);
            let ordinals = mail.records.iter().map(|record| record.ordinal()).collect();
            bed.submit(Command::Ack { ordinals });
        }
    });
}

#[test]
#[ignore = "a measurement"]
fn a_backlog_in_and_out() {
    let bed = Bed::new(Settings::default());
    measure("into a backlog", &bed, |_| {});
    let client = Client::new();
    client.consume_no_ack(&bed, 1);
    client.read();
    let mut mail = Mail::default();
    let mut rounds = Vec::new();
    while bed.queue.counts().ready > 0 {
        let started = Instant::now();
        client.resume(bed.now);
        take(&client, &mut mail);
        rounds.push((started.elapsed().as_nanos(), mail.records.len()));
        mail.items.clear();
        mail.records.clear();
    }
    report("out of a backlog", &rounds);
}

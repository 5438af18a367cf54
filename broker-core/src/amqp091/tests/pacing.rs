//! Publishers and consumers at different speeds, each read as its connection's task would.

use amqp_codec::basic;

use super::support::{Client, broker, publish};
use crate::inbox::INBOX_BYTES_MAX;

/// Publishes of one read.
const READ_MESSAGES: usize = 64;
/// More than is ever ready before publishers wait, with one read of each.
const READY_MAX: u64 = 512;

fn consume(no_ack: bool) -> basic::Consume<'static> {
    basic::Consume {
        queue: "q",
        consumer_tag: "c",
        no_ack,
        ..Default::default()
    }
}

fn one_read() -> Vec<u8> {
    publish(1, "q", &[b'x'; 1_000]).repeat(READ_MESSAGES)
}

fn bodies(client: &mut Client) -> usize {
    let received = client.received();
    let is_body = |word: &&String| word.starts_with("1 body");
    received.iter().filter(is_body).count()
}

#[test]
fn the_queue_stays_short_and_every_publisher_has_its_share() {
    let (broker, _) = broker();
    let mut publishers: Vec<Client> = (0..4)
        .map(|_| Client::with_channels(&broker, &[1]))
        .collect();
    let mut consumer = Client::with_channels(&broker, &[1]);
    consumer.declare("q");
    consumer.send(1, consume(true));
    consumer.received();
    let queue = broker.vhost("/").unwrap().queue("q").unwrap();
    let read = one_read();
    let (mut reads, mut taken) = ([0; 4], 0);
    for round in 0..200 {
        // Sockets become readable in no order that favours anybody.
        for index in (0..4).map(|n| (n + round) % 4) {
            let publisher = &mut publishers[index];
            if !publisher.machine.inbox().is_paced() {
                publisher.bytes(&read);
                publisher.received();
                reads[index] += 1;
            }
        }
        let ready = queue.counts().ready;
        assert!(ready <= READY_MAX, "{ready} ready");
        if publishers.iter().all(|p| p.machine.inbox().is_paced()) {
            taken += bodies(&mut consumer);
        }
    }
    taken += bodies(&mut consumer);
    assert_eq!(taken, reads.iter().sum::<usize>() * READ_MESSAGES);
    let (least, most) = (reads.iter().min().unwrap(), reads.iter().max().unwrap());
    assert!(*least > 20 && most - least <= most / 4, "{reads:?}");
}

#[test]
fn a_connection_that_publishes_and_drains_is_never_paced() {
    let (broker, _) = broker();
    let mut other = Client::with_channels(&broker, &[1]);
    let mut client = Client::with_channels(&broker, &[1]);
    other.declare("q");
    for each in [&mut other, &mut client] {
        each.send(1, consume(true));
        each.received();
    }
    let read = one_read();
    for _ in 0..5 * INBOX_BYTES_MAX / read.len() {
        client.bytes(&read);
        assert!(!client.machine.inbox().is_paced());
    }
}

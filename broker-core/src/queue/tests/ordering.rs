//! Messages leave for one connection in their order, however many of its consumers share them.

use super::*;

const COUNT: u64 = 60;

fn publish_batch(bed: &Bed) {
    let bodies: Vec<String> = (0..COUNT).map(|index| format!("m{index}")).collect();
    bed.publish_all(bodies.iter().map(|body| message(body)));
}

/// The consumers of the deliveries, run by run.
fn takers(deliveries: &[Delivery]) -> Vec<u64> {
    deliveries
        .iter()
        .map(|delivery| delivery.consumer)
        .collect()
}

fn round_robin(consumers: &[u64], count: u64) -> Vec<u64> {
    consumers
        .iter()
        .copied()
        .cycle()
        .take(count as usize)
        .collect()
}

#[track_caller]
fn assert_ascending(ordinals: &[u64]) {
    assert!(ordinals.is_sorted(), "{ordinals:?}");
}

#[test]
fn consumers_of_one_channel_get_a_batch_in_its_order() {
    for no_ack in [true, false] {
        let bed = Bed::new(Settings::default());
        let client = Client::new();
        for id in 1..=3 {
            let spec = ConsumerSpec {
                no_ack,
                ..client.spec(id)
            };
            client.consume_as(&bed, spec);
        }
        client.read();
        publish_batch(&bed);
        let delivered = client.deliveries();
        assert_eq!(ordinals(&delivered), (1..=COUNT).collect::<Vec<_>>());
        assert_eq!(takers(&delivered), round_robin(&[1, 2, 3], COUNT));
    }
}

#[test]
fn consumers_of_one_channel_get_a_backlog_in_its_order() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    client.credit.set_limit(1);
    for id in 1..=3 {
        client.consume(&bed, id);
    }
    publish_batch(&bed);
    let first = client.deliveries();
    assert_eq!(ordinals(&first), [1]);
    client.credit.set_limit(0);
    bed.submit(Command::Resume);
    assert_eq!(
        ordinals(&client.deliveries()),
        (2..=COUNT).collect::<Vec<_>>()
    );
}

#[test]
fn freed_credit_brings_the_next_messages_in_their_order() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    client.credit.set_limit(10);
    for id in 1..=3 {
        client.consume(&bed, id);
    }
    publish_batch(&bed);
    let mut received: Vec<u64> = Vec::new();
    for _ in 0..COUNT / 10 {
        let delivered = ordinals(&client.deliveries());
        assert_eq!(delivered.len(), 10);
        received.extend(&delivered);
        bed.submit(Command::Ack {
            ordinals: delivered,
        });
        client.resume(bed.now);
    }
    assert_eq!(received, (1..=COUNT).collect::<Vec<_>>());
}

#[test]
fn what_is_requeued_at_once_returns_in_its_order() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    for id in 1..=3 {
        let spec = ConsumerSpec {
            prefetch: 1,
            ..client.spec(id)
        };
        client.consume_as(&bed, spec);
    }
    publish_batch(&bed);
    let mut expected = vec![(1, false), (2, false), (3, false)];
    for _ in 0..4 {
        let delivered = client.deliveries();
        let seen: Vec<_> = delivered
            .iter()
            .map(|d| (d.ordinal, d.redelivered))
            .collect();
        assert_eq!(seen, expected);
        bed.submit(Command::Requeue {
            ordinals: ordinals(&delivered),
        });
        expected = vec![(1, true), (2, true), (3, true)];
    }
}

#[test]
fn each_of_two_connections_gets_its_messages_in_their_order() {
    let bed = Bed::new(Settings::default());
    let clients = [Client::new(), Client::new()];
    for (id, client) in [(1, 0), (2, 0), (3, 1), (4, 1)] {
        clients[client].consume_no_ack(&bed, id);
    }
    clients.iter().for_each(|client| drop(client.read()));
    publish_batch(&bed);
    for (client, own) in clients.iter().zip([[1, 2], [3, 4]]) {
        let delivered = client.deliveries();
        assert_eq!(takers(&delivered), round_robin(&own, COUNT / 2));
        assert_ascending(&ordinals(&delivered));
    }
}

#[test]
fn channels_of_one_connection_keep_theirs_apart() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    for (id, channel) in [(1, 1), (2, 2)] {
        let spec = ConsumerSpec {
            channel,
            ..client.spec(id)
        };
        client.consume_as(&bed, spec);
    }
    client.read();
    bed.publish(&["a", "b", "c"]);
    let mut mail = Mail::default();
    assert!(client.inbox.take(&mut mail, None));
    let runs = mail.items.iter().map(|item| match item {
        Item::Deliveries {
            channel,
            consumer,
            count,
        } => (*channel, consumer.0, *count),
        Item::Event(event) => panic!("only deliveries: {event:?}"),
    });
    let runs: Vec<_> = runs.collect();
    assert_eq!(runs, [(1, 1, 1), (2, 2, 1), (1, 1, 1)]);
}

#[test]
fn what_a_closed_connection_had_for_several_consumers_returns_in_its_order() {
    let bed = Bed::new(Settings::default());
    let (gone, other) = (Client::new(), Client::new());
    gone.consume(&bed, 1);
    gone.consume_no_ack(&bed, 2);
    gone.consume(&bed, 3);
    gone.close();
    publish_batch(&bed);
    bed.assert_counts(COUNT, 0);
    assert_eq!(bed.queue.counts().consumers, 0);
    assert_eq!((gone.credit.used(), gone.inbox.bytes()), (0, 0));
    other.consume(&bed, 4);
    let delivered = other.deliveries();
    assert_eq!(ordinals(&delivered), (1..=COUNT).collect::<Vec<_>>());
    assert!(delivered.iter().all(|delivery| !delivery.redelivered));
}

#[test]
fn a_consumer_that_goes_leaves_the_others_of_its_connection_their_deliveries() {
    let bed = Bed::new(Settings::default());
    let (client, other) = (Client::new(), Client::new());
    client.consume_no_ack(&bed, 1);
    client.consume_no_ack(&bed, 2);
    for consumer in [1, 2] {
        bed.submit(Command::Cancel {
            consumer: ConsumerId(consumer),
            reply: None,
        });
        other.consume_no_ack(&bed, 10 + consumer);
        client.read();
        other.read();
        publish_batch(&bed);
        let (left, new) = (client.deliveries(), other.deliveries());
        assert_eq!((left.len() + new.len()) as u64, COUNT);
        assert_eq!(left.is_empty(), consumer == 2);
        assert_ascending(&ordinals(&new));
    }
}

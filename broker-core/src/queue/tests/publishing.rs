//! Batches, confirms and the order of messages.

use super::*;

/// A batch of so many messages whose confirms start at `first`.
fn confirmed(client: &Client, bodies: &[&str], runs: &[(u16, u64, u32)]) -> Batch {
    let mut batch = Batch::default();
    for body in bodies {
        batch.records.push(message(body));
    }
    for &(channel, first, count) in runs {
        batch.confirms.push(ConfirmRun {
            channel,
            first,
            count,
        });
    }
    batch.origin = Some(client.inbox.clone());
    batch
}

type Published = (Vec<ConfirmRun>, Vec<(u16, u64)>);

fn published(client: &Client) -> Vec<Published> {
    client
        .read()
        .into_iter()
        .filter_map(|seen| match seen {
            Seen::Event(Event::Published {
                confirms, rejected, ..
            }) => Some((confirms, rejected)),
            _ => None,
        })
        .collect()
}

#[test]
fn messages_wait_in_the_order_they_came() {
    let bed = Bed::new(Settings::default());
    bed.publish(&["a", "b"]);
    bed.publish(&["c"]);
    bed.assert_counts(3, 0);
    let client = Client::new();
    client.consume(&bed, 1);
    assert_eq!(client.bodies(), ["a", "b", "c"]);
    bed.assert_counts(0, 3);
}

#[test]
fn ordinals_are_dense_whatever_way_a_message_takes() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    bed.publish(&["waits", "waits too"]);
    client.consume(&bed, 1);
    bed.publish(&["whole", "batch"]);
    client.consume(&bed, 2);
    bed.publish(&["each", "alone"]);
    let mut ordinals = ordinals(&client.deliveries());
    ordinals.sort_unstable();
    assert_eq!(ordinals, [1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_batch_is_confirmed_once_it_is_taken() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    let mut batch = confirmed(&client, &["a", "b", "c"], &[(1, 10, 2), (1, 20, 1)]);
    bed.queue.publish(bed.now, &mut batch);
    assert!(batch.records.is_empty() && batch.confirms.is_empty());
    let seen = published(&client);
    assert_eq!(seen.len(), 1);
    let counts: Vec<_> = seen[0].0.iter().map(|run| (run.first, run.count)).collect();
    assert_eq!(counts, [(10, 2), (20, 1)]);
    assert!(seen[0].1.is_empty());
}

#[test]
fn a_batch_without_confirms_tells_nobody() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    let mut batch = confirmed(&client, &["a"], &[]);
    bed.queue.publish(bed.now, &mut batch);
    assert!(client.read().is_empty());
}

#[test]
fn refused_messages_are_named_by_channel_and_number() {
    let bed = Bed::new(Settings {
        max_length: Some(2),
        overflow: Overflow::RejectPublish,
        ..Settings::default()
    });
    let client = Client::new();
    let bodies = ["a", "b", "c", "d", "e"];
    let mut batch = confirmed(&client, &bodies, &[(1, 10, 3), (2, 5, 2)]);
    bed.queue.publish(bed.now, &mut batch);
    let seen = published(&client);
    assert_eq!(seen[0].1, [(1, 12), (2, 5), (2, 6)]);
    bed.assert_counts(2, 0);
    assert_eq!(bed.totals().refused, 3);
}

#[test]
fn a_deleted_queue_has_taken_everything() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    bed.submit(Command::Delete {
        if_unused: false,
        if_empty: false,
        reply: None,
        reason: Deletion::Requested,
    });
    assert!(bed.queue.is_closed());
    let mut batch = confirmed(&client, &["a", "b"], &[(1, 1, 2)]);
    bed.queue.publish(bed.now, &mut batch);
    let seen = published(&client);
    assert_eq!(seen[0].0.len(), 1);
    assert!(seen[0].1.is_empty());
    bed.assert_counts(0, 0);
}

#[test]
fn a_whole_batch_passes_to_the_only_consumer_with_its_memory_exchanged() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    client.consume_no_ack(&bed, 1);
    client.read();
    let mut batch = Batch::default();
    for body in ["a", "b", "c"] {
        batch.records.push(message(body));
    }
    let bytes: usize = batch
        .records
        .iter()
        .map(|record| record.memory_bytes())
        .sum();
    bed.queue.publish(bed.now, &mut batch);
    assert_eq!(client.inbox.bytes(), bytes);
    assert_eq!(client.bodies(), ["a", "b", "c"]);
    assert_eq!(client.inbox.bytes(), 0);
    bed.assert_counts(0, 0);
    let totals = bed.totals();
    assert_eq!((totals.publish, totals.deliver_no_ack), (3, 3));
}

#[test]
fn priorities_are_served_highest_first_and_in_order_within() {
    let bed = Bed::new(Settings {
        max_priority: Some(5),
        ..Settings::default()
    });
    let of = |body, priority| Message {
        priority,
        ..message(body)
    };
    bed.publish_all([of("0", 0), of("5a", 5), of("9", 9), of("2", 2), of("5b", 5)]);
    let client = Client::new();
    client.consume(&bed, 1);
    assert_eq!(client.bodies(), ["5a", "9", "5b", "2", "0"]);
}

#[test]
fn without_max_priority_the_property_means_nothing() {
    let bed = Bed::new(Settings::default());
    let of = |body, priority| Message {
        priority,
        ..message(body)
    };
    bed.publish_all([of("a", 0), of("b", 9)]);
    let client = Client::new();
    client.consume(&bed, 1);
    assert_eq!(client.bodies(), ["a", "b"]);
}

#[test]
fn a_large_body_is_shared_and_not_copied() {
    let bed = Bed::new(Settings::default());
    let body = bytes::Bytes::from("B".repeat(1 << 20));
    bed.publish_all([Message {
        body: Body::Shared(body.clone()),
        ..message("")
    }]);
    let client = Client::new();
    client.consume(&bed, 1);
    let mut mail = Mail::default();
    client.inbox.take(&mut mail, None);
    let record = mail.records.iter().next().unwrap();
    let shared = record.shared_body().unwrap();
    assert_eq!(shared.as_ptr(), body.as_ptr());
    assert_eq!(client.inbox.bytes(), record.memory_bytes());
}

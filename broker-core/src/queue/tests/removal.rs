//! Purge, removal from the middle, and deletion.

use super::*;

fn delete(if_unused: bool, if_empty: bool, client: &Client) -> Command {
    Command::Delete {
        if_unused,
        if_empty,
        reply: Some(client.reply(5)),
        reason: Deletion::Requested,
    }
}

#[track_caller]
fn refusal(client: &Client) -> String {
    match client.answer() {
        Answer::Refused(error) => error.to_string(),
        other => panic!("refused expected, not {other:?}"),
    }
}

#[test]
fn a_purge_takes_what_is_ready_and_counts_it() {
    let bed = Bed::new(with_dead_letters(Settings::default()));
    let client = Client::new();
    client.consume_as(
        &bed,
        ConsumerSpec {
            prefetch: 2,
            ..client.spec(1)
        },
    );
    bed.publish(&["a", "b", "c", "d", "e"]);
    client.read();
    bed.submit(Command::Purge {
        reply: Some(client.reply(1)),
    });
    assert!(matches!(client.answer(), Answer::Purged { count: 3, .. }));
    bed.assert_counts(0, 2);
    assert_eq!(bed.queue.counts().ready_bytes, 0);
    assert!(bury(&bed).is_empty());
}

#[test]
fn a_purge_takes_what_came_back_too() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    client.consume_as(
        &bed,
        ConsumerSpec {
            prefetch: 2,
            ..client.spec(1)
        },
    );
    bed.publish(&["a", "b", "c"]);
    let taken = ordinals(&client.deliveries());
    bed.submit(Command::Cancel {
        consumer: ConsumerId(1),
        reply: None,
    });
    bed.submit(Command::Requeue { ordinals: taken });
    bed.submit(Command::Purge {
        reply: Some(client.reply(1)),
    });
    assert!(matches!(client.answer(), Answer::Purged { count: 3, .. }));
    bed.publish(&["d"]);
    client.consume(&bed, 2);
    assert_eq!(client.bodies(), ["d"]);
}

#[test]
fn messages_are_removed_from_the_middle() {
    let bed = Bed::new(Settings::default());
    let names: Vec<String> = (1..=100).map(|n| n.to_string()).collect();
    bed.publish_all(names.iter().map(|name| message(name)));
    bed.submit(Command::Remove {
        ordinals: vec![50, 1, 100, 2, 50, 777],
    });
    bed.assert_counts(96, 0);
    let client = Client::new();
    client.consume(&bed, 1);
    let bodies = client.bodies();
    assert_eq!(bodies.len(), 96);
    assert_eq!(bodies[0], "3");
    assert!(!bodies.contains(&"50".to_owned()));
    bed.submit(Command::Remove { ordinals: vec![3] });
    bed.assert_counts(0, 96);
}

#[test]
fn messages_that_came_back_can_be_removed() {
    let bed = Bed::new(Settings {
        max_priority: Some(3),
        ..Settings::default()
    });
    let of = |body, priority| Message {
        priority,
        ..message(body)
    };
    bed.publish_all([of("a", 1), of("b", 2), of("c", 1)]);
    let client = Client::new();
    client.consume(&bed, 1);
    let taken = ordinals(&client.deliveries());
    bed.submit(Command::Cancel {
        consumer: ConsumerId(1),
        reply: None,
    });
    bed.submit(Command::Requeue { ordinals: taken });
    bed.submit(Command::Remove {
        ordinals: vec![2, 3],
    });
    client.consume(&bed, 2);
    assert_eq!(client.bodies(), ["a"]);
}

#[test]
fn a_deletion_answers_with_the_ready_messages_and_cancels_consumers() {
    let bed = Bed::new(Settings::default());
    let (consumer, client) = (Client::new(), Client::new());
    consumer.consume_as(
        &bed,
        ConsumerSpec {
            prefetch: 1,
            ..consumer.spec(8)
        },
    );
    bed.publish(&["a", "b", "c"]);
    consumer.read();
    bed.submit(delete(false, false, &client));
    assert!(matches!(client.answer(), Answer::Deleted(2)));
    assert!(matches!(
        consumer.read()[..],
        [Seen::Event(Event::ConsumerCancelled {
            channel: 1,
            consumer: ConsumerId(8)
        })]
    ));
    assert!(bed.queue.is_closed());
    assert_eq!(*bed.host.deleted.lock(), [Deletion::Requested]);
    bed.assert_counts(0, 0);
}

#[test]
fn a_queue_in_use_is_not_deleted_if_unused() {
    let bed = Bed::new(Settings::default());
    let (consumer, client) = (Client::new(), Client::new());
    consumer.consume(&bed, 1);
    bed.submit(delete(true, false, &client));
    assert_eq!(
        refusal(&client),
        "PRECONDITION_FAILED - queue 'q' in vhost 'v' in use"
    );
    assert!(!bed.queue.is_closed());
}

#[test]
fn a_queue_with_ready_messages_is_not_deleted_if_empty() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    bed.publish(&["a"]);
    bed.submit(delete(false, true, &client));
    assert_eq!(
        refusal(&client),
        "PRECONDITION_FAILED - queue 'q' in vhost 'v' not empty"
    );
    let reply = client.reply(1);
    bed.submit(Command::Get {
        no_ack: false,
        reply,
        consumer: ConsumerId(1),
    });
    client.read();
    bed.submit(delete(true, true, &client));
    assert!(matches!(client.answer(), Answer::Deleted(0)));
}

#[test]
fn what_a_deleted_queue_answers() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    bed.submit(delete(false, false, &client));
    client.read();
    let text = "NOT_FOUND - no queue 'q' in vhost 'v'";
    client.consume(&bed, 1);
    assert_eq!(refusal(&client), text);
    let reply = client.reply(1);
    bed.submit(Command::Get {
        no_ack: true,
        reply,
        consumer: ConsumerId(1),
    });
    assert_eq!(refusal(&client), text);
    bed.submit(Command::Count {
        reply: client.reply(1),
    });
    assert_eq!(refusal(&client), text);
    bed.submit(Command::Purge {
        reply: Some(client.reply(1)),
    });
    assert_eq!(refusal(&client), text);
    bed.submit(delete(true, true, &client));
    assert!(matches!(client.answer(), Answer::Deleted(0)));
    let reply = Some(client.reply(1));
    bed.submit(Command::Cancel {
        consumer: ConsumerId(1),
        reply,
    });
    assert!(matches!(client.answer(), Answer::Cancelled(_)));
    bed.submit(Command::Ack { ordinals: vec![1] });
    bed.submit(Command::Tick);
    assert_eq!(bed.host.deleted.lock().len(), 1, "deleted once");
}

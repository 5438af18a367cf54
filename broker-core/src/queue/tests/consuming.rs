//! Consumers coming and going, exclusive ones, auto-delete.

use super::*;

#[track_caller]
fn refusal(client: &Client) -> String {
    match client.answer() {
        Answer::Refused(error) => error.to_string(),
        other => panic!("refused expected, not {other:?}"),
    }
}

#[test]
fn consuming_is_answered_before_the_first_delivery() {
    let bed = Bed::new(Settings::default());
    bed.publish(&["a"]);
    let client = Client::new();
    client.consume(&bed, 1);
    let seen = client.read();
    assert!(matches!(
        seen[0],
        Seen::Event(Event::Answer {
            channel: 1,
            token: 7,
            answer: Answer::Consuming
        })
    ));
    assert!(matches!(seen[1], Seen::Delivery(_)));
}

#[test]
fn cancelled_is_answered_after_the_last_delivery() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    client.consume(&bed, 1);
    client.read();
    bed.publish(&["a"]);
    let reply = Some(client.reply(3));
    bed.submit(Command::Cancel {
        consumer: ConsumerId(1),
        reply,
    });
    bed.publish(&["b"]);
    let seen = client.read();
    assert_eq!(seen.len(), 2);
    assert!(matches!(
        seen[1],
        Seen::Event(Event::Answer {
            token: 3,
            answer: Answer::Cancelled(ConsumerId(1)),
            ..
        })
    ));
    bed.assert_counts(1, 1);
}

#[test]
fn cancelling_an_unknown_consumer_is_answered_alike() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    let reply = Some(client.reply(3));
    bed.submit(Command::Cancel {
        consumer: ConsumerId(5),
        reply,
    });
    assert!(matches!(client.answer(), Answer::Cancelled(ConsumerId(5))));
}

#[test]
fn an_exclusive_consumer_keeps_others_out_and_is_kept_out_by_others() {
    let bed = Bed::new(Settings::default());
    let (first, second) = (Client::new(), Client::new());
    let text = "ACCESS_REFUSED - queue 'q' in vhost 'v' in exclusive use";
    let exclusive = |client: &Client, id| ConsumerSpec {
        exclusive: true,
        ..client.spec(id)
    };
    first.consume_as(&bed, exclusive(&first, 1));
    assert!(matches!(first.answer(), Answer::Consuming));
    second.consume(&bed, 2);
    assert_eq!(refusal(&second), text);
    second.consume_as(&bed, exclusive(&second, 3));
    assert_eq!(refusal(&second), text);
    let tag = bed.queue.snapshot().exclusive_consumer_tag;
    assert_eq!(tag.as_deref(), Some("tag1"));
    bed.submit(Command::Cancel {
        consumer: ConsumerId(1),
        reply: None,
    });
    second.consume(&bed, 4);
    assert!(matches!(second.answer(), Answer::Consuming));
    first.consume_as(&bed, exclusive(&first, 5));
    assert_eq!(refusal(&first), text);
    assert_eq!(bed.queue.counts().consumers, 1);
}

#[test]
fn basic_get_does_not_mind_an_exclusive_consumer() {
    let bed = Bed::new(Settings::default());
    let (owner, other) = (Client::new(), Client::new());
    let spec = ConsumerSpec {
        exclusive: true,
        prefetch: 1,
        ..owner.spec(1)
    };
    owner.consume_as(&bed, spec);
    bed.publish(&["a", "b"]);
    let reply = other.reply(1);
    bed.submit(Command::Get {
        no_ack: true,
        reply,
        consumer: ConsumerId(9),
    });
    assert_eq!(other.bodies(), ["b"]);
}

#[test]
fn an_auto_delete_queue_goes_with_its_last_consumer() {
    let auto_delete = Identity {
        auto_delete: true,
        ..identity()
    };
    let bed = Bed::with(auto_delete, Settings::default());
    let client = Client::new();
    bed.publish(&["a"]);
    client.consume(&bed, 1);
    client.consume(&bed, 2);
    bed.submit(Command::Cancel {
        consumer: ConsumerId(1),
        reply: None,
    });
    assert!(!bed.queue.is_closed());
    client.read();
    let reply = Some(client.reply(4));
    bed.submit(Command::Cancel {
        consumer: ConsumerId(2),
        reply,
    });
    assert!(matches!(client.answer(), Answer::Cancelled(_)));
    assert!(bed.queue.is_closed());
    assert_eq!(*bed.host.deleted.lock(), [Deletion::LastConsumerGone]);
}

#[test]
fn an_auto_delete_queue_without_any_consumer_stays() {
    let auto_delete = Identity {
        auto_delete: true,
        ..identity()
    };
    let mut bed = Bed::with(auto_delete, Settings::default());
    let client = Client::new();
    bed.publish(&["a"]);
    let reply = client.reply(1);
    bed.submit(Command::Get {
        no_ack: true,
        reply,
        consumer: ConsumerId(1),
    });
    bed.submit(Command::Cancel {
        consumer: ConsumerId(1),
        reply: None,
    });
    bed.advance(1_000_000);
    assert!(!bed.queue.is_closed());
}

#[test]
fn an_auto_delete_queue_goes_when_its_last_connection_turns_out_closed() {
    let auto_delete = Identity {
        auto_delete: true,
        ..identity()
    };
    let bed = Bed::with(auto_delete, Settings::default());
    let client = Client::new();
    client.consume(&bed, 1);
    client.close();
    bed.publish(&["a"]);
    assert_eq!(*bed.host.deleted.lock(), [Deletion::LastConsumerGone]);
}

#[test]
fn count_tells_ready_messages_and_consumers() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    client.consume_as(
        &bed,
        ConsumerSpec {
            prefetch: 1,
            ..client.spec(1)
        },
    );
    bed.publish(&["a", "b", "c"]);
    client.read();
    let reply = client.reply(2);
    bed.submit(Command::Count { reply });
    assert!(matches!(
        client.answer(),
        Answer::Counted {
            messages: 2,
            consumers: 1
        }
    ));
}

#[test]
fn a_thousand_consumers_come_and_go() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    for id in 0..1000 {
        let spec = ConsumerSpec {
            priority: (id % 7) as i32,
            prefetch: 1,
            ..client.spec(id)
        };
        client.consume_as(&bed, spec);
    }
    let bodies = vec!["x"; 1500];
    bed.publish(&bodies);
    bed.assert_counts(500, 1000);
    for id in (0..1000).rev().step_by(2).chain((0..1000).step_by(2)) {
        bed.submit(Command::Cancel {
            consumer: ConsumerId(id),
            reply: None,
        });
    }
    let counts = bed.queue.counts();
    assert_eq!((counts.consumers, counts.unacked), (0, 1000));
}

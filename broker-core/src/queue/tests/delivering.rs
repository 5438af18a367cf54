//! Whose turn it is, prefetch, credit, room, and connections that go.

use std::task::{Wake, Waker};

use super::*;
use crate::inbox::INBOX_BYTES_MAX;

fn names(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("m{index}")).collect()
}

fn publish_names(bed: &Bed, count: usize) {
    let names = names(count);
    bed.publish_all(names.iter().map(|name| message(name)));
}

#[test]
fn consumers_of_one_priority_take_turns_also_inside_a_batch() {
    let bed = Bed::new(Settings::default());
    let clients = [Client::new(), Client::new(), Client::new()];
    for (id, client) in clients.iter().enumerate() {
        client.consume(&bed, id as u64);
        client.read();
    }
    publish_names(&bed, 6);
    assert_eq!(clients[0].bodies(), ["m0", "m3"]);
    assert_eq!(clients[1].bodies(), ["m1", "m4"]);
    assert_eq!(clients[2].bodies(), ["m2", "m5"]);
    publish_names(&bed, 1);
    assert_eq!(clients[0].bodies(), ["m0"]);
    publish_names(&bed, 1);
    assert_eq!(clients[1].bodies(), ["m0"]);
}

#[test]
fn a_higher_priority_is_served_first_while_it_has_room() {
    let bed = Bed::new(Settings::default());
    let (low, high) = (Client::new(), Client::new());
    low.consume_as(
        &bed,
        ConsumerSpec {
            priority: -1,
            ..low.spec(1)
        },
    );
    let spec = ConsumerSpec {
        priority: 5,
        prefetch: 2,
        ..high.spec(2)
    };
    high.consume_as(&bed, spec);
    publish_names(&bed, 4);
    let taken = high.deliveries();
    assert_eq!(taken.len(), 2);
    assert_eq!(low.bodies(), ["m2", "m3"]);
    bed.submit(Command::Ack {
        ordinals: ordinals(&taken),
    });
    publish_names(&bed, 1);
    assert_eq!(high.bodies(), ["m0"]);
}

#[test]
fn prefetch_limits_what_is_unacked() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    client.consume_as(
        &bed,
        ConsumerSpec {
            prefetch: 3,
            ..client.spec(1)
        },
    );
    publish_names(&bed, 5);
    let first = client.deliveries();
    assert_eq!(first.len(), 3);
    bed.assert_counts(2, 3);
    bed.submit(Command::Ack {
        ordinals: vec![first[1].ordinal],
    });
    assert_eq!(client.bodies(), ["m3"]);
    bed.submit(Command::Ack {
        ordinals: vec![first[0].ordinal, first[2].ordinal],
    });
    assert_eq!(client.bodies(), ["m4"]);
    bed.assert_counts(0, 2);
}

#[test]
fn without_acks_prefetch_is_ignored() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    let spec = ConsumerSpec {
        prefetch: 1,
        no_ack: true,
        ..client.spec(1)
    };
    client.consume_as(&bed, spec);
    publish_names(&bed, 5);
    assert_eq!(client.bodies().len(), 5);
}

#[test]
fn channel_credit_is_shared_by_its_consumers() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    client.credit.set_limit(3);
    client.consume(&bed, 1);
    client.consume(&bed, 2);
    publish_names(&bed, 5);
    let first = client.deliveries();
    assert_eq!(first.len(), 3);
    assert_eq!(client.credit.used(), 3);
    bed.submit(Command::Ack {
        ordinals: ordinals(&first[..2]),
    });
    assert_eq!(client.bodies().len(), 2);
    assert_eq!(client.credit.used(), 3);
}

#[test]
fn basic_get_is_not_limited_by_prefetch_or_credit() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    client.credit.set_limit(1);
    client.consume(&bed, 1);
    publish_names(&bed, 3);
    client.read();
    let reply = client.reply(9);
    bed.submit(Command::Get {
        no_ack: false,
        reply,
        consumer: ConsumerId(99),
    });
    let seen = client.read();
    let Seen::Event(Event::Answer {
        token: 9, answer, ..
    }) = &seen[0]
    else {
        panic!("an answer first: {seen:?}");
    };
    assert!(matches!(answer, Answer::Got { message_count: 1 }));
    assert_eq!(deliveries(seen)[0].body, "m1");
    bed.assert_counts(1, 2);
    assert_eq!(client.credit.used(), 1);
}

#[test]
fn a_get_from_an_empty_queue_is_answered_empty() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    let reply = client.reply(1);
    bed.submit(Command::Get {
        no_ack: true,
        reply,
        consumer: ConsumerId(1),
    });
    assert!(matches!(client.answer(), Answer::Empty));
    assert_eq!(bed.totals().get_empty, 1);
}

#[test]
fn a_get_without_ack_leaves_nothing_behind() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    bed.publish(&["a", "b"]);
    let reply = client.reply(1);
    bed.submit(Command::Get {
        no_ack: true,
        reply,
        consumer: ConsumerId(1),
    });
    assert_eq!(client.bodies(), ["a"]);
    bed.assert_counts(1, 0);
    assert_eq!(bed.totals().get_no_ack, 1);
}

#[test]
fn a_get_by_a_closed_connection_takes_nothing() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    bed.publish(&["a"]);
    client.close();
    let reply = client.reply(1);
    bed.submit(Command::Get {
        no_ack: true,
        reply,
        consumer: ConsumerId(1),
    });
    bed.assert_counts(1, 0);
    assert_eq!(client.inbox.bytes(), 0);
}

#[test]
fn a_full_connection_is_passed_over_and_told_when_it_has_room() {
    let bed = Bed::new(Settings::default());
    let (full, other) = (Client::new(), Client::new());
    full.consume(&bed, 1);
    other.consume(&bed, 2);
    full.inbox.reserve_bytes(INBOX_BYTES_MAX);
    publish_names(&bed, 3);
    assert_eq!(other.bodies(), ["m0", "m1", "m2"]);
    assert_eq!(full.deliveries(), []);
    full.inbox.release_bytes(INBOX_BYTES_MAX);
    full.resume(bed.now);
    publish_names(&bed, 2);
    assert_eq!(full.bodies().len(), 1);
}

#[test]
fn a_message_of_any_size_passes_when_nothing_is_in_flight() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    client.consume(&bed, 1);
    client.read();
    let huge = "h".repeat(3 * INBOX_BYTES_MAX);
    bed.publish(&[&huge, "small"]);
    assert_eq!(client.bodies().len(), 1, "nothing beside the huge one");
    client.resume(bed.now);
    assert_eq!(client.bodies(), ["small"]);
}

#[test]
fn a_backlog_stops_at_the_room_of_the_connection() {
    let bed = Bed::new(Settings::default());
    let body = "b".repeat(1000);
    for _ in 0..10 {
        bed.publish(&[body.as_str(); 100]);
    }
    let client = Client::new();
    client.consume_no_ack(&bed, 1);
    let bytes = client.inbox.bytes();
    assert!(
        (INBOX_BYTES_MAX..INBOX_BYTES_MAX + 1100).contains(&bytes),
        "{bytes}"
    );
    let mut total = 0;
    for _ in 0..10 {
        total += client.deliveries().len();
        client.resume(bed.now);
    }
    assert_eq!(total, 1000);
}

#[test]
fn a_skipped_connection_that_became_ready_meanwhile_is_not_forgotten() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    client.credit.set_limit(1);
    client.consume(&bed, 1);
    publish_names(&bed, 3);
    for expected in ["m0", "m1", "m2"] {
        let delivered = client.deliveries();
        assert_eq!(delivered[0].body, expected);
        bed.submit(Command::Ack {
            ordinals: ordinals(&delivered),
        });
        client.resume(bed.now);
    }
    bed.assert_counts(0, 0);
}

#[test]
fn messages_for_a_closed_connection_return_and_others_get_them() {
    let bed = Bed::new(Settings::default());
    let (gone, other) = (Client::new(), Client::new());
    gone.consume(&bed, 1);
    other.consume(&bed, 2);
    other.read();
    gone.close();
    publish_names(&bed, 4);
    let delivered = other.deliveries();
    assert_eq!(delivered.len(), 4);
    assert!(delivered.iter().all(|delivery| !delivery.redelivered));
    assert_eq!(gone.credit.used(), 0);
    assert_eq!(gone.inbox.bytes(), 0);
    assert_eq!(bed.queue.counts().consumers, 1);
}

#[test]
fn a_whole_batch_for_a_closed_connection_stays_in_the_queue() {
    for no_ack in [false, true] {
        let bed = Bed::new(Settings::default());
        let gone = Client::new();
        gone.consume_as(
            &bed,
            ConsumerSpec {
                no_ack,
                ..gone.spec(1)
            },
        );
        gone.close();
        publish_names(&bed, 3);
        bed.assert_counts(3, 0);
        assert_eq!(bed.queue.counts().consumers, 0);
        assert_eq!(gone.credit.used(), 0);
        assert_eq!(gone.inbox.bytes(), 0);
        let client = Client::new();
        client.consume(&bed, 2);
        assert_eq!(client.bodies(), ["m0", "m1", "m2"]);
    }
}

#[test]
fn a_backlog_of_many_steps_is_delivered_to_its_end() {
    let bed = Bed::new(Settings::default());
    let body = "b".repeat(64 * 1024);
    for _ in 0..60 {
        bed.publish(&[&body]);
    }
    let clients: Vec<Client> = (0..20).map(|_| Client::new()).collect();
    for (id, client) in clients.iter().enumerate() {
        client.consume(&bed, id as u64);
    }
    let total: usize = clients.iter().map(|client| client.deliveries().len()).sum();
    assert_eq!(total, 60);
}

#[test]
fn every_delivery_is_counted_by_its_kind() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    client.consume(&bed, 1);
    publish_names(&bed, 2);
    let delivered = client.deliveries();
    bed.submit(Command::Requeue {
        ordinals: ordinals(&delivered),
    });
    let again = client.deliveries();
    bed.submit(Command::Ack {
        ordinals: ordinals(&again),
    });
    let totals = bed.totals();
    assert_eq!((totals.publish, totals.deliver), (2, 4));
    assert_eq!((totals.redeliver, totals.ack), (2, 2));
}

#[test]
fn credit_freed_in_one_queue_wakes_another_that_waits_for_it() {
    let (one, other) = (Bed::new(Settings::default()), Bed::new(Settings::default()));
    let client = Client::new();
    client.credit.set_limit(2);
    client.consume(&one, 1);
    client.consume(&other, 2);
    publish_names(&one, 2);
    let taken = client.deliveries();
    publish_names(&other, 2);
    assert!(client.deliveries().is_empty());
    one.submit(Command::Reject {
        ordinals: ordinals(&taken),
    });
    assert_eq!(client.bodies().len(), 2);
    other.assert_counts(0, 2);
}

#[test]
fn deliveries_of_a_cancelled_consumer_hold_their_credit_until_they_are_settled() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    client.consume(&bed, 1);
    publish_names(&bed, 4);
    let taken = ordinals(&client.deliveries());
    bed.submit(Command::Cancel {
        consumer: ConsumerId(1),
        reply: None,
    });
    assert_eq!(client.credit.used(), 4);
    let settle = |ordinal| vec![ordinal];
    bed.submit(Command::Ack {
        ordinals: settle(taken[0]),
    });
    bed.submit(Command::Requeue {
        ordinals: settle(taken[1]),
    });
    bed.submit(Command::Reject {
        ordinals: settle(taken[2]),
    });
    assert_eq!(client.credit.used(), 1);
    bed.submit(Command::Return {
        ordinals: settle(taken[3]),
        records: Records::new(),
    });
    assert_eq!(client.credit.used(), 0);
}

#[test]
fn a_deleted_queue_frees_the_credit_of_all_its_deliveries() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    client.consume(&bed, 1);
    publish_names(&bed, 2);
    bed.submit(Command::Cancel {
        consumer: ConsumerId(1),
        reply: None,
    });
    client.consume(&bed, 2);
    publish_names(&bed, 3);
    let taken = ordinals(&client.deliveries());
    assert_eq!(client.credit.used(), 5);
    bed.submit(Command::Delete {
        if_unused: false,
        if_empty: false,
        reply: None,
        reason: Deletion::Requested,
    });
    assert_eq!(client.credit.used(), 0);
    bed.submit(Command::Ack { ordinals: taken });
    assert_eq!(client.credit.used(), 0);
}

#[test]
fn a_connection_that_closes_while_it_is_given_a_batch_leaves_no_trace() {
    for no_ack in [false, true] {
        let bed = Bed::new(Settings::default());
        let client = Client::new();
        let spec = ConsumerSpec {
            no_ack,
            ..client.spec(1)
        };
        client.consume_as(&bed, spec);
        let mut records = Records::new();
        for ordinal in 1..=3 {
            let position = records.push(message("m"));
            records.head_mut(position).set_ordinal(ordinal);
        }
        let mut queue = bed.queue.queue_for_tests();
        let key = queue.consumers.claim_all(3).expect("it has room");
        client.close();
        let mut effects = Effects::default();
        assert!(
            queue
                .hand_over_all(key, &mut records, None, 100, &mut effects)
                .is_none()
        );
        drop(queue);
        assert_eq!(records.len(), 3);
        bed.assert_counts(0, 0);
        assert_eq!((client.credit.used(), client.inbox.bytes()), (0, 0));
        bed.publish(&["a"]);
        bed.assert_counts(1, 0);
        assert_eq!(bed.queue.counts().consumers, 0);
    }
}

/// Makes a connection ready from within the wake of another one: after the queue chose, before
/// the full connection knows of the queue.
struct MakesReady(Client);

impl Wake for MakesReady {
    fn wake(self: Arc<Self>) {
        self.0.inbox.release_bytes(INBOX_BYTES_MAX);
        assert!(self.0.inbox.take_skipped().is_empty());
    }
}

#[test]
fn a_connection_that_becomes_ready_before_it_is_told_is_looked_at_again() {
    let bed = Bed::new(Settings::default());
    let (full, other) = (Client::new(), Client::new());
    full.consume_no_ack(&bed, 1);
    other.consume_no_ack(&bed, 2);
    full.read();
    other.read();
    full.inbox.reserve_bytes(INBOX_BYTES_MAX);
    let inbox = full.inbox.clone();
    let waker = Waker::from(Arc::new(MakesReady(full)));
    assert!(!other.inbox.take(&mut Mail::default(), Some(&waker)));
    publish_names(&bed, 2);
    assert_eq!(other.bodies(), ["m0", "m1"]);
    publish_names(&bed, 2);
    let mut mail = Mail::default();
    assert!(inbox.take(&mut mail, None), "it has its turn again");
}

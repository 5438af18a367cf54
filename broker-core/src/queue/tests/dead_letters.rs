//! Dead letters in their source: waiting, taken, settled.

use super::*;

fn rejecting_bed(count: usize) -> Bed {
    let bed = Bed::new(with_dead_letters(Settings::default()));
    let names: Vec<String> = (0..count).map(|n| format!("m{n}")).collect();
    let client = Client::new();
    client.consume(&bed, 1);
    bed.publish_all(names.iter().map(|name| message(name)));
    let taken = ordinals(&client.deliveries());
    bed.submit(Command::Reject { ordinals: taken });
    let consumer = ConsumerId(1);
    bed.submit(Command::Cancel {
        consumer,
        reply: None,
    });
    bed
}

#[test]
fn dead_letters_stay_counted_until_they_are_settled() {
    let bed = rejecting_bed(3);
    let counts = bed.queue.counts();
    assert_eq!((counts.ready, counts.unacked, counts.dead), (0, 0, 3));
    let letters = bed.queue.take_dead_letters(2);
    assert_eq!(letters.len(), 2);
    assert_eq!(letters[0].reason, Reason::Rejected);
    assert_eq!(bed.queue.counts().dead, 3);
    let ordinals = letters.iter().map(|letter| letter.ordinal).collect();
    bed.submit(Command::DeadLettered { ordinals });
    assert_eq!(bed.queue.counts().dead, 1);
}

#[test]
fn a_dead_letter_is_taken_once() {
    let bed = rejecting_bed(3);
    let first = bed.queue.take_dead_letters(2);
    let second = bed.queue.take_dead_letters(2);
    let all: Vec<_> = first
        .iter()
        .chain(&second)
        .map(|letter| letter.ordinal)
        .collect();
    assert_eq!(all, [1, 2, 3]);
    assert!(bed.queue.take_dead_letters(2).is_empty());
}

#[test]
fn the_surroundings_hear_once_of_all_that_wait() {
    let bed = rejecting_bed(3);
    assert_eq!(*bed.host.dead_letters.lock(), 1);
    bed.submit(Command::Touch);
    assert_eq!(*bed.host.dead_letters.lock(), 1);
    bury(&bed);
    bed.submit(Command::Touch);
    assert_eq!(*bed.host.dead_letters.lock(), 1);
    bed.publish(&["more"]);
    let client = Client::new();
    client.consume(&bed, 9);
    let taken = ordinals(&client.deliveries());
    bed.submit(Command::Reject { ordinals: taken });
    assert_eq!(*bed.host.dead_letters.lock(), 2);
}

#[test]
fn dead_letters_of_a_deleted_queue_can_still_be_taken() {
    let bed = rejecting_bed(100);
    bed.publish(&["dropped"]);
    let first = bed.queue.take_dead_letters(10);
    bed.submit(Command::Delete {
        if_unused: false,
        if_empty: false,
        reply: None,
        reason: Deletion::Requested,
    });
    assert_eq!(bed.queue.counts().dead, 100);
    let ordinals = first.iter().map(|letter| letter.ordinal).collect();
    bed.submit(Command::DeadLettered { ordinals });
    let bodies: Vec<_> = bury(&bed).into_iter().map(|(body, _)| body).collect();
    assert_eq!(bodies.len(), 90);
    assert_eq!((bodies[0].as_str(), bodies[89].as_str()), ("m10", "m99"));
    assert_eq!(bed.queue.counts().dead, 0);
}

#[test]
fn where_dead_letters_go_follows_the_settings() {
    let bed = Bed::new(Settings::default());
    assert!(bed.queue.dead_letter_to().is_none());
    bed.submit(Command::Configure(with_dead_letters(Settings::default())));
    assert_eq!(&*bed.queue.dead_letter_to().unwrap().exchange, "dlx");
}

#[test]
fn deaths_come_out_in_their_order_whatever_the_reason() {
    let mut bed = Bed::new(with_dead_letters(Settings {
        max_length: Some(2),
        message_ttl: Some(100),
        ..Settings::default()
    }));
    let client = Client::new();
    client.consume_as(
        &bed,
        ConsumerSpec {
            prefetch: 1,
            ..client.spec(1)
        },
    );
    bed.publish(&["rejected", "too many", "expires", "expires too"]);
    let taken = ordinals(&client.deliveries());
    bed.submit(Command::Cancel {
        consumer: ConsumerId(1),
        reply: None,
    });
    bed.advance(100);
    bed.submit(Command::Reject { ordinals: taken });
    let dead = bury(&bed);
    let reasons: Vec<_> = dead.iter().map(|(_, reason)| *reason).collect();
    assert_eq!(
        reasons,
        [
            Reason::MaxLen,
            Reason::Expired,
            Reason::Expired,
            Reason::Rejected
        ]
    );
    assert_eq!(dead[3].0, "rejected");
}

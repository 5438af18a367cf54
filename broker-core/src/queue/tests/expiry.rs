//! Message TTL and x-expires.

use super::*;

fn ttl(ms: u64) -> Settings {
    Settings {
        message_ttl: Some(ms),
        ..Settings::default()
    }
}

fn expires(ms: u64) -> Settings {
    Settings {
        expires: Some(ms),
        ..Settings::default()
    }
}

fn own_ttl<'a>(bed: &Bed, body: &'a str, ms: u64) -> Message<'a> {
    Message {
        expires_at: Some(bed.now.plus_ms(ms)),
        ..message(body)
    }
}

#[test]
fn messages_expire_at_the_deadline_of_the_queue() {
    let mut bed = Bed::new(with_dead_letters(ttl(500)));
    bed.publish(&["a"]);
    bed.advance(499);
    bed.assert_counts(1, 0);
    bed.advance(1);
    bed.assert_counts(0, 0);
    assert_eq!(bury(&bed), [("a".to_owned(), Reason::Expired)]);
}

#[test]
fn the_earlier_of_both_deadlines_counts() {
    for (own, queue, at) in [(100, 500, 100), (500, 100, 100)] {
        let mut bed = Bed::new(ttl(queue));
        bed.publish_all([own_ttl(&bed, "a", own)]);
        bed.advance(at - 1);
        bed.assert_counts(1, 0);
        bed.advance(1);
        bed.assert_counts(0, 0);
    }
}

#[test]
fn a_message_that_is_too_late_is_never_delivered() {
    let mut bed = Bed::new(Settings::default());
    bed.publish_all([own_ttl(&bed, "late", 100), message("in time")]);
    bed.now = bed.now.plus_ms(101);
    let client = Client::new();
    client.consume(&bed, 1);
    assert_eq!(client.bodies(), ["in time"]);
    assert_eq!(bed.totals().dropped, 1);
}

#[test]
fn basic_get_passes_over_what_is_too_late() {
    let mut bed = Bed::new(Settings::default());
    let late = ["1", "2", "3"].map(|body| own_ttl(&bed, body, 10));
    bed.publish_all(late.into_iter().chain([message("good")]));
    bed.now = bed.now.plus_ms(11);
    let client = Client::new();
    let reply = client.reply(1);
    bed.submit(Command::Get {
        no_ack: true,
        reply,
        consumer: ConsumerId(1),
    });
    assert_eq!(client.bodies(), ["good"]);
}

#[test]
fn basic_get_does_not_count_what_is_too_late_behind_its_message() {
    for (behind, left) in [(vec!["late", "late"], 0), (vec!["late", "good", "late"], 2)] {
        let mut bed = Bed::new(with_dead_letters(Settings::default()));
        let late = own_ttl(&bed, "late", 10);
        let behind = behind.into_iter().map(|body| match body {
            "late" => late.clone(),
            body => message(body),
        });
        bed.publish_all([message("head")].into_iter().chain(behind));
        bed.now = bed.now.plus_ms(11);
        let client = Client::new();
        bed.submit(Command::Get {
            no_ack: false,
            reply: client.reply(1),
            consumer: ConsumerId(1),
        });
        let seen = client.read();
        let Seen::Event(Event::Answer {
            answer: Answer::Got { message_count },
            ..
        }) = seen[0]
        else {
            panic!("get-ok first: {seen:?}");
        };
        assert_eq!(message_count, left);
        assert_eq!(deliveries(seen)[0].body, "head");
        bed.assert_counts(left.into(), 1);
        assert_eq!(bury(&bed)[0], ("late".to_owned(), Reason::Expired));
    }
}

#[test]
fn only_the_head_expires() {
    let mut bed = Bed::new(with_dead_letters(Settings::default()));
    bed.publish_all([
        own_ttl(&bed, "front", 60_000),
        own_ttl(&bed, "behind", 1_000),
    ]);
    bed.advance(2_000);
    bed.assert_counts(2, 0);
    assert!(bury(&bed).is_empty());
    bed.advance(58_000);
    bed.assert_counts(0, 0);
    let bodies: Vec<_> = bury(&bed).into_iter().map(|(body, _)| body).collect();
    assert_eq!(bodies, ["front", "behind"]);
}

#[test]
fn every_priority_has_a_head_that_expires() {
    let mut bed = Bed::new(Settings {
        max_priority: Some(3),
        ..Settings::default()
    });
    let low = own_ttl(&bed, "low", 100);
    let high = Message {
        priority: 3,
        ..message("high")
    };
    bed.publish_all([low, high]);
    bed.advance(100);
    bed.assert_counts(1, 0);
}

#[test]
fn a_ttl_of_0_means_now_or_never() {
    let bed = Bed::new(with_dead_letters(ttl(0)));
    bed.publish(&["never"]);
    assert_eq!(bury(&bed), [("never".to_owned(), Reason::Expired)]);
    let client = Client::new();
    client.consume_as(
        &bed,
        ConsumerSpec {
            prefetch: 1,
            ..client.spec(1)
        },
    );
    bed.publish(&["now", "never"]);
    assert_eq!(client.bodies(), ["now"]);
    assert_eq!(bury(&bed).len(), 1);
}

#[test]
fn a_requeued_message_is_still_mortal() {
    let mut bed = Bed::new(ttl(100));
    let client = Client::new();
    client.consume(&bed, 1);
    bed.publish(&["a"]);
    let taken = ordinals(&client.deliveries());
    bed.advance(200);
    bed.assert_counts(0, 1);
    bed.submit(Command::Requeue { ordinals: taken });
    assert_eq!(client.deliveries(), []);
    bed.assert_counts(0, 0);
}

#[test]
fn a_new_ttl_holds_for_messages_that_wait() {
    let mut bed = Bed::new(Settings::default());
    bed.publish(&["a", "b"]);
    bed.advance(300);
    bed.submit(Command::Configure(ttl(500)));
    bed.advance(199);
    bed.assert_counts(2, 0);
    bed.advance(1);
    bed.assert_counts(0, 0);
}

#[test]
fn more_messages_than_one_step_expire_all_the_same() {
    let mut bed = Bed::new(ttl(10));
    let bodies = vec!["x"; 25_000];
    bed.publish(&bodies);
    bed.advance(10);
    bed.assert_counts(0, 0);
}

#[test]
fn the_surroundings_are_asked_for_the_earliest_deadline_only() {
    let bed = Bed::new(Settings::default());
    let at = |ms| bed.now.plus_ms(ms);
    bed.publish_all([own_ttl(&bed, "a", 500)]);
    bed.publish_all([own_ttl(&bed, "b", 100)]);
    bed.publish_all([own_ttl(&bed, "c", 900)]);
    assert_eq!(*bed.host.armed.lock(), [at(500)]);
    bed.submit(Command::Configure(ttl(200)));
    assert_eq!(*bed.host.armed.lock(), [at(500), at(200)]);
}

#[test]
fn an_unused_queue_expires() {
    let mut bed = Bed::new(expires(1_000));
    bed.advance(999);
    assert!(!bed.queue.is_closed());
    bed.advance(1);
    assert!(bed.queue.is_closed());
    assert_eq!(*bed.host.deleted.lock(), [Deletion::Expired]);
}

#[test]
fn publishing_does_not_keep_a_queue_and_its_messages_are_not_dead_lettered() {
    let mut bed = Bed::new(with_dead_letters(expires(1_000)));
    for _ in 0..3 {
        bed.advance(300);
        bed.publish(&["a"]);
    }
    bed.advance(100);
    assert!(bed.queue.is_closed());
    assert!(bury(&bed).is_empty());
}

#[test]
fn get_and_redeclare_keep_a_queue() {
    let client = Client::new();
    let reply = client.reply(1);
    let get = || Command::Get {
        no_ack: true,
        reply: reply.clone(),
        consumer: ConsumerId(1),
    };
    let touch = || Command::Touch;
    let uses: [&dyn Fn() -> Command; 2] = [&get, &touch];
    for renewed_by in uses {
        let mut bed = Bed::new(expires(1_000));
        for _ in 0..5 {
            bed.advance(900);
            bed.submit(renewed_by());
        }
        assert!(!bed.queue.is_closed());
        bed.advance(1_000);
        assert!(bed.queue.is_closed());
    }
}

#[test]
fn a_consumer_keeps_a_queue_and_its_going_starts_the_time() {
    let mut bed = Bed::new(expires(1_000));
    let client = Client::new();
    client.consume(&bed, 1);
    bed.advance(5_000);
    bed.submit(Command::Cancel {
        consumer: ConsumerId(1),
        reply: None,
    });
    bed.advance(999);
    assert!(!bed.queue.is_closed());
    bed.advance(1);
    assert!(bed.queue.is_closed());
}

#[test]
fn time_does_not_run_backwards_in_a_queue() {
    let mut bed = Bed::new(ttl(100));
    bed.publish(&["a"]);
    bed.advance(60);
    let earlier = Timestamp(bed.now.0 - 50);
    bed.queue.submit(earlier, Command::Touch);
    let mut batch = Batch::default();
    batch.records.push(message("b"));
    bed.queue.publish(earlier, &mut batch);
    bed.advance(40);
    bed.assert_counts(1, 0);
    bed.advance(60);
    bed.assert_counts(0, 0);
}

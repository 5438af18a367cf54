//! Memory follows what a queue holds.

use super::*;

fn memory(bed: &Bed) -> u64 {
    bed.queue.snapshot().memory_bytes
}

fn publish_many(bed: &Bed, count: usize) {
    let body = "0123456789abcdef";
    for _ in 0..count / 1000 {
        bed.publish(&[body; 1000]);
    }
}

#[test]
fn a_backlog_costs_little_more_than_its_records() {
    let bed = Bed::new(Settings::default());
    publish_many(&bed, 100_000);
    let record = 48 + 1 + 3 + 2 + 16;
    assert!(memory(&bed) < 100_000 * record * 110 / 100);
}

#[test]
fn an_idle_queue_is_small() {
    let bed = Bed::new(Settings::default());
    assert!(memory(&bed) < 1400, "{}", memory(&bed));
    bed.publish(&["a"]);
    assert!(memory(&bed) < 2560, "{}", memory(&bed));
}

#[test]
fn a_drained_queue_keeps_nothing() {
    for no_ack in [true, false] {
        let bed = Bed::new(Settings::default());
        let empty = memory(&bed);
        publish_many(&bed, 20_000);
        let client = Client::new();
        client.consume_as(
            &bed,
            ConsumerSpec {
                no_ack,
                ..client.spec(1)
            },
        );
        let mut settled = 0;
        while settled < 20_000 {
            let taken = client.deliveries();
            assert!(!taken.is_empty());
            settled += taken.len();
            bed.submit(Command::Ack {
                ordinals: ordinals(&taken),
            });
            client.resume(bed.now);
        }
        bed.submit(Command::Cancel {
            consumer: ConsumerId(1),
            reply: None,
        });
        bed.assert_counts(0, 0);
        assert!(
            memory(&bed) < empty + 2048,
            "{} after, {empty} before",
            memory(&bed)
        );
    }
}

#[test]
fn a_purged_queue_keeps_nothing() {
    let bed = Bed::new(Settings::default());
    let empty = memory(&bed);
    publish_many(&bed, 20_000);
    bed.submit(Command::Purge { reply: None });
    assert!(memory(&bed) < empty + 2048);
}

#[test]
fn one_message_that_stays_does_not_hold_its_chunk() {
    let bed = Bed::new(Settings::default());
    let empty = memory(&bed);
    publish_many(&bed, 20_000);
    let client = Client::new();
    client.consume(&bed, 1);
    let mut stuck = Vec::new();
    loop {
        let taken = ordinals(&client.deliveries());
        if taken.is_empty() {
            break;
        }
        stuck.push(taken[taken.len() / 2]);
        let rest = taken
            .into_iter()
            .filter(|ordinal| !stuck.contains(ordinal))
            .collect();
        bed.submit(Command::Ack { ordinals: rest });
        client.resume(bed.now);
    }
    bed.assert_counts(0, stuck.len() as u64);
    let each = (memory(&bed) - empty) as usize / stuck.len();
    assert!(each < 1024, "{each} bytes for each of {}", stuck.len());
    bed.submit(Command::Cancel {
        consumer: ConsumerId(1),
        reply: None,
    });
    bed.submit(Command::Requeue {
        ordinals: stuck.clone(),
    });
    client.consume(&bed, 2);
    assert_eq!(
        ordinals(&client.deliveries()),
        stuck,
        "they are still found"
    );
}

#[test]
fn removing_most_of_a_backlog_frees_most_of_it() {
    let bed = Bed::new(Settings::default());
    publish_many(&bed, 4_000);
    let before = memory(&bed);
    let ordinals: Vec<u64> = (1..=4_000).filter(|ordinal| ordinal % 10 != 0).collect();
    bed.submit(Command::Remove { ordinals });
    assert!(memory(&bed) < before / 4);
    bed.assert_counts(400, 0);
    let client = Client::new();
    client.consume_no_ack(&bed, 1);
    let expected: Vec<u64> = (1..=400).map(|n| n * 10).collect();
    assert_eq!(self::ordinals(&client.deliveries()), expected);
}

#[test]
fn shared_bodies_are_charged_and_let_go() {
    let bed = Bed::new(Settings::default());
    let empty = memory(&bed);
    let body = bytes::Bytes::from(vec![b'x'; 1 << 20]);
    let large = || Message {
        body: Body::Shared(body.clone()),
        ..message("")
    };
    bed.publish_all([large(), large()]);
    assert!(memory(&bed) > empty + (2 << 20));
    let client = Client::new();
    let reply = client.reply(1);
    bed.submit(Command::Get {
        no_ack: false,
        reply,
        consumer: ConsumerId(1),
    });
    let taken = ordinals(&client.deliveries());
    bed.submit(Command::Ack { ordinals: taken });
    assert!(memory(&bed) < empty + (1 << 20) + 4096);
    bed.submit(Command::Purge { reply: None });
    assert!(memory(&bed) < empty + 4096);
    assert!(body.is_unique(), "nobody holds the body any more");
}

#[test]
fn filling_and_draining_again_and_again_does_not_add_up() {
    let bed = Bed::new(Settings::default());
    let client = Client::new();
    client.consume_as(
        &bed,
        ConsumerSpec {
            prefetch: 1,
            ..client.spec(1)
        },
    );
    let before = memory(&bed);
    for _ in 0..50 {
        publish_many(&bed, 1000);
        bed.submit(Command::Purge { reply: None });
        let taken = ordinals(&client.deliveries());
        bed.submit(Command::Ack { ordinals: taken });
    }
    bed.assert_counts(0, 0);
    assert!(
        memory(&bed) < before + 2048,
        "{} after, {before} before",
        memory(&bed)
    );
}

#[test]
fn a_backlog_without_memory_is_on_disk_and_comes_back_in_order() {
    let bed = Bed::amid(
        Surroundings::without_memory(),
        identity(),
        Settings::default(),
    );
    let bodies: Vec<String> = (0..500).map(|number| format!("{number:0>100}")).collect();
    for body in &bodies {
        bed.publish(&[body]);
    }
    let pages = || bed.host.pages.lock().iter().flatten().count();
    assert!(pages() > 3, "{}", pages());
    let client = Client::new();
    client.consume_no_ack(&bed, 1);
    assert_eq!(client.bodies(), bodies);
    assert_eq!(pages(), 0);
}

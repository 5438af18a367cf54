//! The budget for messages in memory, `resident_bytes`.

use std::time::Instant;

use crate::stage::{PATIENCE, Stage, eventually, get, open};
use crate::support::broker::Broker;

const QUEUES: usize = 60;
const BODY_BYTES: usize = 60_000;
const BUDGET: u64 = 1 << 20;
/// What a queue may take beside its messages.
const EMPTY_QUEUE_BYTES: u64 = 4 << 10;

fn in_memory(broker: &Broker) -> u64 {
    let queues = get(broker, "queues");
    let queues = queues.as_array().expect("queues").iter();
    queues
        .map(|queue| queue["memory"].as_u64().unwrap_or(0))
        .sum()
}

#[test]
fn many_small_backlogs_go_to_disk_together_and_come_back() {
    let stage = Stage::new();
    let mut command = stage.serve();
    command.args(["--resident-bytes", &BUDGET.to_string()]);
    let broker = Broker::run(command).expect("the broker starts");
    let mut peer = open(&broker);
    peer.call(1, "confirm.select", "confirm.select-ok")
        .expect("confirms");
    for index in 0..QUEUES {
        let declare = format!("queue.declare queue=q{index} durable={}", index % 2 == 0);
        peer.call(1, &declare, "queue.declare-ok").expect("a queue");
        let publish =
            format!("basic.publish routing-key=q{index} | content body=\"x\"*{BODY_BYTES}");
        peer.call(1, &publish, "basic.ack").expect("a confirm");
    }
    let limit = BUDGET + QUEUES as u64 * EMPTY_QUEUE_BYTES;
    assert!(in_memory(&broker) > limit);
    eventually("most of it is on disk", || in_memory(&broker) <= limit);
    for index in 0..QUEUES {
        let get = format!("basic.get queue=q{index} no-ack=true");
        peer.call(1, &get, "basic.get-ok").expect("a message");
        let content = peer.content(1, Instant::now() + PATIENCE);
        assert_eq!(content.expect("its body").body.len(), BODY_BYTES);
    }
}

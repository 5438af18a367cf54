//! Small backlogs that together take more memory than they may go to disk, the largest first. A
//! queue by itself sends away only chunks that are full: thousands of queues may each have one
//! that is not.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use broker_core::broker::Broker;
use broker_core::queue::Command;
use broker_core::queue::handle::{Budget, QueueHandle};
use broker_core::time::Timestamp;

use crate::clock::Clock;

/// A queue with less than this in memory is left alone: its page would cost as much.
const WORTH_BYTES: usize = 4 << 10;

/// How often the budget is looked at. A queue that is busy sees to it itself, as far as it can.
const INTERVAL: Duration = Duration::from_secs(1);

/// Sweeps whenever the budget is exceeded twice in a row, for ever.
pub(crate) async fn sweep_often(broker: Arc<Broker>, budget: Arc<Budget>, clock: Clock) {
    let mut ticks = tokio::time::interval(INTERVAL);
    let mut was_exceeded = false;
    loop {
        ticks.tick().await;
        let is_exceeded = budget.is_exceeded();
        if is_exceeded && was_exceeded {
            let (broker, budget) = (Arc::clone(&broker), Arc::clone(&budget));
            // Looks at every queue: not on a thread that serves connections.
            let sweep = move || sweep(&broker, &budget, clock.now());
            if tokio::task::spawn_blocking(sweep).await.is_err() {
                return;
            }
        }
        was_exceeded = is_exceeded;
    }
}

/// Has queues shrink until memory is within the budget. What they send away leaves when it is
/// written.
fn sweep(broker: &Broker, budget: &Budget, now: Timestamp) {
    let mut excess = budget.resident().saturating_sub(budget.limit());
    if excess == 0 {
        return;
    }
    let mut queues = large_queues(broker);
    queues.sort_unstable_by_key(|(bytes, _)| Reverse(*bytes));
    for (bytes, queue) in queues {
        queue.submit(now, Command::Shrink);
        excess = excess.saturating_sub(bytes);
        if excess == 0 {
            return;
        }
    }
}

/// Queues that can send away something worth it, with how much that is.
fn large_queues(broker: &Broker) -> Vec<(usize, Arc<QueueHandle>)> {
    let mut queues = Vec::new();
    for vhost in broker.vhosts() {
        let topology = vhost.topology();
        let sized = topology
            .queues()
            .map(|entry| (entry.handle.pageable_bytes(), Arc::clone(&entry.handle)));
        queues.extend(sized.filter(|(bytes, _)| *bytes >= WORTH_BYTES));
    }
    queues
}

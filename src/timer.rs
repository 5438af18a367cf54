//! All deadlines of the process, in one heap, served by one task.
//!
//! Entries are weak: a queue or connection that is gone costs an entry until its time, and nothing
//! then. Nobody cancels; whoever is called looks whether its deadline really has come.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Weak};

use broker_core::queue::Command;
use broker_core::queue::handle::QueueHandle;
use broker_core::time::Timestamp;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::pulse::Pulse;

/// Entries served before the task lets others run.
const TURN_MAX: usize = 256;

/// Who is called.
#[derive(Debug)]
enum Target {
    Queue(Weak<QueueHandle>),
    Connection(Weak<Pulse>),
}

#[derive(Debug)]
struct Entry {
    at: Timestamp,
    target: Target,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.at.cmp(&other.at)
    }
}

/// The heap of deadlines.
#[derive(Debug)]
pub(crate) struct Timer {
    clock: Clock,
    heap: Mutex<BinaryHeap<Reverse<Entry>>>,
    sooner: Notify,
}

impl Timer {
    /// An empty one; [`Self::run`] must be spawned.
    pub(crate) fn new(clock: Clock) -> Arc<Timer> {
        Arc::new(Timer {
            clock,
            heap: Mutex::default(),
            sooner: Notify::new(),
        })
    }

    /// Ticks the queue at that time.
    pub(crate) fn arm_queue(&self, queue: &Arc<QueueHandle>, at: Timestamp) {
        self.push(at, Target::Queue(Arc::downgrade(queue)));
    }

    /// Looks after the connection at that time.
    pub(crate) fn arm_connection(&self, pulse: &Arc<Pulse>, at: Timestamp) {
        self.push(at, Target::Connection(Arc::downgrade(pulse)));
    }

    fn push(&self, at: Timestamp, target: Target) {
        let mut heap = self.heap.lock();
        let is_first = heap.peek().is_none_or(|Reverse(first)| at < first.at);
        heap.push(Reverse(Entry { at, target }));
        drop(heap);
        if is_first {
            self.sooner.notify_one();
        }
    }

    /// Serves deadlines for ever.
    pub(crate) async fn run(self: Arc<Timer>) {
        loop {
            let next = self.heap.lock().peek().map(|Reverse(entry)| entry.at);
            let now = self.clock.now();
            match next {
                Some(at) if at <= now => {
                    self.serve(now);
                    tokio::task::yield_now().await;
                }
                Some(at) => {
                    let until = tokio::time::sleep_until(self.clock.instant(at).into());
                    tokio::select! {
                        () = until => {}
                        () = self.sooner.notified() => {}
                    }
                }
                None => self.sooner.notified().await,
            }
        }
    }

    fn serve(self: &Arc<Timer>, now: Timestamp) {
        for _ in 0..TURN_MAX {
            let entry = {
                let mut heap = self.heap.lock();
                match heap.peek() {
                    Some(Reverse(first)) if first.at <= now => heap.pop(),
                    _ => None,
                }
            };
            let Some(Reverse(entry)) = entry else { return };
            match entry.target {
                Target::Queue(queue) => {
                    if let Some(queue) = queue.upgrade() {
                        queue.submit(now, Command::Tick);
                    }
                }
                Target::Connection(pulse) => {
                    if let Some(pulse) = pulse.upgrade()
                        && let Some(next) = pulse.check(now)
                    {
                        self.arm_connection(&pulse, next);
                    }
                }
            }
        }
    }
}

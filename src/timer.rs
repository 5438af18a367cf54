//! All deadlines of the process, in one heap, served by one task.
//!
//! A queue has one deadline at a time; a connection may have several, and looks for itself whether
//! its time has come. Entries are weak, and those of queues that are gone or have another deadline
//! by now are dropped when they outnumber the rest.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Weak};

use broker_core::queue::Command;
use broker_core::queue::handle::{QueueHandle, QueueId};
use broker_core::time::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use rustc_hash::FxHashMap;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::pulse::Pulse;

/// Stale entries that are not worth a compaction.
const STALE_MIN: usize = 1024;
/// Entries served before the task lets others run.
const TURN_MAX: usize = 256;

/// Who is called.
#[derive(Debug)]
enum Target {
    Queue(QueueId),
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

#[derive(Debug, Default)]
struct Deadlines {
    heap: BinaryHeap<Reverse<Entry>>,
    /// The one deadline of each queue; a heap entry with another time is stale.
    queues: FxHashMap<QueueId, (Timestamp, Weak<QueueHandle>)>,
    /// Heap entries of queues, stale ones included.
    queue_entries: usize,
}

impl Deadlines {
    /// Drops stale entries once they outnumber the others.
    fn compact(&mut self) {
        if self.queue_entries <= 2 * self.queues.len() + STALE_MIN {
            return;
        }
        let queues = &self.queues;
        self.heap.retain(|Reverse(entry)| match &entry.target {
            Target::Queue(id) => queues.get(id).is_some_and(|(at, _)| *at == entry.at),
            Target::Connection(pulse) => pulse.strong_count() > 0,
        });
        self.queue_entries = self.queues.len();
    }

    /// The first entry, if it is due.
    fn pop(&mut self, now: Timestamp) -> Option<Target> {
        let Reverse(first) = self.heap.peek()?;
        if first.at > now {
            return None;
        }
        let Reverse(entry) = self.heap.pop()?;
        self.queue_entries -= usize::from(matches!(entry.target, Target::Queue(_)));
        Some(entry.target)
    }

    /// The queue, if its deadline has really come; it has none then.
    fn take_queue(&mut self, id: QueueId, now: Timestamp) -> Option<Arc<QueueHandle>> {
        if self.queues.get(&id).is_none_or(|(at, _)| *at > now) {
            return None;
        }
        let (_, queue) = self.queues.remove(&id)?;
        queue.upgrade()
    }
}

/// The heap of deadlines.
#[derive(Debug)]
pub(crate) struct Timer {
    clock: Clock,
    deadlines: Mutex<Deadlines>,
    sooner: Notify,
}

impl Timer {
    /// An empty one; [`Self::run`] must be spawned.
    pub(crate) fn new(clock: Clock) -> Arc<Timer> {
        Arc::new(Timer {
            clock,
            deadlines: Mutex::default(),
            sooner: Notify::new(),
        })
    }

    /// Ticks the queue at that time, instead of the time it was to be ticked before.
    pub(crate) fn arm_queue(&self, queue: &Arc<QueueHandle>, at: Timestamp) {
        let id = queue.identity().id;
        let mut deadlines = self.deadlines.lock();
        deadlines.queues.insert(id, (at, Arc::downgrade(queue)));
        deadlines.queue_entries += 1;
        deadlines.compact();
        self.push(deadlines, at, Target::Queue(id));
    }

    /// The queue is gone.
    pub(crate) fn disarm_queue(&self, queue: &QueueHandle) {
        let mut deadlines = self.deadlines.lock();
        deadlines.queues.remove(&queue.identity().id);
        deadlines.compact();
    }

    /// Looks after the connection at that time.
    pub(crate) fn arm_connection(&self, pulse: &Arc<Pulse>, at: Timestamp) {
        let target = Target::Connection(Arc::downgrade(pulse));
        self.push(self.deadlines.lock(), at, target);
    }

    fn push(&self, mut deadlines: MutexGuard<'_, Deadlines>, at: Timestamp, target: Target) {
        let heap = &mut deadlines.heap;
        let is_first = heap.peek().is_none_or(|Reverse(first)| at < first.at);
        heap.push(Reverse(Entry { at, target }));
        drop(deadlines);
        if is_first {
            self.sooner.notify_one();
        }
    }

    /// Serves deadlines for ever.
    pub(crate) async fn run(self: Arc<Timer>) {
        loop {
            let next = self
                .deadlines
                .lock()
                .heap
                .peek()
                .map(|Reverse(entry)| entry.at);
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
            let Some(target) = self.deadlines.lock().pop(now) else {
                return;
            };
            match target {
                Target::Queue(id) => {
                    let queue = self.deadlines.lock().take_queue(id, now);
                    if let Some(queue) = queue {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heap_of_stale_entries_is_compacted() {
        let mut deadlines = Deadlines::default();
        for n in 0..10_000_u64 {
            let id = QueueId(n);
            deadlines.queues.insert(id, (Timestamp(n), Weak::new()));
            deadlines.queue_entries += 1;
            let target = Target::Queue(id);
            deadlines.heap.push(Reverse(Entry {
                at: Timestamp(n),
                target,
            }));
            deadlines.queues.remove(&id);
            deadlines.compact();
        }
        assert!(
            deadlines.heap.len() <= STALE_MIN,
            "{} entries",
            deadlines.heap.len()
        );
    }

    #[test]
    fn a_replaced_deadline_does_not_fire() {
        let mut deadlines = Deadlines::default();
        let id = QueueId(1);
        deadlines.queues.insert(id, (Timestamp(20), Weak::new()));
        assert!(deadlines.take_queue(id, Timestamp(10)).is_none());
        assert!(deadlines.queues.contains_key(&id), "it fires at 20");
        deadlines.take_queue(id, Timestamp(20));
        assert!(!deadlines.queues.contains_key(&id));
    }
}

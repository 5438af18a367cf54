//! What is done: by clients, to queues, by the log, for pages, by upkeep; each in steps that a
//! switch may come between.

mod clients;
mod parts;
mod publishing;
mod settling;
mod topology;

use std::sync::Arc;

use broker_core::queue::handle::QueueHandle;

use crate::model::Window;
use crate::process::Process;
use crate::world::{Part, World};

/// Something a client or an operator does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Publish,
    FanOut,
    Transaction,
    GoOn,
    Hear,
    Take,
    ReportSent,
    Ack,
    Requeue,
    Reject,
    Consume,
    Cancel,
    Get,
    Purge,
    Delete,
    Declare,
    Define,
    Shrink,
    Release,
    Wait,
    Reconnect,
}

impl Act {
    pub(crate) const ALL: [Act; 21] = [
        Act::Publish,
        Act::FanOut,
        Act::Transaction,
        Act::GoOn,
        Act::Hear,
        Act::Take,
        Act::ReportSent,
        Act::Ack,
        Act::Requeue,
        Act::Reject,
        Act::Consume,
        Act::Cancel,
        Act::Get,
        Act::Purge,
        Act::Delete,
        Act::Declare,
        Act::Define,
        Act::Shrink,
        Act::Release,
        Act::Wait,
        Act::Reconnect,
    ];

    /// How often it is done at least, and how often what a seed says is too often.
    fn bounds(self) -> (u64, u64) {
        match self {
            Act::Publish => (8, 24),
            Act::GoOn | Act::Hear | Act::Take | Act::ReportSent => (6, 24),
            Act::Ack => (1, 24),
            Act::FanOut | Act::Transaction => (0, 12),
            Act::Declare => (2, 4),
            Act::Requeue | Act::Reject | Act::Consume | Act::Get => (0, 8),
            Act::Cancel | Act::Release | Act::Shrink | Act::Wait | Act::Define => (0, 3),
            Act::Purge | Act::Delete | Act::Reconnect => (0, 1),
        }
    }
}

impl World {
    /// A client or an operator does something.
    pub(crate) fn act(&self) {
        let weights = self.settings.weights.acts.iter().zip(Act::ALL);
        let bounded = weights.map(|(weight, act)| {
            let (least, most) = act.bounds();
            (*weight).clamp(least, most)
        });
        let bounded: Vec<u64> = bounded.collect();
        let act = Act::ALL[self.draw(|random| random.weighted(&bounded))];
        let Some(process) = self.process() else {
            return;
        };
        self.during(Part::Queues, || self.perform(act, &process));
        let durable = process.store.durable().0;
        self.model.lock().prune(durable);
    }

    /// Declares a queue that is not there.
    pub(crate) fn act_declare(&self) {
        if let Some(process) = self.process() {
            self.during(Part::Queues, || self.declare(&process));
        }
    }

    /// Every client does what it has begun, and takes what there is for it.
    pub(crate) fn finish_turns(&self, process: &Process) {
        self.during(Part::Queues, || {
            while self.clients.lock().iter().any(|client| !client.is_free()) {
                self.go_on_with_turns(process);
            }
            for client in self.clients.lock().iter_mut() {
                self.take(client);
            }
            while self
                .clients
                .lock()
                .iter()
                .any(|client| !client.sent.is_empty())
            {
                self.report_sent(process);
            }
            let has_letters = std::mem::take(&mut process.host.jobs.lock().has_letters);
            if has_letters {
                process.vhost.move_dead_letters(self.now());
            }
        });
    }

    /// Every client goes.
    pub(crate) fn disconnect_all(&self, process: &Process) {
        self.finish_turns(process);
        let clients = std::mem::take(&mut *self.clients.lock());
        self.during(Part::Queues, || {
            for client in clients {
                self.disconnect(process, client);
            }
        });
    }

    fn perform(&self, act: Act, process: &Process) {
        match act {
            Act::Publish => self.publish(process),
            Act::FanOut => self.fan_out(process),
            Act::Transaction => self.transaction(process),
            Act::GoOn => self.go_on_with_turns(process),
            Act::Hear => self.hear_confirms(process),
            Act::Take => self.take_deliveries(),
            Act::ReportSent => self.report_sent(process),
            Act::Ack => self.ack(process),
            Act::Requeue => self.requeue(process),
            Act::Reject => self.reject(process),
            Act::Consume => self.consume(process),
            Act::Cancel => self.cancel(process),
            Act::Get => self.get(process),
            Act::Purge => self.purge(process),
            Act::Delete => self.delete(process),
            Act::Declare => self.declare(process),
            Act::Define => self.define(process),
            Act::Shrink => self.shrink(process),
            Act::Release => self.release(process),
            Act::Wait => self.wait(process),
            Act::Reconnect => self.reconnect(process),
        }
    }

    /// The records among which those are that `act` appends.
    fn recording(&self, process: &Process, act: impl FnOnce()) -> Window {
        let from = process.appended() + 1;
        act();
        let to = process.appended();
        Window { from, to }
    }

    /// The queue with this id, unless it is gone.
    fn queue(&self, process: &Process, id: u64) -> Option<Arc<QueueHandle>> {
        let name = {
            let model = self.model.lock();
            Arc::clone(&model.queues.get(&id)?.plan.name)
        };
        let queue = process.vhost.queue(&name)?;
        (queue.identity().id.0 == id).then_some(queue)
    }

    /// The ids of queues that are there and of which `is_wanted` holds.
    fn queues_where(&self, is_wanted: impl Fn(&crate::model::QueueModel) -> bool) -> Vec<u64> {
        let model = self.model.lock();
        let queues = model.queues.values();
        let wanted = queues.filter(|queue| !queue.is_deleted() && is_wanted(queue));
        wanted.map(|queue| queue.id).collect()
    }

    /// Any queue.
    fn any_queue(&self, process: &Process) -> Option<Arc<QueueHandle>> {
        let ids = self.queues_where(|_| true);
        let id = self.draw(|random| random.pick(&ids).copied())?;
        self.queue(process, id)
    }
}

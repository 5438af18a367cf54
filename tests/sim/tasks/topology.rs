//! Queues that come, go, are emptied, and are told to make room; exchanges and bindings; time.

use std::sync::Arc;

use broker_core::exchange::ExchangeKind;
use broker_core::host;
use broker_core::queue::Command;
use broker_core::queue::handle::Deletion;
use broker_core::topology::{BindingSpec, Destination, ExchangeSpec};

use crate::process::Process;
use crate::world::World;

/// Exchanges that are declared and deleted.
const EXCHANGES: [&str; 3] = ["x1", "x2", "x3"];

impl World {
    /// Declares a queue that is not there.
    pub(super) fn declare(&self, process: &Process) {
        let plans = self.settings.queues.iter();
        let missing: Vec<_> = plans
            .filter(|plan| process.vhost.queue(&plan.name).is_none())
            .collect();
        let Some(plan) = self.draw(|random| random.pick(&missing).copied()) else {
            return;
        };
        let now = self.now();
        let declared = process
            .vhost
            .declare_queue_as(plan.spec(), None, false, now);
        match declared {
            Ok((queue, lsn)) => {
                let id = queue.identity().id.0;
                self.tell(|| format!("declares {} as {id} ({:?}): {lsn:?}", plan.name, plan.sort));
                let plan = Arc::new(plan.clone());
                let mut model = self.model.lock();
                if model.queues.contains_key(&id) {
                    model.violation(format!("queue id {id} is given again"));
                }
                model.create(id, &plan, lsn.0);
            }
            Err(why) => self.tell(|| format!("cannot declare {}: {why}", plan.name)),
        }
    }

    pub(super) fn delete(&self, process: &Process) {
        let Some(queue) = self.any_queue(process) else {
            return;
        };
        let id = queue.identity().id.0;
        for client in self.clients.lock().iter_mut() {
            self.take(client);
        }
        let from = process.appended() + 1;
        self.model.lock().delete(id, from);
        let delete = Command::Delete {
            if_unused: false,
            if_empty: false,
            reply: None,
            reason: Deletion::Requested,
        };
        let window = self.recording(process, || queue.submit(self.now(), delete));
        self.model.lock().deleted(id, window.to);
        for client in self.clients.lock().iter_mut() {
            client.forget(id);
        }
        self.tell(|| format!("deletes queue {} ({id}): {window:?}", queue.identity().name));
    }

    pub(super) fn purge(&self, process: &Process) {
        let Some(queue) = self.any_queue(process) else {
            return;
        };
        let id = queue.identity().id.0;
        for client in self.clients.lock().iter_mut() {
            self.take(client);
        }
        let ready = self.model.lock().empty(id, process.appended() + 1);
        let window = self.recording(process, || {
            queue.submit(self.now(), Command::Purge { reply: None });
        });
        self.model.lock().emptied(id, &ready, window.to);
        self.tell(|| format!("purges queue {} ({id}): {window:?}", queue.identity().name));
    }

    /// A change of exchanges and bindings.
    pub(super) fn define(&self, process: &Process) {
        let Some(name) = self.draw(|random| random.pick(&EXCHANGES).copied()) else {
            return;
        };
        let Some(queue) = self.any_queue(process) else {
            return;
        };
        let binding = BindingSpec {
            source: name.into(),
            destination: Destination::Queue(Arc::clone(&queue.identity().name)),
            routing_key: "key".into(),
            arguments: Default::default(),
        };
        let exchange = ExchangeSpec {
            name: name.into(),
            kind: ExchangeKind::Direct,
            durable: true,
            auto_delete: false,
            internal: false,
            arguments: Default::default(),
        };
        let vhost = &process.vhost;
        let done = match self.draw(|random| random.below(5)) {
            0 | 1 => vhost.declare_exchange(exchange),
            2 | 3 => vhost.bind(binding),
            _ if self.chance(50) => vhost.unbind(&binding),
            _ => vhost.delete_exchange(name, false),
        };
        self.tell(|| format!("changes exchange {name}: {done:?}"));
    }

    /// Memory is short.
    pub(super) fn shrink(&self, process: &Process) {
        if let Some(queue) = self.any_queue(process) {
            let name = Arc::clone(&queue.identity().name);
            let window = self.recording(process, || queue.submit(self.now(), Command::Shrink));
            self.tell(|| format!("shrinks {name}: {window:?}"));
        }
    }

    /// The log is to go.
    pub(super) fn release(&self, process: &Process) {
        if let Some(queue) = self.any_queue(process) {
            let name = Arc::clone(&queue.identity().name);
            let upto = host::Lsn(self.draw(|random| random.below(process.appended() + 1)));
            let window = self.recording(process, || {
                queue.submit(self.now(), Command::Release { upto });
            });
            self.tell(|| format!("releases {name} up to {}: {window:?}", upto.0));
        }
    }

    /// Time passes, and deadlines come.
    pub(super) fn wait(&self, process: &Process) {
        let ms = self.draw(|random| random.between(1, 400));
        self.let_time_pass(ms);
        let now = self.now();
        let due = process.host.jobs.lock().take_due(now);
        self.tell(|| format!("{ms} ms pass: {} deadlines", due.len()));
        for queue in due {
            queue.submit(now, Command::Tick);
        }
        let has_letters = std::mem::take(&mut process.host.jobs.lock().has_letters);
        if has_letters {
            process.vhost.move_dead_letters(now);
        }
    }
}

//! What clients do with deliveries: ack, requeue, reject; and what else moves messages out.

use broker_core::queue::Command;

use crate::client::{Client, Held, by_queue};
use crate::message::Id;
use crate::model::{Leaving, Window};
use crate::process::Process;
use crate::world::World;

impl World {
    /// Some of what a client holds, in order or not.
    fn some_held(&self, client: &mut Client) -> Vec<Held> {
        let held = client.held.len() as u64;
        let count = self.draw(|random| match random.below(3) {
            0 => 1.min(held),
            1 => random.below(held + 1),
            _ => held,
        });
        if self.chance(70) {
            return client.held.drain(..count as usize).collect();
        }
        let mut some = Vec::new();
        for _ in 0..count {
            let index = self.draw(|random| random.below(client.held.len() as u64));
            some.push(client.held.remove(index as usize));
        }
        some
    }

    fn held_by_somebody(&self) -> Vec<(u64, Vec<Held>)> {
        let mut clients = self.clients.lock();
        let Some(client) = self.pick(&mut clients, |client| !client.held.is_empty()) else {
            return Vec::new();
        };
        let some = self.some_held(client);
        by_queue(&some).into_iter().collect()
    }

    pub(super) fn ack(&self, process: &Process) {
        for (queue, held) in self.held_by_somebody() {
            let ack = |ordinals| Command::Ack { ordinals };
            self.settle(process, queue, &held, "acks", ack);
        }
    }

    /// The settles of a turn: the log has them already.
    pub(super) fn settle_in_turn(&self, process: &Process, queue: u64, held: &[Held]) {
        if let Some(handle) = self.queue(process, queue) {
            let ordinals = ordinals(held);
            let window = self.recording(process, || {
                handle.submit(self.now(), Command::Ack { ordinals });
            });
            self.tell(|| format!("a turn acks {held:?}: {window:?}"));
        }
    }

    /// Deliveries that nobody acks were passed on.
    pub(super) fn report_sent(&self, process: &Process) {
        let sent = {
            let mut clients = self.clients.lock();
            let sender = self.pick(&mut clients, |client| !client.sent.is_empty());
            sender.map_or_else(Vec::new, |client| std::mem::take(&mut client.sent))
        };
        for (queue, held) in by_queue(&sent) {
            self.note_sent(process, queue, &held);
        }
    }

    /// Deliveries that nobody acks were seen.
    pub(super) fn note_sent(&self, process: &Process, queue: u64, held: &[Held]) {
        let sent = |ordinals| Command::Sent { ordinals };
        self.settle(process, queue, held, "has seen", sent);
    }

    fn settle(
        &self,
        process: &Process,
        queue: u64,
        held: &[Held],
        verb: &str,
        command: impl FnOnce(Vec<u64>) -> Command,
    ) {
        let Some(handle) = self.queue(process, queue) else {
            return;
        };
        let from = Window::since(process.appended() + 1);
        for id in ids(held) {
            let mut model = self.model.lock();
            model.leave(queue, id, from, Leaving::ForGood);
        }
        let command = command(ordinals(held));
        let window = self.recording(process, || handle.submit(self.now(), command));
        for id in ids(held) {
            self.model.lock().left(queue, id, window.to, true);
        }
        self.tell(|| format!("a client {verb} {}: {window:?}", listed(held)));
    }

    pub(super) fn requeue(&self, process: &Process) {
        for (queue, held) in self.held_by_somebody() {
            self.give_back(process, queue, &held);
        }
    }

    /// Gives deliveries back that a client has seen.
    pub(super) fn give_back(&self, process: &Process, queue: u64, held: &[Held]) {
        let Some(handle) = self.queue(process, queue) else {
            return;
        };
        let from = Window::since(process.appended() + 1);
        for id in ids(held) {
            self.model.lock().came_back(queue, id, from);
        }
        let ordinals = ordinals(held);
        let window = self.recording(process, || {
            handle.submit(self.now(), Command::Requeue { ordinals });
        });
        for id in ids(held) {
            self.model.lock().is_back(queue, id, window.to);
        }
        self.tell(|| format!("a client requeues {}: {window:?}", listed(held)));
    }

    pub(super) fn reject(&self, process: &Process) {
        for (queue, held) in self.held_by_somebody() {
            self.reject_in(process, queue, &held);
        }
    }

    fn reject_in(&self, process: &Process, queue: u64, held: &[Held]) {
        let Some(handle) = self.queue(process, queue) else {
            return;
        };
        let is_lettering = {
            let model = self.model.lock();
            let queue = model.queues.get(&queue);
            queue.is_some_and(|queue| queue.plan.is_dead_lettering())
        };
        let leaving = match is_lettering {
            true => Leaving::AsLetter,
            false => Leaving::ForGood,
        };
        let from = Window::since(process.appended() + 1);
        for id in ids(held) {
            self.model.lock().leave(queue, id, from, leaving);
        }
        let ordinals = ordinals(held);
        let window = self.recording(process, || {
            handle.submit(self.now(), Command::Reject { ordinals });
        });
        for id in ids(held) {
            let mut model = self.model.lock();
            model.left(queue, id, window.to, !is_lettering);
        }
        if is_lettering && handle.counts().dead == 0 {
            let dead: Vec<Id> = ids(held).collect();
            self.model.lock().letters_moved(queue, &dead, window.to);
        }
        self.tell(|| format!("a client rejects {}: {window:?}", listed(held)));
    }
}

fn ordinals(held: &[Held]) -> Vec<u64> {
    held.iter().map(|held| held.ordinal).collect()
}

fn ids(held: &[Held]) -> impl Iterator<Item = Id> {
    held.iter().filter_map(|held| held.id)
}

fn listed(held: &[Held]) -> String {
    let queue = held.first().map_or(0, |held| held.queue);
    let ids: Vec<_> = held
        .iter()
        .map(|held| format!("{}@{}", held.id.unwrap_or(0), held.ordinal))
        .collect();
    format!("{} of queue {queue}", ids.join(" "))
}

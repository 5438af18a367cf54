//! Publishing: batches to one queue, fan-outs to several, transactions with settles.

use std::sync::Arc;

use broker_core::host::Host;
use broker_core::inbox::ConfirmRun;
use broker_core::journal::{Block, Journal, Runs, Section};
use broker_core::message::Records;
use broker_core::queue::handle::{Batch, InTurn, QueueHandle};
use broker_core::time::Timestamp;
use broker_core::turns::OpenTurn;

use crate::client::{CHANNEL, Client, Held, Push, Turn, by_queue};
use crate::message::{Sent, push};
use crate::model::{Leaving, Window};
use crate::process::Process;
use crate::settings::LETTERS;
use crate::world::World;

/// Messages for the same queues.
struct Share {
    queues: Vec<u64>,
    messages: Vec<Sent>,
}

impl World {
    /// A batch for one queue.
    pub(super) fn publish(&self, process: &Process) {
        if process.store.is_backlogged() {
            return;
        }
        let Some(queue) = self.any_queue(process) else {
            return;
        };
        let mut clients = self.clients.lock();
        let Some(client) = self.pick(&mut clients, Client::is_free) else {
            return;
        };
        let messages = self.compose(client.number);
        let confirms = self.chance(70);
        self.push_batch(process, client, &queue, &messages, confirms);
    }

    fn push_batch(
        &self,
        process: &Process,
        client: &mut Client,
        queue: &Arc<QueueHandle>,
        messages: &[Sent],
        confirms: bool,
    ) {
        let id = queue.identity().id.0;
        client.await_confirms(messages, 1, confirms);
        let mut batch = batch(messages, confirms, client);
        let window = Window::since(process.appended() + 1);
        let now = self.now();
        self.model.lock().publish(id, messages, window, now.0);
        if !confirms {
            self.expect_refusals(id, messages, Window::since(0));
        }
        let window = self.recording(process, || queue.publish(now, &mut batch));
        self.model.lock().published(id, messages, window.to);
        self.tell(|| {
            let confirms = if confirms { " with confirms" } else { "" };
            let name = &queue.identity().name;
            let (of, count) = (client.number, messages.len());
            let first = messages.first().map_or(0, |sent| sent.id);
            format!("client {of} publishes {count} from {first} on to {name}{confirms}: {window:?}")
        });
        for refused in client.hear() {
            self.model.lock().refused(id, refused, None);
        }
    }

    /// Nobody hears what a queue refuses before it has, and without confirms not then either.
    fn expect_refusals(&self, queue: u64, messages: &[Sent], window: Window) {
        let mut model = self.model.lock();
        if model.is_refusing(queue) {
            model.may_refuse(queue, messages, window);
        }
    }

    /// Messages nobody sent before.
    fn compose(&self, client: u16) -> Vec<Sent> {
        let settings = &self.settings;
        let count = self.draw(|random| random.between(1, settings.batch));
        let mut messages = Vec::new();
        for _ in 0..count {
            let (persistent, priority, body_bytes, ttl) = self.draw(|random| {
                let body_bytes = match random.below(50) {
                    0 => random.between(0, 70_000),
                    1..5 => random.between(0, 6_000),
                    _ => random.between(0, settings.body_bytes),
                };
                (
                    !random.chance(settings.transient),
                    random.below(5) as u8,
                    body_bytes as usize,
                    random.chance(3).then(|| random.between(0, 500)),
                )
            });
            let now = self.now();
            let sent = self.model.lock().send(|id| Sent {
                id,
                client,
                persistent,
                priority,
                body_bytes: body_bytes.max(8),
                expires_at: ttl.map(|ttl| Timestamp(now.0 + ttl)),
            });
            messages.push(sent);
        }
        messages
    }

    /// The same messages for several queues, as one record.
    pub(super) fn fan_out(&self, process: &Process) {
        if process.store.is_backlogged() {
            return;
        }
        let queues = self.some_queues(3);
        let mut clients = self.clients.lock();
        let Some(client) = self.pick(&mut clients, Client::is_free) else {
            return;
        };
        if queues.len() < 2 {
            return;
        }
        let messages = self.compose(client.number);
        let share = Share { queues, messages };
        let confirms = self.chance(80);
        self.begin_turn(process, client, vec![share], Vec::new(), confirms);
    }

    /// Messages for several queues and settles, as one record.
    pub(super) fn transaction(&self, process: &Process) {
        if process.store.is_backlogged() {
            return;
        }
        let mut clients = self.clients.lock();
        let Some(client) = self.pick(&mut clients, Client::is_free) else {
            return;
        };
        let mut shares = Vec::new();
        for _ in 0..self.draw(|random| random.below(4)) {
            let queues = self.some_queues(2);
            if !queues.is_empty() {
                let messages = self.compose(client.number);
                shares.push(Share { queues, messages });
            }
        }
        let settled = self.draw(|random| random.below(client.held.len() as u64 + 1));
        let settled: Vec<Held> = client.held.drain(..settled as usize).collect();
        if shares.is_empty() && settled.is_empty() {
            return;
        }
        self.begin_turn(process, client, shares, settled, true);
    }

    /// Queues that one message can go to: not to a queue and also to where its dead letters go.
    fn some_queues(&self, most: u64) -> Vec<u64> {
        let mut ids = self.queues_where(|queue| &*queue.plan.name != LETTERS);
        let count = self.draw(|random| random.between(1, most));
        while ids.len() > count as usize {
            let index = self.draw(|random| random.below(ids.len() as u64));
            ids.swap_remove(index as usize);
        }
        ids
    }

    /// Appends the record, and leaves the settles and pushes for later.
    fn begin_turn(
        &self,
        process: &Process,
        client: &mut Client,
        shares: Vec<Share>,
        settled: Vec<Held>,
        confirms: bool,
    ) {
        let from = Window::since(process.appended() + 1);
        let now = self.now();
        let mut model = self.model.lock();
        for share in &shares {
            for queue in &share.queues {
                model.publish(*queue, &share.messages, from, now.0);
            }
        }
        for held in &settled {
            if let Some(id) = held.id {
                model.leave(held.queue, id, from, Leaving::ForGood);
            }
        }
        drop(model);
        for share in &shares {
            let queues = share.queues.len() as u32;
            client.await_confirms(&share.messages, queues, confirms);
        }
        let settles = by_queue(&settled);
        let turn = self.append_turn(process, &shares, &settles, now);
        let lsn = turn.as_ref().map(|turn| turn.lsn().0);
        self.note_turn(process, &shares, &settled, lsn);
        self.tell(|| {
            let (of, settled) = (client.number, settled.len());
            let shares: Vec<_> = shares
                .iter()
                .map(|share| {
                    let ids = share.messages.iter().map(|sent| sent.id);
                    (share.queues.clone(), ids.collect::<Vec<_>>())
                })
                .collect();
            format!("client {of} begins a turn at {lsn:?}: {shares:?}, {settled} settled")
        });
        let pushes = self.pushes(process, client, &shares, turn.as_ref(), confirms);
        client.turn = Some(Turn {
            settles: settles.into_iter().collect(),
            pushes: pushes.into(),
            _open: turn,
        });
    }

    fn append_turn(
        &self,
        process: &Process,
        shares: &[Share],
        settles: &std::collections::BTreeMap<u64, Vec<Held>>,
        now: Timestamp,
    ) -> Option<Arc<OpenTurn>> {
        let is_durable = |id: &u64| {
            let model = self.model.lock();
            let queue = model.queues.get(id);
            queue.is_some_and(|queue| queue.plan.is_durable())
        };
        let mut sections: Vec<(Vec<u64>, Records)> = Vec::new();
        for share in shares {
            let queues: Vec<u64> = share.queues.iter().copied().filter(is_durable).collect();
            let mut records = Records::new();
            for sent in share.messages.iter().filter(|sent| sent.persistent) {
                push(&mut records, sent);
            }
            let mut next = records.first();
            while let Some(position) = next {
                records.head_mut(position).set_enqueued_at(now);
                next = records.next(position);
            }
            if !queues.is_empty() && !records.is_empty() {
                sections.push((queues, records));
            }
        }
        let settles: Vec<(u64, Runs)> = settles
            .iter()
            .filter(|(queue, _)| is_durable(queue))
            .map(|(queue, held)| (*queue, held.iter().map(|held| held.ordinal).collect()))
            .collect();
        if sections.is_empty() && settles.is_empty() {
            return None;
        }
        let sections: Vec<Section<'_>> = sections
            .iter()
            .map(|(queues, records)| Section {
                queues,
                block: Block::of(records),
            })
            .collect();
        let journal: Arc<dyn Journal> = process.host.journal();
        let turns = process.host.turns();
        Some(turns.begin(|| journal.append_turn(&sections, &settles)))
    }

    fn note_turn(&self, process: &Process, shares: &[Share], settled: &[Held], lsn: Option<u64>) {
        let lsn = lsn.unwrap_or_else(|| process.appended());
        let mut model = self.model.lock();
        for share in shares {
            for queue in &share.queues {
                model.in_turn(*queue, &share.messages, lsn);
            }
        }
        for held in settled {
            if let Some(id) = held.id {
                model.left_at(held.queue, id, lsn);
            }
        }
    }

    /// One batch for each queue, as a connection makes them.
    fn pushes(
        &self,
        process: &Process,
        client: &Client,
        shares: &[Share],
        turn: Option<&Arc<OpenTurn>>,
        confirms: bool,
    ) -> Vec<Push> {
        let mut pushes: Vec<Push> = Vec::new();
        for share in shares {
            for queue in &share.queues {
                match pushes.iter_mut().find(|push| push.queue == *queue) {
                    Some(push) => push.messages.extend_from_slice(&share.messages),
                    None => pushes.push(Push {
                        queue: *queue,
                        batch: Batch::default(),
                        messages: share.messages.clone(),
                    }),
                }
            }
        }
        for push in &mut pushes {
            push.batch = batch(&push.messages, confirms, client);
            let queue = self.queue(process, push.queue);
            if queue.is_some_and(|queue| queue.identity().durable) {
                push.batch.in_turn = turn.and_then(|turn| in_turn(turn, &push.messages));
            }
        }
        pushes
    }

    /// The next settle or push of somebody's turn.
    pub(super) fn go_on_with_turns(&self, process: &Process) {
        let mut clients = self.clients.lock();
        let Some(client) = self.pick(&mut clients, |client| client.turn.is_some()) else {
            return;
        };
        let Some(turn) = &mut client.turn else {
            return;
        };
        if let Some((queue, held)) = turn.settles.pop_front() {
            self.settle_in_turn(process, queue, &held);
        } else if let Some(push) = turn.pushes.pop_front() {
            self.push_in_turn(process, client, push);
        }
        if let Some(turn) = &client.turn
            && turn.settles.is_empty()
            && turn.pushes.is_empty()
        {
            client.turn = None;
        }
    }

    fn push_in_turn(&self, process: &Process, client: &mut Client, mut push: Push) {
        let Some(queue) = self.queue(process, push.queue) else {
            // A queue that is gone has taken the messages.
            return client.take_for_granted(std::mem::take(&mut push.batch.confirms));
        };
        let window = Window::since(process.appended() + 1);
        self.model
            .lock()
            .placed(push.queue, &push.messages, window.from);
        let confirms = !push.batch.confirms.is_empty();
        self.expect_refusals(push.queue, &push.messages, window);
        let now = self.now();
        let window = self.recording(process, || queue.publish(now, &mut push.batch));
        self.tell(|| {
            let (of, name) = (client.number, &queue.identity().name);
            format!("client {of} pushes its turn to {name}: {window:?}")
        });
        let mut model = self.model.lock();
        if confirms && model.is_refusing(push.queue) {
            model.took(push.queue, &push.messages);
        }
        for refused in client.hear() {
            model.refused(push.queue, refused, Some(window));
        }
    }
}

fn batch(messages: &[Sent], confirms: bool, client: &Client) -> Batch {
    let mut batch = Batch {
        origin: Some(Arc::clone(&client.events)),
        ..Batch::default()
    };
    for sent in messages {
        push(&mut batch.records, sent);
        if confirms {
            add_confirm(&mut batch.confirms, sent.id);
        }
    }
    batch
}

fn add_confirm(confirms: &mut Vec<ConfirmRun>, id: u64) {
    match confirms.last_mut() {
        Some(run) if run.first + u64::from(run.count) == id => run.count += 1,
        _ => confirms.push(ConfirmRun {
            channel: CHANNEL,
            first: id,
            count: 1,
        }),
    }
}

/// The runs of those messages that the turn has.
fn in_turn(turn: &Arc<OpenTurn>, messages: &[Sent]) -> Option<InTurn> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    let persistent = (0..).zip(messages).filter(|(_, sent)| sent.persistent);
    for (index, _) in persistent {
        match runs.last_mut() {
            Some((first, count)) if *first + *count == index => *count += 1,
            _ => runs.push((index, 1)),
        }
    }
    let turn = Arc::clone(turn);
    (!runs.is_empty()).then_some(InTurn { turn, runs })
}

//! A run: the queue and the naive queue are told the same, and must agree on what went out and
//! on what is left.

use std::sync::Arc;

use super::super::{Client, Seen, with_dead_letters};
use super::crash::{self, Cut, FoundMsg, QUEUE, id_of};
use super::disk::Disk;
use super::naive::{Between, Msg, Naive, Taker};
use super::ops::{Draft, Op, Rules, Stage};
use crate::inbox::{ConfirmRun, ConsumerId, Event};
use crate::message::{Body, Message, Records};
use crate::queue::*;
use crate::turns::{Needed, OpenTurn, OpenTurns};

/// A turn that is in the log and has not reached the queue.
pub(super) struct Unplaced {
    turn: Arc<OpenTurn>,
    ids: Vec<u32>,
    drafts: Vec<Draft>,
}

pub(super) struct Run {
    pub(super) stage: Stage,
    pub(super) disk: Arc<Disk>,
    pub(super) queue: Arc<QueueHandle>,
    pub(super) naive: Naive,
    pub(super) consumer: Client,
    pub(super) getter: Client,
    publisher: Client,
    pub(super) turns: Arc<OpenTurns>,
    pub(super) unplaced: Vec<Unplaced>,
    /// Who asked with basic.get, in order, and whether they ack.
    pub(super) gets: Vec<bool>,
    next_id: u32,
    next_consumer: u64,
    next_number: u64,
    /// The log is durable up to here.
    pub(super) durable: u64,
    pub(super) floors: Vec<crash::Floor>,
    /// Records before the command under way.
    before: u64,
}

pub(super) fn identity(stage: Stage) -> Identity {
    Identity {
        id: QueueId(QUEUE),
        vhost: "v".into(),
        name: "q".into(),
        durable: stage.is_durable,
        auto_delete: false,
        exclusive: None,
    }
}

pub(super) fn settings(stage: Stage, rules: Rules) -> Settings {
    let settings = Settings {
        max_priority: stage.max_priority,
        max_length: rules.max_length,
        overflow: match (rules.max_length, rules.refused_die) {
            (None, _) => Overflow::DropHead,
            (Some(_), false) => Overflow::RejectPublish,
            (Some(_), true) => Overflow::RejectPublishDlx,
        },
        ..Settings::default()
    };
    match rules.dead_letters {
        true => with_dead_letters(settings),
        false => settings,
    }
}

impl Run {
    pub(super) fn new(stage: Stage) -> Run {
        let disk = Arc::new(Disk::new(stage.has_memory));
        let queue = QueueHandle::new(identity(stage), settings(stage, stage.rules), disk.clone());
        queue.submit(disk.now(), Command::Touch);
        Run {
            stage,
            disk,
            queue,
            naive: Naive {
                rules: stage.rules,
                next_ordinal: 1,
                ..Naive::default()
            },
            consumer: Client::new(),
            getter: Client::new(),
            publisher: Client::new(),
            turns: Arc::default(),
            unplaced: Vec::new(),
            gets: Vec::new(),
            next_id: 1,
            next_consumer: 1,
            next_number: 1,
            durable: 0,
            floors: vec![crash::Floor::default()],
            before: 0,
        }
    }

    pub(super) fn submit(&self, command: Command) {
        self.queue.submit(self.disk.now(), command);
    }

    /// The records of the command under way.
    pub(super) fn between(&self) -> Between {
        (self.before, self.disk.log().last())
    }

    pub(super) fn step(&mut self, op: &Op) {
        if self.naive.is_deleted {
            return;
        }
        self.before = self.disk.log().last();
        let mut direct = Vec::new();
        match op {
            Op::Publish(drafts) => direct = self.publish(drafts),
            Op::BeginTurn(drafts) => self.begin_turn(drafts),
            Op::PlaceTurn { pick, amid } => direct = self.place_turn(*pick, amid),
            Op::Consume { no_ack, prefetch } => self.consume(*no_ack, *prefetch),
            Op::Cancel => self.cancel(),
            Op::Get { no_ack } => self.get(*no_ack),
            Op::Ack(picks) => self.ack(picks),
            Op::Requeue(picks) => self.requeue(picks),
            Op::Reject(picks) => self.reject(picks),
            Op::Return(picks) => self.put_back(picks),
            Op::Sent(picks) => self.sent(picks),
            Op::TakeDead(max) => self.take_dead(*max),
            Op::SettleDead(picks) => self.settle_dead(picks),
            Op::Purge => self.purge(),
            Op::Remove(picks) => self.remove(picks),
            Op::Release { percent } => self.release(*percent),
            Op::Shrink => self.submit(Command::Shrink),
            Op::Configure(rules) => self.configure(*rules),
            Op::Later(is_later) => self.later(*is_later),
            Op::Work(picks) => self.work(picks),
            Op::FailWrites(count) => self.disk.fail_writes(*count),
            Op::FailReads(count) => self.disk.fail_reads(*count),
            Op::Sync { percent } => self.sync(*percent),
            Op::Tick => self.tick(),
            Op::Crash { percent } => return self.crash(*percent),
            Op::StopAndStart => return self.stop_and_start(),
            Op::Delete => self.delete(),
        }
        self.absorb(&direct);
        self.check();
    }

    fn later(&self, is_later: bool) {
        self.disk.set_later(is_later);
        if !is_later {
            self.disk.work_all();
        }
    }

    fn work(&self, picks: &[usize]) {
        for pick in picks {
            self.disk.work(*pick);
        }
    }

    pub(super) fn tick(&self) {
        let now = self.disk.now().plus_ms(1_500);
        self.disk.set_now(now);
        if self.disk.armed.lock().take_if(|at| *at <= now).is_some() {
            self.submit(Command::Tick);
        }
    }

    fn sync(&mut self, percent: u64) {
        let last = self.disk.log().last();
        self.durable += (last - self.durable) * percent / 100;
        self.disk.free_durable(self.durable);
        self.tell_floor();
    }

    /// What the owner of the log would say now.
    pub(super) fn tell_floor(&mut self) {
        let last = self.disk.log().last();
        let turns = match self.turns.needed() {
            Needed::From(lsn) => lsn.0 - 1,
            Needed::Nothing => last,
            Needed::Unknown => 0,
        };
        let queue = self.queue.needed_from().map_or(last, |lsn| lsn.0 - 1);
        self.floors.push(crash::Floor {
            lsn: turns.min(queue).min(last),
            told_at: last,
        });
    }

    fn draft(&mut self, draft: &Draft, born: Between) -> u32 {
        let id = self.next_id;
        self.next_id += 1;
        let max = self.stage.max_priority;
        let msg = Msg {
            id,
            ordinal: 0,
            level: max.map_or(0, |max| draft.priority.min(max)),
            is_logged: draft.is_persistent && self.stage.is_durable,
            born,
            placed: (0, 0),
            gone: None,
            counts: Vec::new(),
            is_redelivered: false,
        };
        self.naive.all.insert(id, msg);
        id
    }

    /// Publishes these, which are at these indexes part of a turn. Gives those that went to a
    /// consumer without having been ready.
    fn publish_batch(&mut self, messages: &[(u32, Draft)], in_turn: Option<InTurn>) -> Vec<u32> {
        let mut batch = Batch {
            origin: Some(Arc::clone(&self.publisher.inbox)),
            in_turn,
            ..Batch::default()
        };
        for (id, draft) in messages {
            push(&mut batch.records, *id, draft);
        }
        let count = messages.len() as u32;
        let first = self.next_number;
        self.next_number += u64::from(count);
        batch.confirms.push(ConfirmRun {
            channel: 1,
            first,
            count,
        });
        let ready = self.queue.counts().ready;
        self.queue.publish(self.disk.now(), &mut batch);
        let (refused, direct) = self.take_in(messages, ready);
        let seen = self.publisher.read();
        let [Seen::Event(Event::Published { rejected, lsn, .. })] = &seen[..] else {
            panic!("one answer: {seen:?}");
        };
        let numbers = rejected.iter().map(|(_, number)| (number - first) as usize);
        assert_eq!(numbers.collect::<Vec<_>>(), refused);
        let between = (self.before, lsn.0);
        for (index, (id, _)) in messages.iter().enumerate() {
            let msg = self.naive.msg(*id);
            if msg.placed == (u64::MAX, u64::MAX) {
                msg.placed = between;
            } else {
                msg.born = between;
            }
            if refused.contains(&index) {
                let is_in_turn = msg.placed != (0, 0);
                msg.gone = Some(between);
                msg.is_logged &= is_in_turn;
            }
        }
        direct
    }

    /// Gives messages their ordinals in the naive queue: which it refuses, and which go out.
    fn take_in(&mut self, messages: &[(u32, Draft)], mut ready: u64) -> (Vec<usize>, Vec<u32>) {
        let (mut refused, mut direct) = (Vec::new(), Vec::new());
        let mut room = self.naive.room();
        let rules = self.naive.rules;
        for (index, (id, _)) in messages.iter().enumerate() {
            let is_refused = rules.max_length.is_some_and(|max| ready + 1 > max);
            let takes_place = !is_refused || (rules.refused_die && rules.dead_letters);
            if takes_place {
                let ordinal = self.naive.next_ordinal;
                self.naive.next_ordinal += 1;
                self.naive.msg(*id).ordinal = ordinal;
            }
            match () {
                () if is_refused => {
                    refused.push(index);
                    if takes_place {
                        self.naive.dead.insert(*id);
                    }
                }
                () if ready == 0 && room > 0 => {
                    room -= 1;
                    direct.push(*id);
                }
                () => {
                    ready += 1;
                    self.naive.ready.insert(*id);
                }
            }
        }
        (refused, direct)
    }

    fn publish(&mut self, drafts: &[Draft]) -> Vec<u32> {
        let born = (self.before, u64::MAX);
        let messages: Vec<(u32, Draft)> = drafts
            .iter()
            .map(|draft| (self.draft(draft, born), draft.clone()))
            .collect();
        self.publish_batch(&messages, None)
    }

    fn begin_turn(&mut self, drafts: &[(Draft, bool)]) {
        if !self.stage.is_durable {
            return;
        }
        let mut sections = Vec::new();
        let (mut ids, mut own) = (Vec::new(), Vec::new());
        for (draft, is_shared) in drafts {
            let draft = Draft {
                is_persistent: true,
                ..draft.clone()
            };
            let id = self.draft(&draft, (0, 0));
            let mut records = Records::new();
            push(&mut records, id, &draft);
            let queues: &[u64] = if *is_shared {
                &[QUEUE + 1, QUEUE]
            } else {
                &[QUEUE]
            };
            sections.push((queues, records));
            ids.push(id);
            own.push(draft);
        }
        let sections: Vec<_> = sections
            .iter()
            .map(|(queues, records)| crate::journal::Section {
                queues,
                block: crate::journal::Block::of(records),
            })
            .collect();
        let journal: Arc<dyn crate::journal::Journal> = self.disk.log().clone();
        let turn = self.turns.begin(|| journal.append_turn(&sections, &[]));
        for id in &ids {
            let msg = self.naive.msg(*id);
            msg.born = (turn.lsn().0 - 1, turn.lsn().0);
            msg.placed = (u64::MAX, u64::MAX);
        }
        self.unplaced.push(Unplaced {
            turn,
            ids,
            drafts: own,
        });
    }

    fn place_turn(&mut self, pick: usize, amid: &[Draft]) -> Vec<u32> {
        if self.unplaced.is_empty() {
            return Vec::new();
        }
        let Unplaced { turn, ids, drafts } = self.unplaced.remove(pick % self.unplaced.len());
        let (mut messages, mut runs) = (Vec::new(), Vec::new());
        let mut amid = amid.iter();
        for (id, draft) in ids.into_iter().zip(drafts) {
            runs.push((messages.len() as u32, 1));
            messages.push((id, draft));
            if let Some(plain) = amid.next() {
                let id = self.draft(plain, (self.before, u64::MAX));
                messages.push((id, plain.clone()));
            }
        }
        self.publish_batch(&messages, Some(InTurn { turn, runs }))
    }

    fn consume(&mut self, no_ack: bool, prefetch: u16) {
        self.cancel();
        let id = self.next_consumer;
        self.next_consumer += 1;
        let spec = ConsumerSpec {
            no_ack,
            prefetch,
            ..self.consumer.spec(id)
        };
        self.submit(Command::Consume(spec, 7));
        self.naive.taker = Some(Taker {
            id,
            no_ack,
            prefetch,
        });
    }

    fn cancel(&mut self) {
        if let Some(taker) = self.naive.taker.take() {
            let consumer = ConsumerId(taker.id);
            self.submit(Command::Cancel {
                consumer,
                reply: None,
            });
        }
    }

    fn get(&mut self, no_ack: bool) {
        self.gets.push(no_ack);
        let reply = self.getter.reply(9);
        self.submit(Command::Get {
            no_ack,
            reply,
            consumer: ConsumerId(0),
        });
    }

    /// Picks some of `ids`, each once: ids and ordinals.
    fn pick(&self, mut ids: Vec<u32>, picks: &[usize]) -> (Vec<u32>, Vec<u64>) {
        let mut picked = Vec::new();
        for pick in picks {
            if !ids.is_empty() {
                picked.push(ids.swap_remove(pick % ids.len()));
            }
        }
        let ordinals = picked.iter().map(|id| self.naive.all[id].ordinal).collect();
        (picked, ordinals)
    }

    fn ack(&mut self, picks: &[usize]) {
        let (ids, ordinals) = self.pick(self.naive.owed(false), picks);
        self.submit(Command::Ack { ordinals });
        let between = self.between();
        ids.into_iter().for_each(|id| self.naive.end(id, between));
    }

    fn requeue(&mut self, picks: &[usize]) {
        let (ids, ordinals) = self.pick(self.naive.owed(false), picks);
        self.submit(Command::Requeue { ordinals });
        let between = self.between();
        for id in ids {
            self.naive.unacked.remove(&id);
            self.naive.ready.insert(id);
            let msg = self.naive.msg(id);
            msg.is_redelivered = true;
            msg.counts.push((between, msg.deliveries() + 1));
        }
    }

    fn reject(&mut self, picks: &[usize]) {
        let (ids, ordinals) = self.pick(self.naive.owed(false), picks);
        self.submit(Command::Reject { ordinals });
        let between = self.between();
        ids.into_iter().for_each(|id| self.naive.die(id, between));
    }

    fn put_back(&mut self, picks: &[usize]) {
        let owed = self.naive.unacked.keys().copied().collect();
        let (ids, ordinals) = self.pick(owed, picks);
        self.submit(Command::Return {
            ordinals,
            records: Records::new(),
        });
        for id in ids {
            self.naive.unacked.remove(&id);
            self.naive.ready.insert(id);
        }
    }

    fn sent(&mut self, picks: &[usize]) {
        let (ids, ordinals) = self.pick(self.naive.owed(true), picks);
        self.submit(Command::Sent { ordinals });
        let between = self.between();
        ids.into_iter().for_each(|id| self.naive.end(id, between));
    }

    pub(super) fn take_dead(&mut self, max: usize) {
        *self.disk.is_announced.lock() = false;
        for letter in self.queue.take_dead_letters(max) {
            let id = id_of(letter.message.iter().next().expect("a message"));
            assert!(self.naive.dead.contains(&id), "{id} is dead");
            assert!(self.naive.taken.insert(id), "{id} is taken once");
        }
    }

    pub(super) fn settle_dead(&mut self, picks: &[usize]) {
        let taken = self.naive.taken.iter().copied().collect();
        let (ids, ordinals) = self.pick(taken, picks);
        self.submit(Command::DeadLettered { ordinals });
        let between = self.between();
        ids.into_iter().for_each(|id| self.naive.end(id, between));
    }

    fn purge(&mut self) {
        self.submit(Command::Purge { reply: None });
        let between = self.between();
        for id in std::mem::take(&mut self.naive.ready) {
            self.naive.end(id, between);
        }
    }

    fn remove(&mut self, picks: &[usize]) {
        let placed = self.naive.all.values().filter(|msg| msg.ordinal > 0);
        let all = placed.map(|msg| msg.id).collect();
        let (ids, ordinals) = self.pick(all, picks);
        for id in ids {
            self.naive.doom(id, self.before);
        }
        self.submit(Command::Remove { ordinals });
    }

    fn release(&mut self, percent: u64) {
        let upto = crate::host::Lsn(self.before * percent / 100);
        self.submit(Command::Release { upto });
    }

    fn configure(&mut self, rules: Rules) {
        self.naive.rules = rules;
        self.submit(Command::Configure(settings(self.stage, rules)));
    }

    fn delete(&mut self) {
        self.submit(Command::Delete {
            if_unused: false,
            if_empty: false,
            reply: None,
            reason: Deletion::Requested,
        });
        let between = self.between();
        let gone = std::mem::take(&mut self.naive.ready).into_iter();
        for id in gone.chain(self.naive.unacked.keys().copied().collect::<Vec<_>>()) {
            self.naive.end(id, between);
        }
        self.naive.taker = None;
        self.gets.clear();
        self.naive.is_deleted = true;
    }

    /// The naive queue as a start has found the real one.
    pub(super) fn start_anew(&mut self, found: &[(u32, FoundMsg)], cut: Cut, is_clean: bool) {
        let naive = std::mem::take(&mut self.naive);
        self.naive.rules = naive.rules;
        for (id, found) in found {
            let mut msg = naive.all[id].clone();
            msg.ordinal = found.ordinal;
            msg.born = (msg.born.0.min(cut.end), cut.end);
            // What no queue had placed is placed by the start.
            msg.placed = match msg.placed.1 <= cut.end {
                true => (0, 0),
                false => (cut.end, self.disk.log().last()),
            };
            msg.gone = None;
            msg.is_redelivered |= !is_clean;
            msg.counts = match found.deliveries {
                0 => Vec::new(),
                count => vec![((0, 0), count)],
            };
            self.naive.ready.insert(*id);
            self.naive.all.insert(*id, msg);
        }
        (self.consumer, self.getter, self.publisher) =
            (Client::new(), Client::new(), Client::new());
        self.gets.clear();
        self.unplaced.clear();
        self.turns = Arc::default();
    }
}

pub(super) fn push(records: &mut Records, id: u32, draft: &Draft) {
    let body = format!("{id}:{}", "b".repeat(draft.bytes));
    let body = match draft.bytes {
        0..4096 => Body::Inline(body.as_bytes()),
        _ => Body::Shared(bytes::Bytes::copy_from_slice(body.as_bytes())),
    };
    records.push(Message {
        exchange: "x",
        routing_key: "key",
        properties: &[0, 0],
        body,
        persistent: draft.is_persistent,
        priority: draft.priority,
        expires_at: None,
        has_bcc: false,
    });
}

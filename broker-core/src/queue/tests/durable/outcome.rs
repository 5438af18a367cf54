//! What a step brought about: what went out is what was next, what is left is what should be.

use super::crash::{self, id_of};
use super::naive::Owner;
use super::run::Run;
use crate::inbox::{Answer, Event, Item, Mail};

/// What came out of the queue in one step.
#[derive(Default)]
struct Out {
    consumed: Vec<u32>,
    got: Vec<u32>,
    empty: usize,
}

impl Run {
    /// What went out must be what is next: `direct`, then ready messages in order.
    pub(super) fn absorb(&mut self, direct: &[u32]) {
        self.absorb_losses();
        let mut out = Out::default();
        while self.read_out(&mut out) {
            self.consumer.resume(self.disk.now());
        }
        if self.naive.is_deleted {
            return;
        }
        self.check_order(direct, &out);
        out.consumed.iter().for_each(|id| self.hand_over(*id));
        self.answer_gets(&out);
    }

    fn check_order(&self, direct: &[u32], out: &Out) {
        let (directly, consumed) = out.consumed.split_at(direct.len().min(out.consumed.len()));
        assert_eq!(
            directly, direct,
            "in the order in which they were published"
        );
        let order = self.naive.in_order();
        let next = &order[..(consumed.len() + out.got.len()).min(order.len())];
        let place = |id: &u32| next.iter().position(|next| next == id);
        for taken in [consumed, &out.got[..]] {
            let places: Vec<_> = taken.iter().map(place).collect();
            assert!(
                places.iter().all(Option::is_some) && places.is_sorted(),
                "{taken:?} of {order:?}"
            );
        }
        let rest = order.len() - next.len();
        assert!(out.empty == 0 || rest == 0, "empty, with {rest} messages");
    }

    /// Those whose page could not be read are lost, and counted.
    fn absorb_losses(&mut self) {
        let losses = std::mem::take(&mut *self.disk.losses.lock());
        let between = self.between();
        let mut lost = 0;
        for ordinal in &losses.in_pages {
            let Some(id) = self.naive.by_ordinal(*ordinal) else {
                continue;
            };
            if self.naive.ready.contains(&id) || self.naive.dead.contains(&id) {
                self.naive.end(id, between);
                lost += 1;
            }
        }
        assert_eq!(losses.told, lost, "what is lost is counted");
    }

    /// Takes what lies in the inboxes. False when there is nothing.
    fn read_out(&mut self, out: &mut Out) -> bool {
        let mut is_any = false;
        for (client, is_getter) in [(&self.consumer, false), (&self.getter, true)] {
            let mut mail = Mail::default();
            is_any |= client.inbox.take(&mut mail, None);
            for record in mail.records.iter() {
                client.inbox.release_bytes(record.memory_bytes());
                let id = id_of(record);
                let msg = &self.naive.all[&id];
                assert_eq!(record.ordinal(), msg.ordinal, "{msg:?}");
                assert_eq!(record.is_redelivered(), msg.is_redelivered, "{msg:?}");
                assert_eq!(record.delivery_count(), msg.deliveries(), "{msg:?}");
                match is_getter {
                    true => out.got.push(id),
                    false => out.consumed.push(id),
                }
            }
            out.empty += mail.items.iter().filter(|item| is_empty(item)).count();
        }
        is_any
    }

    fn hand_over(&mut self, id: u32) {
        let Some(taker) = self.naive.taker else {
            panic!("{id} was delivered to nobody");
        };
        match taker.no_ack {
            true => self.part_with(id),
            false => self.owe(id, Owner::Consumer(taker.id)),
        }
    }

    fn owe(&mut self, id: u32, owner: Owner) {
        self.naive.ready.remove(&id);
        self.naive.unacked.insert(id, owner);
    }

    fn part_with(&mut self, id: u32) {
        if self.naive.all[&id].is_logged {
            return self.owe(id, Owner::Nobody);
        }
        let between = self.between();
        self.naive.end(id, between);
    }

    fn answer_gets(&mut self, out: &Out) {
        for id in &out.got {
            match self.gets.remove(0) {
                true => self.part_with(*id),
                false => self.owe(*id, Owner::Getter),
            }
        }
        self.gets.drain(..out.empty);
    }

    pub(super) fn check(&mut self) {
        assert_eq!(*self.disk.failures.lock(), Vec::<String>::new());
        if !self.disk.is_busy() {
            self.naive.settle_doomed(self.disk.log().last());
            assert!(self.gets.is_empty(), "nobody waits for an idle disk");
            let room = self.naive.room();
            assert!(room == 0 || self.naive.in_order().is_empty(), "delivered");
        }
        let counts = self.queue.counts();
        if !self.naive.is_deleted {
            let ready = self.naive.ready.len() as u64;
            let least = ready - self.naive.doomed.len() as u64;
            assert!((least..=ready).contains(&counts.ready), "{counts:?}");
            assert_eq!(counts.unacked, self.naive.unacked.len() as u64);
            assert_eq!(counts.dead, self.naive.dead.len() as u64);
        }
        let homes: Vec<_> = self.queue.queue_for_tests().chunks.homes().collect();
        crash::check_pages(&self.disk, &homes);
    }
}

fn is_empty(item: &Item) -> bool {
    matches!(
        item,
        Item::Event(Event::Answer {
            answer: Answer::Empty,
            ..
        })
    )
}

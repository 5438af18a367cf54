//! The naive queue: a list of messages, searched anew for each question.

use std::collections::BTreeSet;

use super::*;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Msg {
    pub(super) ordinal: u64,
    pub(super) priority: u8,
    pub(super) body: u64,
    pub(super) own_deadline: Option<u64>,
    pub(super) enqueued: u64,
    pub(super) redelivered: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Taker {
    pub(super) id: u64,
    pub(super) client: usize,
    pub(super) no_ack: bool,
    pub(super) prefetch: u64,
    pub(super) priority: i32,
    pub(super) unacked: u64,
}

/// The model. `ready` is unordered; order is looked for each time.
#[derive(Default)]
pub(super) struct Naive {
    pub(super) settings: Settings,
    pub(super) max_priority: Option<u8>,
    pub(super) now: u64,
    pub(super) next: u64,
    pub(super) ready: Vec<Msg>,
    pub(super) unacked: Vec<(Msg, u64)>,
    pub(super) dead: BTreeSet<u64>,
    pub(super) takers: Vec<Taker>,
    pub(super) blocked: [bool; 2],
    /// What this command delivers, in order.
    pub(super) out: Vec<Msg>,
    pub(super) published: u64,
    pub(super) gone: u64,
}

impl Naive {
    pub(super) fn deadline(&self, msg: &Msg) -> Option<u64> {
        let queues = self.settings.message_ttl.map(|ttl| msg.enqueued + ttl);
        [msg.own_deadline, queues].into_iter().flatten().min()
    }

    pub(super) fn late(&self, msg: &Msg) -> bool {
        self.deadline(msg).is_some_and(|at| at < self.now)
    }

    pub(super) fn head(&self) -> Option<usize> {
        (0..self.ready.len()).min_by_key(|&i| {
            (
                std::cmp::Reverse(self.ready[i].priority),
                self.ready[i].ordinal,
            )
        })
    }

    /// How many messages consumers would take now beside those already going out.
    pub(super) fn room(&self) -> u64 {
        let mut room = 0u64;
        for taker in &self.takers {
            if self.blocked[taker.client] {
                continue;
            }
            if taker.no_ack || taker.prefetch == 0 {
                return u64::MAX;
            }
            room += taker.prefetch.saturating_sub(taker.unacked);
        }
        room.saturating_sub(self.out.len() as u64)
    }

    pub(super) fn die(&mut self, msg: Msg) {
        self.gone += 1;
        if self.settings.dead_letter.is_some() {
            self.dead.insert(msg.ordinal);
        }
    }

    pub(super) fn exceeds(&self, more: u64, bytes: u64) -> bool {
        let total: u64 = self.ready.iter().map(|msg| msg.body).sum();
        self.settings
            .max_length
            .is_some_and(|max| self.ready.len() as u64 + more > max)
            || self
                .settings
                .max_length_bytes
                .is_some_and(|max| total + bytes > max)
    }

    pub(super) fn trim(&mut self) {
        while self.settings.overflow == Overflow::DropHead && self.exceeds(0, 0) {
            let index = self.head().expect("something exceeds");
            let msg = self.ready.remove(index);
            self.die(msg);
        }
    }

    pub(super) fn publish(&mut self, drafts: &[Draft]) {
        for draft in drafts {
            let body = draft.body as u64;
            if self.settings.overflow != Overflow::DropHead && self.exceeds(1, body) {
                let dlx = self.settings.overflow == Overflow::RejectPublishDlx;
                if dlx && self.settings.dead_letter.is_some() {
                    self.dead.insert(self.next);
                    self.next += 1;
                }
                continue;
            }
            let msg = Msg {
                ordinal: self.next,
                priority: self.max_priority.map_or(0, |max| draft.priority.min(max)),
                body,
                own_deadline: draft.ttl.map(|ttl| self.now + ttl),
                enqueued: self.now,
                redelivered: false,
            };
            self.next += 1;
            self.published += 1;
            if self.ready.is_empty() && self.room() > 0 {
                self.out.push(msg);
            } else {
                self.ready.push(msg);
                self.trim();
            }
        }
    }

    pub(super) fn finish(&mut self) {
        while let Some(index) = self.head() {
            if self.late(&self.ready[index]) {
                let msg = self.ready.remove(index);
                self.die(msg);
            } else if self.room() > 0 {
                let msg = self.ready.remove(index);
                self.out.push(msg);
            } else {
                break;
            }
        }
        for priority in 0..=u8::MAX {
            loop {
                let line = self.ready.iter().filter(|msg| msg.priority == priority);
                let Some(head) = line.min_by_key(|msg| msg.ordinal) else {
                    break;
                };
                if self.deadline(head).is_none_or(|at| at > self.now) {
                    break;
                }
                let ordinal = head.ordinal;
                let index = self
                    .ready
                    .iter()
                    .position(|msg| msg.ordinal == ordinal)
                    .unwrap();
                let msg = self.ready.remove(index);
                self.die(msg);
            }
        }
    }

    pub(super) fn unack(&mut self, ordinal: u64) -> Option<Msg> {
        let index = self
            .unacked
            .iter()
            .position(|(msg, _)| msg.ordinal == ordinal)?;
        let (msg, consumer) = self.unacked.remove(index);
        if let Some(taker) = self.takers.iter_mut().find(|taker| taker.id == consumer) {
            taker.unacked -= 1;
        }
        Some(msg)
    }
}

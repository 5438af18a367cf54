//! The naive queue: every message that ever was, and between which records of the log it came,
//! came back and went. Searched anew for each question; it knows no chunk and no page.

use std::collections::{BTreeMap, BTreeSet};

use super::ops::Rules;

/// Behind the first record, and at the latest with the second.
pub(super) type Between = (u64, u64);

#[derive(Clone, Debug)]
pub(super) struct Msg {
    pub(super) id: u32,
    /// 0 as long as it is only part of a turn.
    pub(super) ordinal: u64,
    pub(super) level: u8,
    /// It must survive a crash.
    pub(super) is_logged: bool,
    pub(super) born: Between,
    /// When its ordinal was logged, if that was later.
    pub(super) placed: Between,
    pub(super) gone: Option<Between>,
    /// Delivery counts.
    pub(super) counts: Vec<(Between, u32)>,
    pub(super) is_redelivered: bool,
}

/// Who has an unacked message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    Consumer(u64),
    Getter,
    /// It was handed to somebody who does not ack.
    Nobody,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Taker {
    pub(super) id: u64,
    pub(super) no_ack: bool,
    pub(super) prefetch: u16,
}

/// What a crash at some record must leave of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    There,
    Gone,
    Either,
}

#[derive(Debug, Default)]
pub(super) struct Naive {
    /// By id.
    pub(super) all: BTreeMap<u32, Msg>,
    /// Ids of those that are ready.
    pub(super) ready: BTreeSet<u32>,
    /// Those of them that were removed, and the record behind which that was.
    pub(super) doomed: BTreeMap<u32, u64>,
    pub(super) unacked: BTreeMap<u32, Owner>,
    pub(super) dead: BTreeSet<u32>,
    /// Those of them that were taken.
    pub(super) taken: BTreeSet<u32>,
    pub(super) taker: Option<Taker>,
    pub(super) rules: Rules,
    pub(super) next_ordinal: u64,
    pub(super) is_deleted: bool,
}

impl Msg {
    pub(super) fn deliveries(&self) -> u32 {
        self.counts.last().map_or(0, |(_, count)| *count)
    }

    /// What a crash behind `cut` must leave.
    pub(super) fn fate(&self, cut: u64) -> Fate {
        let (came, is_there) = self.born;
        let (going, is_gone) = self.gone.unwrap_or((u64::MAX, u64::MAX));
        match () {
            () if !self.is_logged || cut <= came || cut >= is_gone => Fate::Gone,
            () if cut >= is_there && cut <= going => Fate::There,
            () => Fate::Either,
        }
    }

    /// The delivery counts that a crash behind `cut` may leave.
    pub(super) fn counts_at(&self, cut: u64) -> Vec<u32> {
        let settled = self.counts.iter().rev().find(|((_, hi), _)| *hi <= cut);
        let mut counts = vec![settled.map_or(0, |(_, count)| *count)];
        let open = self.counts.iter();
        counts.extend(
            open.filter(|((lo, hi), _)| *lo < cut && cut < *hi)
                .map(|(_, count)| *count),
        );
        counts
    }
}

impl Naive {
    pub(super) fn msg(&mut self, id: u32) -> &mut Msg {
        self.all.get_mut(&id).expect("a message that was published")
    }

    pub(super) fn by_ordinal(&self, ordinal: u64) -> Option<u32> {
        let mut all = self.all.values();
        all.find(|msg| msg.ordinal == ordinal).map(|msg| msg.id)
    }

    /// Ready messages in the order in which they go.
    pub(super) fn in_order(&self) -> Vec<u32> {
        let mut order: Vec<&Msg> = self.ready.iter().map(|id| &self.all[id]).collect();
        order.retain(|msg| !self.doomed.contains_key(&msg.id));
        order.sort_by_key(|msg| (std::cmp::Reverse(msg.level), msg.ordinal));
        order.into_iter().map(|msg| msg.id).collect()
    }

    /// How many the consumer takes now.
    pub(super) fn room(&self) -> usize {
        let Some(taker) = self.taker else { return 0 };
        if taker.no_ack || taker.prefetch == 0 {
            return usize::MAX;
        }
        let owned = self.unacked.values();
        let owned = owned.filter(|owner| **owner == Owner::Consumer(taker.id));
        usize::from(taker.prefetch).saturating_sub(owned.count())
    }

    /// Ids of unacked messages that a client may settle.
    pub(super) fn owed(&self, to_nobody: bool) -> Vec<u32> {
        let owed = self.unacked.iter();
        owed.filter(|(_, owner)| (**owner == Owner::Nobody) == to_nobody)
            .map(|(id, _)| *id)
            .collect()
    }

    pub(super) fn end(&mut self, id: u32, between: Between) {
        self.ready.remove(&id);
        self.unacked.remove(&id);
        self.dead.remove(&id);
        self.taken.remove(&id);
        let doomed = self.doomed.remove(&id);
        let msg = self.msg(id);
        match doomed {
            Some(behind) => msg.gone = Some((behind, between.1)),
            None => drop(msg.gone.get_or_insert(between)),
        }
    }

    /// A ready message is removed now, or when its page is read.
    pub(super) fn doom(&mut self, id: u32, behind: u64) {
        if self.ready.contains(&id) && !self.doomed.contains_key(&id) {
            self.doomed.insert(id, behind);
            self.msg(id).gone = Some((behind, u64::MAX));
        }
    }

    pub(super) fn die(&mut self, id: u32, between: Between) {
        self.unacked.remove(&id);
        match self.rules.dead_letters {
            true => drop(self.dead.insert(id)),
            false => self.end(id, between),
        }
    }

    /// Nothing waits for the disk: what was removed is gone.
    pub(super) fn settle_doomed(&mut self, now: u64) {
        for id in self.doomed.keys().copied().collect::<Vec<_>>() {
            self.end(id, (now, now));
        }
    }
}

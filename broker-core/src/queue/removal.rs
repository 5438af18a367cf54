//! Messages that are taken away, one by one or all of them, and the end of the queue itself.

use super::handle::{Deletion, ReplyTo};
use super::ready::Removal;
use super::{Effects, Life, Queue, saturated};
use crate::error::BrokerError;
use crate::inbox::Answer;
use crate::journal::Runs;

impl Queue {
    /// Drops all ready messages; they are not dead-lettered.
    pub(super) fn purge(&mut self, reply: Option<ReplyTo>, effects: &mut Effects) {
        self.active_at = Some(self.now);
        let kept = self.unsettled();
        self.log.all_gone(&complement(&kept, self.next_ordinal));
        let count = self.ready.clear(&kept, &mut self.chunks);
        self.totals.purged += count;
        if let Some(reply) = reply {
            let lsn = self.log.finish();
            self.chunks.settled_at(lsn);
            let count = saturated(count);
            effects.answer(&reply, Answer::Purged { count, lsn });
        }
    }

    /// What is not ready: unacked and dead messages.
    fn unsettled(&self) -> Runs {
        let ordinals = self.unacked.ordinals().chain(self.dead.ordinals());
        let mut ordinals: Vec<u64> = ordinals.collect();
        ordinals.sort_unstable();
        let mut runs = Runs::new();
        ordinals
            .into_iter()
            .for_each(|ordinal| runs.insert(ordinal));
        runs
    }

    /// Takes single ready messages out, wherever they stand.
    pub(super) fn remove(&mut self, ordinals: &[u64]) {
        for &ordinal in ordinals {
            // On disk it could not be told from a ready one, and might be one when it is read.
            if self.unacked.contains(ordinal) || self.dead.contains(ordinal) {
                continue;
            }
            match self.ready.remove(ordinal, &mut self.chunks, &mut self.log) {
                Removal::Done => self.totals.purged += 1,
                Removal::Absent => {}
                Removal::OnDisk => self.removals.push(ordinal),
            }
        }
    }

    /// Goes on with what had to wait for the disk.
    pub(super) fn remove_arrived(&mut self) {
        let waiting = std::mem::take(&mut self.removals);
        self.remove(&waiting);
    }

    /// Deletes the queue if the conditions of queue.delete hold.
    pub(super) fn delete_on(
        &mut self,
        if_unused: bool,
        if_empty: bool,
        reply: Option<ReplyTo>,
        reason: Deletion,
        effects: &mut Effects,
    ) {
        let refusal = if if_empty && !self.ready.is_empty() {
            Some("not empty")
        } else if if_unused && !self.consumers.is_empty() {
            Some("in use")
        } else {
            None
        };
        let answer = match refusal {
            Some(why) => {
                let (name, vhost) = (&self.identity.name, &self.identity.vhost);
                let text = format!("queue '{name}' in vhost '{vhost}' {why}");
                Answer::Refused(BrokerError::precondition(text))
            }
            None => Answer::Deleted(saturated(self.ready.tally().count)),
        };
        // Before the consumers are told, so that a client which deletes a queue it consumes from
        // has its answer first.
        if let Some(reply) = reply {
            effects.answer(&reply, answer);
        }
        if refusal.is_none() {
            self.delete(reason, effects);
        }
    }

    /// The end: every consumer is told, messages go, dead letters stay until they are taken.
    pub(super) fn delete(&mut self, reason: Deletion, effects: &mut Effects) {
        self.life = Life::Deleted;
        effects.deleted = Some(reason);
        std::mem::take(&mut self.consumers).dismiss(effects);
        let why = BrokerError::no_queue(&self.identity.name, &self.identity.vhost);
        self.refuse_gets(effects, &why);
        self.ready = Default::default();
        self.unacked.clear();
        self.removals = Vec::new();
        // The definition of the queue goes from the log a moment later: without the settlement its
        // messages would seem to have vanished if a crash came in between.
        let kept = self.unsettled();
        self.log.all_gone(&complement(&kept, self.next_ordinal));
        self.chunks.retain_all(&kept);
        self.report_memory();
    }
}

/// All ordinals below `end` that are not in `kept`: settling what is not there is nothing.
fn complement(kept: &Runs, end: u64) -> Runs {
    let mut rest = Runs::new();
    let mut first = 1;
    for run in kept.runs() {
        rest.insert_between(first, run.first.saturating_sub(1));
        first = run.last() + 1;
    }
    rest.insert_between(first, end.saturating_sub(1));
    rest
}

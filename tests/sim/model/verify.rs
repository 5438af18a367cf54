//! Compares what a start found with what clients know.

use std::collections::BTreeMap;
use std::sync::Arc;

use broker_core::definition::{Definition, is_queue_key};
use leveret::store::Map;

use super::{Copy, Leaving, Model, QueueModel, Window};
use crate::host::DefinitionRecord;
use crate::message::Id;
use crate::observe::{Observed, Seen};
use crate::settings::LETTERS;

/// The end of a process, and what is known of it.
pub(crate) struct Crash<'a> {
    /// The last record that was announced as durable.
    pub(crate) durable: u64,
    pub(crate) now: u64,
    /// What the process changed of the definitions.
    pub(crate) definitions: &'a [DefinitionRecord],
    /// The process was told to stop, and did.
    pub(crate) is_clean: bool,
}

/// What is wrong with a start.
struct Verdict<'a> {
    model: &'a Model,
    crash: &'a Crash<'a>,
    observed: &'a Observed,
    last: u64,
    wrong: Vec<String>,
}

impl Model {
    /// What is wrong with what was found after the crash.
    pub(crate) fn verify(&self, crash: &Crash<'_>, observed: &Observed) -> Vec<String> {
        let mut verdict = Verdict {
            model: self,
            crash,
            observed,
            last: observed.last,
            wrong: observed.problems.clone(),
        };
        verdict.check_ends();
        let expected = self.definitions_at(crash.definitions, observed.last);
        verdict.check_definitions(&expected);
        verdict.check_queues(&queue_ids(&expected));
        verdict.wrong
    }

    /// The definitions as they are after record `last`.
    pub(super) fn definitions_at(&self, changes: &[DefinitionRecord], last: u64) -> Map {
        let mut definitions = self.definitions.clone();
        let changes = changes.iter().filter(|(lsn, _)| *lsn <= last);
        for (key, value) in changes.flat_map(|(_, entries)| entries) {
            match value {
                Some(value) => definitions.insert(key.clone(), value.clone()),
                None => definitions.remove(key),
            };
        }
        definitions
    }
}

/// The queues there are, by id, with their names.
pub(super) fn queue_ids(definitions: &Map) -> BTreeMap<u64, Arc<str>> {
    let queues = definitions.iter().filter(|(key, _)| is_queue_key(key));
    queues
        .filter_map(|(key, value)| match Definition::read(key, value) {
            Ok(Definition::Queue(_, spec, id)) => Some((id.0, spec.name)),
            _ => None,
        })
        .collect()
}

impl Verdict<'_> {
    fn wrong(&mut self, text: String) {
        self.wrong.push(text);
    }

    fn check_ends(&mut self) {
        let Crash {
            durable, is_clean, ..
        } = *self.crash;
        let last = self.last;
        if last < durable {
            self.wrong(format!("the log ends at {last}, and {durable} was durable"));
        }
        if is_clean && !self.observed.is_clean {
            self.wrong("a clean stop is not seen as one".to_owned());
        }
        if !is_clean && self.observed.is_clean {
            self.wrong("a crash is seen as a clean stop".to_owned());
        }
        if is_clean && self.observed.replayed > 0 {
            let records = self.observed.replayed;
            self.wrong(format!("after a clean stop {records} records are read"));
        }
    }

    fn check_definitions(&mut self, expected: &Map) {
        let found = &self.observed.definitions;
        if found == expected {
            return;
        }
        let name = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
        let missing = expected.iter().filter(|(key, _)| !found.contains_key(*key));
        let invented = found.iter().filter(|(key, _)| !expected.contains_key(*key));
        let text = format!(
            "definitions after record {}: missing {:?}, invented {:?}, or changed",
            self.last,
            missing.map(|(key, _)| name(key)).collect::<Vec<_>>(),
            invented.map(|(key, _)| name(key)).collect::<Vec<_>>()
        );
        self.wrong(text);
    }

    fn check_queues(&mut self, existing: &BTreeMap<u64, Arc<str>>) {
        let nothing = Vec::new();
        for (id, name) in existing {
            let seen = self.observed.queues.get(id).unwrap_or(&nothing);
            match self.model.queues.get(id) {
                Some(queue) if queue.deleted.is_some_and(|end| end.to <= self.last) => {
                    self.wrong(format!("queue {name} with id {id} is back"));
                }
                Some(queue) => {
                    self.check_seen(queue, seen);
                    self.check_order(queue, seen);
                    self.check_missing(queue, seen, existing);
                }
                // It is just being declared.
                None if seen.is_empty() => {}
                None => self.wrong(format!("queue {name} with id {id} is unknown")),
            }
        }
    }

    /// Nothing is invented, nothing comes back, everything is as it was.
    fn check_seen(&mut self, queue: &QueueModel, seen: &[Seen]) {
        let mut copies: BTreeMap<Id, u32> = BTreeMap::new();
        for one in seen {
            let here = format!("queue {} ({})", queue.plan.name, queue.id);
            let sent = one.id.and_then(|id| self.model.sent.get(id as usize));
            let Some(sent) = sent else {
                self.wrong(format!("{here}: a message nobody sent: {one:?}"));
                continue;
            };
            if !one.persistent || one.priority != sent.priority {
                self.wrong(format!("{here}: {one:?} was sent as {sent:?}"));
            }
            if !self.crash.is_clean && !one.redelivered {
                self.wrong(format!("{here}: {one:?} is not marked as redelivered"));
            }
            let count = copies.entry(sent.id).or_default();
            *count += 1;
            let why = match queue.copies.get(&sent.id) {
                Some(copy) if *count == 1 => self.why_not_here(copy, one),
                Some(_) => Some("is there twice".to_owned()),
                None => self.why_no_letter(queue, sent.id, *count),
            };
            if let Some(why) = why {
                self.wrong(format!("{here}: message {} {why}", sent.id));
            }
        }
    }

    fn why_not_here(&self, copy: &Copy, seen: &Seen) -> Option<String> {
        let last = self.last;
        if copy.published.from > last {
            return Some(format!("is there, and was published after {last}"));
        }
        let gone = |end: &Window| end.to <= last;
        if let Some(end) = copy.sure_end().filter(gone) {
            return Some(format!("is back, and was gone with record {}", end.to));
        }
        let sure = copy.returns.iter().filter(|window| window.to <= last);
        let possible = copy.returns.iter().filter(|window| window.from <= last);
        let least = copy.returned_before + sure.count() as u32;
        let most = copy.returned_before + possible.count() as u32;
        if !(least..=most).contains(&seen.deliveries) {
            let count = seen.deliveries;
            return Some(format!("has delivery count {count}, not {least} to {most}"));
        }
        let was_delivered = copy.was_redelivered || least > 0;
        (was_delivered && !seen.redelivered).then(|| "is not marked as redelivered".to_owned())
    }

    fn why_no_letter(&self, queue: &QueueModel, message: Id, count: u32) -> Option<String> {
        let Some(letters) = queue.letters.get(&message) else {
            return Some("is back, or never was here".to_owned());
        };
        let gone = |end: &&super::End| end.is_sure && end.window.to <= self.last;
        let left = letters.possible as usize - letters.ends.iter().filter(gone).count();
        (count as usize > left).then(|| format!("is there {count} times, not {left}"))
    }

    /// Order is promised for what one client publishes to one queue, with one priority; and
    /// ordinals are the order.
    fn check_order(&mut self, queue: &QueueModel, seen: &[Seen]) {
        let mut clients: BTreeMap<(u16, u8), Id> = BTreeMap::new();
        let mut levels: BTreeMap<u8, u64> = BTreeMap::new();
        let mut lowest = u8::MAX;
        for one in seen {
            let level = queue.level(one.priority);
            let name = &queue.plan.name;
            if level > lowest {
                self.wrong(format!(
                    "queue {name}: {one:?} comes behind lower priorities"
                ));
            }
            lowest = level;
            if levels.insert(level, one.ordinal) >= Some(one.ordinal) {
                self.wrong(format!(
                    "queue {name}: {one:?} comes behind higher ordinals"
                ));
            }
            let Some(id) = one.id.filter(|id| queue.copies.contains_key(id)) else {
                continue;
            };
            let client = self.model.sent[id as usize].client;
            if clients.insert((client, level), id) >= Some(id) {
                self.wrong(format!(
                    "queue {name}: {one:?} comes behind what was sent later"
                ));
            }
        }
    }

    fn check_missing(
        &mut self,
        queue: &QueueModel,
        seen: &[Seen],
        existing: &BTreeMap<u64, Arc<str>>,
    ) {
        if queue
            .deleted
            .is_some_and(|deleted| deleted.from <= self.last)
        {
            return;
        }
        let kept = queue.copies.iter().filter(|(_, copy)| copy.is_persistent);
        for (id, copy) in kept {
            let is_here = seen.iter().any(|one| one.id == Some(*id));
            if is_here || !self.is_published(copy) {
                continue;
            }
            let why = match self.may_be_gone(queue, copy) {
                None => "is lost",
                Some(Leaving::ForGood) => continue,
                Some(Leaving::AsLetter) if self.is_letter(*id, copy, existing) => continue,
                Some(Leaving::AsLetter) => "is neither here nor among the dead letters",
            };
            let name = &queue.plan.name;
            let (sort, id_of_queue) = (queue.plan.sort, queue.id);
            let text =
                format!("queue {name} ({id_of_queue}, {sort:?}): message {id} {why}: {copy:?}");
            self.wrong(text);
        }
    }

    fn is_published(&self, copy: &Copy) -> bool {
        copy.is_confirmed || copy.published.to <= self.last
    }

    fn may_be_gone(&self, queue: &QueueModel, copy: &Copy) -> Option<Leaving> {
        let begun = |end: &&super::End| end.window.from <= self.last;
        let mut ends = copy.ends.iter().filter(begun).peekable();
        let is_late = copy.deadline.is_some_and(|at| at <= self.crash.now);
        if ends.peek().is_none() && !is_late {
            return None;
        }
        let for_good = |end: &super::End| end.leaving == Leaving::ForGood;
        let expires_for_good = is_late && !queue.plan.is_dead_lettering();
        match expires_for_good || ends.any(for_good) {
            true => Some(Leaving::ForGood),
            false => Some(Leaving::AsLetter),
        }
    }

    /// Whether the message is in the queue for dead letters, or may have been there, or had none
    /// to go to.
    fn is_letter(&self, id: Id, copy: &Copy, existing: &BTreeMap<u64, Arc<str>>) -> bool {
        let target = existing.iter().find(|(_, name)| ***name == *LETTERS);
        let Some(target) = target.and_then(|(id, _)| self.model.queues.get(id)) else {
            return true;
        };
        if target.created > copy.published.from || target.is_deleted() {
            return true;
        }
        let seen = self.observed.queues.get(&target.id);
        let is_there = seen.is_some_and(|seen| seen.iter().any(|one| one.id == Some(id)));
        let letters = target.letters.get(&id);
        let begun = |end: &super::End| end.window.from <= self.last;
        is_there || letters.is_some_and(|letters| letters.ends.iter().any(begun))
    }
}

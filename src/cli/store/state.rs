//! The messages of a data directory as a start would find them, checked more closely. Fed by the
//! store while it looks at its files.

use std::collections::HashMap;

use broker_core::definition::{Definition, is_queue_key};
use broker_core::host;
use broker_core::journal::{Entry, EntryKind, PageKey};
use broker_core::recovery::Damaged;
use broker_core::recovery::check::{Check, Checked};

use super::report::Report;
use crate::store::{Change, Lsn, Map, Replay, Sink};

/// A check that is being fed.
#[derive(Default)]
pub(super) struct Reading {
    check: Check,
    /// Queues by the keys of their definitions, which are all that a deletion names.
    ids: HashMap<Vec<u8>, u64>,
}

impl Reading {
    /// Everything was read.
    pub(super) fn finish(self) -> Checked {
        self.check.finish()
    }

    fn put(&mut self, key: &[u8], value: &[u8]) {
        if key.starts_with(PageKey::PREFIX) {
            self.check.page(key, value);
        } else if is_queue_key(key)
            && let Ok(Definition::Queue(_, _, id)) = Definition::read(key, value)
        {
            if let Some(former) = self.ids.insert(key.to_vec(), id.0)
                && former != id.0
            {
                self.check.queue_gone(former);
            }
            self.check.queue_exists(id.0);
        }
    }

    fn delete(&mut self, key: &[u8]) {
        if key.starts_with(PageKey::PREFIX) {
            self.check.page_gone(key);
        } else if let Some(id) = self.ids.remove(key) {
            self.check.queue_gone(id);
        }
    }
}

impl Replay for Reading {
    fn base(&mut self, map: &Map) {
        *self = Reading::default();
        for (key, value) in map {
            self.put(key, value);
        }
    }

    fn change(&mut self, _lsn: Lsn, change: &Change) {
        match change {
            Change::Put { key, value } => self.put(key, value),
            Change::Delete { key } => self.delete(key),
        }
    }

    fn entry(&mut self, lsn: Lsn, kind: u8, payload: &[u8]) {
        self.check.entry(host::Lsn(lsn.0), kind, payload);
    }
}

/// Entries that nobody needs any more can still be read, or cannot.
#[derive(Default)]
pub(super) struct Decoding {
    pub(super) damaged: Vec<Damaged>,
}

/// So many are named.
const DAMAGED_MAX: usize = 100;

impl Sink for Decoding {
    fn change(&mut self, _lsn: Lsn, _change: Change) {}

    fn entry(&mut self, lsn: Lsn, kind: u8, payload: &[u8]) {
        let read = EntryKind::try_from(kind).and_then(|kind| Entry::decode(kind, payload));
        if let Err(why) = read
            && self.damaged.len() < DAMAGED_MAX
        {
            let lsn = host::Lsn(lsn.0);
            self.damaged.push(Damaged { lsn, kind, why });
        }
    }
}

/// Adds what was found to the totals.
pub(super) fn count(checked: &Checked, report: &mut Report) {
    let (mut in_log, mut on_pages) = (0, 0);
    for queue in &checked.restored.queues {
        let chunks = queue.chunks.iter();
        in_log += chunks.map(|chunk| chunk.records.len() as u64).sum::<u64>();
        let pages = queue.pages.iter();
        on_pages += pages.map(|page| page.runs.count()).sum::<u64>();
    }
    let counts = &checked.counts;
    let kinds = [
        "batches",
        "turns",
        "placed entries",
        "settled entries",
        "returned entries",
    ];
    report.totals.push(("messages in the log only", in_log));
    report.totals.push(("messages on pages", on_pages));
    for (name, count) in kinds.into_iter().zip(counts.entries) {
        report.totals.push((name, count));
    }
    report
        .totals
        .push(("mentions of deleted queues", counts.of_gone_queues));
    report.more_problems(checked.problem_count - checked.problems.len() as u64);
}

//! What a data directory holds, in numbers, and entries that cannot be read.

use broker_core::host;
use broker_core::journal::{Entry, EntryKind};
use broker_core::recovery::Damaged;
use broker_core::recovery::check::Checked;

use super::report::Report;
use crate::store::{Change, Lsn, Sink};

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

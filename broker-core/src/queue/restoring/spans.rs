//! Which pages stand apart: no other message of their level has an ordinal between theirs.

use std::collections::BTreeMap;

use crate::journal::{PageEntry, Run};
use crate::recovery::RestoredQueue;

/// A run of ordinals and the number of the page that has it.
type OfPage = (u64, u64);

/// What lies where in the order of one level.
#[derive(Debug, Default)]
struct Level {
    /// Runs in pages, ascending: first ordinal and page.
    runs: Vec<OfPage>,
    /// Messages that are only in the log, ascending.
    logged: Vec<u64>,
}

/// The ordinals of all messages, by level.
#[derive(Debug)]
pub(super) struct Spans {
    levels: BTreeMap<u8, Level>,
    /// Runs of pages with several levels, ascending: they may be of any.
    mixed: Vec<Run>,
}

impl Spans {
    pub(super) fn of(queue: &RestoredQueue, max_priority: Option<u8>) -> Spans {
        let mut levels: BTreeMap<u8, Level> = BTreeMap::new();
        let mut mixed = Vec::new();
        for page in &queue.pages {
            let runs = page.runs.runs();
            match page.level {
                Some(level) => {
                    let of_page = runs.iter().map(|run| (run.first, page.number));
                    levels.entry(level).or_default().runs.extend(of_page);
                }
                None => mixed.extend_from_slice(runs),
            }
        }
        for record in queue.chunks.iter().flat_map(|chunk| chunk.records.iter()) {
            let level = max_priority.map_or(0, |max| record.priority().min(max));
            levels
                .entry(level)
                .or_default()
                .logged
                .push(record.ordinal());
        }
        for level in levels.values_mut() {
            level.runs.sort_unstable();
        }
        mixed.sort_unstable_by_key(|run| run.first);
        Spans { levels, mixed }
    }

    pub(super) fn is_apart(&self, page: &PageEntry) -> bool {
        let (Some(first), Some(last)) = (page.runs.first(), page.runs.last()) else {
            return false;
        };
        let Some(level) = page.level.and_then(|level| self.levels.get(&level)) else {
            return false;
        };
        let start = level.runs.partition_point(|(at, _)| *at < first);
        let end = level.runs.partition_point(|(at, _)| *at <= last);
        let has_logged = level.logged.partition_point(|at| *at < first)
            < level.logged.partition_point(|at| *at <= last);
        let mixed = self.mixed.partition_point(|run| run.last() < first);
        let has_mixed = self.mixed.get(mixed).is_some_and(|run| run.first <= last);
        let of_page = |(_, number): &OfPage| *number == page.number;
        level.runs[start..end].iter().all(of_page) && !has_logged && !has_mixed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Runs;
    use crate::message::{Body, Message, Records};
    use crate::recovery::RestoredChunk;

    fn page(number: u64, level: Option<u8>, ordinals: &[u64]) -> PageEntry {
        PageEntry {
            queue: 1,
            number,
            segment: 1,
            offset: 0,
            length: 1 << 20,
            crc: 0,
            level,
            is_redelivered: false,
            may_expire: false,
            body_length: Default::default(),
            runs: ordinals.iter().copied().collect::<Runs>(),
        }
    }

    /// Messages in the log: ordinal and priority.
    fn logged(messages: &[(u64, u8)]) -> Vec<RestoredChunk> {
        let mut records = Records::new();
        for &(ordinal, priority) in messages {
            let place = records.push(Message {
                exchange: "",
                routing_key: "q",
                properties: &[0, 0],
                body: Body::Inline(b""),
                persistent: true,
                priority,
                expires_at: None,
                has_bcc: false,
            });
            records.head_mut(place).set_ordinal(ordinal);
        }
        vec![RestoredChunk {
            records,
            ..RestoredChunk::default()
        }]
    }

    /// The numbers of the pages that stand apart.
    fn apart(pages: Vec<PageEntry>, messages: &[(u64, u8)]) -> Vec<u64> {
        let queue = RestoredQueue {
            pages,
            chunks: logged(messages),
            ..RestoredQueue::default()
        };
        let spans = Spans::of(&queue, Some(9));
        let apart = queue.pages.iter().filter(|page| spans.is_apart(page));
        apart.map(|page| page.number).collect()
    }

    #[test]
    fn pages_one_behind_the_other_stand_apart() {
        let pages = vec![page(1, Some(0), &[1, 2, 5]), page(2, Some(0), &[6, 9])];
        assert_eq!(apart(pages, &[(10, 0)]), [1, 2]);
    }

    #[test]
    fn a_page_with_others_in_its_gap_does_not_and_they_do() {
        let pages = vec![page(1, Some(0), &[1, 2, 8]), page(2, Some(0), &[4, 6])];
        assert_eq!(apart(pages, &[]), [2]);
    }

    #[test]
    fn a_message_in_a_gap_counts_only_for_its_level() {
        let pages = || vec![page(1, Some(0), &[1, 3]), page(2, Some(4), &[2, 5])];
        assert_eq!(apart(pages(), &[(4, 9)]), [1, 2]);
        assert_eq!(apart(pages(), &[(4, 4)]), [1]);
        assert_eq!(apart(pages(), &[(2, 0)]), [2]);
    }

    #[test]
    fn a_page_of_several_levels_never_stands_apart_and_counts_for_all() {
        let pages = vec![
            page(1, Some(0), &[1, 9]),
            page(2, None, &[4]),
            page(3, Some(1), &[10, 11]),
        ];
        assert_eq!(apart(pages, &[]), [3]);
    }
}

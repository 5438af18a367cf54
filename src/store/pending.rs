//! Records that are appended and not yet written: groups being filled, in order.
//! Never waits and never touches a file. Changes are bounded by bytes here; entries are bounded by
//! those who append them, who stop when too much waits.

use std::collections::VecDeque;
use std::time::Instant;

use super::group::GROUP_HEADER_BYTES;
use super::record::{self, Change};
use super::spares::{GROUP_TAIL_BYTES, Spares};
use super::{Lsn, StoreError};

/// A group that still takes records. Its bytes begin with room for the header.
#[derive(Debug)]
pub(super) struct OpenGroup {
    pub(super) first: Lsn,
    pub(super) records: u32,
    pub(super) bytes: Vec<u8>,
    /// What the records change, for the next checkpoint.
    pub(super) changes: Vec<Change>,
}

impl OpenGroup {
    fn new(first: Lsn, mut bytes: Vec<u8>) -> OpenGroup {
        bytes.clear();
        bytes.resize(GROUP_HEADER_BYTES, 0);
        OpenGroup {
            first,
            records: 0,
            bytes,
            changes: Vec::new(),
        }
    }

    /// A group for one entry that is too large to share one. It has no LSN yet.
    pub(super) fn alone(entry: &Entry<'_>) -> OpenGroup {
        let bytes = Vec::with_capacity(GROUP_HEADER_BYTES + entry.bytes);
        let mut group = OpenGroup::new(Lsn(0), bytes);
        entry.encode(&mut group.bytes);
        group.records = 1;
        group
    }

    /// The LSN of the last record.
    pub(super) fn last(&self) -> Lsn {
        Lsn(self.first.0 + u64::from(self.records)).before()
    }

    /// The bytes of its records.
    pub(super) fn record_bytes(&self) -> usize {
        self.bytes.len() - GROUP_HEADER_BYTES
    }
}

/// An entry about to be appended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    kind: u8,
    parts: &'a [&'a [u8]],
    /// The size of its record.
    pub(super) bytes: usize,
}

impl<'a> Entry<'a> {
    pub(super) fn new(kind: u8, parts: &'a [&'a [u8]]) -> Entry<'a> {
        let payload = parts
            .iter()
            .fold(0_usize, |sum, part| sum.saturating_add(part.len()));
        let bytes = payload.saturating_add(record::RECORD_HEADER_BYTES);
        Entry { kind, parts, bytes }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let length = self.bytes - record::RECORD_HEADER_BYTES;
        record::begin_record(self.kind, 0, length, out);
        for part in self.parts {
            out.extend_from_slice(part);
        }
    }
}

/// The groups that wait, oldest first.
#[derive(Debug)]
pub(super) struct Pending {
    groups: VecDeque<OpenGroup>,
    /// The size of all records that are not yet durable, those in flight included.
    bytes: usize,
    next: Lsn,
    /// The last record appended that frees space once it is durable.
    freeing: Lsn,
    group_max_bytes: usize,
    max_bytes: usize,
    pub(super) spares: Spares,
}

impl Pending {
    pub(super) fn new(next: Lsn, group_max_bytes: usize, max_bytes: usize) -> Pending {
        Pending {
            groups: VecDeque::new(),
            bytes: 0,
            next,
            freeing: Lsn(0),
            group_max_bytes,
            max_bytes,
            spares: Spares::new(Instant::now()),
        }
    }

    /// Fails if more waits than may with another `bytes`.
    pub(super) fn check_room(&self, bytes: usize) -> Result<(), StoreError> {
        if self.bytes.saturating_add(bytes) > self.max_bytes {
            return Err(StoreError::Backlog {
                pending: self.bytes,
                limit: self.max_bytes,
            });
        }
        Ok(())
    }

    /// Whether more waits than may.
    pub(super) fn is_over(&self) -> bool {
        self.bytes > self.max_bytes
    }

    /// Appends the record of these changes, whose encoded size is `bytes`.
    pub(super) fn push_changes(&mut self, changes: &[Change], bytes: usize) -> Lsn {
        let group = self.group_for(bytes);
        record::encode_changes(changes, &mut group.bytes);
        group.records += 1;
        group.changes.extend_from_slice(changes);
        self.count(bytes)
    }

    /// Appends an entry that fits a group.
    pub(super) fn push_entry(&mut self, entry: &Entry<'_>) -> Lsn {
        let group = self.group_for(entry.bytes);
        entry.encode(&mut group.bytes);
        group.records += 1;
        self.count(entry.bytes)
    }

    /// Appends the group of one large entry.
    pub(super) fn push_alone(&mut self, mut group: OpenGroup) -> Lsn {
        group.first = self.next;
        let bytes = group.record_bytes();
        self.groups.push_back(group);
        self.count(bytes)
    }

    /// Counts the record that was just appended; returns its LSN.
    fn count(&mut self, bytes: usize) -> Lsn {
        let lsn = self.next;
        self.bytes += bytes;
        self.next = lsn.next();
        lsn
    }

    /// Notes that the last record appended frees space.
    pub(super) fn mark_freeing(&mut self) {
        self.freeing = self.last();
    }

    /// Whether record `first` has to be durable before one that frees space can be.
    pub(super) fn holds_back_freeing(&self, first: Lsn) -> bool {
        first <= self.freeing
    }

    fn group_for(&mut self, bytes: usize) -> &mut OpenGroup {
        let max = self.group_max_bytes;
        let fits = self
            .groups
            .back()
            .is_some_and(|group| group.bytes.len() + bytes <= max);
        if !fits {
            let buffer = self.spares.take();
            self.groups.push_back(OpenGroup::new(self.next, buffer));
        }
        let last = self.groups.len() - 1;
        let group = &mut self.groups[last];
        make_room(&mut group.bytes, bytes, max);
        group
    }

    /// The oldest group, to be written; with `freeing_only` none that nothing waits for that
    /// frees space.
    pub(super) fn take(&mut self, freeing_only: bool) -> Option<OpenGroup> {
        let first = self.groups.front()?.first;
        if freeing_only && !self.holds_back_freeing(first) {
            return None;
        }
        self.groups.pop_front()
    }

    /// The records of a taken group are durable: their bytes no longer count.
    pub(super) fn finish(&mut self, record_bytes: usize) {
        self.bytes -= record_bytes;
    }

    /// The LSN of the last record appended.
    pub(super) fn last(&self) -> Lsn {
        self.next.before()
    }

    /// The LSN of the record appended next.
    pub(super) fn next(&self) -> Lsn {
        self.next
    }

    /// The size of all records that are not yet durable.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Makes room for `bytes` more in the buffer of a group of up to `max` bytes, doubling it until it
/// has room for such a group and the zeros behind it, and no more: then it can be used again.
fn make_room(buffer: &mut Vec<u8>, bytes: usize, max: usize) {
    let needed = buffer.len() + bytes;
    if needed > buffer.capacity() {
        let doubled = (2 * buffer.capacity()).min(max + GROUP_TAIL_BYTES);
        buffer.reserve_exact(doubled.max(needed) - buffer.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending() -> Pending {
        Pending::new(Lsn(1), 200, 400)
    }

    fn push(pending: &mut Pending, value_bytes: usize) -> Lsn {
        let change = [Change::Put {
            key: b"k".to_vec(),
            value: vec![1; value_bytes],
        }];
        pending.push_changes(&change, record::changes_record_bytes(&change))
    }

    fn push_entry(pending: &mut Pending, bytes: usize) -> Lsn {
        pending.push_entry(&Entry::new(2, &[&vec![7; bytes]]))
    }

    #[test]
    fn records_that_fit_share_a_group() {
        let mut pending = pending();
        assert_eq!(push(&mut pending, 10), Lsn(1));
        assert_eq!(push_entry(&mut pending, 10), Lsn(2));
        assert_eq!(push(&mut pending, 10), Lsn(3));
        let group = pending.take(false).unwrap();
        assert_eq!(
            (group.first, group.last(), group.records),
            (Lsn(1), Lsn(3), 3)
        );
        assert_eq!(group.changes.len(), 2);
        assert!(pending.take(false).is_none());
    }

    #[test]
    fn a_record_that_does_not_fit_begins_the_next_group() {
        let mut pending = pending();
        push(&mut pending, 100);
        push(&mut pending, 100);
        assert_eq!(pending.take(false).unwrap().last(), Lsn(1));
        assert_eq!(pending.take(false).unwrap().first, Lsn(2));
    }

    #[test]
    fn a_group_takes_entries_up_to_its_limit_and_not_a_byte_more() {
        let limit = 200 - GROUP_HEADER_BYTES - 2 * record::RECORD_HEADER_BYTES;
        for (bytes, groups) in [(limit - 10, 1), (limit - 9, 2)] {
            let mut pending = pending();
            push_entry(&mut pending, 10);
            push_entry(&mut pending, bytes);
            assert_eq!(pending.groups.len(), groups, "{bytes}");
        }
    }

    #[test]
    fn a_buffer_grows_to_what_a_group_needs_and_is_used_again() {
        let max = 8 << 20;
        let mut pending = Pending::new(Lsn(1), max, usize::MAX);
        let mut moves = 0;
        for _ in 0..4 {
            let mut at = std::ptr::null();
            while pending.groups.len() < 2 {
                push_entry(&mut pending, 1000);
                let now = pending.groups[0].bytes.as_ptr();
                moves += usize::from(now != at && !at.is_null());
                at = now;
            }
            let group = pending.take(false).unwrap();
            assert!(group.bytes.capacity() <= max + GROUP_TAIL_BYTES);
            let now = Instant::now();
            assert!(pending.spares.keep(group.bytes, now).is_empty());
        }
        // Two buffers in turn, each doubled from one entry up to the whole group.
        assert!(moves <= 2 * 14, "{moves}");
    }

    #[test]
    fn an_entry_of_several_parts_is_one_payload() {
        let mut pending = pending();
        pending.push_entry(&Entry::new(3, &[b"ab", b"", b"c"]));
        let mut group = pending.take(false).unwrap();
        let records = &mut group.bytes[GROUP_HEADER_BYTES..];
        record::seal(records, 1);
        let steps: Vec<_> = record::Records::new(records, 1).collect();
        let [record::Step::Whole(entry)] = steps[..] else {
            panic!("one whole record expected, got {steps:?}");
        };
        assert_eq!((entry.kind, entry.payload), (3, &b"abc"[..]));
    }

    #[test]
    fn a_large_entry_gets_the_next_lsn_and_a_group_to_itself() {
        let mut pending = pending();
        push_entry(&mut pending, 1);
        let large = OpenGroup::alone(&Entry::new(2, &[&[1; 500]]));
        assert_eq!(pending.push_alone(large), Lsn(2));
        assert_eq!(push_entry(&mut pending, 1), Lsn(3));
        let groups: Vec<_> = std::iter::from_fn(|| pending.take(false)).collect();
        let spans: Vec<_> = groups.iter().map(|g| (g.first.0, g.last().0)).collect();
        assert_eq!(spans, [(1, 1), (2, 2), (3, 3)]);
        assert_eq!(pending.bytes(), 13 + 512 + 13);
    }

    #[test]
    fn the_limit_counts_what_is_in_flight_until_it_is_durable() {
        let mut pending = pending();
        push(&mut pending, 400 - 22);
        assert_eq!(pending.bytes(), 400);
        let group = pending.take(false).unwrap();
        assert!(matches!(
            pending.check_room(1),
            Err(StoreError::Backlog { limit: 400, .. })
        ));
        assert!(pending.check_room(0).is_ok() && !pending.is_over());
        push_entry(&mut pending, 0);
        assert!(pending.is_over());
        pending.finish(group.record_bytes());
        assert!(pending.check_room(388).is_ok() && pending.check_room(389).is_err());
    }

    #[test]
    fn only_what_stands_before_a_record_that_frees_space_is_taken_when_nothing_else_may_be() {
        let mut pending = pending();
        push_entry(&mut pending, 100);
        push_entry(&mut pending, 100);
        assert!(pending.take(true).is_none());
        pending.mark_freeing();
        push_entry(&mut pending, 100);
        assert_eq!(pending.take(true).unwrap().first, Lsn(1));
        assert_eq!(pending.take(true).unwrap().first, Lsn(2));
        assert!(pending.take(true).is_none());
        assert_eq!(pending.take(false).unwrap().first, Lsn(3));
    }
}

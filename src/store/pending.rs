//! Records that are appended and not yet written: groups being filled, in order.
//! Bounded by bytes; never waits and never touches a file.

use std::collections::VecDeque;

use super::group::GROUP_HEADER_BYTES;
use super::record::{self, Change};
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

    /// The LSN of the last record.
    pub(super) fn last(&self) -> Lsn {
        Lsn(self.first.0 + u64::from(self.records)).before()
    }
}

/// The groups that wait, oldest first.
#[derive(Debug)]
pub(super) struct Pending {
    groups: VecDeque<OpenGroup>,
    /// The size of all records that are not yet durable, those in flight included.
    bytes: usize,
    next: Lsn,
    group_max_bytes: usize,
    max_bytes: usize,
    /// An empty buffer that was used before, so that a steady load does not allocate.
    spare: Vec<u8>,
}

/// A buffer larger than this is freed after use: one big group must not stay for good.
const SPARE_MAX_BYTES: usize = 1 << 20;

impl Pending {
    pub(super) fn new(next: Lsn, group_max_bytes: usize, max_bytes: usize) -> Pending {
        let spare = Vec::new();
        Pending {
            groups: VecDeque::new(),
            bytes: 0,
            next,
            group_max_bytes,
            max_bytes,
            spare,
        }
    }

    /// Appends one record, whose encoded size is `bytes`.
    pub(super) fn push(&mut self, changes: &[Change], bytes: usize) -> Result<Lsn, StoreError> {
        let pending = self.bytes + bytes;
        if pending > self.max_bytes {
            return Err(StoreError::Backlog {
                pending: self.bytes,
                limit: self.max_bytes,
            });
        }
        let (lsn, group) = (self.next, self.group_for(bytes));
        record::encode_changes(changes, &mut group.bytes);
        group.records += 1;
        group.changes.extend_from_slice(changes);
        self.bytes = pending;
        self.next = lsn.next();
        Ok(lsn)
    }

    fn group_for(&mut self, bytes: usize) -> &mut OpenGroup {
        let max = self.group_max_bytes;
        let fits = self
            .groups
            .back()
            .is_some_and(|group| group.bytes.len() + bytes <= max);
        if !fits {
            let buffer = std::mem::take(&mut self.spare);
            self.groups.push_back(OpenGroup::new(self.next, buffer));
        }
        let last = self.groups.len() - 1;
        &mut self.groups[last]
    }

    /// The oldest group, to be written.
    pub(super) fn take(&mut self) -> Option<OpenGroup> {
        self.groups.pop_front()
    }

    /// A taken group is durable: its bytes no longer count, its buffer is used again.
    pub(super) fn finish(&mut self, group: OpenGroup, record_bytes: usize) {
        self.bytes -= record_bytes;
        if group.bytes.capacity() <= SPARE_MAX_BYTES {
            self.spare = group.bytes;
        }
    }

    /// The LSN of the last record appended.
    pub(super) fn last(&self) -> Lsn {
        self.next.before()
    }

    /// The size of all records that are not yet durable.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending() -> Pending {
        Pending::new(Lsn(1), 200, 400)
    }

    fn push(pending: &mut Pending, value_bytes: usize) -> Result<Lsn, StoreError> {
        let change = [Change::Put {
            key: b"k".to_vec(),
            value: vec![1; value_bytes],
        }];
        pending.push(&change, record::changes_record_bytes(&change))
    }

    #[test]
    fn records_that_fit_share_a_group() {
        let mut pending = pending();
        assert_eq!(push(&mut pending, 10).unwrap(), Lsn(1));
        assert_eq!(push(&mut pending, 10).unwrap(), Lsn(2));
        let group = pending.take().unwrap();
        assert_eq!(
            (group.first, group.last(), group.records),
            (Lsn(1), Lsn(2), 2)
        );
        assert_eq!(group.changes.len(), 2);
        assert!(pending.take().is_none());
    }

    #[test]
    fn a_record_that_does_not_fit_begins_the_next_group() {
        let mut pending = pending();
        push(&mut pending, 100).unwrap();
        push(&mut pending, 100).unwrap();
        assert_eq!(pending.take().unwrap().last(), Lsn(1));
        assert_eq!(pending.take().unwrap().first, Lsn(2));
    }

    #[test]
    fn the_limit_counts_what_is_in_flight_until_it_is_durable() {
        let mut pending = pending();
        push(&mut pending, 400 - 22).unwrap();
        assert_eq!(pending.bytes(), 400);
        let group = pending.take().unwrap();
        assert!(matches!(
            push(&mut pending, 0),
            Err(StoreError::Backlog { limit: 400, .. })
        ));
        pending.finish(group, 400);
        assert_eq!(push(&mut pending, 0).unwrap(), Lsn(2));
    }
}

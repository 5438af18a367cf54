//! The store as queues see it: a log they append to under their locks.

use broker_core::host::Lsn;
use broker_core::journal::{EntryKind, Journal, RawChange};

use crate::store::{Change, Store};

/// Appends what queues say to the store's log.
#[derive(Debug)]
pub struct StoreJournal(pub Store);

impl Journal for StoreJournal {
    fn append(&self, kind: EntryKind, parts: &[&[u8]]) -> Lsn {
        Lsn(self.0.append_entry(kind as u8, parts).0)
    }

    fn append_freeing(&self, kind: EntryKind, parts: &[&[u8]]) -> Lsn {
        Lsn(self.0.append_freeing_entry(kind as u8, parts).0)
    }

    fn append_changes(&self, changes: Vec<RawChange>) -> Lsn {
        let stored = |RawChange { key, value }| match value {
            Some(value) => Change::Put { key, value },
            None => Change::Delete { key },
        };
        let changes: Vec<Change> = changes.into_iter().map(stored).collect();
        Lsn(self.0.append_changes_unbounded(&changes).0)
    }
}

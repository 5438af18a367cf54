//! The messages of a data directory as a start would find them, checked more closely. Fed by the
//! store while it looks at its files; reads nothing itself.

use std::collections::HashMap;

use broker_core::definition::{Definition, is_queue_key};
use broker_core::host;
use broker_core::journal::PageKey;
use broker_core::recovery::check::{Check, Checked};

use crate::store::{Change, Lsn, Map, Replay};

/// A check that is being fed.
#[derive(Default)]
pub struct Checking {
    check: Check,
    /// Queues by the keys of their definitions, which are all that a deletion names.
    ids: HashMap<Vec<u8>, u64>,
}

impl Checking {
    /// Everything was read.
    pub fn finish(self) -> Checked {
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

impl Replay for Checking {
    fn base(&mut self, map: &Map) {
        *self = Checking::default();
        for (key, value) in map {
            self.put(key, value);
        }
    }

    fn base_is_older(&mut self) {
        self.check.map_is_older();
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

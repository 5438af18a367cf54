//! A log in memory that keeps every record, and the map that its changes make.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::host::Lsn;
use crate::journal::{EntryKind, Journal, PageEntry, RawChange};
use crate::queue::PageAt;

/// One record.
#[derive(Clone, Debug)]
pub(super) enum Item {
    Entry(EntryKind, Vec<u8>),
    Changes(Vec<RawChange>),
}

/// The map's keys and values.
pub(super) type Map = BTreeMap<Vec<u8>, Vec<u8>>;

/// The log; the LSN of a record is its place, from 1 on.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    items: Mutex<Vec<Item>>,
}

impl Recorded {
    /// What a crash left of a log.
    pub(super) fn from(items: Vec<Item>) -> Recorded {
        Recorded {
            items: Mutex::new(items),
        }
    }

    pub(super) fn last(&self) -> u64 {
        self.items.lock().len() as u64
    }

    /// The records up to an LSN.
    pub(super) fn upto(&self, lsn: u64) -> Vec<Item> {
        self.items.lock()[..lsn as usize].to_vec()
    }

    /// The map as of an LSN.
    pub(super) fn map(&self, lsn: u64) -> Map {
        let mut map = Map::new();
        for item in &self.items.lock()[..lsn as usize] {
            if let Item::Changes(changes) = item {
                changes.iter().for_each(|change| apply(&mut map, change));
            }
        }
        map
    }

    fn push(&self, item: Item) -> Lsn {
        let mut items = self.items.lock();
        items.push(item);
        Lsn(items.len() as u64)
    }
}

impl Journal for Recorded {
    fn append(&self, kind: EntryKind, parts: &[&[u8]]) -> Lsn {
        self.push(Item::Entry(kind, parts.concat()))
    }

    fn append_freeing(&self, kind: EntryKind, parts: &[&[u8]]) -> Lsn {
        assert_eq!(kind, EntryKind::Settled);
        self.append(kind, parts)
    }

    fn append_changes(&self, changes: Vec<RawChange>) -> Lsn {
        assert!(!changes.is_empty());
        self.push(Item::Changes(changes))
    }
}

fn apply(map: &mut Map, change: &RawChange) {
    match &change.value {
        Some(value) => map.insert(change.key.clone(), value.clone()),
        None => map.remove(&change.key),
    };
}

/// Where the pages lie that a map names.
pub(super) fn places(map: &Map) -> Vec<PageAt> {
    let entries = map.iter().map(|(key, value)| {
        let entry = PageEntry::decode(key, value).expect("an entry of a page");
        place(&entry)
    });
    entries.collect()
}

pub(super) fn place(entry: &PageEntry) -> PageAt {
    PageAt {
        segment: entry.segment,
        offset: entry.offset,
        length: entry.length,
        crc: entry.crc,
    }
}

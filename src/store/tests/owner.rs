//! An owner of entries for tests: what it was handed, and a floor that the test moves.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

/// Something a replay handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    Change(Change),
    Entry(u8, Vec<u8>),
}

/// Keeps all that a replay hands over.
#[derive(Debug, Default)]
pub(super) struct Recorder {
    pub(super) base: Option<Map>,
    /// The floor is higher than the base.
    pub(super) is_base_older: bool,
    pub(super) seen: Vec<(Lsn, Seen)>,
}

impl Recorder {
    /// The entries, in the order in which they came.
    pub(super) fn entries(&self) -> Vec<(Lsn, u8, Vec<u8>)> {
        let entry = |(lsn, seen): &(Lsn, Seen)| match seen {
            Seen::Entry(kind, payload) => Some((*lsn, *kind, payload.clone())),
            Seen::Change(_) => None,
        };
        self.seen.iter().filter_map(entry).collect()
    }

    /// The LSNs of the entries.
    pub(super) fn lsns(&self) -> Vec<u64> {
        self.entries().iter().map(|(lsn, ..)| lsn.0).collect()
    }

    /// The base with the changes applied.
    pub(super) fn map(&self) -> Map {
        let mut map = self.base.clone().expect("the base comes first");
        for (_, seen) in &self.seen {
            match seen {
                Seen::Change(Change::Put { key, value }) => {
                    map.insert(key.clone(), value.clone());
                }
                Seen::Change(Change::Delete { key }) => {
                    map.remove(key);
                }
                Seen::Entry(..) => {}
            }
        }
        map
    }
}

impl Replay for Recorder {
    fn base(&mut self, map: &Map) {
        self.base = Some(map.clone());
        self.is_base_older = false;
        self.seen.clear();
    }

    fn base_is_older(&mut self) {
        self.is_base_older = true;
    }

    fn change(&mut self, lsn: Lsn, change: &Change) {
        assert!(self.base.is_some(), "the base comes first");
        self.seen.push((lsn, Seen::Change(change.clone())));
    }

    fn entry(&mut self, lsn: Lsn, kind: u8, payload: &[u8]) {
        assert!(self.base.is_some(), "the base comes first");
        self.seen.push((lsn, Seen::Entry(kind, payload.to_vec())));
    }
}

/// An owner whose floor is where the test puts it.
#[derive(Debug, Default)]
pub(super) struct Held {
    floor: AtomicU64,
    released: AtomicU64,
    calls: AtomicU64,
}

impl Held {
    pub(super) fn raise(&self, floor: Lsn) {
        self.floor.fetch_max(floor.0, Ordering::SeqCst);
    }

    /// Up to where it was asked to let entries go, and how often.
    pub(super) fn released(&self) -> (Lsn, u64) {
        let upto = Lsn(self.released.load(Ordering::SeqCst));
        (upto, self.calls.load(Ordering::SeqCst))
    }
}

impl Owner for Held {
    fn floor(&self) -> Lsn {
        Lsn(self.floor.load(Ordering::SeqCst))
    }

    fn release(&self, upto: Lsn) {
        self.released.fetch_max(upto.0, Ordering::SeqCst);
        self.calls.fetch_add(1, Ordering::SeqCst);
    }
}

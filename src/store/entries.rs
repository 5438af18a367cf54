//! What the owner of a store takes part in: replaying its entries at a start, and saying which of
//! them are no longer needed. An entry is a kind and bytes; nothing here knows what they mean.

use super::record::Change;
use super::{Lsn, Map};

/// The kinds of entries that belong to the owner; the others are the store's own.
pub const ENTRY_KINDS: std::ops::RangeInclusive<u8> = 2..=127;

/// What opening hands over, so that the owner can build its state: first the map as of some record,
/// then what the log holds behind it, in the order of LSNs.
///
/// Changes are those behind the base, entries those behind the recorded floor: an entry may well
/// be older than the base.
pub trait Replay {
    /// The map that the changes come on top of. Called once before everything else. Called again,
    /// it starts over, and what came before counts for nothing: the catalogue turned out to be
    /// of no use when the log ended.
    fn base(&mut self, map: &Map);
    /// The map is older than the floor, which was recorded with a later one: the map is made from a
    /// snapshot. Entries that say what became of something it names may not be handed over. Called after
    /// [`base`](Self::base).
    fn base_is_older(&mut self) {}
    /// A change of the map.
    fn change(&mut self, lsn: Lsn, change: &Change);
    /// An entry, of a kind in [`ENTRY_KINDS`].
    fn entry(&mut self, lsn: Lsn, kind: u8, payload: &[u8]);
}

/// Who appends the entries of a store, and knows how long each is needed.
pub trait Owner: Send + Sync {
    /// Every entry up to this record may be forgotten: what it says is in the map, in changes
    /// appended by now, or no longer true. It may be beyond the last record, and never falls.
    /// Called from the upkeep thread, which holds no lock meanwhile.
    fn floor(&self) -> Lsn;
    /// The log wants to forget everything up to `upto`: the owner is to bring about that
    /// [`floor`](Self::floor) rises so far. Returns at once.
    fn release(&self, upto: Lsn);
}

/// For a store without entries: remembers nothing and needs nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoEntries;

impl Replay for NoEntries {
    fn base(&mut self, _map: &Map) {}
    fn change(&mut self, _lsn: Lsn, _change: &Change) {}
    fn entry(&mut self, _lsn: Lsn, _kind: u8, _payload: &[u8]) {}
}

impl Owner for NoEntries {
    fn floor(&self) -> Lsn {
        Lsn(u64::MAX)
    }
    fn release(&self, _upto: Lsn) {}
}

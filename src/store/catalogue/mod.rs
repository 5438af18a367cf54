//! The catalogue: the whole map as of some record, so that the log before it can be recycled.
//! A checkpoint is the only writer; between checkpoints it is not touched. It is never the truth:
//! whatever is wrong with it, snapshot and log give the map back.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::Lsn;
use super::layout::Identity;

mod sled;
mod totals;

pub(super) use self::sled::SledSource;

/// Why a catalogue could not be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// What it holds is wrong, or reading it failed or panicked: it must be set aside.
    #[error("{0}")]
    Damaged(String),
    /// The disk is full; it may work again later.
    #[error("the disk is full: {0}")]
    DiskFull(std::io::Error),
    /// The operating system does not let it be opened as things are; it may be intact.
    #[error("{0}")]
    Refused(std::io::Error),
}

/// New values by key, `None` where a key is deleted.
pub type Entries = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// What a scan calls for every entry.
pub type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]);

/// How far a catalogue holds the map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mark {
    /// Every record up to this one is in it.
    pub complete: Lsn,
    /// Some entries may be as of a record up to this one, because a checkpoint was cut short: the
    /// catalogue is of use only with a log that reaches so far.
    pub touched: Lsn,
    /// No entry of the log up to this record is needed with it.
    pub floor: Lsn,
}

/// An open catalogue. Its steps are separate because their order is what a power loss tests:
/// `apply`, then `flush`, then `sync`, and only then may the log be recycled.
pub trait Catalogue: Send {
    /// How far the catalogue holds the map; `None` if it was never written.
    fn mark(&self) -> Option<Mark>;
    /// Visits every entry, in no order, and checks that they are all there.
    fn scan(&self, visit: Visit<'_>) -> Result<(), CatalogueError>;
    /// Writes the entries, which are what changed up to record `upto`, and the floor that goes
    /// with them. If that is cut short, the mark says so, and has the floor it had.
    fn apply(&mut self, entries: &Entries, upto: Lsn, floor: Lsn) -> Result<(), CatalogueError>;
    /// Hands everything to the operating system.
    fn flush(&mut self) -> Result<(), CatalogueError>;
    /// Makes what was handed over durable.
    fn sync(&mut self) -> Result<(), CatalogueError>;
}

/// Where a catalogue comes from.
pub trait CatalogueSource: Send + Sync {
    /// Whether there is one.
    fn exists(&self) -> bool;
    /// Opens the catalogue of this node, or makes an empty one if there is none.
    fn open(&self, identity: &Identity) -> Result<Box<dyn Catalogue>, CatalogueError>;
    /// Moves a damaged one out of the way and keeps it; returns where it is.
    fn set_aside(&self) -> std::io::Result<PathBuf>;
    /// Its directory, for messages.
    fn path(&self) -> PathBuf;
}

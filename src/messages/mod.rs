//! Between queues and the disk: their entries in the log, their pages, and both again at a start.
//!
//! ```text
//! queue ─ append ─────────────▶ journal ──▶ store's log
//!       ─ page out / in / free ▶ pager ───▶ segment files
//! log ─── release, floor ─────▶ keeper ──▶ every durable queue
//! memory ─ shrink ────────────▶ sweep ───▶ the largest queues
//! backup: store's copy ─ pages of its map, held by pager ─▶ another directory
//! start: catalogue + log ─ replay ─▶ recovery ─▶ restore ─▶ queues
//! ```

mod backup;
mod journal;
mod keeper;
mod pager;
mod restore;
mod sweep;

pub(crate) use backup::{BackupError, Backups};
pub(crate) use journal::StoreJournal;
pub(crate) use keeper::Keeper;
pub(crate) use pager::Pager;
pub(crate) use restore::{Recovering, restore};
pub(crate) use sweep::sweep_often;

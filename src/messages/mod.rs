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
mod checking;
mod definitions;
mod journal;
mod keeper;
mod page_work;
mod pager;
mod restore;
mod sweep;

pub(crate) use backup::{BackupError, Backups};
pub use checking::Checking;
pub use definitions::restore_definitions;
pub use journal::StoreJournal;
pub use keeper::Keeper;
pub use page_work::{PageWork, Read, Written};
pub(crate) use pager::Pager;
pub use restore::{FoundMessages, Recovering, restore};
pub(crate) use sweep::sweep_often;

//! Between queues and the disk: their entries in the log, their pages, and both again at a start.
//!
//! ```text
//! queue ─ append ─────────────▶ journal ──▶ store's log
//!       ─ page out / in / free ▶ pager ───▶ segment files
//! log ─── release, floor ─────▶ keeper ──▶ every durable queue
//! start: catalogue + log ─ replay ─▶ recovery ─▶ restore ─▶ queues
//! ```

mod journal;
mod keeper;
mod pager;
mod restore;

pub(crate) use journal::StoreJournal;
pub(crate) use keeper::Keeper;
pub(crate) use pager::Pager;
pub(crate) use restore::{Recovering, restore};

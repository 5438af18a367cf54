//! The formats of the log: read back as written, stable, and safe against any bytes.

mod describe;
mod formats;
mod hostile;
mod runs;

use parking_lot::Mutex;

use super::{EntryKind, Journal, RawChange};
use crate::host::Lsn;
use crate::message::{Body, Message, Records};

/// Keeps what is appended.
#[derive(Debug, Default)]
pub(super) struct Kept {
    entries: Mutex<Vec<(EntryKind, Vec<u8>, bool)>>,
}

impl Kept {
    fn keep(&self, kind: EntryKind, parts: &[&[u8]], is_freeing: bool) -> Lsn {
        let mut entries = self.entries.lock();
        entries.push((kind, parts.concat(), is_freeing));
        Lsn(entries.len() as u64)
    }
}

impl Journal for Kept {
    fn append(&self, kind: EntryKind, parts: &[&[u8]]) -> Lsn {
        self.keep(kind, parts, false)
    }

    fn append_freeing(&self, kind: EntryKind, parts: &[&[u8]]) -> Lsn {
        self.keep(kind, parts, true)
    }

    fn append_changes(&self, _changes: Vec<RawChange>) -> Lsn {
        Lsn(self.entries.lock().len() as u64)
    }
}

/// The one entry that `append` appends.
#[track_caller]
pub(super) fn appended(append: impl FnOnce(&dyn Journal) -> Lsn) -> (EntryKind, Vec<u8>, bool) {
    let kept = Kept::default();
    assert_eq!(append(&kept), Lsn(1));
    let mut entries = kept.entries.into_inner();
    assert_eq!(entries.len(), 1);
    entries.remove(0)
}

/// Records with these ordinals and bodies.
pub(super) fn records(messages: &[(u64, Body<'_>)]) -> Records {
    let mut records = Records::new();
    for (ordinal, body) in messages {
        let position = records.push(Message {
            exchange: "x",
            routing_key: "key",
            properties: &[0x90, 0],
            body: body.clone(),
            persistent: true,
            priority: 9,
            expires_at: None,
            has_bcc: false,
        });
        records.head_mut(position).set_ordinal(*ordinal);
    }
    records
}

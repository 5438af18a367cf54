//! A start finds what was there: by example, and against an imagined run of a broker.

mod checked;
mod examples;
mod imagined;
mod replayed;
mod scale;

use std::collections::BTreeMap;

use bytes::Bytes;

use super::Restored;
use crate::host::Lsn;
use crate::journal::{EntryKind, Journal, PageEntry, RawChange, Runs};
use crate::message::{Body, Message, Position, Records};

/// A log in memory.
#[derive(Debug, Default)]
struct Log {
    entries: parking_lot::Mutex<Vec<(EntryKind, Vec<u8>)>>,
}

impl Journal for Log {
    fn append(&self, kind: EntryKind, parts: &[&[u8]]) -> Lsn {
        let mut entries = self.entries.lock();
        entries.push((kind, parts.concat()));
        Lsn(entries.len() as u64)
    }

    fn append_freeing(&self, kind: EntryKind, parts: &[&[u8]]) -> Lsn {
        self.append(kind, parts)
    }

    fn append_changes(&self, _changes: Vec<RawChange>) -> Lsn {
        unreachable!("a page is told to the recovery itself")
    }
}

/// The bytes of the one entry that `append` appends.
pub(super) fn entry(append: impl FnOnce(&dyn Journal) -> Lsn) -> (EntryKind, Vec<u8>) {
    let log = Log::default();
    append(&log);
    let mut entries = log.entries.into_inner();
    assert_eq!(entries.len(), 1);
    entries.remove(0)
}

/// A record whose body says `body`; every third one has it shared.
pub(super) fn push(records: &mut Records, ordinal: u64, body: u32, count: u32) -> Position {
    let text = body.to_string();
    let position = records.push(Message {
        exchange: "",
        routing_key: "q",
        properties: &[0, 0],
        body: match body % 3 {
            0 => Body::Shared(Bytes::from(text.clone())),
            _ => Body::Inline(text.as_bytes()),
        },
        persistent: true,
        priority: 0,
        expires_at: None,
        has_bcc: false,
    });
    let mut head = records.head_mut(position);
    head.set_ordinal(ordinal);
    head.set_delivery_count(count);
    position
}

pub(super) fn page(queue: u64, number: u64, runs: Runs) -> PageEntry {
    PageEntry {
        queue,
        number,
        segment: number / 4,
        offset: number % 4 * 4096,
        length: 1 << 20,
        crc: number as u32,
        level: None,
        is_redelivered: false,
        may_expire: false,
        body_length: Default::default(),
        runs,
    }
}

/// Ordinal to body and delivery count.
pub(super) type Contents = BTreeMap<u64, (u32, u32)>;

/// The messages of a queue that are only in the log; they are alive and ascend.
#[track_caller]
pub(super) fn in_log(restored: &Restored, queue: u64) -> Contents {
    let mut contents = Contents::new();
    for queue in restored.queues.iter().filter(|found| found.queue == queue) {
        let mut records = queue.chunks.iter().flat_map(|chunk| chunk.records.iter());
        records.by_ref().for_each(|record| {
            assert!(!record.is_removed() && record.is_logged());
            let highest = contents.last_key_value().map_or(0, |(&ordinal, _)| ordinal);
            assert!(record.ordinal() > highest, "ordinals ascend");
            let body = std::str::from_utf8(record.body()).unwrap().parse().unwrap();
            contents.insert(record.ordinal(), (body, record.delivery_count()));
        });
    }
    contents
}

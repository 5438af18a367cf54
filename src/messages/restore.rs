//! A start: from the store's map and log to queues with their messages.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use broker_core::broker::Broker;
use broker_core::definition::{Definition, is_queue_key};
use broker_core::host;
use broker_core::journal::{EntryKind, PageEntry, PageKey, Turn};
use broker_core::queue::handle::{QueueHandle, QueueId};
use broker_core::recovery::{Recovery, Restored};
use broker_core::time::Timestamp;
use tracing::info;

use super::page_work::read_page;
use crate::defects::{Defect, is_planted};
use crate::store::pages::{MissingSegment, PageAt, Pages};
use crate::store::{
    Change, DamageAlarm, Disk, FINDS_MAX, Finding, Identity, Lsn, Map, Replay, Severity, StoreError,
};

/// Entries of pages that go in one record of the log.
const ORPHANS_MAX: usize = 1_000;

/// The messages that are being found, while the store opens.
#[derive(Default)]
pub struct Recovering {
    recovery: Recovery,
    /// Queues by the keys of their definitions, which are all that a deletion names.
    ids: HashMap<Vec<u8>, u64>,
    /// The highest id of a queue that anything speaks of.
    last_id: u64,
    /// What cannot be used, although its checksums hold.
    unusable: Vec<String>,
}

impl Recovering {
    fn note(&mut self, what: String) {
        if self.unusable.len() < FINDS_MAX {
            self.unusable.push(what);
        }
    }

    fn put(&mut self, key: &[u8], value: &[u8]) {
        if key.starts_with(PageKey::PREFIX) {
            if let Err(cause) = self.recovery.page(key, value) {
                self.note(format!("the entry of a page cannot be used: {cause}"));
            }
        } else if is_queue_key(key)
            && let Ok(Definition::Queue(_, _, id)) = Definition::read(key, value)
        {
            self.last_id = self.last_id.max(id.0);
            if let Some(former) = self.ids.insert(key.to_vec(), id.0)
                && former != id.0
            {
                self.recovery.queue_gone(former);
            }
            self.recovery.queue_exists(id.0);
        }
    }

    fn delete(&mut self, key: &[u8]) {
        if key.starts_with(PageKey::PREFIX) {
            self.recovery.page_gone(key);
        } else if let Some(id) = self.ids.remove(key) {
            self.recovery.queue_gone(id);
        }
    }

    fn note_ids(&mut self, kind: u8, payload: &[u8]) {
        if kind == EntryKind::Turn as u8 {
            let turn = Turn::decode(payload).unwrap_or_default();
            let named = turn.sections.iter().flat_map(|section| &section.queues);
            self.last_id = named.copied().fold(self.last_id, u64::max);
        } else if let Some(id) = payload.first_chunk() {
            self.last_id = self.last_id.max(u64::from_le_bytes(*id));
        }
    }
}

impl Replay for Recovering {
    fn base(&mut self, map: &Map) {
        *self = Recovering::default();
        for (key, value) in map {
            self.put(key, value);
        }
    }

    fn base_is_older(&mut self) {
        self.recovery.map_is_older();
    }

    fn change(&mut self, _lsn: Lsn, change: &Change) {
        match change {
            Change::Put { key, value } => self.put(key, value),
            Change::Delete { key } => self.delete(key),
        }
    }

    fn entry(&mut self, lsn: Lsn, kind: u8, payload: &[u8]) {
        self.note_ids(kind, payload);
        if let Err(damaged) = self.recovery.entry(host::Lsn(lsn.0), kind, payload) {
            self.note(format!("a record of the log cannot be used: {damaged}"));
        }
    }
}

/// Messages that were found, and the segments they lie in.
pub struct FoundMessages {
    restored: Restored,
    last_id: u64,
    unusable: Vec<String>,
}

impl Recovering {
    /// Everything was read.
    pub fn finish(self) -> FoundMessages {
        FoundMessages {
            restored: self.recovery.finish(),
            last_id: self.last_id,
            unusable: self.unusable,
        }
    }
}

impl FoundMessages {
    /// Opens the pages that are in use, in segments of `segment_bytes`; says what is damaged.
    pub fn open_pages(
        &self,
        disk: Arc<dyn Disk>,
        (dir, node): (&Path, [u8; 16]),
        segment_bytes: u64,
        alarm: &DamageAlarm,
    ) -> Result<Pages, StoreError> {
        let queues = self.restored.queues.iter();
        let named = queues.flat_map(|queue| queue.pages.iter().chain(&queue.dead_pages));
        let opened = Pages::open(
            disk,
            dir,
            Identity {
                node,
                cluster: [0; 16],
            },
            segment_bytes,
            named.map(at),
        )?;
        for MissingSegment { path, pages, .. } in opened.missing {
            let what = format!("missing, with {pages} pages of messages: they are lost");
            alarm.raise(Finding::error(path, None, what));
        }
        for path in opened.broken {
            let what = "the header's checksum does not hold; whole pages are served";
            alarm.raise(Finding::error(path, Some(0), what));
        }
        Ok(opened.pages)
    }
}

/// Gives the queues their messages. Before any client comes.
pub fn restore(
    broker: &Broker,
    found: FoundMessages,
    pages: &Pages,
    is_clean: bool,
    now: Timestamp,
    alarm: &DamageAlarm,
) {
    let FoundMessages {
        restored,
        last_id,
        unusable,
    } = found;
    if !is_planted(Defect::QueueIdsUsedAgain) {
        broker.reserve_queue_ids(QueueId(last_id));
    }
    let is_clean = is_clean || is_planted(Defect::RedeliveredForgotten);
    let without_file = |what: String| Finding {
        severity: Severity::Error,
        path: None,
        offset: None,
        what,
    };
    for what in unusable {
        alarm.raise(without_file(what));
    }
    let queues = durable_queues(broker);
    // A letter that moved before its target has its own messages would take their ordinals.
    let vhosts = broker.vhosts();
    let letters = vhosts.iter().map(|vhost| vhost.hold_dead_letters());
    let held: Vec<_> = letters.collect();
    let mut messages = 0;
    for mut queue in restored.queues {
        if is_planted(Defect::OrdinalsUsedAgain) {
            queue.next_ordinal = 1;
        }
        let Some(handle) = queues.get(&queue.queue) else {
            continue;
        };
        let read = |page: &PageEntry| {
            let read = read_page(pages, at(page));
            read.map_err(|find| alarm.raise(find)).ok()
        };
        handle.restore(now, queue, is_clean, read);
        messages += handle.counts().ready;
    }
    drop(held);
    for vhost in &vhosts {
        vhost.move_dead_letters(now);
    }
    delete_orphans(broker, &restored.orphans);
    let tally = restored.tally;
    if tally.vanished > 0 {
        let count = tally.vanished;
        let what = format!("{count} messages left their pages for nowhere: they are lost");
        alarm.raise(without_file(what));
    }
    info!(
        messages,
        entries = tally.entries,
        pages = tally.pages,
        damaged = tally.damaged,
        last_queue = last_id,
        "messages restored"
    );
}

fn durable_queues(broker: &Broker) -> HashMap<u64, Arc<QueueHandle>> {
    let mut queues = HashMap::new();
    for vhost in broker.vhosts() {
        let topology = vhost.topology();
        for entry in topology.queues() {
            queues.insert(entry.handle.identity().id.0, Arc::clone(&entry.handle));
        }
    }
    queues
}

/// Pages of queues that are gone leave the map.
fn delete_orphans(broker: &Broker, orphans: &[PageKey]) {
    let journal = broker.host().journal();
    for some in orphans.chunks(ORPHANS_MAX) {
        journal.append_changes(some.iter().map(PageKey::deleted).collect());
    }
}

fn at(page: &PageEntry) -> PageAt {
    PageAt {
        segment: page.segment,
        offset: page.offset,
        length: page.length,
        crc: page.crc,
    }
}

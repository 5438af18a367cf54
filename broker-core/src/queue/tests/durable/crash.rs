//! What a crash leaves, found by the recovery, and compared with what the naive queue knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::disk::Disk;
use super::journal::{Item, place, places};
use super::naive::{Fate, Naive};
use crate::host::Lsn;
use crate::journal::{PageEntry, RawChange};
use crate::message::RecordRef;
use crate::queue::PageAt;
use crate::recovery::{Recovery, RestoredQueue};

/// The id of the queue of these tests.
pub(super) const QUEUE: u64 = 1;

/// What the owner said of the floor, and after which record.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Floor {
    pub(super) lsn: u64,
    pub(super) told_at: u64,
}

/// Where the log ends, which map the start has, and from where on it reads entries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub(super) end: u64,
    pub(super) map: u64,
    pub(super) floor: u64,
}

/// A message as it was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct FoundMsg {
    pub(super) ordinal: u64,
    pub(super) deliveries: u32,
}

/// The id that a message has in its body.
pub(super) fn id_of(record: RecordRef<'_>) -> u32 {
    let body = std::str::from_utf8(record.body()).expect("text");
    let id = body.split(':').next().expect("an id");
    id.parse().expect("an id")
}

/// Reads what is left.
pub(super) fn recover(disk: &Disk, cut: Cut) -> RestoredQueue {
    let log = disk.log();
    let mut recovery = Recovery::new();
    recovery.queue_exists(QUEUE);
    for (key, value) in log.map(cut.map) {
        recovery.page(&key, &value).expect("an entry of a page");
    }
    for (lsn, item) in (1..).zip(log.upto(cut.end)) {
        match item {
            Item::Entry(kind, payload) if lsn > cut.floor => {
                let read = recovery.entry(Lsn(lsn), kind as u8, &payload);
                read.expect("an entry");
            }
            Item::Changes(changes) if lsn > cut.map => {
                changes.iter().for_each(|one| change(&mut recovery, one));
            }
            Item::Entry(..) | Item::Changes(_) => {}
        }
    }
    let restored = recovery.finish();
    assert_eq!((restored.tally.damaged, restored.tally.vanished), (0, 0));
    assert!(restored.orphans.is_empty(), "no page of another queue");
    let mut queues = restored.queues;
    assert!(queues.len() <= 1);
    queues.pop().unwrap_or(RestoredQueue {
        queue: QUEUE,
        next_ordinal: 1,
        ..RestoredQueue::default()
    })
}

fn change(recovery: &mut Recovery, change: &RawChange) {
    match &change.value {
        Some(value) => recovery
            .page(&change.key, value)
            .expect("an entry of a page"),
        None => recovery.page_gone(&change.key),
    }
}

/// Where the pages lie that a start finds in use.
pub(super) fn in_use(found: &RestoredQueue) -> Vec<PageAt> {
    let named = found.pages.iter().chain(&found.dead_pages);
    named.map(place).collect()
}

/// What was found, by id.
pub(super) fn contents(disk: &Disk, found: &RestoredQueue) -> BTreeMap<u32, FoundMsg> {
    let mut contents = BTreeMap::new();
    let mut add = |record: RecordRef<'_>, deliveries| {
        let msg = FoundMsg {
            ordinal: record.ordinal(),
            deliveries,
        };
        let former = contents.insert(id_of(record), msg);
        assert!(former.is_none(), "{} is there twice", id_of(record));
    };
    let mut last = 0;
    for record in found.chunks.iter().flat_map(|chunk| chunk.records.iter()) {
        assert!(record.ordinal() > last, "ordinals ascend");
        last = record.ordinal();
        add(record, record.delivery_count());
    }
    let returned: BTreeMap<u64, u32> = found.returned.iter().copied().collect();
    for page in &found.pages {
        let mut left = page.runs.clone();
        for record in page_records(disk, page).iter() {
            if left.remove(record.ordinal()) {
                let count = record.delivery_count();
                add(
                    record,
                    returned.get(&record.ordinal()).copied().unwrap_or(count),
                );
            }
        }
        assert!(
            left.is_empty(),
            "the page has all that its entry names: {left:?}"
        );
    }
    contents
}

fn page_records(disk: &Disk, page: &PageEntry) -> crate::message::Records {
    let read = disk.read_durable(place(page));
    read.unwrap_or_else(|| panic!("page {} is named and free", page.number))
}

/// What is found is what the naive queue says.
pub(super) fn compare(disk: &Disk, naive: &Naive, found: &RestoredQueue, cut: Cut) {
    let contents = contents(disk, found);
    let mut highest = 0;
    for msg in naive.all.values() {
        let fate = msg.fate(cut.end);
        match contents.get(&msg.id) {
            None => assert_ne!(fate, Fate::There, "lost: {msg:?}, {cut:?}"),
            Some(found) => {
                assert_ne!(fate, Fate::Gone, "came again: {msg:?}, {cut:?}");
                let counts = msg.counts_at(cut.end);
                assert!(
                    counts.contains(&found.deliveries),
                    "{found:?} was delivered {counts:?} times: {msg:?}, {cut:?}"
                );
                if msg.placed.1 <= cut.end {
                    assert_eq!(found.ordinal, msg.ordinal, "{msg:?}, {cut:?}");
                    highest = highest.max(found.ordinal);
                }
            }
        }
    }
    for (id, found) in &contents {
        let Some(msg) = naive.all.get(id) else {
            panic!("{id} was never published: {cut:?}");
        };
        let is_placed = msg.placed.1 <= cut.end || found.ordinal == msg.ordinal;
        assert!(
            is_placed || found.ordinal > highest,
            "{msg:?}, {found:?}, {cut:?}"
        );
    }
    assert!(
        contents
            .values()
            .all(|msg| msg.ordinal < found.next_ordinal)
    );
}

/// Every page is in use by the queue, named by the map, or free.
pub(super) fn check_pages(disk: &Arc<Disk>, homes: &[PageAt]) {
    let pages = disk.pages.lock();
    for (offset, page) in (0..).zip(pages.iter()) {
        let is_home = homes.iter().any(|at| at.offset == offset);
        let is_kept = page.bytes.is_some() && page.freed.is_none();
        assert_eq!(
            is_home, is_kept,
            "page {offset} is kept as long as it is used"
        );
    }
    let Some(log) = &disk.journal else { return };
    for at in places(&log.map(log.last())) {
        assert!(
            homes.contains(&at),
            "the map names a page that no chunk has"
        );
    }
}

//! A durable queue whose every chunk holds four messages, for facts that are looked at one by one.

use std::sync::Arc;

use super::super::{Client, identity};
use super::crash::id_of;
use super::disk::Disk;
use super::journal::{Item, place};
use super::ops::Draft;
use super::run::push;
use crate::inbox::{ConfirmRun, ConsumerId, Event, Mail};
use crate::journal::{Entry, PageEntry};
use crate::queue::chunks::ChunksOf;
use crate::queue::*;
use crate::recovery::{Recovery, RestoredQueue};

/// Room for four messages of [`Bed::publish`] in a chunk.
const CHUNK_BYTES: usize = 400;
const BODY_BYTES: usize = 40;

pub(super) struct Bed {
    pub(super) disk: Arc<Disk>,
    pub(super) queue: Arc<QueueHandle>,
    next_id: u32,
    _small: ChunksOf,
}

/// What a restored or a drained queue gives: id, whether it is marked as redelivered, and how
/// often it was delivered before.
pub(super) type Given = (u32, bool, u32);

pub(super) fn persistent() -> Draft {
    Draft {
        is_persistent: true,
        priority: 0,
        bytes: BODY_BYTES,
    }
}

pub(super) fn transient() -> Draft {
    Draft {
        is_persistent: false,
        ..persistent()
    }
}

impl Bed {
    /// A queue without memory to spare.
    pub(super) fn new(settings: Settings) -> Bed {
        Bed::on(Disk::new(false), settings)
    }

    pub(super) fn with_memory(settings: Settings) -> Bed {
        Bed::on(Disk::new(true), settings)
    }

    pub(super) fn on(disk: Disk, settings: Settings) -> Bed {
        Bed::of(identity(), disk, settings)
    }

    pub(super) fn of(identity: Identity, disk: Disk, settings: Settings) -> Bed {
        let small = ChunksOf::bytes(CHUNK_BYTES);
        let disk = Arc::new(disk);
        let queue = QueueHandle::new(identity, settings, disk.clone());
        queue.submit(disk.now(), Command::Touch);
        Bed {
            disk,
            queue,
            next_id: 1,
            _small: small,
        }
    }

    pub(super) fn submit(&self, command: Command) {
        self.queue.submit(self.disk.now(), command);
    }

    /// Publishes so many persistent messages, with ids from 1 on, which are their ordinals too.
    pub(super) fn publish(&mut self, count: usize) {
        self.publish_all(&vec![persistent(); count]);
    }

    /// Publishes these in one batch. The refused ones by index, and where the log has the batch.
    pub(super) fn publish_all(&mut self, drafts: &[Draft]) -> (Vec<u64>, u64) {
        self.publish_batch(drafts, None)
    }

    pub(super) fn publish_batch(
        &mut self,
        drafts: &[Draft],
        in_turn: Option<InTurn>,
    ) -> (Vec<u64>, u64) {
        let publisher = Client::new();
        let mut batch = Batch {
            origin: Some(publisher.inbox.clone()),
            in_turn,
            ..Batch::default()
        };
        for draft in drafts {
            push(&mut batch.records, self.next_id, draft);
            self.next_id += 1;
        }
        batch.confirms.push(ConfirmRun {
            channel: 1,
            first: 0,
            count: drafts.len() as u32,
        });
        self.queue.publish(self.disk.now(), &mut batch);
        let mut mail = Mail::default();
        publisher.inbox.take(&mut mail, None);
        let [crate::inbox::Item::Event(Event::Published { rejected, lsn, .. })] = &mail.items[..]
        else {
            panic!("one answer: {mail:?}");
        };
        (rejected.iter().map(|(_, index)| *index).collect(), lsn.0)
    }

    pub(super) fn consume(&self, client: &Client, prefetch: u16) {
        let spec = ConsumerSpec {
            prefetch,
            ..client.spec(5)
        };
        self.submit(Command::Consume(spec, 1));
    }

    pub(super) fn get(&self, client: &Client) {
        let reply = client.reply(1);
        self.submit(Command::Get {
            no_ack: false,
            reply,
            consumer: ConsumerId(0),
        });
    }

    pub(super) fn ack(&self, ordinals: impl IntoIterator<Item = u64>) {
        let ordinals = ordinals.into_iter().collect();
        self.submit(Command::Ack { ordinals });
    }

    pub(super) fn release(&self) {
        let upto = crate::host::Lsn(self.disk.log().last());
        self.submit(Command::Release { upto });
    }

    /// Later by so many milliseconds; a deadline in between is kept.
    pub(super) fn advance(&self, ms: u64) {
        let now = self.disk.now().plus_ms(ms);
        self.disk.set_now(now);
        let is_due = self.disk.armed.lock().take_if(|at| *at <= now).is_some();
        if is_due {
            self.submit(Command::Tick);
        }
    }

    pub(super) fn away(&self) -> usize {
        self.queue.queue_for_tests().chunks.away_count()
    }

    /// Pages that were written, and read, since the last call.
    pub(super) fn traffic(&self) -> (usize, usize) {
        let written = std::mem::take(&mut *self.disk.written.lock());
        (written, std::mem::take(&mut *self.disk.read.lock()))
    }

    /// Pages that are not free.
    pub(super) fn pages(&self) -> usize {
        let pages = self.disk.pages.lock();
        let kept = |page: &&super::disk::Page| page.bytes.is_some() && page.freed.is_none();
        pages.iter().filter(kept).count()
    }

    pub(super) fn needed_from(&self) -> Option<u64> {
        self.queue.needed_from().map(|lsn| lsn.0)
    }

    /// The entries of pages as the map has them in the end.
    pub(super) fn entries(&self) -> Vec<PageEntry> {
        let log = self.disk.log();
        let map = log.map(log.last());
        let entries = map.iter();
        entries
            .map(|(key, value)| PageEntry::decode(key, value).expect("an entry"))
            .collect()
    }

    /// What the log got behind an LSN, as short words.
    pub(super) fn log_behind(&self, lsn: u64) -> Vec<String> {
        let log = self.disk.log();
        let items = log.upto(log.last()).split_off(lsn as usize);
        items.into_iter().map(word).collect()
    }

    /// What a crash now leaves, if the start reads the whole log.
    pub(super) fn crash(&self) -> RestoredQueue {
        let mut recovery = Recovery::new();
        recovery.queue_exists(1);
        let log = self.disk.log();
        for (lsn, item) in (1..).zip(log.upto(log.last())) {
            match item {
                Item::Entry(kind, payload) => recovery
                    .entry(crate::host::Lsn(lsn), kind as u8, &payload)
                    .expect("an entry"),
                Item::Changes(changes) => {
                    for change in changes {
                        match change.value {
                            Some(value) => recovery.page(&change.key, &value).expect("an entry"),
                            None => recovery.page_gone(&change.key),
                        }
                    }
                }
            }
        }
        let mut restored = recovery.finish();
        assert_eq!((restored.tally.damaged, restored.tally.vanished), (0, 0));
        restored.queues.pop().unwrap_or_default()
    }

    /// The broker goes down, in good order or not, and comes up again.
    pub(super) fn restart(&mut self, is_clean: bool) {
        let found = self.crash();
        let settings = self.queue.queue_for_tests().settings.clone();
        let log = self.disk.log();
        let journal = super::journal::Recorded::from(log.upto(log.last()));
        let disk = self
            .disk
            .after_crash(journal, &super::crash::in_use(&found));
        self.disk = Arc::new(disk);
        let identity = self.queue.identity().clone();
        self.queue = QueueHandle::new(identity, settings, self.disk.clone());
        self.submit(Command::Touch);
        let disk = self.disk.clone();
        let read = |page: &PageEntry| disk.read(place(page));
        self.queue.restore(self.disk.now(), found, is_clean, read);
    }

    /// Everything that is ready, to a consumer that does not settle it.
    pub(super) fn drain(&self) -> Vec<Given> {
        let client = Client::new();
        self.consume(&client, 0);
        let mut given = Vec::new();
        loop {
            let some = self.given(&client);
            if some.is_empty() {
                return given;
            }
            given.extend(some);
            client.resume(self.disk.now());
        }
    }

    /// What a client was given since the last call.
    pub(super) fn given(&self, client: &Client) -> Vec<Given> {
        let mut mail = Mail::default();
        client.inbox.take(&mut mail, None);
        let given = mail.records.iter().map(|record| {
            client.inbox.release_bytes(record.memory_bytes());
            (
                id_of(record),
                record.is_redelivered(),
                record.delivery_count(),
            )
        });
        given.collect()
    }

    /// The ids of what a client was given.
    pub(super) fn ids(&self, client: &Client) -> Vec<u32> {
        self.given(client).into_iter().map(|(id, ..)| id).collect()
    }
}

fn word(item: Item) -> String {
    let Item::Entry(kind, payload) = item else {
        let Item::Changes(changes) = item else {
            unreachable!("one or the other");
        };
        let of_change = |change: &crate::journal::RawChange| match change.value {
            Some(_) => "put",
            None => "delete",
        };
        return changes.iter().map(of_change).collect::<Vec<_>>().join(" ");
    };
    match Entry::decode(kind, &payload).expect("an entry") {
        Entry::Batch { records, .. } => format!("batch of {}", records.len()),
        Entry::Turn(turn) => format!("turn of {}", turn.sections.len()),
        Entry::Placed { placements, .. } => {
            let of_placement = |p: &crate::journal::Placement| (p.index, p.count, p.ordinal);
            format!(
                "placed {:?}",
                placements.iter().map(of_placement).collect::<Vec<_>>()
            )
        }
        Entry::Settled { runs, .. } => format!("settled {runs}"),
        Entry::Returned { counts, .. } => format!("returned {counts:?}"),
    }
}

//! Pages in memory, and a queue's surroundings that carry out its jobs at once, later, in any
//! order, or not at all.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::Mutex;

use super::journal::{Recorded, places};
use crate::journal::Journal;
use crate::message::Records;
use crate::queue::{
    Budget, Command, Deletion, PageAt, PageFree, PageIn, PageOut, QueueHandle, QueueHost,
};
use crate::time::Timestamp;

/// A page; its number is its offset.
#[derive(Clone, Debug)]
pub(super) struct Page {
    /// None once the space is free.
    pub(super) bytes: Option<Arc<[u8]>>,
    /// It was synced, and lies in a file that outlives a restart.
    is_durable: bool,
    /// It is free when the log is durable to here.
    pub(super) freed: Option<u64>,
}

#[derive(Debug)]
enum Job {
    Write(Arc<QueueHandle>, PageOut),
    Read(Arc<QueueHandle>, PageIn),
}

/// What is to happen to jobs.
#[derive(Debug, Default)]
struct Mood {
    is_later: bool,
    failing_writes: u32,
    failing_reads: u32,
}

/// Ordinals that were in pages which could not be read, and how many messages the queue said it
/// lost by that.
#[derive(Clone, Debug, Default)]
pub(super) struct Losses {
    pub(super) in_pages: BTreeSet<u64>,
    pub(super) told: u64,
}

/// The surroundings of one queue.
#[derive(Debug, Default)]
pub(super) struct Disk {
    pub(super) journal: Option<Arc<Recorded>>,
    pub(super) budget: Option<Arc<Budget>>,
    pub(super) pages: Mutex<Vec<Page>>,
    jobs: Mutex<Vec<Job>>,
    mood: Mutex<Mood>,
    pub(super) losses: Mutex<Losses>,
    pub(super) armed: Mutex<Option<Timestamp>>,
    pub(super) is_announced: Mutex<bool>,
    pub(super) failures: Mutex<Vec<String>>,
    now: Mutex<Timestamp>,
}

impl Disk {
    /// Nothing was written yet; without memory everything is as soon as it may.
    pub(super) fn new(has_memory: bool) -> Disk {
        Disk {
            journal: Some(Arc::default()),
            budget: (!has_memory).then(|| Arc::new(Budget::new(0))),
            now: Mutex::new(Timestamp(1_000)),
            ..Disk::default()
        }
    }

    /// What a crash leaves: durable pages of which a start needs some.
    pub(super) fn after_crash(&self, journal: Recorded, needed: &[PageAt]) -> Disk {
        let mut pages = self.pages.lock().clone();
        for (offset, page) in (0..).zip(&mut pages) {
            let is_needed = needed.iter().any(|at| at.offset == offset);
            if !(page.is_durable && is_needed) {
                page.bytes = None;
            }
            page.freed = None;
        }
        Disk {
            journal: Some(Arc::new(journal)),
            budget: self.budget.as_ref().map(|budget| {
                let limit = budget.limit();
                Arc::new(Budget::new(limit))
            }),
            pages: Mutex::new(pages),
            now: Mutex::new(self.now()),
            ..Disk::default()
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        *self.now.lock()
    }

    pub(super) fn set_now(&self, now: Timestamp) {
        *self.now.lock() = now;
    }

    pub(super) fn log(&self) -> &Arc<Recorded> {
        self.journal.as_ref().expect("a log")
    }

    /// From now on jobs wait for [`Self::work`], or not.
    pub(super) fn set_later(&self, is_later: bool) {
        self.mood.lock().is_later = is_later;
    }

    pub(super) fn fail_writes(&self, count: u32) {
        self.mood.lock().failing_writes = count;
    }

    pub(super) fn fail_reads(&self, count: u32) {
        self.mood.lock().failing_reads = count;
    }

    pub(super) fn is_busy(&self) -> bool {
        !self.jobs.lock().is_empty()
    }

    /// Carries out one of the jobs that wait. False when there is none.
    pub(super) fn work(&self, pick: usize) -> bool {
        let job = {
            let mut jobs = self.jobs.lock();
            if jobs.is_empty() {
                return false;
            }
            let index = pick % jobs.len();
            jobs.remove(index)
        };
        self.carry_out(job);
        true
    }

    pub(super) fn work_all(&self) {
        while self.work(0) {}
    }

    fn take(&self, job: Job) {
        let is_later = self.mood.lock().is_later;
        match is_later {
            true => self.jobs.lock().push(job),
            false => self.carry_out(job),
        }
    }

    fn carry_out(&self, job: Job) {
        let now = self.now();
        match job {
            Job::Write(queue, page) => {
                let (job, durable) = (page.job, page.durable);
                let at = self.store(page);
                queue.submit(now, Command::PageWritten { job, at, durable });
            }
            Job::Read(queue, page) => {
                let (job, records) = (page.job, self.load(page.at));
                queue.submit(now, Command::PageRead { job, records });
            }
        }
    }

    fn store(&self, page: PageOut) -> Option<PageAt> {
        if take_one(&mut self.mood.lock().failing_writes) {
            return None;
        }
        let mut pages = self.pages.lock();
        let at = PageAt {
            segment: 1,
            offset: pages.len() as u64,
            length: page.bytes.len() as u32,
            crc: 0,
        };
        pages.push(Page {
            bytes: Some(page.bytes.into()),
            is_durable: page.durable,
            freed: None,
        });
        Some(at)
    }

    fn load(&self, at: PageAt) -> Option<Records> {
        // A job that nobody waits for any more may name a page that is gone.
        let records = self.read(at)?;
        if take_one(&mut self.mood.lock().failing_reads) {
            let ordinals = records.iter().map(|record| record.ordinal());
            self.losses.lock().in_pages.extend(ordinals);
            return None;
        }
        Some(records)
    }

    /// The messages of a page that is there.
    pub(super) fn read(&self, at: PageAt) -> Option<Records> {
        let bytes = self.pages.lock()[at.offset as usize].bytes.clone()?;
        assert_eq!(bytes.len(), at.length as usize);
        Some(Records::decode(&bytes).expect("a block"))
    }

    /// The messages of a page that a crash now would leave.
    pub(super) fn read_durable(&self, at: PageAt) -> Option<Records> {
        let is_durable = self.pages.lock()[at.offset as usize].is_durable;
        is_durable.then(|| self.read(at)).flatten()
    }

    /// The log is durable up to here: what waited for that is free. No entry names it then.
    pub(super) fn free_durable(&self, durable: u64) {
        for (offset, page) in (0..).zip(self.pages.lock().iter_mut()) {
            if page.freed.is_some_and(|lsn| lsn <= durable) && page.bytes.take().is_some() {
                let Some(log) = &self.journal else { continue };
                let named = places(&log.map(durable));
                assert!(
                    named.iter().all(|at| at.offset != offset),
                    "page {offset} is free at {durable}, and the map names it"
                );
            }
        }
    }
}

fn take_one(count: &mut u32) -> bool {
    let is_left = *count > 0;
    *count -= u32::from(is_left);
    is_left
}

impl QueueHost for Disk {
    fn arm(&self, _queue: &Arc<QueueHandle>, deadline: Timestamp) {
        *self.armed.lock() = Some(deadline);
    }

    fn dead_letters_waiting(&self, _queue: &Arc<QueueHandle>, _now: Timestamp) {
        *self.is_announced.lock() = true;
    }

    fn deleted(&self, queue: &Arc<QueueHandle>, _reason: Deletion, _now: Timestamp) {
        assert!(queue.is_closed());
    }

    fn journal(&self) -> Option<Arc<dyn Journal>> {
        let journal = self.journal.clone()?;
        Some(journal)
    }

    fn budget(&self) -> Option<Arc<Budget>> {
        self.budget.clone()
    }

    fn write_page(&self, queue: &Arc<QueueHandle>, page: PageOut) {
        self.take(Job::Write(Arc::clone(queue), page));
    }

    fn read_page(&self, queue: &Arc<QueueHandle>, page: PageIn) {
        self.take(Job::Read(Arc::clone(queue), page));
    }

    fn free_page(&self, page: PageFree) {
        let mut pages = self.pages.lock();
        let freed = &mut pages[page.at.offset as usize].freed;
        assert_eq!(*freed, None, "page {} is freed once", page.at.offset);
        *freed = Some(page.lsn.0);
    }

    fn messages_lost(&self, _queue: &Arc<QueueHandle>, count: u64) {
        self.losses.lock().told += count;
    }

    fn failed(&self, _queue: &Arc<QueueHandle>, message: &str) {
        self.failures.lock().push(message.to_owned());
    }
}

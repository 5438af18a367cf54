//! Writes and reads the pages of queues, on threads of its own: a disk that is slow holds up those
//! who need a page and nobody else.
//!
//! One thread writes, so that many queues share a sync; several read. What is written for a queue
//! that must survive a restart is reported when it is synced, the rest as soon as it is written.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use broker_core::message::Records;
use broker_core::queue::Command;
use broker_core::queue::handle::{self, Job, PageFree, PageIn, PageOut, QueueHandle};
use parking_lot::{Condvar, Mutex};
use tracing::{error, warn};

use crate::clock::Clock;
use crate::store::pages::{PageAt, Pages};
use crate::store::{Finding, Lsn, Store};

/// Threads that read.
const READERS: usize = 2;
/// Pages written before they are synced and reported.
const ROUND_BYTES: usize = 8 << 20;
/// Page bytes that wait to be written, above which publishers must wait.
const BEHIND_BYTES: usize = 128 << 20;
/// How long a disk that is full is left alone.
const RETRY_AFTER: Duration = Duration::from_millis(500);
/// How often freed pages are looked at when nothing else happens.
const IDLE: Duration = Duration::from_millis(500);
/// How often space that is too scattered to be given back at once is gathered.
const TIDY_EVERY: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Work {
    out: VecDeque<(Arc<QueueHandle>, PageOut)>,
    free: VecDeque<PageFree>,
    reads: VecDeque<(Arc<QueueHandle>, PageIn)>,
    /// So many want no page to be freed.
    holds: usize,
    stopped: bool,
}

struct Shared {
    pages: Pages,
    store: Store,
    clock: Clock,
    work: Mutex<Work>,
    to_write: Condvar,
    to_read: Condvar,
    behind: AtomicUsize,
    is_failing: AtomicBool,
}

/// Writes and reads pages.
pub(crate) struct Pager {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl std::fmt::Debug for Pager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pager").finish_non_exhaustive()
    }
}

impl Pager {
    /// Starts its threads.
    pub(crate) fn start(pages: Pages, store: Store, clock: Clock) -> std::io::Result<Arc<Pager>> {
        let shared = Arc::new(Shared {
            pages,
            store,
            clock,
            work: Mutex::default(),
            to_write: Condvar::new(),
            to_read: Condvar::new(),
            behind: AtomicUsize::new(0),
            is_failing: AtomicBool::new(false),
        });
        let mut threads = Vec::new();
        let spawn = |name: String, act: fn(&Shared)| {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new()
                .name(name)
                .spawn(move || act(&shared))
        };
        threads.push(spawn("leveret-pages".into(), Shared::write_all)?);
        for index in 0..READERS {
            threads.push(spawn(format!("leveret-read-{index}"), Shared::read_all)?);
        }
        Ok(Arc::new(Pager {
            shared,
            threads: Mutex::new(threads),
        }))
    }

    /// The pages themselves.
    pub(crate) fn pages(&self) -> &Pages {
        &self.shared.pages
    }

    /// Has a page written.
    pub(crate) fn write(&self, queue: &Arc<QueueHandle>, page: PageOut) {
        let bytes = page.bytes.len();
        self.shared.behind.fetch_add(bytes, Ordering::Relaxed);
        let mut work = self.shared.work.lock();
        work.out.push_back((Arc::clone(queue), page));
        self.shared.to_write.notify_one();
    }

    /// Has a page read.
    pub(crate) fn read(&self, queue: &Arc<QueueHandle>, page: PageIn) {
        let mut work = self.shared.work.lock();
        work.reads.push_back((Arc::clone(queue), page));
        self.shared.to_read.notify_one();
    }

    /// Frees a page once the log is durable to its LSN.
    pub(crate) fn free(&self, page: PageFree) {
        self.shared.work.lock().free.push_back(page);
    }

    /// As long as the guard lives, no page that a durable record named goes.
    pub(crate) fn hold(&self) -> PagesHeld {
        self.shared.work.lock().holds += 1;
        PagesHeld(Arc::clone(&self.shared))
    }

    /// Frees what may go, now.
    #[cfg(test)]
    pub(super) fn free_durable(&self) {
        self.shared.free_durable();
    }

    /// Whether more waits to be written than should.
    pub(crate) fn is_behind(&self) -> bool {
        self.shared.behind.load(Ordering::Relaxed) > BEHIND_BYTES
    }

    /// Ends the threads; what waits to be written is.
    pub(crate) fn stop(&self) {
        {
            let mut work = self.shared.work.lock();
            work.stopped = true;
            self.shared.to_write.notify_all();
            self.shared.to_read.notify_all();
        }
        for thread in self.threads.lock().drain(..) {
            if thread.join().is_err() {
                error!("a thread that writes or reads pages panicked");
            }
        }
    }
}

/// Pages stay where they are.
pub(crate) struct PagesHeld(Arc<Shared>);

impl Drop for PagesHeld {
    fn drop(&mut self) {
        self.0.work.lock().holds -= 1;
        self.0.to_write.notify_all();
    }
}

/// A page that waits for the sync.
struct Unsynced {
    queue: Arc<QueueHandle>,
    job: Job,
    at: PageAt,
}

impl Shared {
    fn write_all(&self) {
        let mut tidied = Instant::now();
        loop {
            let (batch, stopped) = self.next_batch();
            if !batch.is_empty() {
                self.write_batch(batch);
            }
            self.free_durable();
            if tidied.elapsed() >= TIDY_EVERY {
                self.pages.tidy();
                tidied = Instant::now();
            }
            if stopped {
                return;
            }
        }
    }

    /// Pages to be written, up to [`ROUND_BYTES`]; none after a while without any. The flag says
    /// that these are the last.
    fn next_batch(&self) -> (Vec<(Arc<QueueHandle>, PageOut)>, bool) {
        let mut work = self.work.lock();
        if work.out.is_empty() && !work.stopped {
            self.to_write.wait_for(&mut work, IDLE);
        }
        let mut batch = Vec::new();
        let mut bytes = 0;
        while bytes < ROUND_BYTES
            && let Some(next) = work.out.pop_front()
        {
            bytes += next.1.bytes.len();
            batch.push(next);
        }
        (batch, work.stopped && work.out.is_empty())
    }

    fn write_batch(&self, batch: Vec<(Arc<QueueHandle>, PageOut)>) {
        let mut unsynced = Vec::new();
        for (queue, page) in batch {
            let at = self.write_one(&page);
            self.behind.fetch_sub(page.bytes.len(), Ordering::Relaxed);
            match at {
                Some(at) if page.durable => unsynced.push(Unsynced {
                    queue,
                    job: page.job,
                    at,
                }),
                at => self.written(&queue, page.job, at, false),
            }
        }
        if unsynced.is_empty() {
            return;
        }
        let synced = self.pages.sync();
        if let Err(cause) = &synced {
            error!(%cause, "pages of messages could not be synced: their log is kept");
        }
        for Unsynced { queue, job, at } in unsynced {
            let at = match synced {
                Ok(()) => Some(at),
                Err(_) => {
                    self.pages.free(at);
                    None
                }
            };
            self.written(&queue, job, at, true);
        }
    }

    fn write_one(&self, page: &PageOut) -> Option<PageAt> {
        loop {
            let written = match page.durable {
                true => self.pages.write(&[&page.bytes]),
                false => self.pages.write_transient(&[&page.bytes]),
            };
            match written {
                Ok(at) => {
                    if self.is_failing.swap(false, Ordering::Relaxed) {
                        warn!("messages can be written to disk again");
                    }
                    return Some(at);
                }
                Err(cause) => {
                    if !self.is_failing.swap(true, Ordering::Relaxed) {
                        error!(%cause, "messages stay in memory: they cannot be written to disk");
                    }
                    if !cause.is_passing() || !self.wait_for_space() {
                        return None;
                    }
                }
            }
        }
    }

    /// Waits before the next try. False when there is none.
    fn wait_for_space(&self) -> bool {
        self.free_durable();
        let mut work = self.work.lock();
        if !work.stopped {
            self.to_write.wait_for(&mut work, RETRY_AFTER);
        }
        !work.stopped
    }

    fn written(&self, queue: &Arc<QueueHandle>, job: Job, at: Option<PageAt>, durable: bool) {
        let at = at.map(in_core);
        queue.submit(self.clock.now(), Command::PageWritten { job, at, durable });
    }

    fn free_durable(&self) {
        let durable = self.store.durable();
        loop {
            let next = {
                let mut work = self.work.lock();
                match work.free.front() {
                    Some(page) if work.holds == 0 && Lsn(page.lsn.0) <= durable => {
                        work.free.pop_front()
                    }
                    _ => None,
                }
            };
            let Some(page) = next else { return };
            self.pages.free(in_store(page.at));
        }
    }

    fn read_all(&self) {
        while let Some((queue, page)) = self.next_read() {
            let read = read_page(&self.pages, in_store(page.at));
            let records = read.map_err(|find| self.store.damage().raise(find)).ok();
            let job = page.job;
            queue.submit(self.clock.now(), Command::PageRead { job, records });
        }
    }

    fn next_read(&self) -> Option<(Arc<QueueHandle>, PageIn)> {
        let mut work = self.work.lock();
        loop {
            if let Some(next) = work.reads.pop_front() {
                return Some(next);
            }
            if work.stopped {
                return None;
            }
            self.to_read.wait(&mut work);
        }
    }
}

/// The messages of a page, or why they cannot be read.
pub(super) fn read_page(pages: &Pages, at: PageAt) -> Result<Records, Finding> {
    let bytes = pages.read(at).map_err(|cause| {
        let find = Finding::about(&cause);
        Finding {
            offset: find.offset.or(Some(at.offset)),
            what: format!("a page of messages cannot be read: {}", find.what),
            path: find.path.or_else(|| Some(pages.path(at.segment))),
            ..find
        }
    })?;
    Records::decode(&bytes).map_err(|why| {
        let what = format!("a page holds no messages: {why}");
        Finding::error(pages.path(at.segment), Some(at.offset), what)
    })
}

fn in_core(at: PageAt) -> handle::PageAt {
    handle::PageAt {
        segment: at.segment,
        offset: at.offset,
        length: at.length,
        crc: at.crc,
    }
}

fn in_store(at: handle::PageAt) -> PageAt {
    PageAt {
        segment: at.segment,
        offset: at.offset,
        length: at.length,
        crc: at.crc,
    }
}

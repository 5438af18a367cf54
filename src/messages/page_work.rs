//! Pages on their way to the disk and back, one step at a time: written, synced, reported, freed,
//! read. In which order a page goes through them is decided here; when, by the threads of the
//! [`super::Pager`], or by a simulation.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use broker_core::message::Records;
use broker_core::queue::Command;
use broker_core::queue::handle::{self, Job, PageFree, PageIn, PageOut, QueueHandle};
use broker_core::time::Timestamp;
use parking_lot::Mutex;
use tracing::error;

use crate::defects::{Defect, is_planted};
use crate::store::pages::{PageAt, Pages};
use crate::store::{Finding, Lsn, Store, StoreError};

/// What is done with pages.
pub struct PageWork {
    pages: Pages,
    store: Store,
    /// Pages that are not needed once the log is durable so far, in the order of their LSNs.
    free: Mutex<VecDeque<PageFree>>,
    /// So many want no page to be freed.
    holds: AtomicUsize,
}

/// A page that was written, or could not be. One that must survive a restart is reported when it
/// is synced.
pub struct Written {
    queue: Arc<QueueHandle>,
    job: Job,
    at: Option<PageAt>,
    is_durable: bool,
}

impl Written {
    /// Whether [`PageWork::sync`] has to come before [`report`](Self::report).
    pub fn needs_sync(&self) -> bool {
        self.is_durable && self.at.is_some()
    }

    /// Tells the queue.
    pub fn report(self, now: Timestamp) {
        let command = Command::PageWritten {
            job: self.job,
            at: self.at.map(in_core),
            durable: self.is_durable,
        };
        self.queue.submit(now, command);
    }
}

/// A page that was read; none if it cannot be.
pub struct Read {
    queue: Arc<QueueHandle>,
    job: Job,
    records: Option<Records>,
}

impl Read {
    /// Tells the queue.
    pub fn report(self, now: Timestamp) {
        let Read {
            queue,
            job,
            records,
        } = self;
        queue.submit(now, Command::PageRead { job, records });
    }
}

impl PageWork {
    /// Work on these pages, for the queues that append to this store.
    pub fn new(pages: Pages, store: Store) -> PageWork {
        PageWork {
            pages,
            store,
            free: Mutex::default(),
            holds: AtomicUsize::new(0),
        }
    }

    /// The pages themselves.
    pub fn pages(&self) -> &Pages {
        &self.pages
    }

    /// Writes a page. An error may pass, then the same can be tried again; or
    /// [`give_up`](Self::give_up) reports it.
    pub fn write(&self, queue: &Arc<QueueHandle>, page: &PageOut) -> Result<Written, StoreError> {
        let at = match page.durable {
            true => self.pages.write(&[&page.bytes]),
            false => self.pages.write_transient(&[&page.bytes]),
        }?;
        Ok(Written {
            at: Some(at),
            ..self.give_up(queue, page)
        })
    }

    /// A page that is not written: its messages stay in memory and in the log.
    pub fn give_up(&self, queue: &Arc<QueueHandle>, page: &PageOut) -> Written {
        Written {
            queue: Arc::clone(queue),
            job: page.job,
            at: None,
            is_durable: page.durable,
        }
    }

    /// Makes pages durable that were written before. Should that fail, they are none.
    pub fn sync(&self, written: &mut [Written]) {
        if !written.iter().any(Written::needs_sync) || is_planted(Defect::EntryBeforeSync) {
            return;
        }
        let Err(cause) = self.pages.sync() else {
            return;
        };
        error!(%cause, "pages of messages could not be synced: their log is kept");
        for page in written.iter_mut().filter(|page| page.needs_sync()) {
            if let Some(at) = page.at.take() {
                self.pages.free(at);
            }
        }
    }

    /// Frees a page once the log is durable to its LSN.
    pub fn free(&self, page: PageFree) {
        self.free.lock().push_back(page);
    }

    /// Frees no page from now on, until [`let_go`](Self::let_go) was called as often as this.
    pub(crate) fn hold(&self) {
        let _quiet = self.free.lock();
        self.holds.fetch_add(1, Ordering::SeqCst);
    }

    /// One that held pages does so no more.
    pub(crate) fn let_go(&self) {
        self.holds.fetch_sub(1, Ordering::SeqCst);
    }

    /// Frees the pages whose time has come.
    pub fn free_durable(&self) {
        let durable = match is_planted(Defect::FreeBeforeDurable) {
            true => self.store.appended(),
            false => self.store.durable(),
        };
        while let Some(page) = self.next_free(durable) {
            self.pages.free(in_store(page.at));
        }
    }

    fn next_free(&self, durable: Lsn) -> Option<PageFree> {
        let mut free = self.free.lock();
        let is_held = self.holds.load(Ordering::SeqCst) > 0;
        let is_due = |page: &&PageFree| !is_held && Lsn(page.lsn.0) <= durable;
        free.front().filter(is_due)?;
        free.pop_front()
    }

    /// Reads a page.
    pub fn read(&self, queue: Arc<QueueHandle>, page: &PageIn) -> Read {
        let records = read_page(&self.pages, in_store(page.at));
        let records = records.map_err(|find| self.store.damage().raise(find)).ok();
        Read {
            queue,
            job: page.job,
            records,
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

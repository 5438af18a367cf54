//! The log thread, the threads that write and read pages, and upkeep, each a step at a time.

use crate::process::Process;
use crate::world::{Part, World};

impl World {
    /// The log thread takes a group, writes it, syncs it, or announces it.
    pub(crate) fn log_step(&self) {
        if let Some(process) = self.process() {
            let steps = self.draw(|random| random.between(1, 5));
            for _ in 0..steps {
                if !self.during(Part::Log, || process.log.lock().step()) {
                    return;
                }
            }
        }
    }

    /// Upkeep looks what is due.
    pub(crate) fn upkeep_round(&self, asked: bool) {
        if let Some(process) = self.process() {
            self.tell(|| format!("upkeep looks, asked {asked}"));
            let done = self.during(Part::Upkeep, || process.upkeep_round(asked));
            if let Err(why) = done {
                self.tell(|| format!("upkeep cannot: {why}"));
            }
        }
    }

    /// A page takes a step on its way.
    pub(crate) fn pages_step(&self) {
        let Some(process) = self.process() else {
            return;
        };
        let step = self.draw(|random| random.below(20));
        self.during(Part::Pages, || match step {
            0..6 => drop(self.write_page(&process)),
            6..9 => self.sync_pages(&process),
            9..13 => drop(self.report_written(&process)),
            13..16 => drop(self.read_page(&process)),
            16..18 => drop(self.report_read(&process)),
            18 => process.work.free_durable(),
            _ => process.work.pages().tidy(),
        });
    }

    pub(crate) fn write_page(&self, process: &Process) -> bool {
        let next = process.host.jobs.lock().out.pop_front();
        let Some((queue, page)) = next else {
            return false;
        };
        let written = process
            .work
            .write(&queue, &page)
            .unwrap_or_else(|_| process.work.give_up(&queue, &page));
        self.tell(|| {
            let name = &queue.identity().name;
            format!("a page of {name} is written, {} bytes", page.bytes.len())
        });
        let mut under_way = process.under_way.lock();
        match written.needs_sync() {
            true => under_way.unsynced.push(written),
            false => under_way.to_report.push(written),
        }
        true
    }

    pub(crate) fn sync_pages(&self, process: &Process) {
        let mut unsynced = std::mem::take(&mut process.under_way.lock().unsynced);
        if unsynced.is_empty() {
            return;
        }
        process.work.sync(&mut unsynced);
        self.tell(|| format!("{} pages are synced", unsynced.len()));
        process.under_way.lock().to_report.append(&mut unsynced);
    }

    pub(crate) fn report_written(&self, process: &Process) -> bool {
        let written = {
            let mut under_way = process.under_way.lock();
            let is_there = !under_way.to_report.is_empty();
            is_there.then(|| under_way.to_report.remove(0))
        };
        let Some(written) = written else {
            return false;
        };
        let from = process.appended() + 1;
        self.during(Part::Queues, || written.report(self.now()));
        self.tell(|| format!("a page is reported: {from} to {}", process.appended()));
        true
    }

    pub(crate) fn read_page(&self, process: &Process) -> bool {
        let next = process.host.jobs.lock().reads.pop_front();
        let Some((queue, page)) = next else {
            return false;
        };
        self.tell(|| format!("a page of {} is read", queue.identity().name));
        let read = process.work.read(queue, &page);
        process.under_way.lock().read.push(read);
        true
    }

    pub(crate) fn report_read(&self, process: &Process) -> bool {
        let read = {
            let mut under_way = process.under_way.lock();
            let count = under_way.read.len() as u64;
            let index = self.draw(|random| random.below(count));
            (count > 0).then(|| under_way.read.remove(index as usize))
        };
        let Some(read) = read else {
            return false;
        };
        let from = process.appended() + 1;
        self.during(Part::Queues, || read.report(self.now()));
        self.tell(|| {
            format!(
                "a page that was read is reported: {from} to {}",
                process.appended()
            )
        });
        true
    }
}

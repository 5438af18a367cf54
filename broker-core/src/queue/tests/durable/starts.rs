//! Ends and starts of a run: crashes, stops in good order, and starts that are only looked at.

use std::sync::Arc;

use super::super::Client;
use super::crash::{self, Cut, FoundMsg, contents, in_use, recover};
use super::disk::Disk;
use super::journal::{Recorded, place};
use super::run::{Run, identity, settings};
use crate::inbox::Mail;
use crate::queue::*;
use crate::recovery::RestoredQueue;

impl Run {
    /// A start after a crash behind `end` would find what it should. `picks` say which floor and
    /// which map it has.
    pub(super) fn look(&mut self, end: u64, picks: (usize, usize)) -> (Cut, RestoredQueue) {
        let floors = self.floors.iter().filter(|floor| floor.told_at <= end);
        let floors: Vec<_> = floors.copied().collect();
        let floor = floors[floors.len() - 1 - picks.0 % floors.len().min(4)];
        let maps = end - floor.told_at + 1;
        let cut = Cut {
            end,
            map: floor.told_at + picks.1 as u64 % maps,
            floor: floor.lsn,
        };
        let found = recover(&self.disk, cut);
        crash::compare(&self.disk, &self.naive, &found, cut);
        (cut, found)
    }

    /// The queue of a start, which is only looked at, delivers everything in order.
    pub(super) fn look_and_drain(&mut self, end: u64, picks: (usize, usize)) {
        let (cut, found) = self.look(end, picks);
        let mut expected: Vec<_> = contents(&self.disk, &found).into_iter().collect();
        let order = |(id, msg): &(u32, FoundMsg)| {
            let level = self.naive.all[id].level;
            (std::cmp::Reverse(level), msg.ordinal)
        };
        expected.sort_by_key(order);
        let (disk, queue) = self.open(found, cut, false);
        let client = Client::new();
        let spec = ConsumerSpec {
            no_ack: true,
            ..client.spec(1)
        };
        queue.submit(disk.now(), Command::Consume(spec, 1));
        let mut expected = expected.into_iter();
        loop {
            let mut mail = Mail::default();
            client.inbox.take(&mut mail, None);
            if mail.records.is_empty() {
                break;
            }
            for record in mail.records.iter() {
                client.inbox.release_bytes(record.memory_bytes());
                let (id, msg) = expected.next().expect("nothing invented");
                assert_eq!((crash::id_of(record), record.ordinal()), (id, msg.ordinal));
                assert_eq!(record.delivery_count(), msg.deliveries);
                assert!(record.is_redelivered(), "it may have been delivered");
            }
            client.resume(disk.now());
        }
        assert_eq!(
            expected.next().map(|(id, _)| id),
            None,
            "all of it is delivered"
        );
    }

    /// A new queue with what was found.
    fn open(
        &self,
        found: RestoredQueue,
        cut: Cut,
        is_clean: bool,
    ) -> (Arc<Disk>, Arc<QueueHandle>) {
        let journal = Recorded::from(self.disk.log().upto(cut.end));
        let disk = Arc::new(self.disk.after_crash(journal, &in_use(&found)));
        let settings = settings(self.stage, self.naive.rules);
        let queue = QueueHandle::new(identity(self.stage), settings, disk.clone());
        let now = disk.now();
        queue.submit(now, Command::Touch);
        queue.restore(now, found, is_clean, |page| disk.read(place(page)));
        (disk, queue)
    }

    /// A crash that the run goes on after.
    pub(super) fn crash(&mut self, percent: u64) {
        if !self.stage.is_durable {
            return;
        }
        let end = self.durable + (self.disk.log().last() - self.durable) * percent / 100;
        let (cut, found) = self.look(end, (percent as usize, percent as usize / 3));
        self.start(cut, found, false);
    }

    fn start(&mut self, cut: Cut, found: RestoredQueue, is_clean: bool) {
        let next_ordinal = found.next_ordinal;
        let contents: Vec<_> = contents(&self.disk, &found).into_iter().collect();
        (self.disk, self.queue) = self.open(found, cut, is_clean);
        self.start_anew(&contents, cut, is_clean);
        self.naive.next_ordinal = next_ordinal;
        self.durable = cut.end;
        // What the owner said and no start has seen is forgotten.
        self.floors
            .retain(|floor| floor.lsn == cut.floor && floor.told_at <= cut.map);
    }

    /// The broker stops in good order: connections end, everything leaves the log. The next start
    /// reads no entry.
    pub(super) fn stop_and_start(&mut self) {
        if !self.stage.is_durable {
            return;
        }
        self.close_connections();
        self.settle_down();
        let last = self.disk.log().last();
        let upto = crate::host::Lsn(last);
        if self.queue.needed_from().is_some() || self.queue.owes_redelivered() {
            self.submit(Command::Release { upto });
        }
        self.settle_down();
        assert!(!self.queue.owes_redelivered());
        let needed = self.queue.needed_from();
        assert!(
            needed.is_none_or(|lsn| lsn.0 > last),
            "{needed:?} of {last}"
        );
        self.tell_floor();
        let end = self.disk.log().last();
        let floor = self.floors.last().expect("told just now").lsn;
        assert_eq!(floor, end, "nothing of the log is needed");
        let cut = Cut {
            end,
            map: end,
            floor,
        };
        let found = recover(&self.disk, cut);
        crash::compare(&self.disk, &self.naive, &found, cut);
        self.start(cut, found, true);
    }

    /// Jobs are done, what failed is tried again, until nothing is left to do.
    pub(super) fn settle_down(&mut self) {
        use super::ops::Op;
        self.disk.fail_writes(0);
        self.disk.fail_reads(0);
        for _ in 0..20 {
            self.step(&Op::Later(false));
            self.step(&Op::Tick);
            if !self.disk.is_busy() && self.disk.armed.lock().is_none() {
                return;
            }
        }
        panic!("it settles down");
    }
}

impl Run {
    /// Connections end: what they had comes back, and their turns are carried out.
    fn close_connections(&mut self) {
        use super::ops::Op;
        while !self.unplaced.is_empty() {
            self.step(&Op::PlaceTurn {
                pick: 0,
                amid: Vec::new(),
            });
        }
        let all: Vec<usize> = (0..self.naive.unacked.len()).collect();
        self.step(&Op::Later(false));
        self.step(&Op::Cancel);
        self.step(&Op::Requeue(all.clone()));
        self.step(&Op::Return(all));
    }

    /// Everything comes to its end, and then the queue: nothing is left on disk.
    pub(super) fn end(&mut self) {
        use super::ops::Op;
        self.settle_down();
        self.step(&Op::Delete);
        for _ in 0..200 {
            self.take_dead(3);
            self.settle_dead(&[0, 0, 0]);
            self.disk.work_all();
        }
        assert_eq!(self.queue.counts().dead, 0);
        let last = self.disk.log().last();
        self.disk.free_durable(last);
        let pages = self.disk.pages.lock();
        let kept = pages.iter().filter(|page| page.bytes.is_some()).count();
        assert_eq!(kept, 0, "every page is free in the end");
        assert!(self.disk.log().map(last).is_empty(), "and no entry is left");
    }
}

//! Random runs with crashes in between, against a list of pages that shares no code with them.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Op {
    Write(usize),
    WriteTransient(usize),
    Sync,
    Free(usize),
    Tidy,
    /// The disk has so much space left.
    Space(Option<u64>),
    FailWrite,
    FailSync,
    FailPunch,
}

#[derive(Debug, Clone)]
enum End {
    Kill,
    PowerLoss(u64),
}

#[derive(Debug, Clone)]
struct Run {
    ops: Vec<Op>,
    crash_after: u64,
    end: End,
}

fn length() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0..3_000_usize, 3 => 3_000..30_000_usize, 1 => 30_000..90_000_usize]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => length().prop_map(Op::Write),
        3 => length().prop_map(Op::WriteTransient),
        4 => Just(Op::Sync),
        10 => any::<usize>().prop_map(Op::Free),
        2 => Just(Op::Tidy),
        1 => proptest::option::of(0..200_000_u64).prop_map(Op::Space),
        1 => Just(Op::FailWrite),
        1 => Just(Op::FailPunch),
    ]
}

fn run() -> impl Strategy<Value = Run> {
    let crash_after = prop_oneof![0..200_u64, Just(u64::MAX)];
    let end = prop_oneof![Just(End::Kill), any::<u64>().prop_map(End::PowerLoss)];
    let last = proptest::option::weighted(0.1, Just(Op::FailSync));
    let ops = proptest::collection::vec(op(), 0..60);
    (ops, last, crash_after, end).prop_map(|(mut ops, last, crash_after, end)| {
        ops.extend(
            last.into_iter()
                .flat_map(|fault| [fault, Op::Write(10), Op::Sync]),
        );
        Run {
            ops,
            crash_after,
            end,
        }
    })
}

struct Page {
    at: PageAt,
    held: Vec<u8>,
    /// A sync that began after it was written has succeeded, so that it may be named durably.
    synced: bool,
    transient: bool,
}

/// The pages that nobody freed.
#[derive(Default)]
struct Model {
    pages: Vec<Page>,
    written: u8,
    /// A write failed in this run.
    failed_write: bool,
}

impl Model {
    fn write(&mut self, pages: &Pages, length: usize, transient: bool) {
        self.written = self.written.wrapping_add(1);
        let held = bytes(self.written, length);
        let (front, back) = held.split_at(length / 3);
        let parts = [front, back];
        let written = if transient {
            pages.write_transient(&parts)
        } else {
            pages.write(&parts)
        };
        match written {
            Ok(at) => self.pages.push(Page {
                at,
                held,
                synced: false,
                transient,
            }),
            Err(_) => self.failed_write = true,
        }
    }

    /// Does one operation; returns whether the process goes on.
    fn perform(&mut self, disk: &SimDisk, pages: &Pages, op: &Op) -> bool {
        match op {
            Op::Write(length) => self.write(pages, *length, false),
            Op::WriteTransient(length) => self.write(pages, *length, true),
            Op::Sync => {
                if pages.sync().is_err() {
                    return false;
                }
                self.pages
                    .iter_mut()
                    .for_each(|page| page.synced = !page.transient);
            }
            Op::Free(index) if !self.pages.is_empty() => {
                let page = self.pages.remove(index % self.pages.len());
                pages.free(page.at);
            }
            Op::Free(_) => {}
            Op::Tidy => pages.tidy(),
            Op::Space(free) => disk.set_free(*free),
            Op::FailWrite => disk.fail_next_write(),
            Op::FailSync => disk.fail_next_sync(),
            Op::FailPunch => disk.fail_next_punch(),
        }
        !disk.is_crashed()
    }

    fn in_use(&self) -> Vec<PageAt> {
        self.pages.iter().map(|page| page.at).collect()
    }

    fn check(&self, disk: &SimDisk, pages: &Pages) {
        for page in &self.pages {
            assert_eq!(pages.read(page.at).expect("the page is whole"), page.held);
        }
        let status = pages.status();
        assert_eq!(
            status.durable.pages + status.transient.pages,
            self.pages.len()
        );
        let taken: u64 = disk.paths().iter().map(|path| disk.allocated(path)).sum();
        let said = status.durable.disk_bytes + status.transient.disk_bytes;
        assert!(
            taken <= said || status.leftover_files > 0,
            "{taken} of {said}"
        );
    }

    /// After tidying, files take the blocks that live pages are in and the one with the header.
    fn check_space(&self, disk: &SimDisk, pages: &Pages) {
        let mut expected: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
        for at in self.in_use() {
            let end = at.offset + 16 + u64::from(at.length);
            let blocks = expected.entry(at.segment).or_insert([0].into());
            blocks.extend(at.offset / BLOCK..end.div_ceil(BLOCK));
        }
        let mut taken = 0;
        for segment in pages.segments() {
            let blocks = expected.get(&segment.segment).map_or(1, BTreeSet::len) as u64;
            let allocated = disk.allocated(&segment.path);
            taken += allocated;
            // The block the next page begins in is kept, and what a failed write left behind it.
            let spare = match (segment.is_sealed, self.failed_write) {
                (true, _) => 0,
                (false, false) => BLOCK,
                (false, true) => SEGMENT,
            };
            assert!(allocated <= blocks * BLOCK + spare, "{segment:?}");
        }
        let files = disk.paths();
        assert_eq!(files.len(), pages.segments().len(), "{files:?}");
        let live: u64 = self
            .in_use()
            .iter()
            .map(|at| 16 + u64::from(at.length))
            .sum();
        let edges = 2 * BLOCK * (self.pages.len() + files.len()) as u64;
        assert!(taken <= 2 * live + SEGMENT + edges);
    }

    /// The process is gone, and with it what was not durable.
    fn forget(&mut self) {
        self.pages.retain(|page| page.synced);
        self.failed_write = false;
    }
}

fn check(runs: &[Run]) {
    let disk = SimDisk::new();
    let mut model = Model::default();
    for run in runs {
        disk.crash_after(run.crash_after);
        if let Ok(opened) = try_open(&disk, &model.in_use()) {
            assert_eq!(opened.missing, []);
            model.check(&disk, &opened.pages);
            let goes_on = |op| model.perform(&disk, &opened.pages, op);
            if run.ops.iter().all(goes_on) {
                model.check(&disk, &opened.pages);
                // Twice: a fault may still wait for the first.
                opened.pages.tidy();
                opened.pages.tidy();
                if !disk.is_crashed() {
                    model.check_space(&disk, &opened.pages);
                }
            }
        }
        match run.end {
            End::Kill => disk.kill(),
            End::PowerLoss(seed) => disk.power_loss(seed),
        }
        disk.set_free(None);
        model.forget();
    }
    let opened = try_open(&disk, &model.in_use()).expect("the segments open");
    assert_eq!(opened.missing, []);
    opened.pages.tidy();
    model.check(&disk, &opened.pages);
    model.check_space(&disk, &opened.pages);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_synced_page_outlives_every_crash_and_no_other_takes_space(
        runs in proptest::collection::vec(run(), 1..4)
    ) {
        check(&runs);
    }
}

//! Random runs with crashes at random operations: what is recovered is always the state after
//! some record, and never one before the last durable record.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Op {
    /// One record of some changes: key, and the size of the value or none to delete.
    Append(Vec<(u8, Option<u16>)>),
    Commit,
    Look,
    Checkpoint,
}

#[derive(Debug, Clone, Copy)]
enum End {
    /// The process is killed after so many operations on the disk.
    Kill(u64),
    /// The power fails after so many operations on the disk.
    PowerLoss(u64, u64),
    /// As above, and the catalogue will not open any more.
    PowerLossAndDamage(u64, u64),
    Close,
}

#[derive(Debug, Clone)]
struct Run {
    ops: Vec<Op>,
    end: End,
}

fn op() -> impl Strategy<Value = Op> {
    let change = (
        0..6u8,
        proptest::option::weighted(0.8, prop_oneof![0..100u16, 0..12_000u16]),
    );
    prop_oneof![
        6 => proptest::collection::vec(change, 1..4).prop_map(Op::Append),
        5 => Just(Op::Commit),
        2 => Just(Op::Look),
        1 => Just(Op::Checkpoint),
    ]
}

fn end() -> impl Strategy<Value = End> {
    let after = 0..200u64;
    prop_oneof![
        2 => after.clone().prop_map(End::Kill),
        4 => (after.clone(), any::<u64>()).prop_map(|(after, seed)| End::PowerLoss(after, seed)),
        2 => (after, any::<u64>()).prop_map(|(after, seed)| End::PowerLossAndDamage(after, seed)),
        1 => Just(End::Close),
    ]
}

fn runs() -> impl Strategy<Value = Vec<Run>> {
    let run = (proptest::collection::vec(op(), 0..60), end());
    proptest::collection::vec(run.prop_map(|(ops, end)| Run { ops, end }), 1..6)
}

/// Every state the map went through, by the LSN after which it was so.
struct Model {
    states: Vec<Map>,
    durable: Lsn,
    /// Makes every value different from all others.
    writes: u64,
}

impl Model {
    fn changes(&mut self, changes: &[(u8, Option<u16>)]) -> Vec<Change> {
        let mut next = self.states.last().cloned().unwrap_or_default();
        let mut record = Vec::new();
        for (key, size) in changes {
            let key = vec![b'k', *key];
            let Some(size) = size else {
                next.remove(&key);
                record.push(Change::Delete { key });
                continue;
            };
            self.writes += 1;
            let mut value = self.writes.to_le_bytes().to_vec();
            value.resize(8 + usize::from(*size), b'v');
            next.insert(key.clone(), value.clone());
            record.push(Change::Put { key, value });
        }
        self.states.push(next);
        record
    }

    /// Checks what was recovered, and forgets what was not.
    fn recover(&mut self, recovered: &Recovered, promised: bool) {
        let last = recovered.report.last;
        let reached = last.0 as usize;
        assert!(
            !promised || last >= self.durable,
            "{last} is before durable {}",
            self.durable
        );
        assert!(reached < self.states.len(), "{last} was never appended");
        assert_eq!(
            recovered.entries, self.states[reached],
            "the map after record {last}"
        );
        assert_eq!(recovered.report.damage, []);
        self.states.truncate(reached + 1);
        self.durable = last;
    }
}

fn small_site(durability: Durability) -> Site {
    let mut site = Site::new();
    site.options.durability = durability;
    site.options.checkpoint_log_bytes = FILE_BYTES / 2;
    site.options.snapshot_log_bytes = FILE_BYTES;
    site
}

/// Does one run; returns whether it went on until its end without a crash.
fn perform(driven: &mut Driven, model: &mut Model, ops: &[Op]) -> bool {
    for op in ops {
        let goes_on = match op {
            Op::Append(changes) => {
                let record = model.changes(changes);
                match driven.parts.core.append(&record) {
                    Ok(lsn) => assert_eq!(lsn.0 as usize, model.states.len() - 1),
                    Err(error) => {
                        assert!(matches!(error, StoreError::Backlog { .. }), "{error}");
                        model.states.pop();
                    }
                }
                true
            }
            Op::Commit => driven.commit(),
            Op::Look => driven.parts.upkeep.round(false).is_ok(),
            Op::Checkpoint => driven.parts.upkeep.round(true).is_ok(),
        };
        model.durable = driven.parts.core.durable();
        if !goes_on {
            return false;
        }
    }
    true
}

fn check(runs: &[Run], durability: Durability) {
    let site = small_site(durability);
    let mut model = Model {
        states: vec![Map::new()],
        durable: Lsn(0),
        writes: 0,
    };
    let mut promised = true;
    for run in runs {
        let crash_after = match run.end {
            End::Kill(after) | End::PowerLoss(after, _) | End::PowerLossAndDamage(after, _) => {
                after
            }
            End::Close => u64::MAX,
        };
        site.disk.crash_after(crash_after);
        if let Ok((mut driven, recovered)) = site.try_open() {
            model.recover(&recovered, promised);
            promised = true;
            let alive = perform(&mut driven, &mut model, &run.ops);
            if alive && matches!(run.end, End::Close) {
                driven.close();
                model.durable = Lsn(model.states.len() as u64 - 1);
            }
        }
        match run.end {
            End::Kill(_) => site.disk.kill(),
            End::PowerLoss(_, seed) => {
                site.power_loss(seed);
                promised &= durability == Durability::Fsync;
            }
            End::PowerLossAndDamage(_, seed) => {
                site.power_loss(seed);
                // Without the catalogue there is no promise at all when nothing is synced.
                if durability == Durability::Fsync {
                    site.catalogue.damage();
                }
                promised &= durability == Durability::Fsync;
            }
            End::Close => site.disk.kill(),
        }
    }
    let (_driven, recovered) = site.open();
    model.recover(&recovered, promised);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn recovery_gives_a_state_not_older_than_the_last_durable_record(runs in runs()) {
        check(&runs, Durability::Fsync);
    }

    #[test]
    fn without_syncs_recovery_still_gives_one_state_the_map_went_through(runs in runs()) {
        check(&runs, Durability::Os);
    }
}

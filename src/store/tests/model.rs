//! Random runs with crashes at random operations: what is recovered is always the state after
//! some record, and never one before the last durable record; and of the entries it is each behind
//! the floor, once, in order, and none below it.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Op {
    /// One record of some changes: key, and the size of the value or none to delete.
    Append(Vec<(u8, Option<u16>)>),
    /// An entry of so many bytes, which frees space or not.
    Enter(u32, bool),
    /// The owner lets entries go, up to this part of 255 of what there is.
    LetGo(u8),
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
    /// The store is closed, after the owner let all entries go or not.
    Close(bool),
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
        4 => proptest::collection::vec(change, 1..4).prop_map(Op::Append),
        4 => (0..10_000u32, any::<bool>()).prop_map(|(bytes, frees)| Op::Enter(bytes, frees)),
        1 => (0..200_000u32, any::<bool>()).prop_map(|(bytes, frees)| Op::Enter(bytes, frees)),
        2 => any::<u8>().prop_map(Op::LetGo),
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
        1 => any::<bool>().prop_map(End::Close),
    ]
}

fn runs() -> impl Strategy<Value = Vec<Run>> {
    let run = (proptest::collection::vec(op(), 0..60), end());
    proptest::collection::vec(run.prop_map(|(ops, end)| Run { ops, end }), 1..6)
}

/// Every state the map went through, by the LSN after which it was so.
struct Model {
    states: Vec<Map>,
    /// The entries, by LSN; none where there are changes.
    entries: Vec<Option<(u8, Vec<u8>)>>,
    /// The floors the owner named, with what had been appended then.
    floors: Vec<(Lsn, Lsn)>,
    /// The floors recorded with catalogue and snapshot.
    recorded: (Lsn, Lsn),
    durable: Lsn,
    /// Makes every value different from all others.
    writes: u64,
}

impl Model {
    fn new() -> Model {
        Model {
            states: vec![Map::new()],
            entries: vec![None],
            floors: vec![(Lsn(0), Lsn(0))],
            recorded: (Lsn(0), Lsn(0)),
            durable: Lsn(0),
            writes: 0,
        }
    }

    fn last(&self) -> Lsn {
        Lsn(self.states.len() as u64 - 1)
    }

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
        self.entries.push(None);
        record
    }

    fn entry(&mut self, bytes: u32) -> (u8, Vec<u8>) {
        self.writes += 1;
        let kind = 2 + (self.writes % 126) as u8;
        let mut payload = self.writes.to_le_bytes().to_vec();
        payload.resize(8 + bytes as usize, b'e');
        self.states
            .push(self.states.last().cloned().unwrap_or_default());
        self.entries.push(Some((kind, payload.clone())));
        (kind, payload)
    }

    fn take_back(&mut self) {
        self.states.pop();
        self.entries.pop();
    }

    /// Checks what was recovered, and forgets what was not.
    fn recover(&mut self, recovered: &Recovered, recorder: &Recorder, expected: Expected) {
        let last = recovered.report.last;
        let reached = last.0 as usize;
        assert!(
            !expected.promised || last >= self.durable,
            "{last} is before durable {}",
            self.durable
        );
        assert!(reached < self.states.len(), "{last} was never appended");
        assert!(
            recovered.entries == self.states[reached],
            "the map after record {last}"
        );
        assert_eq!(recovered.report.damage, []);
        self.check_floor(recovered.report.floor, last, expected);
        self.check_replay(recovered, recorder, expected.synced);
        self.states.truncate(reached + 1);
        self.entries.truncate(reached + 1);
        self.durable = last;
    }

    /// A floor counts only if all is there that had been appended when the owner named it, and is
    /// never forgotten.
    fn check_floor(&mut self, floor: Lsn, last: Lsn, expected: Expected) {
        if expected.synced {
            let is_sound = |(named, behind): &(Lsn, Lsn)| *named >= floor && *behind <= last;
            assert!(
                self.floors.iter().any(is_sound),
                "floor {floor} with records up to {last}: {:?}",
                self.floors
            );
        }
        let (catalogue, snapshot) = self.recorded;
        let known = if expected.damaged {
            snapshot
        } else {
            catalogue
        };
        if expected.promised {
            assert!(floor >= known, "floor {floor} after {known} was recorded");
        }
        self.floors = vec![(floor, Lsn(0))];
        self.recorded = (Lsn(0), Lsn(0));
    }

    fn check_replay(&self, recovered: &Recovered, recorder: &Recorder, synced: bool) {
        assert!(recorder.map() == recovered.entries, "what was handed over");
        assert!(recorder.seen.is_sorted_by_key(|(lsn, _)| *lsn));
        let (floor, last) = (recovered.report.floor, recovered.report.last);
        let mut left = recorder.entries().into_iter().peekable();
        for lsn in floor.0 + 1..=last.0 {
            let Some((kind, payload)) = &self.entries[lsn as usize] else {
                continue;
            };
            let found = left.next_if(|(found, ..)| *found == Lsn(lsn));
            if let Some((_, found_kind, found_payload)) = &found {
                assert!(
                    (found_kind, found_payload) == (kind, payload),
                    "entry {lsn}"
                );
            }
            assert!(!synced || found.is_some(), "entry {lsn} is not handed over");
        }
        assert_eq!(
            left.next().map(|(lsn, ..)| lsn),
            None,
            "not to be handed over"
        );
    }
}

/// What a start must give back.
#[derive(Debug, Clone, Copy)]
struct Expected {
    /// All that was durable.
    promised: bool,
    /// All records up to the last one.
    synced: bool,
    /// The catalogue is not to be used.
    damaged: bool,
}

fn small_site(durability: Durability) -> Site {
    let mut site = Site::new();
    site.options.durability = durability;
    site.options.checkpoint_log_bytes = FILE_BYTES / 2;
    site.options.snapshot_log_bytes = FILE_BYTES;
    site.options.log_max_bytes = 8 * FILE_BYTES;
    site
}

/// Does one run; returns whether it went on until its end without a crash.
fn perform(driven: &mut Driven, model: &mut Model, held: &Held, ops: &[Op]) -> bool {
    for op in ops {
        let goes_on = match op {
            Op::Append(changes) => {
                append(driven, model, changes);
                true
            }
            Op::Enter(bytes, frees) => {
                let (kind, payload) = model.entry(*bytes);
                let (front, back) = payload.split_at(payload.len() / 2);
                let parts: [&[u8]; 2] = [front, back];
                let lsn = driven.parts.core.append_entry(kind, &parts, *frees);
                assert_eq!(lsn, model.last());
                true
            }
            Op::LetGo(part) => {
                let last = model.last();
                let floor = Lsn(last.0 * u64::from(*part) / 255);
                held.raise(floor);
                model.floors.push((held.floor(), last));
                true
            }
            Op::Commit => driven.commit(),
            Op::Look => driven.parts.upkeep.round(false).is_ok(),
            Op::Checkpoint => driven.parts.upkeep.round(true).is_ok(),
        };
        model.durable = driven.parts.core.durable();
        let upkeep = &driven.parts.upkeep;
        model.recorded = (upkeep.checkpoint_floor, upkeep.snapshot_floor);
        if !goes_on {
            return false;
        }
    }
    true
}

fn append(driven: &Driven, model: &mut Model, changes: &[(u8, Option<u16>)]) {
    let record = model.changes(changes);
    match driven.parts.core.append(&record) {
        Ok(lsn) => assert_eq!(lsn, model.last()),
        Err(StoreError::Backlog { .. } | StoreError::LogFull { .. }) => model.take_back(),
        Err(error) => panic!("{error}"),
    }
}

fn close(driven: Driven, model: &mut Model, held: &Held, everything: bool) {
    if everything {
        held.raise(model.last());
    }
    model.floors.push((held.floor(), model.last()));
    driven.close();
    model.durable = model.last();
    if held.floor() >= model.last() {
        model.recorded = (model.last(), model.last());
    }
}

fn start(site: &Site, model: &mut Model, expected: Expected) -> Option<(Driven, Arc<Held>)> {
    let (mut recorder, held) = (Recorder::default(), Arc::new(Held::default()));
    let (driven, recovered) = site.try_replay(&mut recorder).ok()?;
    model.recover(&recovered, &recorder, expected);
    held.raise(recovered.report.floor);
    driven.attach(Arc::clone(&held) as Arc<dyn Owner>);
    Some((driven, held))
}

fn check(runs: &[Run], durability: Durability) {
    let site = small_site(durability);
    let mut model = Model::new();
    let synced = durability == Durability::Fsync;
    let sound = Expected {
        promised: true,
        synced,
        damaged: false,
    };
    let mut expected = sound;
    for run in runs {
        let crash_after = match run.end {
            End::Kill(after) | End::PowerLoss(after, _) | End::PowerLossAndDamage(after, _) => {
                after
            }
            End::Close(_) => u64::MAX,
        };
        site.disk.crash_after(crash_after);
        if let Some((mut driven, held)) = start(&site, &mut model, expected) {
            expected = sound;
            let alive = perform(&mut driven, &mut model, &held, &run.ops);
            if let End::Close(everything) = run.end
                && alive
            {
                close(driven, &mut model, &held, everything);
            }
        }
        match run.end {
            End::Kill(_) | End::Close(_) => site.disk.kill(),
            End::PowerLoss(_, seed) | End::PowerLossAndDamage(_, seed) => {
                site.power_loss(seed);
                expected.promised &= synced;
            }
        }
        // Without the catalogue there is no promise at all when nothing is synced.
        if matches!(run.end, End::PowerLossAndDamage(..)) && synced {
            site.catalogue.damage();
            expected.damaged = true;
        }
    }
    assert!(start(&site, &mut model, expected).is_some(), "it opens");
}

/// Two runs with all that happens to a log: entries small and larger than a file, floors,
/// checkpoints, files that are recycled, one that is removed.
fn eventful(end: End) -> Vec<Run> {
    let change = || Op::Append(vec![(1, Some(3_000)), (2, None)]);
    let round = |part| {
        let large = Op::Enter(if part == 200 { 100_000 } else { 30_000 }, false);
        let ops = [change(), Op::Enter(20_000, false), Op::Commit, large];
        let rest = [Op::Commit, Op::LetGo(part), Op::Look, Op::Enter(50, true)];
        ops.into_iter()
            .chain(rest)
            .chain([Op::Commit, Op::Checkpoint])
    };
    let ops: Vec<_> = [0, 100, 200, 255, 50, 255]
        .into_iter()
        .flat_map(round)
        .collect();
    let first = Run {
        ops: ops.clone(),
        end: End::Close(false),
    };
    vec![first, Run { ops, end }]
}

/// An eventful run takes fewer operations on the disk.
const OPERATIONS: u64 = 200;

#[test]
fn a_crash_at_any_operation_of_an_eventful_run_loses_nothing_and_brings_nothing_back() {
    for after in 0..OPERATIONS {
        let end = match after % 4 {
            0 => End::Kill(after),
            1 => End::PowerLossAndDamage(after, after),
            _ => End::PowerLoss(after, after),
        };
        check(&eventful(end), Durability::Fsync);
    }
}

#[test]
fn an_eventful_run_is_over_before_its_last_crash_and_has_files_come_and_go() {
    let site = small_site(Durability::Fsync);
    site.disk.crash_after(OPERATIONS);
    let mut model = Model::new();
    let sound = Expected {
        promised: true,
        synced: true,
        damaged: false,
    };
    let (mut driven, held) = start(&site, &mut model, sound).expect("it opens");
    site.disk.record_events();
    let run = &eventful(End::Close(true))[1];
    assert!(perform(&mut driven, &mut model, &held, &run.ops));
    let events = site.disk.take_events();
    let count = |wanted: fn(&sim::Event) -> bool| events.iter().filter(|e| wanted(e)).count();
    assert!(count(|event| matches!(event, sim::Event::Remove(_))) > 0);
    assert!(count(|event| matches!(event, sim::Event::Rename(..))) > 5);
    assert!(!site.disk.is_crashed());
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

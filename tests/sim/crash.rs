//! Crashes: at any operation on the disk, before it or inside, what would be left is started on and
//! looked at; and now and then the history goes on from there.

use broker_core::definition::Definition;
use leveret::store::sim::Operation;

use crate::coverage::Coverage;
use crate::host::{DefinitionRecord, Kind};
use crate::model::{Crash, Model};
use crate::observe::{Observed, differences, observe};
use crate::process::Process;
use crate::random::Random;
use crate::settings::Settings;
use crate::world::{Remains, World};

/// A process that ended, with what must be true of what it left.
pub(crate) struct Ended {
    pub(crate) remains: Remains,
    pub(crate) model: Model,
    pub(crate) definitions: Vec<DefinitionRecord>,
    pub(crate) durable: u64,
    pub(crate) now: u64,
    pub(crate) is_clean: bool,
}

impl Ended {
    pub(crate) fn crash(&self) -> Crash<'_> {
        Crash {
            durable: self.durable,
            now: self.now,
            definitions: &self.definitions,
            is_clean: self.is_clean,
        }
    }
}

/// What came of crashes so far.
#[derive(Default)]
pub(crate) struct Crashes {
    /// What was appended last.
    pub(crate) last_kind: Option<Kind>,
    /// Crashes that were tried.
    pub(crate) points: u64,
    pub(crate) coverage: Coverage,
    /// Operations until the process ends; none when it does not end in the middle of one.
    pub(crate) ends_after: Option<u64>,
    pub(crate) ended: Option<Ended>,
    /// What went wrong first.
    pub(crate) violation: Option<String>,
}

/// How it crashes.
#[derive(Clone, Copy, Debug)]
struct How {
    is_inside: bool,
    /// None: the process is killed and nothing else.
    power_loss: Option<u64>,
    /// The catalogue does not open any more.
    is_damaged: bool,
}

impl How {
    fn choose(random: &mut Random) -> How {
        let power_loss = random.chance(75).then(|| random.next());
        How {
            is_inside: random.chance(50),
            power_loss,
            is_damaged: power_loss.is_some() && random.chance(6),
        }
    }

    fn crash(self, remains: &Remains) {
        match self.power_loss {
            Some(seed) => {
                remains.disk.power_loss(seed);
                remains.catalogue.power_loss(seed);
            }
            None => remains.disk.kill(),
        }
        if self.is_damaged {
            remains.catalogue.damage();
        }
    }
}

impl Remains {
    /// A copy, with its own fate.
    pub(crate) fn fork(&self) -> Remains {
        let disk = self.disk.fork();
        Remains {
            catalogue: self.catalogue.fork(&disk),
            disk,
        }
    }

    /// What a crash at this moment would leave of the process.
    pub(crate) fn of(process: &Process) -> Remains {
        let disk = process.disk.fork();
        Remains {
            catalogue: process.catalogue.fork(&disk),
            disk,
        }
    }
}

impl World {
    /// The disk is about to do something.
    pub(crate) fn at_disk(&self, operation: Operation<'_>) {
        let Some(process) = self.process() else {
            return;
        };
        {
            let mut crashes = self.crashes.lock();
            if crashes.violation.is_some() || crashes.ended.is_some() {
                return;
            }
            let kind = crashes.last_kind;
            crashes.coverage.note(kind, &operation);
        }
        if self.chance(self.settings.tried) {
            self.try_crash(&process, operation);
        }
        let ends = match &mut self.crashes.lock().ends_after {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        };
        match ends {
            true => self.end_here(&process, Some(operation)),
            false => self.switch(),
        }
    }

    /// Starts on what a crash would leave, looks whether all is there, and forgets it.
    fn try_crash(&self, process: &Process, operation: Operation<'_>) {
        let how = self.draw(How::choose);
        let mut random = Random::new(self.draw(Random::next));
        let remains = Remains::of(process);
        if how.is_inside {
            remains.disk.begin(operation);
        }
        how.crash(&remains);
        let model = self.model.lock();
        let definitions = process.host.definitions.lock();
        let crash = Crash {
            durable: process.store.durable().0,
            now: self.now().0,
            definitions: &definitions,
            is_clean: false,
        };
        let examined = examine(&remains, &self.settings, &model, &crash, &mut random);
        drop((model, definitions));
        let mut crashes = self.crashes.lock();
        match examined {
            Ok(points) => crashes.points += points,
            Err(why) => {
                let text = format!("a crash ({how:?}) before or in {}: {why}", shown(operation));
                crashes.violation.get_or_insert(text);
            }
        }
    }

    /// The process ends: the history goes on with what is left.
    pub(crate) fn end_here(&self, process: &Process, operation: Option<Operation<'_>>) {
        let how = self.draw(How::choose);
        let remains = Remains::of(process);
        if let Some(operation) = operation.filter(|_| how.is_inside) {
            remains.disk.begin(operation);
        }
        how.crash(&remains);
        self.tell(|| format!("crash {how:?} at {:?}", operation.map(shown)));
        let ended = Ended {
            remains,
            model: self.model.lock().clone(),
            definitions: process.host.definitions.lock().clone(),
            durable: process.store.durable().0,
            now: self.now().0,
            is_clean: false,
        };
        self.crashes.lock().ended = Some(ended);
    }
}

/// Starts on what is left, and says what is wrong; else what was found.
pub(crate) fn start_and_look(
    remains: &Remains,
    settings: &Settings,
    model: &Model,
    crash: &Crash<'_>,
) -> Result<Observed, String> {
    let now = broker_core::time::Timestamp(0);
    let opened = Process::open(&remains.disk, &remains.catalogue, settings, now, true);
    let (process, found) = opened.map_err(|why| format!("it does not start: {why}"))?;
    let observed = observe(&process, found);
    let wrong = model.verify(crash, &observed);
    match wrong.is_empty() {
        true => Ok(observed),
        false => Err(wrong.join("\n  ")),
    }
}

/// Starts on what is left, perhaps with another crash before and behind, and says what is wrong;
/// else how many crashes there were.
pub(crate) fn examine(
    remains: &Remains,
    settings: &Settings,
    model: &Model,
    crash: &Crash<'_>,
    random: &mut Random,
) -> Result<u64, String> {
    let mut points = 1;
    let mut before = None;
    if random.chance(20) && !crash.is_clean {
        points += 1;
        before = crash_while_starting(remains, settings, random);
    }
    let is_checked = random.chance(12);
    let now = broker_core::time::Timestamp(0);
    let opened = Process::open(&remains.disk, &remains.catalogue, settings, now, is_checked);
    let (process, found) = opened.map_err(|why| format!("it does not start: {why}"))?;
    let mut observed = observe(&process, found);
    if let Some(before) = before {
        before.correct(&mut observed)?;
    }
    let mut wrong = model.verify(crash, &observed);
    if wrong.is_empty() && random.chance(20) {
        points += 1;
        wrong = start_again(process, settings, random, &observed);
    }
    let Observed { last, .. } = observed;
    match wrong.is_empty() {
        true => Ok(points),
        false => Err(format!(
            "{}\n  (record {last} is the last)",
            wrong.join("\n  ")
        )),
    }
}

/// A start that came so far as to append records of its own, before it crashed.
struct FormerStart {
    last: u64,
    /// It made the vhost.
    was_first: bool,
}

impl FormerStart {
    /// What it appended says nothing new. What it read must be there still.
    fn correct(self, observed: &mut Observed) -> Result<(), String> {
        let (before, last) = (self.last, observed.last);
        if last < before {
            return Err(format!("a start found {before} records, the next {last}"));
        }
        observed.last = before;
        if self.was_first {
            observed
                .definitions
                .retain(|key, value| !is_vhost(key, value));
        }
        Ok(())
    }
}

fn is_vhost(key: &[u8], value: &[u8]) -> bool {
    matches!(Definition::read(key, value), Ok(Definition::Vhost(_)))
}

/// A start that ends too soon changes nothing that matters.
fn crash_while_starting(
    remains: &Remains,
    settings: &Settings,
    random: &mut Random,
) -> Option<FormerStart> {
    remains.disk.crash_after(random.below(14));
    let now = broker_core::time::Timestamp(0);
    let started = Process::open(&remains.disk, &remains.catalogue, settings, now, false);
    let mut last = None;
    if let Ok((process, found)) = started {
        last = Some(FormerStart {
            last: found.recovered.report.last.0,
            was_first: found.recovered.entries.is_empty(),
        });
        process.run_log(random.below(9) as usize);
    }
    match random.chance(75) {
        true => {
            let seed = random.next();
            remains.disk.power_loss(seed);
            remains.catalogue.power_loss(seed);
        }
        false => remains.disk.kill(),
    }
    last
}

/// The process that started goes on for a moment and crashes; the next one finds the same.
fn start_again(
    process: Process,
    settings: &Settings,
    random: &mut Random,
    before: &Observed,
) -> Vec<String> {
    process.run_log(random.below(12) as usize);
    if random.chance(50) {
        process.attach(process.keeper(|| broker_core::time::Timestamp(0)));
        process.run_log(random.below(40) as usize);
        let _ = process.upkeep_round(random.chance(80));
        process.work.free_durable();
        process.run_log(random.below(8) as usize);
    }
    let remains = Remains {
        disk: process.disk.clone(),
        catalogue: process.catalogue.clone(),
    };
    let remains = remains.fork();
    drop(process);
    let how = How {
        is_damaged: false,
        ..How::choose(random)
    };
    how.crash(&remains);
    let now = broker_core::time::Timestamp(0);
    match Process::open(&remains.disk, &remains.catalogue, settings, now, false) {
        Ok((process, found)) => {
            let again = observe(&process, found);
            let mut wrong = again.problems.clone();
            wrong.extend(differences(before, &again));
            wrong
        }
        Err(why) => vec![format!("it does not start a second time: {why}")],
    }
}

fn shown(operation: Operation<'_>) -> String {
    match operation {
        Operation::Write {
            path,
            offset,
            bytes,
        } => format!(
            "write {} at {offset}: {} bytes",
            path.display(),
            bytes.len()
        ),
        other => format!("{other:?}"),
    }
}

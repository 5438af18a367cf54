//! One history: processes one after the other over one disk, each ended by a crash or a stop.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use leveret::store::sim::{SimCatalogue, SimDisk};

use crate::coverage::Coverage;
use crate::crash::{Ended, examine, start_and_look};
use crate::model::Model;
use crate::observe::Observed;
use crate::process::Process;
use crate::random::Random;
use crate::world::{Part, Remains, World};

/// What came of a history.
pub(crate) struct Outcome {
    pub(crate) points: u64,
    pub(crate) coverage: Coverage,
    pub(crate) violation: Option<String>,
    pub(crate) story: Vec<String>,
}

/// Files that wait to be used, are kept for a full disk, or hold a snapshot and the node's state.
const SLACK_FILES: u64 = 14;
/// What a message takes beside its body.
const MESSAGE_BYTES: u64 = 200;

/// Plays the history of a seed; tells it, if wanted.
pub(crate) fn play(seed: u64, tells: bool) -> Outcome {
    let world = World::new(seed, tells);
    let played = catch_unwind(AssertUnwindSafe(|| world.play()));
    let violation = match played {
        Ok(Ok(())) => None,
        Ok(Err(why)) => Some(why),
        Err(panic) => Some(format!("panic: {}", panic_message(&*panic))),
    };
    let story = world.story();
    let crashes = world.crashes.lock();
    Outcome {
        points: crashes.points,
        coverage: crashes.coverage.clone(),
        violation,
        story,
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "without a message".to_owned(),
    }
}

impl World {
    fn play(&self) -> Result<(), String> {
        let disk = SimDisk::new();
        let remains = Remains {
            catalogue: SimCatalogue::new(&disk),
            disk,
        };
        self.start(&remains, Model::default(), &Observed::default())?;
        for _ in 0..self.settings.queues.len() {
            self.act_declare();
        }
        let lives = self.draw(|random| random.between(1, 5));
        for _ in 0..lives {
            let ended = self.live()?;
            let (model, observed) = self.look(&ended)?;
            self.start(&ended.remains, model, &observed)?;
        }
        let ended = self.live()?;
        self.look(&ended)?;
        Ok(())
    }

    /// A process starts on what there is.
    fn start(
        &self,
        remains: &Remains,
        mut model: Model,
        observed: &Observed,
    ) -> Result<(), String> {
        model.rebase(observed);
        *self.model.lock() = model;
        let (disk, catalogue) = (&remains.disk, &remains.catalogue);
        let opened = Process::open(disk, catalogue, &self.settings, self.now(), false);
        let (process, found) = opened.map_err(|why| format!("it does not start: {why}"))?;
        let last = found.recovered.report.last.0;
        self.tell(|| format!("starts with record {last}"));
        let ends_after = self.draw(|random| {
            let after = random.between(1, 400);
            random.chance(80).then_some(after)
        });
        self.crashes.lock().ends_after = ends_after;
        self.begin(process);
        self.connect_all();
        Ok(())
    }

    /// What lies on the disk is what must.
    fn look(&self, ended: &Ended) -> Result<(Model, Observed), String> {
        let mut random = Random::new(self.draw(Random::next));
        let (model, crash) = (&ended.model, ended.crash());
        let remains = ended.remains.fork();
        let points = examine(&remains, &self.settings, model, &crash, &mut random)?;
        self.crashes.lock().points += points;
        // The process that goes on has no crash before it.
        let observed = start_and_look(&ended.remains.fork(), &self.settings, model, &crash)?;
        self.tell(|| {
            let queues = observed.queues.iter();
            let queues: Vec<_> = queues
                .map(|(id, seen)| {
                    let ids = seen.iter().map(|seen| (seen.id.unwrap_or(0), seen.ordinal));
                    (*id, ids.collect::<Vec<_>>())
                })
                .collect();
            format!("there is: {queues:?}")
        });
        Ok((ended.model.clone(), observed))
    }

    /// The process runs until it ends.
    fn live(&self) -> Result<Ended, String> {
        let steps = self.draw(|random| random.between(20, 300));
        for _ in 0..steps {
            self.step();
            self.complain()?;
            if let Some(ended) = self.take_ended() {
                return Ok(ended);
            }
        }
        let process = self.process().ok_or("there is no process")?;
        if self.chance(60) {
            self.settle_down(&process)?;
            if let Some(ended) = self.take_ended() {
                return Ok(ended);
            }
            if self.chance(50) {
                return self.stop(process);
            }
        }
        self.end_here(&process, None);
        drop(process);
        self.take_ended().ok_or("it does not end".to_owned())
    }

    fn take_ended(&self) -> Option<Ended> {
        let ended = self.crashes.lock().ended.take()?;
        self.end();
        Some(ended)
    }

    /// Says what went wrong, if anything did.
    fn complain(&self) -> Result<(), String> {
        let mut wrong: Vec<String> = self.crashes.lock().violation.take().into_iter().collect();
        wrong.append(&mut self.model.lock().violations);
        if let Some(process) = self.process() {
            wrong.append(&mut process.host.problems.lock());
            if let Some(why) = process.store.failed() {
                wrong.push(format!("the log has failed: {why}"));
            }
        }
        match wrong.is_empty() {
            true => Ok(()),
            false => Err(wrong.join("\n  ")),
        }
    }

    /// Whatever is under way comes to its end; then the disk holds little that is not needed.
    fn settle_down(&self, process: &Arc<Process>) -> Result<(), String> {
        self.tell(|| "settles down".to_owned());
        for _ in 0..6 {
            self.finish_turns(process);
            self.finish_work(process);
            self.upkeep_round(true);
            self.complain()?;
            if self.crashes.lock().ended.is_some() {
                return Ok(());
            }
        }
        self.during(Part::Pages, || process.work.pages().tidy());
        if process.store.is_backlogged() {
            let status = process.store.status();
            return Err(format!("publishers wait for ever: {status:?}"));
        }
        self.check_disk_use(process)
    }

    /// The log and the pages do all there is to do.
    fn finish_work(&self, process: &Arc<Process>) {
        loop {
            let mut any = false;
            while self.during(Part::Log, || process.log.lock().step()) {
                any = true;
            }
            self.during(Part::Pages, || {
                while self.write_page(process) {
                    any = true;
                }
                self.sync_pages(process);
                while self.report_written(process) | self.read_page(process) {
                    any = true;
                }
                while self.report_read(process) {
                    any = true;
                }
                process.work.free_durable();
            });
            if !any || self.crashes.lock().ended.is_some() {
                return;
            }
        }
    }

    fn check_disk_use(&self, process: &Process) -> Result<(), String> {
        let mut live = 0;
        for queue in process.queues() {
            let counts = queue.counts();
            let messages = counts.ready + counts.unacked + counts.dead;
            live += counts.ready_bytes + counts.unacked_bytes + messages * MESSAGE_BYTES;
            if counts.dead > 0 {
                return Ok(());
            }
        }
        let options = &self.settings.options;
        let slack = SLACK_FILES * options.log_file_bytes + 4 * self.settings.segment_bytes;
        let limit = 2 * live + options.log_max_bytes + slack;
        let used = process.disk.allocated_in_all();
        match used <= limit {
            true => Ok(()),
            false => Err(format!("{used} bytes of disk for {live} of messages")),
        }
    }

    /// The process is told to stop, and does.
    fn stop(&self, process: Arc<Process>) -> Result<Ended, String> {
        self.tell(|| "stops".to_owned());
        self.crashes.lock().ends_after = None;
        self.disconnect_all(&process);
        let keeper = process.keeper({
            let now = self.now();
            move || now
        });
        for _ in 0..50 {
            self.finish_work(&process);
            let held = self.during(Part::Queues, || keeper.ask_for_all());
            if held.is_none() {
                break;
            }
        }
        self.complain()?;
        process.disk.watch(None);
        let ended = Ended {
            remains: Remains {
                disk: process.disk.clone(),
                catalogue: process.catalogue.clone(),
            },
            model: self.model.lock().clone(),
            definitions: process.host.definitions.lock().clone(),
            durable: process.appended(),
            now: self.now().0,
            is_clean: true,
        };
        self.end();
        process.close()?;
        ended.remains.disk.kill();
        Ok(ended)
    }
}

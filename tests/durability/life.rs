//! One data directory through many cycles: load, an end of the broker, a start, the check.

use std::env;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::ground::Mount;
use super::history::{History, Tally};
use super::inspect::{self, Afterwards};
use super::judge::{End, judge};
use super::line::Line;
use super::random::Random;
use super::scene;
use super::workers::{CONSUMERS, Load, PUBLISHERS, Work};
use crate::support::broker::{Broker, serve_on_free_ports};

/// What is left in the queues when a check takes everything out.
const MANY: usize = 12_000;
/// Messages that a publisher sends at most in a cycle.
const LIMIT: u32 = 1_500;
/// Complaints that are shown.
const SHOWN: usize = 30;

/// A number from the environment.
pub(crate) fn number(name: &str, default: u64) -> u64 {
    match env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
        Err(_) => default,
    }
}

/// What a thread returns; its panic is this one's.
pub(crate) fn joined<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// What was done in all cycles.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum {
    pub(crate) cycles: u64,
    pub(crate) killed_while_starting: u64,
    pub(crate) stopped: u64,
    pub(crate) slowest_start: Duration,
    pub(crate) tally: Tally,
}

impl Sum {
    pub(crate) fn add(self, other: Sum) -> Sum {
        Sum {
            cycles: self.cycles + other.cycles,
            killed_while_starting: self.killed_while_starting + other.killed_while_starting,
            stopped: self.stopped + other.stopped,
            slowest_start: self.slowest_start.max(other.slowest_start),
            tally: self.tally.add(other.tally),
        }
    }
}

/// Where the data directory lies.
pub(crate) enum Site {
    /// In a folder of its own.
    Folder(tempfile::TempDir),
    /// On a disk of its own, which goes before the folder it is in.
    Disk(Mount, tempfile::TempDir),
}

impl Site {
    fn data(&self) -> PathBuf {
        match self {
            Site::Folder(folder) => folder.path().to_owned(),
            Site::Disk(mount, _folder) => mount.path().join("data"),
        }
    }

    /// Leaves the data directory behind; returns where.
    fn keep(&self) -> PathBuf {
        let kept = tempfile::tempdir().expect("a folder").keep();
        copy(&self.data(), &kept.join("data"));
        kept.join("data")
    }
}

/// What happens in the cycles of a life.
pub(crate) struct Rules {
    /// The test, for the command that repeats it.
    pub(crate) test: &'static str,
    pub(crate) options: fn(&mut Random) -> Vec<String>,
    pub(crate) ending: fn(&mut Random) -> Ending,
    /// Percent of starts that are killed.
    pub(crate) interrupted: u64,
}

/// One data directory and everything that happened to it.
pub(crate) struct Life {
    rules: Rules,
    seed: u64,
    random: Random,
    site: Site,
    history: History,
    /// Publishers are numbered through.
    publisher: u32,
    options: Vec<String>,
    end: End,
    sum: Sum,
}

impl Life {
    pub(crate) fn begin(rules: Rules, site: Site, seed: u64) -> Life {
        Life {
            rules,
            seed,
            random: Random::new(seed),
            site,
            history: History::default(),
            publisher: 1,
            options: Vec::new(),
            end: End::Killed,
            sum: Sum::default(),
        }
    }

    /// As many cycles, each of which must keep every promise.
    pub(crate) fn live(mut self, cycles: u64) -> Sum {
        let mut broker = self.prepare();
        for _ in 0..cycles {
            let (next, wrong) = self.cycle(broker);
            if !wrong.is_empty() {
                let log = next.log();
                let _ = next.kill();
                self.fail(&wrong, &log);
            }
            broker = next;
        }
        let status = broker.end(Signal::TERM).expect("an end");
        if !status.success() {
            self.fail(&[format!("it did not stop: {status}")], &broker.log());
        }
        self.sum.tally = self.history.tally;
        self.sum
    }

    /// Cycles until a promise is broken; returns what was, and how many it took.
    pub(crate) fn until_broken(mut self, cycles: u64) -> (Vec<String>, u64) {
        let mut broker = self.prepare();
        for cycle in 1..=cycles {
            let (next, wrong) = self.cycle(broker);
            if !wrong.is_empty() {
                return (wrong, cycle);
            }
            broker = next;
        }
        (Vec::new(), cycles)
    }

    fn prepare(&mut self) -> Broker {
        let broker = self.start();
        let mut line = Line::open(broker.amqp()).expect("a connection");
        scene::declare(&mut line).expect("declared");
        broker
    }

    /// Load, the end of the broker, a new start, the check.
    fn cycle(&mut self, broker: Broker) -> (Broker, Vec<String>) {
        self.sum.cycles += 1;
        let works: Vec<Work> = PUBLISHERS.into_iter().chain(CONSUMERS).collect();
        let load = Load {
            address: broker.amqp(),
            random: self.random.fork(),
            publisher: self.publisher,
            limit: LIMIT,
            works: &works,
        };
        self.publisher += u32::try_from(works.len()).unwrap_or(0);
        let ending = (self.rules.ending)(&mut self.random);
        let (site, mut end) = (&self.site, End::Killed);
        let reports = load.run(|| end = ending.bring_about(broker, site));
        self.end = end;
        self.sum.stopped += u64::from(end == End::Stopped);
        self.history.take(reports);
        self.keep_evidence();
        self.interrupt_starts();
        let broker = self.start();
        let wrong = self.check(&broker);
        (broker, wrong)
    }

    /// Kills the next broker while it starts, sometimes more than once.
    fn interrupt_starts(&mut self) {
        while self.random.chance(self.rules.interrupted) {
            let mut command = serve_on_free_ports(&self.site.data());
            command.args(&self.options);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            let mut child = command.spawn().expect("a process");
            wait(self.random.micros(0..120_000));
            child.kill().expect("killed");
            child.wait().expect("an end");
            self.sum.killed_while_starting += 1;
            if self.end == End::Stopped {
                self.end = End::Both;
            }
        }
    }

    fn start(&mut self) -> Broker {
        self.options = (self.rules.options)(&mut self.random);
        let options: Vec<&str> = self.options.iter().map(String::as_str).collect();
        let began = Instant::now();
        let started = Broker::start_in(&self.site.data(), &options);
        self.sum.slowest_start = self.sum.slowest_start.max(began.elapsed());
        started.unwrap_or_else(|why| self.fail(&[why], ""))
    }

    fn check(&mut self, broker: &Broker) -> Vec<String> {
        let afterwards = match self.history.copies.len() > MANY || self.random.chance(20) {
            true => Afterwards::Take,
            false => Afterwards::Return,
        };
        let mut wrong = Vec::new();
        let mut line = Line::open(broker.amqp()).expect("a connection");
        wrong.extend(scene::missing(&mut line).err());
        drop(line);
        match inspect::read(broker.amqp(), &self.history, afterwards) {
            Ok(found) => wrong.extend(judge(&mut self.history, &found, self.end, afterwards)),
            Err(why) => wrong.push(why),
        }
        let log = broker.log();
        let complaints = log.lines().filter(|line| line.contains("ERROR"));
        wrong.extend(complaints.map(str::to_owned));
        wrong
    }

    fn fail(&self, wrong: &[String], log: &str) -> ! {
        let mut report = String::new();
        for what in wrong.iter().take(SHOWN) {
            let _ = writeln!(report, "  {what}");
        }
        panic!(
            "{} broken promises after cycle {} of seed {:#x} ({:?}):\n{report}\
             data directory: {}\noptions: {:?}\n\
             repeat: SEED={} CYCLES={} cargo test --test durability -- {} --nocapture\n{log}",
            wrong.len(),
            self.sum.cycles,
            self.seed,
            self.end,
            self.site.keep().display(),
            self.options,
            self.seed,
            self.sum.cycles,
            self.rules.test,
        );
    }

    /// With `EVIDENCE` set, a copy of the data directory as the dead broker left it.
    fn keep_evidence(&self) {
        if let Ok(place) = env::var("EVIDENCE") {
            let target = Path::new(&place).join(format!("{:x}", self.seed));
            let _ = std::fs::remove_dir_all(&target);
            copy(&self.site.data(), &target);
        }
    }
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp")
        .args(["-a", "--sparse=always"])
        .arg(from)
        .arg(to)
        .status();
    assert!(copied.is_ok_and(|status| status.success()), "copied");
}

fn wait(time: Duration) {
    let until = Instant::now() + time;
    while let left = until.saturating_duration_since(Instant::now())
        && !left.is_zero()
    {
        std::thread::park_timeout(left);
    }
}

/// How a broker ends.
pub(crate) enum Ending {
    Kill {
        after: Duration,
    },
    Stop {
        after: Duration,
    },
    KillWhileStopping {
        after: Duration,
        then: Duration,
    },
    /// The disk is cut off, and what it had in memory is lost.
    PowerCut {
        after: Duration,
    },
}

impl Ending {
    fn bring_about(self, mut broker: Broker, site: &Site) -> End {
        let status = match self {
            Ending::Kill { after } => {
                wait(after);
                broker.kill()
            }
            Ending::Stop { after } => {
                wait(after);
                broker.end(Signal::TERM)
            }
            Ending::KillWhileStopping { after, then } => {
                wait(after);
                broker.signal(Signal::TERM).expect("a signal");
                wait(then);
                broker.kill()
            }
            Ending::PowerCut { after } => {
                cut(broker, after, site);
                return End::Killed;
            }
        };
        match status.expect("an end").code() {
            Some(0) => End::Stopped,
            None => End::Killed,
            Some(code) => panic!("the broker ended by itself with {code}"),
        }
    }
}

/// Cuts the disk off while the broker stands still: a sync that is under way when the disk goes may
/// return as if it had been done, which no machine without power would live to believe.
fn cut(broker: Broker, after: Duration, site: &Site) {
    let Site::Disk(mount, _folder) = site else {
        panic!("only a disk of its own can be cut off");
    };
    let scissors = mount.scissors().expect("scissors");
    wait(after);
    broker.signal(Signal::STOP).expect("a signal");
    await_standstill(broker.pid());
    scissors.cut().expect("cut off");
    broker.kill().expect("an end");
    mount.come_back().expect("mounted again");
}

/// Waits until every thread is stopped, or in a system call that it cannot return from.
fn await_standstill(pid: u32) {
    let deadline = Instant::now() + Duration::from_secs(10);
    let stands = |state: &str| matches!(state, "T" | "t" | "D" | "Z");
    while !states(pid).iter().all(|state| stands(state)) {
        assert!(Instant::now() < deadline, "{:?}", states(pid));
        std::thread::park_timeout(Duration::from_micros(50));
    }
}

fn states(pid: u32) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("a process");
    let stats =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("stat")).ok());
    let state = |stat: String| {
        stat.rsplit_once(')')?
            .1
            .split_whitespace()
            .next()
            .map(str::to_owned)
    };
    stats.filter_map(state).collect()
}

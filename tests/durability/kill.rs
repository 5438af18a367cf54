//! SIGKILL under load, again and again over one data directory, and after each start every message
//! is where the clients' history says it must be.
//!
//! `CYCLES` says how many (50 here, 1,000 for a night), `SEED` where the draws begin. A cycle that
//! fails prints its seed and keeps the data directory; times are drawn from the seed, but what the
//! broker was doing at such a time is not, so it may take several tries to see it again.

use std::env;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::history::{History, Tally};
use super::inspect::{self, Afterwards};
use super::judge::{End, judge};
use super::line::Line;
use super::random::Random;
use super::scene;
use super::workers::{CONSUMERS, Load, PUBLISHERS, Work};
use crate::support::broker::{Broker, serve_on_free_ports};

/// Cycles where nobody says how many.
const CYCLES: u64 = 50;
const SEED: u64 = 0x1e7e_2e70;
/// Cycles over one data directory.
const LIFE: u64 = 10;
/// Data directories at the same time.
const LANES: u64 = 2;
/// What is left in the queues when a check takes everything out.
const MANY: usize = 12_000;
/// Messages that a publisher sends at most in a cycle.
const LIMIT: u32 = 1_500;

/// A number from the environment.
pub(crate) fn number(name: &str, default: u64) -> u64 {
    match env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
        Err(_) => default,
    }
}

#[test]
fn nothing_promised_is_lost_however_often_the_broker_is_killed() {
    let (cycles, seed) = (number("CYCLES", CYCLES), number("SEED", SEED));
    let began = Instant::now();
    let lanes: Vec<Sum> = std::thread::scope(|scope| {
        let lane = |lane| move || run_lane(seed, lane, cycles);
        let lanes: Vec<_> = (0..LANES).map(|index| scope.spawn(lane(index))).collect();
        lanes.into_iter().map(joined).collect()
    });
    let sum = lanes.into_iter().fold(Sum::default(), Sum::add);
    println!("{sum:?} in {:?}, seed {seed:#x}", began.elapsed());
    assert_eq!(sum.cycles, cycles);
    assert!(sum.tally.sure > 0 && sum.tally.surely_settled > 0 && sum.tally.doubtful > 0);
}

/// What a thread returns; its panic is this one's.
fn joined<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// What was done in all cycles.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    cycles: u64,
    killed_while_starting: u64,
    stopped: u64,
    slowest_start: Duration,
    tally: Tally,
}

impl Sum {
    fn add(self, other: Sum) -> Sum {
        Sum {
            cycles: self.cycles + other.cycles,
            killed_while_starting: self.killed_while_starting + other.killed_while_starting,
            stopped: self.stopped + other.stopped,
            slowest_start: self.slowest_start.max(other.slowest_start),
            tally: self.tally.add(other.tally),
        }
    }
}

/// The lives of one lane, one after the other.
fn run_lane(seed: u64, lane: u64, cycles: u64) -> Sum {
    let lives = cycles.div_ceil(LIFE);
    let mut sum = Sum::default();
    for life in (0..lives).filter(|life| life % LANES == lane) {
        let count = LIFE.min(cycles - life * LIFE);
        let lived = Life::begin(seed.wrapping_add(life)).live(count);
        sum = sum.add(lived);
    }
    sum
}

/// One data directory and everything that happened to it.
struct Life {
    seed: u64,
    random: Random,
    folder: tempfile::TempDir,
    history: History,
    /// Publishers are numbered through.
    publisher: u32,
    options: Vec<String>,
    end: End,
    sum: Sum,
}

impl Life {
    fn begin(seed: u64) -> Life {
        Life {
            seed,
            random: Random::new(seed),
            folder: tempfile::tempdir().expect("a folder"),
            history: History::default(),
            publisher: 1,
            options: Vec::new(),
            end: End::Killed,
            sum: Sum::default(),
        }
    }

    fn live(mut self, cycles: u64) -> Sum {
        let mut broker = self.start();
        let mut line = Line::open(broker.amqp()).expect("a connection");
        scene::declare(&mut line).expect("declared");
        drop(line);
        for _ in 0..cycles {
            broker = self.cycle(broker);
        }
        let mut last = broker;
        let status = last.end(Signal::TERM).expect("an end");
        if !status.success() {
            self.fail(&[format!("it did not stop: {status}")], &last.log());
        }
        self.sum.tally = self.history.tally;
        self.sum
    }

    /// Load, the end of the broker, a new start, the check.
    fn cycle(&mut self, broker: Broker) -> Broker {
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
        let ending = Ending::draw(&mut self.random);
        let mut end = End::Killed;
        let reports = load.run(|| end = ending.bring_about(broker));
        self.end = end;
        self.sum.stopped += u64::from(end == End::Stopped);
        self.history.take(reports);
        keep_evidence(self.folder.path());
        self.interrupt_starts();
        let broker = self.start();
        self.check(&broker);
        broker
    }

    /// Kills the next broker while it starts, sometimes more than once.
    fn interrupt_starts(&mut self) {
        while self.random.chance(25) {
            let mut command = serve_on_free_ports(self.folder.path());
            command.args(&self.options);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            let mut child = command.spawn().expect("a process");
            std::thread::park_timeout(self.random.micros(0..120_000));
            child.kill().expect("killed");
            child.wait().expect("an end");
            self.sum.killed_while_starting += 1;
            if self.end == End::Stopped {
                self.end = End::Both;
            }
        }
    }

    fn start(&mut self) -> Broker {
        self.options = draw_options(&mut self.random);
        let options: Vec<&str> = self.options.iter().map(String::as_str).collect();
        let began = Instant::now();
        let started = Broker::start_in(self.folder.path(), &options);
        self.sum.slowest_start = self.sum.slowest_start.max(began.elapsed());
        match started {
            Ok(broker) => broker,
            Err(why) => self.fail(&[why], ""),
        }
    }

    fn check(&mut self, broker: &Broker) {
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
        if !wrong.is_empty() {
            self.fail(&wrong, &log);
        }
    }

    fn fail(&mut self, wrong: &[String], log: &str) -> ! {
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().expect("a folder"));
        let kept = folder.keep();
        let mut report = String::new();
        for what in wrong.iter().take(30) {
            let _ = writeln!(report, "  {what}");
        }
        panic!(
            "{} broken promises after cycle {} of seed {:#x} ({:?}):\n{report}\
             data directory: {}\noptions: {:?}\nrepeat: SEED={} CYCLES={}\n{log}",
            wrong.len(),
            self.sum.cycles,
            self.seed,
            self.end,
            kept.display(),
            self.options,
            self.seed,
            LIFE,
        );
    }
}

/// How a broker ends.
enum Ending {
    Kill { after: Duration },
    Stop { after: Duration },
    KillWhileStopping { after: Duration, then: Duration },
}

impl Ending {
    fn draw(random: &mut Random) -> Ending {
        let after = random.micros(20_000..900_000);
        match random.within(0..100) {
            0..12 => Ending::Stop { after },
            12..24 => Ending::KillWhileStopping {
                after,
                then: random.micros(0..250_000),
            },
            _ => Ending::Kill { after },
        }
    }

    fn bring_about(self, mut broker: Broker) -> End {
        let wait = |time: Duration| {
            let until = Instant::now() + time;
            while let left = until.saturating_duration_since(Instant::now())
                && !left.is_zero()
            {
                std::thread::park_timeout(left);
            }
        };
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
        };
        match status.expect("an end").code() {
            Some(0) => End::Stopped,
            None => End::Killed,
            Some(code) => panic!("the broker ended by itself with {code}"),
        }
    }
}

/// Small files and little memory in most cycles, so that the log is recycled, messages go to pages
/// and checkpoints are made all the time.
fn draw_options(random: &mut Random) -> Vec<String> {
    if random.chance(20) {
        return Vec::new();
    }
    let file = 65_536 << random.within(0..6);
    let options = [
        ("--wal-file-size", file),
        ("--wal-max-size", file * random.within(4..40)),
        ("--wal-checkpoint-size", 65_536 << random.within(0..5)),
        ("--wal-checkpoint-interval", random.within(100..2_000)),
        ("--resident-bytes", random.within(0..4) * 200_000),
    ];
    let words = options.map(|(name, value)| [name.to_owned(), value.to_string()]);
    words.into_iter().flatten().collect()
}

/// With `EVIDENCE` set, a copy of the data directory as the dead broker left it.
fn keep_evidence(folder: &Path) {
    let Ok(place) = env::var("EVIDENCE") else {
        return;
    };
    let name = folder.file_name().expect("a name");
    let target: PathBuf = Path::new(&place).join(name);
    let _ = std::fs::remove_dir_all(&target);
    let status = std::process::Command::new("cp")
        .args(["-a", "--sparse=always"])
        .arg(folder)
        .arg(&target)
        .status();
    assert!(status.is_ok_and(|status| status.success()), "copied");
}

//! How fast queues are declared, over one connection or many at once.
//! Owns the names, which no earlier run has used, and the deletion of whatever was declared; never
//! publishes.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use amqp_codec::queue;
use serde::Serialize;

use super::args::PerfArgs;
use super::block::LOAD_CHANNEL;
use super::connection::{Connection, Dial};
use super::error::PerfError;
use super::latency::{Latencies, Summary};
use super::process::Process;
use super::report::{BrokerUse, Moment, interrupted, rate};
use super::stop::Stop;
use super::uri::Uri;

/// What declaring queues took.
#[derive(Debug, Serialize)]
pub(super) struct DeclareReport {
    mode: &'static str,
    config: PerfArgs,
    interrupted: bool,
    connections: u64,
    declared: Deed,
    /// From sending queue.declare to declare-ok.
    latency_us: Option<Summary>,
    broker: Option<BrokerUse>,
    /// Missing when the queues were kept.
    deleted: Option<Deed>,
}

/// So many of one kind in so much time.
#[derive(Debug, Serialize)]
struct Deed {
    queues: u64,
    seconds: f64,
    per_second: f64,
}

impl Deed {
    fn new(queues: u64, time: Duration) -> Self {
        Deed {
            queues,
            seconds: time.as_secs_f64(),
            per_second: rate(queues, time),
        }
    }
}

impl fmt::Display for DeclareReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        interrupted(f, self.interrupted)?;
        let connections = self.connections;
        write!(
            f,
            "declared     {} over {connections} connections",
            self.declared
        )?;
        if let Some(latency) = &self.latency_us {
            write!(f, "\nlatency µs   {latency}")?;
        }
        if let Some(broker) = &self.broker {
            write!(f, "\n{broker}")?;
        }
        match &self.deleted {
            Some(deleted) => write!(f, "\ndeleted      {deleted}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (queues, seconds) = (self.queues, self.seconds);
        write!(
            f,
            "{:.0}/s ({queues} queues in {seconds:.3} s)",
            self.per_second
        )
    }
}

/// Declares so many queues over so many connections, and deletes them unless they are to be kept.
pub(super) fn run(
    args: &PerfArgs,
    (connections, queues): (u64, u64),
    stop: &Stop,
) -> Result<DeclareReport, PerfError> {
    let process = args.pid.map(Process::new).transpose()?;
    let plan = Plan::new(args, queues, stop);
    let mut declarers = (0..connections)
        .map(|_| Declarer::open(&args.uri))
        .collect::<Result<Vec<_>, _>>()?;
    let first = Moment::now(process.as_ref())?;
    at_once(&mut declarers, |declarer| {
        plan.stop.judge(declarer.declare(&plan));
    });
    let last = Moment::now(process.as_ref())?;
    let count = declarers.iter().map(|declarer| declarer.declared).sum();
    let failure = stop.take_failure();
    // What was declared before a failure is deleted too.
    let deleted = match args.keep && failure.is_none() {
        true => None,
        false => Some(plan.delete(&mut declarers)),
    };
    let mut latencies = None;
    for declarer in declarers {
        Latencies::merge(&mut latencies, declarer.latencies);
        declarer.connection.close();
    }
    match failure {
        Some(error) => Err(error),
        None => Ok(DeclareReport {
            mode: "declare",
            config: args.clone(),
            interrupted: stop.is_interrupted(),
            connections,
            declared: Deed::new(count, last.at - first.at),
            latency_us: latencies.as_ref().and_then(Latencies::summary),
            broker: BrokerUse::between(process.as_ref(), (&first, &last), 0, count),
            deleted: deleted.transpose()?,
        }),
    }
}

/// Does the same on all connections at the same time.
fn at_once(declarers: &mut [Declarer], work: impl Fn(&mut Declarer) + Sync) {
    let work = &work;
    thread::scope(|scope| {
        for declarer in declarers {
            scope.spawn(move || work(declarer));
        }
    });
}

/// What the connections share.
struct Plan<'a> {
    args: &'a PerfArgs,
    stop: &'a Stop,
    /// In every name of this run and of no other.
    mark: String,
    queues: u64,
    next: AtomicU64,
    deadline: Instant,
}

impl<'a> Plan<'a> {
    fn new(args: &'a PerfArgs, queues: u64, stop: &'a Stop) -> Self {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let nanos = since_epoch.map_or(0, |time| time.as_nanos());
        Plan {
            args,
            stop,
            mark: format!("{:x}-{nanos:x}", std::process::id()),
            queues,
            next: AtomicU64::new(0),
            deadline: Instant::now() + args.time_limit(),
        }
    }

    /// The next queue that nobody has taken, until there is none.
    fn take(&self) -> Result<Option<u64>, PerfError> {
        if Instant::now() >= self.deadline {
            return Err(PerfError::Stalled {
                waiting_for: format!(
                    "of {} queues {} declared",
                    self.queues,
                    self.next.load(Relaxed)
                ),
                seconds: self.args.time_limit().as_secs(),
            });
        }
        let number = self.next.fetch_add(1, Relaxed);
        Ok((number < self.queues && !self.stop.is_over()).then_some(number))
    }

    fn name(&self, number: u64) -> String {
        format!("perf-declare-{}-{number}", self.mark)
    }

    /// Deletes what all connections have declared; the first error is told when all have tried.
    fn delete(&self, declarers: &mut [Declarer]) -> Result<Deed, PerfError> {
        let (deleting, failures) = (Instant::now(), Stop::default());
        at_once(declarers, |declarer| {
            failures.judge(declarer.delete(self));
        });
        let deleted = declarers.iter().map(|declarer| declarer.deleted).sum();
        match failures.take_failure() {
            Some(error) => Err(error),
            None => Ok(Deed::new(deleted, deleting.elapsed())),
        }
    }
}

/// One connection and what it has declared.
struct Declarer {
    connection: Connection,
    /// Asked for, whether or not the answer came.
    numbers: Vec<u64>,
    declared: u64,
    deleted: u64,
    latencies: Option<Latencies>,
}

impl Declarer {
    fn open(uri: &Uri) -> Result<Self, PerfError> {
        Ok(Declarer {
            connection: open(uri)?,
            numbers: Vec::new(),
            declared: 0,
            deleted: 0,
            latencies: Latencies::new(),
        })
    }

    fn declare(&mut self, plan: &Plan<'_>) -> Result<(), PerfError> {
        while let Some(number) = plan.take()? {
            self.numbers.push(number);
            let name = plan.name(number);
            let declare = queue::Declare {
                queue: &name,
                durable: plan.args.durable,
                ..Default::default()
            };
            let sent = Instant::now();
            let answer = self
                .connection
                .call(LOAD_CHANNEL, declare, queue::DeclareOk::ID)?;
            if let Some(latencies) = &mut self.latencies {
                latencies.record(sent.elapsed().as_nanos() as u64);
            }
            expect_new(&name, &answer)?;
            self.declared += 1;
        }
        Ok(())
    }

    /// On this connection, or on a fresh one when it was lost.
    fn delete(&mut self, plan: &Plan<'_>) -> Result<(), PerfError> {
        let mut fresh = false;
        while let Some(&number) = self.numbers.last() {
            let name = plan.name(number);
            let delete = queue::Delete {
                queue: &name,
                ..Default::default()
            };
            match self
                .connection
                .call(LOAD_CHANNEL, delete, queue::DeleteOk::ID)
            {
                Ok(_) => {
                    self.numbers.pop();
                    self.deleted += 1;
                }
                Err(error) if fresh => return Err(error),
                Err(_) => {
                    fresh = true;
                    self.connection = open(&plan.args.uri)?;
                }
            }
        }
        Ok(())
    }
}

fn open(uri: &Uri) -> Result<Connection, PerfError> {
    let mut connection = Connection::open(uri, Dial::default())?;
    connection.open_channel(LOAD_CHANNEL)?;
    Ok(connection)
}

/// The answer is about the queue that was asked for, and nobody has used that queue before.
fn expect_new(name: &str, answer: &[u8]) -> Result<(), PerfError> {
    let ok = queue::DeclareOk::decode_args(answer).map_err(PerfError::malformed)?;
    if ok.queue == name && ok.message_count == 0 && ok.consumer_count == 0 {
        return Ok(());
    }
    Err(PerfError::Protocol(format!(
        "declare-ok for '{}' with {} messages and {} consumers after declaring '{name}'",
        ok.queue, ok.message_count, ok.consumer_count
    )))
}

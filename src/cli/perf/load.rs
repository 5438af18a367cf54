//! The main run: publishers and consumers at work, measured over a window.
//! Owns the order of a run (declare, consume, publish, measure, drain, delete) and its figures; the
//! work itself is the workers', the clock is `measure`'s.

use std::mem::take;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread::{self, Scope};

use amqp_codec::ShortString;

use super::args::PerfArgs;
use super::block::{Block, FILLING, Shape};
use super::check::{Checker, Checks, Seal};
use super::connection::{Connection, Dial};
use super::consumer::{self, Consumed, Terms};
use super::error::PerfError;
use super::latency::{Latencies, Stamps};
use super::pace::Pace;
use super::process::{Process, wait_precisely};
use super::publisher::{self, Orders, Published, Shared};
use super::report::*;
use super::stop::Stop;
use super::tally::{Tally, Totals};
use super::topology::{Depth, Topology, Wanted};

mod ends;
mod measure;
mod progress;

use ends::{Ends, Worker};

/// Runs the load that the arguments describe.
pub(super) fn run(args: &PerfArgs, stop: &Stop) -> Result<LoadReport, PerfError> {
    let process = args.pid.map(Process::new).transpose()?;
    let queues = args.queue_names()?;
    let existing = args.existing || args.publishers == 0;
    let wanted = Wanted {
        queues: &queues,
        durable: args.durable,
        existing,
        max_length: None,
    };
    let tallies = |count: u64| (0..count).map(|_| Tally::default()).collect();
    let load = Load {
        args,
        stop,
        process,
        queues: &queues,
        stamps: Stamps::new(),
        depth: Depth::default(),
        publishers: tallies(args.publishers),
        consumers: tallies(args.consumers),
        publishing: AtomicUsize::new(args.publishers as usize),
    };
    Topology::during(&args.uri, |topology| {
        topology.declare(&wanted)?;
        topology.bind(args, &queues)?;
        let report = load.run();
        if args.keep {
            topology.keep();
        }
        report
    })
}

struct Load<'a> {
    args: &'a PerfArgs,
    stop: &'a Stop,
    process: Option<Process>,
    queues: &'a [ShortString],
    stamps: Stamps,
    depth: Depth,
    publishers: Vec<Tally>,
    consumers: Vec<Tally>,
    /// Publishers that are still at work.
    publishing: AtomicUsize,
}

/// Everything that is counted, at one moment.
struct Sample {
    totals: Totals,
    /// What each consumer has got.
    shares: Vec<u64>,
    /// Messages that were ready when last looked at.
    ready: u64,
    moment: Moment,
}

/// The measured stretch of a run.
struct Window {
    first: Sample,
    last: Sample,
    rss_max_kib: u64,
}

impl<'a> Load<'a> {
    fn run(&self) -> Result<LoadReport, PerfError> {
        let consumers = self.connect_consumers()?;
        let publishers = self.connect_publishers()?;
        wait_precisely();
        let (window, ends) = thread::scope(|scope| {
            let run = self.run_in(scope, consumers, publishers);
            self.stop.end();
            run
        })?;
        match self.stop.take_failure() {
            Some(error) => Err(error),
            None => Ok(self.report(&window, ends)),
        }
    }

    fn run_in<'scope, 'env: 'scope>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        consumers: Vec<Connection>,
        publishers: Vec<(Connection, Block)>,
    ) -> Result<(Window, Ends<'env>), PerfError> {
        let subscribing = self.sample()?;
        let consuming = self.start_consumers(scope, consumers)?;
        self.spawn(scope, "perf-depth", || {
            self.depth.watch(&self.args.uri, self.queues, self.stop)
        })?;
        if self.args.is_counted() {
            self.stamps.open_window();
        }
        let begin = self.sample()?;
        let publishing = self.start_publishers(scope, publishers)?;
        let window = match (self.args.drain, self.args.messages) {
            (Some(_), _) => self.measure_counted(subscribing),
            (None, Some(_)) => self.measure_counted(begin),
            (None, None) => self.measure_timed(),
        };
        self.stop.end_publishing();
        self.settle_down();
        self.stop.end();
        Ok((window?, Ends::collect(publishing, consuming)))
    }

    fn start_consumers<'scope, 'env: 'scope>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        mut consumers: Vec<Connection>,
    ) -> Result<Vec<Worker<'scope, Consumed<'env>>>, PerfError> {
        for (worker, connection) in consumers.iter_mut().enumerate() {
            consumer::subscribe(connection, self.queue(worker), self.terms())?;
        }
        let start = |(connection, tally)| {
            let (terms, stamps) = (self.terms(), &self.stamps);
            self.spawn(scope, "perf-consumer", move || match self.args.stopped {
                true => Ok(consumer::stand_still(connection, self.stop)),
                false => {
                    let checker = self.checker();
                    consumer::count_checked(connection, terms, self.stop, stamps, (tally, checker))
                }
            })
        };
        consumers
            .into_iter()
            .zip(&self.consumers)
            .map(start)
            .collect()
    }

    fn start_publishers<'scope, 'env: 'scope>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
        publishers: Vec<(Connection, Block)>,
    ) -> Result<Vec<Worker<'scope, Published>>, PerfError> {
        let start = |(number, ((connection, block), tally))| {
            let orders = self.orders(number);
            let (stop, stamps) = (self.stop, &self.stamps);
            self.spawn(scope, "perf-publisher", move || {
                let shared = Shared {
                    stop,
                    stamps,
                    tally,
                };
                let published = publisher::publish(connection, block, &orders, &shared);
                self.publishing.fetch_sub(1, Relaxed);
                published
            })
        };
        (0..)
            .zip(publishers.into_iter().zip(&self.publishers))
            .map(start)
            .collect()
    }

    /// Starts a worker; its error ends the run.
    fn spawn<'scope, T: Send + 'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        name: &str,
        work: impl FnOnce() -> Result<T, PerfError> + Send + 'scope,
    ) -> Result<Worker<'scope, T>, PerfError> {
        let during = "starting a thread";
        thread::Builder::new()
            .name(name.to_owned())
            .spawn_scoped(scope, || self.stop.judge(work()))
            .map_err(|source| PerfError::Local { during, source })
    }

    fn terms(&self) -> Terms {
        let ack_every = (self.args.ack > 0).then_some(self.args.ack);
        Terms {
            ack_every,
            prefetch: self.args.prefetch,
            stamped: self.args.latency,
            pace: self.args.consume_rate.and_then(Pace::new),
            more_channels: self.args.more_channels(),
        }
    }

    fn orders(&self, publisher: u64) -> Orders {
        let quota = match self.args.messages {
            // The first ones take what does not divide evenly.
            Some(all) => {
                let (each, rest) = (all / self.args.publishers, all % self.args.publishers);
                each + u64::from(publisher < rest)
            }
            None => u64::MAX,
        };
        Orders {
            window: (self.args.confirm > 0).then_some(self.args.confirm),
            quota,
            pace: self.args.rate.and_then(Pace::new),
            stamped: self.args.latency,
            timed: self.args.confirm_latency,
            keys: self.args.keys(publisher),
            more_channels: self.args.more_channels(),
            seal: self.args.check.then(|| {
                let (stamped, body_bytes) = (self.args.latency, self.args.body_bytes());
                Seal::new(publisher, stamped, body_bytes, FILLING)
            }),
        }
    }

    fn queue(&self, worker: usize) -> &ShortString {
        &self.queues[worker % self.queues.len()]
    }

    fn connect_consumers(&self) -> Result<Vec<Connection>, PerfError> {
        let connect = |_| Connection::open(&self.args.uri, Dial::default());
        (0..self.consumers.len()).map(connect).collect()
    }

    fn connect_publishers(&self) -> Result<Vec<(Connection, Block)>, PerfError> {
        let connect = |worker| {
            let connection = Connection::open(&self.args.uri, Dial::default())?;
            let (confirms, more) = (self.args.confirm > 0, self.args.more_channels());
            let connection = publisher::prepare_channels(connection, confirms, more)?;
            let (exchange, routing_key) = self.args.target(self.queue(worker))?;
            let block = Block::new(&Shape {
                exchange: &exchange,
                routing_key: &routing_key,
                body_bytes: self.args.body_bytes(),
                persistent: self.args.persistent,
                frame_max: connection.frame_max(),
            })?;
            Ok((connection, block))
        };
        (0..self.publishers.len()).map(connect).collect()
    }

    fn checker(&self) -> Option<Checker<'_>> {
        let publishers = self.publishers.as_slice();
        let stamped = self.args.latency;
        self.args.check.then(|| Checker::new(publishers, stamped))
    }

    /// The verdict over the bodies that all consumers got.
    fn checks(&self, checkers: Vec<Option<Checker<'_>>>) -> Checks {
        let mut queues: Vec<Vec<Checker<'_>>> = self.queues.iter().map(|_| Vec::new()).collect();
        for (consumer, checker) in checkers.into_iter().enumerate() {
            queues[consumer % self.queues.len()].extend(checker);
        }
        let copied = self.args.exchange.is_some();
        let reaches =
            |publisher: usize, queue: usize| copied || publisher % self.queues.len() == queue;
        let known = self
            .copies()
            .map(|_| &reaches as &dyn Fn(usize, usize) -> bool);
        Checks::of(queues, &self.publishers, known)
    }

    /// How often each message is delivered, if that is known: an exchange or somebody else's queue
    /// makes it unknowable, unless the exchange is a fanout of our own.
    fn copies(&self) -> Option<u64> {
        let (args, queues) = (self.args, self.queues.len() as u64);
        match (&args.exchange, args.exchange_type.as_deref()) {
            _ if args.existing => None,
            (None, _) => Some(1),
            (_, Some("fanout")) if args.bindings.is_none() && args.consumers >= queues => {
                Some(queues)
            }
            _ => None,
        }
    }

    /// Whether nothing that is published is read by this run.
    fn has_no_readers(&self) -> bool {
        self.consumers.is_empty() || self.args.stopped
    }

    fn totals(&self) -> Totals {
        let (mut totals, consumed) = (Totals::of(&self.publishers), Totals::of(&self.consumers));
        totals.delivered = consumed.delivered;
        totals.delivered_bytes = consumed.delivered_bytes;
        totals
    }

    fn sample(&self) -> Result<Sample, PerfError> {
        Ok(Sample {
            totals: self.totals(),
            shares: self.consumers.iter().map(Tally::delivered).collect(),
            ready: self.depth.last().1,
            moment: Moment::now(self.process.as_ref())?,
        })
    }

    fn report(&self, window: &Window, mut ends: Ends<'_>) -> LoadReport {
        let totals = window.last.totals.since(&window.first.totals);
        let all = self.totals();
        let (first, last) = (&window.first.moment, &window.last.moment);
        let time = last.at - first.at;
        let carried = if self.has_no_readers() {
            totals.published
        } else {
            totals.delivered
        };
        LoadReport {
            mode: match self.args.drain {
                Some(_) => "drain",
                None => "load",
            },
            config: self.args.clone(),
            interrupted: self.stop.is_interrupted(),
            seconds: time.as_secs_f64(),
            published: PublishFigures {
                messages: totals.published,
                per_second: rate(totals.published, time),
                confirmed: totals.settled.saturating_sub(totals.nacked),
                nacked: totals.nacked,
                unsent: ends.unsent,
                blocked: all.blocked,
                client_cpu_ns_per_message: per_message(ends.publisher_cpu_nanos, all.published),
            },
            delivered: DeliverFigures {
                messages: totals.delivered,
                per_second: rate(totals.delivered, time),
                mib_per_second: rate(totals.delivered_bytes, time) / f64::from(1 << 20),
                client_cpu_ns_per_message: per_message(ends.consumer_cpu_nanos, all.delivered),
                shares: Shares::between(&window.first.shares, &window.last.shares),
            },
            max_ready: self.depth.max(),
            ready_before: window.first.ready,
            ready_after: window.last.ready,
            checks: self
                .args
                .check
                .then(|| self.checks(take(&mut ends.checkers))),
            broker: BrokerUse::between(
                self.process.as_ref(),
                (first, last),
                window.rss_max_kib,
                carried,
            ),
            confirm_latency_us: ends.confirm_latencies.as_ref().and_then(Latencies::summary),
            latency_us: ends.latencies.as_ref().and_then(Latencies::summary),
        }
    }
}

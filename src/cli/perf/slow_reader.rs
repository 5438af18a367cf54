//! A consumer that reads large messages slowly while they go on arriving.
//! Owns the probe for a broker that moves a queue into the output buffer of a connection nobody
//! empties: the queue is bounded, so whatever the broker grows beyond it is buffered for the slow
//! one. A second, fast pair shows whether others are held up. Never uses acknowledgements.

use std::fmt;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use amqp_codec::ShortString;

use super::args::PerfArgs;
use super::block::{Block, Shape};
use super::connection::{Connection, Dial, is_timeout};
use super::consumer::{self, Counter, Terms};
use super::error::PerfError;
use super::latency::{Latencies, Stamps, Summary};
use super::pace::Pace;
use super::process::{Process, wait_precisely};
use super::publisher::{self, Orders, Shared};
use super::report::{BrokerUse, Moment, interrupted, rate};
use super::stop::Stop;
use super::tally::{Tally, Totals};
use super::topology::{Topology, Wanted};
use super::walk::Walker;

/// What the probe found.
#[derive(Debug, Serialize)]
pub(super) struct SlowReaderReport {
    mode: &'static str,
    config: PerfArgs,
    interrupted: bool,
    seconds: f64,
    published: u64,
    delivered: u64,
    read_mib_per_second: f64,
    /// What the queue itself may hold.
    queue_limit_kib: u64,
    grown_kib: Option<u64>,
    broker: Option<BrokerUse>,
    /// End-to-end times of the fast pair beside it, in microseconds.
    bystander_latency_us: Option<Summary>,
}

impl fmt::Display for SlowReaderReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        interrupted(f, self.interrupted)?;
        write!(
            f,
            "slow reader  {} messages published in {:.1} s, {} read ({:.1} MiB/s); its queue holds at most {} KiB",
            self.published,
            self.seconds,
            self.delivered,
            self.read_mib_per_second,
            self.queue_limit_kib
        )?;
        if let Some(grown) = self.grown_kib {
            write!(f, "\ngrowth       {grown} KiB of broker RSS at most")?;
        }
        if let Some(broker) = &self.broker {
            write!(f, "\n{broker}")?;
        }
        match &self.bystander_latency_us {
            Some(latency) => write!(f, "\nlatency µs   {latency}, of a fast pair beside it"),
            None => Ok(()),
        }
    }
}

/// Runs the probe.
pub(super) fn run(args: &PerfArgs, stop: &Stop) -> Result<SlowReaderReport, PerfError> {
    let process = args.pid.map(Process::new).transpose()?;
    let [slow, fast] = args.slow_reader_queues()?;
    let wanted = |queue, max_length| Wanted {
        queues: std::slice::from_ref(queue),
        durable: args.durable,
        existing: false,
        max_length,
    };
    Topology::during(&args.uri, |topology| {
        topology.declare(&wanted(&slow, Some(QUEUE_LENGTH)))?;
        topology.declare(&wanted(&fast, None))?;
        let stamps = Stamps::new();
        Probe {
            args,
            stop,
            process,
            slow: &slow,
            fast: &fast,
            stamps,
        }
        .run()
    })
}

impl SlowReaderReport {
    /// Whether the broker stayed within `--rss-limit`.
    pub(super) fn verdict(&self) -> Result<(), PerfError> {
        let limit_kib = self.config.rss_limit.map(|mib| mib * 1024);
        match (self.grown_kib, limit_kib) {
            (Some(grown_kib), Some(limit_kib)) if grown_kib > limit_kib => {
                Err(PerfError::MemoryLimit {
                    grown_kib,
                    limit_kib,
                })
            }
            _ => Ok(()),
        }
    }
}

struct Probe<'a> {
    args: &'a PerfArgs,
    stop: &'a Stop,
    process: Option<Process>,
    slow: &'a ShortString,
    fast: &'a ShortString,
    stamps: Stamps,
}

/// What the workers count.
#[derive(Default)]
struct Counts {
    flood: Tally,
    slow: Tally,
    trickle: Tally,
    fast: Tally,
}

impl Probe<'_> {
    fn run(&self) -> Result<SlowReaderReport, PerfError> {
        wait_precisely();
        let mut slow = Connection::open(&self.args.uri, SMALL_BUFFER)?;
        consumer::subscribe(&mut slow, self.slow, NO_ACK)?;
        let mut fast = Connection::open(&self.args.uri, Dial::default())?;
        consumer::subscribe(&mut fast, self.fast, STAMPED)?;
        let flood = self.publisher(self.slow, self.args.body_bytes())?;
        let trickle = self.publisher(self.fast, FAST_BODY)?;
        let (counts, stop) = (Counts::default(), self.stop);
        let per_second = self.args.rate.unwrap_or(DEFAULT_RATE);
        let (window, latencies) = thread::scope(|scope| {
            scope.spawn(|| self.publish(flood, flood_orders(per_second), &counts.flood));
            scope.spawn(|| self.publish(trickle, trickle_orders(), &counts.trickle));
            scope.spawn(|| stop.judge(self.read_slowly(slow, &counts.slow)));
            let fast = scope.spawn(|| {
                let (stamps, tally) = (&self.stamps, &counts.fast);
                stop.judge(consumer::count(fast, STAMPED, stop, stamps, tally))
            });
            let window = self.watch();
            stop.end();
            let consumed = fast.join().ok().flatten();
            window.map(|window| (window, consumed.and_then(|consumed| consumed.latencies)))
        })?;
        match stop.take_failure() {
            Some(error) => Err(error),
            None => Ok(self.report(&window, &counts, latencies)),
        }
    }

    fn publish(&self, (connection, block): (Connection, Block), orders: Orders, tally: &Tally) {
        let (stop, stamps) = (self.stop, &self.stamps);
        let shared = Shared {
            stop,
            stamps,
            tally,
        };
        stop.judge(publisher::publish(connection, block, &orders, &shared));
    }

    fn publisher(
        &self,
        queue: &ShortString,
        body_bytes: usize,
    ) -> Result<(Connection, Block), PerfError> {
        let connection = Connection::open(&self.args.uri, Dial::default())?;
        let connection = publisher::prepare(connection, true)?;
        let (exchange, routing_key) = self.args.target(queue)?;
        let block = Block::new(&Shape {
            exchange: &exchange,
            routing_key: &routing_key,
            body_bytes,
            persistent: self.args.persistent,
            frame_max: connection.frame_max(),
        })?;
        Ok((connection, block))
    }

    /// Takes `--read-rate` bytes per second, a little at a time.
    fn read_slowly(&self, mut connection: Connection, tally: &Tally) -> Result<(), PerfError> {
        let mut walker = Walker::new(connection.frame_max());
        let mut counter = Counter::new(NO_ACK, &self.stamps);
        let (stream, inbound) = connection.parts();
        let failed = |e| PerfError::socket("reading slowly", e);
        stream
            .set_read_timeout(Some(SIP_INTERVAL))
            .map_err(failed)?;
        let begin = Instant::now();
        let mut taken = 0;
        loop {
            let walked = walker.walk(inbound.unread(), &mut counter)?;
            inbound.consume(walked);
            counter.publish_counts(tally);
            let allowed = begin.elapsed().as_secs_f64() * self.args.read_rate as f64;
            if taken as f64 > allowed && self.stop.wait(SIP_INTERVAL) || self.stop.is_over() {
                return Ok(());
            }
            if taken as f64 > allowed {
                continue;
            }
            match inbound.fill(stream) {
                Ok(0) => return Err(PerfError::Dropped("reading slowly")),
                Ok(read) => taken += read,
                Err(error) if is_timeout(&error) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// Looks at the broker's memory until the time is over.
    fn watch(&self) -> Result<(Moment, Moment, u64), PerfError> {
        let first = Moment::now(self.process.as_ref())?;
        let end = first.at + self.args.time_limit();
        self.stamps.open_window();
        let mut rss_max_kib = 0;
        while Instant::now() < end && !self.stop.wait(LOOK_INTERVAL) {
            let rss_kib = self.process.as_ref().map_or(Ok(0), Process::rss_kib)?;
            rss_max_kib = rss_max_kib.max(rss_kib);
        }
        self.stamps.close_window();
        Ok((first, Moment::now(self.process.as_ref())?, rss_max_kib))
    }

    fn report(
        &self,
        (first, last, rss_max_kib): &(Moment, Moment, u64),
        counts: &Counts,
        latencies: Option<Latencies>,
    ) -> SlowReaderReport {
        let time = last.at - first.at;
        let all = std::slice::from_ref;
        let published = Totals::of(all(&counts.flood)).published;
        let read = Totals::of(all(&counts.slow));
        let max = first.rss_kib.map(|_| *rss_max_kib).max(last.rss_kib);
        let carried = Totals::of(all(&counts.fast)).delivered + read.delivered;
        SlowReaderReport {
            mode: "slow-reader",
            config: self.args.clone(),
            interrupted: self.stop.is_interrupted(),
            seconds: time.as_secs_f64(),
            published,
            delivered: read.delivered,
            read_mib_per_second: rate(read.delivered_bytes, time) / f64::from(1 << 20),
            queue_limit_kib: QUEUE_LENGTH * self.args.body_bytes() as u64 / 1024,
            grown_kib: first
                .rss_kib
                .zip(max)
                .map(|(before, max)| max.saturating_sub(before)),
            broker: BrokerUse::between(self.process.as_ref(), (first, last), *rss_max_kib, carried),
            bystander_latency_us: latencies.as_ref().and_then(Latencies::summary),
        }
    }
}

/// Large messages at a fixed pace, so few of them unconfirmed that none pile up on their way in.
fn flood_orders(per_second: u64) -> Orders {
    let (window, pace) = (Some(FLOOD_WINDOW), Pace::new(per_second));
    Orders {
        window,
        quota: u64::MAX,
        pace,
        stamped: false,
        timed: false,
        keys: None,
        seal: None,
        more_channels: 0,
    }
}

/// A light load whose latency shows whether the slow reader disturbs others.
fn trickle_orders() -> Orders {
    let (window, pace) = (Some(TRICKLE_WINDOW), Pace::new(TRICKLE_RATE));
    Orders {
        window,
        quota: u64::MAX,
        pace,
        stamped: true,
        timed: false,
        keys: None,
        seal: None,
        more_channels: 0,
    }
}

const NO_ACK: Terms = Terms {
    ack_every: None,
    prefetch: 0,
    stamped: false,
    pace: None,
    more_channels: 0,
};
const STAMPED: Terms = Terms {
    ack_every: None,
    prefetch: 0,
    stamped: true,
    pace: None,
    more_channels: 0,
};
const FAST_BODY: usize = 16;
const TRICKLE_WINDOW: u64 = 1000;
const TRICKLE_RATE: u64 = 100;
/// Messages the slow reader's queue may hold; older ones are dropped.
const QUEUE_LENGTH: u64 = 16;
const FLOOD_WINDOW: u64 = 4;
const DEFAULT_RATE: u64 = 100;
/// The kernel shall not read ahead for the slow reader.
const SMALL_BUFFER: Dial = Dial {
    source: None,
    receive_buffer: Some(65_536),
};
const SIP_INTERVAL: Duration = Duration::from_millis(20);
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

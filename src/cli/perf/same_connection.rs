//! One connection that publishes a backlog, drains it, and then does both at once.
//! Owns the probe for a broker that stops reading a connection because of a backlog which only
//! this connection could drain: such a broker never finishes. Never uses confirms.

use std::fmt;
use std::io;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering::Acquire, Ordering::Release};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;

use amqp_codec::ShortString;

use super::args::PerfArgs;
use super::block::{Block, LOAD_CHANNEL, Shape};
use super::connection::{Connection, Dial, is_timeout};
use super::consumer::{self, Counter, Terms};
use super::error::PerfError;
use super::latency::Stamps;
use super::process::Process;
use super::publisher::{TICK, write_whole};
use super::report::{BrokerUse, Moment, rate};
use super::stop::Stop;
use super::topology::{Topology, Wanted, ready};
use super::walk::Walker;

/// One phase of the probe.
#[derive(Debug, Serialize)]
struct Phase {
    messages: u64,
    seconds: f64,
    per_second: f64,
    broker: Option<BrokerUse>,
}

/// What the probe found.
#[derive(Debug, Serialize)]
pub(super) struct SameConnectionReport {
    mode: &'static str,
    config: PerfArgs,
    /// Publishing with nobody consuming.
    publish: Phase,
    /// Consuming the backlog.
    drain: Phase,
    /// Publishing and consuming at the same time.
    both: Phase,
}

impl fmt::Display for SameConnectionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "publish      {}", self.publish)?;
        write!(f, "\ndrain        {}", self.drain)?;
        write!(f, "\nboth at once {}", self.both)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} messages in {:.3} s = {:.0}/s",
            self.messages, self.seconds, self.per_second
        )?;
        match &self.broker {
            Some(broker) => write!(f, "\n{broker}"),
            None => Ok(()),
        }
    }
}

/// Runs the three phases.
pub(super) fn run(args: &PerfArgs, stop: &Stop) -> Result<SameConnectionReport, PerfError> {
    let process = args.pid.map(Process::new).transpose()?;
    let queues = args.queue_names()?;
    let [queue] = queues.as_slice() else {
        return Err(PerfError::Usage(
            "--same-connection uses one queue".to_owned(),
        ));
    };
    let wanted = Wanted {
        queues: &queues,
        durable: args.durable,
        existing: false,
        max_length: None,
    };
    Topology::during(&args.uri, |topology| {
        topology.declare(&wanted)?;
        Probe::new(args, stop, process, queue)?.run()
    })
}

struct Probe<'a> {
    args: &'a PerfArgs,
    limits: Limits<'a>,
    process: Option<Process>,
    queue: &'a ShortString,
    connection: Connection,
    block: Block,
    messages: u64,
}

/// When either side gives up.
#[derive(Clone, Copy)]
struct Limits<'a> {
    stop: &'a Stop,
    begin: Instant,
    whole: Duration,
}

impl<'a> Probe<'a> {
    fn new(
        args: &'a PerfArgs,
        stop: &'a Stop,
        process: Option<Process>,
        queue: &'a ShortString,
    ) -> Result<Self, PerfError> {
        let mut connection = Connection::open(&args.uri, Dial::default())?;
        connection.open_channel(LOAD_CHANNEL)?;
        let (exchange, routing_key) = args.target(queue)?;
        let block = Block::new(&Shape {
            exchange: &exchange,
            routing_key: &routing_key,
            body_bytes: args.body_bytes(),
            persistent: args.persistent,
            frame_max: connection.frame_max(),
        })?;
        let messages = args.messages.unwrap_or(DEFAULT_MESSAGES);
        let (begin, whole) = (Instant::now(), args.time_limit());
        let limits = Limits { stop, begin, whole };
        Ok(Probe {
            args,
            limits,
            process,
            queue,
            connection,
            block,
            messages,
        })
    }

    fn run(mut self) -> Result<SameConnectionReport, PerfError> {
        let publish = self.phase(Self::publish)?;
        let stamps = Stamps::new();
        let ack_every = (self.args.ack > 0).then_some(self.args.ack);
        let terms = Terms {
            ack_every,
            prefetch: self.args.prefetch,
            stamped: false,
            pace: None,
            more_channels: 0,
        };
        let walker = Walker::new(self.connection.frame_max());
        let mut reading = Reading {
            walker,
            counter: Counter::new(terms, &stamps),
        };
        let drain = self.phase(|probe| {
            consumer::consume(&mut probe.connection, probe.queue, terms)?;
            probe.exchange(&mut reading, 0, probe.messages)
        })?;
        let both =
            self.phase(|probe| probe.exchange(&mut reading, probe.messages, 2 * probe.messages))?;
        self.connection.close();
        let (mode, config) = ("same-connection", self.args.clone());
        Ok(SameConnectionReport {
            mode,
            config,
            publish,
            drain,
            both,
        })
    }

    /// Times one phase.
    fn phase(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<(), PerfError>,
    ) -> Result<Phase, PerfError> {
        let first = Moment::now(self.process.as_ref())?;
        work(self)?;
        let last = Moment::now(self.process.as_ref())?;
        let time = last.at - first.at;
        Ok(Phase {
            messages: self.messages,
            seconds: time.as_secs_f64(),
            per_second: rate(self.messages, time),
            broker: BrokerUse::between(self.process.as_ref(), (&first, &last), 0, self.messages),
        })
    }

    /// Publishes everything while nobody reads, then makes sure that all of it has arrived.
    fn publish(&mut self) -> Result<(), PerfError> {
        let outgoing = Outgoing::default();
        outgoing.finish();
        let mut stream = self.connection.second_handle()?;
        write_side(
            &mut stream,
            &self.block,
            self.messages,
            self.limits,
            &outgoing,
        )?;
        self.await_backlog()
    }

    /// The broker may still be at work on what it has taken, but not for ever.
    fn await_backlog(&mut self) -> Result<(), PerfError> {
        let deadline = Instant::now() + STALL_TIMEOUT;
        loop {
            let there = ready(&mut self.connection, self.queue)?;
            if there == self.messages {
                return Ok(());
            }
            if there > self.messages || Instant::now() > deadline {
                let what = format!(
                    "{there} messages ready after {} were published",
                    self.messages
                );
                return Err(PerfError::Protocol(what));
            }
            if self.limits.stop.wait(POLL_INTERVAL) {
                return Err(PerfError::Interrupted);
            }
        }
    }

    /// Publishes `to_publish` messages on another thread and reads on this one until `target`
    /// deliveries have been counted since the consumer began.
    fn exchange(
        &mut self,
        reading: &mut Reading<'_>,
        to_publish: u64,
        target: u64,
    ) -> Result<(), PerfError> {
        let mut stream = self.connection.second_handle()?;
        let failed = |e| PerfError::socket("preparing the connection", e);
        stream.set_read_timeout(Some(TICK)).map_err(failed)?;
        stream.set_write_timeout(Some(TICK)).map_err(failed)?;
        let (outgoing, block, limits) = (Outgoing::default(), &self.block, self.limits);
        let connection = &mut self.connection;
        thread::scope(|scope| {
            let writer =
                scope.spawn(|| write_side(&mut stream, block, to_publish, limits, &outgoing));
            let owed = |acks| {
                outgoing.acks.lock().extend(acks);
                writer.thread().unpark();
            };
            let read = reading.until(target, connection, limits, owed);
            outgoing.finish();
            writer.thread().unpark();
            match (read, writer.join().unwrap_or(Ok(()))) {
                (Err(read), Err(write)) if write.outranks(&read) => Err(write),
                (read, written) => read.and(written),
            }
        })
    }
}

/// What the reading side wants to have sent: only one thread writes to the socket, else frames
/// would mix.
#[derive(Default)]
struct Outgoing {
    acks: Mutex<Vec<u8>>,
    finished: AtomicBool,
}

impl Outgoing {
    /// No more acknowledgements will come.
    fn finish(&self) {
        self.finished.store(true, Release);
    }
}

/// Publishes `messages`, sends what acknowledgements come up, and ends when both are done.
fn write_side(
    stream: &mut TcpStream,
    block: &Block,
    messages: u64,
    limits: Limits<'_>,
    outgoing: &Outgoing,
) -> Result<(), PerfError> {
    let mut sent = 0;
    loop {
        if limits.are_over() {
            return Err(limits.stalled("publishing", sent, messages));
        }
        // Looked at before the last acks are taken, so that none can slip in between.
        let finished = outgoing.finished.load(Acquire);
        let acks = std::mem::take(&mut *outgoing.acks.lock());
        let publishes = block.first((messages - sent).min(block.messages()));
        if acks.is_empty() && publishes.is_empty() {
            if finished {
                return Ok(());
            }
            thread::park_timeout(TICK);
        }
        sent += (messages - sent).min(block.messages());
        for bytes in [&acks, publishes] {
            let began = Instant::now();
            let given_up = || limits.are_over() || began.elapsed() > STALL_TIMEOUT;
            match write_whole(stream, bytes, given_up) {
                Ok(true) => {}
                Ok(false) => return Err(limits.stalled("publishing", sent, messages)),
                Err(error) => return Err(PerfError::socket("publishing", error)),
            }
        }
    }
}

/// The consumer's side of the connection, kept over two phases.
struct Reading<'a> {
    walker: Walker,
    counter: Counter<'a>,
}

impl Reading<'_> {
    /// Walks what has been read, and reads on, until `target` deliveries are counted.
    fn until(
        &mut self,
        target: u64,
        connection: &mut Connection,
        limits: Limits<'_>,
        owed: impl Fn(Vec<u8>),
    ) -> Result<(), PerfError> {
        let (stream, inbound) = connection.parts();
        inbound.resize(READ_BUFFER);
        let mut progress = Instant::now();
        loop {
            let walked = self.walker.walk(inbound.unread(), &mut self.counter)?;
            inbound.consume(walked);
            let done = self.counter.delivered() >= target;
            let acks = if done {
                self.counter.last_ack()
            } else {
                self.counter.take_acks()
            };
            if !acks.is_empty() {
                owed(acks);
            }
            if done {
                return Ok(());
            }
            match inbound.fill(stream) {
                Ok(0) => return Err(PerfError::Dropped("consuming")),
                Ok(_) => progress = Instant::now(),
                Err(error) if is_timeout(&error) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(PerfError::socket("consuming", error)),
            }
            if limits.are_over() || progress.elapsed() > STALL_TIMEOUT {
                return Err(limits.stalled("consuming", self.counter.delivered(), target));
            }
        }
    }
}

impl Limits<'_> {
    fn are_over(&self) -> bool {
        self.stop.is_over() || self.begin.elapsed() > self.whole
    }

    fn stalled(&self, doing: &str, done: u64, of: u64) -> PerfError {
        if self.stop.is_interrupted() {
            return PerfError::Interrupted;
        }
        let waiting_for = format!("{doing} on the one connection, {done} of {of} messages");
        let waited = if self.begin.elapsed() > self.whole {
            self.whole
        } else {
            STALL_TIMEOUT
        };
        PerfError::Stalled {
            waiting_for,
            seconds: waited.as_secs(),
        }
    }
}

const DEFAULT_MESSAGES: u64 = 200_000;
const STALL_TIMEOUT: Duration = Duration::from_secs(15);
const POLL_INTERVAL: Duration = Duration::from_millis(10);
const READ_BUFFER: usize = 262_144;

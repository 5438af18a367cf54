//! The queues of a run: declared before it, looked at during it, deleted after it.
//! Owns the rule that nobody else's messages are touched: a queue that exists already is refused
//! unless asked for, and only what this run declared is deleted. Never carries load.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::args::PerfArgs;
use super::connection::{Connection, Dial};
use super::error::PerfError;
use super::stop::Stop;
use super::uri::Uri;
use super::wire::*;

/// What to declare.
pub(super) struct Wanted<'a> {
    pub(super) queues: &'a [Name],
    pub(super) durable: bool,
    /// Whether queues that are there already may be used.
    pub(super) existing: bool,
    /// The oldest messages beyond this many are dropped by the broker.
    pub(super) max_length: Option<u64>,
}

/// Queues declared over a connection of their own.
pub(super) struct Topology {
    control: Connection,
    declared: Vec<Name>,
}

impl Topology {
    /// Runs `work` with a control connection; what it has declared is deleted afterwards, however
    /// it ends.
    pub(super) fn during<T>(
        uri: &Uri,
        work: impl FnOnce(&mut Topology) -> Result<T, PerfError>,
    ) -> Result<T, PerfError> {
        let mut control = Connection::open(uri, Dial::default())?;
        control.open_channel(CHANNEL)?;
        let mut topology = Topology {
            control,
            declared: Vec::new(),
        };
        let outcome = work(&mut topology);
        let removed = topology.remove();
        let done = outcome?;
        removed.map(|()| done)
    }

    /// Declares queues.
    pub(super) fn declare(&mut self, wanted: &Wanted<'_>) -> Result<(), PerfError> {
        for queue in wanted.queues {
            match ready(&mut self.control, queue) {
                Ok(_) if wanted.existing => continue,
                Ok(_) => return Err(PerfError::QueueExists(queue.as_str().to_owned())),
                Err(PerfError::ChannelClosed {
                    code: NOT_FOUND, ..
                }) => {}
                Err(error) => return Err(error),
            }
            self.control.open_channel(CHANNEL)?;
            let durable = if wanted.durable { DURABLE } else { 0 };
            let table = match wanted.max_length {
                Some(length) => Table::new().integer("x-max-length", length as i64),
                None => Table::new(),
            };
            let arguments = Arguments::new()
                .short(0)
                .name(queue)
                .octet(durable)
                .table(table);
            self.control
                .call(CHANNEL, QUEUE_DECLARE, &arguments, QUEUE_DECLARE_OK)?;
            self.declared.push(queue.clone());
        }
        Ok(())
    }

    /// Binds each queue to the exchange of the arguments, if there is one.
    pub(super) fn bind(&mut self, args: &PerfArgs, queues: &[Name]) -> Result<(), PerfError> {
        for queue in queues.iter().filter(|_| args.exchange.is_some()) {
            let (exchange, key) = args.target(queue)?;
            let binding = Arguments::new()
                .short(0)
                .name(queue)
                .name(&exchange)
                .name(&key);
            let arguments = binding.octet(0).table(Table::new());
            self.control
                .call(CHANNEL, QUEUE_BIND, &arguments, QUEUE_BIND_OK)?;
        }
        Ok(())
    }

    /// Forgets what was declared, so that it stays.
    pub(super) fn keep(&mut self) {
        self.declared.clear();
    }

    fn remove(mut self) -> Result<(), PerfError> {
        for queue in &self.declared {
            let arguments = Arguments::new().short(0).name(queue).octet(0);
            self.control
                .call(CHANNEL, QUEUE_DELETE, &arguments, QUEUE_DELETE_OK)?;
        }
        self.control.close();
        Ok(())
    }
}

/// Ready messages of one queue, by passive declare.
pub(super) fn ready(connection: &mut Connection, queue: &Name) -> Result<u64, PerfError> {
    let arguments = Arguments::new()
        .short(0)
        .name(queue)
        .octet(PASSIVE)
        .table(Table::new());
    let answer = connection.call(CHANNEL, QUEUE_DECLARE, &arguments, QUEUE_DECLARE_OK)?;
    let mut fields = Fields(&answer);
    fields.shortstr()?;
    fields.long().map(u64::from)
}

/// Ready messages of all queues, as last seen and at most.
#[derive(Default)]
pub(super) struct Depth {
    last: AtomicU64,
    max: AtomicU64,
    rounds: AtomicU64,
}

impl Depth {
    /// Looks again and again until the run is over, in the background of the load.
    pub(super) fn watch(&self, uri: &Uri, queues: &[Name], stop: &Stop) -> Result<(), PerfError> {
        let mut connection = Connection::open(uri, Dial::default())?;
        connection.open_channel(CHANNEL)?;
        loop {
            let began = Instant::now();
            let mut sum = 0;
            for queue in queues {
                sum += ready(&mut connection, queue)?;
            }
            self.last.store(sum, Relaxed);
            self.max.fetch_max(sum, Relaxed);
            self.rounds.fetch_add(1, Relaxed);
            // Many queues are looked at more rarely: watching must stay cheap for the broker.
            if stop.wait(INTERVAL.max(began.elapsed() * COST_FACTOR)) {
                break;
            }
        }
        connection.close();
        Ok(())
    }

    /// The largest sum seen.
    pub(super) fn max(&self) -> u64 {
        self.max.load(Relaxed)
    }

    /// The last sum, with the number of the look that saw it.
    pub(super) fn last(&self) -> (u64, u64) {
        (self.rounds.load(Relaxed), self.last.load(Relaxed))
    }
}

const CHANNEL: u16 = 1;
const NOT_FOUND: u16 = 404;
const PASSIVE: u8 = 1;
const DURABLE: u8 = 1 << 1;
const INTERVAL: Duration = Duration::from_millis(250);
const COST_FACTOR: u32 = 20;

//! The queues of a run, and its exchange: declared before it, looked at during it, deleted after it.
//! Owns the rule that nobody else's messages are touched: what exists already is refused
//! unless asked for, and only what this run declared is deleted. Never carries load.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use amqp_codec::{FieldTable, FieldValue, ShortString, exchange, queue};

use super::args::PerfArgs;
use super::connection::{Connection, Dial};
use super::error::PerfError;
use super::stop::Stop;
use super::uri::Uri;
use super::wire::table;

/// What to declare.
pub(super) struct Wanted<'a> {
    pub(super) queues: &'a [ShortString],
    pub(super) durable: bool,
    /// Whether queues that are there already may be used.
    pub(super) existing: bool,
    /// The oldest messages beyond this many are dropped by the broker.
    pub(super) max_length: Option<u64>,
}

/// Queues and an exchange, declared over a connection of their own.
pub(super) struct Topology {
    control: Connection,
    declared: Vec<ShortString>,
    exchange: Option<String>,
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
            exchange: None,
        };
        let outcome = work(&mut topology);
        let removed = topology.remove(uri);
        let done = outcome?;
        removed.map(|()| done)
    }

    /// Declares queues.
    pub(super) fn declare(&mut self, wanted: &Wanted<'_>) -> Result<(), PerfError> {
        let arguments = match wanted.max_length {
            Some(length) => table([("x-max-length", FieldValue::I64(length as i64))])?,
            None => FieldTable::new(),
        };
        for name in wanted.queues {
            match ready(&mut self.control, name) {
                Ok(_) if wanted.existing => continue,
                Ok(_) => return Err(PerfError::QueueExists(name.to_string())),
                Err(PerfError::ChannelClosed {
                    code: NOT_FOUND, ..
                }) => {}
                Err(error) => return Err(error),
            }
            self.control.open_channel(CHANNEL)?;
            let (queue, durable, arguments) = (name.as_str(), wanted.durable, arguments.clone());
            let declare = queue::Declare {
                queue,
                durable,
                arguments,
                ..Default::default()
            };
            self.control.call(CHANNEL, declare, queue::DeclareOk::ID)?;
            self.declared.push(name.clone());
        }
        Ok(())
    }

    /// Makes the exchange of the arguments, if they say of which type it is, and its bindings.
    pub(super) fn bind(
        &mut self,
        args: &PerfArgs,
        queues: &[ShortString],
    ) -> Result<(), PerfError> {
        if let (Some(name), Some(kind)) = (&args.exchange, &args.exchange_type) {
            self.declare_exchange(name, kind, args.durable)?;
        }
        let turns = queues.iter().cycle();
        for (number, name) in (1..=args.binding_count()).zip(turns) {
            let (exchange, _) = args.target(name)?;
            let key = args.binding_key(number, name)?;
            let (queue, exchange, routing_key) = (name.as_str(), exchange.as_str(), key.as_str());
            let bind = queue::Bind {
                queue,
                exchange,
                routing_key,
                ..Default::default()
            };
            self.control.call(CHANNEL, bind, queue::BindOk::ID)?;
        }
        Ok(())
    }

    /// Declares an exchange that is not there yet: one of somebody else would get our messages, or
    /// be deleted with ours.
    fn declare_exchange(&mut self, name: &str, kind: &str, durable: bool) -> Result<(), PerfError> {
        let declare = exchange::Declare {
            exchange: name,
            kind,
            durable,
            ..Default::default()
        };
        let passive = exchange::Declare {
            passive: true,
            ..declare.clone()
        };
        match self.control.call(CHANNEL, passive, exchange::DeclareOk::ID) {
            Ok(_) => return Err(PerfError::ExchangeExists(name.to_owned())),
            Err(PerfError::ChannelClosed {
                code: NOT_FOUND, ..
            }) => self.control.open_channel(CHANNEL)?,
            Err(error) => return Err(error),
        }
        self.control
            .call(CHANNEL, declare, exchange::DeclareOk::ID)?;
        self.exchange = Some(name.to_owned());
        Ok(())
    }

    /// Forgets what was declared, so that it stays.
    pub(super) fn keep(&mut self) {
        self.declared.clear();
        self.exchange = None;
    }

    /// On a fresh channel, and when need be a fresh connection: what ended the run may have closed
    /// the old ones.
    fn remove(mut self, uri: &Uri) -> Result<(), PerfError> {
        if self.declared.is_empty() && self.exchange.is_none() {
            self.control.close();
            return Ok(());
        }
        if self.control.open_channel(CLEANUP_CHANNEL).is_err() {
            self.control = Connection::open(uri, Dial::default())?;
            self.control.open_channel(CLEANUP_CHANNEL)?;
        }
        if let Some(name) = &self.exchange {
            let delete = exchange::Delete {
                exchange: name,
                ..Default::default()
            };
            self.control
                .call(CLEANUP_CHANNEL, delete, exchange::DeleteOk::ID)?;
        }
        for name in &self.declared {
            let delete = queue::Delete {
                queue: name,
                ..Default::default()
            };
            self.control
                .call(CLEANUP_CHANNEL, delete, queue::DeleteOk::ID)?;
        }
        self.control.close();
        Ok(())
    }
}

/// Ready messages of one queue, by passive declare.
pub(super) fn ready(connection: &mut Connection, queue: &str) -> Result<u64, PerfError> {
    let declare = queue::Declare {
        queue,
        passive: true,
        ..Default::default()
    };
    let answer = connection.call(CHANNEL, declare, queue::DeclareOk::ID)?;
    let declared = queue::DeclareOk::decode_args(&answer).map_err(PerfError::malformed)?;
    Ok(u64::from(declared.message_count))
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
    pub(super) fn watch(
        &self,
        uri: &Uri,
        queues: &[ShortString],
        stop: &Stop,
    ) -> Result<(), PerfError> {
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
const CLEANUP_CHANNEL: u16 = 2;
const NOT_FOUND: u16 = 404;
const INTERVAL: Duration = Duration::from_millis(250);
const COST_FACTOR: u32 = 20;

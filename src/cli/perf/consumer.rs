//! One consuming connection: counts deliveries by walking frame heads and acknowledges in steps.
//! Owns the order "look at what is there, then wait for more": a fast broker's first deliveries
//! arrive together with consume-ok. Never publishes.

use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use amqp_codec::{Method, basic};

use super::block::LOAD_CHANNEL;
use super::check::Checker;
use super::connection::{Connection, is_timeout};
use super::error::PerfError;
use super::latency::{Latencies, Stamps};
use super::pace::Pace;
use super::process::thread_cpu_nanos;
use super::publisher::TICK;
use super::stop::Stop;
use super::tally::Tally;
use super::walk::{Sink, Walker};
use super::wire::{close_reason, goodbye, put, put_ack, unexpected};

/// How a consumer behaves.
#[derive(Clone, Copy, Default)]
pub(super) struct Terms {
    /// Acknowledge after this many deliveries; no-ack without.
    pub(super) ack_every: Option<u64>,
    pub(super) prefetch: u16,
    /// Whether bodies carry time stamps.
    pub(super) stamped: bool,
    /// How many messages it takes at most; it acknowledges none before it is due.
    pub(super) pace: Option<Pace>,
    /// Channels beyond the first, with a consumer each.
    pub(super) more_channels: u16,
}

/// What a consumer says at its end.
pub(super) struct Consumed<'a> {
    pub(super) cpu_nanos: u64,
    pub(super) latencies: Option<Latencies>,
    pub(super) checker: Option<Checker<'a>>,
}

/// Opens the channels and starts consuming; deliveries may already be in the read buffer after it.
pub(super) fn subscribe(
    connection: &mut Connection,
    queue: &str,
    terms: Terms,
) -> Result<(), PerfError> {
    let channels = LOAD_CHANNEL..=LOAD_CHANNEL + terms.more_channels;
    for channel in channels.clone() {
        connection.open_channel(channel)?;
    }
    if terms.more_channels == 0 {
        return consume(connection, queue, terms);
    }
    for channel in channels.clone() {
        limit(connection, channel, terms)?;
    }
    // Without answers, which deliveries of the first ones could overtake.
    let mut frames = Vec::new();
    for channel in channels {
        let consume = basic::Consume {
            nowait: true,
            ..consume_of(queue, terms)
        };
        put(&mut frames, channel, consume)?;
    }
    connection.send(&frames)
}

/// Starts consuming on the open channel.
pub(super) fn consume(
    connection: &mut Connection,
    queue: &str,
    terms: Terms,
) -> Result<(), PerfError> {
    limit(connection, LOAD_CHANNEL, terms)?;
    let consume = consume_of(queue, terms);
    connection
        .call(LOAD_CHANNEL, consume, basic::ConsumeOk::ID)
        .map(drop)
}

fn consume_of(queue: &str, terms: Terms) -> basic::Consume<'_> {
    basic::Consume {
        queue,
        consumer_tag: CONSUMER_TAG,
        no_ack: terms.ack_every.is_none(),
        ..Default::default()
    }
}

fn limit(connection: &mut Connection, channel: u16, terms: Terms) -> Result<(), PerfError> {
    if terms.prefetch == 0 {
        return Ok(());
    }
    let qos = basic::Qos {
        prefetch_count: terms.prefetch,
        ..Default::default()
    };
    connection.call(channel, qos, basic::QosOk::ID).map(drop)
}

/// Counts until the run is over or the broker ends it.
pub(super) fn count<'a>(
    connection: Connection,
    terms: Terms,
    stop: &Stop,
    stamps: &'a Stamps,
    tally: &Tally,
) -> Result<Consumed<'a>, PerfError> {
    count_checked(connection, terms, stop, stamps, (tally, None))
}

/// Counts, and checks bodies if there is an account for that.
pub(super) fn count_checked<'a>(
    mut connection: Connection,
    terms: Terms,
    stop: &Stop,
    stamps: &'a Stamps,
    (tally, checker): (&Tally, Option<Checker<'a>>),
) -> Result<Consumed<'a>, PerfError> {
    let mut walker = Walker::with_channels(connection.frame_max(), 1 + terms.more_channels);
    let mut counter = Counter {
        checker,
        ..Counter::new(terms, stamps)
    };
    let (stream, inbound) = connection.parts();
    let failed = |e| PerfError::socket("consuming", e);
    stream.set_read_timeout(Some(TICK)).map_err(failed)?;
    stream
        .set_write_timeout(Some(ACK_PATIENCE))
        .map_err(failed)?;
    // A slow consumer leaves in the socket what it cannot take yet.
    inbound.resize(terms.pace.map_or(READ_BUFFER, |_| PACED_READ_BUFFER));
    let begin = Instant::now();
    loop {
        let walked = walker.walk(inbound.unread(), &mut counter)?;
        inbound.consume(walked);
        counter.publish_counts(tally);
        counter.send_acks(stream)?;
        if stop.is_over() {
            break;
        }
        if counter.is_ahead(terms.pace, begin.elapsed(), stop) {
            continue;
        }
        match inbound.fill(stream) {
            Ok(0) => return Err(PerfError::Dropped("consuming")),
            Ok(_) => {}
            Err(error) if is_timeout(&error) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
    }
    let cpu_nanos = thread_cpu_nanos();
    say_goodbye(&mut connection, &mut walker, counter.last_ack())?;
    Ok(Consumed {
        cpu_nanos,
        latencies: counter.latencies,
        checker: counter.checker,
    })
}

/// Reads nothing until the run is over: what was delivered stays where it is. There is no goodbye
/// either, whose answer would come behind all of it.
pub(super) fn stand_still(connection: Connection, stop: &Stop) -> Consumed<'static> {
    while !stop.wait(TICK) {}
    drop(connection);
    Consumed {
        cpu_nanos: thread_cpu_nanos(),
        latencies: None,
        checker: None,
    }
}

/// Acknowledges the rest and closes, passing over deliveries that are still on their way. What
/// fails here has no bearing on the figures any more.
fn say_goodbye(
    connection: &mut Connection,
    walker: &mut Walker,
    last_ack: Vec<u8>,
) -> Result<(), PerfError> {
    let (stream, inbound) = connection.parts();
    let mut last_words = last_ack;
    put(&mut last_words, 0, goodbye())?;
    if stream.write_all(&last_words).is_err() {
        return Ok(());
    }
    let deadline = Instant::now() + CLOSE_TIMEOUT;
    let mut farewell = Farewell { closed: false };
    while !farewell.closed && Instant::now() < deadline {
        let walked = walker.walk(inbound.unread(), &mut farewell)?;
        inbound.consume(walked);
        if !farewell.closed && matches!(inbound.fill(stream), Ok(0)) {
            break;
        }
    }
    Ok(())
}

/// Counts of one consumer and the acknowledgements it owes.
pub(super) struct Counter<'a> {
    ack_every: u64,
    /// By channel.
    owed: Vec<Owed>,
    delivered: u64,
    delivered_bytes: u64,
    acks: Vec<u8>,
    stamps: &'a Stamps,
    latencies: Option<Latencies>,
    arrived: Vec<u64>,
    checker: Option<Checker<'a>>,
}

/// What a channel has not acknowledged.
#[derive(Clone, Copy, Default)]
struct Owed {
    unacked: u64,
    last_tag: u64,
}

impl<'a> Counter<'a> {
    pub(super) fn new(terms: Terms, stamps: &'a Stamps) -> Self {
        Counter {
            ack_every: terms.ack_every.unwrap_or(u64::MAX),
            owed: vec![Owed::default(); usize::from(LOAD_CHANNEL + terms.more_channels) + 1],
            delivered: 0,
            delivered_bytes: 0,
            acks: Vec::new(),
            stamps,
            latencies: terms.stamped.then(Latencies::new).flatten(),
            arrived: Vec::new(),
            checker: None,
        }
    }

    pub(super) fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Acknowledgements that are due and unsent.
    pub(super) fn take_acks(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.acks)
    }

    /// One store and at most one clock read per walk, whatever the walk has found.
    pub(super) fn publish_counts(&mut self, tally: &Tally) {
        tally.delivered_bytes.store(self.delivered_bytes, Relaxed);
        tally.delivered.store(self.delivered, Relaxed);
        if let (Some(latencies), false) = (&mut self.latencies, self.arrived.is_empty()) {
            let (now, window) = (self.stamps.now(), self.stamps.window());
            for moment in self
                .arrived
                .drain(..)
                .filter_map(|stamp| self.stamps.moment(stamp))
            {
                if window.contains(&moment) {
                    latencies.record(now.saturating_sub(moment));
                }
            }
        }
    }

    /// Sends what is owed; what the broker does not take now is kept, because it may itself be
    /// waiting for this side to read.
    fn send_acks(&mut self, stream: &mut TcpStream) -> Result<(), PerfError> {
        while !self.acks.is_empty() {
            match stream.write(&self.acks) {
                Ok(written) => drop(self.acks.drain(..written)),
                Err(error) if is_timeout(&error) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The reading half knows why: it finds the broker's close, or the lost connection.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.acks.clear(),
                Err(error) => return Err(PerfError::socket("acknowledging", error)),
            }
        }
        Ok(())
    }

    /// Whether the next message is not due; rests a while in that case.
    fn is_ahead(&self, pace: Option<Pace>, elapsed: Duration, stop: &Stop) -> bool {
        let wait = pace.map_or(Duration::ZERO, |pace| pace.wait(self.delivered, elapsed));
        if !wait.is_zero() {
            stop.wait(wait.min(TICK));
        }
        !wait.is_zero()
    }

    /// Unsent acknowledgements and one for the deliveries since.
    pub(super) fn last_ack(&mut self) -> Vec<u8> {
        for (channel, owed) in (0..).zip(&self.owed) {
            if self.ack_every != u64::MAX && owed.unacked > 0 {
                put_ack(&mut self.acks, channel, owed.last_tag);
            }
        }
        self.owed.fill(Owed::default());
        self.take_acks()
    }
}

impl Sink for Counter<'_> {
    #[inline]
    fn body_head(&mut self, head: &[u8]) {
        if let (Some(_), Some(stamp)) = (&self.latencies, head.first_chunk()) {
            self.arrived.push(u64::from_be_bytes(*stamp));
        }
    }

    #[inline]
    fn body_piece(&mut self, piece: &[u8]) {
        if let Some(checker) = &mut self.checker {
            checker.piece(piece);
        }
    }

    #[inline]
    fn delivered(&mut self, channel: u16, delivery_tag: u64, body_bytes: u64) {
        if let Some(checker) = &mut self.checker {
            checker.end();
        }
        self.delivered += 1;
        self.delivered_bytes += body_bytes;
        // The walk knows no other channels than these.
        let owed = &mut self.owed[usize::from(channel)];
        owed.last_tag = delivery_tag;
        owed.unacked += 1;
        if owed.unacked == self.ack_every {
            owed.unacked = 0;
            put_ack(&mut self.acks, channel, delivery_tag);
        }
    }

    fn method(&mut self, _channel: u16, method: &Method<'_>) -> Result<(), PerfError> {
        match method {
            Method::BasicCancel(_) => Err(PerfError::ConsumerCancelled),
            Method::ConnectionBlocked(_) | Method::ConnectionUnblocked(_) => Ok(()),
            other => Err(close_reason(other).unwrap_or_else(|| unexpected(other, "to a consumer"))),
        }
    }
}

/// Waits for close-ok and for nothing else.
struct Farewell {
    closed: bool,
}

impl Sink for Farewell {
    fn body_head(&mut self, _head: &[u8]) {}

    fn delivered(&mut self, _channel: u16, _delivery_tag: u64, _body_bytes: u64) {}

    fn method(&mut self, _channel: u16, method: &Method<'_>) -> Result<(), PerfError> {
        self.closed |= matches!(method, Method::ConnectionCloseOk(_));
        Ok(())
    }
}

const CONSUMER_TAG: &str = "c";
const READ_BUFFER: usize = 262_144;
const PACED_READ_BUFFER: usize = 2048;
/// How long acknowledgements may wait for room in the socket before reading goes on.
const ACK_PATIENCE: Duration = Duration::from_millis(10);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

//! The reading half of a publisher: confirms, and what ends the connection.
//! Owns the account of confirms, the time each took, and wakes the writer when room has come up;
//! never writes.

use std::io;
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::Thread;

use amqp_codec::Method;

use super::super::block::LOAD_CHANNEL;
use super::super::confirm::Confirms;
use super::super::connection::{Connection, is_timeout};
use super::super::error::PerfError;
use super::super::latency::{Departures, Latencies, Stamps};
use super::super::process::thread_cpu_nanos;
use super::super::tally::Tally;
use super::super::walk::{Inbound, Sink, Walker};
use super::super::wire::{close_reason, unexpected};
use super::{Ending, Orders, Shared};

/// What a reading half says at its end.
pub(super) struct Heard {
    pub(super) cpu_nanos: u64,
    pub(super) confirm_latencies: Option<Latencies>,
}

/// Reads confirms, closes and everything else a broker sends to a publisher.
pub(super) fn read_answers(
    connection: &mut Connection,
    mut answers: Answers<'_>,
    writer: &Thread,
    ending: &Ending,
) -> Result<Heard, PerfError> {
    let mut walker = Walker::new(connection.frame_max());
    let (stream, inbound) = connection.parts();
    inbound.resize(READ_BUFFER);
    loop {
        if answers.take_in(&mut walker, inbound)? {
            writer.unpark();
        }
        if answers.closed || ending.is_due() {
            return Ok(answers.heard());
        }
        if !read_more(stream, inbound)? {
            return match ending.closing.load(Ordering::Acquire) {
                true => Ok(answers.heard()),
                false => Err(PerfError::Dropped("publishing")),
            };
        }
    }
}

/// One read, which may end without bytes; false at the end of the stream.
pub(super) fn read_more(stream: &mut TcpStream, inbound: &mut Inbound) -> Result<bool, PerfError> {
    match inbound.fill(stream) {
        Ok(read) => Ok(read > 0),
        Err(error) if is_timeout(&error) || error.kind() == io::ErrorKind::Interrupted => Ok(true),
        Err(error) => Err(PerfError::socket("reading confirms", error)),
    }
}

/// What the broker has answered so far.
pub(super) struct Answers<'a> {
    /// By channel, from the first.
    confirms: Vec<Confirms>,
    /// What was published on each of several channels.
    sent_on: &'a [AtomicU64],
    timing: Option<Timing<'a>>,
    tally: &'a Tally,
    pub(super) settled: u64,
    nacked: u64,
    pub(super) closed: bool,
}

/// From a publish's departure to its confirm.
struct Timing<'a> {
    departures: &'a Departures,
    stamps: &'a Stamps,
    latencies: Latencies,
}

/// Places for the departures of a publisher whose confirms are timed.
pub(super) fn departures(orders: &Orders) -> Option<Departures> {
    let window = orders.window.filter(|_| orders.timed)?;
    Some(Departures::new(Confirms::new(window).reach()))
}

impl<'a> Answers<'a> {
    /// An empty account; `departures` are those the writer notes.
    pub(super) fn new(
        orders: &Orders,
        shared: &Shared<'a>,
        departures: Option<&'a Departures>,
        sent_on: &'a [AtomicU64],
    ) -> Self {
        let timing = departures.zip(Latencies::new());
        Answers {
            confirms: match orders.window {
                Some(window) => (0..=orders.more_channels)
                    .map(|_| Confirms::new(window))
                    .collect(),
                None => Vec::new(),
            },
            sent_on,
            timing: timing.map(|(departures, latencies)| Timing {
                departures,
                stamps: shared.stamps,
                latencies,
            }),
            tally: shared.tally,
            settled: 0,
            nacked: 0,
            closed: false,
        }
    }

    /// Walks what has been read; true when it has settled something.
    pub(super) fn take_in(
        &mut self,
        walker: &mut Walker,
        inbound: &mut Inbound,
    ) -> Result<bool, PerfError> {
        let before = self.settled;
        let walked = walker.walk(inbound.unread(), self)?;
        inbound.consume(walked);
        if self.settled == before {
            return Ok(false);
        }
        self.tally.nacked.store(self.nacked, Ordering::Relaxed);
        self.tally.settled.store(self.settled, Ordering::Release);
        Ok(true)
    }

    /// The end of the account, told by the thread that has kept it.
    pub(super) fn heard(self) -> Heard {
        Heard {
            cpu_nanos: thread_cpu_nanos(),
            confirm_latencies: self.timing.map(|timing| timing.latencies),
        }
    }

    /// Books a confirm; returns how many publishes it settled.
    fn settle(&mut self, channel: u16, tag: u64, multiple: bool) -> Result<u64, PerfError> {
        let index = usize::from(channel.wrapping_sub(LOAD_CHANNEL));
        let Some(confirms) = self.confirms.get_mut(index) else {
            return Err(PerfError::Protocol(
                "a confirm on a channel without confirms".to_owned(),
            ));
        };
        let published = self.sent_on.get(index).unwrap_or(&self.tally.published);
        let published = published.load(Ordering::Acquire);
        let newly = match &mut self.timing {
            None => confirms.settle(tag, multiple, published)?,
            Some(timing) => {
                let (now, window) = (timing.stamps.now(), timing.stamps.window());
                confirms.settle_each(tag, multiple, published, |publish| {
                    let left = timing.departures.of(publish);
                    if window.contains(&left) {
                        timing.latencies.record(now.saturating_sub(left));
                    }
                })?
            }
        };
        self.settled += newly;
        Ok(newly)
    }
}

impl Sink for Answers<'_> {
    fn body_head(&mut self, _head: &[u8]) {}

    fn delivered(&mut self, _channel: u16, _delivery_tag: u64, _body_bytes: u64) {}

    fn method(&mut self, channel: u16, method: &Method<'_>) -> Result<(), PerfError> {
        match method {
            Method::BasicAck(ack) => self
                .settle(channel, ack.delivery_tag, ack.multiple)
                .map(drop),
            Method::BasicNack(nack) => {
                self.nacked += self.settle(channel, nack.delivery_tag, nack.multiple)?;
                Ok(())
            }
            Method::ConnectionCloseOk(_) => {
                self.closed = true;
                Ok(())
            }
            Method::ConnectionBlocked(_) => {
                self.tally.blocked.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Method::ConnectionUnblocked(_) => Ok(()),
            other => {
                Err(close_reason(other).unwrap_or_else(|| unexpected(other, "to a publisher")))
            }
        }
    }
}

const READ_BUFFER: usize = 65_536;

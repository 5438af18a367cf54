//! The reading half of a publisher: confirms, and what ends the connection.
//! Owns the account of confirms and wakes the writer when room has come up; never writes.

use std::io;
use std::sync::atomic::Ordering;
use std::thread::Thread;

use amqp_codec::Method;

use super::super::confirm::Confirms;
use super::super::connection::{Connection, is_timeout};
use super::super::error::PerfError;
use super::super::process::thread_cpu_nanos;
use super::super::tally::Tally;
use super::super::walk::{Sink, Walker};
use super::super::wire::{close_reason, unexpected};
use super::{Ending, Orders, Shared};

/// Reads confirms, closes and everything else a broker sends to a publisher.
pub(super) fn read_answers(
    connection: &mut Connection,
    orders: &Orders,
    shared: &Shared<'_>,
    writer: &Thread,
    ending: &Ending,
) -> Result<u64, PerfError> {
    let mut walker = Walker::new(connection.frame_max());
    let (stream, inbound) = connection.parts();
    inbound.resize(READ_BUFFER);
    let mut answers = Answers {
        confirms: orders.window.map(Confirms::new),
        tally: shared.tally,
        settled: 0,
        nacked: 0,
        closed: false,
    };
    loop {
        let walked = walker.walk(inbound.unread(), &mut answers)?;
        inbound.consume(walked);
        if answers.settled > shared.tally.settled.load(Ordering::Relaxed) {
            shared.tally.nacked.store(answers.nacked, Ordering::Relaxed);
            shared
                .tally
                .settled
                .store(answers.settled, Ordering::Release);
            writer.unpark();
        }
        if answers.closed || ending.is_due() {
            return Ok(thread_cpu_nanos());
        }
        match inbound.fill(stream) {
            Ok(0) if ending.closing.load(Ordering::Acquire) => return Ok(thread_cpu_nanos()),
            Ok(0) => return Err(PerfError::Dropped("publishing")),
            Ok(_) => {}
            Err(error) if is_timeout(&error) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(PerfError::socket("reading confirms", error)),
        }
    }
}

struct Answers<'a> {
    confirms: Option<Confirms>,
    tally: &'a Tally,
    settled: u64,
    nacked: u64,
    closed: bool,
}

impl Answers<'_> {
    /// Books a confirm; returns how many publishes it settled.
    fn settle(&mut self, tag: u64, multiple: bool) -> Result<u64, PerfError> {
        let Some(confirms) = &mut self.confirms else {
            return Err(PerfError::Protocol(
                "a confirm on a channel without confirms".to_owned(),
            ));
        };
        let published = self.tally.published.load(Ordering::Acquire);
        let newly = confirms.settle(tag, multiple, published)?;
        self.settled += newly;
        Ok(newly)
    }
}

impl Sink for Answers<'_> {
    fn body_head(&mut self, _head: &[u8]) {}

    fn delivered(&mut self, _delivery_tag: u64, _body_bytes: u64) {}

    fn method(&mut self, method: &Method<'_>) -> Result<(), PerfError> {
        match method {
            Method::BasicAck(ack) => self.settle(ack.delivery_tag, ack.multiple).map(drop),
            Method::BasicNack(nack) => {
                self.nacked += self.settle(nack.delivery_tag, nack.multiple)?;
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

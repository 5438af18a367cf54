//! A publisher with one message open at a time: it publishes, then reads until the confirm.
//! Owns both halves of its connection on one thread, which halves the wake-ups of a run with many
//! such publishers. Never paced: a due message would have to wait for the read.

use std::time::{Duration, Instant};

use super::super::block::Block;
use super::super::connection::Connection;
use super::super::error::PerfError;
use super::super::latency::Departures;
use super::super::walk::Walker;
use super::super::wire::{goodbye, put};
use super::answers::{Answers, departures, read_more};
use super::{CLOSE_TIMEOUT, Orders, Published, REASON_TIMEOUT, Shared, TICK, write_whole};

/// Publishes until the quota, the end of publishing, or an error.
pub(super) fn publish(
    mut connection: Connection,
    block: Block,
    orders: &Orders,
    shared: &Shared<'_>,
) -> Result<Published, PerfError> {
    let failed = |e| PerfError::socket("preparing a publisher", e);
    let (stream, _) = connection.parts();
    stream.set_write_timeout(Some(TICK)).map_err(failed)?;
    stream.set_read_timeout(Some(TICK)).map_err(failed)?;
    let departures = departures(orders);
    InStep {
        walker: Walker::new(connection.frame_max()),
        connection,
        block,
        answers: Answers::new(orders, shared, departures.as_ref(), &[]),
        departures: departures.as_ref(),
        orders,
        shared,
        sent: 0,
    }
    .run()
}

struct InStep<'a> {
    connection: Connection,
    walker: Walker,
    block: Block,
    answers: Answers<'a>,
    departures: Option<&'a Departures>,
    orders: &'a Orders,
    shared: &'a Shared<'a>,
    sent: u64,
}

/// How far reading has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reached {
    /// What was waited for.
    Answer,
    /// The end of the stream.
    End,
    /// The end of patience.
    GivenUp,
}

impl InStep<'_> {
    fn run(mut self) -> Result<Published, PerfError> {
        let stop = self.shared.stop;
        let mut whole = true;
        while self.sent < self.orders.quota && !stop.is_publishing_over() {
            whole = self.send()?;
            if !whole || !self.await_confirm()? {
                break;
            }
        }
        // In the middle of a frame there is no goodbye.
        if whole {
            self.say_goodbye()?;
        }
        let heard = self.answers.heard();
        Ok(Published {
            cpu_nanos: heard.cpu_nanos,
            unsent: 0,
            confirm_latencies: heard.confirm_latencies,
        })
    }

    fn send(&mut self) -> Result<bool, PerfError> {
        let (stamps, now) = (self.shared.stamps, self.shared.stamps.now());
        self.orders
            .mark(&mut self.block, (self.sent, 1), |_| stamps.stamp(now));
        self.sent += 1;
        if let Some(departures) = self.departures {
            departures.note(self.sent, now);
        }
        self.shared.tally.count_published(self.sent);
        let stop = self.shared.stop;
        let (stream, _) = self.connection.parts();
        match write_whole(stream, self.block.first(1), || stop.is_over()) {
            Ok(whole) => Ok(whole),
            Err(error) => Err(self.reason(PerfError::socket("publishing", error))),
        }
    }

    /// True once the confirm is there; false when the run ends before it.
    fn await_confirm(&mut self) -> Result<bool, PerfError> {
        let (sent, stop) = (self.sent, self.shared.stop);
        match self.read_until(|answers| answers.settled == sent, || stop.is_over())? {
            Reached::Answer => Ok(true),
            Reached::End => Err(PerfError::Dropped("publishing")),
            Reached::GivenUp => Ok(false),
        }
    }

    fn say_goodbye(&mut self) -> Result<(), PerfError> {
        let mut last_words = Vec::new();
        put(&mut last_words, 0, goodbye())?;
        let given_up = patience(if self.shared.stop.is_over() {
            REASON_TIMEOUT
        } else {
            CLOSE_TIMEOUT
        });
        let (stream, _) = self.connection.parts();
        write_whole(stream, &last_words, &given_up)
            .map_err(|error| PerfError::socket("closing", error))?;
        self.read_until(|answers| answers.closed, given_up)
            .map(drop)
    }

    /// After an error of writing the broker's reason may still be there to be read.
    fn reason(&mut self, write: PerfError) -> PerfError {
        match self.read_until(|answers| answers.closed, patience(REASON_TIMEOUT)) {
            Err(read) if !write.outranks(&read) => read,
            _ => write,
        }
    }

    fn read_until(
        &mut self,
        reached: impl Fn(&Answers<'_>) -> bool,
        given_up: impl Fn() -> bool,
    ) -> Result<Reached, PerfError> {
        let (stream, inbound) = self.connection.parts();
        loop {
            self.answers.take_in(&mut self.walker, inbound)?;
            if reached(&self.answers) {
                return Ok(Reached::Answer);
            }
            if given_up() {
                return Ok(Reached::GivenUp);
            }
            if !read_more(stream, inbound)? {
                return Ok(Reached::End);
            }
        }
    }
}

/// Whether `time` has passed since this call.
fn patience(time: Duration) -> impl Fn() -> bool {
    let end = Instant::now() + time;
    move || Instant::now() >= end
}

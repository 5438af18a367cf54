//! One publishing connection: a thread that writes blocks and one that reads what comes back.
//! Owns the confirm window and the pace; stops between two blocks, and inside one only when the
//! broker takes no more bytes. Two threads, `answers` is the reading one; a window of one needs
//! only the one of `in_step`. Never counts deliveries.

use std::io::{self, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use amqp_codec::confirm;

use super::block::{Block, LOAD_CHANNEL};
use super::check::Seal;
use super::connection::{Connection, is_timeout};
use super::error::PerfError;
use super::keys::Keys;
use super::latency::{Departures, Latencies, Stamps};
use super::pace::Pace;
use super::process::thread_cpu_nanos;
use super::stop::Stop;
use super::tally::Tally;
use super::wire::{goodbye, put};

mod answers;
mod in_step;

use answers::{Answers, Heard, departures, read_answers};

/// How one publisher behaves.
pub(super) struct Orders {
    /// Publishes that may be unsettled at a time; none without confirms.
    pub(super) window: Option<u64>,
    /// How many messages to publish before stopping by itself.
    pub(super) quota: u64,
    pub(super) pace: Option<Pace>,
    pub(super) stamped: bool,
    /// Whether the time from publishing to the confirm is measured.
    pub(super) timed: bool,
    /// The numbers in the routing keys.
    pub(super) keys: Option<Keys>,
    /// What is written into bodies that are checked.
    pub(super) seal: Option<Seal>,
    /// Channels beyond the first; blocks go over all of them in turn.
    pub(super) more_channels: u16,
}

impl Orders {
    /// Writes into the next messages, which `sent` have gone before, what is their own; `left`
    /// tells when each of them leaves.
    fn mark(&self, block: &mut Block, (sent, count): (u64, u64), left: impl Fn(u64) -> u64) {
        if self.stamped {
            block.stamp(count, left);
        }
        if let Some(keys) = self.keys {
            block.number(count, |index| keys.number(sent + index));
        }
        // Last, because it covers the stamp.
        if let Some(seal) = &self.seal {
            block.seal(count, sent, seal);
        }
    }
}

/// What both threads of a publisher share.
pub(super) struct Shared<'a> {
    pub(super) stop: &'a Stop,
    pub(super) stamps: &'a Stamps,
    pub(super) tally: &'a Tally,
}

/// What a publisher says at its end.
#[derive(Default)]
pub(super) struct Published {
    pub(super) cpu_nanos: u64,
    /// Messages that were due and could not be sent in time.
    pub(super) unsent: u64,
    pub(super) confirm_latencies: Option<Latencies>,
}

/// Publishes until the quota, the end of publishing, or an error. The connection has an open
/// channel, in confirm mode when there is a window.
pub(super) fn publish(
    connection: Connection,
    block: Block,
    orders: &Orders,
    shared: &Shared<'_>,
) -> Result<Published, PerfError> {
    match (orders.window, orders.pace) {
        (Some(1), None) if orders.more_channels == 0 => {
            in_step::publish(connection, block, orders, shared)
        }
        _ => publish_ahead(connection, block, orders, shared),
    }
}

/// Writes on this thread and reads on another.
fn publish_ahead(
    mut connection: Connection,
    block: Block,
    orders: &Orders,
    shared: &Shared<'_>,
) -> Result<Published, PerfError> {
    let mut stream = connection.second_handle()?;
    let failed = |e| PerfError::socket("preparing a publisher", e);
    stream.set_write_timeout(Some(TICK)).map_err(failed)?;
    stream.set_read_timeout(Some(TICK)).map_err(failed)?;
    let (ending, departures) = (Ending::default(), departures(orders));
    let sent_on = sent_on(orders);
    let answers = Answers::new(orders, shared, departures.as_ref(), &sent_on);
    let (writer, ending) = (thread::current(), &ending);
    thread::scope(|scope| {
        let reader = thread::Builder::new()
            .name("perf-confirms".to_owned())
            .spawn_scoped(scope, move || {
                let read = read_answers(&mut connection, answers, &writer, ending);
                ending.read_over.store(true, Ordering::Release);
                writer.unpark();
                read
            });
        let reader = reader.map_err(|source| PerfError::Local {
            during: "a thread",
            source,
        })?;
        let written = Writer {
            stream: &mut stream,
            block,
            orders,
            shared,
            ending,
            departures: departures.as_ref(),
            sent: 0,
            sent_on: &sent_on,
            turns: 0,
        }
        .run();
        // After an error of the writer, the reader may still find the broker's reason.
        ending.begin(REASON_TIMEOUT);
        let read = reader
            .join()
            .unwrap_or(Err(PerfError::Dropped("reading confirms")));
        best_explained(written, read)
    })
}

/// Of two failed halves of one connection, the error that explains more.
fn best_explained(
    written: Result<Published, PerfError>,
    read: Result<Heard, PerfError>,
) -> Result<Published, PerfError> {
    match (written, read) {
        (Ok(written), Ok(heard)) => Ok(Published {
            cpu_nanos: written.cpu_nanos + heard.cpu_nanos,
            confirm_latencies: heard.confirm_latencies,
            ..written
        }),
        (Err(write), Err(read)) if write.outranks(&read) => Err(write),
        (_, Err(error)) | (Err(error), Ok(_)) => Err(error),
    }
}

/// The writer's word to its reader that the connection is being closed, and back.
#[derive(Default)]
struct Ending {
    closing: AtomicBool,
    give_up_at: parking_lot::Mutex<Option<Instant>>,
    read_over: AtomicBool,
}

impl Ending {
    /// From now on the reader ends with the stream, and after `patience` in any case.
    fn begin(&self, patience: Duration) {
        self.give_up_at
            .lock()
            .get_or_insert(Instant::now() + patience);
        self.closing.store(true, Ordering::Release);
    }

    fn is_due(&self) -> bool {
        self.closing.load(Ordering::Acquire)
            && self
                .give_up_at
                .lock()
                .is_some_and(|at| Instant::now() >= at)
    }
}

struct Writer<'a> {
    stream: &'a mut TcpStream,
    block: Block,
    orders: &'a Orders,
    shared: &'a Shared<'a>,
    ending: &'a Ending,
    departures: Option<&'a Departures>,
    sent: u64,
    /// The same for each of several channels.
    sent_on: &'a [AtomicU64],
    /// Blocks that were sent.
    turns: usize,
}

impl Writer<'_> {
    fn run(mut self) -> Result<Published, PerfError> {
        let start = self.shared.stamps.now();
        let mut whole = true;
        while whole && self.sent < self.orders.quota && !self.is_over() {
            let room = self.room();
            match room.min(self.due(start)).min(self.block.messages()) {
                0 => thread::park_timeout(nap(room, self.until_due(start))),
                count => whole = self.send(count, start)?,
            }
        }
        let unsent = self.unsent(start);
        if whole {
            self.await_settled();
            self.say_goodbye()?;
        } else {
            // In the middle of a frame there is no goodbye.
            self.ending.begin(Duration::ZERO);
        }
        Ok(Published {
            cpu_nanos: thread_cpu_nanos(),
            unsent,
            confirm_latencies: None,
        })
    }

    fn is_over(&self) -> bool {
        self.shared.stop.is_publishing_over() || self.ending.read_over.load(Ordering::Acquire)
    }

    /// How many messages quota and window allow; zero until half the window is free, so that
    /// confirms and publishes travel in batches.
    fn room(&self) -> u64 {
        let left = self.orders.quota - self.sent;
        let Some(window) = self.orders.window else {
            return left;
        };
        let free = window - (self.sent - self.shared.tally.settled.load(Ordering::Acquire));
        let worthwhile = window.div_ceil(2).min(self.block.messages()).min(left);
        if free < worthwhile { 0 } else { free.min(left) }
    }

    fn due(&self, start: u64) -> u64 {
        match self.orders.pace {
            Some(pace) => pace.due(self.elapsed(start)).saturating_sub(self.sent),
            None => u64::MAX,
        }
    }

    fn elapsed(&self, start: u64) -> Duration {
        Duration::from_nanos(self.shared.stamps.now().saturating_sub(start))
    }

    /// What has been due for more than a tick; the last few messages are nobody's fault.
    fn unsent(&self, start: u64) -> u64 {
        let elapsed = self.elapsed(start).saturating_sub(TICK);
        let due = self.orders.pace.map_or(0, |pace| pace.due(elapsed));
        due.min(self.orders.quota).saturating_sub(self.sent)
    }

    fn until_due(&self, start: u64) -> Option<Duration> {
        let pace = self.orders.pace?;
        Some(pace.wait(self.sent, self.elapsed(start)))
    }

    fn send(&mut self, count: u64, start: u64) -> Result<bool, PerfError> {
        let (stamps, now, sent) = (self.shared.stamps, self.shared.stamps.now(), self.sent);
        let pace = self.orders.pace;
        let left = |index| match pace {
            Some(pace) => start + pace.due_at_nanos(sent + index),
            None => now,
        };
        self.orders.mark(&mut self.block, (sent, count), |index| {
            stamps.stamp(left(index))
        });
        if let Some(departures) = self.departures {
            // The first publish has number one.
            (0..count).for_each(|index| departures.note(sent + index + 1, left(index)));
        }
        self.sent += count;
        self.take_channel(count);
        self.shared.tally.count_published(self.sent);
        write_whole(self.stream, self.block.first(count), || {
            self.shared.stop.is_over() || self.ending.read_over.load(Ordering::Acquire)
        })
        .map_err(|e| PerfError::socket("publishing", e))
    }

    /// The channel of the next block, when there are several.
    fn take_channel(&mut self, count: u64) {
        if self.sent_on.is_empty() {
            return;
        }
        let index = self.turns % self.sent_on.len();
        self.turns += 1;
        // Before the bytes leave, as in the tally.
        self.sent_on[index].fetch_add(count, Ordering::Release);
        self.block.put_on(LOAD_CHANNEL + index as u16, count);
    }

    /// With confirms, a run that ends by its own count ends with the last confirm; so does one
    /// that times them, lest it leaves out the slowest.
    fn await_settled(&self) {
        let settled = &self.shared.tally.settled;
        let is_over = || match self.orders.timed {
            true => self.shared.stop.is_over() || self.ending.read_over.load(Ordering::Acquire),
            false => self.is_over(),
        };
        while self.orders.window.is_some()
            && settled.load(Ordering::Acquire) < self.sent
            && !is_over()
        {
            thread::park_timeout(TICK);
        }
    }

    fn say_goodbye(&mut self) -> Result<(), PerfError> {
        let mut last_words = Vec::new();
        put(&mut last_words, 0, goodbye())?;
        let is_over = self.shared.stop.is_over();
        self.ending.begin(if is_over {
            REASON_TIMEOUT
        } else {
            CLOSE_TIMEOUT
        });
        let given_up = || self.ending.is_due() || self.ending.read_over.load(Ordering::Acquire);
        write_whole(self.stream, &last_words, given_up)
            .map(drop)
            .map_err(|e| PerfError::socket("closing", e))
    }
}

/// How long a publisher that could send nothing rests. Without room it waits for confirms, whose
/// reader wakes it; with room it waits for the next due message, which may be due by now.
fn nap(room: u64, until_due: Option<Duration>) -> Duration {
    match until_due {
        Some(wait) if room > 0 => wait.min(TICK),
        _ => TICK,
    }
}

/// Writes all of `bytes`, or gives up between two time-outs of the socket; true when all went.
pub(super) fn write_whole(
    stream: &mut TcpStream,
    mut bytes: &[u8],
    give_up: impl Fn() -> bool,
) -> io::Result<bool> {
    while !bytes.is_empty() {
        match stream.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if is_timeout(&error) => {
                if give_up() {
                    return Ok(false);
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

/// Counts of several channels; none for one, whose count is the tally's.
fn sent_on(orders: &Orders) -> Vec<AtomicU64> {
    match orders.more_channels {
        0 => Vec::new(),
        more => (0..=more).map(|_| AtomicU64::new(0)).collect(),
    }
}

/// Makes a connection ready to publish on one channel.
pub(super) fn prepare(connection: Connection, confirms: bool) -> Result<Connection, PerfError> {
    prepare_channels(connection, confirms, 0)
}

/// Makes a connection ready to publish on the first channel and so many more.
pub(super) fn prepare_channels(
    mut connection: Connection,
    confirms: bool,
    more_channels: u16,
) -> Result<Connection, PerfError> {
    for channel in LOAD_CHANNEL..=LOAD_CHANNEL + more_channels {
        connection.open_channel(channel)?;
        if confirms {
            connection.call(channel, confirm::Select::default(), confirm::SelectOk::ID)?;
        }
    }
    Ok(connection)
}

/// How often a waiting thread looks whether the run is over.
pub(super) const TICK: Duration = Duration::from_millis(100);
/// A slow broker first works off everything that lies before the close.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(15);
const REASON_TIMEOUT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_has_become_due_meanwhile_is_not_slept_over() {
        assert_eq!(nap(1, Some(Duration::ZERO)), Duration::ZERO);
        assert_eq!(
            nap(1, Some(Duration::from_micros(80))),
            Duration::from_micros(80)
        );
    }

    #[test]
    fn a_full_window_waits_for_its_confirms_even_when_messages_are_due() {
        assert_eq!(nap(0, Some(Duration::ZERO)), TICK);
        assert_eq!(nap(0, None), TICK);
    }

    #[test]
    fn no_rest_is_longer_than_a_tick() {
        assert_eq!(nap(1, Some(Duration::from_secs(60))), TICK);
    }
}

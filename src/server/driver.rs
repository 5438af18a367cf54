//! One connection's task: a hand-polled future around the AMQP machine.
//!
//! A turn takes mail, writes, reads, until nothing is left to do or the turn is long enough. It
//! never waits for anything but its socket and its inbox.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use broker_core::amqp091::connection::{Connection, Ending, Io, State};
use broker_core::amqp091::output::Output;
use broker_core::amqp091::session::{Peer, count};
use broker_core::broker::Broker;
use broker_core::time::Timestamp;
use tracing::{debug, info};

use super::pacing::{Pace, PacingTick};
use super::scratch::{self, READ_BYTES, Scratch};
use super::transport::Transport;
use crate::clock::Clock;
use crate::pulse::Pulse;
use crate::timer::Timer;

/// Unwritten output above which a connection takes no mail: deliveries wait in the inbox.
const OUTPUT_MAX: usize = 128 * 1024;
/// Unwritten output above which it is not read either. Between the two, acks and heartbeats of a
/// slow consumer are heard, and answers are all that is added.
const ANSWERS_MAX: usize = 1024 * 1024;
/// Bytes read plus written in one turn before others have theirs.
const TURN_BYTES_MAX: usize = 256 * 1024;
/// How long a client has to close its side after connection.close or close-ok.
const CLOSE_TIMEOUT_MS: u64 = 10_000;
/// How long the broker waits for the client's end of the stream after its own.
const LINGER_MS: u64 = 1_000;
/// Silence before a failed login is dropped, when the client cannot be told (RabbitMQ's
/// SILENT_CLOSE_DELAY).
const SILENT_CLOSE_MS: u64 = 3_000;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    /// The broker.
    pub broker: Arc<Broker>,
    /// The clock.
    pub clock: Clock,
    /// All deadlines.
    pub timer: Arc<Timer>,
    /// The tick of paced connections.
    pub pacing: Arc<PacingTick>,
    /// From accept to connection.open, in milliseconds.
    pub handshake_timeout_ms: u64,
    /// Connections that are accepted and not over.
    pub open: AtomicUsize,
    /// Those of them that have not logged in.
    pub half_open: AtomicUsize,
}

impl Shared {
    /// Connections that have logged in and whose sockets are not closed.
    pub(crate) fn logged_in(&self) -> usize {
        let half_open = self.half_open.load(Ordering::Relaxed);
        self.open.load(Ordering::Relaxed).saturating_sub(half_open)
    }
}

/// A connection's task.
pub(super) struct Driver {
    machine: Connection,
    transport: Transport,
    shared: Arc<Shared>,
    pulse: Arc<Pulse>,
    peer: Peer,
    /// Bytes that were read and not used: the beginning of a frame, or what may not be taken yet.
    rest: Vec<u8>,
    out: Output,
    pace: Pace,
    /// The machine stopped before the end of `rest`.
    stalled: bool,
    /// How the machine ended, once it has.
    closing: Option<Ending>,
    shut_down: bool,
    counted_half_open: bool,
}

/// Whether a step did something.
#[derive(Clone, Copy, PartialEq)]
enum Step {
    Done(usize),
    Idle,
}

impl Driver {
    pub(super) fn new(transport: Transport, peer: Peer, shared: Arc<Shared>) -> Driver {
        let now = shared.clock.now();
        let machine = Connection::new(Arc::clone(&shared.broker), peer);
        let deadline = now.plus_ms(shared.handshake_timeout_ms);
        let pulse = Pulse::new(Arc::clone(machine.inbox()), now, deadline);
        shared.timer.arm_connection(&pulse, deadline);
        shared.open.fetch_add(1, Ordering::Relaxed);
        shared.half_open.fetch_add(1, Ordering::Relaxed);
        Driver {
            machine,
            transport,
            shared,
            pulse,
            peer,
            rest: Vec::new(),
            out: Output::default(),
            pace: Pace::default(),
            stalled: false,
            closing: None,
            shut_down: false,
            counted_half_open: true,
        }
    }

    fn turn(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> Poll<()> {
        let now = self.shared.clock.now();
        let mut moved = 0;
        loop {
            self.look_up(cx, now, scratch);
            if self.pulse.is_over() {
                return self.time_is_up(now, scratch);
            }
            let mailed = self.collect(cx, now, scratch);
            let written = match self.write(cx, now, scratch) {
                Ok(step) => step,
                Err(error) => return self.lost(Some(error), now, scratch),
            };
            if let Some(ending) = self.machine.ending() {
                self.ended(ending, cx, now);
            }
            let read = match self.read(cx, now, scratch) {
                Ok(Some(step)) => step,
                Ok(None) => return self.lost(None, now, scratch),
                Err(error) => return self.lost(Some(error), now, scratch),
            };
            self.remark();
            let is_idle = [mailed, written, read]
                .iter()
                .all(|step| *step == Step::Idle);
            if is_idle && !self.pulse.is_over() {
                return Poll::Pending;
            }
            for step in [written, read] {
                if let Step::Done(bytes) = step {
                    moved += bytes;
                }
            }
            if moved > TURN_BYTES_MAX || self.machine.is_paused() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }

    /// Hears what must be heard also by a connection that takes no mail.
    fn look_up(&mut self, cx: &Context<'_>, now: Timestamp, scratch: &mut Scratch) {
        if let Some((code, text)) = self.machine.inbox().look_up(cx.waker()) {
            self.lend_output(scratch);
            let mut io = Io {
                out: &mut self.out,
                batches: &mut scratch.batches,
            };
            self.machine.close_with(code, text, now, &mut io);
        }
    }

    /// Takes mail until there is none or enough to write.
    fn collect(&mut self, cx: &Context<'_>, now: Timestamp, scratch: &mut Scratch) -> Step {
        let mut step = Step::Idle;
        self.lend_output(scratch);
        while self.out.len() < OUTPUT_MAX {
            let inbox = Arc::clone(self.machine.inbox());
            let has_mail = inbox.take(&mut scratch.mail, Some(cx.waker()));
            let mut io = Io {
                out: &mut self.out,
                batches: &mut scratch.batches,
            };
            if !has_mail {
                self.machine.finish_turn(now, &mut io);
                break;
            }
            self.machine.collect(&mut scratch.mail, now, &mut io);
            step = Step::Done(0);
        }
        self.return_output(scratch);
        step
    }

    fn write(
        &mut self,
        cx: &mut Context<'_>,
        now: Timestamp,
        scratch: &mut Scratch,
    ) -> io::Result<Step> {
        let mut total = 0;
        while !self.out.is_empty() && total < TURN_BYTES_MAX {
            let polled = match self.out.plain() {
                Some(bytes) => self.transport.poll_write(cx, bytes),
                None => {
                    let mut slices: Vec<IoSlice<'_>> = Vec::new();
                    self.out.slices(&mut slices);
                    self.transport.poll_write_vectored(cx, &slices)
                }
            };
            match polled {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(written)) => {
                    self.out.advance(written);
                    self.sent(written, now);
                    total += written;
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => break,
            }
        }
        self.return_output(scratch);
        Ok(if total > 0 {
            Step::Done(total)
        } else {
            Step::Idle
        })
    }

    /// None at the end of the stream.
    fn read(
        &mut self,
        cx: &mut Context<'_>,
        now: Timestamp,
        scratch: &mut Scratch,
    ) -> io::Result<Option<Step>> {
        let wants_input = self.machine.wants_input();
        self.pulse.suspend(!wants_input, now);
        if !wants_input || self.out.len() >= ANSWERS_MAX {
            return Ok(Some(Step::Idle));
        }
        let kept = self.rest.len();
        // Grows to the largest rest there ever was, and is not filled again for each read.
        if scratch.read.len() < kept + READ_BYTES {
            scratch.read.resize(kept + READ_BYTES, 0);
        }
        scratch.read[..kept].copy_from_slice(&self.rest);
        if self.stalled {
            self.stalled = false;
            self.receive(kept, now, scratch);
            return Ok(Some(Step::Done(kept)));
        }
        if self.is_ahead() {
            return Ok(Some(Step::Idle));
        }
        let count = match self
            .transport
            .poll_read(cx, &mut scratch.read[kept..kept + READ_BYTES])
        {
            Poll::Pending => return Ok(Some(Step::Idle)),
            Poll::Ready(count) => count?,
        };
        if count == 0 {
            return Ok(None);
        }
        self.pace.read(count);
        // Read after the bytes came: a message's time to live never begins before the message, also
        // when this thread had to wait since its turn began.
        let now = self.shared.clock.now();
        self.received(count, now);
        self.receive(kept + count, now, scratch);
        Ok(Some(Step::Done(count)))
    }

    /// Whether the next read must wait for consumers of what this connection publishes; they or
    /// the tick will wake it.
    fn is_ahead(&mut self) -> bool {
        let inbox = self.machine.inbox();
        let must_wait = self.pace.must_wait(inbox.is_paced());
        if must_wait {
            self.shared.pacing.join(inbox);
        }
        must_wait
    }

    /// Gives the machine the first `length` bytes of the read buffer and keeps what it leaves.
    fn receive(&mut self, length: usize, now: Timestamp, scratch: &mut Scratch) {
        self.lend_output(scratch);
        let before = self.machine.state();
        let input = &scratch.read[..length];
        let mut io = Io {
            out: &mut self.out,
            batches: &mut scratch.batches,
        };
        let used = self.machine.receive(input, now, &mut io);
        self.rest.clear();
        if used == length {
            if self.rest.capacity() > 0 {
                self.rest = Vec::new();
            }
        } else {
            self.rest.extend_from_slice(&input[used..]);
            self.stalled = self.machine.is_stalled();
        }
        if before != State::Open && self.machine.state() == State::Open {
            self.opened(now);
        }
    }

    fn opened(&mut self, now: Timestamp) {
        self.no_longer_half_open();
        let Some(session) = self.machine.session() else {
            return;
        };
        info!(
            peer = %self.peer.name(), user = %session.user.name, vhost = %session.vhost.name(),
            "connection opened"
        );
        if let Some(at) = self.pulse.open(session.tuning.heartbeat, now) {
            self.shared.timer.arm_connection(&self.pulse, at);
        }
    }

    /// The machine is done: the client has so long to read the rest and to close its side. What
    /// it still sends is read and forgotten, or its end of the stream would not be seen.
    fn ended(&mut self, ending: Ending, cx: &mut Context<'_>, now: Timestamp) {
        if self.closing != Some(ending) {
            self.closing = Some(ending);
            let patience = match ending {
                Ending::Now => LINGER_MS,
                Ending::PeerFirst => CLOSE_TIMEOUT_MS,
                Ending::Late => SILENT_CLOSE_MS,
            };
            let deadline = now.plus_ms(patience);
            self.pulse.close_by(deadline);
            self.shared.timer.arm_connection(&self.pulse, deadline);
        }
        if ending == Ending::Now && self.out.is_empty() && !self.shut_down {
            // An error here means that the peer is gone already, which the next read tells.
            self.shut_down = self.transport.poll_shutdown(cx).is_ready();
        }
    }

    fn time_is_up(&mut self, now: Timestamp, scratch: &mut Scratch) -> Poll<()> {
        match self.machine.state() {
            State::Open => info!(peer = %self.peer.name(), "missed heartbeats from the client"),
            State::Closing | State::Closed => {}
            _ => info!(peer = %self.peer.name(), "handshake timeout"),
        }
        self.end(now, scratch);
        Poll::Ready(())
    }

    /// The socket ended or failed.
    fn lost(
        &mut self,
        error: Option<io::Error>,
        now: Timestamp,
        scratch: &mut Scratch,
    ) -> Poll<()> {
        match (self.machine.state(), error) {
            (State::Open, None) => {
                info!(peer = %self.peer.name(), "client unexpectedly closed TCP connection");
            }
            (State::Open, Some(error)) => {
                info!(peer = %self.peer.name(), %error, "connection lost");
            }
            (_, error) => debug!(peer = %self.peer.name(), ?error, "socket closed"),
        }
        self.end(now, scratch);
        Poll::Ready(())
    }

    fn end(&mut self, now: Timestamp, scratch: &mut Scratch) {
        let mut io = Io {
            out: &mut self.out,
            batches: &mut scratch.batches,
        };
        self.machine.end(now, &mut io);
        self.remark();
    }

    fn remark(&mut self) {
        if let Some(remark) = self.machine.take_remark() {
            info!(peer = %self.peer.name(), "{remark}");
        }
    }

    fn lend_output(&mut self, scratch: &mut Scratch) {
        if self.out.is_empty() && self.out.buffer().capacity() == 0 {
            self.out = Output::with_buffer(scratch.output());
        }
    }

    fn return_output(&mut self, scratch: &mut Scratch) {
        if self.out.is_empty() && self.out.buffer().capacity() > 0 {
            scratch.keep(self.out.take_buffer());
        }
    }

    fn received(&self, bytes: usize, now: Timestamp) {
        self.pulse.heard(now);
        if let Some(session) = self.machine.session() {
            count(&session.traffic.received, bytes as u64);
            count(&session.traffic.reads, 1);
        }
    }

    fn sent(&self, bytes: usize, now: Timestamp) {
        self.pulse.said(now);
        if let Some(session) = self.machine.session() {
            count(&session.traffic.sent, bytes as u64);
            count(&session.traffic.writes, 1);
        }
    }

    fn no_longer_half_open(&mut self) {
        if std::mem::take(&mut self.counted_half_open) {
            self.shared.half_open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        scratch::with(|scratch| this.turn(cx, scratch))
    }
}

impl Drop for Driver {
    /// Also when the runtime ends in the middle: a connection never leaves anything behind.
    fn drop(&mut self) {
        let now = self.shared.clock.now();
        scratch::with(|scratch| self.end(now, scratch));
        self.no_longer_half_open();
        self.shared.open.fetch_sub(1, Ordering::Relaxed);
    }
}

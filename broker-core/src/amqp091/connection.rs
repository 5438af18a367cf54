//! One AMQP connection: cuts frames, dispatches them to channels, keeps the connection's state.
//!
//! ```text
//! Header → Starting → Tuning → Opening → Open → Closing (waits for close-ok) → Closed
//! ```
//!
//! The owner calls [`Connection::receive`] with bytes, [`Connection::collect`] until it returns
//! false, writes the output, and closes the socket when [`Connection::ending`] says so.

use std::collections::VecDeque;
use std::sync::Arc;

use amqp_codec::{
    Cut, Frame, FrameKind, Method, PublishNames, ReplyCode, basic, channel as channel_methods,
    connection, cut,
};
use rustc_hash::FxHashMap;

use super::assembler::{Assembling, Content, PublishMethod};
use super::batches::Batches;
use super::channel::{Channel, Departed};
use super::close::{Failure, undecodable};
use super::contents::whole_content;
use super::durable::{Unsynced, are_durable};
use super::framing::{bad_frame, misplaced, unknown_frame};
use super::handshake::Handshake;
use super::output::Output;
use super::session::{Peer, Phase, Session};
use super::turn::Turn;
use crate::broker::Broker;
use crate::error::BrokerError;
use crate::inbox::{ConsumerId, Inbox};
use crate::message::Body;
use crate::time::Timestamp;

/// Methods other than basic.publish that one call of [`Connection::receive`] carries out; each may
/// cost a look at every queue of its channel.
const METHODS_PER_TURN: usize = 1024;
/// Bytes of a remark.
const REMARK_MAX: usize = 512;

/// Where the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No whole protocol header yet.
    Header,
    /// connection.start was sent.
    Starting,
    /// connection.tune was sent.
    Tuning,
    /// tune-ok came; connection.open is next.
    Opening,
    /// Usable.
    Open,
    /// connection.close was sent; only close-ok counts.
    Closing,
    /// Nothing more to say.
    Closed,
}

impl State {
    /// RabbitMQ's name for it.
    pub fn name(self) -> &'static str {
        match self {
            State::Header | State::Starting => "starting",
            State::Tuning => "tuning",
            State::Opening => "opening",
            State::Open => "running",
            State::Closing => "closing",
            State::Closed => "closed",
        }
    }
}

/// How the socket is to be closed once the output is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// At once.
    Now,
    /// When the peer closed its side, or after a while.
    PeerFirst,
    /// After some seconds of silence (a failed login without the capability to be told).
    Late,
}

/// What a turn works with, lent by the owner.
#[derive(Debug)]
pub struct Io<'a> {
    /// Where frames go.
    pub out: &'a mut Output,
    /// The worker's batches; empty before and after each call.
    pub batches: &'a mut Batches,
}

/// The machine of one connection.
pub struct Connection {
    pub(super) id: u64,
    pub(super) broker: Arc<Broker>,
    pub(super) peer: Peer,
    pub(super) inbox: Arc<Inbox>,
    pub(super) state: State,
    pub(super) ending: Option<Ending>,
    pub(super) handshake: Handshake,
    pub(super) session: Option<Arc<Session>>,
    pub(super) channels: FxHashMap<u16, Box<Channel>>,
    /// Channels whose gate is closed or that hold something.
    pub(super) gated: Vec<u16>,
    pub(super) departed: FxHashMap<ConsumerId, Departed>,
    /// Batches that queues took and that are not durable yet, oldest first.
    pub(super) unsynced: VecDeque<Unsynced>,
    /// connection.close came while answers waited for the log.
    pub(super) close_requested: bool,
    pub(super) told_blocked: bool,
    pub(super) remark: Option<String>,
    incarnations: u32,
    methods_left: usize,
    is_stalled: bool,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("id", &self.id)
            .field("state", &self.state)
            .finish()
    }
}

impl Connection {
    /// A connection that was just accepted.
    pub fn new(broker: Arc<Broker>, peer: Peer) -> Connection {
        Connection {
            id: broker.next_connection_id(),
            broker,
            peer,
            inbox: Inbox::new(),
            state: State::Header,
            ending: None,
            handshake: Handshake::default(),
            session: None,
            channels: FxHashMap::default(),
            gated: Vec::new(),
            unsynced: VecDeque::new(),
            departed: FxHashMap::default(),
            close_requested: false,
            told_blocked: false,
            remark: None,
            incarnations: 0,
            methods_left: METHODS_PER_TURN,
            is_stalled: false,
        }
    }

    /// Its inbox, to be watched by the owner.
    pub fn inbox(&self) -> &Arc<Inbox> {
        &self.inbox
    }

    /// Where it is.
    pub fn state(&self) -> State {
        self.state
    }

    /// Set once the connection is over: how to close the socket after the output is written.
    pub fn ending(&self) -> Option<Ending> {
        self.ending
    }

    /// The open connection, as others see it.
    pub fn session(&self) -> Option<&Arc<Session>> {
        self.session.as_ref()
    }

    /// Something worth a line in the log since the last call: why a channel or the connection
    /// was closed.
    pub fn take_remark(&mut self) -> Option<String> {
        // Names in it are the client's: nothing of them may look like a line of its own.
        let remark = self.remark.take()?;
        let escaped = remark.chars().flat_map(|c| {
            let is_plain = !c.is_control();
            let escaped = (!is_plain).then(|| c.escape_default());
            is_plain
                .then_some(c)
                .into_iter()
                .chain(escaped.into_iter().flatten())
        });
        Some(escaped.take(REMARK_MAX).collect())
    }

    /// Somebody ends the connection: an operator, or the broker that stops.
    pub fn close_with(&mut self, code: ReplyCode, text: String, now: Timestamp, io: &mut Io<'_>) {
        self.fail_connection(Failure::frame(code, text), now, io);
    }

    /// Whether bytes from the socket are wanted now: not while the client may not publish, and
    /// not while answers pile up behind a gate.
    pub fn wants_input(&self) -> bool {
        let blocked = self
            .session
            .as_ref()
            .is_some_and(|s| s.phase() == Phase::Blocked);
        !blocked
            && !self.outruns_the_log()
            && !self
                .gated
                .iter()
                .any(|number| self.channels.get(number).is_some_and(|c| c.is_backed_up()))
    }

    /// Whether the last [`Self::receive`] stopped because it had done enough for one turn.
    pub fn is_paused(&self) -> bool {
        self.methods_left == 0
    }

    /// Whether the last [`Self::receive`] left frames because it was not to take them then. They
    /// must come again as soon as input is wanted: nothing may follow them on the socket.
    pub fn is_stalled(&self) -> bool {
        self.is_stalled
    }

    /// Takes what the socket brought, as far as whole frames go; gives how many bytes were used.
    /// The rest must come again, with more behind it.
    pub fn receive(&mut self, input: &[u8], now: Timestamp, io: &mut Io<'_>) -> usize {
        if self.close_requested {
            // connection.close was the client's last word.
            return input.len();
        }
        let mut used = 0;
        self.methods_left = METHODS_PER_TURN;
        self.is_stalled = false;
        if self.state == State::Header {
            used = self.read_header(input, io);
            if self.state == State::Header {
                return used;
            }
        }
        while self.state != State::Closed && !self.is_stalled {
            // Asked once: what was the answer may not be what it would be a moment later.
            if self.methods_left == 0 || !self.wants_input() {
                self.is_stalled = true;
                break;
            }
            let rest = &input[used..];
            match cut(rest, self.payload_max()) {
                Ok(Cut::Incomplete { .. }) => break,
                Ok(Cut::Frame { frame, len }) => match self.frame(frame, &rest[len..], now, io) {
                    Some(more) => used += len + more,
                    None => self.is_stalled = true,
                },
                Err(error) => {
                    self.bad_frame(rest, error, now, io);
                    used = input.len();
                    break;
                }
            }
        }
        if self.state == State::Closed {
            used = input.len();
        }
        io.batches.hand_over(self.broker.host(), now);
        self.finished_publishes(now, io);
        used
    }

    /// RabbitMQ lets a payload have frame_max bytes, which is 8 more than the specification.
    fn payload_max(&self) -> u32 {
        match (&self.session, self.state) {
            (Some(session), _) => match session.tuning.frame_max {
                0 => u32::MAX,
                max => max,
            },
            (None, State::Opening) => self.broker.limits().frame_max,
            (None, State::Closing | State::Closed) => self.broker.limits().frame_max,
            (None, _) => self.broker.limits().initial_frame_max,
        }
    }

    fn bad_frame(
        &mut self,
        input: &[u8],
        error: amqp_codec::FrameError,
        now: Timestamp,
        io: &mut Io<'_>,
    ) {
        if matches!(self.state, State::Closing | State::Closed) {
            self.ending = Some(Ending::Now);
            return;
        }
        self.fail_connection(bad_frame(input, error), now, io);
        // There is no telling where the next frame begins.
        self.ending = Some(Ending::Now);
        self.state = State::Closed;
    }

    /// One frame. Gives how many bytes after it were used too, or none when the frame may not be
    /// taken now (a publish while an alarm is on).
    #[inline]
    fn frame(
        &mut self,
        frame: Frame<'_>,
        rest: &[u8],
        now: Timestamp,
        io: &mut Io<'_>,
    ) -> Option<usize> {
        let outcome = match frame.kind {
            FrameKind::Method if is_publish(frame.payload) && self.state == State::Open => {
                if self.must_block(io) {
                    return None;
                }
                self.publish(frame, rest, now, io)
            }
            FrameKind::Method => {
                self.methods_left -= 1;
                self.method(frame, now, io).map(|()| 0)
            }
            FrameKind::Header | FrameKind::Body
                if self.state == State::Open && self.must_block(io) =>
            {
                return None;
            }
            FrameKind::Header => self.header(frame, now, io).map(|()| 0),
            FrameKind::Body => self.body(frame, now, io).map(|()| 0),
            FrameKind::Heartbeat if !frame.payload.is_empty() => Err(unknown_frame(&frame)),
            FrameKind::Heartbeat if frame.channel != 0 => Err(misplaced(&frame)),
            FrameKind::Heartbeat => Ok(0),
        };
        Some(outcome.unwrap_or_else(|failure| {
            self.fail(frame.channel, failure, now, io);
            0
        }))
    }

    /// basic.publish. When header and body follow in the same read it is taken in one go, and the
    /// bytes they took are returned.
    #[inline]
    fn publish(
        &mut self,
        frame: Frame<'_>,
        rest: &[u8],
        now: Timestamp,
        io: &mut Io<'_>,
    ) -> Result<usize, Failure> {
        if let Some(used) = self.publish_straight(&frame, rest, now, io) {
            return Ok(used);
        }
        let method = basic::Publish::decode_args(&frame.payload[4..])
            .map_err(|error| undecodable(&error, frame.payload))?;
        let method = PublishMethod::from(&method);
        let size_max = self.broker.limits().max_message_size;
        let Some(session) = &self.session else {
            return Ok(0);
        };
        let Some(channel) = self.channels.get_mut(&frame.channel) else {
            return Err(Failure::method(not_open(), basic::Publish::ID));
        };
        if channel.is_closing {
            return Ok(0);
        }
        if let Some(assembling) = &channel.assembling {
            return Err(Failure::method(
                assembling.interrupted(),
                basic::Publish::ID,
            ));
        }
        let Some((properties, body, used)) = whole_content(frame.channel, rest, size_max) else {
            channel.assembling = Some(Box::new(Assembling::new(method)));
            return Ok(0);
        };
        let content = Content {
            method,
            properties,
            body: Body::Inline(body),
        };
        let mut turn = Turn {
            now,
            out: io.out,
            batches: io.batches,
            session,
        };
        match channel.publish(content, &mut turn) {
            Ok(()) => Ok(used),
            Err(error) => {
                self.fail(
                    frame.channel,
                    Failure::method(error, basic::Publish::ID),
                    now,
                    io,
                );
                Ok(used)
            }
        }
    }

    /// The bytes behind the method that were used, if the publish could go straight to its queue.
    #[inline]
    fn publish_straight(
        &mut self,
        frame: &Frame<'_>,
        rest: &[u8],
        now: Timestamp,
        io: &mut Io<'_>,
    ) -> Option<usize> {
        let session = self.session.as_ref()?;
        let channel = self.channels.get_mut(&frame.channel)?;
        if channel.is_closing || channel.assembling.is_some() {
            return None;
        }
        let names = PublishNames::parse(&frame.payload[4..])?;
        let size_max = self.broker.limits().max_message_size;
        let (properties, body, used) = whole_content(frame.channel, rest, size_max)?;
        let mut turn = Turn {
            now,
            out: io.out,
            batches: io.batches,
            session,
        };
        channel
            .publish_straight(names, properties, body, &mut turn)
            .then_some(used)
    }

    fn method(&mut self, frame: Frame<'_>, now: Timestamp, io: &mut Io<'_>) -> Result<(), Failure> {
        if frame.payload.len() < 4 {
            return Err(unknown_frame(&frame));
        }
        if frame.channel != 0 && self.is_shaking_hands() {
            return Err(misplaced(&frame));
        }
        let method =
            Method::decode(frame.payload).map_err(|error| undecodable(&error, frame.payload))?;
        match self.state {
            State::Open if frame.channel == 0 => self.connection_method(method, now, io),
            State::Open => self.channel_method(frame.channel, method, now, io),
            State::Closing => {
                match method {
                    Method::ConnectionCloseOk(_) => self.ending = Some(Ending::Now),
                    Method::ConnectionClose(_) => {
                        let _ = io.out.method(0, connection::CloseOk {});
                        self.ending = Some(Ending::Now);
                    }
                    _ => return Ok(()),
                }
                self.state = State::Closed;
                Ok(())
            }
            _ => self.handshake_method(method, now, io),
        }
    }

    fn is_shaking_hands(&self) -> bool {
        matches!(self.state, State::Starting | State::Tuning | State::Opening)
    }

    fn connection_method(
        &mut self,
        method: Method<'_>,
        now: Timestamp,
        io: &mut Io<'_>,
    ) -> Result<(), Failure> {
        let id = method.id();
        match method {
            Method::ConnectionClose(_) => {
                io.batches.hand_over(self.broker.host(), now);
                self.close_requested = true;
                self.close_if_requested(now, io);
                Ok(())
            }
            // Users with a password have no secret that could expire: nothing to renew.
            Method::ConnectionUpdateSecret(_) => io
                .out
                .method(0, connection::UpdateSecretOk {})
                .map_err(|error| Failure::internal(&error)),
            _ => Err(Failure::method(unexpected_in("running"), id)),
        }
    }

    /// Answers the client's connection.close once no answer waits for the log any more.
    pub(super) fn close_if_requested(&mut self, now: Timestamp, io: &mut Io<'_>) {
        if !self.close_requested
            || !self.gated.is_empty()
            || !are_durable(&self.inbox, self.broker.host())
        {
            return;
        }
        self.close_requested = false;
        self.end_session(now, io);
        let _ = io.out.method(0, connection::CloseOk {});
        self.state = State::Closed;
        self.ending = Some(Ending::PeerFirst);
    }

    fn channel_method(
        &mut self,
        number: u16,
        method: Method<'_>,
        now: Timestamp,
        io: &mut Io<'_>,
    ) -> Result<(), Failure> {
        let id = method.id();
        if let Method::ChannelOpen(_) = method {
            return self.open_channel(number, io);
        }
        let Some(session) = &self.session else {
            return Ok(());
        };
        let Some(channel) = self.channels.get_mut(&number) else {
            return match method {
                // The channel went while this was on its way.
                Method::ChannelCloseOk(_) => Ok(()),
                _ => Err(Failure::method(not_open(), id)),
            };
        };
        match method {
            Method::ChannelClose(_) => return self.close_channel(number, now, io),
            Method::ChannelCloseOk(_) if channel.is_closing => {
                channel.is_closed = true;
                if channel.gate.is_open() {
                    self.channels.remove(&number);
                }
                return Ok(());
            }
            _ if channel.is_closing => return Ok(()),
            _ => {}
        }
        if let Some(assembling) = &channel.assembling {
            return Err(Failure::method(
                assembling.interrupted(),
                basic::Publish::ID,
            ));
        }
        let mut turn = Turn {
            now,
            out: io.out,
            batches: io.batches,
            session,
        };
        let outcome = channel.handle(method, &mut turn);
        if !channel.is_delivering() && !self.gated.contains(&number) {
            self.gated.push(number);
        }
        outcome.map_err(|error| Failure::method(error, id))
    }

    fn open_channel(&mut self, number: u16, io: &mut Io<'_>) -> Result<(), Failure> {
        let Some(session) = &self.session else {
            return Ok(());
        };
        let taken = self.channels.get(&number);
        if taken.is_some_and(|channel| !(channel.is_closed && channel.gate.is_open())) {
            let error = BrokerError::new(ReplyCode::ChannelError, "second 'channel.open' seen");
            return Err(Failure::method(error, channel_methods::Open::ID));
        }
        let max = usize::from(session.tuning.channel_max);
        if max != 0 && self.channels.len() >= max {
            return Err(Failure::frame(
                ReplyCode::NotAllowed,
                format!(
                    "number of channels opened ({}) has reached the negotiated channel_max ({max})",
                    self.channels.len()
                ),
            ));
        }
        self.incarnations = self.incarnations.wrapping_add(1);
        let channel = Box::new(Channel::new(number, self.incarnations));
        session
            .channels
            .lock()
            .insert(number, Arc::clone(&channel.entry));
        self.channels.insert(number, channel);
        io.out
            .method(number, channel_methods::OpenOk { channel_id: b"" })
            .map_err(|error| Failure::internal(&error))
    }

    /// The client closes a channel (also one that the broker closes at the same moment).
    fn close_channel(
        &mut self,
        number: u16,
        now: Timestamp,
        io: &mut Io<'_>,
    ) -> Result<(), Failure> {
        let Some(session) = self.session.clone() else {
            return Ok(());
        };
        let Some(channel) = self.channels.get_mut(&number) else {
            return Ok(());
        };
        let mut turn = Turn {
            now,
            out: io.out,
            batches: io.batches,
            session: &session,
        };
        turn.barrier();
        // When both sides close at once, the client's close-ok is still to come.
        let crosses = channel.is_closing && !channel.is_closed;
        if !crosses {
            let departed = channel.end(&mut turn);
            self.departed.extend(departed);
            session.channels.lock().remove(&number);
        }
        channel
            .reply_when_durable(&mut turn, channel_methods::CloseOk {})
            .map_err(|error| Failure::method(error, channel_methods::Close::ID))?;
        channel.is_closing = true;
        channel.is_closed = true;
        if crosses {
            channel.is_closed = true;
        } else if channel.gate.is_open() {
            self.channels.remove(&number);
        } else if !self.gated.contains(&number) {
            self.gated.push(number);
        }
        Ok(())
    }

    /// An alarm is on and the client wants to publish: it is told, and not read any more.
    fn must_block(&mut self, io: &mut Io<'_>) -> bool {
        let Some(reason) = self.broker.alarm() else {
            return false;
        };
        let Some(session) = &self.session else {
            return false;
        };
        session.set_phase(Phase::Blocked);
        if session.capabilities.connection_blocked && !self.told_blocked {
            self.told_blocked = io.out.method(0, connection::Blocked { reason }).is_ok();
        }
        true
    }

    /// The socket is gone.
    pub fn end(&mut self, now: Timestamp, io: &mut Io<'_>) {
        self.end_session(now, io);
        self.state = State::Closed;
        self.ending = Some(Ending::Now);
    }
}

#[inline]
fn is_publish(payload: &[u8]) -> bool {
    payload.starts_with(&[0, 60, 0, 40])
}

/// A method that has no business in this state of the connection.
pub(super) fn unexpected_in(state: &str) -> BrokerError {
    BrokerError::new(
        ReplyCode::ChannelError,
        format!("unexpected method in connection state {state}"),
    )
}

fn not_open() -> BrokerError {
    BrokerError::new(ReplyCode::ChannelError, "expected 'channel.open'")
}

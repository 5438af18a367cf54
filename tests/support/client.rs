//! One AMQP connection of a test: frames out, frames in, every wait bounded by a deadline.
//!
//! A peer sorts what arrives by channel, so that a test waits for "the next frame on channel 2" and
//! never for an accident of interleaving. It checks on the way what holds for every frame: the end
//! byte, and the negotiated frame size. It never answers on its own, not even a `connection.close`.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::build::{self, Captures};
use super::compare;
use super::method::{Field, Header, Method};
use super::term::{self, Item};
use super::value::{Table, Value};

/// How long a test waits for something that must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// What a client sends first.
pub(crate) const PROTOCOL_HEADER: &[u8; 8] = b"AMQP\0\0\x09\x01";
/// The last byte of a frame.
pub(crate) const FRAME_END: u8 = 0xCE;
/// The frame size before anything was negotiated, and what a test proposes.
pub(crate) const FRAME_MAX: usize = 131_072;
/// Head and end byte.
const FRAME_OVERHEAD: usize = 8;

/// A frame as it came.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Frame {
    /// 1 method, 2 header, 3 body, 8 heartbeat.
    pub(crate) kind: u8,
    /// The channel number.
    pub(crate) channel: u16,
    /// What stands between head and end byte.
    pub(crate) payload: Vec<u8>,
}

/// What a wait ended with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Arrival {
    /// The frame that was waited for.
    Frame(Frame),
    /// `connection.close`, whatever was waited for.
    Closing(Frame),
    /// The broker closed the socket.
    Eof,
    /// The time is over.
    Silence,
    /// Bytes that are no frame.
    Garbage(String),
}

/// Who connects, and with what proposal.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    /// The user name.
    pub(crate) user: String,
    /// The password.
    pub(crate) password: String,
    /// The vhost to open.
    pub(crate) vhost: String,
    /// `tune-ok`'s channel-max.
    pub(crate) channel_max: u64,
    /// `tune-ok`'s frame-max.
    pub(crate) frame_max: u64,
    /// `tune-ok`'s heartbeat.
    pub(crate) heartbeat: u64,
    /// The client properties.
    pub(crate) properties: Table,
}

impl Login {
    /// `guest`, with every capability a client can name and without heartbeats.
    pub(crate) fn guest(vhost: &str) -> Self {
        let names = [
            "publisher_confirms",
            "exchange_exchange_bindings",
            "basic.nack",
            "consumer_cancel_notify",
            "connection.blocked",
            "authentication_failure_close",
        ];
        let able = names
            .map(|name| (name.to_owned(), Value::bool(true)))
            .to_vec();
        Self {
            user: "guest".to_owned(),
            password: "guest".to_owned(),
            vhost: vhost.to_owned(),
            channel_max: 2047,
            frame_max: FRAME_MAX as u64,
            heartbeat: 0,
            properties: vec![("capabilities".to_owned(), Value::table(able))],
        }
    }
}

/// A connection seen from the client's side.
pub(crate) struct Peer {
    stream: TcpStream,
    unread: Vec<u8>,
    waiting: BTreeMap<u16, VecDeque<Frame>>,
    ended: bool,
    /// No frame may be larger, in either direction; 0 lifts the limit.
    pub(crate) frame_max: usize,
    /// The broker's answer to the protocol header, once the handshake was made here.
    pub(crate) start: Option<Method>,
}

impl Peer {
    /// Opens the socket and nothing more.
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            unread: Vec::new(),
            waiting: BTreeMap::new(),
            ended: false,
            frame_max: FRAME_MAX,
            start: None,
        })
    }

    /// Opens the socket and a connection on it, up to `connection.open-ok`.
    pub(crate) fn log_in(address: SocketAddr, login: &Login) -> Result<Self, String> {
        let mut peer = Self::connect(address).map_err(|error| error.to_string())?;
        peer.write(PROTOCOL_HEADER)
            .map_err(|error| error.to_string())?;
        peer.start = Some(peer.expect(0, "connection.start")?);
        let mut start_ok = blank("connection.start-ok")?;
        start_ok.fields = vec![
            Field::Table(login.properties.clone()),
            Field::Bytes(b"PLAIN".to_vec()),
            Field::Bytes(format!("\0{}\0{}", login.user, login.password).into_bytes()),
            Field::Bytes(b"en_US".to_vec()),
        ];
        peer.send_method(0, &start_ok)?;
        peer.expect(0, "connection.tune")?;
        let mut tune_ok = blank("connection.tune-ok")?;
        let proposal = [login.channel_max, login.frame_max, login.heartbeat];
        tune_ok.fields = proposal.map(Field::Int).to_vec();
        peer.send_method(0, &tune_ok)?;
        peer.frame_max = usize::try_from(login.frame_max).map_err(|error| error.to_string())?;
        let mut open = blank("connection.open")?;
        open.fields[0] = Field::Bytes(login.vhost.clone().into_bytes());
        peer.send_method(0, &open)?;
        peer.expect(0, "connection.open-ok")?;
        Ok(peer)
    }

    /// A connection of `guest` with channel 1 open.
    pub(crate) fn open(address: SocketAddr, vhost: &str) -> Result<Self, String> {
        let mut peer = Self::log_in(address, &Login::guest(vhost))?;
        peer.call(1, "channel.open", "channel.open-ok")?;
        Ok(peer)
    }

    /// Sends `question` (such as `queue.declare queue=q`) and returns the answer that follows.
    pub(crate) fn call(
        &mut self,
        channel: u16,
        question: &str,
        answer: &str,
    ) -> Result<Method, String> {
        self.send(channel, question)?;
        self.expect(channel, answer)
    }

    /// Sends a method, or methods and contents with bars between them, in one write.
    pub(crate) fn send(&mut self, channel: u16, line: &str) -> Result<(), String> {
        let phrase = term::parse(line)?;
        let mut out = Vec::new();
        for item in &phrase.items {
            self.encode(channel, item, &Captures::new(), &mut out)?;
        }
        self.write(&out).map_err(|error| error.to_string())
    }

    /// Waits for a method on this channel that matches `line`.
    pub(crate) fn expect(&mut self, channel: u16, line: &str) -> Result<Method, String> {
        let phrase = term::parse(line)?;
        let deadline = Instant::now() + phrase.within.unwrap_or(PATIENCE);
        let method = match self.next(channel, deadline) {
            Arrival::Frame(frame) if frame.kind == 1 => Method::decode(&frame.payload)?,
            other => return Err(format!("{line} expected, got {other:?}")),
        };
        let item = phrase.items.first().ok_or("nothing expected")?;
        compare::method(item, &method, &mut Captures::new())
            .map_err(|error| format!("{line} expected, but {error}: {method:?}"))?;
        Ok(method)
    }

    /// Waits for the content behind a method that carries one.
    pub(crate) fn content(&mut self, channel: u16, deadline: Instant) -> Result<Content, Arrival> {
        let frame = match self.next(channel, deadline) {
            Arrival::Frame(frame) if frame.kind == 2 => frame,
            other => return Err(other),
        };
        let header = Header::decode(&frame.payload).map_err(Arrival::Garbage)?;
        let mut body = Vec::new();
        while (body.len() as u64) < header.size {
            match self.next(channel, deadline) {
                Arrival::Frame(frame) if frame.kind == 3 => body.extend(frame.payload),
                other => return Err(other),
            }
        }
        Ok(Content { header, body })
    }

    /// Writes the frames of an item: a method, or a `content` cut to the frame size.
    pub(crate) fn encode(
        &self,
        channel: u16,
        item: &Item,
        captures: &Captures,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        if item.name != "content" {
            let method = build::method(item, captures)?;
            put_frame(out, 1, channel, &method.encode());
            return Ok(());
        }
        let (header, body) = build::content(item, captures)?;
        put_frame(out, 2, channel, &header.encode());
        let room = match self.frame_max {
            0 => FRAME_MAX,
            limit => limit.saturating_sub(FRAME_OVERHEAD).max(1),
        };
        body.chunks(room)
            .for_each(|part| put_frame(out, 3, channel, part));
        Ok(())
    }

    /// Sends one method.
    pub(crate) fn send_method(&mut self, channel: u16, method: &Method) -> Result<(), String> {
        let mut out = Vec::new();
        put_frame(&mut out, 1, channel, &method.encode());
        self.write(&out).map_err(|error| error.to_string())
    }

    /// The port of this end.
    pub(crate) fn local_port(&self) -> io::Result<u16> {
        self.stream.local_addr().map(|address| address.port())
    }

    /// Sends bytes as they are.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The next frame on `channel`; frames of other channels are kept for later.
    pub(crate) fn next(&mut self, channel: u16, deadline: Instant) -> Arrival {
        loop {
            if let Some(frame) = self.waiting.get_mut(&channel).and_then(VecDeque::pop_front) {
                return Arrival::Frame(frame);
            }
            match self.read_frame(deadline) {
                Ok(frame) if frame.kind == 8 && channel != 0 => {}
                Ok(frame) if frame.channel == channel => return Arrival::Frame(frame),
                Ok(frame) if is_connection_close(&frame) => return Arrival::Closing(frame),
                Ok(frame) => self.keep(frame),
                Err(arrival) => return arrival,
            }
        }
    }

    /// The next frame on any channel, kept ones first.
    pub(crate) fn next_anywhere(&mut self, deadline: Instant) -> Arrival {
        let kept = self.waiting.values_mut().find_map(VecDeque::pop_front);
        match kept.map_or_else(|| self.read_frame(deadline), Ok) {
            Ok(frame) => Arrival::Frame(frame),
            Err(arrival) => arrival,
        }
    }

    /// Puts a frame back in front of what its channel still holds.
    pub(crate) fn put_back(&mut self, frame: Frame) {
        self.waiting
            .entry(frame.channel)
            .or_default()
            .push_front(frame);
    }

    /// Exactly `count` raw bytes.
    pub(crate) fn raw(&mut self, count: usize, deadline: Instant) -> Result<Vec<u8>, Arrival> {
        while self.unread.len() < count {
            self.fill(deadline)?;
        }
        Ok(self.unread.drain(..count).collect())
    }

    /// Closes the socket without a word.
    pub(crate) fn hang_up(&mut self) {
        // A socket that the broker has closed already cannot be shut down: it is what was wanted.
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        self.ended = true;
    }

    fn keep(&mut self, frame: Frame) {
        self.waiting
            .entry(frame.channel)
            .or_default()
            .push_back(frame);
    }

    fn read_frame(&mut self, deadline: Instant) -> Result<Frame, Arrival> {
        loop {
            if let Some(frame) = self.cut()? {
                return Ok(frame);
            }
            self.fill(deadline)?;
        }
    }

    fn cut(&mut self) -> Result<Option<Frame>, Arrival> {
        let Some(head) = self.unread.first_chunk::<7>() else {
            return Ok(None);
        };
        let (kind, channel) = (head[0], u16::from_be_bytes([head[1], head[2]]));
        let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
        let whole = size + FRAME_OVERHEAD;
        if head.starts_with(b"AMQP") || (self.frame_max > 0 && whole > self.frame_max) {
            let came = String::from_utf8_lossy(&self.unread).into_owned();
            return Err(Arrival::Garbage(format!(
                "a frame of {whole} bytes, or {came:?}"
            )));
        }
        if self.unread.len() < whole {
            return Ok(None);
        }
        let bytes: Vec<u8> = self.unread.drain(..whole).collect();
        if bytes.last() != Some(&FRAME_END) {
            return Err(Arrival::Garbage("a frame without its end byte".to_owned()));
        }
        Ok(Some(Frame {
            kind,
            channel,
            payload: bytes[7..whole - 1].to_vec(),
        }))
    }

    fn fill(&mut self, deadline: Instant) -> Result<(), Arrival> {
        if self.ended {
            return Err(Arrival::Eof);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Arrival::Silence);
        }
        let mut bytes = [0; 65_536];
        let read = self
            .stream
            .set_read_timeout(Some(left))
            .and_then(|()| self.stream.read(&mut bytes));
        match read {
            Ok(0) => self.ended = true,
            Ok(count) => self.unread.extend_from_slice(&bytes[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // A reset is how a socket ends when the peer had unread bytes.
            Err(_) => self.ended = true,
        }
        Ok(())
    }
}

/// A message's header and body.
#[derive(Clone, Debug)]
pub(crate) struct Content {
    /// The content header.
    pub(crate) header: Header,
    /// The body, put together from its frames.
    pub(crate) body: Vec<u8>,
}

/// Appends a frame.
pub(crate) fn put_frame(out: &mut Vec<u8>, kind: u8, channel: u16, payload: &[u8]) {
    out.push(kind);
    out.extend_from_slice(&channel.to_be_bytes());
    out.extend_from_slice(
        &u32::try_from(payload.len())
            .unwrap_or(u32::MAX)
            .to_be_bytes(),
    );
    out.extend_from_slice(payload);
    out.push(FRAME_END);
}

fn blank(name: &str) -> Result<Method, String> {
    let item = Item {
        name: name.to_owned(),
        ..Item::default()
    };
    build::method(&item, &Captures::new())
}

fn is_connection_close(frame: &Frame) -> bool {
    frame.kind == 1 && frame.channel == 0 && frame.payload.starts_with(&[0, 10, 0, 50])
}

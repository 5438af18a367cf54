//! One AMQP connection over a blocking socket: handshake, channels, and calls that wait for their
//! answer. Owns the negotiated frame size and turns every close into an error with its text.
//! Never carries the load itself: publishers and consumers take the socket and the read buffer.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};

use super::error::PerfError;
use super::uri::Uri;
use super::walk::Inbound;
use super::wire::*;

/// An open connection with what has been read ahead.
pub(super) struct Connection {
    stream: TcpStream,
    inbound: Inbound,
    frame_max: usize,
}

/// A method as it came in.
struct Received {
    channel: u16,
    id: MethodId,
    arguments: Vec<u8>,
}

/// How a connection is made, beyond its URI.
#[derive(Clone, Copy, Default)]
pub(super) struct Dial {
    /// The local address to come from.
    pub(super) source: Option<IpAddr>,
    /// Size of the kernel's receive buffer, when not its own choice.
    pub(super) receive_buffer: Option<usize>,
}

impl Connection {
    /// Connects, authenticates with PLAIN and opens the vhost, without heartbeats.
    pub(super) fn open(uri: &Uri, dial: Dial) -> Result<Self, PerfError> {
        let stream = connect(uri, dial)?;
        let inbound = Inbound::with_capacity(HANDSHAKE_BUFFER);
        let mut connection = Connection {
            stream,
            inbound,
            frame_max: FRAME_MAX,
        };
        connection.handshake(uri)?;
        Ok(connection)
    }

    fn handshake(&mut self, uri: &Uri) -> Result<(), PerfError> {
        self.send(PROTOCOL_HEADER)?;
        let deadline = Instant::now() + CALL_TIMEOUT;
        self.expect(0, CONNECTION_START, deadline)?;
        self.send_method(0, CONNECTION_START_OK, &start_ok(uri))?;
        let tune = self.expect(0, CONNECTION_TUNE, deadline)?;
        let mut fields = Fields(&tune);
        let (channel_max, frame_max) = (fields.short()?, fields.long()? as usize);
        // Zero means "no limit" and is answered with a limit of our own.
        self.frame_max = if frame_max == 0 {
            FRAME_MAX
        } else {
            frame_max.min(FRAME_MAX)
        };
        let tune_ok = Arguments::new()
            .short(channel_max)
            .long(self.frame_max as u32)
            .short(0);
        self.send_method(0, CONNECTION_TUNE_OK, &tune_ok)?;
        let open = Arguments::new().name(&uri.vhost).octet(0).octet(0);
        self.call(0, CONNECTION_OPEN, &open, CONNECTION_OPEN_OK)?;
        Ok(())
    }

    /// Opens a channel.
    pub(super) fn open_channel(&mut self, channel: u16) -> Result<(), PerfError> {
        let arguments = Arguments::new().octet(0);
        self.call(channel, CHANNEL_OPEN, &arguments, CHANNEL_OPEN_OK)
            .map(drop)
    }

    /// Sends a method and waits for its answer, whose arguments it returns.
    pub(super) fn call(
        &mut self,
        channel: u16,
        id: MethodId,
        arguments: &Arguments,
        answer: MethodId,
    ) -> Result<Vec<u8>, PerfError> {
        self.send_method(channel, id, arguments)?;
        self.expect(channel, answer, Instant::now() + CALL_TIMEOUT)
    }

    /// Says goodbye and waits briefly; what still arrives meanwhile is thrown away.
    pub(super) fn close(mut self) {
        if self.send_close().is_ok() {
            self.await_close_ok(Instant::now() + CLOSE_TIMEOUT);
        }
    }

    /// The first half of a close, for those that close many connections at once.
    pub(super) fn send_close(&mut self) -> Result<(), PerfError> {
        let goodbye = Arguments::new().short(200).octet(0).short(0).short(0);
        self.send_method(0, CONNECTION_CLOSE, &goodbye)
    }

    /// The second half of a close: reads until close-ok, the end of the stream or the deadline.
    pub(super) fn await_close_ok(&mut self, deadline: Instant) {
        loop {
            match self.receive(deadline) {
                Ok(received) if received.id == CONNECTION_CLOSE_OK => return,
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }

    /// The negotiated largest frame.
    pub(super) fn frame_max(&self) -> usize {
        self.frame_max
    }

    /// The socket and the bytes that were read ahead: a fast broker's first deliveries may be
    /// among them.
    pub(super) fn parts(&mut self) -> (&mut TcpStream, &mut Inbound) {
        (&mut self.stream, &mut self.inbound)
    }

    /// A second handle of the socket.
    pub(super) fn second_handle(&self) -> Result<TcpStream, PerfError> {
        self.stream
            .try_clone()
            .map_err(|e| PerfError::socket("duplicating a socket", e))
    }

    /// Gives back the read buffer of a connection that will stay idle.
    pub(super) fn shrink(&mut self) {
        self.inbound.resize(0);
    }

    fn send_method(
        &mut self,
        channel: u16,
        id: MethodId,
        arguments: &Arguments,
    ) -> Result<(), PerfError> {
        let mut frame = Vec::with_capacity(64);
        method_frame(&mut frame, channel, id, arguments.bytes());
        self.send(&frame)
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), PerfError> {
        self.stream
            .write_all(bytes)
            .map_err(|e| PerfError::socket("sending a method", e))
    }

    fn expect(
        &mut self,
        channel: u16,
        answer: MethodId,
        deadline: Instant,
    ) -> Result<Vec<u8>, PerfError> {
        loop {
            let received = self.receive(deadline)?;
            match received.id {
                id if id == answer && received.channel == channel => return Ok(received.arguments),
                CONNECTION_CLOSE => {
                    let _ = self.send_method(0, CONNECTION_CLOSE_OK, &Arguments::new());
                    return Err(close_reason(received.id, &received.arguments));
                }
                CHANNEL_CLOSE => {
                    self.send_method(received.channel, CHANNEL_CLOSE_OK, &Arguments::new())?;
                    return Err(close_reason(received.id, &received.arguments));
                }
                CONNECTION_BLOCKED | CONNECTION_UNBLOCKED => {}
                MethodId(class, method) => {
                    return Err(PerfError::Protocol(format!(
                        "method {class}.{method} in place of {}.{}",
                        answer.0, answer.1
                    )));
                }
            }
        }
    }

    /// The next method frame; heartbeats and content are passed over.
    fn receive(&mut self, deadline: Instant) -> Result<Received, PerfError> {
        loop {
            if let Some((received, bytes)) = self.cut()? {
                self.inbound.consume(bytes);
                match received {
                    Some(received) => return Ok(received),
                    None => continue,
                }
            }
            self.fill_until(deadline)?;
        }
    }

    /// Cuts one frame: its method, if it is one, and its length.
    fn cut(&self) -> Result<Option<(Option<Received>, usize)>, PerfError> {
        let unread = self.inbound.unread();
        let Some(&[kind, c0, c1, a, b, c, d]) = unread.first_chunk() else {
            return Ok(None);
        };
        // Before anything else a broker may answer with the protocol header it would speak.
        if unread.starts_with(b"AMQP") {
            return Err(PerfError::Protocol(
                "it does not speak AMQP 0-9-1".to_owned(),
            ));
        }
        let bytes = u32::from_be_bytes([a, b, c, d]) as usize + FRAME_OVERHEAD;
        if bytes > self.frame_max.max(FRAME_MAX) {
            return Err(PerfError::Protocol(
                "a frame larger than frame_max".to_owned(),
            ));
        }
        let Some(frame) = unread.get(..bytes) else {
            return Ok(None);
        };
        if kind != FRAME_METHOD {
            return Ok(Some((None, bytes)));
        }
        let mut fields = Fields(&frame[7..bytes - 1]);
        let id = MethodId(fields.short()?, fields.short()?);
        let channel = u16::from_be_bytes([c0, c1]);
        Ok(Some((
            Some(Received {
                channel,
                id,
                arguments: fields.0.to_vec(),
            }),
            bytes,
        )))
    }

    fn fill_until(&mut self, deadline: Instant) -> Result<(), PerfError> {
        let left = deadline.saturating_duration_since(Instant::now());
        let stalled = || PerfError::Stalled {
            waiting_for: "waiting for the broker's answer".to_owned(),
            seconds: CALL_TIMEOUT.as_secs(),
        };
        if left.is_zero() {
            return Err(stalled());
        }
        let during = "waiting for an answer";
        // A zero time-out would mean "none".
        let timeout = Some(left.max(Duration::from_millis(1)));
        self.stream
            .set_read_timeout(timeout)
            .map_err(|e| PerfError::socket(during, e))?;
        match self.inbound.fill(&mut self.stream) {
            Ok(0) => Err(PerfError::Dropped("an answer was awaited")),
            Ok(_) => Ok(()),
            Err(error) if is_timeout(&error) => Err(stalled()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(PerfError::socket(during, error)),
        }
    }
}

/// Whether a blocking call ended because its time was up.
pub(super) fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

fn start_ok(uri: &Uri) -> Arguments {
    let capabilities = Table::new()
        .flag("authentication_failure_close")
        .flag("connection.blocked")
        .flag("consumer_cancel_notify")
        .flag("basic.nack")
        .flag("publisher_confirms");
    let properties = Table::new()
        .text("product", "leveret perf")
        .text("version", env!("CARGO_PKG_VERSION"))
        .nested("capabilities", capabilities);
    let response = format!("\0{}\0{}", uri.user, uri.password);
    Arguments::new()
        .table(properties)
        .word("PLAIN")
        .longstr(response.as_bytes())
        .word("en_US")
}

fn connect(uri: &Uri, dial: Dial) -> Result<TcpStream, PerfError> {
    let failed = |source| PerfError::Connect {
        address: format!("{}:{}", uri.host, uri.port),
        source,
    };
    let addresses = (uri.host.as_str(), uri.port)
        .to_socket_addrs()
        .map_err(failed)?;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match connect_to(address, dial) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}

fn connect_to(address: SocketAddr, dial: Dial) -> io::Result<TcpStream> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if let Some(source) = dial.source {
        socket.bind(&SocketAddr::new(source, 0).into())?;
    }
    if let Some(bytes) = dial.receive_buffer {
        // Before the connection: the window scale is fixed by then.
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.connect_timeout(&address.into(), CALL_TIMEOUT)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_write_timeout(Some(CALL_TIMEOUT))?;
    Ok(socket.into())
}

/// How long a broker may take to answer one method.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(15);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// The largest frame asked for, RabbitMQ's default.
const FRAME_MAX: usize = 131_072;
const HANDSHAKE_BUFFER: usize = 4096;

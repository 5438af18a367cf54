//! One AMQP connection over a blocking socket: handshake, channels, and calls that wait for their
//! answer. Owns the negotiated frame size and turns every close into an error with its text.
//! Never carries the load itself: publishers and consumers take the socket and the read buffer.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

use amqp_codec::{
    Cut, FRAME_OVERHEAD, FieldValue, FrameKind, Method, MethodId, PROTOCOL_HEADER, channel,
    connection, cut,
};
use socket2::{Domain, Protocol, Socket, Type};

use super::error::PerfError;
use super::uri::Uri;
use super::walk::Inbound;
use super::wire::{close_reason, goodbye, put, table, unexpected};

/// An open connection with what has been read ahead.
pub(super) struct Connection {
    stream: TcpStream,
    inbound: Inbound,
    frame_max: u32,
}

/// A method as it came in.
struct Received {
    channel: u16,
    payload: Vec<u8>,
}

impl Received {
    fn id(&self) -> Result<MethodId, ()> {
        match self.payload.first_chunk() {
            Some(&[a, b, c, d]) => {
                let (class, method) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
                Ok(MethodId { class, method })
            }
            None => Err(()),
        }
    }
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
        self.send(&PROTOCOL_HEADER)?;
        let deadline = Instant::now() + CALL_TIMEOUT;
        self.expect(0, connection::Start::ID, deadline)?;
        let response = format!("\0{}\0{}", uri.user, uri.password);
        self.send_method(0, start_ok(response.as_bytes())?)?;
        let tune = self.expect(0, connection::Tune::ID, deadline)?;
        let tune = connection::Tune::decode_args(&tune).map_err(PerfError::malformed)?;
        // Zero means "no limit" and is answered with a limit of our own.
        self.frame_max = match tune.frame_max {
            0 => FRAME_MAX,
            frame_max => frame_max.min(FRAME_MAX),
        };
        let (channel_max, frame_max) = (tune.channel_max, self.frame_max);
        self.send_method(
            0,
            connection::TuneOk {
                channel_max,
                frame_max,
                heartbeat: 0,
            },
        )?;
        let open = connection::Open {
            virtual_host: &uri.vhost,
            ..Default::default()
        };
        self.call(0, open, connection::OpenOk::ID).map(drop)
    }

    /// Opens a channel.
    pub(super) fn open_channel(&mut self, number: u16) -> Result<(), PerfError> {
        self.call(number, channel::Open::default(), channel::OpenOk::ID)
            .map(drop)
    }

    /// Sends a method and waits for its answer, whose arguments it returns.
    pub(super) fn call<'m>(
        &mut self,
        channel: u16,
        method: impl Into<Method<'m>>,
        answer: MethodId,
    ) -> Result<Vec<u8>, PerfError> {
        self.send_method(channel, method)?;
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
        self.send_method(0, goodbye())
    }

    /// The second half of a close: reads until close-ok, the end of the stream or the deadline.
    /// Returns whether close-ok has come.
    pub(super) fn await_close_ok(&mut self, deadline: Instant) -> bool {
        loop {
            match self.receive(deadline) {
                Ok(received) if received.id() == Ok(connection::CloseOk::ID) => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
    }

    /// The negotiated largest frame.
    pub(super) fn frame_max(&self) -> u32 {
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

    fn send_method<'m>(
        &mut self,
        channel: u16,
        method: impl Into<Method<'m>>,
    ) -> Result<(), PerfError> {
        let mut frame = Vec::with_capacity(64);
        put(&mut frame, channel, method)?;
        self.send(&frame)
    }

    /// Sends frames as they are.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), PerfError> {
        self.stream
            .write_all(bytes)
            .map_err(|e| PerfError::socket("sending a method", e))
    }

    /// Lets `read_some` return after `interval` at the latest.
    pub(super) fn wake_often(&mut self, interval: Duration) -> Result<(), PerfError> {
        self.stream
            .set_read_timeout(Some(interval))
            .map_err(|e| PerfError::socket("preparing to read", e))
    }

    /// One read behind what is there; it may bring nothing.
    pub(super) fn read_some(&mut self) -> Result<(), PerfError> {
        match self.inbound.fill(&mut self.stream) {
            Ok(0) => Err(PerfError::Dropped("waiting for messages")),
            Ok(_) => Ok(()),
            Err(error) if is_timeout(&error) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(PerfError::socket("waiting for messages", error)),
        }
    }

    fn expect(
        &mut self,
        channel: u16,
        answer: MethodId,
        deadline: Instant,
    ) -> Result<Vec<u8>, PerfError> {
        loop {
            let mut received = self.receive(deadline)?;
            if received.channel == channel && received.id() == Ok(answer) {
                return Ok(received.payload.split_off(METHOD_ID_BYTES));
            }
            let method = Method::decode(&received.payload).map_err(PerfError::malformed)?;
            self.answer_close(received.channel, &method)?;
            match method {
                Method::ConnectionBlocked(_) | Method::ConnectionUnblocked(_) => {}
                other => return Err(unexpected(&other, &format!("in place of {answer}"))),
            }
        }
    }

    /// Answers a close of the broker and tells its reason.
    fn answer_close(&mut self, channel: u16, method: &Method<'_>) -> Result<(), PerfError> {
        let Some(reason) = close_reason(method) else {
            return Ok(());
        };
        let _sent = match method {
            Method::ChannelClose(_) => self.send_method(channel, channel::CloseOk {}),
            _ => self.send_method(0, connection::CloseOk {}),
        };
        Err(reason)
    }

    /// The next method frame; heartbeats and content are passed over.
    fn receive(&mut self, deadline: Instant) -> Result<Received, PerfError> {
        loop {
            let unread = self.inbound.unread();
            // Before anything else a broker may answer with the protocol header it would speak.
            if unread.starts_with(b"AMQP") {
                return Err(PerfError::Protocol(
                    "it does not speak AMQP 0-9-1".to_owned(),
                ));
            }
            let payload_max = self.frame_max - FRAME_OVERHEAD as u32;
            match cut(unread, payload_max).map_err(|e| PerfError::Protocol(e.to_string()))? {
                Cut::Incomplete { .. } => self.fill_until(deadline)?,
                Cut::Frame { frame, len } => {
                    let received = (frame.kind == FrameKind::Method).then(|| Received {
                        channel: frame.channel,
                        payload: frame.payload.to_vec(),
                    });
                    self.inbound.consume(len);
                    if let Some(received) = received {
                        return Ok(received);
                    }
                }
            }
        }
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

fn start_ok(response: &[u8]) -> Result<connection::StartOk<'_>, PerfError> {
    let capabilities = table(CAPABILITIES.map(|name| (name, FieldValue::Bool(true))))?;
    let text = |text: &str| FieldValue::LongString(text.as_bytes().to_vec());
    let client_properties = table([
        ("product", text("leveret perf")),
        ("version", text(env!("CARGO_PKG_VERSION"))),
        ("capabilities", FieldValue::Table(capabilities)),
    ])?;
    Ok(connection::StartOk {
        client_properties,
        mechanism: "PLAIN",
        response,
        locale: "en_US",
    })
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

/// What this client understands; without the first a broker need not say why it refuses a login.
const CAPABILITIES: [&str; 5] = [
    "authentication_failure_close",
    "connection.blocked",
    "consumer_cancel_notify",
    "basic.nack",
    "publisher_confirms",
];
/// How long a broker may take to answer one method.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(15);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// The largest frame asked for, RabbitMQ's default.
const FRAME_MAX: u32 = 131_072;
const METHOD_ID_BYTES: usize = 4;
const HANDSHAKE_BUFFER: usize = 4096;

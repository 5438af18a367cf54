//! The broker's end of connections, played by a test.
//! Owns the frames and the pleasantries of a script; never decides what is right.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use amqp_codec::{
    FRAME_END, FieldTable, FrameKind, Method, MethodId, PROTOCOL_HEADER, channel, connection, queue,
};

use super::super::block::LOAD_CHANNEL;
use super::super::connection::{Connection, Dial};
use super::super::error::PerfError;
use super::super::uri::Uri;
use super::super::wire::put;

/// The broker's end of one connection, played by a test.
pub(super) struct Peer(pub(super) TcpStream);

impl Peer {
    /// Runs `script` for the one connection that will be made to the URI it returns.
    pub(super) fn start(
        script: impl FnOnce(Peer) + Send + 'static,
    ) -> (Uri, thread::JoinHandle<()>) {
        let (listener, uri) = listen();
        let peer = thread::spawn(move || script(Peer(listener.accept().expect("a client").0)));
        (uri, peer)
    }

    /// Runs `script` for each of so many connections, with their numbers in order of arrival.
    pub(super) fn start_several(
        connections: usize,
        script: impl Fn(usize, Peer) + Send + Sync + 'static,
    ) -> (Uri, thread::JoinHandle<()>) {
        let (listener, uri) = listen();
        let peers = thread::spawn(move || {
            thread::scope(|scope| {
                for number in 0..connections {
                    let peer = Peer(listener.accept().expect("a client").0);
                    let script = &script;
                    scope.spawn(move || script(number, peer));
                }
            });
        });
        (uri, peers)
    }

    /// Answers channels, queues and the close as any broker would; shows each method first and
    /// leaves out the answer when that says so.
    pub(super) fn serve(&mut self, mut shown: impl FnMut(&mut Peer, &Method<'_>) -> bool) {
        loop {
            let payload = self.method();
            let method = Method::decode(&payload).expect("well-formed");
            if !shown(self, &method) {
                return;
            }
            match method {
                Method::ChannelOpen(_) => self.send(LOAD_CHANNEL, channel::OpenOk::default()),
                Method::QueueDeclare(declare) => {
                    let queue = declare.queue;
                    let (message_count, consumer_count) = (0, 0);
                    let ok = queue::DeclareOk {
                        queue,
                        message_count,
                        consumer_count,
                    };
                    self.send(LOAD_CHANNEL, ok);
                }
                Method::QueueBind(_) => self.send(LOAD_CHANNEL, queue::BindOk {}),
                Method::QueueDelete(_) => {
                    self.send(LOAD_CHANNEL, queue::DeleteOk { message_count: 0 });
                }
                Method::ConnectionClose(_) => return self.send(0, connection::CloseOk {}),
                other => panic!("not in the script: {}", other.id()),
            }
        }
    }

    pub(super) fn send<'m>(&mut self, channel: u16, method: impl Into<Method<'m>>) {
        let mut frame = Vec::new();
        put(&mut frame, channel, method).expect("it has an encoding");
        self.0.write_all(&frame).expect("the client reads");
    }

    pub(super) fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("the client reads");
    }

    pub(super) fn take(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.0.read_exact(&mut bytes).expect("the client writes");
        bytes
    }

    /// The next method's payload; content frames are passed over.
    pub(super) fn method(&mut self) -> Vec<u8> {
        loop {
            let head = self.take(7);
            let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
            let mut payload = self.take(size + 1);
            assert_eq!(payload.pop(), Some(FRAME_END));
            if head[0] == FrameKind::Method as u8 {
                return payload;
            }
        }
    }

    /// The payload of the next frame, which must be of this kind.
    #[track_caller]
    pub(super) fn frame(&mut self, kind: FrameKind) -> Vec<u8> {
        let head = self.take(7);
        assert_eq!(head[0], kind as u8);
        let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
        let mut payload = self.take(size + 1);
        assert_eq!(payload.pop(), Some(FRAME_END));
        payload
    }

    /// The arguments of the next method, which must be `expected`.
    #[track_caller]
    pub(super) fn expect(&mut self, expected: MethodId) -> Vec<u8> {
        let mut payload = self.method();
        let id = Method::decode(&payload).expect("well-formed").id();
        assert_eq!(id, expected);
        payload.split_off(4)
    }

    /// Everything up to connection.open-ok; returns the client's tune-ok.
    pub(super) fn welcome(&mut self, frame_max: u32) -> connection::TuneOk {
        assert_eq!(self.take(8), PROTOCOL_HEADER);
        let (mechanisms, locales) = (&b"PLAIN"[..], &b"en_US"[..]);
        let server_properties = FieldTable::new();
        let (version_major, version_minor) = (0, 9);
        self.send(
            0,
            connection::Start {
                version_major,
                version_minor,
                server_properties,
                mechanisms,
                locales,
            },
        );
        let start_ok = self.expect(connection::StartOk::ID);
        let start_ok = connection::StartOk::decode_args(&start_ok).expect("well-formed");
        assert_eq!(
            (start_ok.mechanism, start_ok.response),
            ("PLAIN", &b"\0user\0secret"[..])
        );
        self.send(
            0,
            connection::Tune {
                channel_max: 2047,
                frame_max,
                heartbeat: 60,
            },
        );
        let tune_ok = self.expect(connection::TuneOk::ID);
        let open = self.expect(connection::Open::ID);
        let open = connection::Open::decode_args(&open).expect("well-formed");
        assert_eq!(open.virtual_host, "/");
        self.send(0, connection::OpenOk::default());
        connection::TuneOk::decode_args(&tune_ok).expect("well-formed")
    }

    pub(super) fn open_channel(&mut self) {
        self.expect(channel::Open::ID);
        self.send(LOAD_CHANNEL, channel::OpenOk::default());
    }

    pub(super) fn goodbye(&mut self) {
        self.expect(connection::Close::ID);
        self.send(0, connection::CloseOk {});
    }

    pub(super) fn close(&mut self, reply_code: u16, reply_text: &str) {
        self.send(
            0,
            connection::Close {
                reply_code,
                reply_text,
                class_id: 0,
                method_id: 0,
            },
        );
    }
}

fn listen() -> (TcpListener, Uri) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let uri = format!("amqp://user:secret@127.0.0.1:{port}/%2F");
    (listener, uri.parse().expect("valid"))
}

pub(super) fn open(uri: &Uri) -> Result<Connection, PerfError> {
    Connection::open(uri, Dial::default())
}

/// Waits until `condition` holds; a scripted broker answers at once, so ten seconds mean never.
#[track_caller]
pub(super) fn eventually(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "never happened");
        thread::park_timeout(Duration::from_millis(1));
    }
}

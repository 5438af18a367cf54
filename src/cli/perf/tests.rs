//! The client against a scripted broker: what it says, what it makes of closes, and that it looks
//! at what has arrived before it waits for more.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use super::block::{Block, LOAD_CHANNEL, Shape};
use super::connection::{Connection, Dial};
use super::consumer::{self, Terms};
use super::error::PerfError;
use super::latency::Stamps;
use super::publisher::{self, Orders, Shared};
use super::stop::Stop;
use super::tally::Tally;
use super::uri::Uri;
use super::wire::*;

/// The broker's end of one connection, played by a test.
struct Peer(TcpStream);

impl Peer {
    /// Runs `script` for the one connection that will be made to the URI it returns.
    fn start(script: impl FnOnce(Peer) + Send + 'static) -> (Uri, thread::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let uri = format!("amqp://user:secret@127.0.0.1:{port}/%2F")
            .parse()
            .expect("valid");
        let peer = thread::spawn(move || script(Peer(listener.accept().expect("a client").0)));
        (uri, peer)
    }

    fn send(&mut self, channel: u16, id: MethodId, arguments: &Arguments) {
        let mut frame = Vec::new();
        method_frame(&mut frame, channel, id, arguments.bytes());
        self.0.write_all(&frame).expect("the client reads");
    }

    fn take(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.0.read_exact(&mut bytes).expect("the client writes");
        bytes
    }

    /// The next method: its channel, id and arguments; content frames are passed over.
    fn method(&mut self) -> (u16, MethodId, Vec<u8>) {
        loop {
            let head = self.take(7);
            let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
            let mut payload = self.take(size + 1);
            assert_eq!(payload.pop(), Some(FRAME_END));
            if head[0] == FRAME_METHOD {
                let mut fields = Fields(&payload);
                let id = MethodId(
                    fields.short().expect("class"),
                    fields.short().expect("method"),
                );
                return (
                    u16::from_be_bytes([head[1], head[2]]),
                    id,
                    fields.0.to_vec(),
                );
            }
        }
    }

    #[track_caller]
    fn expect(&mut self, expected: MethodId) -> Vec<u8> {
        let (_, id, arguments) = self.method();
        assert_eq!(id, expected);
        arguments
    }

    /// Everything up to connection.open-ok; returns the client's tune-ok.
    fn welcome(&mut self, frame_max: u32) -> Vec<u8> {
        assert_eq!(self.take(8), PROTOCOL_HEADER);
        let start = Arguments::new().octet(0).octet(9).table(Table::new());
        let start = start.longstr(b"PLAIN").longstr(b"en_US");
        self.send(0, CONNECTION_START, &start);
        let start_ok = self.expect(CONNECTION_START_OK);
        let response = b"\0user\0secret";
        assert!(
            start_ok
                .windows(response.len())
                .any(|bytes| bytes == response)
        );
        let tune = Arguments::new().short(2047).long(frame_max).short(60);
        self.send(0, CONNECTION_TUNE, &tune);
        let tune_ok = self.expect(CONNECTION_TUNE_OK);
        assert_eq!(self.expect(CONNECTION_OPEN), b"\x01/\0\0");
        self.send(0, CONNECTION_OPEN_OK, &Arguments::new().octet(0));
        tune_ok
    }

    fn open_channel(&mut self) {
        self.expect(CHANNEL_OPEN);
        self.send(LOAD_CHANNEL, CHANNEL_OPEN_OK, &Arguments::new().long(0));
    }

    fn goodbye(&mut self) {
        self.expect(CONNECTION_CLOSE);
        self.send(0, CONNECTION_CLOSE_OK, &Arguments::new());
    }

    fn close(&mut self, code: u16, text: &'static str) {
        let arguments = Arguments::new().short(code).word(text).short(0).short(0);
        self.send(0, CONNECTION_CLOSE, &arguments);
    }
}

fn open(uri: &Uri) -> Result<Connection, PerfError> {
    Connection::open(uri, Dial::default())
}

fn block(frame_max: usize) -> Block {
    let name = Name::new("q").expect("short");
    let (exchange, routing_key) = (&name, &name);
    Block::new(&Shape {
        exchange,
        routing_key,
        body_bytes: 16,
        persistent: false,
        frame_max,
    })
}

/// Header and body frame of a message of `block`.
const CONTENT_FRAMES: usize = 22 + 24;

/// Waits until `condition` holds; a scripted broker answers at once, so ten seconds mean never.
#[track_caller]
fn eventually(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "never happened");
        thread::park_timeout(Duration::from_millis(1));
    }
}

#[test]
fn the_smaller_frame_max_is_agreed_and_heartbeats_are_off() {
    for (offered, agreed) in [(4096u32, 4096u32), (0, 131_072), (1 << 20, 131_072)] {
        let (uri, peer) = Peer::start(move |mut peer| {
            let tune_ok = peer.welcome(offered);
            let mut fields = Fields(&tune_ok);
            assert_eq!(fields.short().expect("channel_max"), 2047);
            assert_eq!(fields.long().expect("frame_max"), agreed);
            assert_eq!(fields.short().expect("heartbeat"), 0);
            peer.goodbye();
        });
        let connection = open(&uri).expect("welcome");
        assert_eq!(connection.frame_max(), agreed as usize);
        connection.close();
        peer.join().expect("the script ran");
    }
}

#[test]
fn a_close_during_the_handshake_is_told_with_its_text() {
    let (uri, peer) = Peer::start(|mut peer| {
        assert_eq!(peer.take(8), PROTOCOL_HEADER);
        peer.close(403, "ACCESS_REFUSED - login was refused");
        assert_eq!(peer.method().1, CONNECTION_CLOSE_OK);
    });
    let error = open(&uri).map(drop).expect_err("refused");
    assert_eq!(
        error.to_string(),
        "the broker closed the connection: 403 ACCESS_REFUSED - login was refused"
    );
    peer.join().expect("the script ran");
}

#[test]
fn a_channel_close_is_answered_and_told() {
    let (uri, peer) = Peer::start(|mut peer| {
        peer.welcome(0);
        peer.expect(CHANNEL_OPEN);
        let arguments = Arguments::new()
            .short(504)
            .word("CHANNEL_ERROR")
            .short(20)
            .short(10);
        peer.send(LOAD_CHANNEL, CHANNEL_CLOSE, &arguments);
        assert_eq!(peer.method().1, CHANNEL_CLOSE_OK);
    });
    let mut connection = open(&uri).expect("welcome");
    let error = connection.open_channel(LOAD_CHANNEL).expect_err("closed");
    assert_eq!(
        error.to_string(),
        "the broker closed the channel: 504 CHANNEL_ERROR"
    );
    peer.join().expect("the script ran");
}

#[test]
fn a_peer_of_another_protocol_or_without_one_is_an_error() {
    let (uri, peer) = Peer::start(|mut peer| {
        peer.0
            .write_all(b"AMQP\x00\x01\x00\x00")
            .expect("the client reads");
        peer.take(8);
    });
    assert!(matches!(open(&uri), Err(PerfError::Protocol(_))));
    peer.join().expect("the script ran");

    let (uri, peer) = Peer::start(|mut peer| drop(peer.take(8)));
    assert!(matches!(open(&uri), Err(PerfError::Dropped(_))));
    peer.join().expect("the script ran");
}

#[test]
fn deliveries_in_the_same_packet_as_consume_ok_are_counted_and_acked() {
    let (uri, peer) = Peer::start(|mut peer| {
        peer.welcome(0);
        peer.open_channel();
        peer.expect(BASIC_QOS);
        peer.send(LOAD_CHANNEL, BASIC_QOS_OK, &Arguments::new());
        peer.expect(BASIC_CONSUME);
        let mut packet = Vec::new();
        method_frame(&mut packet, LOAD_CHANNEL, BASIC_CONSUME_OK, b"\x01c");
        for tag in 1..=5 {
            let arguments = Arguments::new()
                .word("c")
                .longlong(tag)
                .octet(0)
                .word("")
                .word("q");
            method_frame(&mut packet, LOAD_CHANNEL, BASIC_DELIVER, arguments.bytes());
            frame_head(&mut packet, FRAME_HEADER, LOAD_CHANNEL, 14);
            packet.extend([0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, FRAME_END]);
            frame_head(&mut packet, FRAME_BODY, LOAD_CHANNEL, 2);
            packet.extend([b'x', b'y', FRAME_END]);
        }
        // The whole prefetch at once and nothing afterwards.
        peer.0.write_all(&packet).expect("the client reads");
        for tag in [2u64, 4, 5] {
            let ack = peer.expect(BASIC_ACK);
            assert_eq!(ack, [tag.to_be_bytes().to_vec(), vec![1]].concat());
        }
        peer.goodbye();
    });
    let terms = Terms {
        ack_every: Some(2),
        prefetch: 5,
        stamped: false,
    };
    let mut connection = open(&uri).expect("welcome");
    consumer::subscribe(&mut connection, &Name::new("q").expect("short"), terms).expect("ok");
    let (stop, stamps, tally) = (Stop::default(), Stamps::new(), Tally::default());
    thread::scope(|scope| {
        let counting = scope.spawn(|| consumer::count(connection, terms, &stop, &stamps, &tally));
        eventually(|| tally.delivered.load(Relaxed) == 5);
        stop.end();
        counting.join().expect("no panic").expect("no error");
    });
    assert_eq!(tally.delivered_bytes.load(Relaxed), 10);
    peer.join().expect("the script ran");
}

#[test]
fn a_publisher_never_exceeds_its_window_and_ends_with_the_last_confirm() {
    let (uri, peer) = Peer::start(|mut peer| {
        peer.welcome(0);
        peer.open_channel();
        peer.expect(CONFIRM_SELECT);
        peer.send(LOAD_CHANNEL, CONFIRM_SELECT_OK, &Arguments::new());
        let mut received = 0u64;
        // Window 4, answered in fours and at last in two: a fifth publish would come unasked.
        for settle in [4u64, 4, 2] {
            for _ in 0..settle {
                peer.expect(BASIC_PUBLISH);
                peer.take(CONTENT_FRAMES);
                received += 1;
            }
            peer.0.set_read_timeout(Some(Duration::from_millis(50))).expect("a socket");
            assert!(received == 10 || peer.0.read(&mut [0]).is_err(), "nothing beyond the window");
            peer.0.set_read_timeout(None).expect("a socket");
            let (id, bits) = if received == 8 {
                (BASIC_NACK, 1)
            } else {
                (BASIC_ACK, 1)
            };
            peer.send(
                LOAD_CHANNEL,
                id,
                &Arguments::new().longlong(received).octet(bits),
            );
        }
        peer.goodbye();
    });
    let connection = publisher::prepare(open(&uri).expect("welcome"), true).expect("ok");
    let (stop, stamps, tally) = (Stop::default(), Stamps::new(), Tally::default());
    let orders = Orders {
        window: Some(4),
        quota: 10,
        pace: None,
        stamped: false,
    };
    let shared = Shared {
        stop: &stop,
        stamps: &stamps,
        tally: &tally,
    };
    publisher::publish(connection, block(131_072), &orders, &shared).expect("no error");
    assert_eq!(tally.published.load(Relaxed), 10);
    assert_eq!(tally.settled.load(Relaxed), 10);
    assert_eq!(tally.nacked.load(Relaxed), 4);
    peer.join().expect("the script ran");
}

#[test]
fn a_close_in_the_middle_of_publishing_is_told_with_its_text() {
    let (uri, peer) = Peer::start(|mut peer| {
        peer.welcome(0);
        peer.open_channel();
        peer.expect(BASIC_PUBLISH);
        peer.close(320, "CONNECTION_FORCED - broker forced connection closure");
        // As RabbitMQ does: the rest is read and thrown away until the client goes.
        while peer.0.read(&mut [0; 65_536]).is_ok_and(|read| read > 0) {}
    });
    let connection = publisher::prepare(open(&uri).expect("welcome"), false).expect("ok");
    let (stop, stamps, tally) = (Stop::default(), Stamps::new(), Tally::default());
    let orders = Orders {
        window: None,
        quota: u64::MAX,
        pace: None,
        stamped: false,
    };
    let shared = Shared {
        stop: &stop,
        stamps: &stamps,
        tally: &tally,
    };
    let error = publisher::publish(connection, block(131_072), &orders, &shared).map(drop);
    assert_eq!(
        error.expect_err("closed").to_string(),
        "the broker closed the connection: 320 CONNECTION_FORCED - broker forced connection closure"
    );
    peer.join().expect("the script ran");
}

#[test]
fn a_publisher_whose_bytes_nobody_takes_ends_with_the_run() {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let (uri, peer) = Peer::start(move |mut peer| {
        peer.welcome(0);
        peer.open_channel();
        // Reads nothing any more and keeps the socket open until the test is through.
        assert!(held.recv().is_err());
    });
    let connection = publisher::prepare(open(&uri).expect("welcome"), false).expect("ok");
    let (stop, stamps, tally) = (Stop::default(), Stamps::new(), Tally::default());
    let orders = Orders {
        window: None,
        quota: u64::MAX,
        pace: None,
        stamped: false,
    };
    let shared = Shared {
        stop: &stop,
        stamps: &stamps,
        tally: &tally,
    };
    thread::scope(|scope| {
        let publishing =
            scope.spawn(|| publisher::publish(connection, block(131_072), &orders, &shared));
        eventually(|| tally.published.load(Relaxed) > 1000);
        stop.end();
        publishing
            .join()
            .expect("no panic")
            .expect("an abandoned block is no error");
    });
    drop(release);
    peer.join().expect("the script ran");
}

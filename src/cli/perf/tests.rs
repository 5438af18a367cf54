//! The client against a scripted broker: what it says, what it makes of closes, and that it looks
//! at what has arrived before it waits for more.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use amqp_codec::{
    FRAME_END, FieldTable, FrameKind, Method, MethodId, PROTOCOL_HEADER, basic, channel, confirm,
    connection, put_content,
};

use super::block::{Block, LOAD_CHANNEL, Shape};
use super::connection::{Connection, Dial};
use super::consumer::{self, Terms};
use super::error::PerfError;
use super::latency::Stamps;
use super::publisher::{self, Orders, Shared};
use super::stop::Stop;
use super::tally::Tally;
use super::uri::Uri;
use super::wire::put;

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

    fn send<'m>(&mut self, channel: u16, method: impl Into<Method<'m>>) {
        let mut frame = Vec::new();
        put(&mut frame, channel, method).expect("it has an encoding");
        self.0.write_all(&frame).expect("the client reads");
    }

    fn take(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.0.read_exact(&mut bytes).expect("the client writes");
        bytes
    }

    /// The next method's payload; content frames are passed over.
    fn method(&mut self) -> Vec<u8> {
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

    /// The arguments of the next method, which must be `expected`.
    #[track_caller]
    fn expect(&mut self, expected: MethodId) -> Vec<u8> {
        let mut payload = self.method();
        let id = Method::decode(&payload).expect("well-formed").id();
        assert_eq!(id, expected);
        payload.split_off(4)
    }

    /// Everything up to connection.open-ok; returns the client's tune-ok.
    fn welcome(&mut self, frame_max: u32) -> connection::TuneOk {
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

    fn open_channel(&mut self) {
        self.expect(channel::Open::ID);
        self.send(LOAD_CHANNEL, channel::OpenOk::default());
    }

    fn goodbye(&mut self) {
        self.expect(connection::Close::ID);
        self.send(0, connection::CloseOk {});
    }

    fn close(&mut self, reply_code: u16, reply_text: &str) {
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

fn open(uri: &Uri) -> Result<Connection, PerfError> {
    Connection::open(uri, Dial::default())
}

fn block(frame_max: u32) -> Block {
    let (exchange, routing_key, body_bytes, persistent) = ("", "q", 16, false);
    Block::new(&Shape {
        exchange,
        routing_key,
        body_bytes,
        persistent,
        frame_max,
    })
    .expect("it has an encoding")
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
            let expected = connection::TuneOk {
                channel_max: 2047,
                frame_max: agreed,
                heartbeat: 0,
            };
            assert_eq!(tune_ok, expected);
            peer.goodbye();
        });
        let connection = open(&uri).expect("welcome");
        assert_eq!(connection.frame_max(), agreed);
        connection.close();
        peer.join().expect("the script ran");
    }
}

#[test]
fn a_close_during_the_handshake_is_told_with_its_text() {
    let (uri, peer) = Peer::start(|mut peer| {
        assert_eq!(peer.take(8), PROTOCOL_HEADER);
        peer.close(403, "ACCESS_REFUSED - login was refused");
        peer.expect(connection::CloseOk::ID);
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
        peer.expect(channel::Open::ID);
        let (reply_code, reply_text) = (504, "CHANNEL_ERROR");
        let close = channel::Close {
            reply_code,
            reply_text,
            class_id: 20,
            method_id: 10,
        };
        peer.send(LOAD_CHANNEL, close);
        peer.expect(channel::CloseOk::ID);
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
        peer.expect(basic::Qos::ID);
        peer.send(LOAD_CHANNEL, basic::QosOk {});
        peer.expect(basic::Consume::ID);
        let mut packet = Vec::new();
        let ok = basic::ConsumeOk { consumer_tag: "c" };
        put(&mut packet, LOAD_CHANNEL, ok).expect("it has an encoding");
        for delivery_tag in 1..=5 {
            let deliver = basic::Deliver {
                delivery_tag,
                ..Default::default()
            };
            put(&mut packet, LOAD_CHANNEL, deliver).expect("it has an encoding");
            put_content(&mut packet, LOAD_CHANNEL, &[0, 0], b"xy", 4096);
        }
        // The whole prefetch at once and nothing afterwards.
        peer.0.write_all(&packet).expect("the client reads");
        for delivery_tag in [2, 4, 5] {
            let ack = peer.expect(basic::Ack::ID);
            let ack = basic::Ack::decode_args(&ack).expect("well-formed");
            assert_eq!(
                ack,
                basic::Ack {
                    delivery_tag,
                    multiple: true
                }
            );
        }
        peer.goodbye();
    });
    let terms = Terms {
        ack_every: Some(2),
        prefetch: 5,
        stamped: false,
    };
    let mut connection = open(&uri).expect("welcome");
    consumer::subscribe(&mut connection, "q", terms).expect("ok");
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
        peer.expect(confirm::Select::ID);
        peer.send(LOAD_CHANNEL, confirm::SelectOk {});
        let mut received = 0u64;
        // Window 4, answered in fours and at last in two: a fifth publish would come unasked.
        for settle in [4u64, 4, 2] {
            for _ in 0..settle {
                peer.expect(basic::Publish::ID);
                peer.take(CONTENT_FRAMES);
                received += 1;
            }
            peer.0
                .set_read_timeout(Some(Duration::from_millis(50)))
                .expect("a socket");
            assert!(
                received == 10 || peer.0.read(&mut [0]).is_err(),
                "nothing beyond the window"
            );
            peer.0.set_read_timeout(None).expect("a socket");
            let (delivery_tag, multiple, requeue) = (received, true, false);
            let nack = basic::Nack {
                delivery_tag,
                multiple,
                requeue,
            };
            match received {
                8 => peer.send(LOAD_CHANNEL, nack),
                _ => peer.send(
                    LOAD_CHANNEL,
                    basic::Ack {
                        delivery_tag,
                        multiple,
                    },
                ),
            }
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
        peer.expect(basic::Publish::ID);
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

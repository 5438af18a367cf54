//! Publishers: windows, confirms, the time they take, and what ends a connection in the middle.

use std::io::Read;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use amqp_codec::{basic, confirm};

use super::super::block::{Block, LOAD_CHANNEL, Shape};
use super::super::latency::{Latencies, Stamps};
use super::super::publisher::{self, Orders, Shared};
use super::super::stop::Stop;
use super::super::tally::Tally;
use super::peer::{Peer, eventually, open};

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

fn orders(window: Option<u64>, quota: u64) -> Orders {
    Orders {
        window,
        quota,
        pace: None,
        stamped: false,
        timed: false,
        keys: None,
        seal: None,
        more_channels: 0,
    }
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
    let orders = orders(Some(4), 10);
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
    let orders = orders(None, u64::MAX);
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
    let orders = orders(None, u64::MAX);
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

/// Publishes six messages whose confirms take `PATIENCE` and tells how long they seemed to take.
fn confirm_times(window: u64) -> Latencies {
    let (uri, peer) = Peer::start(move |mut peer| {
        peer.welcome(0);
        peer.open_channel();
        peer.expect(confirm::Select::ID);
        peer.send(LOAD_CHANNEL, confirm::SelectOk {});
        for batch in 1..=6 / window {
            for _ in 0..window {
                peer.expect(basic::Publish::ID);
                peer.take(CONTENT_FRAMES);
            }
            peer.0.set_read_timeout(Some(PATIENCE)).expect("a socket");
            let next = peer.0.read(&mut [0]);
            assert!(next.is_err(), "nothing comes beyond the window");
            peer.0.set_read_timeout(None).expect("a socket");
            let (delivery_tag, multiple) = (batch * window, window > 1);
            let ack = basic::Ack {
                delivery_tag,
                multiple,
            };
            peer.send(LOAD_CHANNEL, ack);
        }
        peer.goodbye();
    });
    let connection = publisher::prepare(open(&uri).expect("welcome"), true).expect("ok");
    let (stop, stamps, tally) = (Stop::default(), Stamps::new(), Tally::default());
    stamps.open_window();
    let orders = Orders {
        timed: true,
        ..orders(Some(window), 6)
    };
    let shared = Shared {
        stop: &stop,
        stamps: &stamps,
        tally: &tally,
    };
    let published = publisher::publish(connection, block(131_072), &orders, &shared);
    assert_eq!(tally.settled.load(Relaxed), 6);
    peer.join().expect("the script ran");
    let latencies = published.expect("no error").confirm_latencies;
    latencies.expect("they were asked for")
}

#[test]
fn the_time_of_each_confirm_is_measured_with_one_publish_open_and_with_several() {
    for window in [1, 3] {
        let times = confirm_times(window).summary().expect("samples");
        assert_eq!(times.samples, 6);
        // The clock may be coarser than the wait.
        let expected = PATIENCE.as_micros() as f64 * 0.9;
        assert!(times.p50 > expected, "window {window}: {times:?}");
    }
}

#[test]
fn publishes_before_the_measured_window_are_not_timed() {
    let (stamps, tally, stop) = (Stamps::new(), Tally::default(), Stop::default());
    let (uri, peer) = Peer::start(|mut peer| {
        peer.welcome(0);
        peer.open_channel();
        peer.expect(confirm::Select::ID);
        peer.send(LOAD_CHANNEL, confirm::SelectOk {});
        peer.expect(basic::Publish::ID);
        peer.take(CONTENT_FRAMES);
        let (delivery_tag, multiple) = (1, false);
        let ack = basic::Ack {
            delivery_tag,
            multiple,
        };
        peer.send(LOAD_CHANNEL, ack);
        peer.goodbye();
    });
    let connection = publisher::prepare(open(&uri).expect("welcome"), true).expect("ok");
    let orders = Orders {
        timed: true,
        ..orders(Some(1), 1)
    };
    let shared = Shared {
        stop: &stop,
        stamps: &stamps,
        tally: &tally,
    };
    let published = publisher::publish(connection, block(131_072), &orders, &shared);
    let latencies = published.expect("no error").confirm_latencies;
    assert!(latencies.is_some_and(|times| times.summary().is_none()));
    peer.join().expect("the script ran");
}

#[test]
fn a_close_in_place_of_the_only_open_confirm_is_told_with_its_text() {
    let (uri, peer) = Peer::start(|mut peer| {
        peer.welcome(0);
        peer.open_channel();
        peer.expect(confirm::Select::ID);
        peer.send(LOAD_CHANNEL, confirm::SelectOk {});
        peer.expect(basic::Publish::ID);
        peer.close(541, "INTERNAL_ERROR");
    });
    let connection = publisher::prepare(open(&uri).expect("welcome"), true).expect("ok");
    let (stop, stamps, tally) = (Stop::default(), Stamps::new(), Tally::default());
    let shared = Shared {
        stop: &stop,
        stamps: &stamps,
        tally: &tally,
    };
    let published = publisher::publish(connection, block(131_072), &orders(Some(1), 9), &shared);
    assert_eq!(
        published.map(drop).expect_err("closed").to_string(),
        "the broker closed the connection: 541 INTERNAL_ERROR"
    );
    peer.join().expect("the script ran");
}

#[test]
fn a_publisher_whose_only_open_confirm_never_comes_ends_with_the_run() {
    let (uri, peer) = Peer::start(|mut peer| {
        peer.welcome(0);
        peer.open_channel();
        peer.expect(confirm::Select::ID);
        peer.send(LOAD_CHANNEL, confirm::SelectOk {});
        peer.expect(basic::Publish::ID);
        peer.take(CONTENT_FRAMES);
        peer.goodbye();
    });
    let connection = publisher::prepare(open(&uri).expect("welcome"), true).expect("ok");
    let (stop, stamps, tally) = (Stop::default(), Stamps::new(), Tally::default());
    let (orders, shared) = (
        orders(Some(1), 9),
        Shared {
            stop: &stop,
            stamps: &stamps,
            tally: &tally,
        },
    );
    thread::scope(|scope| {
        let publishing =
            scope.spawn(|| publisher::publish(connection, block(131_072), &orders, &shared));
        eventually(|| tally.published.load(Relaxed) == 1);
        stop.end();
        let published = publishing.join().expect("no panic");
        published.expect("a confirm that is not awaited any more is no error");
    });
    peer.join().expect("the script ran");
}

#[test]
fn several_channels_take_blocks_in_turn_and_count_their_confirms_alone() {
    let (uri, peer) = Peer::start(|mut peer| {
        peer.welcome(0);
        for channel in 1..=2 {
            peer.expect(amqp_codec::channel::Open::ID);
            peer.send(channel, amqp_codec::channel::OpenOk::default());
            peer.expect(confirm::Select::ID);
            peer.send(channel, confirm::SelectOk {});
        }
        // A window of one: a publish on each channel, and each is the first of its channel.
        for channel in 1..=2 {
            let head = peer.take(7);
            assert_eq!(head[1..3], [0, channel]);
            let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
            peer.take(size + 1 + CONTENT_FRAMES);
            let (delivery_tag, multiple) = (1, false);
            let ack = basic::Ack {
                delivery_tag,
                multiple,
            };
            peer.send(u16::from(channel), ack);
        }
        peer.goodbye();
    });
    let connection = open(&uri).expect("welcome");
    let connection = publisher::prepare_channels(connection, true, 1).expect("ok");
    let (stop, stamps, tally) = (Stop::default(), Stamps::new(), Tally::default());
    let orders = Orders {
        more_channels: 1,
        ..orders(Some(1), 2)
    };
    let shared = Shared {
        stop: &stop,
        stamps: &stamps,
        tally: &tally,
    };
    publisher::publish(connection, block(131_072), &orders, &shared).expect("no error");
    assert_eq!(tally.settled.load(Relaxed), 2);
    peer.join().expect("the script ran");
}

/// How long the scripted broker lets a full window wait.
const PATIENCE: Duration = Duration::from_millis(50);

//! The client against a scripted broker: what it says, what it makes of closes, and that it looks
//! at what has arrived before it waits for more.

mod asking;
mod churning;
mod declaring;
mod draining;
mod peer;
mod publishing;

use std::io::Write;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use amqp_codec::{PROTOCOL_HEADER, basic, channel, connection, put_content};

use super::block::LOAD_CHANNEL;
use super::consumer::{self, Terms};
use super::error::PerfError;
use super::latency::Stamps;
use super::stop::Stop;
use super::tally::Tally;
use super::wire::put;
use peer::{Peer, eventually, open};

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
        pace: None,
        more_channels: 0,
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

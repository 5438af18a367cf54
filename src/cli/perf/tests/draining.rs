//! A drain: nothing is published, and the run ends with the last of so many deliveries.

use amqp_codec::{Method, basic, connection, put_content};

use super::super::args::tests::accepted;
use super::super::block::LOAD_CHANNEL;
use super::super::load;
use super::super::stop::Stop;
use super::super::wire::put;
use super::peer::Peer;

/// Gets a consumer and gives it seven messages.
fn feed(mut peer: Peer) {
    peer.open_channel();
    peer.expect(basic::Qos::ID);
    peer.send(LOAD_CHANNEL, basic::QosOk {});
    peer.expect(basic::Consume::ID);
    let consumer_tag = "c";
    peer.send(LOAD_CHANNEL, basic::ConsumeOk { consumer_tag });
    for delivery_tag in 1..=7 {
        let deliver = basic::Deliver {
            delivery_tag,
            ..Default::default()
        };
        let mut message = Vec::new();
        put(&mut message, LOAD_CHANNEL, deliver).expect("it has an encoding");
        put_content(&mut message, LOAD_CHANNEL, &[0, 0], b"xyz", 4096);
        peer.write(&message);
    }
    for delivery_tag in [3, 6, 7] {
        let ack = peer.expect(basic::Ack::ID);
        let ack = basic::Ack::decode_args(&ack).expect("well-formed");
        assert_eq!((ack.delivery_tag, ack.multiple), (delivery_tag, true));
    }
    peer.expect(connection::Close::ID);
    peer.send(0, connection::CloseOk {});
}

#[test]
fn a_drain_ends_with_its_last_delivery_and_leaves_the_queue_there() {
    let (uri, peers) = Peer::start_several(3, |number, mut peer| {
        peer.welcome(0);
        match number {
            // The first connection looks at the queue, the last one at its depth.
            1 => feed(peer),
            _ => peer.serve(|_, method| {
                if let Method::QueueDeclare(declare) = method {
                    assert!(declare.passive, "the queue exists");
                }
                assert!(!matches!(method, Method::QueueDelete(_)));
                true
            }),
        }
    });
    let mut args = accepted("--drain 7 --ack 3 --prefetch 10 --queue-name q --json");
    args.uri = uri;
    let report = load::run(&args, &Stop::default()).expect("no error");
    assert_eq!((report.mode, report.delivered.messages), ("drain", 7));
    assert_eq!(report.published.messages, 0);
    assert!(report.delivered.per_second > 0.0);
    peers.join().expect("the scripts ran");
}

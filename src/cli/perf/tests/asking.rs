//! Requests and replies: every client gets its own, and a strange reply ends the run.

use amqp_codec::{
    ContentHeader, FrameKind, Method, Properties, basic, channel, connection, put_content,
};

use super::super::args::tests::accepted;
use super::super::block::LOAD_CHANNEL;
use super::super::error::PerfError;
use super::super::request_reply;
use super::super::stop::Stop;
use super::super::wire::put;
use super::peer::Peer;

/// Delivers every request back to its client as if the server had answered, with the id that
/// `answered` makes of it.
fn answer_oneself(peer: &mut Peer, answered: fn(&str) -> String) {
    loop {
        let payload = peer.method();
        match Method::decode(&payload).expect("well-formed") {
            Method::ChannelOpen(_) => peer.send(LOAD_CHANNEL, channel::OpenOk::default()),
            Method::BasicConsume(consume) => {
                assert!(consume.no_ack);
                let consumer_tag = consume.consumer_tag;
                peer.send(LOAD_CHANNEL, basic::ConsumeOk { consumer_tag });
            }
            Method::BasicPublish(publish) => {
                assert_eq!((publish.exchange, publish.routing_key), ("", "perf-1"));
                let reply = reply_to(peer, answered);
                peer.write(&reply);
            }
            Method::ConnectionClose(_) => return peer.send(0, connection::CloseOk {}),
            other => panic!("not in the script: {}", other.id()),
        }
    }
}

/// The rest of a request, and the delivery of its reply.
fn reply_to(peer: &mut Peer, answered: fn(&str) -> String) -> Vec<u8> {
    let header = peer.frame(FrameKind::Header);
    let header = ContentHeader::parse(&header).expect("well-formed");
    let properties = Properties::parse(header.properties).expect("well-formed");
    assert_eq!(properties.reply_to, Some("amq.rabbitmq.reply-to"));
    let id = answered(properties.correlation_id.expect("an id"));
    let body = peer.frame(FrameKind::Body);
    let mut raw = Vec::new();
    let properties = Properties {
        correlation_id: Some(&id),
        ..Properties::default()
    };
    properties.encode(&mut raw).expect("short");
    let mut bytes = Vec::new();
    put(&mut bytes, LOAD_CHANNEL, basic::Deliver::default()).expect("it has an encoding");
    put_content(&mut bytes, LOAD_CHANNEL, &raw, &body, 4096);
    bytes
}

fn run(answered: fn(&str) -> String) -> Result<serde_json::Value, PerfError> {
    // One of the server, two clients.
    let (uri, peers) = Peer::start_several(3, move |_, mut peer| {
        peer.welcome(0);
        // The end of a run may come without a goodbye.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            answer_oneself(&mut peer, answered);
        }));
    });
    let mut args = accepted("--request-reply --warmup 0 --duration 0.2");
    args.uri = uri;
    let report = request_reply::run_on(&args, "perf-1", 2, &Stop::default());
    peers.join().expect("the scripts ran");
    report.map(|report| serde_json::to_value(&report).expect("plain values"))
}

#[test]
fn every_request_waits_for_its_reply() {
    let report = run(str::to_owned).expect("no error");
    let requests = report["requests"].as_u64().expect("a number");
    assert!(requests > 0);
    assert_eq!(report["clients"], 2);
    assert_eq!(report["latency_us"]["samples"], requests);
}

#[test]
fn the_reply_to_another_request_ends_the_run() {
    let error = run(|id| format!("{id}0")).expect_err("not its reply");
    assert!(matches!(error, PerfError::Protocol(_)), "{error}");
}

//! A log that falls behind: who publishes persistent messages is not read until they are durable.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use amqp_codec::{basic, confirm, put_content, queue};

use super::support::{Client, TestLog, broker, frame};

/// A persistent message with the body `m`.
fn persistent() -> Vec<u8> {
    let publish = basic::Publish {
        routing_key: "q",
        ..Default::default()
    };
    let mut bytes = frame(1, publish);
    put_content(&mut bytes, 1, &[0x10, 0, 2], b"m", 4096);
    bytes
}

/// A client that waits for the confirm of a message when the log falls behind.
fn bed() -> (Arc<TestLog>, Client) {
    let (broker, log) = broker();
    let mut client = Client::with_channels(&broker, &[1]);
    let declare = queue::Declare {
        queue: "q",
        durable: true,
        ..Default::default()
    };
    client.send(1, declare);
    client.send(1, confirm::Select::default());
    log.sync();
    client.received();
    client.bytes(&persistent());
    client.turn();
    log.backlogged.store(true, Ordering::SeqCst);
    (log, client)
}

#[test]
fn a_publisher_is_read_again_when_what_it_published_is_durable() {
    let (log, mut client) = bed();
    assert!(!client.machine.wants_input());
    assert_eq!(client.offer(&persistent()), 0);
    log.sync();
    assert!(client.machine.wants_input());
    assert_eq!(client.received(), ["1 basic.ack 1 false"]);
    client.bytes(&persistent());
}

#[test]
fn frames_that_were_left_are_known_to_be_there_when_input_is_wanted_again() {
    let (log, mut client) = bed();
    let bytes = [persistent(), persistent()].concat();
    assert_eq!(client.offer(&bytes), 0);
    log.sync();
    assert!(client.machine.wants_input() && client.machine.is_stalled());
    assert_eq!(client.offer(&bytes), bytes.len());
    assert!(!client.machine.is_stalled());
}

#[test]
fn the_beginning_of_a_frame_waits_for_the_socket() {
    let (log, mut client) = bed();
    log.sync();
    assert_eq!(client.offer(&persistent()[..7]), 0);
    assert!(!client.machine.is_stalled());
}

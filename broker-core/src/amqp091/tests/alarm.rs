//! An alarm: who publishes is told and not read any more, and nobody else.

use amqp_codec::{FieldTable, FieldValue, FrameKind, ShortString, basic, put_frame};

use super::support::{Client, broker, frame, publish};
use crate::broker::Alarm;

fn able() -> FieldTable {
    let name = ShortString::clipped("connection.blocked");
    let capabilities: FieldTable = [(name, FieldValue::Bool(true))].into_iter().collect();
    let name = ShortString::clipped("capabilities");
    [(name, FieldValue::Table(capabilities))]
        .into_iter()
        .collect()
}

#[test]
fn a_publisher_is_blocked_and_goes_on_when_the_alarm_is_over() {
    let (broker, _) = broker();
    let mut client = Client::connect_as(&broker, able());
    client.open(1);
    client.declare("q");
    broker.set_alarm(Alarm::Memory, true);
    client.send(1, basic::Qos::default());
    assert_eq!(
        client.received(),
        ["1 basic.qos-ok"],
        "only publishers are blocked"
    );
    let bytes = publish(1, "q", b"m");
    assert_eq!(client.offer(&bytes), 0);
    assert_eq!(client.received(), ["0 connection.blocked"]);
    assert!(!client.machine.wants_input());
    broker.set_alarm(Alarm::Memory, false);
    assert_eq!(client.received(), ["0 connection.unblocked"]);
    client.bytes(&bytes);
    client.send(
        1,
        basic::Get {
            queue: "q",
            ..Default::default()
        },
    );
    assert_eq!(client.received(), ["1 basic.get-ok 1", "1 body m"]);
}

#[test]
fn a_client_that_cannot_hear_it_is_blocked_in_silence() {
    let (broker, _) = broker();
    let mut client = Client::with_channels(&broker, &[1]);
    broker.set_alarm(Alarm::Disk, true);
    assert_eq!(client.offer(&publish(1, "q", b"m")), 0);
    assert_eq!(client.received(), [""; 0]);
    broker.set_alarm(Alarm::Disk, false);
    assert_eq!(client.received(), [""; 0]);
    assert!(client.machine.wants_input());
}

#[test]
fn bodies_of_a_publish_that_began_before_are_not_taken_either() {
    let (broker, _) = broker();
    let mut client = Client::with_channels(&broker, &[1]);
    let mut bytes = frame(1, basic::Publish::default());
    put_frame(
        &mut bytes,
        FrameKind::Header,
        1,
        &[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0],
    );
    client.bytes(&bytes);
    broker.set_alarm(Alarm::Memory, true);
    let mut body = Vec::new();
    put_frame(&mut body, FrameKind::Body, 1, &[0; 1000]);
    assert_eq!(client.offer(&body), 0);
    assert!(!client.machine.wants_input());
}

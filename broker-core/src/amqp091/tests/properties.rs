//! Properties as clients may send them: text in any encoding goes through, malformed ones do not,
//! and BCC stays hidden in all of them.

use amqp_codec::{
    FLAG_CONTENT_TYPE, FLAG_HEADERS, FLAG_REPLY_TO, basic, property_value, put_content, queue,
};

use super::support::{Client, broker, frame};

/// Headers with BCC for queue `b` between two others, one of a name that is not UTF-8.
const HEADERS_WITH_BCC: &[u8] = b"\0\0\0\x17\x01nB\x05\x03BCCA\0\0\0\x06S\0\0\0\x01b\x01\xFFB\x07";
const HEADERS_WITHOUT: &[u8] = b"\0\0\0\x08\x01nB\x05\x01\xFFB\x07";

fn publish(routing_key: &str, properties: &[u8], body: &[u8]) -> Vec<u8> {
    let method = basic::Publish {
        routing_key,
        mandatory: true,
        ..Default::default()
    };
    let mut bytes = frame(1, method);
    put_content(&mut bytes, 1, properties, body, 4096);
    bytes
}

fn get(client: &mut Client, queue: &str) -> Vec<Vec<u8>> {
    client.send(
        1,
        basic::Get {
            queue,
            no_ack: true,
            ..Default::default()
        },
    );
    client.received_properties()
}

fn consume(client: &mut Client, queue: &str) {
    let method = basic::Consume {
        queue,
        no_ack: true,
        ..Default::default()
    };
    client.send(1, method);
}

/// Asserts that the client's publish of these properties ends its connection with this text.
#[track_caller]
fn refused(properties: &[u8], text: &str) {
    let (broker, _) = broker();
    let mut client = Client::with_channels(&broker, &[1]);
    client.declare("q");
    client.offer(&publish("q", properties, b"x"));
    assert_eq!(client.received(), [text], "{properties:x?}");
    let mut other = Client::with_channels(&broker, &[1]);
    assert!(get(&mut other, "q").is_empty(), "{properties:x?} was kept");
}

#[test]
fn malformed_properties_end_the_connection_of_who_sent_them() {
    for properties in [&[0x80, 0][..], &[0, 0x40], &[0, 0x40, 1], &[0x10, 0]] {
        refused(properties, "0 connection.close FRAME_ERROR - truncated");
    }
    let trailing = "0 connection.close FRAME_ERROR - bytes follow the last value";
    refused(b"\0\0garbage", trailing);
    refused(&[0x10, 0, 2, 2], trailing);
    let unknown = "0 connection.close FRAME_ERROR - unknown property flags 0x0002";
    refused(&[0, 2], unknown);
    refused(&[0x10, 2, 2], unknown);
}

#[test]
fn headers_are_refused_for_damage_behind_a_name_that_is_not_utf8_too() {
    let text = "0 connection.close FRAME_ERROR - truncated";
    refused(b"\x20\0\0\0\0\x05\x01\xFFV\x01n", text);
}

#[test]
fn text_that_is_not_utf8_goes_through_byte_by_byte() {
    let (broker, _) = broker();
    let mut client = Client::with_channels(&broker, &[1]);
    client.declare("q");
    let properties = b"\xA4\0\x02\xFF\xFE\0\0\0\x03\x01\xFFV\x01\xFD";
    client.bytes(&publish("q", properties, b"x"));
    assert_eq!(get(&mut client, "q"), [properties]);
}

#[test]
fn bcc_is_hidden_and_routed_beside_text_that_is_not_utf8() {
    let (broker, _) = broker();
    let mut client = Client::with_channels(&broker, &[1]);
    client.declare("q");
    client.declare("b");
    let properties = [b"\xA0\0\x02\xFF\xFE", HEADERS_WITH_BCC].concat();
    let expected = [[b"\xA0\0\x02\xFF\xFE", HEADERS_WITHOUT].concat()];
    client.bytes(&publish("q", &properties, b"x"));
    assert_eq!(get(&mut client, "b"), expected, "routed by BCC");
    consume(&mut client, "q");
    assert_eq!(client.received_properties(), expected);
    client.send(
        1,
        queue::Delete {
            queue: "b",
            ..Default::default()
        },
    );
    client.received();
    client.bytes(&publish("nowhere", &properties, b"x"));
    assert_eq!(client.received_properties(), expected, "returned");
}

#[test]
fn a_bcc_that_cannot_be_read_is_refused() {
    let (broker, _) = broker();
    let mut client = Client::with_channels(&broker, &[1]);
    client.declare("q");
    let headers = b"\0\0\0\x11\x03BCCA\0\0\0\x08F\0\0\0\x03\x01\xFFV";
    let properties = [&FLAG_HEADERS.to_be_bytes()[..], headers].concat();
    client.bytes(&publish("q", &properties, b"x"));
    let text = "1 channel.close PRECONDITION_FAILED - invalid message: header 'BCC' holds a name \
                that is not UTF-8";
    assert_eq!(client.received(), [text]);
}

#[test]
fn a_user_id_that_is_not_utf8_is_not_the_users() {
    let (broker, _) = broker();
    let mut client = Client::with_channels(&broker, &[1]);
    client.declare("q");
    client.bytes(&publish("q", b"\0\x10\x02g\xFF", b"x"));
    let text = "1 channel.close PRECONDITION_FAILED - user_id property set to 'g\u{FFFD}' but \
                authenticated user was 'guest'";
    assert_eq!(client.received(), [text]);
}

#[test]
fn a_request_keeps_text_that_is_not_utf8_beside_its_reply_address() {
    let (broker, _) = broker();
    let mut client = Client::with_channels(&broker, &[1]);
    client.declare("q");
    consume(&mut client, "amq.rabbitmq.reply-to");
    assert_eq!(client.received(), ["1 basic.consume-ok"]);
    let properties = b"\x82\0\x02\xFF\xFE\x15amq.rabbitmq.reply-to";
    client.bytes(&publish("q", properties, b"x"));
    let got = get(&mut client, "q");
    let content_type = property_value(&got[0], FLAG_CONTENT_TYPE);
    assert_eq!(content_type, Ok(Some(&b"\xFF\xFE"[..])));
    let reply_to = property_value(&got[0], FLAG_REPLY_TO).unwrap().unwrap();
    assert!(reply_to.starts_with(b"amq.rabbitmq.reply-to."));

    let reply_to = std::str::from_utf8(reply_to).unwrap();
    client.bytes(&publish(reply_to, b"\x80\0\x01\xFC", b"answer"));
    assert_eq!(client.received_properties(), [b"\x80\0\x01\xFC"]);
}

#[test]
fn a_message_dies_into_its_exchange_whatever_its_text() {
    let (broker, _) = broker();
    let mut client = Client::with_channels(&broker, &[1]);
    client.declare("dead");
    let arguments = [
        ("x-dead-letter-exchange", ""),
        ("x-dead-letter-routing-key", "dead"),
    ];
    let arguments =
        arguments.map(|(name, value)| (amqp_codec::ShortString::clipped(name), value.into()));
    client.send(
        1,
        queue::Declare {
            queue: "q",
            arguments: arguments.into_iter().collect(),
            ..Default::default()
        },
    );
    client.received();
    client.bytes(&publish(
        "q",
        b"\xA0\0\x02\xFF\xFE\0\0\0\x03\x01\xFFV",
        b"x",
    ));
    client.send(
        1,
        basic::Get {
            queue: "q",
            ..Default::default()
        },
    );
    assert_eq!(client.received(), ["1 basic.get-ok 1", "1 body x"]);
    client.send(
        1,
        basic::Reject {
            delivery_tag: 1,
            requeue: false,
        },
    );
    client.received();
    let dead = get(&mut client, "dead");
    assert_eq!(dead.len(), 1, "it is there");
    let content_type = property_value(&dead[0], FLAG_CONTENT_TYPE);
    assert_eq!(content_type, Ok(Some(&b"\xFF\xFE"[..])));
    let headers = property_value(&dead[0], FLAG_HEADERS).unwrap().unwrap();
    let headers = amqp_codec::RawTable(headers).readable().unwrap();
    assert!(headers.table.contains("x-death"));
    assert_eq!(headers.unreadable[0].bytes, b"\x01\xFFV");
}

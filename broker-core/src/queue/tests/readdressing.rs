//! What a dead letter looks like at its exchange: RabbitMQ's bytes, counts, keys and cycles.

use amqp_codec::{
    FLAG_CORRELATION_ID, FLAG_HEADERS, FieldValue, Properties, RawTable, ShortString,
    check_properties, property_value,
};

use super::*;
use crate::message::Position;
use crate::queue::dead_letter::{Delivered, readdress};

const SECONDS: u64 = 0x6b01_d746;

fn table(entries: &[(&str, FieldValue)]) -> FieldTable {
    let entries = entries.iter().cloned();
    entries
        .map(|(name, value)| (ShortString::clipped(name), value))
        .collect()
}

fn text(text: &str) -> FieldValue {
    FieldValue::LongString(text.as_bytes().to_vec())
}

fn texts(all: &[&str]) -> FieldValue {
    FieldValue::Array(all.iter().map(|one| text(one)).collect())
}

fn encoded(properties: Properties<'_>, headers: &FieldTable) -> Vec<u8> {
    let mut raw = Vec::new();
    headers.encode(&mut raw).unwrap();
    let mut out = Vec::new();
    let properties = Properties {
        headers: Some(RawTable(&raw)),
        ..properties
    };
    properties.encode(&mut out).unwrap();
    out
}

/// A message of these properties that was published with this key.
fn published(key: &str, properties: &[u8]) -> Records {
    let mut message = Records::new();
    message.push(Message {
        exchange: "",
        routing_key: key,
        properties,
        ..super::message("body")
    });
    message
}

fn to(routing_key: Option<&str>) -> DeadLetterTo {
    DeadLetterTo {
        exchange: "".into(),
        routing_key: routing_key.map(Into::into),
    }
}

/// Dies in `queue` and goes on with the routing key.
fn die(
    key: &str,
    properties: &[u8],
    reason: Reason,
    queue: &str,
    routing_key: Option<&str>,
) -> Delivered {
    let message = published(key, properties);
    let death = (reason, Timestamp(SECONDS * 1000 + 999));
    readdress(message.at(Position(0)), death, queue, &to(routing_key))
}

fn headers(delivered: &Delivered) -> FieldTable {
    let properties = Properties::parse(&delivered.properties).unwrap();
    properties.headers.unwrap().decode().unwrap()
}

/// The properties as an older broker writes them, which does not know x-last-death.
fn without_last_death(delivered: &Delivered) -> String {
    let mut table = headers(delivered);
    for name in [
        "x-last-death-exchange",
        "x-last-death-queue",
        "x-last-death-reason",
    ] {
        assert!(table.remove(name).is_some(), "{name}");
    }
    let properties = Properties::parse(&delivered.properties).unwrap();
    let bytes = encoded(properties, &table);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// (count, queue, reason) of each death, newest first.
fn deaths(delivered: &Delivered) -> Vec<(i64, String, String)> {
    let headers = headers(delivered);
    let Some(FieldValue::Array(deaths)) = headers.get("x-death") else {
        panic!("x-death is an array");
    };
    deaths
        .iter()
        .map(|death| {
            let death = death.as_table().unwrap();
            let text = |name| death.get(name).unwrap().as_str().unwrap().to_owned();
            (
                death.get("count").unwrap().as_i64().unwrap(),
                text("queue"),
                text("reason"),
            )
        })
        .collect()
}

#[test]
fn a_first_death_has_rabbitmqs_bytes() {
    let delivered = die("s", &[0, 0], Reason::Rejected, "s", None);
    let captured = "2000000000cd07782d64656174684100000068460000006305636f756e746c0000000000\
        00000106726561736f6e530000000872656a65637465640571756575655300000001730474696d6554000000\
        006b01d7460865786368616e676553000000000c726f7574696e672d6b657973410000000653000000017316\
        782d66697273742d64656174682d65786368616e6765530000000013782d66697273742d64656174682d7175\
        65756553000000017314782d66697273742d64656174682d726561736f6e530000000872656a6563746564";
    assert_eq!(without_last_death(&delivered), captured);
}

#[test]
fn a_second_death_of_the_same_kind_has_rabbitmqs_bytes() {
    let first = die("s", &[0, 0], Reason::Rejected, "s", None);
    let again = die("s", &first.properties, Reason::Rejected, "s", None);
    let captured = "2000000000cd07782d64656174684100000068460000006305636f756e746c0000000000\
        0000020865786368616e6765530000000005717565756553000000017306726561736f6e530000000872656a\
        65637465640c726f7574696e672d6b65797341000000065300000001730474696d6554000000006b01d74616\
        782d66697273742d64656174682d65786368616e6765530000000013782d66697273742d64656174682d7175\
        65756553000000017314782d66697273742d64656174682d726561736f6e530000000872656a6563746564";
    assert_eq!(without_last_death(&again), captured);
}

#[test]
fn two_expiries_with_keys_and_expiration_have_rabbitmqs_bytes() {
    let properties = Properties {
        content_type: Some("text/plain"),
        delivery_mode: Some(2),
        priority: Some(3),
        expiration: Some("10"),
        ..Properties::default()
    };
    let table = table(&[
        ("zz", FieldValue::I32(1)),
        ("CC", texts(&["cc1"])),
        ("BCC", texts(&["bcc1"])),
        ("aa", text("v")),
    ]);
    let raw = encoded(properties, &table);
    let first = die("t1", &raw, Reason::Expired, "t1", Some("t2"));
    assert_eq!(first.routing_keys, ["t2"]);
    let second = die("t2", &first.properties, Reason::Expired, "t2", Some("t3"));
    let captured = "b8000a746578742f706c61696e0000016b02616153000000017607782d64656174684100\
        0000f5460000006405636f756e746c00000000000000010865786368616e6765530000000005717565756553\
        00000002743206726561736f6e5300000007657870697265640c726f7574696e672d6b657973410000000753\
        0000000274320474696d6554000000006b01d746460000008705636f756e746c000000000000000106726561\
        736f6e530000000765787069726564057175657565530000000274310474696d6554000000006b01d7460865\
        786368616e676553000000000c726f7574696e672d6b657973410000000f530000000274315300000003636331\
        136f726967696e616c2d65787069726174696f6e5300000002313016782d66697273742d64656174682d6578\
        6368616e6765530000000013782d66697273742d64656174682d71756575655300000002743114782d666972\
        73742d64656174682d726561736f6e530000000765787069726564027a7a49000000010203";
    assert_eq!(without_last_death(&second), captured);
}

#[test]
fn the_first_death_stays_and_the_last_one_follows() {
    let first = die("a", &[0, 0], Reason::Expired, "a", None);
    let second = die("a", &first.properties, Reason::MaxLen, "b", None);
    let headers = headers(&second);
    let text = |name| headers.get(name).and_then(FieldValue::as_str).unwrap();
    assert_eq!(
        (text("x-first-death-queue"), text("x-first-death-reason")),
        ("a", "expired")
    );
    assert_eq!(
        (text("x-last-death-queue"), text("x-last-death-reason")),
        ("b", "maxlen")
    );
    assert_eq!(
        (
            text("x-first-death-exchange"),
            text("x-last-death-exchange")
        ),
        ("", "")
    );
}

#[test]
fn a_repeated_death_moves_to_the_front_and_counts_on() {
    let mut properties = vec![0, 0];
    for (queue, reason) in [
        ("a", Reason::Expired),
        ("b", Reason::Rejected),
        ("a", Reason::Rejected),
    ] {
        properties = die("k", &properties, reason, queue, None).properties;
    }
    let delivered = die("k", &properties, Reason::Expired, "a", None);
    let expected = [
        (2, "a", "expired"),
        (1, "a", "rejected"),
        (1, "b", "rejected"),
    ]
    .map(|(count, queue, reason)| (count, queue.to_owned(), reason.to_owned()));
    assert_eq!(deaths(&delivered), expected);
}

#[test]
fn a_count_from_a_client_is_counted_on_whatever_its_integer_type() {
    let death = table(&[
        ("queue", text("q")),
        ("reason", text("rejected")),
        ("count", FieldValue::I32(41)),
    ]);
    let raw = encoded(
        Properties::default(),
        &table(&[("x-death", FieldValue::Array(vec![FieldValue::Table(death)]))]),
    );
    let delivered = die("k", &raw, Reason::Rejected, "q", None);
    let headers = headers(&delivered);
    let deaths = headers.get("x-death").unwrap().as_array().unwrap();
    assert_eq!(
        deaths[0].as_table().unwrap().get("count"),
        Some(&FieldValue::I64(42))
    );
}

#[test]
fn a_strange_x_death_does_no_harm() {
    for strange in [
        text("not an array"),
        FieldValue::Array(vec![
            FieldValue::I32(1),
            text("x"),
            FieldValue::Table(table(&[])),
        ]),
        FieldValue::Array(Vec::new()),
    ] {
        let raw = encoded(
            Properties::default(),
            &table(&[("x-death", strange), ("k", text("v"))]),
        );
        let delivered = die("k", &raw, Reason::Expired, "q", None);
        let headers = headers(&delivered);
        let newest = &headers.get("x-death").unwrap().as_array().unwrap()[0];
        let newest = newest.as_table().unwrap();
        assert_eq!(newest.get("count"), Some(&FieldValue::I64(1)));
        assert_eq!(newest.get("queue"), Some(&text("q")));
        assert_eq!(headers.get("k"), Some(&text("v")));
    }
}

#[test]
fn without_a_dead_letter_key_all_keys_are_kept_and_bcc_stays_hidden() {
    let raw = encoded(
        Properties::default(),
        &table(&[("CC", texts(&["c1", "c2"])), ("BCC", texts(&["b1"]))]),
    );
    let delivered = die("k", &raw, Reason::Rejected, "q", None);
    assert_eq!(delivered.routing_keys, ["k", "c1", "c2", "b1"]);
    assert!(delivered.has_bcc);
    assert!(!delivered.headers.as_ref().unwrap().contains("BCC"));
    let again = die("k", &delivered.properties, Reason::Rejected, "q2", None);
    assert_eq!(again.routing_keys, ["k", "c1", "c2", "b1"]);
    let headers = headers(&again);
    let newest = headers.get("x-death").unwrap().as_array().unwrap()[0]
        .as_table()
        .unwrap();
    assert_eq!(newest.get("routing-keys"), Some(&texts(&["k", "c1", "c2"])));
}

#[test]
fn with_a_dead_letter_key_cc_and_bcc_are_gone() {
    let raw = encoded(
        Properties::default(),
        &table(&[("CC", texts(&["c1"])), ("BCC", texts(&["b1"]))]),
    );
    let delivered = die("k", &raw, Reason::Rejected, "q", Some("other"));
    assert_eq!(delivered.routing_keys, ["other"]);
    assert!(!delivered.has_bcc);
    let headers = headers(&delivered);
    assert!(!headers.contains("CC") && !headers.contains("BCC"));
}

#[test]
fn the_expiration_moves_into_the_entry() {
    let properties = Properties {
        expiration: Some("500"),
        ..Properties::default()
    };
    let raw = encoded(properties, &FieldTable::new());
    let delivered = die("k", &raw, Reason::MaxLen, "q", None);
    let properties = Properties::parse(&delivered.properties).unwrap();
    assert_eq!(properties.expiration, None);
    let headers = headers(&delivered);
    let newest = headers.get("x-death").unwrap().as_array().unwrap()[0]
        .as_table()
        .unwrap();
    assert_eq!(newest.get("original-expiration"), Some(&text("500")));
}

#[test]
fn an_automatic_circle_ends_and_one_with_a_reject_goes_on() {
    let expired = die("a", &[0, 0], Reason::Expired, "a", None);
    assert!(expired.is_cycle("a"));
    assert!(!expired.is_cycle("b"));
    let there = die("a", &expired.properties, Reason::Expired, "b", None);
    assert!(there.is_cycle("a") && there.is_cycle("b"));
    let rejected = die("a", &there.properties, Reason::Rejected, "c", None);
    assert!(!rejected.is_cycle("a") && !rejected.is_cycle("c"));
    let after = die("a", &rejected.properties, Reason::Expired, "d", None);
    assert!(after.is_cycle("d"), "nobody rejected it since d");
    assert!(!after.is_cycle("a"), "somebody rejected it since a");
    let limit = die("a", &[0, 0], Reason::DeliveryLimit, "a", None);
    assert!(limit.is_cycle("a"));
}

/// Properties with just these headers.
fn with_headers(entries: &[u8]) -> Vec<u8> {
    let size = (entries.len() as u32).to_be_bytes();
    [&FLAG_HEADERS.to_be_bytes(), &size[..], entries].concat()
}

/// The bytes of the headers.
fn raw_headers(delivered: &Delivered) -> RawTable<'_> {
    assert_eq!(check_properties(&delivered.properties), Ok(()));
    let value = property_value(&delivered.properties, FLAG_HEADERS);
    RawTable(value.unwrap().expect("a dead letter has headers"))
}

#[test]
fn short_strings_that_are_not_utf8_go_along() {
    let delivered = die(
        "k",
        b"\x85\0\x01\xFD\x02\xFF\xFE\x0210",
        Reason::Expired,
        "q",
        None,
    );
    let value = property_value(&delivered.properties, FLAG_CORRELATION_ID);
    assert_eq!(value, Ok(Some(&b"\xFF\xFE"[..])));
    let table = raw_headers(&delivered).decode().unwrap();
    let death = table.get("x-death").unwrap().as_array().unwrap()[0].clone();
    let death = death.as_table().unwrap();
    assert_eq!(death.get("original-expiration"), Some(&text("10")));
}

#[test]
fn headers_whose_names_are_not_utf8_go_along_beside_the_deaths() {
    let raw = with_headers(b"\x01\xFFB\x07\x02CCA\0\0\0\x07S\0\0\0\x02c1\x01tF\0\0\0\x03\x01\xFEV");
    let delivered = die("k", &raw, Reason::Expired, "q", None);
    assert_eq!(delivered.routing_keys, ["k", "c1"]);
    assert!(
        delivered.is_cycle("q"),
        "deaths are told of, so a circle ends"
    );
    let again = die("k", &delivered.properties, Reason::Expired, "q", None);
    let readable = raw_headers(&again).readable().unwrap();
    let unreadable: Vec<&[u8]> = readable.unreadable.iter().map(|one| one.bytes).collect();
    assert_eq!(
        unreadable,
        [&b"\x01\xFFB\x07"[..], b"\x01tF\0\0\0\x03\x01\xFEV"]
    );
    let deaths = readable.table.get("x-death").unwrap().as_array().unwrap();
    assert_eq!(deaths.len(), 1);
    let count = deaths[0].as_table().unwrap().get("count");
    assert_eq!(count, Some(&FieldValue::I64(2)));
}

#[test]
fn an_x_death_that_cannot_be_decoded_makes_way_for_one_that_can() {
    let raw = with_headers(b"\x07x-deathA\0\0\0\x08F\0\0\0\x03\x01\xFFV\x01nB\x01");
    let delivered = die("k", &raw, Reason::Rejected, "q", None);
    assert_eq!(deaths(&delivered), [(1, "q".into(), "rejected".into())]);
    assert_eq!(headers(&delivered).get("n"), Some(&FieldValue::U8(1)));
}

#[test]
fn a_bcc_that_cannot_be_decoded_stays_hidden_or_goes() {
    let raw = with_headers(b"\x03BCCA\0\0\0\x08F\0\0\0\x03\x01\xFFV");
    assert!(die("k", &raw, Reason::Rejected, "q", None).has_bcc);
    let delivered = die("k", &raw, Reason::Rejected, "q", Some("other"));
    assert!(!delivered.has_bcc);
    let readable = raw_headers(&delivered).readable().unwrap();
    assert_eq!(readable.unreadable, []);
}

#[test]
fn properties_that_are_none_give_way_to_the_deaths_and_the_message_lives() {
    for raw in [
        &[0x20, 0, 0, 0, 0, 9, 1][..],
        &[0x20, 0, 0, 0, 0, 2, 1, b'n'],
        &[0x80, 0],
        &[0, 2],
        &[0],
    ] {
        let delivered = die("k", raw, Reason::Expired, "q", None);
        assert_eq!(delivered.routing_keys, ["k"]);
        assert!(delivered.is_cycle("q"));
        let death = [(1, "q".to_owned(), "expired".to_owned())];
        assert_eq!(deaths(&delivered), death, "{raw:?}");
    }
}

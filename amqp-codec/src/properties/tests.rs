//! Properties: all fourteen together and apart, and agreement of parsing with scanning.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::strategies::{field_table, short_text};

const HEADERS: &[u8] = b"\0\0\0\x04\x01nB\x05";

fn all_fourteen() -> Properties<'static> {
    Properties {
        content_type: Some("text/plain"),
        content_encoding: Some("gzip"),
        headers: Some(RawTable(HEADERS)),
        delivery_mode: Some(2),
        priority: Some(9),
        correlation_id: Some("c"),
        reply_to: Some("r"),
        expiration: Some("60000"),
        message_id: Some("m"),
        timestamp: Some(0x0102_0304_0506_0708),
        kind: Some("t"),
        user_id: Some("guest"),
        app_id: Some("app"),
        cluster_id: Some(""),
    }
}

fn all_fourteen_bytes() -> Vec<u8> {
    [
        &[0xFF, 0xFC],
        &b"\x0Atext/plain\x04gzip"[..],
        HEADERS,
        &[2, 9],
        b"\x01c\x01r\x0560000\x01m",
        &[1, 2, 3, 4, 5, 6, 7, 8],
        b"\x01t\x05guest\x03app\x00",
    ]
    .concat()
}

/// Every flag in wire order, with the bytes of its value in `all_fourteen`.
const VALUES: [(u16, &[u8]); 14] = [
    (FLAG_CONTENT_TYPE, b"text/plain"),
    (FLAG_CONTENT_ENCODING, b"gzip"),
    (FLAG_HEADERS, HEADERS),
    (FLAG_DELIVERY_MODE, &[2]),
    (FLAG_PRIORITY, &[9]),
    (FLAG_CORRELATION_ID, b"c"),
    (FLAG_REPLY_TO, b"r"),
    (FLAG_EXPIRATION, b"60000"),
    (FLAG_MESSAGE_ID, b"m"),
    (FLAG_TIMESTAMP, &[1, 2, 3, 4, 5, 6, 7, 8]),
    (FLAG_TYPE, b"t"),
    (FLAG_USER_ID, b"guest"),
    (FLAG_APP_ID, b"app"),
    (FLAG_CLUSTER_ID, b""),
];

#[track_caller]
fn encoded(properties: &Properties<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    properties.encode(&mut out).unwrap();
    out
}

#[test]
fn all_fourteen_stand_in_the_order_of_the_specification() {
    let raw = all_fourteen_bytes();
    assert_eq!(encoded(&all_fourteen()), raw);
    assert_eq!(Properties::parse(&raw), Ok(all_fourteen()));
    assert_eq!(check_properties(&raw), Ok(()));
    assert_eq!(property_flags(&raw), 0xFFFC);
}

#[test]
fn each_property_is_found_among_all_and_alone() {
    let raw = all_fourteen_bytes();
    for (flag, value) in VALUES {
        assert_eq!(property_value(&raw, flag), Ok(Some(value)), "{flag:#06x}");
        let short = !matches!(
            flag,
            FLAG_HEADERS | FLAG_DELIVERY_MODE | FLAG_PRIORITY | FLAG_TIMESTAMP
        );
        let len = if short {
            vec![value.len() as u8]
        } else {
            vec![]
        };
        let alone = [&flag.to_be_bytes()[..], &len, value].concat();
        assert_eq!(
            property_value(&alone, flag),
            Ok(Some(value)),
            "{flag:#06x} alone"
        );
        assert_eq!(encoded(&Properties::parse(&alone).unwrap()), alone);
        for (other, _) in VALUES.into_iter().filter(|(other, _)| *other != flag) {
            assert_eq!(property_value(&alone, other), Ok(None));
        }
    }
}

#[test]
fn no_property_is_two_zero_bytes() {
    assert_eq!(encoded(&Properties::default()), [0, 0]);
    assert_eq!(Properties::parse(&[0, 0]), Ok(Properties::default()));
}

#[test]
fn headers_decode_on_demand() {
    let headers = all_fourteen().headers.unwrap().decode().unwrap();
    assert_eq!(
        headers.get("n").and_then(crate::FieldValue::as_i64),
        Some(5)
    );
}

#[test]
fn delivery_mode_steps_over_headers_without_decoding_them() {
    let raw = b"\x30\0\0\0\0\x03???\x02";
    assert_eq!(delivery_mode(raw), Ok(Some(2)));
    assert_eq!(check_properties(raw), Ok(()));
    let headers = Properties::parse(raw).unwrap().headers.unwrap();
    assert_eq!(headers.decode(), Err(DecodeError::Truncated));
    assert_eq!(delivery_mode(&[0, 0]), Ok(None));
}

#[test]
fn headers_that_reach_beyond_the_properties_are_truncated() {
    for raw in [
        &b"\x30\0\xFF\xFF\xFF\xFF\x02"[..],
        b"\x30\0\0\0\0\x04???",
        b"\x20\0\0\0",
    ] {
        assert_eq!(Properties::parse(raw), Err(DecodeError::Truncated));
        assert_eq!(check_properties(raw), Err(DecodeError::Truncated));
        assert_eq!(
            property_value(raw, FLAG_HEADERS),
            Err(DecodeError::Truncated)
        );
    }
    assert_eq!(
        delivery_mode(b"\x30\0\xFF\xFF\xFF\xFF\x02"),
        Err(DecodeError::Truncated)
    );
}

#[test]
fn properties_cut_anywhere_are_truncated() {
    let raw = all_fourteen_bytes();
    for len in 0..raw.len() {
        assert_eq!(
            Properties::parse(&raw[..len]),
            Err(DecodeError::Truncated),
            "{len}"
        );
        assert_eq!(
            check_properties(&raw[..len]),
            Err(DecodeError::Truncated),
            "{len}"
        );
    }
}

#[test]
fn bytes_behind_the_values_are_refused() {
    let raw = [all_fourteen_bytes(), vec![0]].concat();
    assert_eq!(Properties::parse(&raw), Err(DecodeError::Trailing));
    assert_eq!(check_properties(&raw), Err(DecodeError::Trailing));
}

#[test]
fn continued_flag_words_are_skipped() {
    let raw = b"\x10\x01\0\x01\0\0\x02";
    assert_eq!(delivery_mode(raw), Ok(Some(2)));
    assert_eq!(check_properties(raw), Ok(()));
    let properties = Properties::parse(raw).unwrap();
    assert_eq!(
        properties,
        Properties {
            delivery_mode: Some(2),
            ..Properties::default()
        }
    );
    assert_eq!(encoded(&properties), b"\x10\0\x02", "one word is enough");
}

#[test]
fn a_continued_flag_word_may_not_announce_unknown_properties() {
    let raw = b"\x10\x01\x40\x00\x02";
    let refused = DecodeError::UnknownProperties(0x4000);
    assert_eq!(Properties::parse(raw), Err(refused));
    assert_eq!(check_properties(raw), Err(refused));
    assert_eq!(delivery_mode(raw), Err(refused));
    assert_eq!(
        delivery_mode(b"\x10\x01"),
        Err(DecodeError::Truncated),
        "no second word"
    );
}

#[test]
fn bit_1_of_the_first_word_is_refused() {
    let refused = DecodeError::UnknownProperties(2);
    assert_eq!(Properties::parse(&[0, 2]), Err(refused));
    assert_eq!(check_properties(&[0, 2]), Err(refused));
    assert_eq!(check_properties(&[0x10, 2, 2]), Err(refused));
}

#[test]
fn a_flag_without_its_value_is_truncated() {
    for raw in [
        &[0x80, 0][..],
        &[0, 0x40],
        &[0, 0x40, 1, 2, 3, 4, 5, 6, 7],
        &[0x10, 0],
    ] {
        assert_eq!(
            check_properties(raw),
            Err(DecodeError::Truncated),
            "{raw:?}"
        );
    }
}

#[test]
fn text_that_is_not_utf8_can_be_carried_but_not_read() {
    let raw = b"\x80\0\x02\xFF\xFE";
    assert_eq!(check_properties(raw), Ok(()));
    assert_eq!(
        property_value(raw, FLAG_CONTENT_TYPE),
        Ok(Some(&b"\xFF\xFE"[..]))
    );
    assert_eq!(Properties::parse(raw), Err(DecodeError::Utf8));
}

#[test]
fn what_does_not_fit_leaves_the_output_as_it_was() {
    let mut out = vec![1];
    let long = "x".repeat(256);
    let properties = Properties {
        app_id: Some(&long),
        ..all_fourteen()
    };
    assert_eq!(
        properties.encode(&mut out),
        Err(EncodeError::ShortStringTooLong(256))
    );
    for table in [&b""[..], b"\0\0\0", b"\0\0\0\x01", b"\0\0\0\0V"] {
        let properties = Properties {
            headers: Some(RawTable(table)),
            ..all_fourteen()
        };
        assert_eq!(
            properties.encode(&mut out),
            Err(EncodeError::RawTable),
            "{table:?}"
        );
    }
    assert_eq!(out, [1]);

    let fits = &long[..255];
    let properties = Properties {
        app_id: Some(fits),
        ..Properties::default()
    };
    assert_eq!(Properties::parse(&encoded(&properties)), Ok(properties));
}

#[test]
fn flags_of_less_than_a_word_are_none() {
    assert_eq!(property_flags(&[]), 0);
    assert_eq!(property_flags(&[0xFF]), 0);
    assert_eq!(property_flags(&[0x10, 0, 2]), FLAG_DELIVERY_MODE);
}

#[test]
fn a_content_header_is_read_up_to_its_properties() {
    let payload = [0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0x10, 0, 2];
    let header = ContentHeader::parse(&payload).unwrap();
    assert_eq!((header.class_id, header.body_size), (BASIC_CLASS, 256));
    assert_eq!(header.properties, [0x10, 0, 2]);
    for len in 0..12 {
        assert_eq!(
            ContentHeader::parse(&payload[..len]),
            Err(DecodeError::Truncated)
        );
    }
}

#[test]
fn a_content_header_with_a_weight_is_refused() {
    let payload = [0, 60, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(
        ContentHeader::parse(&payload),
        Err(DecodeError::ContentWeight(1))
    );
}

proptest! {
    #[test]
    fn any_choice_of_properties_round_trips(
        text in vec(option::of(short_text()), 10),
        headers in option::of(field_table()),
        octets in any::<(Option<u8>, Option<u8>)>(),
        timestamp in any::<Option<u64>>(),
    ) {
        let headers = headers.map(|table| {
            let mut raw = Vec::new();
            table.encode(&mut raw).unwrap();
            raw
        });
        let text = |at: usize| text[at].as_deref();
        let properties = Properties {
            content_type: text(0),
            content_encoding: text(1),
            headers: headers.as_deref().map(RawTable),
            delivery_mode: octets.0,
            priority: octets.1,
            correlation_id: text(2),
            reply_to: text(3),
            expiration: text(4),
            message_id: text(5),
            timestamp,
            kind: text(6),
            user_id: text(7),
            app_id: text(8),
            cluster_id: text(9),
        };
        let raw = encoded(&properties);
        prop_assert_eq!(Properties::parse(&raw), Ok(properties));
        prop_assert_eq!(check_properties(&raw), Ok(()));
        prop_assert_eq!(delivery_mode(&raw), Ok(properties.delivery_mode));
        let expiration = properties.expiration.map(str::as_bytes);
        prop_assert_eq!(property_value(&raw, FLAG_EXPIRATION), Ok(expiration));
        let cluster_id = properties.cluster_id.map(str::as_bytes);
        prop_assert_eq!(property_value(&raw, FLAG_CLUSTER_ID), Ok(cluster_id));
    }

    #[test]
    fn parsing_and_scanning_agree_on_arbitrary_bytes(raw in vec(any::<u8>(), 0..80)) {
        let checked = check_properties(&raw);
        match Properties::parse(&raw) {
            Ok(properties) => {
                prop_assert_eq!(checked, Ok(()));
                prop_assert_eq!(delivery_mode(&raw), Ok(properties.delivery_mode));
            }
            Err(DecodeError::Utf8) => {}
            Err(error) => prop_assert_eq!(checked, Err(error)),
        }
        for (flag, _) in VALUES {
            let found = property_value(&raw, flag);
            prop_assert!(checked.is_err() || found.is_ok());
        }
        let _ = ContentHeader::parse(&raw);
    }
}

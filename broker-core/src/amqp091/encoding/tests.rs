//! What is written is what the codec would write.

use amqp_codec::{ContentHeader, Cut, Method, basic, cut, put_method};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::amqp091::tests::support::cases;
use crate::message::{Body, Message, Records};

const FRAME_MAX: u32 = 4096;

/// Headers with a number, and the same with BCC behind it.
const HEADERS: &[u8] = b"\x20\0\0\0\0\x04\x01nB\x05";
const HEADERS_WITH_BCC: &[u8] = b"\x20\0\0\0\0\x19\x01nB\x05\x03BCCA\0\0\0\x0CS\0\0\0\x07durable";

const PROPERTIES: [&[u8]; 4] = [b"\0\0", b"\x90\0\x04text\x02", HEADERS, HEADERS_WITH_BCC];

/// A message for a record.
#[derive(Clone, Debug)]
struct Sample {
    names: (String, String),
    properties: &'static [u8],
    body: Vec<u8>,
    is_shared: bool,
    is_redelivered: bool,
}

fn written(mut out: Output) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !out.is_empty() {
        let mut slices = Vec::new();
        out.slices(&mut slices);
        let piece: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
        out.advance(piece.len());
        bytes.extend(piece);
    }
    bytes
}

fn record_of(sample: &Sample, records: &mut Records) {
    let body = match sample.is_shared {
        true => Body::Shared(Bytes::copy_from_slice(&sample.body)),
        false => Body::Inline(&sample.body),
    };
    let position = records.push(Message {
        exchange: &sample.names.0,
        routing_key: &sample.names.1,
        properties: sample.properties,
        body,
        persistent: false,
        priority: 0,
        expires_at: None,
        has_bcc: sample.properties == HEADERS_WITH_BCC,
    });
    records
        .head_mut(position)
        .set_redelivered(sample.is_redelivered);
}

/// As the codec writes it.
fn expected(tag: u64, sample: &Sample, frame_max: u32) -> Vec<u8> {
    let method = basic::Deliver {
        consumer_tag: "consumer",
        delivery_tag: tag,
        redelivered: sample.is_redelivered,
        exchange: &sample.names.0,
        routing_key: &sample.names.1,
    };
    let properties = match sample.properties {
        HEADERS_WITH_BCC => HEADERS,
        others => others,
    };
    let mut bytes = Vec::new();
    put_method(&mut bytes, 7, &Method::from(method)).unwrap();
    amqp_codec::put_content(&mut bytes, 7, properties, &sample.body, frame_max);
    bytes
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        Just("q".to_owned()),
        Just("qq".to_owned()),
        Just("k".repeat(255)),
        "[a-c]{0,3}",
    ]
}

fn body_len() -> impl Strategy<Value = usize> {
    let limit = FRAME_MAX as usize - 8;
    prop_oneof![
        0usize..40,
        limit - 1..limit + 2,
        Just(2 * limit),
        Just(3 * limit + 1)
    ]
}

fn sample() -> impl Strategy<Value = Sample> {
    let properties = prop::sample::select(&PROPERTIES[..]);
    let body = (body_len(), any::<u8>()).prop_map(|(len, byte)| vec![byte; len]);
    let flags = (any::<bool>(), any::<bool>());
    ((name(), name()), properties, body, flags).prop_map(
        |(names, properties, body, (is_shared, is_redelivered))| Sample {
            names,
            properties,
            body,
            is_shared,
            is_redelivered,
        },
    )
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn every_message_is_written_as_the_codec_writes_it(
        samples in vec((sample(), 1usize..3), 1..12),
        frame_max in prop::sample::select(&[FRAME_MAX, 131_072][..]),
        first_tag in any::<u32>().prop_map(|tag| u64::from(tag) << 20),
    ) {
        // Repeated, so that messages with the same names follow one another.
        let samples: Vec<Sample> = samples
            .into_iter()
            .flat_map(|(sample, times)| vec![sample; times])
            .collect();
        let mut records = Records::new();
        for sample in &samples {
            record_of(sample, &mut records);
        }
        let mut stencil = Stencil::new(7, "consumer", frame_max);
        let mut out = Output::default();
        let mut bytes = Vec::new();
        for ((tag, record), sample) in (first_tag..).zip(records.iter()).zip(&samples) {
            stencil.encode(&mut out, tag, record);
            bytes.extend(expected(tag, sample, frame_max));
        }
        prop_assert!(written(out) == bytes);
    }
}

#[test]
fn without_a_frame_limit_a_body_is_one_frame() {
    let sample = Sample {
        names: (String::new(), "q".to_owned()),
        properties: PROPERTIES[0],
        body: vec![b'x'; 1 << 20],
        is_shared: false,
        is_redelivered: false,
    };
    let mut records = Records::new();
    record_of(&sample, &mut records);
    let mut out = Output::default();
    let record = records.iter().next().unwrap();
    Stencil::new(7, "c", 0).encode(&mut out, 1, record);
    let bytes = written(out);
    let mut payloads = Vec::new();
    let mut rest = &bytes[..];
    while let Ok(Cut::Frame { frame, len }) = cut(rest, u32::MAX) {
        payloads.push(frame.payload);
        rest = &rest[len..];
    }
    assert_eq!(payloads.len(), 3);
    let header = ContentHeader::parse(payloads[1]).unwrap();
    assert_eq!(header.body_size, 1 << 20);
    assert!(payloads[2] == sample.body);
}

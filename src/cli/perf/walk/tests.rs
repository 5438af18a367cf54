//! The walk gives the same answer wherever the reads cut the stream.

use amqp_codec::{Method, basic, put_content_header, put_frame, put_heartbeat, put_method};

use super::*;

#[derive(Default, Debug, PartialEq, Clone)]
struct Seen {
    heads: Vec<Vec<u8>>,
    /// The body that is on its way, and the whole ones.
    body: Vec<u8>,
    bodies: Vec<Vec<u8>>,
    delivered: Vec<(u64, u64)>,
    methods: Vec<MethodId>,
}

impl Sink for Seen {
    fn body_head(&mut self, head: &[u8]) {
        self.heads
            .push(head[..head.len().min(STAMP_BYTES)].to_vec());
    }

    fn body_piece(&mut self, piece: &[u8]) {
        self.body.extend_from_slice(piece);
    }

    fn delivered(&mut self, _channel: u16, delivery_tag: u64, body_bytes: u64) {
        self.bodies.push(std::mem::take(&mut self.body));
        self.delivered.push((delivery_tag, body_bytes));
    }

    fn method(&mut self, _channel: u16, method: &Method<'_>) -> Result<(), PerfError> {
        self.methods.push(method.id());
        Ok(())
    }
}

fn put(out: &mut Vec<u8>, method: Method<'_>) {
    put_method(out, 1, &method).expect("it has an encoding");
}

/// A delivery whose body comes in the given parts.
fn deliver(out: &mut Vec<u8>, delivery_tag: u64, body: &[&[u8]]) {
    let deliver = basic::Deliver {
        consumer_tag: "c",
        delivery_tag,
        ..Default::default()
    };
    put(out, deliver.into());
    let body_bytes: usize = body.iter().map(|part| part.len()).sum();
    put_content_header(out, 1, &[0, 0], body_bytes as u64);
    for part in body {
        put_frame(out, FrameKind::Body, 1, part);
    }
}

fn stream() -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, basic::ConsumeOk { consumer_tag: "c" }.into());
    deliver(&mut out, 1, &[b"0123456789abcdef"]);
    deliver(&mut out, 2, &[]);
    put_heartbeat(&mut out);
    deliver(&mut out, 3, &[b"abc"]);
    deliver(&mut out, 4, &[&[b'x'; 100], &[b'y'; 37]]);
    put(
        &mut out,
        basic::Ack {
            delivery_tag: 1,
            multiple: false,
        }
        .into(),
    );
    deliver(&mut out, 5, &[b"", b"12345678"]);
    out
}

/// Feeds `stream` in reads of the given lengths through the buffer, as a socket would.
fn walk_in_reads(stream: &[u8], mut read_len: impl FnMut() -> usize) -> Result<Seen, PerfError> {
    let mut seen = Seen::default();
    let mut walker = Walker::new(4096);
    let mut inbound = Inbound::with_capacity(16);
    let mut rest = stream;
    while !rest.is_empty() {
        let (mut now, later) = rest.split_at(read_len().clamp(1, rest.len()));
        rest = later;
        while !now.is_empty() {
            inbound.fill(&mut now).expect("memory");
            let walked = walker.walk(inbound.unread(), &mut seen)?;
            inbound.consume(walked);
        }
    }
    assert!(
        inbound.unread().is_empty(),
        "the stream ends between two frames"
    );
    Ok(seen)
}

fn expected() -> Seen {
    Seen {
        heads: [&b"01234567"[..], b"", b"abc", b"xxxxxxxx", b"", b"12345678"]
            .map(<[u8]>::to_vec)
            .to_vec(),
        body: Vec::new(),
        bodies: [
            &b"0123456789abcdef"[..],
            b"",
            b"abc",
            &[&[b'x'; 100][..], &[b'y'; 37]].concat(),
            b"12345678",
        ]
        .map(<[u8]>::to_vec)
        .to_vec(),
        delivered: vec![(1, 16), (2, 0), (3, 3), (4, 137), (5, 8)],
        methods: vec![basic::ConsumeOk::ID, basic::Ack::ID],
    }
}

#[test]
fn one_read_with_everything_is_walked_whole() {
    assert_eq!(
        walk_in_reads(&stream(), || usize::MAX).expect("valid"),
        expected()
    );
}

#[test]
fn every_fixed_read_length_gives_the_same_answer() {
    for len in 1..stream().len() {
        assert_eq!(
            walk_in_reads(&stream(), || len).expect("valid"),
            expected(),
            "reads of {len}"
        );
    }
}

#[test]
fn every_single_cut_gives_the_same_answer() {
    let stream = stream();
    for cut in 1..stream.len() {
        let mut lens = [cut, usize::MAX].into_iter();
        let seen = walk_in_reads(&stream, || lens.next().expect("two reads"));
        assert_eq!(seen.expect("valid"), expected(), "cut at {cut}");
    }
}

#[test]
fn deliveries_that_arrive_with_consume_ok_are_not_lost() {
    let mut seen = Seen::default();
    let bytes = stream();
    let walked = Walker::new(4096).walk(&bytes, &mut seen).expect("valid");
    assert_eq!(walked, bytes.len());
    assert_eq!(seen.methods.first(), Some(&basic::ConsumeOk::ID));
    assert_eq!(seen.delivered.len(), 5);
}

#[test]
fn a_message_counts_only_with_its_last_octet() {
    let mut bytes = Vec::new();
    deliver(&mut bytes, 9, &[&[b'x'; 64]]);
    let mut seen = Seen::default();
    let mut walker = Walker::new(4096);
    let cut = bytes.len() - 1;
    let walked = walker.walk(&bytes[..cut], &mut seen).expect("valid");
    assert_eq!((walked, seen.delivered.len()), (cut, 0));
    walker.walk(&bytes[cut..], &mut seen).expect("valid");
    assert_eq!(seen.delivered, [(9, 64)]);
}

#[track_caller]
fn refused(bytes: &[u8], reason: &str) {
    for len in [usize::MAX, 1, 3] {
        match walk_in_reads(bytes, || len) {
            Err(PerfError::Protocol(text)) => assert_eq!(text, reason),
            other => panic!("reads of {len}: {other:?}"),
        }
    }
}

#[test]
fn a_frame_above_frame_max_is_refused_at_its_head() {
    let mut largest = Vec::new();
    deliver(&mut largest, 1, &[&[0; 4096 - FRAME_OVERHEAD]]);
    assert!(walk_in_reads(&largest, || 11).is_ok());
    let mut larger = Vec::new();
    put_frame(
        &mut larger,
        FrameKind::Body,
        1,
        &[0; 4096 - FRAME_OVERHEAD + 1],
    );
    larger.truncate(7);
    refused(&larger, "a frame larger than frame_max");
}

#[test]
fn a_wrong_end_octet_is_refused() {
    let mut bytes = Vec::new();
    deliver(&mut bytes, 1, &[b"0123456789abcdef"]);
    *bytes.last_mut().expect("not empty") = 0;
    refused(&bytes, "a frame without its end octet");
}

#[test]
fn content_out_of_place_is_refused() {
    let mut lone_body = Vec::new();
    put_frame(&mut lone_body, FrameKind::Body, 1, b"x");
    refused(&lone_body, "a body frame out of place");

    let mut too_long = Vec::new();
    deliver(&mut too_long, 1, &[b"0123456789"]);
    let size_at = too_long.len() - 10 - 8 - 2 - 1 - 1;
    too_long[size_at] = 4;
    refused(&too_long, "a body frame out of place");

    let mut twice = Vec::new();
    deliver(&mut twice, 1, &[b"x"]);
    let method_bytes = twice.len() - 22 - 9;
    twice.truncate(method_bytes);
    let again = twice.clone();
    twice.extend(again);
    refused(&twice, "basic.deliver inside another message");

    let mut lone_header = Vec::new();
    deliver(&mut lone_header, 1, &[]);
    refused(
        &lone_header[method_bytes..],
        "a content header out of place",
    );
}

#[test]
fn messages_of_several_channels_may_be_interleaved() {
    let on = |channel: u16, tag: u64, body: &[u8]| {
        let mut frames = [Vec::new(), Vec::new(), Vec::new()];
        let deliver = basic::Deliver {
            delivery_tag: tag,
            ..Default::default()
        };
        put_method(&mut frames[0], channel, &deliver.into()).expect("it has an encoding");
        put_content_header(&mut frames[1], channel, &[0, 0], body.len() as u64);
        put_frame(&mut frames[2], FrameKind::Body, channel, body);
        frames
    };
    let (one, two) = (on(1, 7, b"abc"), on(2, 9, b"de"));
    let bytes: Vec<u8> = one
        .iter()
        .zip(&two)
        .flat_map(|(a, b)| [&a[..], b].concat())
        .collect();
    let mut seen = Seen::default();
    let walked = Walker::with_channels(4096, 2).walk(&bytes, &mut seen);
    assert_eq!(walked.expect("valid"), bytes.len());
    assert_eq!(seen.delivered, [(7, 3), (9, 2)]);
    let unknown = Walker::new(4096).walk(&bytes, &mut seen);
    assert!(unknown.is_err(), "channel 2 is not open");
}

//! Frames byte by byte: layout, limits, and input that ends or lies anywhere.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::method::{basic, connection};

fn frame_bytes(kind: FrameKind, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_frame(&mut out, kind, channel, payload);
    out
}

/// Cuts all frames; fails on an incomplete rest.
#[track_caller]
fn cut_all(mut input: &[u8]) -> Vec<Frame<'_>> {
    let mut frames = Vec::new();
    while !input.is_empty() {
        match cut(input, u32::MAX) {
            Ok(Cut::Frame { frame, len }) => {
                frames.push(frame);
                input = &input[len..];
            }
            other => panic!("{other:?} at {input:?}"),
        }
    }
    frames
}

#[test]
fn a_frame_is_laid_out_as_the_specification_says() {
    let out = frame_bytes(FrameKind::Body, 0x0102, b"hey");
    assert_eq!(out, [3, 1, 2, 0, 0, 0, 3, b'h', b'e', b'y', 0xCE]);
}

#[test]
fn a_heartbeat_is_eight_bytes_on_channel_0() {
    let mut out = Vec::new();
    put_heartbeat(&mut out);
    assert_eq!(out, [8, 0, 0, 0, 0, 0, 0, 0xCE]);
}

#[test]
fn a_frame_split_at_any_byte_is_incomplete_until_its_last() {
    let whole = frame_bytes(FrameKind::Method, 7, &[9; 20]);
    for have in 0..whole.len() {
        let needed = if have < 7 { 7 } else { whole.len() };
        assert_eq!(
            cut(&whole[..have], 20),
            Ok(Cut::Incomplete { needed }),
            "{have} bytes"
        );
    }
    let frame = Frame {
        kind: FrameKind::Method,
        channel: 7,
        payload: &[9; 20],
    };
    assert_eq!(
        cut(&whole, 20),
        Ok(Cut::Frame {
            frame,
            len: whole.len()
        })
    );
}

#[test]
fn only_the_first_frame_is_cut() {
    let mut input = frame_bytes(FrameKind::Body, 1, b"one");
    let first = input.len();
    put_frame(&mut input, FrameKind::Body, 2, b"two");
    let Ok(Cut::Frame { frame, len }) = cut(&input, 3) else {
        panic!("a whole frame is there")
    };
    assert_eq!((frame.channel, frame.payload, len), (1, &b"one"[..], first));
}

#[test]
fn payload_max_admits_its_own_size_and_nothing_above() {
    for payload in [99, 100, 101] {
        let input = frame_bytes(FrameKind::Body, 1, &vec![0; payload as usize]);
        let too_large = Err(FrameError::TooLarge { payload, max: 100 });
        if payload <= 100 {
            assert!(
                matches!(cut(&input, 100), Ok(Cut::Frame { .. })),
                "{payload}"
            );
            assert!(
                matches!(cut(&input[..7], 100), Ok(Cut::Incomplete { .. })),
                "{payload}"
            );
        } else {
            assert_eq!(cut(&input, 100), too_large);
            assert_eq!(
                cut(&input[..7], 100),
                too_large,
                "known from the head alone"
            );
        }
    }
}

#[test]
fn a_size_of_four_gigabytes_is_refused_from_the_head() {
    let head = [1, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF];
    let max = 131_064;
    assert_eq!(
        cut(&head, max),
        Err(FrameError::TooLarge {
            payload: u32::MAX,
            max
        })
    );
    assert_eq!(
        cut(&head, u32::MAX),
        Ok(Cut::Incomplete {
            needed: 0xFFFF_FFFF + 8
        })
    );
}

#[test]
fn every_other_kind_is_refused() {
    for kind in (0..=255).filter(|kind| ![1, 2, 3, 8].contains(kind)) {
        let input = [kind, 0, 0, 0, 0, 0, 0, FRAME_END];
        assert_eq!(cut(&input, 0), Err(FrameError::UnknownKind(kind)));
    }
}

#[test]
fn every_other_end_is_refused() {
    for end in (0..=255).filter(|end| *end != FRAME_END) {
        assert_eq!(
            cut(&[8, 0, 0, 0, 0, 0, 0, end], 0),
            Err(FrameError::BadEnd(end))
        );
    }
}

#[test]
fn a_method_frame_carries_its_length() {
    let mut out = vec![0xAA];
    let ack = basic::Ack {
        delivery_tag: 5,
        multiple: true,
    };
    put_method(&mut out, 3, &ack.into()).unwrap();
    let expected = [
        0xAA, 1, 0, 3, 0, 0, 0, 13, 0, 60, 0, 80, 0, 0, 0, 0, 0, 0, 0, 5, 1, FRAME_END,
    ];
    assert_eq!(out, expected);
}

#[test]
fn a_method_that_does_not_fit_leaves_the_output_as_it_was() {
    let mut out = b"before".to_vec();
    let reason = "x".repeat(256);
    let blocked = connection::Blocked { reason: &reason };
    let refused = put_method(&mut out, 0, &blocked.into());
    assert_eq!(refused, Err(EncodeError::ShortStringTooLong(256)));
    assert_eq!(out, b"before");
}

#[test]
fn a_content_header_announces_class_60_weight_0_and_the_body_size() {
    let mut out = Vec::new();
    put_content_header(&mut out, 1, &[0x10, 0, 2], 0x0102_0304_0506_0708);
    let payload = [0, 60, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0x10, 0, 2];
    assert_eq!(out, frame_bytes(FrameKind::Header, 1, &payload));
}

#[test]
fn a_body_is_split_only_where_it_exceeds_a_frame() {
    let sizes = |body: usize, frame_max: u32| -> Vec<usize> {
        let mut out = Vec::new();
        put_body_frames(&mut out, 1, &vec![7; body], frame_max);
        cut_all(&out)
            .iter()
            .map(|frame| frame.payload.len())
            .collect()
    };
    assert_eq!(sizes(0, 4096), []);
    assert_eq!(sizes(4087, 4096), [4087]);
    assert_eq!(sizes(4088, 4096), [4088]);
    assert_eq!(sizes(4089, 4096), [4088, 1]);
    assert_eq!(sizes(9000, 4096), [4088, 4088, 824]);
    assert_eq!(sizes(9000, 0), [9000], "0 is unlimited");
    assert_eq!(sizes(2, 8), [1, 1], "no room, yet every byte goes out");
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(input in vec(any::<u8>(), 0..64), max in any::<u32>()) {
        if let Ok(Cut::Frame { frame, len }) = cut(&input, max) {
            prop_assert_eq!(len, frame.payload.len() + FRAME_OVERHEAD);
            prop_assert!(len <= input.len());
        }
    }

    #[test]
    fn content_comes_back_from_its_frames(
        channel in any::<u16>(),
        body in vec(any::<u8>(), 0..400),
        frame_max in 9u32..200,
    ) {
        let mut out = Vec::new();
        put_content(&mut out, channel, &[0, 0], &body, frame_max);
        let frames = cut_all(&out);
        prop_assert!(frames.iter().all(|frame| frame.channel == channel));
        prop_assert_eq!(frames[0].kind, FrameKind::Header);
        let joined: Vec<u8> = frames[1..].iter().flat_map(|f| f.payload).copied().collect();
        prop_assert_eq!(joined, body);
        for frame in &frames[1..] {
            prop_assert_eq!(frame.kind, FrameKind::Body);
            prop_assert!(frame.payload.len() + FRAME_OVERHEAD <= frame_max as usize);
        }
    }
}

//! Frames: cutting them out of a byte stream, and writing them.
//!
//! ```text
//!   0      1         3               7                  7+size
//!   ┌──────┬─────────┬───────────────┬─── … ────────────┬──────┐
//!   │ kind │ channel │ payload size  │ payload          │ 0xCE │
//!   └──────┴─────────┴───────────────┴─── … ────────────┴──────┘
//! ```
//!
//! Cutting looks at the head first, so that a frame over the limit is refused before anyone
//! buffers it, and it borrows the payload. What is in a payload is not this file's business.

#[cfg(test)]
mod tests;

use thiserror::Error;

use crate::error::EncodeError;
use crate::method::Method;
use crate::primitive::put_whole;
use crate::properties::BASIC_CLASS;

/// What a client sends first: `AMQP`, and the version 0-9-1.
pub const PROTOCOL_HEADER: [u8; 8] = *b"AMQP\0\0\x09\x01";
/// The byte behind each payload.
pub const FRAME_END: u8 = 0xCE;
/// The bytes of a frame that are not payload.
pub const FRAME_OVERHEAD: usize = HEAD_SIZE + 1;
/// The smallest frame size that a peer may ask for, as the specification has it.
pub const FRAME_MIN_SIZE: u32 = 4096;

const HEAD_SIZE: usize = 7;

/// What the payload of a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FrameKind {
    /// A method and its arguments.
    Method = 1,
    /// A content header.
    Header = 2,
    /// A piece of a content body.
    Body = 3,
    /// A sign of life, without payload.
    Heartbeat = 8,
}

impl FrameKind {
    #[inline]
    const fn from_byte(byte: u8) -> Option<FrameKind> {
        match byte {
            1 => Some(FrameKind::Method),
            2 => Some(FrameKind::Header),
            3 => Some(FrameKind::Body),
            8 => Some(FrameKind::Heartbeat),
            _ => None,
        }
    }
}

/// A whole frame; the payload lies in the input it was cut from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What the payload is.
    pub kind: FrameKind,
    /// The channel, 0 for the connection itself.
    pub channel: u16,
    /// The bytes between head and end.
    pub payload: &'a [u8],
}

/// What the beginning of the input holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut<'a> {
    /// A whole frame.
    Frame {
        /// The frame.
        frame: Frame<'a>,
        /// The bytes of input it takes.
        len: usize,
    },
    /// The beginning of a frame, or nothing.
    Incomplete {
        /// The bytes that the whole frame has; 7 as long as its head is not whole.
        needed: usize,
    },
}

/// Why the input is no frame. The stream cannot be read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The first byte is no kind of frame.
    #[error("unknown frame type {0}")]
    UnknownKind(u8),
    /// The head announces more payload than agreed.
    #[error("frame payload of {payload} bytes, at most {max} allowed")]
    TooLarge {
        /// The payload size in the head.
        payload: u32,
        /// The largest allowed.
        max: u32,
    },
    /// The byte behind the payload is not [`FRAME_END`].
    #[error("frame ends with {0:#04x}, not 0xce")]
    BadEnd(u8),
}

/// Cuts the first frame out of `input`. A payload of exactly `payload_max` bytes is allowed; the
/// limit and the kind are judged as soon as the head is there.
#[inline]
pub fn cut(input: &[u8], payload_max: u32) -> Result<Cut<'_>, FrameError> {
    let Some((&[kind, c0, c1, s0, s1, s2, s3], rest)) = input.split_first_chunk::<HEAD_SIZE>()
    else {
        return Ok(Cut::Incomplete { needed: HEAD_SIZE });
    };
    let Some(kind) = FrameKind::from_byte(kind) else {
        return Err(FrameError::UnknownKind(kind));
    };
    let payload = u32::from_be_bytes([s0, s1, s2, s3]);
    if payload > payload_max {
        return Err(FrameError::TooLarge {
            payload,
            max: payload_max,
        });
    }
    let size = payload as usize;
    let len = size.saturating_add(FRAME_OVERHEAD);
    let Some(&end) = rest.get(size) else {
        return Ok(Cut::Incomplete { needed: len });
    };
    if end != FRAME_END {
        return Err(FrameError::BadEnd(end));
    }
    let channel = u16::from_be_bytes([c0, c1]);
    Ok(Cut::Frame {
        frame: Frame {
            kind,
            channel,
            payload: &rest[..size],
        },
        len,
    })
}

/// Appends a frame. The payload must fit the 32-bit size, which every negotiated frame does.
#[inline]
pub fn put_frame(out: &mut Vec<u8>, kind: FrameKind, channel: u16, payload: &[u8]) {
    debug_assert!(
        u32::try_from(payload.len()).is_ok(),
        "the caller splits what is larger"
    );
    put_head(out, kind, channel, payload.len() as u32);
    out.extend_from_slice(payload);
    out.push(FRAME_END);
}

/// Appends a heartbeat, which belongs to channel 0.
pub fn put_heartbeat(out: &mut Vec<u8>) {
    put_frame(out, FrameKind::Heartbeat, 0, &[]);
}

/// Appends a method as one frame. On error `out` is as before.
#[inline]
pub fn put_method(out: &mut Vec<u8>, channel: u16, method: &Method<'_>) -> Result<(), EncodeError> {
    put_whole(out, |out| {
        let start = out.len();
        put_head(out, FrameKind::Method, channel, 0);
        method.encode(out)?;
        let size = out.len() - start - HEAD_SIZE;
        let len = u32::try_from(size).map_err(|_| EncodeError::MethodTooLarge(size))?;
        out[start + 3..start + HEAD_SIZE].copy_from_slice(&len.to_be_bytes());
        out.push(FRAME_END);
        Ok(())
    })
}

/// Appends a content header and the body, split into frames of at most `frame_max` bytes (0 is
/// unlimited). `properties` are the flag word and the values as they were received or encoded.
#[inline]
pub fn put_content(
    out: &mut Vec<u8>,
    channel: u16,
    properties: &[u8],
    body: &[u8],
    frame_max: u32,
) {
    put_content_header(out, channel, properties, body.len() as u64);
    put_body_frames(out, channel, body, frame_max);
}

/// Appends a content header of the basic class. A header cannot be split, however large its
/// properties are.
#[inline]
pub fn put_content_header(out: &mut Vec<u8>, channel: u16, properties: &[u8], body_size: u64) {
    const FIXED: usize = 12;
    debug_assert!(
        u32::try_from(properties.len() + FIXED).is_ok(),
        "properties came in a frame"
    );
    put_head(
        out,
        FrameKind::Header,
        channel,
        (properties.len() + FIXED) as u32,
    );
    out.extend_from_slice(&BASIC_CLASS.to_be_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&body_size.to_be_bytes());
    out.extend_from_slice(properties);
    out.push(FRAME_END);
}

/// Appends a body as frames of at most `frame_max` bytes (0 is unlimited). An empty body has no
/// frame. Under a limit that leaves no room for payload each frame carries one byte.
#[inline]
pub fn put_body_frames(out: &mut Vec<u8>, channel: u16, body: &[u8], frame_max: u32) {
    let frame_max = if frame_max == 0 { u32::MAX } else { frame_max };
    let payload_max = frame_max.saturating_sub(FRAME_OVERHEAD as u32).max(1);
    for piece in body.chunks(payload_max as usize) {
        put_frame(out, FrameKind::Body, channel, piece);
    }
}

#[inline]
fn put_head(out: &mut Vec<u8>, kind: FrameKind, channel: u16, size: u32) {
    let [c0, c1] = channel.to_be_bytes();
    let [s0, s1, s2, s3] = size.to_be_bytes();
    out.extend_from_slice(&[kind as u8, c0, c1, s0, s1, s2, s3]);
}

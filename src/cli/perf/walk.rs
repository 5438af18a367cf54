//! Received bytes: the read buffer, and the walk over frame heads that counts deliveries.
//!
//! ```text
//! deliver   01 ch ch  size  00 3C 00 3C  len ctag…  tag(8)  redelivered exchange key  CE
//! header    02 ch ch  size  00 3C 00 00  body size(8)  flags properties               CE
//! body      03 ch ch  size  payload …                                                 CE   (none to many)
//! ```
//!
//! Owns the state between two reads: a frame may be cut anywhere, and a body frame is passed over
//! piece by piece instead of being gathered. Never copies a body and never writes.

use std::io::{self, Read};

use amqp_codec::{FRAME_END, FRAME_OVERHEAD, FrameKind, Method, MethodId, basic};

use super::error::PerfError;

/// What a walk reports, in the order of the bytes.
pub(super) trait Sink {
    /// The first bytes of a body: at least `STAMP_BYTES` of them, or all of a shorter one.
    fn body_head(&mut self, head: &[u8]);

    /// The next bytes of a body, its head among them.
    #[inline]
    fn body_piece(&mut self, _piece: &[u8]) {}

    /// A message is complete to its last octet.
    fn delivered(&mut self, channel: u16, delivery_tag: u64, body_bytes: u64);

    /// Any method but basic.deliver.
    fn method(&mut self, channel: u16, method: &Method<'_>) -> Result<(), PerfError>;
}

const METHOD: u8 = FrameKind::Method as u8;
const HEADER: u8 = FrameKind::Header as u8;
const BODY: u8 = FrameKind::Body as u8;
const HEARTBEAT: u8 = FrameKind::Heartbeat as u8;

/// How many bytes at the front of a body are shown in one piece.
pub(super) const STAMP_BYTES: usize = 8;

/// The place in the stream of frames: between frames, or inside a body frame.
pub(super) struct Walker {
    frame_max: usize,
    /// By channel; channel 0 carries no messages.
    places: Vec<Place>,
    /// Of the current frame.
    channel: u16,
    /// Octets of the current body frame, end octet included, that have not been read yet.
    frame_left: usize,
}

/// How far a channel is in a message.
#[derive(Clone, Copy)]
struct Place {
    awaiting: Awaiting,
    delivery_tag: u64,
    body_bytes: u64,
    body_left: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Awaiting {
    Method,
    Header,
    Body,
}

impl Walker {
    /// Of a connection whose messages come on channel 1.
    pub(super) fn new(frame_max: u32) -> Self {
        Walker::with_channels(frame_max, 1)
    }

    /// Of a connection with so many channels, numbered from 1.
    pub(super) fn with_channels(frame_max: u32, channels: u16) -> Self {
        let between = Place {
            awaiting: Awaiting::Method,
            delivery_tag: 0,
            body_bytes: 0,
            body_left: 0,
        };
        Walker {
            frame_max: frame_max as usize,
            places: vec![between; usize::from(channels) + 1],
            channel: 0,
            frame_left: 0,
        }
    }

    #[inline]
    fn place(&mut self) -> Result<&mut Place, PerfError> {
        let place = self.places.get_mut(usize::from(self.channel));
        place.ok_or_else(|| protocol("a message on a channel that is not open"))
    }

    /// Walks as far as whole frame heads reach; returns how many bytes are done with.
    pub(super) fn walk<S: Sink>(&mut self, bytes: &[u8], sink: &mut S) -> Result<usize, PerfError> {
        let mut at = self.pass_over(bytes, sink)?;
        while self.frame_left == 0 {
            let rest = &bytes[at..];
            let Some(size) = self.payload_bytes(rest)? else {
                break;
            };
            match rest.get(..size + FRAME_OVERHEAD) {
                Some(frame) => {
                    self.frame(frame, sink)?;
                    at += frame.len();
                }
                None => {
                    at += self.enter_body(rest, size, sink);
                    break;
                }
            }
        }
        Ok(at)
    }

    /// Payload length of the frame that `rest` begins with, once its head is there.
    #[inline]
    fn payload_bytes(&self, rest: &[u8]) -> Result<Option<usize>, PerfError> {
        let Some(&[_, _, _, a, b, c, d]) = rest.first_chunk() else {
            return Ok(None);
        };
        let size = u32::from_be_bytes([a, b, c, d]) as usize;
        if size + FRAME_OVERHEAD > self.frame_max {
            return Err(protocol("a frame larger than frame_max"));
        }
        Ok(Some(size))
    }

    #[inline]
    fn frame<S: Sink>(&mut self, frame: &[u8], sink: &mut S) -> Result<(), PerfError> {
        let payload = &frame[7..frame.len() - 1];
        if frame[frame.len() - 1] != FRAME_END {
            return Err(protocol("a frame without its end octet"));
        }
        self.channel = u16::from_be_bytes([frame[1], frame[2]]);
        match frame[0] {
            METHOD => self.method(payload, sink),
            HEADER => self.header(payload, sink),
            BODY => {
                self.begin_body_frame(payload, payload.len() as u64, sink)?;
                self.end_body_frame(sink);
                Ok(())
            }
            HEARTBEAT => Ok(()),
            _ => Err(protocol("a frame of unknown type")),
        }
    }

    #[inline]
    fn method<S: Sink>(&mut self, payload: &[u8], sink: &mut S) -> Result<(), PerfError> {
        let Some((&[a, b, c, d], arguments)) = payload.split_first_chunk() else {
            return Err(protocol("a method frame without a method"));
        };
        let (class, method) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        if (MethodId { class, method }) != basic::Deliver::ID {
            return sink.method(
                self.channel,
                &Method::decode(payload).map_err(PerfError::malformed)?,
            );
        }
        let place = self.place()?;
        if place.awaiting != Awaiting::Method {
            return Err(protocol("basic.deliver inside another message"));
        }
        let tag_at = 1 + arguments.first().copied().unwrap_or(0) as usize;
        let Some(tag) = arguments.get(tag_at..).and_then(|rest| rest.first_chunk()) else {
            return Err(protocol("basic.deliver without a delivery tag"));
        };
        place.delivery_tag = u64::from_be_bytes(*tag);
        place.awaiting = Awaiting::Header;
        Ok(())
    }

    #[inline]
    fn header<S: Sink>(&mut self, payload: &[u8], sink: &mut S) -> Result<(), PerfError> {
        let size = payload.get(4..).and_then(|rest| rest.first_chunk());
        let place = self.place()?;
        let (Awaiting::Header, Some(size)) = (place.awaiting, size) else {
            return Err(protocol("a content header out of place"));
        };
        place.body_bytes = u64::from_be_bytes(*size);
        place.body_left = place.body_bytes;
        place.awaiting = Awaiting::Body;
        if place.body_bytes == 0 {
            sink.body_head(&[]);
            self.end_body_frame(sink);
        }
        Ok(())
    }

    /// Accounts for a whole body frame of which `payload` is what has been read so far.
    #[inline]
    fn begin_body_frame<S: Sink>(
        &mut self,
        payload: &[u8],
        size: u64,
        sink: &mut S,
    ) -> Result<(), PerfError> {
        let place = self.place()?;
        if place.awaiting != Awaiting::Body || size > place.body_left {
            return Err(protocol("a body frame out of place"));
        }
        if place.body_left == place.body_bytes {
            sink.body_head(payload);
        }
        place.body_left -= size;
        sink.body_piece(payload);
        Ok(())
    }

    #[inline]
    fn end_body_frame<S: Sink>(&mut self, sink: &mut S) {
        let channel = self.channel;
        if let Ok(place) = self.place()
            && place.body_left == 0
        {
            place.awaiting = Awaiting::Method;
            sink.delivered(channel, place.delivery_tag, place.body_bytes);
        }
    }

    /// Steps into a cut body frame; returns 0 when too little of it is there, or when the frame
    /// is of another kind and has to be gathered whole.
    fn enter_body<S: Sink>(&mut self, rest: &[u8], size: usize, sink: &mut S) -> usize {
        let head = 7 + size.min(STAMP_BYTES);
        if rest[0] != BODY || rest.len() < head {
            return 0;
        }
        self.channel = u16::from_be_bytes([rest[1], rest[2]]);
        let payload = &rest[7..rest.len().min(7 + size)];
        if self.begin_body_frame(payload, size as u64, sink).is_err() {
            // Out of place: leave it whole, the complete frame raises the error.
            return 0;
        }
        self.frame_left = 7 + size + 1 - rest.len();
        rest.len()
    }

    /// Passes over the rest of a body frame entered by an earlier walk.
    fn pass_over<S: Sink>(&mut self, bytes: &[u8], sink: &mut S) -> Result<usize, PerfError> {
        if self.frame_left == 0 {
            return Ok(0);
        }
        let passed = self.frame_left.min(bytes.len());
        sink.body_piece(&bytes[..passed.min(self.frame_left - 1)]);
        self.frame_left -= passed;
        if self.frame_left == 0 {
            if bytes[passed - 1] != FRAME_END {
                return Err(protocol("a frame without its end octet"));
            }
            self.end_body_frame(sink);
        }
        Ok(passed)
    }
}

/// Bytes read from a socket and not used yet.
pub(super) struct Inbound {
    buf: Vec<u8>,
    start: usize,
    end: usize,
}

impl Inbound {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Inbound {
            buf: vec![0; bytes],
            start: 0,
            end: 0,
        }
    }

    pub(super) fn unread(&self) -> &[u8] {
        &self.buf[self.start..self.end]
    }

    pub(super) fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        debug_assert!(self.start <= self.end, "only what was read can be consumed");
    }

    /// Grows or shrinks the buffer, never below what it holds.
    pub(super) fn resize(&mut self, bytes: usize) {
        let mut buf = self.unread().to_vec();
        self.start = 0;
        self.end = buf.len();
        buf.resize(bytes.max(buf.len()), 0);
        buf.shrink_to_fit();
        self.buf = buf;
    }

    /// One read behind what is there; `Ok(0)` is the end of the stream.
    pub(super) fn fill(&mut self, from: &mut impl Read) -> io::Result<usize> {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        } else if self.end == self.buf.len() {
            self.buf.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.buf.len() {
            self.buf.resize(self.buf.len().max(FIRST_GROWTH) * 2, 0);
        }
        let read = from.read(&mut self.buf[self.end..])?;
        self.end += read;
        Ok(read)
    }
}

fn protocol(what: &str) -> PerfError {
    PerfError::Protocol(what.to_owned())
}

/// A frame is bounded by `frame_max` before it is gathered, so growth is bounded too.
const FIRST_GROWTH: usize = 2048;

#[cfg(test)]
mod tests;

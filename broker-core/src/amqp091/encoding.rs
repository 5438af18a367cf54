//! Messages as frames, written by hand: this is the way of every delivery.
//!
//! Messages that follow one another mostly have one exchange and one routing key. What stands
//! before their properties is then the same but for four numbers:
//!
//! ```text
//!   ┌ basic.deliver: consumer tag, delivery tag, redelivered, exchange, key ┬ header: size, body size ┐
//!                                  ▲             ▲                                     ▲     ▲
//! ```
//!
//! So it is kept as a stencil, and each message costs the numbers and three copies.

use amqp_codec::{BASIC_CLASS, FRAME_END, FrameKind};
use smallvec::SmallVec;

use super::output::Output;
use super::publishing::without_bcc;
use crate::message::RecordRef;

/// The bytes of a content header that are not properties.
const HEADER_FIXED: u32 = 12;
/// Where the sizes of header and body stand, counted from the end of the stencil.
const HEADER_SIZE_FROM_END: usize = 16;
const BODY_SIZE_FROM_END: usize = 8;

/// What the deliveries to one consumer have in common.
#[derive(Debug)]
pub(super) struct Stencil<'a> {
    channel: u16,
    consumer_tag: &'a str,
    frame_max: u32,
    /// Everything up to the body size, for `names`; empty before the first message.
    bytes: SmallVec<[u8; 128]>,
    /// Where the delivery tag stands, with the redelivered flag behind it.
    tag_at: usize,
    /// The exchange, then the routing key.
    names: SmallVec<[u8; 64]>,
    exchange_len: usize,
}

impl<'a> Stencil<'a> {
    /// For deliveries to this consumer.
    pub(super) fn new(channel: u16, consumer_tag: &'a str, frame_max: u32) -> Stencil<'a> {
        Stencil {
            channel,
            consumer_tag,
            frame_max,
            bytes: SmallVec::new(),
            tag_at: 0,
            names: SmallVec::new(),
            exchange_len: 0,
        }
    }

    /// Appends basic.deliver, the header and the body.
    #[inline]
    pub(super) fn encode(&mut self, out: &mut Output, tag: u64, record: RecordRef<'_>) {
        let is_same = self.exchange_len == record.exchange().len()
            && *self.names == *record.names()
            && !self.bytes.is_empty();
        if !is_same {
            self.cut(record);
        }
        if record.has_bcc() {
            self.put(out, tag, record, &without_bcc(record.properties()));
        } else {
            self.put(out, tag, record, record.properties());
        }
    }

    /// Makes the stencil for messages that have the names of this one.
    #[cold]
    fn cut(&mut self, record: RecordRef<'_>) {
        let (exchange, key) = (record.exchange(), record.routing_key());
        let consumer_tag = self.consumer_tag.as_bytes();
        let payload = 4 + 1 + consumer_tag.len() + 8 + 1 + 1 + exchange.len() + 1 + key.len();
        let [c0, c1] = self.channel.to_be_bytes();
        let [s0, s1, s2, s3] = (payload as u32).to_be_bytes();
        let bytes = &mut self.bytes;
        bytes.clear();
        bytes.extend_from_slice(&[FrameKind::Method as u8, c0, c1, s0, s1, s2, s3]);
        bytes.extend_from_slice(&[0, 60, 0, 60, consumer_tag.len() as u8]);
        bytes.extend_from_slice(consumer_tag);
        self.tag_at = bytes.len();
        bytes.extend_from_slice(&[0; 9]);
        for name in [exchange, key] {
            bytes.push(name.len() as u8);
            bytes.extend_from_slice(name);
        }
        bytes.push(FRAME_END);
        let [k0, k1] = BASIC_CLASS.to_be_bytes();
        bytes.extend_from_slice(&[FrameKind::Header as u8, c0, c1, 0, 0, 0, 0, k0, k1, 0, 0]);
        bytes.extend_from_slice(&[0; 8]);
        self.names.clear();
        self.names.extend_from_slice(record.names());
        self.exchange_len = exchange.len();
    }

    #[inline]
    fn put(&mut self, out: &mut Output, tag: u64, record: RecordRef<'_>, properties: &[u8]) {
        let body = record.body();
        self.fill_in(tag, record, properties.len());
        let bytes = out.buffer();
        bytes.reserve(self.bytes.len() + properties.len() + body.len() + 2 * 8);
        bytes.extend_from_slice(&self.bytes);
        bytes.extend_from_slice(properties);
        let is_one_frame = self.frame_max == 0 || body.len() <= self.frame_max as usize - 8;
        if record.shared_body().is_some() || body.is_empty() || !is_one_frame {
            bytes.push(FRAME_END);
            out.body(self.channel, body, record.shared_body(), self.frame_max);
            return;
        }
        let [c0, c1] = self.channel.to_be_bytes();
        let [s0, s1, s2, s3] = (body.len() as u32).to_be_bytes();
        bytes.extend_from_slice(&[FRAME_END, FrameKind::Body as u8, c0, c1, s0, s1, s2, s3]);
        bytes.extend_from_slice(body);
        bytes.push(FRAME_END);
    }

    #[inline]
    fn fill_in(&mut self, tag: u64, record: RecordRef<'_>, properties: usize) {
        let (at, end) = (self.tag_at, self.bytes.len());
        let bytes = &mut self.bytes[..];
        bytes[at..at + 8].copy_from_slice(&tag.to_be_bytes());
        bytes[at + 8] = u8::from(record.is_redelivered());
        let header = HEADER_FIXED + properties as u32;
        let size_at = end - HEADER_SIZE_FROM_END;
        bytes[size_at..size_at + 4].copy_from_slice(&header.to_be_bytes());
        let body = record.body_len() as u64;
        bytes[end - BODY_SIZE_FROM_END..].copy_from_slice(&body.to_be_bytes());
    }
}

/// Appends header and body of a message, for a method that is no delivery.
pub(super) fn encode_content(
    out: &mut Output,
    channel: u16,
    record: RecordRef<'_>,
    frame_max: u32,
) {
    let body_len = record.body_len() as u64;
    if record.has_bcc() {
        let properties = without_bcc(record.properties());
        amqp_codec::put_content_header(out.buffer(), channel, &properties, body_len);
    } else {
        amqp_codec::put_content_header(out.buffer(), channel, record.properties(), body_len);
    }
    out.body(channel, record.body(), record.shared_body(), frame_max);
}

#[cfg(test)]
mod tests;

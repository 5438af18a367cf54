//! Publishes as prebuilt bytes: method, header and body frames of many equal messages in a row.
//! Owns the layout of such a block and where the time stamps lie in it; never sends it.

use amqp_codec::{FLAG_DELIVERY_MODE, FRAME_OVERHEAD, basic, put_body_frames, put_content_header};

use super::check::Seal;
use super::error::PerfError;
use super::keys::{NUMBER, numbered, write_digits};
use super::walk::STAMP_BYTES;
use super::wire::put;

/// What every message of a block looks like.
pub(super) struct Shape<'a> {
    pub(super) exchange: &'a str,
    pub(super) routing_key: &'a str,
    pub(super) body_bytes: usize,
    pub(super) persistent: bool,
    pub(super) frame_max: u32,
}

/// As many equal messages as fit into `BLOCK_BYTES`, at least one.
pub(super) struct Block {
    bytes: Vec<u8>,
    message_bytes: usize,
    body_at: usize,
    /// Where the number in the routing key lies.
    number_at: Option<usize>,
    /// Where the frames of a message begin.
    frames_at: Vec<usize>,
}

impl Block {
    pub(super) fn new(shape: &Shape<'_>) -> Result<Self, PerfError> {
        let (message, body_at) = message(shape)?;
        let count = (BLOCK_BYTES / message.len()).max(1);
        Ok(Block {
            bytes: message.repeat(count),
            message_bytes: message.len(),
            body_at,
            number_at: shape.number_at(),
            frames_at: frames_at(&message),
        })
    }

    /// How many messages the block holds.
    pub(super) fn messages(&self) -> u64 {
        (self.bytes.len() / self.message_bytes) as u64
    }

    /// The bytes of the first `messages` messages.
    pub(super) fn first(&self, messages: u64) -> &[u8] {
        &self.bytes[..messages as usize * self.message_bytes]
    }

    /// Puts the first `messages` messages on another channel.
    pub(super) fn put_on(&mut self, channel: u16, messages: u64) {
        let chunks = self.bytes.chunks_exact_mut(self.message_bytes);
        for message in chunks.take(messages as usize) {
            for at in &self.frames_at {
                message[at + 1..at + 3].copy_from_slice(&channel.to_be_bytes());
            }
        }
    }

    /// Writes `number(n)` into the routing key of each of the first `messages` messages.
    pub(super) fn number(&mut self, messages: u64, number: impl Fn(u64) -> u64) {
        let Some(at) = self.number_at else { return };
        let chunks = self.bytes.chunks_exact_mut(self.message_bytes);
        for (index, message) in chunks.take(messages as usize).enumerate() {
            if let Some(digits) = message[at..].first_chunk_mut() {
                write_digits(digits, number(index as u64));
            }
        }
    }

    /// Seals the bodies of the first `messages` messages, the first of them as `sequence`.
    pub(super) fn seal(&mut self, messages: u64, sequence: u64, seal: &Seal) {
        let chunks = self.bytes.chunks_exact_mut(self.message_bytes);
        for (sequence, message) in (sequence..).zip(chunks.take(messages as usize)) {
            seal.put(&mut message[self.body_at..], sequence);
        }
    }

    /// Writes `stamp(n)` at the front of the body of each of the first `messages` messages.
    pub(super) fn stamp(&mut self, messages: u64, stamp: impl Fn(u64) -> u64) {
        let chunks = self.bytes.chunks_exact_mut(self.message_bytes);
        for (index, message) in chunks.take(messages as usize).enumerate() {
            message[self.body_at..self.body_at + STAMP_BYTES]
                .copy_from_slice(&stamp(index as u64).to_be_bytes());
        }
    }
}

impl Shape<'_> {
    /// Where in the message the number of its routing key begins.
    fn number_at(&self) -> Option<usize> {
        let at = self.routing_key.find(NUMBER)?;
        Some(EXCHANGE_AT + self.exchange.len() + 1 + at)
    }
}

/// One whole message, and where its body begins.
fn message(shape: &Shape<'_>) -> Result<(Vec<u8>, usize), PerfError> {
    let mut out = Vec::new();
    let (exchange, routing_key) = (shape.exchange, &numbered(shape.routing_key, 0));
    let publish = basic::Publish {
        exchange,
        routing_key,
        ..Default::default()
    };
    put(&mut out, LOAD_CHANNEL, publish)?;
    let properties: &[u8] = if shape.persistent {
        PERSISTENT
    } else {
        NO_PROPERTIES
    };
    put_content_header(&mut out, LOAD_CHANNEL, properties, shape.body_bytes as u64);
    let body_at = out.len() + FRAME_OVERHEAD - 1;
    let body = vec![FILLING; shape.body_bytes];
    put_body_frames(&mut out, LOAD_CHANNEL, &body, shape.frame_max);
    Ok((out, body_at))
}

/// Where the frames begin that `message` consists of.
fn frames_at(message: &[u8]) -> Vec<usize> {
    let mut frames = Vec::new();
    let mut at = 0;
    while let Some(&[_, _, _, a, b, c, d]) = message[at..].first_chunk() {
        frames.push(at);
        at += u32::from_be_bytes([a, b, c, d]) as usize + FRAME_OVERHEAD;
    }
    frames
}

/// The first channel that carries publishes, deliveries and their acknowledgements.
pub(super) const LOAD_CHANNEL: u16 = 1;
/// One write call: large enough to make its fixed cost vanish, small enough to stay in cache.
const BLOCK_BYTES: usize = 65_536;
const NO_PROPERTIES: &[u8] = &[0, 0];
/// The flag of delivery_mode, and its value 2.
const PERSISTENT: &[u8] = &[(FLAG_DELIVERY_MODE >> 8) as u8, 0, 2];
/// The text of the exchange behind frame head, method, the reserved number and its own length.
const EXCHANGE_AT: usize = 7 + 4 + 2 + 1;
/// What bodies consist of.
pub(super) const FILLING: u8 = b'.';

#[cfg(test)]
mod tests {
    use super::*;

    fn block(body_bytes: usize, persistent: bool, frame_max: u32) -> Block {
        let (exchange, routing_key) = ("", "q");
        let shape = Shape {
            exchange,
            routing_key,
            body_bytes,
            persistent,
            frame_max,
        };
        Block::new(&shape).expect("it has an encoding")
    }

    /// Cuts bytes into (type, payload) by the frame grammar, apart from the code above.
    fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut frames = Vec::new();
        while !bytes.is_empty() {
            let size = u32::from_be_bytes(bytes[3..7].try_into().expect("four")) as usize;
            assert_eq!((bytes[1], bytes[2], bytes[7 + size]), (0, 1, 0xCE));
            frames.push((bytes[0], bytes[7..7 + size].to_vec()));
            bytes = &bytes[8 + size..];
        }
        frames
    }

    #[test]
    fn a_message_is_publish_then_header_then_body() {
        let block = block(3, false, 131_072);
        let expected = [
            (1, vec![0, 60, 0, 40, 0, 0, 0, 1, b'q', 0]),
            (2, vec![0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0]),
            (3, b"...".to_vec()),
        ];
        assert_eq!(frames(block.first(1)), expected);
    }

    #[test]
    fn persistent_sets_delivery_mode_two() {
        let frames = frames(block(1, true, 131_072).first(1));
        assert_eq!(frames[1].1[12..], [0x10, 0, 2]);
    }

    #[test]
    fn a_large_body_is_cut_at_frame_max_and_an_empty_one_has_no_frame() {
        let sizes = |bytes: usize| -> Vec<usize> {
            let frames = frames(block(bytes, false, 4096).first(1));
            frames[2..]
                .iter()
                .map(|(_, payload)| payload.len())
                .collect()
        };
        assert!(sizes(0).is_empty());
        assert_eq!(sizes(4088), [4088]);
        assert_eq!(sizes(4089), [4088, 1]);
        assert_eq!(sizes(10_000), [4088, 4088, 1824]);
    }

    #[test]
    fn blocks_hold_whole_messages_up_to_their_size_and_at_least_one() {
        let small = block(16, false, 131_072);
        assert_eq!(small.messages(), 65_536 / small.first(1).len() as u64);
        assert_eq!(
            frames(small.first(small.messages())).len() as u64,
            3 * small.messages()
        );
        assert_eq!(block(1 << 20, false, 131_072).messages(), 1);
    }

    #[test]
    fn numbers_lie_in_the_routing_key_of_each_message() {
        let (exchange, routing_key) = ("amq.topic", "a.%d.z");
        let mut block = Block::new(&Shape {
            exchange,
            routing_key,
            body_bytes: 1,
            persistent: false,
            frame_max: 4096,
        })
        .expect("it has an encoding");
        block.number(2, |index| 7 + index);
        let frames = frames(block.first(2));
        for (message, number) in frames.chunks(3).zip(["0000000007", "0000000008"]) {
            let (_, method) = &message[0];
            let publish = basic::Publish::decode_args(&method[4..]).expect("well-formed");
            let expected = format!("a.{number}.z");
            assert_eq!(
                (publish.exchange, publish.routing_key),
                ("amq.topic", expected.as_str())
            );
        }
    }

    #[test]
    fn every_frame_of_a_message_changes_its_channel() {
        let mut block = block(10_000, false, 4096);
        let before = frames(block.first(1));
        block.put_on(0x0102, 1);
        let bytes = block.first(1);
        assert_eq!(block.frames_at.len(), 5);
        for at in &block.frames_at {
            assert_eq!(bytes[at + 1..at + 3], [1, 2]);
        }
        block.put_on(LOAD_CHANNEL, 1);
        assert_eq!(frames(block.first(1)), before);
    }

    #[test]
    fn stamps_lie_at_the_front_of_each_body() {
        for (body_bytes, frame_max) in [(8, 131_072), (16, 131_072), (10_000, 4096)] {
            let mut block = block(body_bytes, false, frame_max);
            block.stamp(2, |index| 1000 + index);
            let messages = block.messages().min(2);
            let frames = frames(block.first(messages));
            let per_message = frames.len() / messages as usize;
            for (index, message) in frames.chunks(per_message).enumerate() {
                assert_eq!(message[2].1[..8], (1000 + index as u64).to_be_bytes());
            }
        }
    }
}

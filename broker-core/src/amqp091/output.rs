//! What a connection has to send: one buffer of encoded frames, with large bodies spliced in
//! between by reference, so that a body of 4 KiB or more is never copied on its way out.

use std::collections::VecDeque;
use std::io::IoSlice;

use amqp_codec::{EncodeError, FRAME_END, FrameKind, Method, put_method};
use bytes::{Buf, Bytes};

/// Written bytes are kept up to this many before they are forgotten.
const COMPACT_BYTES: usize = 64 * 1024;
/// At most this many slices are offered to one write.
const SLICES_MAX: usize = 64;

/// Encoded frames, ready for the socket.
#[derive(Debug, Default)]
pub struct Output {
    bytes: Vec<u8>,
    /// Bytes of `bytes` that are written already.
    written: usize,
    /// (position in `bytes` before which it is sent, what is left of it).
    splices: VecDeque<(usize, Bytes)>,
    spliced_bytes: usize,
}

impl Output {
    /// An output that encodes into `buffer`, which must be empty.
    pub fn with_buffer(buffer: Vec<u8>) -> Output {
        debug_assert!(buffer.is_empty());
        Output {
            bytes: buffer,
            ..Output::default()
        }
    }

    /// Bytes not yet written.
    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len() - self.written + self.spliced_bytes
    }

    /// Whether everything is written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The buffer, for encoders that append to it.
    #[inline]
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Takes the empty buffer back, to be used by another connection.
    pub fn take_buffer(&mut self) -> Vec<u8> {
        debug_assert!(self.is_empty());
        self.bytes.clear();
        self.written = 0;
        std::mem::take(&mut self.bytes)
    }

    /// Appends a method frame.
    pub fn method<'a>(
        &mut self,
        channel: u16,
        method: impl Into<Method<'a>>,
    ) -> Result<(), EncodeError> {
        put_method(&mut self.bytes, channel, &method.into())
    }

    /// Sends `body` by reference after what is encoded so far.
    pub fn splice(&mut self, body: Bytes) {
        self.spliced_bytes += body.len();
        self.splices.push_back((self.bytes.len(), body));
    }

    /// Appends the frames of a body, split at `frame_max`; a shared one is spliced in.
    #[inline]
    pub fn body(&mut self, channel: u16, body: &[u8], shared: Option<&Bytes>, frame_max: u32) {
        let chunk_max = if frame_max == 0 {
            usize::MAX
        } else {
            frame_max as usize - 8
        };
        let mut sent = 0;
        while sent < body.len() {
            let chunk = chunk_max.min(body.len() - sent);
            self.frame_head(FrameKind::Body, channel, chunk as u32);
            match shared {
                Some(shared) => self.splice(shared.slice(sent..sent + chunk)),
                None => self.bytes.extend_from_slice(&body[sent..sent + chunk]),
            }
            self.bytes.push(FRAME_END);
            sent += chunk;
        }
    }

    #[inline]
    fn frame_head(&mut self, kind: FrameKind, channel: u16, payload: u32) {
        let channel = channel.to_be_bytes();
        let size = payload.to_be_bytes();
        self.bytes.extend_from_slice(&[
            kind as u8, channel[0], channel[1], size[0], size[1], size[2], size[3],
        ]);
    }

    /// The next slices to write, in order; at most as many as one system call should take.
    pub fn slices<'a>(&'a self, slices: &mut Vec<IoSlice<'a>>) {
        let mut at = self.written;
        for (before, body) in self.splices.iter().take(SLICES_MAX / 2) {
            if *before > at {
                slices.push(IoSlice::new(&self.bytes[at..*before]));
                at = *before;
            }
            slices.push(IoSlice::new(body));
        }
        let end = self
            .splices
            .get(SLICES_MAX / 2)
            .map_or(self.bytes.len(), |(before, _)| *before);
        if end > at {
            slices.push(IoSlice::new(&self.bytes[at..end]));
        }
    }

    /// The unwritten bytes when there is nothing spliced in: the common case, one plain write.
    pub fn plain(&self) -> Option<&[u8]> {
        self.splices.is_empty().then(|| &self.bytes[self.written..])
    }

    /// `count` bytes were written.
    pub fn advance(&mut self, mut count: usize) {
        while count > 0 {
            let step = match self.splices.front_mut() {
                Some((before, body)) if *before == self.written => {
                    let step = count.min(body.len());
                    body.advance(step);
                    self.spliced_bytes -= step;
                    if body.is_empty() {
                        self.splices.pop_front();
                    }
                    step
                }
                next => {
                    let end = next.map_or(self.bytes.len(), |(before, _)| *before);
                    let step = count.min(end - self.written);
                    self.written += step;
                    step
                }
            };
            debug_assert!(step > 0, "more written than there was");
            count -= step;
            if step == 0 {
                break;
            }
        }
        if self.is_empty() {
            self.bytes.clear();
            self.written = 0;
        } else if self.written >= COMPACT_BYTES && self.written * 2 >= self.bytes.len() {
            self.compact();
        }
    }

    /// Forgets what is written, so that a reader who never catches up costs no more than what it
    /// still has to read.
    fn compact(&mut self) {
        self.bytes.drain(..self.written);
        for (before, _) in &mut self.splices {
            *before -= self.written;
        }
        self.written = 0;
    }
}

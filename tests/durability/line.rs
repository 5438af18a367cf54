//! One connection under load: many publishes in one write, deliveries and confirms as they come.
//! Knows the bytes of the few methods that must be fast; what is rare goes through the peer.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::body::{self, Id};
use crate::support::client::{Arrival, FRAME_MAX, Frame, Peer, put_frame};
use crate::support::method::Method;

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
/// What a frame may carry beside its head and end.
const PART: usize = FRAME_MAX - 8;

/// The broker is gone, or has closed the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;

/// A message that arrived, by delivery or by a get.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    pub(crate) tag: u64,
    pub(crate) redelivered: bool,
    /// None if the body is not one that was ever published.
    pub(crate) id: Option<Id>,
    /// The content header, for those who look into it.
    pub(crate) header: Vec<u8>,
}

/// What arrives.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Delivery(Delivery),
    /// A get found nothing.
    Empty,
    /// An answer to publishes.
    Confirm {
        tag: u64,
        multiple: bool,
        taken: bool,
    },
    /// A message that no queue takes came back.
    Returned,
    /// Anything else.
    Method(u16, Method),
    /// Nothing came in time.
    Quiet,
}

/// How a message is published.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Envelope<'a> {
    pub(crate) exchange: &'a str,
    pub(crate) key: &'a str,
    pub(crate) priority: u8,
}

pub(crate) struct Line {
    pub(crate) peer: Peer,
    out: Vec<u8>,
}

impl Line {
    /// A connection of `guest` with channel 1 open.
    pub(crate) fn open(address: SocketAddr) -> Result<Line, String> {
        let peer = Peer::open(address, "/")?;
        let out = Vec::new();
        Ok(Line { peer, out })
    }

    /// Asks on a channel and waits for the method that must follow.
    pub(crate) fn call(&mut self, channel: u16, question: &str, answer: &str) -> Result<(), Gone> {
        let asked = self.peer.call(channel, question, answer);
        asked.map(|_| ()).map_err(|_| Gone)
    }

    /// Gathers a persistent, mandatory publish.
    pub(crate) fn publish(&mut self, channel: u16, to: Envelope<'_>, id: Id, size: usize) {
        let mut method = vec![0, 60, 0, 40, 0, 0];
        put_short(&mut method, to.exchange);
        put_short(&mut method, to.key);
        method.push(1);
        put_frame(&mut self.out, METHOD, channel, &method);
        let body = body::body(id, size);
        let mut header = vec![0, 60, 0, 0];
        header.extend_from_slice(&(body.len() as u64).to_be_bytes());
        // The flags of delivery-mode and priority.
        header.extend_from_slice(&0x1800_u16.to_be_bytes());
        header.extend_from_slice(&[2, to.priority]);
        put_frame(&mut self.out, HEADER, channel, &header);
        for part in body.chunks(PART) {
            put_frame(&mut self.out, BODY, channel, part);
        }
    }

    /// Gathers an acknowledgement.
    pub(crate) fn ack(&mut self, channel: u16, tag: u64, multiple: bool) {
        self.settle(channel, 80, tag, u8::from(multiple));
    }

    /// Gathers a nack that puts the message back.
    pub(crate) fn requeue(&mut self, channel: u16, tag: u64) {
        self.settle(channel, 120, tag, 0b10);
    }

    /// Gathers a reject that sends the message to the dead letters.
    pub(crate) fn reject(&mut self, channel: u16, tag: u64) {
        self.settle(channel, 90, tag, 0);
    }

    fn settle(&mut self, channel: u16, method: u8, tag: u64, bits: u8) {
        let mut payload = vec![0, 60, 0, method];
        payload.extend_from_slice(&tag.to_be_bytes());
        payload.push(bits);
        put_frame(&mut self.out, METHOD, channel, &payload);
    }

    /// Gathers a `basic.get` with acknowledgement.
    pub(crate) fn get(&mut self, channel: u16, queue: &str) {
        let mut payload = vec![0, 60, 0, 70, 0, 0];
        put_short(&mut payload, queue);
        payload.push(0);
        put_frame(&mut self.out, METHOD, channel, &payload);
    }

    /// Gathers a method without arguments, such as `tx.commit`.
    pub(crate) fn bare(&mut self, channel: u16, class: u16, method: u16) {
        let payload = [class.to_be_bytes(), method.to_be_bytes()].concat();
        put_frame(&mut self.out, METHOD, channel, &payload);
    }

    /// Writes what was gathered.
    pub(crate) fn flush(&mut self) -> Result<(), Gone> {
        let written = self.peer.write(&self.out);
        self.out.clear();
        written.map_err(|_| Gone)
    }

    /// The next thing that arrives on any channel.
    pub(crate) fn next(&mut self, within: Duration) -> Result<Event, Gone> {
        match self.peer.next_anywhere(Instant::now() + within) {
            Arrival::Frame(frame) => self.event(frame),
            Arrival::Silence => Ok(Event::Quiet),
            Arrival::Eof | Arrival::Closing(_) => Err(Gone),
            Arrival::Garbage(what) => panic!("the broker sent no AMQP: {what}"),
        }
    }

    fn event(&mut self, frame: Frame) -> Result<Event, Gone> {
        let channel = frame.channel;
        let payload = &frame.payload;
        assert_eq!(frame.kind, METHOD, "a method must come first: {frame:?}");
        match payload.get(..4) {
            Some([0, 10, 0, 50]) => {
                // A broker that stops in good order waits for this.
                let _ = self.peer.send(0, "connection.close-ok");
                Err(Gone)
            }
            Some([0, 60, 0, method @ (80 | 120)]) => Ok(Event::Confirm {
                tag: long(payload, 4),
                multiple: payload.get(12).is_some_and(|bits| bits & 1 == 1),
                taken: *method == 80,
            }),
            Some([0, 60, 0, 60]) => {
                let at = 5 + usize::from(payload[4]);
                self.content(channel, long(payload, at), payload[at + 8] == 1)
            }
            Some([0, 60, 0, 71]) => self.content(channel, long(payload, 4), payload[12] == 1),
            Some([0, 60, 0, 50]) => self.content(channel, 0, false).map(|_| Event::Returned),
            Some([0, 60, 0, 72]) => Ok(Event::Empty),
            _ => Method::decode(payload)
                .map(|method| Event::Method(channel, method))
                .map_err(|why| panic!("the broker sent no method: {why}")),
        }
    }

    fn content(&mut self, channel: u16, tag: u64, redelivered: bool) -> Result<Event, Gone> {
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut part = |kind| match self.peer.next(channel, deadline) {
            Arrival::Frame(frame) if frame.kind == kind => Ok(frame.payload),
            Arrival::Eof | Arrival::Closing(_) => Err(Gone),
            other => panic!("content expected, got {other:?}"),
        };
        let header = part(HEADER)?;
        let size = usize::try_from(long(&header, 4)).unwrap_or(usize::MAX);
        let mut body = Vec::with_capacity(size);
        while body.len() < size {
            body.extend_from_slice(&part(BODY)?);
        }
        Ok(Event::Delivery(Delivery {
            tag,
            redelivered,
            id: body::read(&body),
            header,
        }))
    }
}

fn long(payload: &[u8], at: usize) -> u64 {
    let bytes = payload.get(at..at + 8).and_then(|b| b.try_into().ok());
    bytes.map_or(0, u64::from_be_bytes)
}

fn put_short(out: &mut Vec<u8>, text: &str) {
    out.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(text.as_bytes());
}

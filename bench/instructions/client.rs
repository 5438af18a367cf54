//! A connection of the broker whose client lives in the same thread.
//!
//! Owns what its task would: the buffers of a turn, and the rule that a turn takes all mail. Only
//! [`Client::publish`], [`Client::deliver`], [`Client::settle`] and [`Client::confirmed`] are
//! counted, and in them only what the broker does.

use std::error::Error;
use std::sync::Arc;

use amqp_codec::{
    Cut, FieldTable, FrameKind, Method, PROTOCOL_HEADER, basic, channel, connection, cut,
    put_method,
};
use broker_core::amqp091::batches::Batches;
use broker_core::amqp091::connection::{Connection, Io};
use broker_core::amqp091::output::Output;
use broker_core::amqp091::session::Peer;
use broker_core::broker::Broker;
use broker_core::inbox::Mail;

use crate::counter::count;
use crate::process::NOW;

/// The largest frame that is negotiated.
pub(crate) const FRAME_MAX: u32 = 131_072;
/// The channel of everything.
pub(crate) const CHANNEL: u16 = 1;

/// An open connection with an open channel.
pub(crate) struct Client {
    machine: Connection,
    out: Output,
    batches: Batches,
    mail: Mail,
    /// What the broker sent last.
    sent: Vec<u8>,
}

/// What the broker sent, counted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sent {
    /// basic.deliver.
    pub(crate) deliveries: u64,
    /// The delivery tag of the last of them.
    pub(crate) last_delivery: u64,
    /// The tag of the last basic.ack.
    pub(crate) confirmed: u64,
}

impl Client {
    pub(crate) fn connect(broker: &Arc<Broker>) -> Result<Client, Box<dyn Error>> {
        let address = "127.0.0.1:5672".parse()?;
        let peer = Peer {
            remote: address,
            local: address,
        };
        let mut client = Client {
            machine: Connection::new(Arc::clone(broker), peer),
            out: Output::default(),
            batches: Batches::default(),
            mail: Mail::default(),
            sent: Vec::new(),
        };
        client.receive(&PROTOCOL_HEADER);
        let start_ok = connection::StartOk {
            mechanism: "PLAIN",
            response: b"\0guest\0guest",
            locale: "en_US",
            client_properties: FieldTable::new(),
        };
        client.tell(0, start_ok)?;
        let tune_ok = connection::TuneOk {
            channel_max: 2047,
            frame_max: FRAME_MAX,
            heartbeat: 0,
        };
        client.tell(0, tune_ok)?;
        let open = connection::Open {
            virtual_host: "/",
            ..Default::default()
        };
        client.tell(0, open)?;
        client.ask(channel::Open::default())?;
        Ok(client)
    }

    /// Sends a method on the channel and expects exactly one answer to all that was sent.
    pub(crate) fn ask<'a>(&mut self, method: impl Into<Method<'a>>) -> Result<(), Box<dyn Error>> {
        self.tell(CHANNEL, method)?;
        self.turn();
        self.flush();
        match last_method(&self.sent)? {
            Method::ConnectionClose(close) => Err(close.reply_text.into()),
            Method::ChannelClose(close) => Err(close.reply_text.into()),
            _ => Ok(()),
        }
    }

    /// Sends a method that is not answered, or whose answer does not matter.
    pub(crate) fn ask_nothing<'a>(
        &mut self,
        method: impl Into<Method<'a>>,
    ) -> Result<(), Box<dyn Error>> {
        self.tell(CHANNEL, method)
    }

    fn tell<'a>(
        &mut self,
        channel: u16,
        method: impl Into<Method<'a>>,
    ) -> Result<(), Box<dyn Error>> {
        let mut bytes = Vec::new();
        put_method(&mut bytes, channel, &method.into())?;
        self.receive(&bytes);
        Ok(())
    }

    /// Publishes: what a read brought is cut, routed, and put into queues.
    pub(crate) fn publish(&mut self, frames: &[u8]) -> Result<(), String> {
        let used = count(|| {
            let used = self.receive(frames);
            self.turn();
            used
        });
        match used == Some(frames.len()) {
            true => Ok(()),
            false => Err(format!("{used:?} of {} bytes taken", frames.len())),
        }
    }

    /// Takes the mail and encodes it, then looks at what was sent.
    pub(crate) fn deliver(&mut self) -> Result<Sent, Box<dyn Error>> {
        count(|| self.turn());
        self.flush();
        sent(&self.sent)
    }

    /// Acknowledges everything up to a delivery.
    pub(crate) fn settle(&mut self, tag: u64) -> Result<(), Box<dyn Error>> {
        let ack = basic::Ack {
            delivery_tag: tag,
            multiple: true,
        };
        let mut bytes = Vec::new();
        put_method(&mut bytes, CHANNEL, &ack.into())?;
        Ok(self.publish(&bytes)?)
    }

    /// The publisher after the log has become durable: its confirms.
    pub(crate) fn confirmed(&mut self) -> Result<u64, Box<dyn Error>> {
        Ok(self.deliver()?.confirmed)
    }

    fn receive(&mut self, bytes: &[u8]) -> usize {
        let mut io = Io {
            out: &mut self.out,
            batches: &mut self.batches,
        };
        self.machine.receive(bytes, NOW, &mut io)
    }

    fn turn(&mut self) {
        loop {
            let mut io = Io {
                out: &mut self.out,
                batches: &mut self.batches,
            };
            let inbox = Arc::clone(self.machine.inbox());
            if !inbox.take(&mut self.mail, None) {
                self.machine.finish_turn(NOW, &mut io);
                return;
            }
            self.machine.collect(&mut self.mail, NOW, &mut io);
        }
    }

    /// What a socket would take.
    fn flush(&mut self) {
        self.sent.clear();
        while !self.out.is_empty() {
            let mut slices = Vec::new();
            self.out.slices(&mut slices);
            let before = self.sent.len();
            for slice in slices {
                self.sent.extend_from_slice(&slice);
            }
            let written = self.sent.len() - before;
            self.out.advance(written);
        }
    }
}

fn sent(mut bytes: &[u8]) -> Result<Sent, Box<dyn Error>> {
    let mut sent = Sent::default();
    while let Cut::Frame { frame, len } = cut(bytes, u32::MAX).map_err(|e| format!("{e:?}"))? {
        if frame.kind == FrameKind::Method {
            match Method::decode(frame.payload).map_err(|e| format!("{e:?}"))? {
                Method::BasicDeliver(delivery) => {
                    sent.deliveries += 1;
                    sent.last_delivery = delivery.delivery_tag;
                }
                Method::BasicAck(ack) => sent.confirmed = ack.delivery_tag,
                other => return Err(format!("unexpected {:?}", other.id()).into()),
            }
        }
        bytes = &bytes[len..];
    }
    Ok(sent)
}

fn last_method(mut bytes: &[u8]) -> Result<Method<'_>, Box<dyn Error>> {
    let mut last = None;
    while let Cut::Frame { frame, len } = cut(bytes, u32::MAX).map_err(|e| format!("{e:?}"))? {
        last = Some(frame);
        bytes = &bytes[len..];
    }
    let frame = last.ok_or("no answer")?;
    Ok(Method::decode(frame.payload).map_err(|e| format!("{e:?}"))?)
}

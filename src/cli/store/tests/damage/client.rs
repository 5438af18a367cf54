//! A client that talks to a broker of this process: the machine of a connection, without a socket.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use amqp_codec::{
    Cut, FieldTable, FrameKind, Method, PROTOCOL_HEADER, Properties, basic, channel, connection,
    cut, put_content, put_method,
};
use broker_core::amqp091::batches::Batches;
use broker_core::amqp091::connection::{Connection, Io};
use broker_core::amqp091::output::Output;
use broker_core::amqp091::session::Peer;
use broker_core::broker::Broker;
use broker_core::inbox::Mail;

use crate::clock::Clock;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
const FRAME_MAX: u32 = 131_072;

/// A connection of `guest` to the vhost `/`.
pub(super) struct Client {
    machine: Connection,
    out: Output,
    batches: Batches,
    mail: Mail,
    clock: Clock,
    /// Methods that came, by name, with the channel and what is of interest of them.
    heard: VecDeque<Heard>,
}

/// A method that came.
#[derive(Debug)]
struct Heard {
    channel: u16,
    name: &'static str,
    /// The tag of a delivery or confirm.
    tag: u64,
    multiple: bool,
    body: Vec<u8>,
}

impl Client {
    /// Logs in and opens channel 1.
    pub(super) fn connect(broker: &Arc<Broker>, clock: Clock) -> Client {
        let address = "127.0.0.1:5672".parse().expect("an address");
        let peer = Peer {
            remote: address,
            local: address,
        };
        let mut client = Client {
            machine: Connection::new(Arc::clone(broker), peer),
            out: Output::default(),
            batches: Batches::default(),
            mail: Mail::default(),
            clock,
            heard: VecDeque::new(),
        };
        client.say(&PROTOCOL_HEADER);
        client.send(
            0,
            connection::StartOk {
                mechanism: "PLAIN",
                response: b"\0guest\0guest",
                locale: "en_US",
                client_properties: FieldTable::new(),
            },
        );
        let tune_ok = connection::TuneOk {
            channel_max: 2047,
            frame_max: FRAME_MAX,
            heartbeat: 0,
        };
        client.send(0, tune_ok);
        let open = connection::Open {
            virtual_host: "/",
            ..Default::default()
        };
        client.send(0, open);
        client.await_method(0, "connection.open-ok");
        client.open(1);
        client
    }

    /// Opens a channel.
    pub(super) fn open(&mut self, channel: u16) {
        self.ask(channel, channel::Open::default(), "channel.open-ok");
    }

    /// Sends a method and waits for the answer.
    pub(super) fn ask<'a>(&mut self, channel: u16, method: impl Into<Method<'a>>, answer: &str) {
        self.send(channel, method);
        self.await_method(channel, answer);
    }

    /// Sends a method.
    pub(super) fn send<'a>(&mut self, channel: u16, method: impl Into<Method<'a>>) {
        let mut bytes = Vec::new();
        put_method(&mut bytes, channel, &method.into()).expect("a method that can be encoded");
        self.say(&bytes);
    }

    /// Publishes messages of these priorities, persistent or not, in one write.
    pub(super) fn publish(
        &mut self,
        channel: u16,
        (exchange, routing_key): (&str, &str),
        (mode, priority): (u8, u8),
        bodies: &[Vec<u8>],
    ) {
        let mut bytes = Vec::new();
        let mut properties = Vec::new();
        Properties {
            delivery_mode: Some(mode),
            priority: Some(priority),
            ..Properties::default()
        }
        .encode(&mut properties)
        .expect("properties");
        for body in bodies {
            let publish = basic::Publish {
                exchange,
                routing_key,
                ..Default::default()
            };
            put_method(&mut bytes, channel, &publish.into()).expect("a publish");
            put_content(&mut bytes, channel, &properties, body, FRAME_MAX);
        }
        self.say(&bytes);
    }

    /// Waits until so many publishes of a channel are confirmed.
    pub(super) fn await_confirms(&mut self, channel: u16, last: u64) {
        loop {
            let ack = self.await_method(channel, "basic.ack");
            if ack.tag >= last {
                return;
            }
            assert!(ack.multiple || ack.tag > 0, "a confirm");
        }
    }

    /// Gets the next message of a queue, which has one; returns its delivery tag.
    pub(super) fn get(&mut self, queue: &str) -> u64 {
        let get = basic::Get {
            queue,
            ..Default::default()
        };
        self.send(1, get);
        self.await_method(1, "basic.get-ok").tag
    }

    /// Takes everything out of a queue, until it says that it has nothing more.
    pub(super) fn drain(&mut self, queue: &str, is_empty: impl Fn() -> bool) -> Vec<Vec<u8>> {
        let consume = basic::Consume {
            queue,
            consumer_tag: "drain",
            no_ack: true,
            ..Default::default()
        };
        self.ask(1, consume, "basic.consume-ok");
        let deadline = Instant::now() + PATIENCE;
        let mut bodies = Vec::new();
        loop {
            // Asked first: what left the queue before is in the inbox.
            let is_last = is_empty();
            self.listen();
            bodies.extend(self.heard.drain(..).map(|heard| {
                assert_eq!(heard.name, "basic.deliver");
                heard.body
            }));
            if is_last {
                break;
            }
            assert!(Instant::now() < deadline, "{queue} is never empty");
            std::thread::park_timeout(Duration::from_micros(200));
        }
        let cancel = basic::Cancel {
            consumer_tag: "drain",
            ..Default::default()
        };
        self.ask(1, cancel, "basic.cancel-ok");
        bodies
    }

    /// Waits for a method whose name begins so. Others of the channel are forgotten, except the
    /// broker's refusals.
    fn await_method(&mut self, channel: u16, name: &str) -> Heard {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.listen();
            while let Some(heard) = self.heard.pop_front() {
                assert!(!heard.name.ends_with(".close"), "{name}: {heard:?}");
                if heard.channel == channel && heard.name.starts_with(name) {
                    return heard;
                }
            }
            assert!(Instant::now() < deadline, "{name} does not come");
            std::thread::park_timeout(Duration::from_micros(200));
        }
    }

    /// Gives bytes to the machine, which takes all of them in one or more turns.
    fn say(&mut self, mut bytes: &[u8]) {
        let deadline = Instant::now() + PATIENCE;
        while !bytes.is_empty() {
            let mut io = Io {
                out: &mut self.out,
                batches: &mut self.batches,
            };
            let used = self.machine.receive(bytes, self.clock.now(), &mut io);
            bytes = &bytes[used..];
            self.listen();
            assert!(Instant::now() < deadline, "the machine takes nothing");
        }
    }

    /// Works through the inbox, then reads everything that was sent.
    fn listen(&mut self) {
        let inbox = Arc::clone(self.machine.inbox());
        loop {
            let now = self.clock.now();
            let has_mail = inbox.take(&mut self.mail, None);
            let mut io = Io {
                out: &mut self.out,
                batches: &mut self.batches,
            };
            if !has_mail {
                self.machine.finish_turn(now, &mut io);
                break;
            }
            self.machine.collect(&mut self.mail, now, &mut io);
        }
        let mut bytes = Vec::new();
        while !self.out.is_empty() {
            let mut slices = Vec::new();
            self.out.slices(&mut slices);
            let before = bytes.len();
            slices
                .iter()
                .for_each(|slice| bytes.extend_from_slice(slice));
            self.out.advance(bytes.len() - before);
        }
        self.hear(&bytes);
    }

    fn hear(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let Ok(Cut::Frame { frame, len }) = cut(bytes, u32::MAX) else {
                panic!("what was sent is not frames");
            };
            bytes = &bytes[len..];
            match frame.kind {
                FrameKind::Method => self.heard.push_back(heard(frame.channel, frame.payload)),
                FrameKind::Body => {
                    let last = self.heard.back_mut().expect("a method");
                    last.body.extend_from_slice(frame.payload);
                }
                FrameKind::Header | FrameKind::Heartbeat => {}
            }
        }
    }

    /// The socket is gone: what was not settled goes back.
    pub(super) fn hang_up(mut self) {
        let mut io = Io {
            out: &mut self.out,
            batches: &mut self.batches,
        };
        self.machine.end(self.clock.now(), &mut io);
    }
}

fn heard(channel: u16, payload: &[u8]) -> Heard {
    let method = Method::decode(payload).expect("a method");
    let (tag, multiple) = match &method {
        Method::BasicAck(ack) => (ack.delivery_tag, ack.multiple),
        Method::BasicGetOk(got) => (got.delivery_tag, false),
        Method::ChannelClose(close) => panic!("{}", close.reply_text),
        Method::ConnectionClose(close) => panic!("{}", close.reply_text),
        _ => (0, false),
    };
    Heard {
        channel,
        name: method.name(),
        tag,
        multiple,
        body: Vec::new(),
    }
}

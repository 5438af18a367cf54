//! A client that feeds frames to a machine and reads what comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use amqp_codec::{
    ContentHeader, Cut, FieldTable, Frame, FrameKind, Method, PROTOCOL_HEADER, basic, channel,
    connection, cut, put_content, put_method, queue,
};
use parking_lot::Mutex;
use proptest::test_runner::{Config, RngSeed};

use crate::access::{HashAlgorithm, Permission, User};
use crate::amqp091::batches::Batches;
use crate::amqp091::connection::{Connection, Io};
use crate::amqp091::output::Output;
use crate::amqp091::session::Peer;
use crate::broker::{Authenticator, Broker, Limits};
use crate::definition::{Change, VhostSpec};
use crate::error::BrokerError;
use crate::host::{Host, Lsn};
use crate::inbox::{Inbox, Mail};
use crate::journal::{EntryKind, Journal, RawChange};
use crate::queue::handle::{Budget, PageFree, PageIn, PageOut, QueueHandle};
use crate::time::Timestamp;
use crate::turns::OpenTurns;
use crate::vhost::Vhost;

pub(super) const NOW: Timestamp = Timestamp(1_000_000);

/// A log that becomes durable when the test says so.
#[derive(Debug, Default)]
pub(super) struct TestLog {
    appended: AtomicU64,
    pub(super) turns: Arc<OpenTurns>,
    /// The log is behind.
    pub(super) backlogged: AtomicBool,
    /// What queues appended.
    pub(super) entries: Mutex<Vec<(EntryKind, Vec<u8>)>>,
    durable: AtomicU64,
    waiting: Mutex<Vec<Arc<Inbox>>>,
}

impl Journal for TestLog {
    fn append(&self, kind: EntryKind, parts: &[&[u8]]) -> Lsn {
        self.entries.lock().push((kind, parts.concat()));
        Lsn(self.appended.fetch_add(1, Ordering::SeqCst) + 1)
    }

    fn append_freeing(&self, kind: EntryKind, parts: &[&[u8]]) -> Lsn {
        self.append(kind, parts)
    }

    fn append_changes(&self, _changes: Vec<RawChange>) -> Lsn {
        Lsn(self.appended.fetch_add(1, Ordering::SeqCst) + 1)
    }
}

impl TestLog {
    /// Everything appended so far is durable.
    pub(super) fn sync(&self) {
        self.durable
            .store(self.appended.load(Ordering::SeqCst), Ordering::SeqCst);
        self.waiting.lock().drain(..).for_each(|inbox| inbox.wake());
    }
}

struct TestHost(Arc<TestLog>);

impl Host for TestHost {
    fn append(&self, _changes: Vec<Change>) -> Result<Lsn, BrokerError> {
        Ok(Lsn(self.0.appended.fetch_add(1, Ordering::SeqCst) + 1))
    }

    fn is_backlogged(&self) -> bool {
        self.0.backlogged.load(Ordering::SeqCst)
    }

    fn journal(&self) -> Arc<dyn Journal> {
        Arc::clone(&self.0) as Arc<dyn Journal>
    }

    fn turns(&self) -> &Arc<OpenTurns> {
        &self.0.turns
    }

    fn budget(&self) -> Option<Arc<Budget>> {
        None
    }

    fn write_page(&self, _queue: &Arc<QueueHandle>, _page: PageOut) {}

    fn read_page(&self, _queue: &Arc<QueueHandle>, _page: PageIn) {}

    fn free_page(&self, _page: PageFree) {}

    fn report_lost_messages(&self, vhost: &str, queue: &str, count: u64) {
        panic!("queue '{queue}' in vhost '{vhost}' lost {count} messages");
    }

    fn is_durable(&self, lsn: Lsn) -> bool {
        lsn.0 <= self.0.durable.load(Ordering::SeqCst)
    }

    fn wake_when_durable(&self, _lsn: Lsn, inbox: &Arc<Inbox>) {
        self.0.waiting.lock().push(Arc::clone(inbox));
    }

    fn arm(&self, _queue: &Arc<QueueHandle>, _at: Timestamp) {}

    fn more_dead_letters(&self, vhost: &Arc<Vhost>) {
        vhost.move_dead_letters(NOW);
    }

    fn random(&self) -> [u8; 16] {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        u128::from(NEXT.fetch_add(1, Ordering::Relaxed)).to_le_bytes()
    }

    fn report_failed_queue(&self, vhost: &str, queue: &str, why: &str) {
        panic!("queue '{queue}' in vhost '{vhost}' failed: {why}");
    }
}

struct PlainPasswords;

impl Authenticator for PlainPasswords {
    fn verify(&self, user: Option<&User>, password: &str) -> bool {
        user.is_some_and(|user| user.password_hash == password.as_bytes())
    }
}

pub(super) fn limits() -> Limits {
    Limits {
        channel_max: 2047,
        frame_max: 131_072,
        initial_frame_max: 8192,
        heartbeat: 60,
        max_message_size: 1 << 20,
        consumer_max_per_channel: None,
        max_connections: None,
        loopback_users: vec!["guest".into()],
    }
}

/// A broker with user guest and vhost "/", and its log.
pub(super) fn broker_with(limits: Limits) -> (Arc<Broker>, Arc<TestLog>) {
    let log = Arc::new(TestLog::default());
    let host = Arc::new(TestHost(Arc::clone(&log)));
    let broker = Broker::new(host, Box::new(PlainPasswords), limits, FieldTable::new());
    let spec = VhostSpec {
        name: "/".into(),
        description: String::new(),
        tags: Vec::new(),
    };
    broker.put_vhost(spec).expect("the log takes it");
    let user = User {
        name: "guest".into(),
        password_hash: b"guest".to_vec(),
        algorithm: HashAlgorithm::Sha256,
        tags: Vec::new(),
    };
    broker.put_user(user).expect("the log takes it");
    let permission = Permission::new(".*", ".*", ".*").expect("valid patterns");
    broker
        .put_permission("/", "guest", permission)
        .expect("the log takes it");
    log.sync();
    (broker, log)
}

pub(super) fn broker() -> (Arc<Broker>, Arc<TestLog>) {
    broker_with(limits())
}

/// What the machine sent, a word per frame: `1 basic.deliver q 1 body`.
pub(super) struct Client {
    pub(super) machine: Connection,
    out: Output,
    batches: Batches,
    mail: Mail,
}

impl Client {
    /// A connection before its first byte.
    pub(super) fn raw(broker: &Arc<Broker>) -> Client {
        let address = "127.0.0.1:5672".parse().expect("an address");
        let peer = Peer {
            remote: address,
            local: address,
        };
        Client {
            machine: Connection::new(Arc::clone(broker), peer),
            out: Output::default(),
            batches: Batches::default(),
            mail: Mail::default(),
        }
    }

    /// An open connection.
    pub(super) fn connect(broker: &Arc<Broker>) -> Client {
        Client::connect_as(broker, FieldTable::new())
    }

    /// Opens a channel.
    pub(super) fn open(&mut self, number: u16) {
        self.send(number, channel::Open::default());
        self.received();
    }

    /// An open connection of a client that says this of itself.
    pub(super) fn connect_as(broker: &Arc<Broker>, client_properties: FieldTable) -> Client {
        let mut client = Client::raw(broker);
        assert_eq!(
            client.handshake_as(client_properties),
            [
                "0 connection.start",
                "0 connection.tune",
                "0 connection.open-ok"
            ]
        );
        client
    }

    /// Everything up to connection.open, and what comes back.
    pub(super) fn handshake(&mut self) -> Vec<String> {
        self.handshake_as(FieldTable::new())
    }

    fn handshake_as(&mut self, client_properties: FieldTable) -> Vec<String> {
        self.bytes(&PROTOCOL_HEADER);
        let start_ok = connection::StartOk {
            mechanism: "PLAIN",
            response: b"\0guest\0guest",
            locale: "en_US",
            client_properties,
        };
        self.send(0, start_ok);
        self.send(
            0,
            connection::TuneOk {
                channel_max: 2047,
                frame_max: 4096,
                heartbeat: 0,
            },
        );
        self.send(
            0,
            connection::Open {
                virtual_host: "/",
                ..Default::default()
            },
        );
        self.received()
    }

    /// An open connection with these channels.
    pub(super) fn with_channels(broker: &Arc<Broker>, channels: &[u16]) -> Client {
        let mut client = Client::connect(broker);
        for &number in channels {
            client.send(number, channel::Open::default());
        }
        client.received();
        client
    }

    /// Gives bytes to the machine, which must take all of them.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        let used = self.offer(bytes);
        assert_eq!(used, bytes.len(), "the machine left bytes");
    }

    /// Gives bytes to the machine and tells how many it took.
    pub(super) fn offer(&mut self, bytes: &[u8]) -> usize {
        let mut io = Io {
            out: &mut self.out,
            batches: &mut self.batches,
        };
        self.machine.receive(bytes, NOW, &mut io)
    }

    pub(super) fn send<'a>(&mut self, channel: u16, method: impl Into<Method<'a>>) {
        self.bytes(&frame(channel, method));
    }

    /// Declares a transient queue and forgets the answer.
    pub(super) fn declare(&mut self, queue: &str) {
        self.send(
            1,
            queue::Declare {
                queue,
                ..Default::default()
            },
        );
        assert_eq!(self.received(), ["1 queue.declare-ok"]);
    }

    pub(super) fn publish(&mut self, channel: u16, routing_key: &str, body: &[u8]) {
        self.bytes(&publish(channel, routing_key, body));
    }

    /// Works through the inbox, then reads everything that was sent.
    pub(super) fn received(&mut self) -> Vec<String> {
        words(&self.received_bytes())
    }

    /// As [`Client::received`], but gives the properties of each message, as they were sent.
    pub(super) fn received_properties(&mut self) -> Vec<Vec<u8>> {
        let bytes = self.received_bytes();
        frames(&bytes)
            .filter(|frame| frame.kind == FrameKind::Header)
            .map(|frame| ContentHeader::parse(frame.payload).expect("a header"))
            .map(|header| header.properties.to_vec())
            .collect()
    }

    /// As [`Client::received`], but gives the bytes as they were sent.
    pub(super) fn received_bytes(&mut self) -> Vec<u8> {
        self.turn();
        let mut bytes = Vec::new();
        while !self.out.is_empty() {
            let mut slices = Vec::new();
            self.out.slices(&mut slices);
            let piece: Vec<u8> = slices
                .iter()
                .flat_map(|slice| slice.iter().copied())
                .collect();
            self.out.advance(piece.len());
            bytes.extend(piece);
        }
        bytes
    }

    /// Works through the inbox.
    pub(super) fn turn(&mut self) {
        loop {
            let inbox = Arc::clone(self.machine.inbox());
            let mut io = Io {
                out: &mut self.out,
                batches: &mut self.batches,
            };
            if !inbox.take(&mut self.mail, None) {
                self.machine.finish_turn(NOW, &mut io);
                return;
            }
            self.machine.collect(&mut self.mail, NOW, &mut io);
        }
    }

    /// Looks up as the owner does, ends the connection if it is told to, and reads.
    pub(super) fn end_with_what_is_said(&mut self) -> Vec<String> {
        let waker = std::task::Waker::noop();
        if let Some((code, text)) = self.machine.inbox().look_up(waker) {
            let mut io = Io {
                out: &mut self.out,
                batches: &mut self.batches,
            };
            self.machine.close_with(code, text, NOW, &mut io);
        }
        self.received()
    }

    /// The socket is gone.
    pub(super) fn hang_up(&mut self) {
        let mut io = Io {
            out: &mut self.out,
            batches: &mut self.batches,
        };
        self.machine.end(NOW, &mut io);
    }
}

pub(super) fn frame<'a>(channel: u16, method: impl Into<Method<'a>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_method(&mut bytes, channel, &method.into()).expect("a method that can be encoded");
    bytes
}

pub(super) fn publish(channel: u16, routing_key: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = frame(
        channel,
        basic::Publish {
            routing_key,
            ..Default::default()
        },
    );
    put_content(&mut bytes, channel, &[0, 0], body, 4096);
    bytes
}

/// What was sent, cut.
fn frames(mut bytes: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let Ok(Cut::Frame { frame, len }) = cut(bytes, u32::MAX) else {
            panic!("what was sent is not frames: {bytes:?}");
        };
        bytes = &bytes[len..];
        Some(frame)
    })
}

/// Frames as words.
pub(super) fn words(bytes: &[u8]) -> Vec<String> {
    let mut words = Vec::new();
    for frame in frames(bytes) {
        let channel = frame.channel;
        match frame.kind {
            FrameKind::Method => words.push(format!("{channel} {}", method_words(frame.payload))),
            FrameKind::Body => {
                let text = String::from_utf8_lossy(frame.payload);
                words.push(format!("{channel} body {text}"));
            }
            FrameKind::Header => {}
            FrameKind::Heartbeat => words.push(format!("{channel} heartbeat")),
        }
    }
    words
}

fn method_words(payload: &[u8]) -> String {
    let method = Method::decode(payload).expect("a method");
    let name = method.name();
    match &method {
        Method::BasicDeliver(m) => {
            let again = if m.redelivered { " redelivered" } else { "" };
            format!("{name} {} {}{again}", m.consumer_tag, m.delivery_tag)
        }
        Method::BasicGetOk(m) => format!("{name} {}", m.delivery_tag),
        Method::BasicAck(m) => format!("{name} {} {}", m.delivery_tag, m.multiple),
        Method::ChannelClose(m) => format!("{name} {}", m.reply_text),
        Method::ConnectionClose(m) => format!("{name} {}", m.reply_text),
        _ => name.to_owned(),
    }
}

/// The same cases in every run; `PROPTEST_RNG_SEED` and `PROPTEST_CASES` ask for others.
pub(in crate::amqp091) fn cases() -> Config {
    let asked = Config::default();
    let rng_seed = match asked.rng_seed {
        RngSeed::Random => RngSeed::Fixed(1),
        fixed => fixed,
    };
    Config {
        rng_seed,
        failure_persistence: None,
        ..asked
    }
}

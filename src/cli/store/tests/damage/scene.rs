//! The directories that are damaged: written by brokers of this process, through connections, queues,
//! log, pages, checkpoints and snapshots, as they are left by a stop and by a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use amqp_codec::{FieldTable, FieldValue, basic, confirm, exchange, queue, tx};
use broker_core::access::{HashAlgorithm, Permission, User};
use broker_core::queue::Command;
use broker_core::queue::handle::Deletion;
use tokio::sync::Notify;

use super::client::Client;
use crate::cli::store::check;
use crate::clock::Clock;
use crate::config::Config;
use crate::serve::opening::{Opened, create_defaults};
use crate::store::{Finding, Owner};

/// How long something that happens on another thread may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Which queues may hold a message of each number.
pub(super) type Published = BTreeMap<u32, BTreeSet<&'static str>>;

/// The directories, and what was ever published.
pub(super) struct Scene {
    _folder: tempfile::TempDir,
    /// As a crash leaves it: with log that a start reads, and a snapshot that is older than the
    /// catalogue.
    pub(super) killed: PathBuf,
    /// As a stop leaves it.
    pub(super) closed: PathBuf,
    pub(super) published: Published,
}

/// In memory where the system has such a folder: nothing here is about syncs.
pub(super) fn folder() -> tempfile::TempDir {
    let made = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    made.expect("a folder")
}

/// Copies a data directory.
pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("copied");
        }
    }
}

/// Small files, and no checkpoint that nobody asks for.
fn config(dir: &Path) -> Config {
    Config {
        data_dir: dir.to_path_buf(),
        log_file_bytes: 64 << 10,
        log_max_bytes: 64 << 20,
        checkpoint_log_bytes: 1 << 30,
        checkpoint_interval: Duration::from_secs(3600),
        ..Config::default()
    }
}

/// A message that can be told from every other, and from itself after a change.
fn body(number: u32) -> Vec<u8> {
    let mut body = number.to_le_bytes().to_vec();
    let length = 60 + (number as usize * 37) % 900;
    body.extend((0..length).map(|index| (index as u32 * 7 + number) as u8));
    let crc = crc32c::crc32c(&body);
    body.extend(crc.to_le_bytes());
    body
}

/// The number of a message, if this is the body it was published with.
pub(super) fn number(found: &[u8]) -> Option<u32> {
    let (rest, crc) = found.split_last_chunk()?;
    let is_whole = crc32c::crc32c(rest) == u32::from_le_bytes(*crc);
    let number = u32::from_le_bytes(*rest.first_chunk()?);
    is_whole.then_some(number)
}

/// A broker of this process.
pub(super) struct Life {
    pub(super) opened: Opened,
    pub(super) clock: Clock,
}

impl Life {
    /// A start, up to the first client.
    pub(super) fn begin(dir: &Path) -> Result<Life, String> {
        let clock = Clock::start();
        let config = config(dir);
        let opened = Opened::open(&config, clock, &Arc::<Notify>::default());
        let opened = opened.map_err(|error| error.to_string())?;
        let keeper = Arc::clone(&opened.keeper) as Arc<dyn Owner>;
        opened.store.attach(keeper);
        if opened.is_new {
            create_defaults(&opened.broker, &config, clock).map_err(|error| error.to_string())?;
        }
        Ok(Life { opened, clock })
    }

    pub(super) fn client(&self) -> Client {
        Client::connect(&self.opened.broker, self.clock)
    }

    /// A stop in order, after which a start reads no log.
    pub(super) fn close(self) {
        self.opened.keeper.move_letters();
        self.opened.keeper.release_all();
        self.end();
    }

    /// An end that leaves in the log what is only there. Returns what the alarm says.
    pub(super) fn end(self) -> Vec<Finding> {
        self.opened.pager.stop();
        let alarm = Arc::clone(self.opened.store.damage());
        let closed = self.opened.store.clone().close();
        closed.expect("the store closes");
        self.forget();
        alarm.found().named
    }

    /// Queues know their vhost and it them, which nobody minds in a process that ends. Nothing of
    /// this reaches the log, which is closed.
    fn forget(self) {
        for vhost in self.opened.broker.vhosts() {
            let queues: Vec<_> = {
                let topology = vhost.topology();
                let handles = topology.queues().map(|entry| Arc::clone(&entry.handle));
                handles.collect()
            };
            for queue in queues {
                let delete = Command::Delete {
                    if_unused: false,
                    if_empty: false,
                    reply: None,
                    reason: Deletion::Requested,
                };
                queue.submit(self.clock.now(), delete);
            }
        }
    }

    /// Has everything written to pages that only the log has.
    fn release(&self) {
        let Opened { store, keeper, .. } = &self.opened;
        let upto = store.appended();
        keeper.release(upto);
        self.until("pages are written", || keeper.floor() >= upto);
        self.settle();
    }

    /// Waits until everything that was appended is durable.
    fn settle(&self) {
        let store = &self.opened.store;
        let appended = store.appended();
        store.wait_durable(appended).expect("durable");
    }

    fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(Instant::now() < deadline, "{what}: not in time");
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }

    /// The directory as it is at this moment, with everything durable that was done.
    fn photograph(&self, dir: &Path, target: &Path) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.settle();
            let before = self.opened.store.appended();
            copy(dir, target);
            let report = check::examine(target);
            let is_whole = report.is_ok_and(|report| report.findings.is_empty());
            if is_whole && self.opened.store.appended() == before {
                return;
            }
            assert!(Instant::now() < deadline, "the directory never rests");
            fs::remove_dir_all(target).expect("removed");
        }
    }
}

/// Publishes and counts.
struct Writer {
    client: Client,
    confirmed: u64,
}

impl Scene {
    /// Writes both.
    pub(super) fn new() -> Scene {
        let folder = folder();
        let path = |name: &str| folder.path().join(name);
        let (killed, closed) = (path("killed"), path("closed"));
        let mut scene = Scene {
            killed,
            closed,
            published: Published::new(),
            _folder: folder,
        };
        let (first, second) = (path_in(&scene, "first"), path_in(&scene, "second"));
        scene.write_first(&first);
        scene.write_second(&first, &second);
        scene.write_last(&second);
        scene
    }

    /// Definitions, pages, and a stop: catalogue and snapshot are as of its end.
    fn write_first(&mut self, dir: &Path) {
        let life = Life::begin(dir).expect("a start");
        let mut writer = Writer::new(&life);
        declare(&mut writer.client);
        let user = User {
            name: "early".into(),
            password_hash: vec![1; 36],
            algorithm: HashAlgorithm::Sha256,
            tags: Vec::new(),
        };
        let broker = &life.opened.broker;
        broker.put_user(user).expect("a user");
        let permission = Permission::new("^early", ".*", "").expect("patterns");
        broker
            .put_permission("/", "early", permission)
            .expect("a permission");
        for queue in ["paged", "plain", "prio", "rejecting", "gone"] {
            self.publish(&mut writer, queue, 30);
        }
        life.release();
        writer.take("paged", 0..5, &life);
        self.publish(&mut writer, "paged", 20);
        self.publish(&mut writer, "fan", 10);
        life.release();
        writer.client.hang_up();
        life.close();
    }

    /// Pages and a checkpoint, log behind both, and a crash.
    fn write_second(&mut self, dir: &Path, target: &Path) {
        let life = Life::begin(dir).expect("a start");
        let mut writer = Writer::new(&life);
        for _ in 0..4 {
            for queue in ["paged", "plain", "prio", "mixed"] {
                self.publish(&mut writer, queue, 8);
            }
        }
        writer.take("plain", 0..6, &life);
        life.release();
        self.publish(&mut writer, "fan", 12);
        life.opened.store.checkpoint().expect("a checkpoint");
        for _ in 0..6 {
            for queue in ["plain", "mixed", "tx-in", "rejecting", "prio", "fan"] {
                self.publish(&mut writer, queue, 5);
            }
        }
        writer.take("plain", 3..9, &life);
        writer.take("paged", 2..6, &life);
        writer.put_back("mixed", 7);
        self.reject(&mut writer, &life);
        self.transact(&mut writer);
        self.change_definitions(&mut writer, &life);
        for _ in 0..4 {
            for queue in ["late", "mixed", "plain"] {
                self.publish(&mut writer, queue, 6);
            }
        }
        writer.take("mixed", 0..4, &life);
        life.photograph(dir, target);
        writer.client.hang_up();
        life.end();
    }

    /// A start behind the crash and a little more, then once a crash and once a stop.
    fn write_last(&mut self, dir: &Path) {
        fs::create_dir(dir.join("catalogue.aside-1")).expect("made");
        fs::write(dir.join("catalogue.aside-1/db"), "was damaged once").expect("written");
        let life = Life::begin(dir).expect("a start");
        let mut writer = Writer::new(&life);
        for _ in 0..3 {
            for queue in ["plain", "mixed", "fan"] {
                self.publish(&mut writer, queue, 4);
            }
        }
        writer.take("late", 0..3, &life);
        self.transact(&mut writer);
        self.page_transient(&mut writer, &life);
        life.photograph(dir, &self.killed);
        writer.client.hang_up();
        life.close();
        copy(dir, &self.closed);
    }

    /// Publishes persistent messages, one after the other, each a group of the log or nearly.
    fn publish(&mut self, writer: &mut Writer, target: &'static str, count: u32) {
        let bodies = self.numbered(target, count);
        let to = if target == "fan" {
            ("fan", "")
        } else {
            ("", target)
        };
        for some in bodies.chunks(5) {
            let priority = (writer.confirmed % 4) as u8;
            writer.client.publish(1, to, (2, priority), some);
            writer.confirmed += some.len() as u64;
            writer.client.await_confirms(1, writer.confirmed);
        }
    }

    /// Bodies of messages that go to a target.
    fn numbered(&mut self, target: &'static str, count: u32) -> Vec<Vec<u8>> {
        let queues: &[&str] = match target {
            "fan" => &["fan-a", "fan-b"],
            "rejecting" => &["rejecting", "letters"],
            "tx" => &["tx-a", "tx-b"],
            _ => &[target],
        };
        let first = self.published.len() as u32;
        let numbers = first..first + count;
        for number in numbers.clone() {
            self.published
                .insert(number, queues.iter().copied().collect());
        }
        numbers.map(body).collect()
    }

    /// Dead letters, moved at once.
    fn reject(&mut self, writer: &mut Writer, life: &Life) {
        for _ in 0..5 {
            let reject = basic::Reject {
                delivery_tag: writer.client.get("rejecting"),
                requeue: false,
            };
            writer.client.send(1, reject);
        }
        for vhost in life.opened.broker.vhosts() {
            vhost.move_all_dead_letters(life.clock.now());
        }
        life.settle();
    }

    /// Transactions: messages for two queues each, one of them with acks.
    fn transact(&mut self, writer: &mut Writer) {
        let client = &mut writer.client;
        client.open(2);
        client.ask(2, tx::Select {}, "tx.select-ok");
        for _ in 0..3 {
            for queue in ["tx-a", "tx-b"] {
                let bodies = self.numbered("tx", 3);
                client.publish(2, ("", queue), (2, 0), &bodies);
            }
            client.ask(2, tx::Commit {}, "tx.commit-ok");
        }
        client.ask(2, amqp_codec::channel::Close::default(), "channel.close-ok");
    }

    /// What comes and goes late: it is in the log only.
    fn change_definitions(&mut self, writer: &mut Writer, life: &Life) {
        let client = &mut writer.client;
        declare_queue(client, "late", FieldTable::new());
        bind(client, "late", "topics", "a.*");
        let purge = queue::Purge {
            queue: "tx-in",
            ..Default::default()
        };
        client.ask(1, purge, "queue.purge-ok");
        let delete = queue::Delete {
            queue: "gone",
            ..Default::default()
        };
        client.ask(1, delete, "queue.delete-ok");
        let user = User {
            name: "late".into(),
            password_hash: vec![2; 36],
            algorithm: HashAlgorithm::Sha256,
            tags: Vec::new(),
        };
        life.opened.broker.put_user(user).expect("a user");
        life.settle();
    }

    /// Messages that do not outlive the process, on disk.
    fn page_transient(&mut self, writer: &mut Writer, life: &Life) {
        let declare = queue::Declare {
            queue: "transient",
            ..Default::default()
        };
        writer.client.ask(1, declare, "queue.declare-ok");
        let bodies = self.numbered("transient", 20);
        writer.client.publish(1, ("", "transient"), (1, 0), &bodies);
        let vhost = life.opened.broker.vhost("/").expect("the vhost");
        let queue = vhost.queue("transient").expect("the queue");
        queue.submit(life.clock.now(), Command::Shrink);
        let pages = life.opened.pager.pages();
        life.until("a transient page", || pages.status().transient.pages > 0);
    }
}

fn path_in(scene: &Scene, name: &str) -> PathBuf {
    scene.killed.with_file_name(name)
}

impl Writer {
    fn new(life: &Life) -> Writer {
        let mut client = life.client();
        client.ask(1, confirm::Select::default(), "confirm.select-ok");
        Writer {
            client,
            confirmed: 0,
        }
    }

    /// Gets as many messages as `range` ends with, acks those in it, and lets the others go back.
    fn take(&mut self, queue: &str, range: std::ops::Range<usize>, life: &Life) {
        for index in 0..range.end {
            let tag = self.client.get(queue);
            if range.contains(&index) {
                let ack = basic::Ack {
                    delivery_tag: tag,
                    multiple: false,
                };
                self.client.send(1, ack);
            }
        }
        let recover = basic::Recover { requeue: true };
        self.client.ask(1, recover, "basic.recover-ok");
        life.settle();
    }

    /// Gets messages and gives them back.
    fn put_back(&mut self, queue: &str, count: usize) {
        for _ in 0..count {
            self.client.get(queue);
        }
        let recover = basic::Recover { requeue: true };
        self.client.ask(1, recover, "basic.recover-ok");
    }
}

fn declare(client: &mut Client) {
    for (name, kind) in [("fan", "fanout"), ("topics", "topic")] {
        let declare = exchange::Declare {
            exchange: name,
            kind,
            durable: true,
            ..Default::default()
        };
        client.ask(1, declare, "exchange.declare-ok");
    }
    let plain = [
        "paged", "plain", "mixed", "gone", "fan-a", "fan-b", "tx-in", "tx-a", "tx-b", "letters",
    ];
    for name in plain {
        declare_queue(client, name, FieldTable::new());
    }
    declare_queue(client, "prio", table("x-max-priority", FieldValue::I8(3)));
    let mut letters = table("x-dead-letter-exchange", text(""));
    let key = amqp_codec::ShortString::clipped("x-dead-letter-routing-key");
    letters.insert(key, text("letters"));
    declare_queue(client, "rejecting", letters);
    bind(client, "fan-a", "fan", "");
    bind(client, "fan-b", "fan", "");
    bind(client, "plain", "topics", "#.plain");
}

fn table(name: &str, value: FieldValue) -> FieldTable {
    let mut table = FieldTable::new();
    table.insert(amqp_codec::ShortString::clipped(name), value);
    table
}

fn text(value: &str) -> FieldValue {
    FieldValue::LongString(value.as_bytes().to_vec())
}

fn declare_queue(client: &mut Client, queue: &str, arguments: FieldTable) {
    let declare = queue::Declare {
        queue,
        durable: true,
        arguments,
        ..Default::default()
    };
    client.ask(1, declare, "queue.declare-ok");
}

fn bind(client: &mut Client, queue: &str, exchange: &str, routing_key: &str) {
    let bind = queue::Bind {
        queue,
        exchange,
        routing_key,
        ..Default::default()
    };
    client.ask(1, bind, "queue.bind-ok");
}

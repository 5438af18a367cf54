//! The load under strace: few messages and every kind of answer that promises something.

use std::net::SocketAddr;

use super::answers::{Answer, Whom};
use crate::durability::body::{BODY_MIN, Id, body};
use crate::durability::line::{Envelope, Event, Line};
use crate::durability::workers::STUCK;

/// An answer, and what must be in the log when it leaves.
#[derive(Clone)]
pub(crate) struct Promise {
    pub(crate) whom: Whom,
    pub(crate) answer: Answer,
    pub(crate) labels: Vec<Vec<u8>>,
}

impl std::fmt::Debug for Promise {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (port, channel) = self.whom;
        write!(f, "{:?} on channel {channel} of port {port}", self.answer)
    }
}

/// The length of a name such as `definition-0001`.
pub(crate) const DEFINITION_BYTES: usize = 15;

const QUEUES: [&str; 2] = ["one", "two"];
const EXCHANGE: &str = "both";

/// A client and its promises.
struct Client {
    line: Line,
    port: u16,
    publisher: u32,
    published: u32,
    promises: Vec<Promise>,
}

/// All clients at the same time, so that their messages share groups.
pub(crate) fn work(address: SocketAddr) -> Vec<Promise> {
    declare(address);
    let clients: [fn(&mut Client); 6] = [alone, windowed, windowed, fan_out, commits, closes];
    let mut promises = definitions(address);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (1..)
            .zip(clients)
            .map(|(publisher, client)| scope.spawn(move || run(address, publisher, client)))
            .collect();
        for thread in threads {
            promises.extend(thread.join().expect("a client"));
        }
    });
    promises
}

fn run(address: SocketAddr, publisher: u32, act: fn(&mut Client)) -> Vec<Promise> {
    let line = Line::open(address).expect("a connection");
    let port = line.peer.local_port().expect("a port");
    let mut client = Client {
        line,
        port,
        publisher,
        published: 0,
        promises: Vec::new(),
    };
    act(&mut client);
    client.promises
}

fn declare(address: SocketAddr) {
    let mut line = Line::open(address).expect("a connection");
    let question = format!("exchange.declare exchange={EXCHANGE} type=fanout durable=true");
    line.call(1, &question, "exchange.declare-ok")
        .expect("declared");
    for queue in QUEUES {
        let question = format!("queue.declare queue={queue} durable=true");
        line.call(1, &question, "queue.declare-ok")
            .expect("declared");
        let question = format!("queue.bind queue={queue} exchange={EXCHANGE}");
        line.call(1, &question, "queue.bind-ok").expect("bound");
    }
}

/// Durable queues, one after the other.
fn definitions(address: SocketAddr) -> Vec<Promise> {
    run(address, 0, |client| {
        for number in 1..=20 {
            let name = format!("definition-{number:04}");
            let question = format!("queue.declare queue={name} durable=true");
            let answer = client.line.call(1, &question, "queue.declare-ok");
            answer.expect("an answer");
            client.promise(1, Answer::Declare(number), vec![name.into_bytes()]);
        }
    })
}

/// One message at a time.
fn alone(client: &mut Client) {
    client.confirm(60, 1, "", "one");
}

fn windowed(client: &mut Client) {
    client.confirm(150, 40, "", "one");
}

/// Large enough to be in the log once for both queues, and small ones.
fn fan_out(client: &mut Client) {
    client.confirm(100, 10, EXCHANGE, "");
}

fn commits(client: &mut Client) {
    client
        .line
        .call(1, "tx.select", "tx.select-ok")
        .expect("an answer");
    for number in 1..=25 {
        let labels = (0..4)
            .map(|n| client.publish(1, "", QUEUES[n % 2]))
            .collect();
        client.line.bare(1, 90, 20);
        client.line.flush().expect("written");
        client.answer("tx.commit-ok");
        client.promise(1, Answer::Commit(number), labels);
    }
}

/// Publishes without confirms, and closes the channel.
fn closes(client: &mut Client) {
    for number in 1..=25 {
        let opened = client.line.call(2, "channel.open", "channel.open-ok");
        opened.expect("an answer");
        let labels = (0..5).map(|_| client.publish(2, "", "two")).collect();
        client.line.flush().expect("written");
        client
            .line
            .peer
            .send(2, "channel.close reply-code=200")
            .expect("written");
        client.answer("channel.close-ok");
        client.promise(2, Answer::Close(number), labels);
    }
}

impl Client {
    fn promise(&mut self, channel: u16, answer: Answer, labels: Vec<Vec<u8>>) {
        self.promises.push(Promise {
            whom: (self.port, channel),
            answer,
            labels,
        });
    }

    /// Gathers a publish; returns what stands in its body alone.
    fn publish(&mut self, channel: u16, exchange: &str, key: &str) -> Vec<u8> {
        self.published += 1;
        let (publisher, number) = (self.publisher, self.published);
        let id = Id { publisher, number };
        let size = if number % 5 == 0 { 9_000 } else { 40 };
        let to = Envelope {
            exchange,
            key,
            priority: 0,
        };
        self.line.publish(channel, to, id, size);
        body(id, size)[..BODY_MIN].to_vec()
    }

    fn confirm(&mut self, count: u64, window: u64, exchange: &str, key: &str) {
        let selected = self.line.call(1, "confirm.select", "confirm.select-ok");
        selected.expect("an answer");
        let mut done = std::collections::BTreeSet::new();
        for tag in 1..=count {
            let label = self.publish(1, exchange, key);
            self.promise(1, Answer::Confirm(tag), vec![label]);
            self.line.flush().expect("written");
            while tag - done.len() as u64 >= window || (tag == count && done.len() as u64 != tag) {
                match self.line.next(STUCK).expect("a broker") {
                    Event::Confirm {
                        tag,
                        multiple,
                        taken: true,
                    } => {
                        let first = if multiple { 1 } else { tag };
                        done.extend(first..=tag);
                    }
                    other => panic!("a confirm expected, got {other:?}"),
                }
            }
        }
    }

    fn answer(&mut self, name: &str) {
        match self.line.next(STUCK).expect("a broker") {
            Event::Method(_, method) if method.spec.name == name => {}
            other => panic!("{name} expected, got {other:?}"),
        }
    }
}

//! Clients of a broker that publish, consume and define until they are told to stop, or the broker is
//! gone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::stage::{PATIENCE, ask, connect, publish};
use crate::support::broker::Broker;
use crate::support::client::{Arrival, Peer};
use crate::support::method::Method;

/// Messages published before confirms are waited for.
const BURST: usize = 20;

/// Clients at work.
pub(crate) struct Load {
    stopped: Arc<AtomicBool>,
    published: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

/// What each client has.
#[derive(Clone)]
struct Client {
    address: SocketAddr,
    stopped: Arc<AtomicBool>,
    published: Arc<AtomicU64>,
    /// Tells the rounds of a test apart.
    round: usize,
}

impl Load {
    /// Queues `a` to `c`, of which `b` and `c` get the same messages, and their clients.
    pub(crate) fn begin(broker: &Broker, round: usize) -> Load {
        ask(
            &mut connect(broker),
            &[
                "exchange.declare exchange=fan type=fanout durable=true",
                "queue.declare queue=a durable=true",
                "queue.declare queue=b durable=true",
                "queue.declare queue=c durable=true",
                "queue.bind queue=b exchange=fan",
                "queue.bind queue=c exchange=fan",
            ],
        );
        let client = Client {
            address: broker.amqp(),
            stopped: Arc::default(),
            published: Arc::default(),
            round,
        };
        let work: [fn(Client) -> Result<(), String>; 5] = [
            |client| client.publish("routing-key=a", "a"),
            |client| client.publish("exchange=fan", "fan"),
            |client| client.consume("a"),
            |client| client.consume("b"),
            Client::define,
        ];
        let threads = work.map(|work| {
            let client = client.clone();
            // A broker that goes is how a client ends.
            thread::spawn(move || drop(work(client)))
        });
        Load {
            stopped: client.stopped,
            published: client.published,
            threads: threads.into(),
        }
    }

    /// Waits until so many messages more were confirmed.
    #[track_caller]
    pub(crate) fn wait_for(&self, messages: u64) {
        let wanted = self.published.load(Ordering::Relaxed) + messages;
        let deadline = Instant::now() + PATIENCE;
        while self.published.load(Ordering::Relaxed) < wanted {
            assert!(Instant::now() < deadline, "nothing is published");
            thread::park_timeout(Duration::from_millis(5));
        }
    }

    /// Ends all clients; panics if one did.
    #[track_caller]
    pub(crate) fn end(self) {
        self.stopped.store(true, Ordering::Relaxed);
        for thread in self.threads {
            assert!(thread.join().is_ok(), "a client panicked");
        }
    }
}

impl Client {
    fn connect(&self) -> Result<Peer, String> {
        Peer::open(self.address, "/")
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    fn publish(self, target: &str, name: &str) -> Result<(), String> {
        let mut peer = self.connect()?;
        peer.call(1, "confirm.select", "confirm.select-ok")?;
        let (mut done, mut burst) = (0, 0);
        while !self.is_stopped() {
            // Some lie beside their record, in memory and in the log.
            let bytes = if burst % 5 == 0 { 5000 } else { 400 };
            let filling = "x".repeat(bytes);
            let body = |number| format!("{name}-{}-{burst}-{number} {filling}", self.round);
            let bodies: Vec<String> = (0..BURST).map(body).collect();
            publish(&mut peer, target, &bodies, &mut done)?;
            self.published.fetch_add(BURST as u64, Ordering::Relaxed);
            burst += 1;
        }
        Ok(())
    }

    /// Takes messages slower than they come: some are acked, some go back, some are kept.
    fn consume(self, queue: &str) -> Result<(), String> {
        let mut peer = self.connect()?;
        let get = format!("basic.get queue={queue}");
        let mut tag = 0;
        while !self.is_stopped() {
            peer.send(1, &get)?;
            let deadline = Instant::now() + PATIENCE;
            let Arrival::Frame(frame) = peer.next(1, deadline) else {
                return Err("the broker went".to_owned());
            };
            if Method::decode(&frame.payload)?.spec.name != "basic.get-ok" {
                thread::park_timeout(Duration::from_millis(2));
                continue;
            }
            peer.content(1, deadline)
                .map_err(|other| format!("{other:?}"))?;
            tag += 1;
            match tag % 8 {
                0 => {}
                1 => peer.send(1, &format!("basic.nack delivery-tag={tag} requeue=true"))?,
                _ => peer.send(1, &format!("basic.ack delivery-tag={tag}"))?,
            }
        }
        Ok(())
    }

    /// Declares queues, binds them and deletes every other one.
    fn define(self) -> Result<(), String> {
        let mut peer = self.connect()?;
        let mut number = 0;
        while !self.is_stopped() {
            let name = format!("t-{}-{number}", self.round);
            let declare = format!("queue.declare queue={name} durable=true");
            peer.call(1, &declare, "queue.declare-ok")?;
            let bind = format!("queue.bind queue={name} exchange=amq.direct routing-key=k");
            peer.call(1, &bind, "queue.bind-ok")?;
            if number % 2 == 0 {
                let delete = format!("queue.delete queue={name}");
                peer.call(1, &delete, "queue.delete-ok")?;
            }
            number += 1;
            thread::park_timeout(Duration::from_millis(10));
        }
        Ok(())
    }
}

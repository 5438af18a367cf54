//! Many declares in one write from several connections, and the broker killed in the middle of
//! them, five times over one data directory.
//!
//! The log is one sequence and a connection's questions are in it in their order, so what is there
//! after the kill is what some number of a connection's questions have made: at least as many as
//! were answered.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::node::Node;
use crate::support::client::{Arrival, Peer};
use crate::support::method::Method;

const CONNECTIONS: usize = 4;
/// Questions of each connection in a round.
const QUESTIONS: usize = 240;
const SEEDS: [u64; 5] = [
    0x5eed_0001,
    0x5eed_0002,
    0x5eed_0003,
    0x5eed_0004,
    0x5eed_0005,
];
const PATIENCE: Duration = Duration::from_secs(30);

/// Queues, exchanges and bindings of one connection, by name.
type State = BTreeSet<String>;

/// Question `n` of a connection: declares a queue, an exchange, binds them, and of every other
/// pair deletes the queue again.
fn question(name: &str, n: usize) -> String {
    let pair = format!("{name}-{}", n / 4);
    match n % 4 {
        0 => format!("queue.declare queue={pair} durable=true"),
        1 => format!("exchange.declare exchange={pair} type=fanout durable=true"),
        2 => format!("queue.bind queue={pair} exchange={pair}"),
        _ if (n / 4).is_multiple_of(2) => format!("queue.delete queue={pair}"),
        _ => format!("queue.bind queue={pair} exchange=amq.direct routing-key={pair}"),
    }
}

/// What the first `count` questions make.
fn made(name: &str, count: usize) -> State {
    let mut state = State::new();
    for n in 0..count {
        let pair = format!("{name}-{}", n / 4);
        match n % 4 {
            0 => state.insert(format!("queue {pair}")),
            1 => state.insert(format!("exchange {pair}")),
            2 => state.insert(format!("{pair} to {pair}")),
            _ if (n / 4).is_multiple_of(2) => {
                state.remove(&format!("queue {pair}")) && state.remove(&format!("{pair} to {pair}"))
            }
            _ => state.insert(format!("amq.direct to {pair}")),
        };
    }
    state
}

/// What the broker shows of all connections.
fn found(node: &Node) -> State {
    let file = node.definitions();
    let items = |list: &str| file[list].as_array().cloned().expect("a list");
    let text = |item: &serde_json::Value, name: &str| item[name].as_str().unwrap_or("").to_owned();
    let queues = items("queues");
    let exchanges = items("exchanges");
    let bindings = items("bindings");
    let queues = queues
        .iter()
        .map(|queue| format!("queue {}", text(queue, "name")));
    let exchanges = exchanges
        .iter()
        .map(|x| format!("exchange {}", text(x, "name")));
    let bindings = bindings
        .iter()
        .map(|b| format!("{} to {}", text(b, "source"), text(b, "destination")));
    queues.chain(exchanges).chain(bindings).collect()
}

/// Counts answers on channel 1, up to `most`, until the broker is gone.
fn answers(peer: &mut Peer, most: usize) -> usize {
    let deadline = Instant::now() + PATIENCE;
    let mut count = 0;
    while count < most {
        match peer.next(1, deadline) {
            Arrival::Frame(frame) => {
                let method = Method::decode(&frame.payload).expect("a method");
                assert!(method.spec.name.ends_with("-ok"), "{method:?}");
                count += 1;
            }
            Arrival::Eof => break,
            other => panic!("after {count} answers: {other:?}"),
        }
    }
    count
}

/// A number below `bound` from a seed.
fn draw(seed: &mut u64, bound: usize) -> usize {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *seed;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap_or(0)
}

/// Asks everything at once, kills after a number of answers, and counts what was answered.
fn interrupted(node: &mut Node, names: &[String], seed: u64) -> Vec<usize> {
    let mut state = seed;
    let mut peers: Vec<Peer> = names.iter().map(|_| node.peer("/")).collect();
    for (peer, name) in peers.iter_mut().zip(names) {
        let questions: Vec<String> = (0..QUESTIONS).map(|n| question(name, n)).collect();
        peer.send(1, &questions.join(" | "))
            .expect("sent in one write");
    }
    let watched = draw(&mut state, names.len());
    let mut early = vec![0; names.len()];
    early[watched] = answers(&mut peers[watched], draw(&mut state, QUESTIONS));
    node.kill();
    let late = peers.iter_mut().map(|peer| answers(peer, QUESTIONS));
    late.zip(early).map(|(late, early)| late + early).collect()
}

#[test]
fn everything_answered_is_there_and_nothing_that_was_never_asked() {
    let mut node = Node::start();
    let mut earlier = State::new();
    for seed in SEEDS {
        let names: Vec<String> = (0..CONNECTIONS).map(|n| format!("{seed:x}-{n}")).collect();
        let answered = interrupted(&mut node, &names, seed);
        node.start_again();
        let mut rest = found(&node);
        let all = rest.clone();
        for (name, answered) in names.iter().zip(&answered) {
            let own = |entry: &String| entry.contains(&format!("{name}-"));
            let mine: State = rest.iter().filter(|entry| own(entry)).cloned().collect();
            let fits = (*answered..=QUESTIONS).any(|count| made(name, count) == mine);
            assert!(
                fits,
                "seed {seed:x}: {name} was answered {answered} times, found {mine:?}"
            );
            rest.retain(|entry| !own(entry));
        }
        assert_eq!(rest, earlier, "seed {seed:x}: earlier rounds");
        earlier = all;
    }
}

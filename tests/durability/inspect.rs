//! Reads every queue of a running broker to its end, over AMQP.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::body::Id;
use super::history::History;
use super::line::{Event, Gone, Line};
use super::scene::{FIXED, Queue};

/// Gets that are asked for at a time.
const AT_ONCE: usize = 100;
/// How long a dead letter may take to its queue.
const ON_THE_WAY: Duration = Duration::from_secs(20);
/// How long a broker may be silent.
const PATIENCE: Duration = Duration::from_secs(30);

/// A message that is there.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// None if its body was never published.
    pub(crate) id: Option<Id>,
    pub(crate) redelivered: bool,
    /// Its header says that it died.
    pub(crate) is_letter: bool,
}

/// Every message of every queue, in the order of the queue.
pub(crate) type Found = BTreeMap<Queue, Vec<Seen>>;

/// What happens with the messages after they were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Afterwards {
    /// They go back to their queues.
    Return,
    /// They are acknowledged.
    Take,
}

/// Reads everything, those last who get what others lose.
pub(crate) fn read(
    address: SocketAddr,
    history: &History,
    afterwards: Afterwards,
) -> Result<Found, String> {
    let mut line = Line::open(address)?;
    let own = history
        .queues
        .keys()
        .filter(|queue| is_there(&mut line, **queue));
    let own: Vec<Queue> = own.copied().collect();
    let mut found = Found::new();
    let mut channel = 1;
    for queue in own.into_iter().chain(FIXED) {
        channel += 1;
        let opened = line.call(channel, "channel.open", "channel.open-ok");
        let read = opened.and_then(|()| drain(&mut line, channel, queue));
        let mut messages = read.map_err(|_| format!("the broker went while {queue:?} was read"))?;
        if queue == Queue::Dead {
            await_letters(&mut line, channel, history, &found, &mut messages)
                .map_err(|_| "the broker went while dead letters were read".to_owned())?;
        }
        found.insert(queue, messages);
    }
    if afterwards == Afterwards::Take {
        (2..=channel).for_each(|channel| line.ack(channel, 0, true));
        line.flush().map_err(|_| "the broker went".to_owned())?;
    }
    // Closed in order, so that what was read is settled, or back, before anybody else comes.
    line.call(0, "connection.close reply-code=200", "connection.close-ok")
        .map_err(|_| "the broker did not close".to_owned())?;
    Ok(found)
}

/// Whether a queue that comes and goes is there.
pub(crate) fn is_there(line: &mut Line, queue: Queue) -> bool {
    let question = format!("queue.declare queue={} passive=true", queue.name());
    if line.call(1, &question, "queue.declare-ok").is_ok() {
        return true;
    }
    // The channel was closed with 404.
    let _ = line.peer.send(1, "channel.close-ok");
    let _ = line.call(1, "channel.open", "channel.open-ok");
    false
}

fn drain(line: &mut Line, channel: u16, queue: Queue) -> Result<Vec<Seen>, Gone> {
    let name = queue.name();
    let mut messages = Vec::new();
    loop {
        (0..AT_ONCE).for_each(|_| line.get(channel, &name));
        line.flush()?;
        let mut empty = 0;
        for _ in 0..AT_ONCE {
            match line.next(PATIENCE)? {
                Event::Delivery(delivery) => messages.push(Seen {
                    id: delivery.id,
                    redelivered: delivery.redelivered,
                    is_letter: has_died(&delivery.header),
                }),
                Event::Empty => empty += 1,
                other => panic!("{queue:?} answered a get with {other:?}"),
            }
        }
        if empty > 0 {
            return Ok(messages);
        }
    }
}

fn has_died(header: &[u8]) -> bool {
    header.windows(7).any(|window| window == b"x-death")
}

/// Reads dead letters until none is missing, as long as they may be on their way.
fn await_letters(
    line: &mut Line,
    channel: u16,
    history: &History,
    found: &Found,
    letters: &mut Vec<Seen>,
) -> Result<(), Gone> {
    let at_home: BTreeSet<(Queue, Id)> = [Queue::Prio, Queue::Ttl]
        .into_iter()
        .flat_map(|home| ids(&found[&home]).map(move |id| (home, id)))
        .collect();
    let awaited = history.copies.iter().filter(|((home, id), copy)| {
        copy.must && copy.among_dead && !at_home.contains(&(*home, *id))
    });
    let mut awaited: BTreeSet<Id> = awaited.map(|((_, id), _)| *id).collect();
    let deadline = Instant::now() + ON_THE_WAY;
    let mut looked = 0;
    loop {
        for seen in &letters[looked..] {
            seen.id.iter().for_each(|id| {
                awaited.remove(id);
            });
        }
        looked = letters.len();
        if awaited.is_empty() || Instant::now() > deadline {
            return Ok(());
        }
        std::thread::park_timeout(Duration::from_millis(20));
        letters.extend(drain(line, channel, Queue::Dead)?);
    }
}

/// The ids of those that have one.
pub(crate) fn ids(messages: &[Seen]) -> impl Iterator<Item = Id> {
    messages.iter().filter_map(|seen| seen.id)
}

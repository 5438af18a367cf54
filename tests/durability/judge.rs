//! Compares what is there with what was done. Everything it returns is a broken promise.

use std::collections::{BTreeMap, BTreeSet};

use super::body::Id;
use super::history::{Copy, Existence, Gone, History, Turn};
use super::inspect::{Afterwards, Found, Seen, ids};
use super::scene::Queue;

/// What a consumer without acknowledgements may lose with its connection: what the broker had taken
/// for delivered and the connection had not written.
const IN_FLIGHT_BYTES: usize = 1 << 20;

/// How the broker had ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Killed,
    Stopped,
    /// One after the other.
    Both,
}

/// Judges, and makes what was found the truth from now on.
pub(crate) fn judge(
    history: &mut History,
    found: &Found,
    end: End,
    afterwards: Afterwards,
) -> Vec<String> {
    let mut wrong = std::mem::take(&mut history.wrong);
    wrong.extend(queues(history, found));
    wrong.extend(found.iter().flat_map(|(queue, seen)| {
        let unknown = strangers(history, *queue, seen, end);
        unknown.into_iter().chain(order(*queue, seen))
    }));
    let there = places(history, found);
    wrong.extend(losses(history, &there));
    wrong.extend(turns(history, &there));
    learn(history, found, &there, afterwards);
    wrong
}

/// Where each message was found: (in its own queue, among the dead letters).
type There = BTreeMap<(Queue, Id), (bool, bool)>;

fn places(history: &History, found: &Found) -> There {
    let mut there = There::new();
    for (queue, seen) in found {
        for id in ids(seen) {
            let place = there.entry((history.home(*queue, id), id)).or_default();
            match queue {
                Queue::Dead => place.1 = true,
                _ => place.0 = true,
            }
        }
    }
    there
}

fn queues(history: &History, found: &Found) -> Vec<String> {
    let known = history.queues.iter();
    let wrong = known.filter_map(|(queue, existence)| {
        let is_there = found.contains_key(queue);
        match existence {
            Existence::There if !is_there => Some(format!("{queue:?} was declared and is gone")),
            Existence::Deleted if is_there => Some(format!("{queue:?} was deleted and is back")),
            _ => None,
        }
    });
    wrong.collect()
}

/// Messages that must not be there, or not so.
fn strangers(history: &History, queue: Queue, seen: &[Seen], end: End) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut before = BTreeSet::new();
    for message in seen {
        let Some(id) = message.id else {
            wrong.push(format!(
                "{queue:?} holds a message that was never published"
            ));
            continue;
        };
        let home = history.home(queue, id);
        let is_first = before.insert(id);
        let Some(copy) = history.copies.get(&(home, id)) else {
            let why = history.unknown(home, id);
            wrong.push(format!("{queue:?} holds {id:x?}: {why}"));
            continue;
        };
        wrong.extend(
            blemish(queue, copy, message, (is_first, end))
                .map(|what| format!("{queue:?} holds {id:x?} of {home:?}: {what}; {copy:?}")),
        );
    }
    wrong
}

fn blemish(
    queue: Queue,
    copy: &Copy,
    message: &Seen,
    (is_first, end): (bool, End),
) -> Option<&'static str> {
    if queue == Queue::Dead {
        return match (copy.among_dead, message.is_letter) {
            (false, _) => Some("it never died"),
            (true, false) => Some("its header does not say that it died"),
            (true, true) => None,
        };
    }
    if !is_first {
        return Some("it is there twice");
    }
    if !copy.at_home {
        return Some("it had become a dead letter");
    }
    // A broker that was killed when it had put everything in order has ended cleanly.
    if !message.redelivered && copy.delivered {
        return Some("it is not redelivered");
    }
    let is_fresh = end == End::Stopped && queue.is_unconsumed() && !copy.delivered;
    (is_fresh && message.redelivered).then_some("it is redelivered, and nobody ever got it")
}

/// A queue keeps the order of each publisher, within a priority.
fn order(queue: Queue, seen: &[Seen]) -> Vec<String> {
    let mut wrong = Vec::new();
    if queue == Queue::Dead {
        return wrong;
    }
    let mut last: BTreeMap<(u8, u32), u32> = BTreeMap::new();
    let mut level = u8::MAX;
    for id in ids(seen) {
        let priority = queue.priority(id.number);
        if priority > level {
            wrong.push(format!("{queue:?}: {id:x?} stands behind lower priorities"));
        }
        level = priority;
        let before = last.insert((priority, id.publisher), id.number);
        if before.is_some_and(|before| before >= id.number) {
            wrong.push(format!("{queue:?}: {id:x?} stands behind {before:x?}"));
        }
    }
    wrong
}

fn losses(history: &mut History, there: &There) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut in_flight = Vec::new();
    for ((home, id), copy) in &history.copies {
        history.tally.checked += 1;
        if !copy.must || there.contains_key(&(*home, *id)) {
            continue;
        }
        match home {
            Queue::FanAuto => in_flight.push((*id, copy.bytes)),
            _ => wrong.push(format!("{home:?}: {id:x?} is lost; {copy:?}")),
        }
    }
    history.tally.in_flight += in_flight.len() as u64;
    wrong.extend(unacknowledged(history, there, &in_flight));
    wrong
}

/// What is missing where nobody acknowledges must have been on its way: behind all that came, in
/// front of all that is left, and not more than a connection holds.
fn unacknowledged(history: &History, there: &There, missing: &[(Id, usize)]) -> Vec<String> {
    let mut wrong = Vec::new();
    let queue = Queue::FanAuto;
    let left = there.keys().find(|(home, _)| *home == queue);
    let came = history.auto_seen.get(&queue);
    for (id, _) in missing {
        if came.is_some_and(|came| id < came) || left.is_some_and(|(_, left)| left < id) {
            wrong.push(format!(
                "{queue:?}: {id:x?} is lost: {came:x?} was the last to come, {left:x?} is left"
            ));
        }
    }
    let bytes: usize = missing.iter().map(|(_, bytes)| bytes).sum();
    let largest = missing.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0);
    if bytes > IN_FLIGHT_BYTES + largest {
        wrong.push(format!("{queue:?}: {bytes} bytes were lost on their way"));
    }
    wrong
}

/// A transaction without an answer happened as a whole or not at all.
fn turns(history: &mut History, there: &There) -> Vec<String> {
    let mut wrong = Vec::new();
    for turn in std::mem::take(&mut history.doubtful) {
        if let Some(what) = halves(history, &turn, there) {
            wrong.push(format!("a transaction was cut in two: {what}"));
        }
    }
    wrong
}

fn halves(history: &History, turn: &Turn, there: &There) -> Option<String> {
    let (mut done, mut undone) = (Vec::new(), Vec::new());
    for key in &turn.publishes {
        match history.copies.get(key) {
            Some(_) if there.contains_key(key) => done.push(*key),
            Some(copy) if !copy.settled => undone.push(*key),
            // Somebody settled it, which says nothing unless that is durable.
            Some(_) => {}
            None => done.push(*key),
        }
    }
    for key in &turn.settles {
        let was_durable = history.copies.get(key).is_some_and(|copy| copy.durable);
        match there.contains_key(key) {
            true => undone.push(*key),
            false if was_durable => done.push(*key),
            false => {}
        }
    }
    let is_cut = !done.is_empty() && !undone.is_empty();
    is_cut.then(|| format!("done {done:x?}, not done {undone:x?}"))
}

/// What was found stays until it is settled; what was not never comes back, unless it may still be
/// on its way to the dead letters.
fn learn(history: &mut History, found: &Found, there: &There, afterwards: Afterwards) {
    let mut gone = Vec::new();
    for (key, copy) in &mut history.copies {
        match there.get(key) {
            Some((at_home, among_dead)) => {
                copy.must = afterwards == Afterwards::Return;
                copy.durable = true;
                copy.settled = afterwards == Afterwards::Take;
                copy.delivered = true;
                copy.at_home = *at_home;
                // It may still die.
                copy.among_dead = *among_dead || key.0 == Queue::Ttl;
            }
            None if key.0.has_letters() && copy.among_dead => {}
            None => gone.push(*key),
        }
    }
    for key in gone {
        history.copies.remove(&key);
        history.gone.insert(key, Gone::Missed);
    }
    history.auto_seen.clear();
    for (queue, existence) in &mut history.queues {
        *existence = match found.contains_key(queue) {
            true => Existence::There,
            false => Existence::Deleted,
        };
    }
}

//! A queue that is declared, filled, purged, deleted and declared again: what was deleted or purged
//! must not come back with the name.

use super::super::body::Id;
use super::super::history::{Deed, Existence};
use super::super::line::{Envelope, Event, Gone};
use super::super::scene::Queue;
use super::{Desk, STUCK, sent};

/// Rounds until it has enough.
const ROUNDS: u32 = 60;

pub(super) fn define(desk: &mut Desk) -> Result<(), Gone> {
    let queue = Queue::Own(desk.publisher);
    desk.line.call(1, "confirm.select", "confirm.select-ok")?;
    let mut tag = 0;
    let mut inside = Vec::new();
    for _ in 0..ROUNDS {
        declare(desk, queue)?;
        inside.extend(fill(desk, queue, &mut tag)?);
        if desk.random.chance(50) {
            empty(desk, queue, "queue.purge", &mut inside)?;
            inside.extend(fill(desk, queue, &mut tag)?);
        }
        if desk.random.chance(60) {
            desk.report.push(Deed::Queue(queue, Existence::Unknown));
            empty(desk, queue, "queue.delete", &mut inside)?;
            desk.report.push(Deed::Queue(queue, Existence::Deleted));
        }
        desk.pause();
    }
    Ok(())
}

fn declare(desk: &mut Desk, queue: Queue) -> Result<(), Gone> {
    let is_new = !matches!(
        desk.report.iter().rev().find_map(existence),
        Some(Existence::There)
    );
    if is_new {
        desk.report.push(Deed::Queue(queue, Existence::Unknown));
    }
    let line = format!("queue.declare queue={} durable=true", queue.name());
    desk.line.call(1, &line, "queue.declare-ok")?;
    desk.report.push(Deed::Queue(queue, Existence::There));
    Ok(())
}

fn existence(deed: &Deed) -> Option<Existence> {
    match deed {
        Deed::Queue(_, existence) => Some(*existence),
        _ => None,
    }
}

/// Publishes a few messages and waits for all confirms.
fn fill(desk: &mut Desk, queue: Queue, last_tag: &mut u64) -> Result<Vec<Id>, Gone> {
    let key = queue.name();
    let mut published = Vec::new();
    for _ in 0..desk.random.within(1..20) {
        let (id, size) = (desk.draw_id(), desk.draw_size());
        let to = Envelope {
            key: &key,
            ..Envelope::default()
        };
        desk.line.publish(1, to, id, size);
        published.push((id, size));
    }
    let first = *last_tag + 1;
    *last_tag += published.len() as u64;
    let confirmed = desk
        .line
        .flush()
        .and_then(|()| confirms(desk, first, *last_tag));
    let sure = confirmed.is_ok();
    let deeds = published
        .iter()
        .map(|(id, size)| sent(queue, *id, *size, sure));
    desk.report.extend(deeds);
    confirmed?;
    Ok(published.into_iter().map(|(id, _)| id).collect())
}

fn confirms(desk: &mut Desk, first: u64, last: u64) -> Result<(), Gone> {
    let mut missing: std::collections::BTreeSet<u64> = (first..=last).collect();
    while !missing.is_empty() {
        match desk.line.next(STUCK)? {
            Event::Confirm {
                tag,
                multiple,
                taken: true,
            } => {
                missing.retain(|awaited| {
                    if multiple {
                        *awaited > tag
                    } else {
                        *awaited != tag
                    }
                });
            }
            other => desk.unexpected(&other),
        }
    }
    Ok(())
}

/// Purges or deletes: the messages may go before the answer, and have gone after it.
fn empty(desk: &mut Desk, queue: Queue, question: &str, inside: &mut Vec<Id>) -> Result<(), Gone> {
    let line = format!("{question} queue={}", queue.name());
    let answered = desk.line.call(1, &line, &format!("{question}-ok"));
    let sure = answered.is_ok();
    let gone = inside.drain(..);
    desk.report
        .extend(gone.map(|id| Deed::Settled { queue, id, sure }));
    answered
}

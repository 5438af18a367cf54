//! Transactions: publishes to two queues, and messages moved from one queue to another.

use super::super::body::Id;
use super::super::history::{Deed, Turn};
use super::super::line::{Envelope, Event, Gone};
use super::super::scene::Queue;
use super::{Desk, LOOK, sent};

/// Gathers `tx.commit`, and waits for its answer.
fn commit(desk: &mut Desk) -> Result<(), Gone> {
    desk.line.bare(1, 90, 20);
    desk.line.flush()?;
    desk.answer("tx.commit-ok")
}

fn gather(desk: &mut Desk, queue: Queue) -> (Queue, Id, usize) {
    let (id, size) = (desk.draw_id(), desk.draw_size());
    let key = queue.name();
    let to = Envelope {
        key: &key,
        ..Envelope::default()
    };
    desk.line.publish(1, to, id, size);
    (queue, id, size)
}

/// Reports a transaction that was answered, or was not.
fn note(desk: &mut Desk, sure: bool, published: &[(Queue, Id, usize)], settled: &[(Queue, Id)]) {
    let sent = published
        .iter()
        .map(|(queue, id, size)| sent(*queue, *id, *size, sure));
    desk.report.extend(sent);
    let settles = settled.iter().map(|(queue, id)| Deed::Settled {
        queue: *queue,
        id: *id,
        sure,
    });
    desk.report.extend(settles);
    if !sure {
        desk.report.push(Deed::Doubtful(Turn {
            publishes: published
                .iter()
                .map(|(queue, id, _)| (*queue, *id))
                .collect(),
            settles: settled.to_vec(),
        }));
    }
}

/// Publishes to both queues at once.
pub(super) fn publish(desk: &mut Desk) -> Result<(), Gone> {
    desk.line.call(1, "tx.select", "tx.select-ok")?;
    while !desk.is_done() {
        let mut published = Vec::new();
        for _ in 0..desk.random.within(1..8) {
            published.push(gather(desk, Queue::TxIn));
            published.push(gather(desk, Queue::TxBoth));
        }
        // Nothing of a transaction that is rolled back may be seen.
        if desk.random.chance(10) {
            desk.line.bare(1, 90, 30);
            desk.line.flush()?;
            desk.answer("tx.rollback-ok")?;
            continue;
        }
        let answered = commit(desk);
        note(desk, answered.is_ok(), &published, &[]);
        answered?;
        if desk.random.chance(30) {
            desk.pause();
        }
    }
    Ok(())
}

/// Moves messages: each transaction acknowledges some and publishes as many.
pub(super) fn move_on(desk: &mut Desk) -> Result<(), Gone> {
    desk.line.call(1, "tx.select", "tx.select-ok")?;
    desk.line
        .call(1, "basic.qos prefetch-count=50", "basic.qos-ok")?;
    let question = format!("basic.consume queue={} consumer-tag=c", Queue::TxIn.name());
    desk.line.call(1, &question, "basic.consume-ok")?;
    let mut hand = Vec::new();
    loop {
        let is_quiet = match desk.line.next(LOOK)? {
            Event::Delivery(delivery) => {
                let seen = delivery
                    .id
                    .ok_or_else(|| format!("{delivery:?} was never published"));
                match seen {
                    Ok(id) => {
                        desk.report.push(Deed::Seen {
                            queue: Queue::TxIn,
                            id,
                            redelivered: delivery.redelivered,
                        });
                        hand.push((delivery.tag, id));
                    }
                    Err(what) => desk.report.push(Deed::Wrong(what)),
                }
                false
            }
            Event::Quiet => true,
            other => {
                desk.unexpected(&other);
                false
            }
        };
        let enough = desk.random.index(10) + 1;
        if !hand.is_empty() && (is_quiet || hand.len() >= enough) {
            move_all(desk, &mut hand)?;
        }
    }
}

fn move_all(desk: &mut Desk, hand: &mut Vec<(u64, Id)>) -> Result<(), Gone> {
    let mut settled = Vec::new();
    let mut published = Vec::new();
    for (tag, id) in hand.drain(..) {
        published.push(gather(desk, Queue::Moved));
        desk.line.ack(1, tag, false);
        settled.push((Queue::TxIn, id));
    }
    desk.line.bare(1, 90, 20);
    let answered = desk.line.flush().and_then(|()| committed(desk, hand));
    note(desk, answered.is_ok(), &published, &settled);
    answered
}

/// Waits for the answer to a commit; deliveries come in between.
fn committed(desk: &mut Desk, hand: &mut Vec<(u64, Id)>) -> Result<(), Gone> {
    loop {
        match desk.line.next(super::STUCK)? {
            Event::Method(_, method) if method.spec.name == "tx.commit-ok" => return Ok(()),
            Event::Delivery(delivery) => {
                if let Some(id) = delivery.id {
                    desk.report.push(Deed::Seen {
                        queue: Queue::TxIn,
                        id,
                        redelivered: delivery.redelivered,
                    });
                    hand.push((delivery.tag, id));
                }
            }
            other => desk.unexpected(&other),
        }
    }
}

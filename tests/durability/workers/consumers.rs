//! Consumers: acknowledging in batches, putting back, rejecting, holding on, or without
//! acknowledgements at all.

use std::collections::VecDeque;

use super::super::body::Id;
use super::super::history::Deed;
use super::super::line::{Delivery, Envelope, Event, Gone};
use super::super::scene::Queue;
use super::{Desk, LOOK, sent};

/// What a consumer does with its messages, in percent; it acknowledges the rest.
#[derive(Clone, Copy, Debug)]
struct Habits {
    queue: Queue,
    requeues: u64,
    rejects: u64,
    holds: u64,
    /// How often it publishes a receipt behind its acknowledgements.
    receipts: u64,
}

pub(super) fn plain(desk: &mut Desk) -> Result<(), Gone> {
    consume(
        desk,
        Habits {
            queue: Queue::Plain,
            requeues: 8,
            rejects: 0,
            holds: 3,
            receipts: 40,
        },
    )
}

pub(super) fn kept(desk: &mut Desk) -> Result<(), Gone> {
    consume(
        desk,
        Habits {
            queue: Queue::FanKept,
            requeues: 0,
            rejects: 0,
            holds: 0,
            receipts: 20,
        },
    )
}

pub(super) fn prio(desk: &mut Desk) -> Result<(), Gone> {
    consume(
        desk,
        Habits {
            queue: Queue::Prio,
            requeues: 10,
            rejects: 30,
            holds: 1,
            receipts: 0,
        },
    )
}

pub(super) fn dead(desk: &mut Desk) -> Result<(), Gone> {
    consume(
        desk,
        Habits {
            queue: Queue::Dead,
            requeues: 5,
            rejects: 0,
            holds: 5,
            receipts: 0,
        },
    )
}

/// A message in the hands of the consumer.
type Held = (u64, Id);

/// Receipts on their way: the tag of each, the receipt, and how many acknowledgements it covers.
#[derive(Default)]
struct Receipts {
    last_tag: u64,
    awaited: VecDeque<(u64, Id, usize)>,
    acked: VecDeque<Id>,
    /// Acknowledgements that an earlier receipt has covered.
    covered: usize,
}

fn consume(desk: &mut Desk, habits: Habits) -> Result<(), Gone> {
    desk.line.call(1, "confirm.select", "confirm.select-ok")?;
    desk.line
        .call(1, "basic.qos prefetch-count=100", "basic.qos-ok")?;
    start(desk, habits.queue, "false")?;
    let mut receipts = Receipts::default();
    let Err(gone) = work(desk, habits, &mut receipts) else {
        return Ok(());
    };
    let Receipts { awaited, acked, .. } = receipts;
    let hoped = acked.into_iter().map(|id| Deed::Settled {
        queue: habits.queue,
        id,
        sure: false,
    });
    desk.report.extend(hoped);
    let unsure = awaited
        .into_iter()
        .map(|(_, id, _)| receipt(habits.queue, id, false));
    desk.report.extend(unsure);
    Err(gone)
}

fn start(desk: &mut Desk, queue: Queue, no_ack: &str) -> Result<(), Gone> {
    let name = queue.name();
    let question = format!("basic.consume queue={name} consumer-tag=c no-ack={no_ack}");
    desk.line.call(1, &question, "basic.consume-ok")
}

fn receipt(queue: Queue, id: Id, sure: bool) -> Deed {
    sent(queue, id, 0, sure)
}

fn work(desk: &mut Desk, habits: Habits, receipts: &mut Receipts) -> Result<(), Gone> {
    let mut hand: Vec<Held> = Vec::new();
    let mut enough = desk.random.index(50) + 1;
    loop {
        match desk.line.next(LOOK)? {
            Event::Delivery(delivery) => hand.extend(look(desk, habits.queue, &delivery)),
            Event::Confirm { tag, multiple, .. } => {
                confirm(desk, habits.queue, (tag, multiple), receipts);
                continue;
            }
            Event::Quiet => enough = hand.len(),
            other => desk.unexpected(&other),
        }
        if !hand.is_empty() && hand.len() >= enough {
            settle(desk, habits, &mut hand, receipts)?;
            enough = desk.random.index(50) + 1;
        }
    }
}

fn look(desk: &mut Desk, queue: Queue, delivery: &Delivery) -> Option<Held> {
    let Some(id) = delivery.id else {
        let what = format!("{queue:?} delivered what was never published: {delivery:?}");
        desk.report.push(Deed::Wrong(what));
        return None;
    };
    desk.report.push(Deed::Seen {
        queue,
        id,
        redelivered: delivery.redelivered,
    });
    Some((delivery.tag, id))
}

fn settle(
    desk: &mut Desk,
    habits: Habits,
    hand: &mut Vec<Held>,
    receipts: &mut Receipts,
) -> Result<(), Gone> {
    let mut acked = Vec::new();
    let mut is_all = true;
    for (tag, id) in hand.drain(..) {
        let draw = desk.random.within(0..100);
        is_all &= draw >= habits.requeues + habits.rejects + habits.holds;
        if draw < habits.requeues {
            desk.line.requeue(1, tag);
        } else if draw < habits.requeues + habits.rejects {
            let queue = habits.queue;
            desk.report.push(Deed::Rejected { queue, id });
            desk.line.reject(1, tag);
        } else if draw >= habits.requeues + habits.rejects + habits.holds {
            acked.push((tag, id));
        }
    }
    // Those it holds on to would be acknowledged as well.
    if let Some((last, _)) = acked.last()
        && is_all
        && habits.holds == 0
    {
        desk.line.ack(1, *last, true);
    } else {
        acked
            .iter()
            .for_each(|(tag, _)| desk.line.ack(1, *tag, false));
    }
    receipts.acked.extend(acked.iter().map(|(_, id)| *id));
    if desk.random.chance(habits.receipts) && !acked.is_empty() {
        promise(desk, habits.queue, receipts);
    }
    desk.line.flush()
}

/// Publishes a receipt behind the acknowledgements, on the same channel and into the same queue,
/// which logs one after the other.
fn promise(desk: &mut Desk, queue: Queue, receipts: &mut Receipts) {
    let id = desk.draw_id();
    let key = queue.name();
    let to = Envelope {
        key: &key,
        ..Envelope::default()
    };
    desk.line.publish(1, to, id, 0);
    receipts.last_tag += 1;
    let all = receipts.covered + receipts.acked.len();
    receipts.awaited.push_back((receipts.last_tag, id, all));
}

/// A receipt is durable, and so is what the log had before it.
fn confirm(desk: &mut Desk, queue: Queue, (tag, multiple): (u64, bool), receipts: &mut Receipts) {
    let is_meant = |awaited: u64| awaited == tag || (multiple && awaited < tag);
    let awaited = std::mem::take(&mut receipts.awaited);
    let (meant, rest): (VecDeque<_>, _) = awaited
        .into_iter()
        .partition(|(awaited, _, _)| is_meant(*awaited));
    receipts.awaited = rest;
    for (_, id, all) in meant {
        desk.report.push(receipt(queue, id, true));
        while receipts.covered < all {
            receipts.covered += 1;
            let settled = receipts.acked.pop_front();
            desk.report.extend(settled.map(|id| Deed::Settled {
                queue,
                id,
                sure: true,
            }));
        }
    }
}

/// Takes everything without acknowledgements.
pub(super) fn auto(desk: &mut Desk) -> Result<(), Gone> {
    let queue = Queue::FanAuto;
    start(desk, queue, "true")?;
    loop {
        match desk.line.next(LOOK)? {
            Event::Delivery(delivery) => {
                if let Some((_, id)) = look(desk, queue, &delivery) {
                    desk.report.push(Deed::Settled {
                        queue,
                        id,
                        sure: false,
                    });
                }
            }
            Event::Quiet => {}
            other => desk.unexpected(&other),
        }
    }
}

//! Publishers: with confirms, and without them behind channel.close.

use std::collections::BTreeMap;

use super::super::body::Id;
use super::super::history::Deed;
use super::super::line::{Envelope, Event, Gone};
use super::super::scene::{FAN, Queue};
use super::{Desk, LOOK, STUCK, sent};

/// How many messages wait for their confirm at most.
const WINDOW: usize = 200;

/// Where a message goes and where it will be.
struct Route {
    exchange: &'static str,
    key: String,
    homes: &'static [Queue],
}

impl Route {
    fn queue(homes: &'static [Queue; 1]) -> Route {
        Route {
            exchange: "",
            key: homes[0].name(),
            homes,
        }
    }
}

pub(super) fn plain(desk: &mut Desk) -> Result<(), Gone> {
    confirmed(desk, |_| Route::queue(&[Queue::Plain]))
}

/// Most messages to both queues, some to one of them.
pub(super) fn fan(desk: &mut Desk) -> Result<(), Gone> {
    confirmed(desk, |id| match id.number % 7 {
        0 => Route::queue(&[Queue::FanKept]),
        _ => Route {
            exchange: FAN,
            key: String::new(),
            homes: &[Queue::FanKept, Queue::FanAuto],
        },
    })
}

pub(super) fn prio(desk: &mut Desk) -> Result<(), Gone> {
    confirmed(desk, |_| Route::queue(&[Queue::Prio]))
}

pub(super) fn ttl(desk: &mut Desk) -> Result<(), Gone> {
    confirmed(desk, |_| Route::queue(&[Queue::Ttl]))
}

/// Messages whose confirm is awaited, by tag.
#[derive(Default)]
struct Awaited {
    last_tag: u64,
    waiting: BTreeMap<u64, (Id, usize, &'static [Queue])>,
}

impl Awaited {
    /// Reports those that a confirm speaks of.
    fn settle(&mut self, (tag, multiple, taken): (u64, bool, bool), report: &mut Vec<Deed>) {
        let first = if multiple { 0 } else { tag };
        let tags: Vec<u64> = self
            .waiting
            .range(first..=tag)
            .map(|(tag, _)| *tag)
            .collect();
        if tags.is_empty() {
            report.push(Deed::Wrong(format!(
                "a confirm of {tag}, which is not awaited"
            )));
        }
        for (id, bytes, homes) in tags.iter().filter_map(|tag| self.waiting.remove(tag)) {
            report.extend(homes.iter().map(|home| sent(*home, id, bytes, taken)));
        }
    }

    /// Nobody will say any more what became of the rest.
    fn give_up(self, report: &mut Vec<Deed>) {
        for (id, bytes, homes) in self.waiting.into_values() {
            report.extend(homes.iter().map(|home| sent(*home, id, bytes, false)));
        }
    }
}

fn confirmed(desk: &mut Desk, route: fn(Id) -> Route) -> Result<(), Gone> {
    desk.line.call(1, "confirm.select", "confirm.select-ok")?;
    let mut awaited = Awaited::default();
    let Err(Gone) = publish(desk, &mut awaited, route) else {
        return Ok(());
    };
    awaited.give_up(&mut desk.report);
    Err(Gone)
}

fn publish(desk: &mut Desk, awaited: &mut Awaited, route: fn(Id) -> Route) -> Result<(), Gone> {
    while !desk.is_done() {
        for _ in 0..desk.random.within(1..60) {
            let (id, size) = (desk.draw_id(), desk.draw_size());
            let Route {
                exchange,
                key,
                homes,
            } = route(id);
            let priority = homes[0].priority(id.number);
            let key = key.as_str();
            let to = Envelope {
                exchange,
                key,
                priority,
            };
            desk.line.publish(1, to, id, size);
            awaited.last_tag += 1;
            awaited.waiting.insert(awaited.last_tag, (id, size, homes));
        }
        desk.line.flush()?;
        read_confirms(desk, awaited, WINDOW)?;
        if desk.random.chance(30) {
            desk.pause();
        }
    }
    read_confirms(desk, awaited, 0)
}

/// Reads until no more than `left` are awaited.
fn read_confirms(desk: &mut Desk, awaited: &mut Awaited, left: usize) -> Result<(), Gone> {
    while awaited.waiting.len() > left {
        match desk.line.next(STUCK)? {
            Event::Confirm {
                tag,
                multiple,
                taken,
            } => awaited.settle((tag, multiple, taken), &mut desk.report),
            other => desk.unexpected(&other),
        }
    }
    Ok(())
}

/// Opens a channel, publishes, closes it: what was published before close-ok is safe.
pub(super) fn covered(desk: &mut Desk) -> Result<(), Gone> {
    let key = Queue::Covered.name();
    while !desk.is_done() {
        desk.line.call(2, "channel.open", "channel.open-ok")?;
        let mut published = Vec::new();
        for _ in 0..desk.random.within(1..40) {
            let (id, size) = (desk.draw_id(), desk.draw_size());
            let to = Envelope {
                key: &key,
                ..Envelope::default()
            };
            desk.line.publish(2, to, id, size);
            published.push((id, size));
        }
        let closed = desk.line.flush().and_then(|()| {
            let _ = desk.line.peer.send(2, "channel.close reply-code=200");
            desk.answer("channel.close-ok")
        });
        let covered = published.into_iter();
        let deeds = covered.map(|(id, size)| sent(Queue::Covered, id, size, closed.is_ok()));
        desk.report.extend(deeds);
        closed?;
        if desk.random.chance(30) {
            std::thread::park_timeout(LOOK / 4);
        }
    }
    Ok(())
}

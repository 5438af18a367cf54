//! What must be true after a crash, told from what clients did and heard. Shares no code with what
//! it checks and knows neither log nor pages; all it takes from the store is how many records there
//! were before and after something was done.
//!
//! Everything that happened has a [`Window`]: the records one of which says it. When a start finds
//! the log up to record `last`, what is below must be true, what is above must not be, and what is
//! inside may be.

mod rebase;
mod verify;

use std::collections::BTreeMap;
use std::sync::Arc;

use leveret::store::Map;

use crate::message::{Id, Sent};
use crate::observe::Seen;
use crate::settings::{LETTERS, MAX_PRIORITY, QueuePlan, Sort};

pub(crate) use verify::Crash;

/// Records one of which says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) from: u64,
    /// While it is not known yet, the highest number.
    pub(crate) to: u64,
}

impl Window {
    /// It was so from the beginning.
    pub(crate) const ALWAYS: Window = Window { from: 0, to: 0 };

    pub(crate) fn since(from: u64) -> Window {
        Window { from, to: u64::MAX }
    }

    pub(crate) fn at(lsn: u64) -> Window {
        Window { from: lsn, to: lsn }
    }

    fn is_open(&self) -> bool {
        self.to == u64::MAX
    }
}

/// Why a message may leave its queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// Acked, purged, dropped.
    ForGood,
    /// To the queue for dead letters.
    AsLetter,
}

#[derive(Clone, Copy, Debug)]
struct End {
    window: Window,
    /// It did leave. Else it may have.
    is_sure: bool,
    leaving: Leaving,
}

/// A message in a queue it was published to.
#[derive(Clone, Debug)]
struct Copy {
    published: Window,
    /// The publisher was told that it is safe.
    is_confirmed: bool,
    ends: Vec<End>,
    /// Times it came back from a client.
    returns: Vec<Window>,
    /// Times it had come back when the process started.
    returned_before: u32,
    was_redelivered: bool,
    deadline: Option<u64>,
    /// Its place: grows with every message of the queue.
    place: u64,
    /// A client has it.
    is_out: bool,
    /// It is in its queue, not only in a turn.
    is_placed: bool,
    /// Else it is only counted.
    is_persistent: bool,
    level: u8,
    client: u16,
}

impl Copy {
    fn sure_end(&self) -> Option<Window> {
        let sure = self.ends.iter().find(|end| end.is_sure);
        sure.map(|end| end.window)
    }
}

/// Copies of a dead letter in the queue for dead letters.
#[derive(Clone, Debug, Default)]
struct Letters {
    /// So many there may be.
    possible: u32,
    ends: Vec<End>,
}

/// One life of a queue.
#[derive(Clone, Debug)]
pub(crate) struct QueueModel {
    pub(crate) id: u64,
    pub(crate) plan: Arc<QueuePlan>,
    created: u64,
    deleted: Option<Window>,
    copies: BTreeMap<Id, Copy>,
    letters: BTreeMap<Id, Letters>,
    next_place: u64,
}

impl QueueModel {
    fn level(&self, priority: u8) -> u8 {
        match self.plan.sort {
            Sort::Priority => priority.min(MAX_PRIORITY),
            _ => 0,
        }
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.deleted.is_some()
    }
}

/// All that clients know.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) queues: BTreeMap<u64, QueueModel>,
    /// Every message there ever was, by id.
    pub(crate) sent: Vec<Sent>,
    /// The definitions as they were when the process started.
    definitions: Map,
    /// What must never happen, and did.
    pub(crate) violations: Vec<String>,
}

impl Model {
    /// A message nobody sent before.
    pub(crate) fn send(&mut self, make: impl FnOnce(Id) -> Sent) -> Sent {
        let sent = make(self.sent.len() as Id);
        self.sent.push(sent);
        sent
    }

    pub(crate) fn violation(&mut self, text: String) {
        self.violations.push(text);
    }

    pub(crate) fn create(&mut self, id: u64, plan: &Arc<QueuePlan>, created: u64) {
        let letters = match &*plan.name == LETTERS {
            true => self.letters_to_come(),
            false => BTreeMap::new(),
        };
        let queue = QueueModel {
            id,
            plan: Arc::clone(plan),
            created,
            deleted: None,
            copies: BTreeMap::new(),
            letters,
            next_place: 1,
        };
        self.queues.insert(id, queue);
    }

    /// What died, or may, and has not been moved.
    fn letters_to_come(&self) -> BTreeMap<Id, Letters> {
        let mut letters: BTreeMap<Id, Letters> = BTreeMap::new();
        let sources = self.queues.values().filter(|queue| !queue.is_deleted());
        for queue in sources.filter(|queue| queue.plan.is_dead_lettering()) {
            for (id, copy) in &queue.copies {
                let to_come = |end: &&End| end.leaving == Leaving::AsLetter && !end.is_sure;
                let ends = copy.ends.iter().filter(to_come).count() as u32;
                let possible = ends + u32::from(copy.deadline.is_some());
                if possible > 0 {
                    letters.entry(*id).or_default().possible += possible;
                }
            }
        }
        letters
    }

    /// Whether the queue refuses what is too many.
    pub(crate) fn is_refusing(&self, queue: u64) -> bool {
        let queue = self.queues.get(&queue);
        queue.is_some_and(|queue| queue.plan.sort == Sort::Refusing)
    }

    /// The queue may have refused the messages.
    pub(crate) fn may_refuse(&mut self, queue: u64, messages: &[Sent], window: Window) {
        for sent in messages {
            self.leave(queue, sent.id, window, Leaving::ForGood);
        }
    }

    /// It did not, but for those of which it says so.
    pub(crate) fn took(&mut self, queue: u64, messages: &[Sent]) {
        for sent in messages {
            let Some(copy) = self.copy_mut(queue, sent.id) else {
                continue;
            };
            let refusal = |end: &End| end.window.is_open() && end.leaving == Leaving::ForGood;
            copy.ends.retain(|end| !refusal(end));
        }
    }

    /// Messages are being published to a queue.
    pub(crate) fn publish(&mut self, queue: u64, messages: &[Sent], published: Window, now: u64) {
        let Some(queue) = self.queues.get_mut(&queue) else {
            return;
        };
        for sent in messages {
            let ttl = match queue.plan.sort {
                Sort::Expiring { .. } => Some(now + queue.plan.ttl),
                _ => None,
            };
            let own = sent.expires_at.map(|at| at.0);
            let deadline = ttl.into_iter().chain(own).min();
            let copy = Copy {
                published,
                is_confirmed: false,
                ends: Vec::new(),
                returns: Vec::new(),
                returned_before: 0,
                was_redelivered: false,
                deadline,
                place: queue.next_place,
                is_out: false,
                is_placed: true,
                is_persistent: sent.persistent,
                level: queue.level(sent.priority),
                client: sent.client,
            };
            queue.next_place += 1;
            let is_counted = matches!(queue.plan.sort, Sort::Limited { .. });
            if queue.plan.is_durable() && (sent.persistent || is_counted) {
                queue.copies.insert(sent.id, copy);
            }
        }
        let is_lettering = queue.plan.is_dead_lettering();
        let mortal = messages.iter().filter(|sent| {
            let copy = queue.copies.get(&sent.id);
            is_lettering && copy.is_some_and(|copy| copy.deadline.is_some())
        });
        let mortal: Vec<Id> = mortal.map(|sent| sent.id).collect();
        let id = queue.id;
        mortal
            .iter()
            .for_each(|message| self.expect_letter(*message));
        self.overflow(id, published.from);
    }

    /// A message of a turn reached its queue: its place is behind all others.
    pub(crate) fn placed(&mut self, queue: u64, messages: &[Sent], from: u64) {
        let Some(model) = self.queues.get_mut(&queue) else {
            return;
        };
        for sent in messages {
            if let Some(copy) = model.copies.get_mut(&sent.id) {
                copy.is_placed = true;
                copy.place = model.next_place;
                model.next_place += 1;
            }
        }
        self.overflow(queue, from);
    }

    /// The turn with the messages is record `lsn`.
    pub(crate) fn in_turn(&mut self, queue: u64, messages: &[Sent], lsn: u64) {
        for sent in messages {
            if let Some(copy) = self.copy_mut(queue, sent.id) {
                copy.published = Window::at(lsn);
                copy.is_placed = false;
            }
        }
    }

    /// The publish is over: no record behind `to` says it.
    pub(crate) fn published(&mut self, queue: u64, messages: &[Sent], to: u64) {
        let Some(queue) = self.queues.get_mut(&queue) else {
            return;
        };
        for sent in messages {
            if let Some(copy) = queue.copies.get_mut(&sent.id)
                && copy.published.is_open()
            {
                copy.published.to = to;
            }
        }
    }

    /// The queue refused the message; the log says so in `window`, or never had it.
    pub(crate) fn refused(&mut self, queue: u64, message: Id, window: Option<Window>) {
        let Some(copy) = self.copy_mut(queue, message) else {
            return;
        };
        copy.ends.push(End {
            window: window.unwrap_or(Window::ALWAYS),
            is_sure: true,
            leaving: Leaving::ForGood,
        });
    }

    /// The publisher was told that all queues of the message have it.
    pub(crate) fn confirmed(&mut self, message: Id) {
        for queue in self.queues.values_mut() {
            if let Some(copy) = queue.copies.get_mut(&message) {
                copy.is_confirmed = true;
            }
        }
    }

    fn copy_mut(&mut self, queue: u64, message: Id) -> Option<&mut Copy> {
        self.queues.get_mut(&queue)?.copies.get_mut(&message)
    }

    /// One more copy of the message may come to the queue for dead letters.
    fn expect_letter(&mut self, message: Id) {
        let letters = self.queues.values_mut();
        let letters = letters.filter(|queue| &*queue.plan.name == LETTERS && !queue.is_deleted());
        for queue in letters {
            queue.letters.entry(message).or_default().possible += 1;
        }
    }

    /// The oldest messages beyond the queue's limit may go from now on.
    fn overflow(&mut self, id: u64, from: u64) {
        let Some(queue) = self.queues.get_mut(&id) else {
            return;
        };
        let Sort::Limited { dead_letters } = queue.plan.sort else {
            return;
        };
        let leaving = match dead_letters {
            true => Leaving::AsLetter,
            false => Leaving::ForGood,
        };
        let mut live: Vec<(u8, u64, Id)> = queue
            .copies
            .iter()
            .filter(|(_, copy)| copy.sure_end().is_none())
            .map(|(id, copy)| (copy.level, copy.place, *id))
            .collect();
        live.sort_by_key(|(level, place, _)| (std::cmp::Reverse(*level), *place));
        let safe = live.len().min(queue.plan.max_length as usize);
        let beyond: Vec<Id> = live[..live.len() - safe]
            .iter()
            .map(|live| live.2)
            .collect();
        for message in beyond {
            let is_known = self
                .copy_mut(id, message)
                .is_some_and(|copy| copy.ends.iter().any(|end| end.leaving == leaving));
            if !is_known {
                self.leave(id, message, Window::since(from), leaving);
            }
        }
    }

    /// The message may leave the queue from now on.
    pub(crate) fn leave(&mut self, queue: u64, message: Id, window: Window, leaving: Leaving) {
        let Some(queue) = self.queues.get_mut(&queue) else {
            return;
        };
        let end = End {
            window,
            is_sure: false,
            leaving,
        };
        if let Some(copy) = queue.copies.get_mut(&message) {
            copy.ends.push(end);
        } else if let Some(letters) = queue.letters.get_mut(&message) {
            letters.ends.push(end);
            return;
        } else {
            return;
        }
        if leaving == Leaving::AsLetter {
            self.expect_letter(message);
        }
    }

    /// The message left the queue: the last [`leave`](Self::leave) is over.
    pub(crate) fn left(&mut self, queue: u64, message: Id, to: u64, is_sure: bool) {
        let Some(queue) = self.queues.get_mut(&queue) else {
            return;
        };
        let ends = match queue.copies.get_mut(&message) {
            Some(copy) => {
                copy.is_out = false;
                &mut copy.ends
            }
            None => match queue.letters.get_mut(&message) {
                Some(letters) => &mut letters.ends,
                None => return,
            },
        };
        if let Some(end) = ends.iter_mut().rev().find(|end| end.window.is_open()) {
            end.window.to = to;
            end.is_sure = is_sure;
        }
    }

    /// The message left the queue with record `lsn`, and with no other.
    pub(crate) fn left_at(&mut self, queue: u64, message: Id, lsn: u64) {
        let Some(queue) = self.queues.get_mut(&queue) else {
            return;
        };
        let ends = match queue.copies.get_mut(&message) {
            Some(copy) => {
                copy.is_out = false;
                &mut copy.ends
            }
            None => match queue.letters.get_mut(&message) {
                Some(letters) => &mut letters.ends,
                None => return,
            },
        };
        if let Some(end) = ends.iter_mut().rev().find(|end| end.window.is_open()) {
            end.window = Window::at(lsn);
            end.is_sure = true;
        }
    }

    /// A queue gave a client this message.
    pub(crate) fn delivered(&mut self, queue: u64, seen: &Seen) {
        let why = self.delivery_fault(queue, seen);
        if let Some(why) = why {
            self.violation(format!("queue {queue} delivers {seen:?}, which {why}"));
        }
        if let Some(id) = seen.id
            && let Some(copy) = self.copy_mut(queue, id)
        {
            copy.is_out = true;
        }
    }

    fn delivery_fault(&self, queue: u64, seen: &Seen) -> Option<String> {
        let queue = self.queues.get(&queue)?;
        let Some(sent) = seen.id.and_then(|id| self.sent.get(id as usize)) else {
            return Some("nobody sent".to_owned());
        };
        if !queue.plan.is_durable() || !sent.persistent {
            return None;
        }
        let Some(copy) = queue.copies.get(&sent.id) else {
            let is_letter = queue.letters.contains_key(&sent.id);
            return (!is_letter).then(|| "is not there".to_owned());
        };
        let returned = copy.returned_before + copy.returns.len() as u32;
        let was_delivered = copy.was_redelivered || returned > 0;
        match copy.sure_end() {
            Some(end) => Some(format!("was gone with record {}", end.to)),
            None if copy.is_out => Some("a client has".to_owned()),
            None if seen.deliveries != returned => Some(format!("came back {returned} times")),
            None if seen.redelivered != was_delivered => {
                Some(format!("is redelivered: {was_delivered}"))
            }
            None => None,
        }
    }

    /// A client gave the message back.
    pub(crate) fn came_back(&mut self, queue: u64, message: Id, window: Window) {
        if let Some(copy) = self.copy_mut(queue, message) {
            copy.returns.push(window);
            copy.is_out = false;
        }
    }

    /// The last [`came_back`](Self::came_back) is over.
    pub(crate) fn is_back(&mut self, queue: u64, message: Id, to: u64) {
        if let Some(copy) = self.copy_mut(queue, message)
            && let Some(last) = copy.returns.last_mut()
        {
            last.to = to;
        }
    }

    /// It is with nobody, without having been seen.
    pub(crate) fn put_back(&mut self, queue: u64, message: Id) {
        if let Some(copy) = self.copy_mut(queue, message) {
            copy.is_out = false;
        }
    }

    /// Everything ready may go from now on, or all there is. Gives what is ready.
    pub(crate) fn empty(&mut self, queue: u64, from: u64) -> Vec<Id> {
        let Some(model) = self.queues.get_mut(&queue) else {
            return Vec::new();
        };
        let end = End {
            window: Window::since(from),
            is_sure: false,
            leaving: Leaving::ForGood,
        };
        let mut ready = Vec::new();
        let placed = model.copies.iter_mut().filter(|(_, copy)| copy.is_placed);
        for (id, copy) in placed {
            let is_dying = copy.ends.iter().any(|end| !end.is_sure);
            if !copy.is_out && !is_dying && copy.sure_end().is_none() {
                ready.push(*id);
            }
            copy.ends.push(end);
        }
        for letters in model.letters.values_mut() {
            letters.ends.push(end);
        }
        ready
    }

    /// What was ready is gone for good, the rest is as it was.
    pub(crate) fn emptied(&mut self, queue: u64, gone: &[Id], to: u64) {
        let Some(model) = self.queues.get_mut(&queue) else {
            return;
        };
        for (id, copy) in &mut model.copies {
            if let Some(end) = copy.ends.last_mut().filter(|end| end.window.is_open()) {
                end.window.to = to;
                end.is_sure = gone.contains(id);
            }
        }
        for letters in model.letters.values_mut() {
            if let Some(end) = letters.ends.last_mut().filter(|end| end.window.is_open()) {
                end.window.to = to;
            }
        }
    }

    /// The queue is being deleted, with all that is in it.
    pub(crate) fn delete(&mut self, queue: u64, from: u64) {
        if let Some(queue) = self.queues.get_mut(&queue) {
            queue.deleted = Some(Window::since(from));
        }
    }

    /// The queue is deleted.
    pub(crate) fn deleted(&mut self, queue: u64, to: u64) {
        if let Some(deleted) = self
            .queues
            .get_mut(&queue)
            .and_then(|queue| queue.deleted.as_mut())
        {
            deleted.to = to;
        }
    }

    /// All letters of the queue were moved: what died is in the queue for dead letters, or nowhere.
    pub(crate) fn letters_moved(&mut self, queue: u64, dead: &[Id], to: u64) {
        for message in dead {
            if let Some(copy) = self.copy_mut(queue, *message) {
                for end in &mut copy.ends {
                    if end.leaving == Leaving::AsLetter && !end.is_sure {
                        end.is_sure = true;
                        end.window.to = to;
                    }
                }
            }
        }
    }

    /// What is gone for good and durably so need not be remembered: when it is seen, nobody knows
    /// of it.
    pub(crate) fn prune(&mut self, durable: u64) {
        for queue in self.queues.values_mut() {
            queue.copies.retain(|_, copy| {
                let gone = copy.sure_end();
                gone.is_none_or(|end| end.to > durable)
                    || copy.ends.iter().any(|end| end.leaving == Leaving::AsLetter)
            });
        }
    }
}

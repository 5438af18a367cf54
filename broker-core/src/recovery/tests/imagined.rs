//! A broker as its log sees it, imagined step by step: which messages there are, where they lie,
//! and what a recovery may leave unread. Plain maps; it shares no code with the recovery.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{entry, page, push};
use crate::host::Lsn;
use crate::journal::{Block, EntryKind, PageEntry, Placement, RawChange, Runs, Section};
use crate::message::Records;

/// What happens next; numbers pick among what there is.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Declare,
    Delete {
        queue: u8,
        leaves_pages: bool,
    },
    Publish {
        queue: u8,
        count: u8,
    },
    Turn {
        sections: Vec<(u8, u8)>,
        settles: Vec<(u8, u8)>,
    },
    Place {
        pick: u8,
        count: u8,
        is_refused: bool,
    },
    Settle {
        queue: u8,
        picks: Vec<u8>,
    },
    SettleAgain {
        queue: u8,
        pick: u8,
    },
    Requeue {
        queue: u8,
        picks: Vec<u8>,
    },
    ComeAgain {
        queue: u8,
        picks: Vec<u8>,
    },
    PublishAgain {
        queue: u8,
        pick: u8,
    },
    WritePage {
        queue: u8,
        first: u8,
        count: u8,
    },
    MovePage {
        queue: u8,
        pick: u8,
        count: u8,
    },
    PutPage {
        pick: u8,
        source: Source,
    },
    PutPageAgain {
        queue: u8,
        pick: u8,
    },
    LogAgain {
        queue: u8,
        pick: u8,
    },
}

/// What becomes of the page that messages were moved from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source {
    Before,
    After,
    Later,
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let queue = || 0u8..3;
    let picks = || prop::collection::vec(any::<u8>(), 1..5);
    let source = prop_oneof![
        Just(Source::Before),
        Just(Source::After),
        Just(Source::Later),
    ];
    let pairs = |lengths| prop::collection::vec((1u8..8, 1u8..4), lengths);
    prop_oneof![
        1 => Just(Step::Declare),
        1 => (queue(), any::<bool>())
            .prop_map(|(queue, leaves_pages)| Step::Delete { queue, leaves_pages }),
        6 => (queue(), 1u8..5).prop_map(|(queue, count)| Step::Publish { queue, count }),
        3 => (pairs(0..3), pairs(0..2))
            .prop_map(|(sections, settles)| Step::Turn { sections, settles }),
        5 => (any::<u8>(), 1u8..4, prop::bool::weighted(0.2))
            .prop_map(|(pick, count, is_refused)| Step::Place { pick, count, is_refused }),
        5 => (queue(), picks()).prop_map(|(queue, picks)| Step::Settle { queue, picks }),
        1 => (queue(), any::<u8>()).prop_map(|(queue, pick)| Step::SettleAgain { queue, pick }),
        3 => (queue(), picks()).prop_map(|(queue, picks)| Step::Requeue { queue, picks }),
        2 => (queue(), picks()).prop_map(|(queue, picks)| Step::ComeAgain { queue, picks }),
        1 => (queue(), any::<u8>()).prop_map(|(queue, pick)| Step::PublishAgain { queue, pick }),
        4 => (queue(), any::<u8>(), 1u8..8)
            .prop_map(|(queue, first, count)| Step::WritePage { queue, first, count }),
        2 => (queue(), any::<u8>(), 1u8..4)
            .prop_map(|(queue, pick, count)| Step::MovePage { queue, pick, count }),
        6 => (any::<u8>(), source).prop_map(|(pick, source)| Step::PutPage { pick, source }),
        3 => (queue(), any::<u8>()).prop_map(|(queue, pick)| Step::PutPageAgain { queue, pick }),
        2 => (queue(), any::<u8>()).prop_map(|(queue, pick)| Step::LogAgain { queue, pick }),
    ]
}

#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) body: u32,
    pub(super) count: u32,
    /// The entry that its record stands in.
    pub(super) born: u64,
    /// The page that has it.
    pub(super) page: Option<u64>,
    /// Its delivery count in its record in log or page.
    pub(super) written_count: u32,
    /// When it came back, and its delivery count then.
    pub(super) returned: Vec<(u64, u32)>,
    /// It was settled before and came again.
    pub(super) is_again: bool,
}

/// What the map says of a page.
#[derive(Clone, Debug)]
pub(super) struct Mapped {
    pub(super) ordinals: Vec<u64>,
    /// When the first of them was settled.
    settled_at: Option<u64>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct ImaginedQueue {
    pub(super) next: u64,
    pub(super) messages: BTreeMap<u64, Message>,
    settled: BTreeMap<u64, Message>,
}

/// A turn's message in a queue: its body and delivery count, or none once it is placed.
pub(super) type Unplaced = Vec<Option<(u32, u32)>>;

/// How things are at an LSN.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) queues: BTreeMap<u64, ImaginedQueue>,
    /// By turn and queue.
    pub(super) turns: BTreeMap<(u64, u64), Unplaced>,
    /// By queue and number.
    pub(super) pages: BTreeMap<(u64, u64), Mapped>,
}

/// A page on its way.
#[derive(Clone, Debug)]
struct Written {
    queue: u64,
    number: u64,
    source: Option<u64>,
    /// Ordinal, and the entry that the record stood in.
    messages: Vec<(u64, u64)>,
}

/// What stands in the log at one LSN.
#[derive(Clone, Debug)]
pub(super) enum Item {
    Entry(EntryKind, Vec<u8>),
    Pages(Vec<RawChange>),
    Declared(u64),
    Deleted(u64, Vec<RawChange>),
}

#[derive(Debug, Default)]
pub(super) struct Imagined {
    pub(super) log: Vec<Item>,
    /// The state behind each LSN, from 0 on.
    pub(super) states: Vec<State>,
    /// What each page holds: ordinal to body and delivery count.
    pub(super) contents: BTreeMap<(u64, u64), super::Contents>,
    state: State,
    written: Vec<Written>,
    ids: u64,
    numbers: u64,
    bodies: u32,
}

impl State {
    /// Entries up to here are not needed.
    pub(super) fn floor(&self, lsn: u64) -> u64 {
        let unplaced = self.turns.iter().filter(|((_, queue), messages)| {
            self.queues.contains_key(queue) && messages.iter().any(Option::is_some)
        });
        let unplaced = unplaced.map(|(&(turn, _), _)| turn);
        let messages = self
            .queues
            .values()
            .flat_map(|queue| queue.messages.values());
        let in_log = messages.filter(|message| message.page.is_none());
        let in_log = in_log.map(|message| message.born);
        let settles = self.pages.values().filter_map(|page| page.settled_at);
        let needed = unplaced.chain(in_log).chain(settles).min();
        needed.map_or(lsn, |needed| needed - 1)
    }
}

fn pick<T: Copy>(from: impl Iterator<Item = T>, pick: u8) -> Option<T> {
    let all: Vec<T> = from.collect();
    (!all.is_empty()).then(|| all[pick as usize % all.len()])
}

impl Imagined {
    pub(super) fn run(steps: &[Step]) -> Imagined {
        let mut imagined = Imagined {
            states: vec![State::default()],
            ..Imagined::default()
        };
        imagined.step(&Step::Declare);
        for step in steps {
            imagined.step(step);
        }
        imagined
    }

    fn step(&mut self, step: &Step) {
        let _ = match step {
            Step::Declare => self.declare(),
            Step::Delete {
                queue,
                leaves_pages,
            } => self.delete(*queue, *leaves_pages),
            Step::Publish { queue, count } => self.publish(*queue, *count),
            Step::Turn { sections, settles } => self.turn(sections, settles),
            Step::Place {
                pick,
                count,
                is_refused,
            } => self.place(*pick, *count, *is_refused),
            Step::Settle { queue, picks } => self.settle(*queue, picks),
            Step::SettleAgain { queue, pick } => self.settle_again(*queue, *pick),
            Step::Requeue { queue, picks } => self.requeue(*queue, picks),
            Step::ComeAgain { queue, picks } => self.come_again(*queue, picks),
            Step::PublishAgain { queue, pick } => self.publish_again(*queue, *pick),
            Step::WritePage {
                queue,
                first,
                count,
            } => self.write_page(*queue, *first, *count),
            Step::MovePage { queue, pick, count } => self.move_page(*queue, *pick, *count),
            Step::PutPage { pick, source } => self.put_page(*pick, *source),
            Step::PutPageAgain { queue, pick } => self.put_page_again(*queue, *pick),
            Step::LogAgain { queue, pick } => self.log_again(*queue, *pick),
        };
    }

    fn lsn(&self) -> u64 {
        self.log.len() as u64 + 1
    }

    fn append(&mut self, item: Item) -> Option<()> {
        self.log.push(item);
        self.states.push(self.state.clone());
        Some(())
    }

    fn append_entry(&mut self, (kind, payload): (EntryKind, Vec<u8>)) -> Option<()> {
        self.append(Item::Entry(kind, payload))
    }

    fn queue(&self, queue: u8) -> Option<u64> {
        pick(self.state.queues.keys().copied(), queue)
    }

    fn of(&mut self, queue: u64) -> &mut ImaginedQueue {
        self.state.queues.get_mut(&queue).unwrap()
    }

    fn body(&mut self) -> u32 {
        self.bodies += 1;
        self.bodies
    }

    fn declare(&mut self) -> Option<()> {
        self.ids += 1;
        let queue = ImaginedQueue {
            next: 1,
            ..ImaginedQueue::default()
        };
        self.state.queues.insert(self.ids, queue);
        self.append(Item::Declared(self.ids))
    }

    fn delete(&mut self, queue: u8, leaves_pages: bool) -> Option<()> {
        let queue = self.queue(queue)?;
        self.state.queues.remove(&queue);
        let mut gone = Vec::new();
        if !leaves_pages {
            self.state.pages.retain(|&(of, number), _| {
                if of == queue {
                    gone.push(page(queue, number, Runs::new()).page_key().deleted());
                }
                of != queue
            });
        }
        self.append(Item::Deleted(queue, gone))
    }

    fn publish(&mut self, queue: u8, count: u8) -> Option<()> {
        let queue = self.queue(queue)?;
        let (lsn, mut records) = (self.lsn(), Records::new());
        for _ in 0..count {
            let body = self.body();
            let ordinal = self.add(queue, body, lsn);
            push(&mut records, ordinal, body, 0);
        }
        self.append_entry(entry(|log| log.append_batch(queue, &Block::of(&records))))
    }

    fn add(&mut self, queue: u64, body: u32, born: u64) -> u64 {
        let queue = self.of(queue);
        let ordinal = queue.next;
        queue.next += 1;
        let message = Message {
            body,
            count: 0,
            born,
            page: None,
            written_count: 0,
            returned: Vec::new(),
            is_again: false,
        };
        queue.messages.insert(ordinal, message);
        ordinal
    }

    /// Sections and settles name their queues by a mask.
    fn turn(&mut self, sections: &[(u8, u8)], settles: &[(u8, u8)]) -> Option<()> {
        let lsn = self.lsn();
        let named = |mask: u8, ids: &[u64]| {
            let ids = ids.iter().copied().enumerate();
            let named = ids.filter(|(index, _)| mask >> (index % 3) & 1 == 1);
            named.map(|(_, id)| id).collect::<Vec<u64>>()
        };
        let ids: Vec<u64> = self.state.queues.keys().copied().collect();
        let mut blocks = Vec::new();
        for &(mask, count) in sections {
            let (queues, mut records) = (named(mask, &ids), Records::new());
            for _ in 0..count {
                let body = self.body();
                push(&mut records, 0, body, 0);
                for &queue in &queues {
                    let messages = self.state.turns.entry((lsn, queue)).or_default();
                    messages.push(Some((body, 0)));
                }
            }
            blocks.push((queues, records));
        }
        let mut settled = Vec::new();
        for &(mask, picks) in settles {
            for queue in named(mask, &ids) {
                settled.push((queue, self.settle_in(queue, &[picks, 3 * picks])));
            }
        }
        let sections: Vec<Section<'_>> = blocks
            .iter()
            .map(|(queues, records)| Section {
                queues,
                block: Block::of(records),
            })
            .collect();
        if sections.is_empty() && settled.is_empty() {
            return None;
        }
        self.append_entry(entry(|log| log.append_turn(&sections, &settled)))
    }

    fn place(&mut self, which: u8, count: u8, is_refused: bool) -> Option<()> {
        let open = self.state.turns.iter().filter(|((_, queue), messages)| {
            self.state.queues.contains_key(queue) && messages.iter().any(Option::is_some)
        });
        let (turn, queue) = pick(open.map(|(&key, _)| key), which)?;
        let messages = self.state.turns.get_mut(&(turn, queue))?;
        let index = messages.iter().position(Option::is_some)?;
        let taken = messages.iter_mut().skip(index).take(count.into());
        let bodies: Vec<(u32, u32)> = taken.filter_map(Option::take).collect();
        let mut ordinal = 0;
        if !is_refused {
            ordinal = self.of(queue).next;
            for &(body, count) in &bodies {
                let ordinal = self.add(queue, body, turn);
                let message = self.of(queue).messages.get_mut(&ordinal).unwrap();
                (message.count, message.written_count) = (count, count);
            }
        }
        let placement = Placement {
            turn: Lsn(turn),
            index: index as u32,
            count: bodies.len() as u32,
            ordinal,
        };
        self.append_entry(entry(|log| log.append_placed(queue, &[placement])))
    }

    fn settle(&mut self, queue: u8, picks: &[u8]) -> Option<()> {
        let queue = self.queue(queue)?;
        let runs = self.settle_in(queue, picks);
        if runs.is_empty() {
            return None;
        }
        self.append_entry(entry(|log| log.append_settled(queue, &runs)))
    }

    fn settle_in(&mut self, queue: u64, picks: &[u8]) -> Runs {
        let mut runs = Runs::new();
        for &number in picks {
            let messages = self.of(queue).messages.keys();
            let Some(ordinal) = pick(messages.copied(), number) else {
                break;
            };
            runs.insert(ordinal);
            self.end(queue, ordinal);
        }
        runs
    }

    fn end(&mut self, queue: u64, ordinal: u64) {
        let lsn = self.lsn();
        let state = self.of(queue);
        let message = state.messages.remove(&ordinal).unwrap();
        state.settled.insert(ordinal, message);
        for ((of, _), mapped) in &mut self.state.pages {
            if *of == queue && mapped.ordinals.contains(&ordinal) {
                mapped.settled_at.get_or_insert(lsn);
            }
        }
    }

    fn settle_again(&mut self, queue: u8, which: u8) -> Option<()> {
        let queue = self.queue(queue)?;
        let ordinal = pick(self.of(queue).settled.keys().copied(), which)?;
        let runs = Runs::from_iter([ordinal]);
        self.append_entry(entry(|log| log.append_settled(queue, &runs)))
    }

    fn requeue(&mut self, queue: u8, picks: &[u8]) -> Option<()> {
        let (queue, lsn) = (self.queue(queue)?, self.lsn());
        let mut counts = Vec::new();
        for &number in picks {
            let state = self.of(queue);
            let ordinal = pick(state.messages.keys().copied(), number)?;
            let message = state.messages.get_mut(&ordinal).unwrap();
            message.count += 1;
            message.returned.push((lsn, message.count));
            counts.push((ordinal, message.count));
        }
        self.append_entry(entry(|log| log.append_returned(queue, &counts)))
    }

    /// Settled messages were never delivered after all and come again, under their ordinals; some
    /// as if they were new.
    fn come_again(&mut self, queue: u8, picks: &[u8]) -> Option<()> {
        let (queue, lsn) = (self.queue(queue)?, self.lsn());
        let mut records = Records::new();
        for &number in picks {
            let state = self.of(queue);
            let Some(ordinal) = pick(state.settled.keys().copied(), number) else {
                break;
            };
            let former = state.settled.remove(&ordinal).unwrap();
            let count = if number % 2 == 0 { former.count } else { 0 };
            let message = Message {
                born: lsn,
                page: None,
                count,
                written_count: count,
                returned: Vec::new(),
                is_again: true,
                ..former
            };
            push(&mut records, ordinal, message.body, message.count);
            state.messages.insert(ordinal, message);
        }
        if records.is_empty() {
            return None;
        }
        self.append_entry(entry(|log| log.append_batch(queue, &Block::of(&records))))
    }

    fn publish_again(&mut self, queue: u8, which: u8) -> Option<()> {
        let queue = self.queue(queue)?;
        let (ordinal, message) = pick(self.of(queue).messages.iter(), which)?;
        let mut records = Records::new();
        push(&mut records, *ordinal, message.body, message.count);
        self.append_entry(entry(|log| log.append_batch(queue, &Block::of(&records))))
    }

    /// The messages of a page are in the log again, so that it may go.
    fn log_again(&mut self, queue: u8, which: u8) -> Option<()> {
        let (queue, lsn) = (self.queue(queue)?, self.lsn());
        let number = pick(self.pages_of(queue).into_iter(), which)?;
        let mut records = Records::new();
        let mut again = Vec::new();
        for (&ordinal, message) in &self.of(queue).messages {
            if message.page == Some(number) {
                push(&mut records, ordinal, message.body, message.count);
                again.push((ordinal, message.clone()));
            }
        }
        if again.is_empty() {
            return None;
        }
        let entry = entry(|log| log.append_again(queue, &records));
        again
            .iter()
            .for_each(|&(ordinal, _)| self.end(queue, ordinal));
        for (ordinal, former) in again {
            let mut message = Message {
                born: lsn,
                page: None,
                is_again: true,
                ..former
            };
            // It may still be found in the page, which does not say it.
            if message.count > 0 {
                message.returned.push((lsn, message.count));
            }
            self.of(queue).settled.remove(&ordinal);
            self.of(queue).messages.insert(ordinal, message);
        }
        self.append_entry(entry)
    }

    /// A page gets some messages that are only in the log. The map does not have it yet.
    fn write_page(&mut self, queue: u8, first: u8, count: u8) -> Option<()> {
        let queue = self.queue(queue)?;
        let messages = self.of(queue).messages.iter();
        let in_log = messages.filter(|(_, message)| message.page.is_none());
        let in_log: Vec<u64> = in_log.map(|(&ordinal, _)| ordinal).collect();
        let first = first as usize % in_log.len().max(1);
        let ordinals = in_log.into_iter().skip(first).take(count.into());
        self.write(queue, None, ordinals.collect())
    }

    /// As [`Self::write_page`], with messages of another page.
    fn move_page(&mut self, queue: u8, which: u8, count: u8) -> Option<()> {
        let queue = self.queue(queue)?;
        let source = pick(self.pages_of(queue).into_iter(), which)?;
        let messages = self.of(queue).messages.iter();
        let there = messages.filter(|(_, message)| message.page == Some(source));
        let ordinals = there.map(|(&ordinal, _)| ordinal).take(count.into());
        let ordinals = ordinals.collect();
        self.write(queue, Some(source), ordinals)
    }

    fn write(&mut self, queue: u64, source: Option<u64>, ordinals: Vec<u64>) -> Option<()> {
        self.numbers += 1;
        let number = self.numbers;
        let state = &self.state.queues[&queue];
        let contents = ordinals.iter().map(|&ordinal| {
            let message = &state.messages[&ordinal];
            (ordinal, (message.body, message.count))
        });
        self.contents.insert((queue, number), contents.collect());
        let messages = ordinals
            .iter()
            .map(|&ordinal| (ordinal, state.messages[&ordinal].born));
        self.written.push(Written {
            queue,
            number,
            source,
            messages: messages.collect(),
        });
        Some(())
    }

    /// The map gets a page that was written, with what is alive of it now.
    fn put_page(&mut self, which: u8, source: Source) -> Option<()> {
        if self.written.is_empty() {
            return None;
        }
        let index = which as usize % self.written.len();
        let written = self.written.swap_remove(index);
        let (queue, number) = (written.queue, written.number);
        let state = self.state.queues.get_mut(&queue)?;
        let mut ordinals = Vec::new();
        for (ordinal, born) in written.messages {
            let message = state.messages.get_mut(&ordinal);
            let is_same =
                |message: &&mut Message| message.born == born && message.page == written.source;
            if let Some(message) = message.filter(is_same) {
                message.page = Some(number);
                message.written_count = self.contents[&(queue, number)][&ordinal].1;
                ordinals.push(ordinal);
            }
        }
        if ordinals.is_empty() {
            return None;
        }
        let mapped = Mapped {
            ordinals,
            settled_at: None,
        };
        let put = self.map(queue, number, mapped);
        let changes = match (written.source, source) {
            (None, _) | (_, Source::Later) => vec![put],
            (Some(from), Source::Before) => vec![self.map_again(queue, from), put],
            (Some(from), Source::After) => vec![put, self.map_again(queue, from)],
        };
        self.append(Item::Pages(changes))
    }

    fn put_page_again(&mut self, queue: u8, which: u8) -> Option<()> {
        let queue = self.queue(queue)?;
        let number = pick(self.pages_of(queue).into_iter(), which)?;
        let change = self.map_again(queue, number);
        self.append(Item::Pages(vec![change]))
    }

    fn pages_of(&self, queue: u64) -> Vec<u64> {
        let pages = self.state.pages.keys().filter(|&&(of, _)| of == queue);
        pages.map(|&(_, number)| number).collect()
    }

    fn map(&mut self, queue: u64, number: u64, mapped: Mapped) -> RawChange {
        let runs = mapped.ordinals.iter().copied().collect();
        self.state.pages.insert((queue, number), mapped);
        page(queue, number, runs).put()
    }

    /// The page's entry as it is now; none without messages.
    fn map_again(&mut self, queue: u64, number: u64) -> RawChange {
        let messages = self.state.queues[&queue].messages.iter();
        let there = messages.filter(|(_, message)| message.page == Some(number));
        let ordinals: Vec<u64> = there.map(|(&ordinal, _)| ordinal).collect();
        if ordinals.is_empty() {
            self.state.pages.remove(&(queue, number));
            return page(queue, number, Runs::new()).page_key().deleted();
        }
        let mapped = Mapped {
            ordinals,
            settled_at: None,
        };
        self.map(queue, number, mapped)
    }
}

impl Mapped {
    pub(super) fn entry(&self, queue: u64, number: u64) -> PageEntry {
        page(queue, number, self.ordinals.iter().copied().collect())
    }
}

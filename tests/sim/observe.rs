//! What a start makes of a disk: everything durable, read through the queues themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use broker_core::credit::ChannelCredit;
use broker_core::inbox::{ConsumerId, Inbox, Item, Mail};
use broker_core::journal::PageKey;
use broker_core::message::RecordRef;
use broker_core::queue::handle::Settings as QueueSettings;
use broker_core::queue::{Command, ConsumerSpec};
use broker_core::time::Timestamp;
use leveret::store::Map;

use crate::message::{Id, id_of};
use crate::process::{Found, Process};

/// Before everything: nothing expires while it is looked at.
const LONG_AGO: Timestamp = Timestamp(0);

/// A message that a queue has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) id: Option<Id>,
    pub(crate) ordinal: u64,
    pub(crate) priority: u8,
    pub(crate) persistent: bool,
    pub(crate) redelivered: bool,
    pub(crate) deliveries: u32,
    pub(crate) body_bytes: usize,
}

impl Seen {
    pub(crate) fn of(record: RecordRef<'_>) -> Seen {
        Seen {
            id: id_of(record),
            ordinal: record.ordinal(),
            priority: record.priority(),
            persistent: record.is_persistent(),
            redelivered: record.is_redelivered(),
            deliveries: record.delivery_count(),
            body_bytes: record.body_len(),
        }
    }
}

/// What was found on a disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observed {
    /// The last record that counts.
    pub(crate) last: u64,
    pub(crate) is_clean: bool,
    pub(crate) replayed: u64,
    pub(crate) definitions: Map,
    /// Messages in the order in which they would be delivered, by queue.
    pub(crate) queues: BTreeMap<u64, Vec<Seen>>,
    /// What no start should find.
    pub(crate) problems: Vec<String>,
}

/// Looks at everything that a process which just started has. It is of no other use after that.
pub(crate) fn observe(process: &Process, found: Found) -> Observed {
    let Found {
        recovered,
        checked,
        was_good,
    } = found;
    let report = &recovered.report;
    let mut observed = Observed {
        last: report.last.0,
        is_clean: recovered.clean,
        replayed: report.replayed_records,
        definitions: recovered.entries,
        ..Observed::default()
    };
    let pages = observed.definitions.keys();
    let queues: Vec<u64> = process.queues().iter().map(|q| q.identity().id.0).collect();
    let ownerless = pages.filter_map(|key| PageKey::parse(key));
    let ownerless = ownerless
        .filter(|page| !queues.contains(&page.queue))
        .count();
    observed
        .definitions
        .retain(|key, _| !key.starts_with(PageKey::PREFIX));
    // A crash may leave some, and the start removes them.
    if ownerless > 0 && observed.is_clean {
        let text = format!("after a clean stop {ownerless} pages have no queue");
        observed.problems.push(text);
    }
    let set_aside = report.catalogue_set_aside.as_ref();
    if let Some((_, why)) = set_aside.filter(|_| was_good) {
        let text = format!("a good catalogue is set aside: {why}");
        observed.problems.push(text);
    }
    for damage in &report.damage {
        observed.problems.push(format!("damage: {damage:?}"));
    }
    for problem in checked.iter().flat_map(|checked| &checked.problems) {
        observed
            .problems
            .push(format!("the offline check: {problem}"));
    }
    observed.queues = contents(process, &mut observed.problems);
    observed.problems.append(&mut process.host.problems.lock());
    observed
}

/// What all queues hold. They are without limits and dead letters from now on, so that nothing
/// goes while it is looked at.
pub(crate) fn contents(process: &Process, problems: &mut Vec<String>) -> BTreeMap<u64, Vec<Seen>> {
    let inbox = Inbox::new();
    let queues = process.queues();
    let mut consumers = BTreeMap::new();
    for queue in &queues {
        queue.submit(LONG_AGO, Command::Configure(QueueSettings::default()));
        let consumer = ConsumerId::next();
        consumers.insert(consumer, queue.identity().id.0);
        queue.submit(LONG_AGO, Command::Consume(spec(consumer, &inbox), 1));
    }
    let mut contents: BTreeMap<u64, Vec<Seen>> = BTreeMap::new();
    loop {
        let any = process.read_pages(LONG_AGO) | drain(&inbox, &consumers, &mut contents);
        resume(&inbox);
        if !any {
            break;
        }
    }
    for queue in &queues {
        let counts = queue.counts();
        if counts.ready + counts.dead > 0 {
            let name = &queue.identity().name;
            problems.push(format!("queue {name} keeps messages back: {counts:?}"));
        }
    }
    contents
}

fn resume(inbox: &Arc<Inbox>) {
    for queue in inbox.take_skipped() {
        if let Some(queue) = queue.upgrade() {
            queue.submit(LONG_AGO, Command::Resume);
        }
    }
}

fn drain(
    inbox: &Arc<Inbox>,
    consumers: &BTreeMap<ConsumerId, u64>,
    contents: &mut BTreeMap<u64, Vec<Seen>>,
) -> bool {
    let mut mail = Mail::default();
    if !inbox.take(&mut mail, None) {
        return false;
    }
    let mut records = mail.records.iter();
    let mut bytes = 0;
    for item in &mail.items {
        let Item::Deliveries {
            consumer, count, ..
        } = item
        else {
            continue;
        };
        let queue = consumers.get(consumer).copied().unwrap_or_default();
        let seen = contents.entry(queue).or_default();
        for record in records.by_ref().take(*count as usize) {
            bytes += record.memory_bytes();
            seen.push(Seen::of(record));
        }
    }
    inbox.release_bytes(bytes);
    true
}

fn spec(consumer: ConsumerId, inbox: &Arc<Inbox>) -> ConsumerSpec {
    ConsumerSpec {
        id: consumer,
        channel: 1,
        tag: "observer".into(),
        inbox: Arc::clone(inbox),
        credit: Arc::new(ChannelCredit::new()),
        no_ack: false,
        exclusive: false,
        priority: 0,
        prefetch: 0,
        arguments: Default::default(),
    }
}

/// What a second start finds otherwise than the first did.
pub(crate) fn differences(one: &Observed, other: &Observed) -> Vec<String> {
    let mut differences = Vec::new();
    // A start on an empty disk makes a vhost.
    if one.definitions != other.definitions && !one.definitions.is_empty() {
        differences.push("a second start finds other definitions".to_owned());
    }
    let ids = one.queues.keys().chain(other.queues.keys());
    let ids: BTreeSet<u64> = ids.copied().collect();
    let nothing = Vec::new();
    for id in ids {
        let [first, second] = [one, other].map(|found| found.queues.get(&id).unwrap_or(&nothing));
        // The first may have come after a stop in good order, the second never does.
        let is_same = |(first, second): (&Seen, &Seen)| {
            let redelivered = second.redelivered;
            *second
                == Seen {
                    redelivered,
                    ..*first
                }
        };
        if first.len() != second.len() || !first.iter().zip(second).all(is_same) {
            let (first, second) = (listed(first), listed(second));
            differences.push(format!("queue {id} has {second} after {first}"));
        }
    }
    differences
}

fn listed(seen: &[Seen]) -> String {
    let one = |seen: &Seen| match seen.id {
        Some(id) => format!("{id}@{}x{}", seen.ordinal, seen.deliveries),
        None => format!("?@{}", seen.ordinal),
    };
    seen.iter().map(one).collect::<Vec<_>>().join(" ")
}

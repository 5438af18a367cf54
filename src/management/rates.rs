//! How fast counters grow: everything is looked at every five seconds, and a rate is the
//! difference of two looks. Nothing is estimated: what has been seen once has the rate 0.
//!
//! A channel's counters go with it, so what it had is added to its vhost's sum when it is gone.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};
use std::time::Duration;

use broker_core::amqp091::session::{ChannelEntry, ChannelTotals, Session};
use broker_core::broker::Broker;
use broker_core::queue::handle::{QueueId, Snapshot};
use broker_core::time::Timestamp;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::Api;

/// Between two looks.
pub(super) const INTERVAL: Duration = Duration::from_secs(5);

/// The counters of messages, in the order of [`COUNTERS`].
pub(super) type Counters = [u64; 11];

/// Their names in `message_stats`: first what publishers cause, then what consumers do.
pub(super) const COUNTERS: [&str; 11] = [
    "publish",
    "confirm",
    "return_unroutable",
    "drop_unroutable",
    "deliver",
    "deliver_no_ack",
    "get",
    "get_no_ack",
    "get_empty",
    "redeliver",
    "ack",
];

/// What a channel has done so far.
pub(super) fn of_channel(totals: &ChannelTotals) -> Counters {
    [
        &totals.publish,
        &totals.confirm,
        &totals.return_unroutable,
        &totals.drop_unroutable,
        &totals.deliver,
        &totals.deliver_no_ack,
        &totals.get,
        &totals.get_no_ack,
        &totals.get_empty,
        &totals.redeliver,
        &totals.ack,
    ]
    .map(|counter: &AtomicU64| counter.load(Relaxed))
}

/// What happened in a queue so far.
pub(super) fn of_queue(snapshot: &Snapshot) -> Counters {
    let totals = &snapshot.totals;
    [
        totals.publish,
        0,
        0,
        0,
        totals.deliver,
        totals.deliver_no_ack,
        totals.get,
        totals.get_no_ack,
        totals.get_empty,
        totals.redeliver,
        totals.ack,
    ]
}

/// Numbers at one look, and how much they grew in a second before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample<const N: usize> {
    pub(super) values: [u64; N],
    pub(super) rates: [f64; N],
}

impl<const N: usize> Default for Sample<N> {
    fn default() -> Self {
        Sample {
            values: [0; N],
            rates: [0.0; N],
        }
    }
}

impl<const N: usize> Sample<N> {
    /// `seconds` after `before`; none of them before the second look.
    fn after(before: &Sample<N>, values: [u64; N], seconds: Option<f64>) -> Sample<N> {
        let mut rates = [0.0; N];
        if let Some(seconds) = seconds {
            for (place, rate) in rates.iter_mut().enumerate() {
                *rate = (values[place] as f64 - before.values[place] as f64) / seconds;
            }
        }
        Sample { values, rates }
    }
}

/// A queue at one look.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct QueueSample {
    pub(super) messages: Sample<11>,
    /// Ready, unacked.
    pub(super) lengths: Sample<2>,
}

#[derive(Clone, Debug)]
struct ChannelSample {
    entry: Arc<ChannelEntry>,
    vhost: Arc<str>,
    messages: Sample<11>,
}

/// A vhost at one look, or all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct VhostSample {
    pub(super) messages: Sample<11>,
    pub(super) lengths: Sample<2>,
    /// Octets received, sent.
    pub(super) octets: Sample<2>,
}

/// What was seen at one look. Queues where nothing ever happened are left out.
#[derive(Debug, Default)]
pub(super) struct Look {
    at: Option<Timestamp>,
    queues: FxHashMap<QueueId, QueueSample>,
    channels: FxHashMap<(u64, u16), ChannelSample>,
    connections: FxHashMap<u64, Connection>,
    vhosts: HashMap<Arc<str>, VhostSample>,
    /// What channels and connections that are gone did in a vhost.
    gone: HashMap<Arc<str>, Gone>,
    /// The same of vhosts that are gone.
    lost: Gone,
    pub(super) whole: VhostSample,
    /// Connections opened, closed.
    pub(super) churn: Sample<2>,
}

/// Messages, and octets received and sent.
type Gone = (Counters, [u64; 2]);

#[derive(Clone, Debug)]
struct Connection {
    session: Arc<Session>,
    octets: Sample<2>,
}

impl Look {
    pub(super) fn queue(&self, id: QueueId) -> QueueSample {
        self.queues.get(&id).copied().unwrap_or_default()
    }

    pub(super) fn channel(&self, connection: u64, number: u16) -> Sample<11> {
        let found = self.channels.get(&(connection, number));
        found.map(|channel| channel.messages).unwrap_or_default()
    }

    pub(super) fn connection(&self, id: u64) -> Sample<2> {
        let found = self.connections.get(&id);
        found
            .map(|connection| connection.octets)
            .unwrap_or_default()
    }

    pub(super) fn vhost(&self, name: &str) -> VhostSample {
        self.vhosts.get(name).copied().unwrap_or_default()
    }
}

/// The latest look.
#[derive(Debug, Default)]
pub(super) struct Rates {
    latest: Mutex<Arc<Look>>,
}

impl Rates {
    pub(super) fn latest(&self) -> Arc<Look> {
        Arc::clone(&self.latest.lock())
    }
}

/// Looks at everything again and again, as long as there is an API to ask.
pub(super) async fn watch(api: Weak<Api>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(api) = api.upgrade() else { return };
        // Looking waits for locks of queues, so it does not do so on a thread of connections.
        let looked = tokio::task::spawn_blocking(move || {
            let before = api.rates.latest();
            let now = look(&api.broker, &before, api.now());
            *api.rates.latest.lock() = Arc::new(now);
        });
        if let Err(error) = looked.await {
            tracing::error!(%error, "rates are not computed any more");
            return;
        }
    }
}

fn look(broker: &Broker, before: &Look, now: Timestamp) -> Look {
    let seconds = before.at.map(|at| now.since(at).max(1) as f64 / 1000.0);
    let mut look = Look {
        at: Some(now),
        gone: before.gone.clone(),
        lost: before.lost,
        ..Look::default()
    };
    let mut sums: HashMap<Arc<str>, Sums> = HashMap::new();
    look.at_queues(broker, before, seconds, &mut sums);
    look.at_connections(broker, before, seconds, &mut sums);
    look.add_gone(before, &mut sums);
    let mut whole = Sums::default();
    for (vhost, sum) in sums {
        whole.add(&sum);
        if broker.vhost(&vhost).is_some() {
            let sample = sum.sample(&before.vhost(&vhost), seconds);
            look.vhosts.insert(vhost, sample);
        } else if let Some((messages, octets)) = look.gone.remove(&vhost) {
            add(&mut look.lost.0, &messages);
            add(&mut look.lost.1, &octets);
        }
    }
    add(&mut whole.messages, &before.lost.0);
    add(&mut whole.octets, &before.lost.1);
    look.whole = whole.sample(&before.whole, seconds);
    let churn = broker.churn();
    let churn = [&churn.connections_opened, &churn.connections_closed];
    look.churn = Sample::after(
        &before.churn,
        churn.map(|count| count.load(Relaxed)),
        seconds,
    );
    look
}

/// What is added up for a vhost.
#[derive(Debug, Default)]
struct Sums {
    messages: Counters,
    lengths: [u64; 2],
    octets: [u64; 2],
}

impl Sums {
    fn add(&mut self, other: &Sums) {
        add(&mut self.messages, &other.messages);
        add(&mut self.lengths, &other.lengths);
        add(&mut self.octets, &other.octets);
    }

    fn sample(&self, before: &VhostSample, seconds: Option<f64>) -> VhostSample {
        VhostSample {
            messages: Sample::after(&before.messages, self.messages, seconds),
            lengths: Sample::after(&before.lengths, self.lengths, seconds),
            octets: Sample::after(&before.octets, self.octets, seconds),
        }
    }
}

fn add<const N: usize>(sum: &mut [u64; N], values: &[u64; N]) {
    for (sum, value) in sum.iter_mut().zip(values) {
        *sum += value;
    }
}

impl Look {
    fn at_queues(
        &mut self,
        broker: &Broker,
        before: &Look,
        seconds: Option<f64>,
        sums: &mut HashMap<Arc<str>, Sums>,
    ) {
        for vhost in broker.vhosts() {
            let handles: Vec<_> = {
                let topology = vhost.topology();
                topology
                    .queues()
                    .map(|queue| Arc::clone(&queue.handle))
                    .collect()
            };
            let sum = sums.entry(Arc::clone(vhost.name())).or_default();
            for handle in handles {
                let snapshot = handle.snapshot();
                let counters = of_queue(&snapshot);
                let lengths = [snapshot.counts.ready, snapshot.counts.unacked];
                add(&mut sum.lengths, &lengths);
                let id = handle.identity().id;
                let earlier = before.queue(id);
                let sample = QueueSample {
                    messages: Sample::after(&earlier.messages, counters, seconds),
                    lengths: Sample::after(&earlier.lengths, lengths, seconds),
                };
                if sample != QueueSample::default() {
                    self.queues.insert(id, sample);
                }
            }
        }
    }

    fn at_connections(
        &mut self,
        broker: &Broker,
        before: &Look,
        seconds: Option<f64>,
        sums: &mut HashMap<Arc<str>, Sums>,
    ) {
        for session in broker.connections() {
            let vhost = session.vhost.name();
            let sum = sums.entry(Arc::clone(vhost)).or_default();
            let octets = octets(&session);
            add(&mut sum.octets, &octets);
            let channels: Vec<_> = {
                let channels = session.channels.lock();
                channels
                    .iter()
                    .map(|(number, entry)| (*number, Arc::clone(entry)))
                    .collect()
            };
            for (number, entry) in channels {
                let counters = of_channel(&entry.totals);
                add(&mut sum.messages, &counters);
                // A channel of the same number may be another one.
                let earlier = before.channels.get(&(session.id, number));
                let earlier = earlier.filter(|earlier| Arc::ptr_eq(&earlier.entry, &entry));
                let earlier = earlier.map(|earlier| earlier.messages).unwrap_or_default();
                let sample = ChannelSample {
                    entry,
                    vhost: Arc::clone(vhost),
                    messages: Sample::after(&earlier, counters, seconds),
                };
                self.channels.insert((session.id, number), sample);
            }
            let octets = Sample::after(&before.connection(session.id), octets, seconds);
            let id = session.id;
            self.connections.insert(id, Connection { session, octets });
        }
    }

    /// Adds what is not there any more to the sums for good.
    fn add_gone(&mut self, before: &Look, sums: &mut HashMap<Arc<str>, Sums>) {
        for (place, earlier) in &before.channels {
            let now = self.channels.get(place);
            if !now.is_some_and(|now| Arc::ptr_eq(&now.entry, &earlier.entry)) {
                let (messages, _) = self.gone.entry(Arc::clone(&earlier.vhost)).or_default();
                add(messages, &of_channel(&earlier.entry.totals));
            }
        }
        for (id, earlier) in &before.connections {
            if let Entry::Vacant(_) = self.connections.entry(*id) {
                let vhost = Arc::clone(earlier.session.vhost.name());
                let (_, sum) = self.gone.entry(vhost).or_default();
                add(sum, &octets(&earlier.session));
            }
        }
        for (vhost, (messages, octets)) in &self.gone {
            let sum = sums.entry(Arc::clone(vhost)).or_default();
            add(&mut sum.messages, messages);
            add(&mut sum.octets, octets);
        }
    }
}

fn octets(session: &Session) -> [u64; 2] {
    let traffic = &session.traffic;
    [&traffic.received, &traffic.sent].map(|octets| octets.load(Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_the_difference_of_two_looks() {
        let first = Sample::after(&Sample::default(), [100, 7], None);
        assert_eq!(first.rates, [0.0, 0.0]);
        let second = Sample::after(&first, [150, 2], Some(5.0));
        assert_eq!(second.rates, [10.0, -1.0]);
        assert_eq!(second.values, [150, 2]);
    }
}

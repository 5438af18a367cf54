//! `/overview`, `/whoami`, `/cluster-name` and the lists that are empty here.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use broker_core::exchange::ExchangeKind;
use broker_core::vhost::Vhost;
use serde_json::{Map, Value, json};

use super::call::Call;
use super::connections::sessions;
use super::list::one;
use super::nodes::{contexts, listeners};
use super::queues::handles;
use super::rates::{Look, Sample, VhostSample};
use super::reply::{Refusal, Reply};
use super::routes::is_monitor;
use super::stats::{Shown, message_stats, put, put_lengths};
use crate::version::{PRODUCT_VERSION, VERSION};

/// There is no Erlang here, and clients want a text.
pub(super) const NO_ERLANG: &str = "none";

pub(super) fn overview(call: &Call) -> Result<Reply, Refusal> {
    let facts = &call.api.facts;
    let disable_stats = call.query.flag("disable_stats");
    let mut shown = json!({
        "management_version": PRODUCT_VERSION,
        "rates_mode": "basic",
        // Rates are those of the last seconds; samples of the time before are not kept.
        "sample_retention_policies": { "global": [], "basic": [], "detailed": [] },
        "exchange_types": exchange_types(),
        "product_version": VERSION,
        "product_name": "Leveret",
        "rabbitmq_version": PRODUCT_VERSION,
        "leveret_version": VERSION,
        "cluster_name": facts.cluster_name,
        "cluster_tags": {},
        "node_tags": {},
        "erlang_version": NO_ERLANG,
        "erlang_full_version": NO_ERLANG,
        "disable_stats": disable_stats,
        "default_queue_type": "classic",
        "is_op_policy_updating_enabled": false,
        "enable_queue_totals": call.query.flag("enable_queue_totals"),
    });
    if let Value::Object(shown) = &mut shown {
        if !disable_stats {
            put_stats(call, shown);
        }
        if is_monitor(&call.user) {
            shown.insert("node".into(), facts.node_name.as_str().into());
            shown.insert("listeners".into(), listeners(facts));
            shown.insert("contexts".into(), contexts(facts));
        }
    }
    Ok(one(&call.query, shown))
}

/// Sums over the vhosts the user sees.
fn put_stats(call: &Call, shown: &mut Map<String, Value>) {
    let vhosts = call.visible_vhosts();
    let look = call.api.rates.latest();
    let sample = match is_monitor(&call.user) {
        true => look.whole,
        false => sum(&look, &vhosts),
    };
    let messages = &sample.messages;
    let stats = message_stats(&messages.values, messages, Shown::All);
    shown.insert("message_stats".into(), stats.into());
    let mut totals = Map::new();
    let (lengths, objects) = count(call, &vhosts);
    put_lengths(&mut totals, lengths, sample.lengths.rates);
    shown.insert("queue_totals".into(), Value::Object(totals));
    shown.insert("object_totals".into(), objects);
    shown.insert("churn_rates".into(), churn_rates(call, &look));
    shown.insert("statistics_db_event_queue".into(), 0.into());
}

/// Connections only: other comings and goings are not counted.
pub(super) fn churn_rates(call: &Call, look: &Look) -> Value {
    let churn = call.broker().churn();
    let mut rates = Map::new();
    let opened = churn.connections_opened.load(Relaxed);
    put(
        &mut rates,
        "connection_created",
        opened,
        look.churn.rates[0],
    );
    let closed = churn.connections_closed.load(Relaxed);
    put(&mut rates, "connection_closed", closed, look.churn.rates[1]);
    Value::Object(rates)
}

/// Ready and unacked messages, and how many there are of everything.
fn count(call: &Call, vhosts: &[Arc<Vhost>]) -> ([u64; 2], Value) {
    let (mut lengths, mut exchanges, mut queues, mut consumers) = ([0; 2], 0, 0, 0);
    for vhost in vhosts {
        exchanges += vhost.topology().exchanges().count();
        for queue in handles(vhost) {
            let counts = queue.counts();
            lengths[0] += counts.ready;
            lengths[1] += counts.unacked;
            consumers += counts.consumers;
            queues += 1;
        }
    }
    let sessions = sessions(call, |_| true);
    let channels: usize = sessions
        .iter()
        .map(|session| session.channels.lock().len())
        .sum();
    let objects = json!({
        "connections": sessions.len(),
        "channels": channels,
        "exchanges": exchanges,
        "queues": queues,
        "consumers": consumers,
    });
    (lengths, objects)
}

fn sum(look: &Look, vhosts: &[Arc<Vhost>]) -> VhostSample {
    let mut sum = VhostSample::default();
    for sample in vhosts.iter().map(|vhost| look.vhost(vhost.name())) {
        add(&mut sum.messages, &sample.messages);
        add(&mut sum.lengths, &sample.lengths);
    }
    sum
}

fn add<const N: usize>(sum: &mut Sample<N>, sample: &Sample<N>) {
    for place in 0..N {
        sum.values[place] += sample.values[place];
        sum.rates[place] += sample.rates[place];
    }
}

pub(super) fn exchange_types() -> Value {
    let types = ExchangeKind::ALL.iter().map(|kind| {
        let name = kind.as_str();
        let description = format!("AMQP {name} exchange, as per the AMQP specification");
        json!({ "name": name, "description": description, "enabled": true })
    });
    types.collect()
}

pub(super) fn whoami(call: &Call) -> Result<Reply, Refusal> {
    Ok(Reply::json(&json!({
        "name": &*call.user.name,
        "tags": call.user.tags,
        "is_internal_user": true,
    })))
}

pub(super) fn cluster_name(call: &Call) -> Result<Reply, Refusal> {
    Ok(Reply::json(&json!({ "name": call.api.facts.cluster_name })))
}

/// A list that has nothing in it on this broker: web extensions, feature flags.
pub(super) fn nothing(_call: &Call) -> Result<Reply, Refusal> {
    Ok(Reply::json(&json!([])))
}

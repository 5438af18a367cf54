//! A queue as JSON.

use std::sync::Arc;

use amqp_codec::FieldTable;
use broker_core::queue::handle::{Counts, OnDisk, QueueHandle, Snapshot};
use broker_core::topology::QueueSpec;
use broker_core::vhost::Vhost;
use serde_json::{Map, Value, json};

use crate::management::call::Call;
use crate::management::json::object;
use crate::management::rates::{INTERVAL, Look, of_queue};
use crate::management::sessions::{Sessions, connection_details, consumer};
use crate::management::stats::{Shown, message_stats, put_lengths};
use crate::management::time::rfc3339;

/// What all queues of an answer share.
pub(super) struct Showing<'a> {
    call: &'a Call,
    sessions: Sessions,
    look: Arc<Look>,
    detail: Detail,
}

/// How much is wanted.
#[derive(Clone, Copy, PartialEq)]
enum Detail {
    /// `disable_stats`: only what was declared.
    Declared,
    /// The same with `enable_queue_totals`.
    Totals,
    Full,
}

impl<'a> Showing<'a> {
    pub(super) fn new(call: &'a Call) -> Showing<'a> {
        let detail = match (
            call.query.flag("disable_stats"),
            call.query.flag("enable_queue_totals"),
        ) {
            (true, false) => Detail::Declared,
            (true, true) => Detail::Totals,
            (false, _) => Detail::Full,
        };
        Showing {
            call,
            sessions: Sessions::open(call.broker()),
            look: call.api.rates.latest(),
            detail,
        }
    }

    /// A queue of a list.
    pub(super) fn queue(&self, vhost: &Vhost, queue: &QueueHandle) -> Value {
        Value::Object(self.object(vhost, queue, &queue.snapshot()))
    }

    /// A queue by itself.
    pub(super) fn queue_with_consumers(&self, vhost: &Vhost, queue: &QueueHandle) -> Value {
        let snapshot = queue.snapshot();
        let mut shown = self.object(vhost, queue, &snapshot);
        let place = (&**vhost.name(), &*queue.identity().name);
        let node = &self.call.api.facts.node_name;
        let consumers = snapshot.consumers.iter();
        let details = consumers
            .map(|each| consumer(node, &self.sessions, place, each))
            .collect();
        if self.detail == Detail::Full {
            shown.insert("consumer_details".into(), details);
        }
        Value::Object(shown)
    }

    fn object(
        &self,
        vhost: &Vhost,
        queue: &QueueHandle,
        snapshot: &Snapshot,
    ) -> Map<String, Value> {
        let spec = spec(vhost, queue);
        let mut shown = Map::from_iter([
            ("name".into(), (*spec.name).into()),
            ("vhost".into(), (**vhost.name()).into()),
            ("type".into(), "classic".into()),
            ("durable".into(), spec.durable.into()),
            ("auto_delete".into(), spec.auto_delete.into()),
            ("exclusive".into(), spec.exclusive.is_some().into()),
            ("arguments".into(), object(&spec.arguments)),
            ("node".into(), self.call.api.facts.node_name.as_str().into()),
            (
                "state".into(),
                if snapshot.failed {
                    "crashed"
                } else {
                    "running"
                }
                .into(),
            ),
        ]);
        let counts = &snapshot.counts;
        match self.detail {
            Detail::Declared => {}
            Detail::Totals => {
                shown.insert("messages".into(), (counts.ready + counts.unacked).into());
                shown.insert("messages_ready".into(), counts.ready.into());
                shown.insert("messages_unacknowledged".into(), counts.unacked.into());
            }
            Detail::Full => {
                if let Some(owner) = spec.exclusive.and_then(|id| self.sessions.by_id(id)) {
                    shown.insert("owner_pid_details".into(), connection_details(owner));
                }
                self.put_state(&mut shown, queue, snapshot);
                put_sizes(&mut shown, counts, &snapshot.on_disk);
            }
        }
        shown
    }

    fn put_state(&self, shown: &mut Map<String, Value>, queue: &QueueHandle, snapshot: &Snapshot) {
        let counts = &snapshot.counts;
        let sample = self.look.queue(queue.identity().id);
        put_lengths(shown, [counts.ready, counts.unacked], sample.lengths.rates);
        if let Some(stats) = message_stats(&of_queue(snapshot), &sample.messages, Shown::OfQueue) {
            shown.insert("message_stats".into(), stats);
        }
        shown.insert("consumers".into(), counts.consumers.into());
        shown.insert("memory".into(), snapshot.memory_bytes.into());
        shown.insert("policy".into(), Value::Null);
        shown.insert("operator_policy".into(), Value::Null);
        shown.insert("effective_policy_definition".into(), json!({}));
        let tag = snapshot.exclusive_consumer_tag.as_deref();
        shown.insert("exclusive_consumer_tag".into(), tag.into());
        shown.insert("single_active_consumer_tag".into(), Value::Null);
        shown.insert(
            "head_message_timestamp".into(),
            snapshot.head_timestamp.into(),
        );
        if let Some(since) = snapshot.idle_since
            && self.call.api.now().since(since) >= INTERVAL.as_millis() as u64
        {
            shown.insert("idle_since".into(), rfc3339(since).into());
        }
    }
}

/// How much lies in the queue, and what of it in memory. As in RabbitMQ, persistent messages do
/// not count as paged out.
fn put_sizes(shown: &mut Map<String, Value>, counts: &Counts, on_disk: &OnDisk) {
    let bytes = counts.ready_bytes + counts.unacked_bytes;
    // What is on disk after a start is a little inexact until it is read.
    let ready_ram = counts.ready.saturating_sub(on_disk.ready);
    let unacked_ram = counts.unacked.saturating_sub(on_disk.unacked);
    for (name, value) in [
        ("message_bytes", bytes),
        ("message_bytes_ready", counts.ready_bytes),
        ("message_bytes_unacknowledged", counts.unacked_bytes),
        ("message_bytes_ram", bytes.saturating_sub(on_disk.bytes)),
        ("message_bytes_persistent", counts.persistent_bytes),
        ("message_bytes_paged_out", on_disk.transient_bytes),
        ("messages_ram", ready_ram + unacked_ram),
        ("messages_ready_ram", ready_ram),
        ("messages_unacknowledged_ram", unacked_ram),
        (
            "messages_persistent",
            counts.ready_persistent + counts.unacked_persistent,
        ),
        ("messages_paged_out", on_disk.transient),
    ] {
        shown.insert(name.into(), value.into());
    }
}

/// How the queue was declared. One that was deleted a moment ago is known by its handle alone.
fn spec(vhost: &Vhost, queue: &QueueHandle) -> QueueSpec {
    let identity = queue.identity();
    let found = vhost
        .topology()
        .queue(&identity.name)
        .map(|entry| entry.spec.clone());
    found.unwrap_or_else(|| QueueSpec {
        name: Arc::clone(&identity.name),
        durable: identity.durable,
        exclusive: identity.exclusive,
        auto_delete: identity.auto_delete,
        arguments: FieldTable::new(),
    })
}

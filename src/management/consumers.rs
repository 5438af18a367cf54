//! `/consumers`.

use std::sync::Arc;

use broker_core::queue::handle::ConsumerSnapshot;
use broker_core::vhost::Vhost;

use super::call::Call;
use super::list::list;
use super::queues::handles;
use super::reply::{Refusal, Reply};
use super::routes::is_monitor;
use super::sessions::{Sessions, consumer};

struct Found {
    vhost: Arc<str>,
    queue: Arc<str>,
    consumer: ConsumerSnapshot,
}

pub(super) fn all(call: &Call) -> Result<Reply, Refusal> {
    of(call, call.vhosts()?)
}

pub(super) fn of_vhost(call: &Call) -> Result<Reply, Refusal> {
    of(call, vec![call.vhost()?])
}

/// Who may not see all sees the consumers of its own connections.
fn of(call: &Call, vhosts: Vec<Arc<Vhost>>) -> Result<Reply, Refusal> {
    let sessions = Sessions::open(call.broker());
    let sees_all = is_monitor(&call.user);
    let visible = |consumer: &ConsumerSnapshot| {
        sessions
            .of(consumer)
            .is_some_and(|session| sees_all || session.user.name == call.user.name)
    };
    let mut found = Vec::new();
    for vhost in vhosts {
        for queue in handles(&vhost) {
            let consumers = queue.snapshot().consumers.into_iter().filter(visible);
            found.extend(consumers.map(|consumer| Found {
                vhost: Arc::clone(vhost.name()),
                queue: Arc::clone(&queue.identity().name),
                consumer,
            }));
        }
    }
    let tag = |found: &Found| found.consumer.tag.to_string();
    list(&call.query, found, tag, |found| {
        let place = (&*found.vhost, &*found.queue);
        consumer(&call.api.facts.node_name, &sessions, place, &found.consumer)
    })
}

//! `/channels`, and the channels of a connection or vhost.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use broker_core::amqp091::session::{ChannelEntry, Phase, Session};
use serde_json::{Value, json};

use super::call::Call;
use super::connections::{find, sessions};
use super::list::{list, one};
use super::queues::handles;
use super::rates::{Look, of_channel};
use super::reply::{Refusal, Reply};
use super::sessions::{Sessions, channel_name, connection_details, consumer};
use super::stats::{Shown, message_stats};

struct Channel {
    session: Arc<Session>,
    number: u16,
    entry: Arc<ChannelEntry>,
}

pub(super) fn all(call: &Call) -> Result<Reply, Refusal> {
    let vhosts = call.vhosts()?;
    let visible = |session: &Session| {
        vhosts
            .iter()
            .any(|vhost| Arc::ptr_eq(vhost, &session.vhost))
    };
    show_list(call, channels(sessions(call, visible)))
}

pub(super) fn of_vhost(call: &Call) -> Result<Reply, Refusal> {
    let vhost = call.vhost()?;
    let of_vhost = sessions(call, |session| Arc::ptr_eq(&session.vhost, &vhost));
    show_list(call, channels(of_vhost))
}

pub(super) fn of_connection(call: &Call) -> Result<Reply, Refusal> {
    show_list(call, channels(vec![find(call)?]))
}

fn show_list(call: &Call, channels: Vec<Channel>) -> Result<Reply, Refusal> {
    let look = call.api.rates.latest();
    let name = |channel: &Channel| channel_name(&channel.session, channel.number);
    list(&call.query, channels, name, |channel| {
        show(call, &look, channel)
    })
}

/// `"<connection> (<number>)"` in the path.
pub(super) fn get(call: &Call) -> Result<Reply, Refusal> {
    let name = call.name("channel");
    let mut channels = channels(sessions(call, |_| true)).into_iter();
    let channel = channels
        .find(|channel| channel_name(&channel.session, channel.number) == name)
        .ok_or_else(Refusal::not_found)?;
    let look = call.api.rates.latest();
    let mut shown = show(call, &look, &channel);
    shown["consumer_details"] = consumers(call, &channel);
    Ok(one(&call.query, shown))
}

/// The consumers of a channel, from the queues of its vhost.
fn consumers(call: &Call, channel: &Channel) -> Value {
    if channel.entry.consumers.load(Relaxed) == 0 {
        return json!([]);
    }
    let sessions = Sessions::open(call.broker());
    let vhost = &channel.session.vhost;
    let mut all = Vec::new();
    for queue in handles(vhost) {
        let own = queue.snapshot().consumers.into_iter().filter(|consumer| {
            consumer.channel == channel.number
                && Arc::ptr_eq(&consumer.inbox, &channel.session.inbox)
        });
        let place = (&**vhost.name(), &*queue.identity().name);
        let node = &call.api.facts.node_name;
        all.extend(own.map(|own| consumer(node, &sessions, place, &own)));
    }
    Value::Array(all)
}

fn channels(sessions: Vec<Arc<Session>>) -> Vec<Channel> {
    let mut channels = Vec::new();
    for session in sessions {
        let open = session.channels.lock();
        channels.extend(open.iter().map(|(number, entry)| Channel {
            session: Arc::clone(&session),
            number: *number,
            entry: Arc::clone(entry),
        }));
    }
    channels
}

fn show(call: &Call, look: &Look, channel: &Channel) -> Value {
    let Channel {
        session,
        number,
        entry,
    } = channel;
    let mut shown = json!({
        "name": channel_name(session, *number),
        "number": number,
        "node": call.api.facts.node_name,
        "vhost": &**session.vhost.name(),
        "user": &*session.user.name,
        "user_who_performed_action": &*session.user.name,
        "connection_details": connection_details(session),
        "state": if session.phase() == Phase::Closing { "closing" } else { "running" },
        "confirm": entry.confirm.load(Relaxed),
        "transactional": entry.transactional.load(Relaxed),
        "consumer_count": entry.consumers.load(Relaxed),
        "prefetch_count": entry.prefetch.load(Relaxed),
        "global_prefetch_count": entry.global_prefetch.load(Relaxed),
        "messages_unacknowledged": entry.unacked.load(Relaxed),
        "messages_unconfirmed": entry.unconfirmed.load(Relaxed),
        "messages_uncommitted": entry.uncommitted.load(Relaxed),
        "acks_uncommitted": entry.uncommitted_acks.load(Relaxed),
        "pending_raft_commands": 0,
    });
    let sample = look.channel(session.id, *number);
    let totals = of_channel(&entry.totals);
    if let Some(stats) = message_stats(&totals, &sample, Shown::Active) {
        shown["message_stats"] = stats;
    }
    shown
}

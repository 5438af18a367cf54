//! basic.publish: checks, routing, confirm numbers; the message joins its queues' batches.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use amqp_codec::{
    DecodeError, FLAG_EXPIRATION, FLAG_HEADERS, FLAG_PRIORITY, FLAG_REPLY_TO, FLAG_USER_ID,
    FieldTable, FieldValue, RawEntry, RawTable, ReplyCode, basic, check_properties, delivery_mode,
    property_flags, property_value, replace_property,
};
use bytes::Bytes;
use smallvec::SmallVec;

use super::assembler::Content;
use super::channel::{Channel, Mode};
use super::direct_reply;
use super::routes::{Route, Target};
use super::session::count;
use super::turn::Turn;
use crate::access::{Resource, Right};
use crate::error::BrokerError;
use crate::message::{Body, Message};
use crate::router::{RouteTargets, Routing};
use crate::time::Timestamp;

/// Any of these properties needs more than a look at the flags.
pub(super) const NEED_DECODING: u16 =
    FLAG_EXPIRATION | FLAG_HEADERS | FLAG_PRIORITY | FLAG_REPLY_TO | FLAG_USER_ID;
/// The bit that announces another word of flags; no property needs one, and RabbitMQ takes none.
pub(super) const CONTINUED: u16 = 1;
/// An expiration above ten years is refused, as RabbitMQ does.
const EXPIRATION_MAX_MS: u64 = 315_360_000_000;
/// A body that goes to at least this many queues is shared by them when it has at least
/// [`SHARED_BODY_MIN`] bytes.
const SHARED_TARGETS_MIN: usize = 4;
const SHARED_BODY_MIN: usize = 256;

/// What the properties say that matters to the broker.
#[derive(Debug, Default)]
pub(super) struct Traits {
    pub(super) persistent: bool,
    pub(super) priority: u8,
    expires_at: Option<Timestamp>,
    headers: Option<FieldTable>,
    /// CC and BCC keys.
    extra_keys: Vec<String>,
    pub(super) has_bcc: bool,
    /// Properties to store instead of those that came.
    pub(super) rewritten: Option<Vec<u8>>,
}

impl Channel {
    /// A whole publish came in.
    #[inline]
    pub(super) fn publish(
        &mut self,
        content: Content<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), BrokerError> {
        let flags = property_flags(content.properties);
        if flags & CONTINUED != 0 {
            return Err(BrokerError::new(
                ReplyCode::FrameError,
                "property flags beyond the first word",
            ));
        }
        let traits = if flags & NEED_DECODING == 0 && !content.method.immediate {
            check_properties(content.properties).map_err(bad_properties)?;
            Traits {
                persistent: is_persistent(content.properties)?,
                ..Traits::default()
            }
        } else {
            check_target(&content, turn)?;
            self.traits(&content, turn)?
        };
        if let Mode::Transaction(_) = self.mode {
            return self.publish_in_transaction(content, traits, turn);
        }
        if content.method.exchange.is_empty()
            && let Some(outcome) = self.publish_reply(&content, &traits, turn)
        {
            return outcome;
        }
        self.publish_routed(content, traits, turn)
    }

    #[inline]
    fn publish_routed(
        &mut self,
        content: Content<'_>,
        traits: Traits,
        turn: &mut Turn<'_>,
    ) -> Result<(), BrokerError> {
        let method = content.method;
        let confirming = match &self.mode {
            Mode::Confirm(_) => Some(self.number),
            _ => None,
        };
        if !turn.batches.accepts(confirming) {
            turn.barrier();
        }
        turn.batches.begin(confirming);
        count(&self.entry.totals.publish, 1);
        let rights = turn.session.broker.access().generation();
        let plain = traits.headers.is_none();
        let mut fresh = None;
        let mut kept = match plain {
            true => self.routes.find(
                method.exchange.as_bytes(),
                method.routing_key.as_bytes(),
                rights,
            ),
            false => None,
        };
        if kept.is_none() {
            let (route, cacheable) = find_route(&content, &traits, rights, turn)?;
            kept = match cacheable {
                true => Some(self.routes.insert(route)),
                false => Some(fresh.insert(route)),
            };
        }
        let Some(route) = kept else { return Ok(()) };
        let targets = &mut route.targets;
        if targets.is_empty() {
            return self.unroutable(&content, &traits, turn);
        }
        let number = match &mut self.mode {
            Mode::Confirm(confirms) => Some((
                self.number,
                confirms.publish(targets.len().min(0x7FFF) as u16),
            )),
            _ => None,
        };
        let message = Message {
            exchange: method.exchange,
            routing_key: method.routing_key,
            properties: traits.rewritten.as_deref().unwrap_or(content.properties),
            body: content.body,
            persistent: traits.persistent,
            priority: traits.priority,
            expires_at: traits.expires_at,
            has_bcc: traits.has_bcc,
        };
        spread(targets, message, number, turn);
        Ok(())
    }

    /// No queue for it: returned if mandatory, and confirmed all the same (return first).
    pub(super) fn unroutable(
        &mut self,
        content: &Content<'_>,
        traits: &Traits,
        turn: &mut Turn<'_>,
    ) -> Result<(), BrokerError> {
        let totals = &self.entry.totals;
        if content.method.mandatory {
            count(&totals.return_unroutable, 1);
            let properties = traits.rewritten.as_deref().unwrap_or(content.properties);
            match traits.has_bcc {
                true => self.send_return(content, &without_bcc(properties), turn)?,
                false => self.send_return(content, properties, turn)?,
            }
        } else {
            count(&totals.drop_unroutable, 1);
        }
        if let Mode::Confirm(confirms) = &mut self.mode {
            confirms.publish(0);
            turn.batches.note_finished(self.number);
        }
        Ok(())
    }

    fn send_return(
        &mut self,
        content: &Content<'_>,
        properties: &[u8],
        turn: &mut Turn<'_>,
    ) -> Result<(), BrokerError> {
        turn.send(
            self.number,
            basic::Return {
                reply_code: ReplyCode::NoRoute.code(),
                reply_text: ReplyCode::NoRoute.name(),
                exchange: content.method.exchange,
                routing_key: content.method.routing_key,
            },
        )?;
        let (body, shared): (&[u8], Option<&Bytes>) = match &content.body {
            Body::Inline(bytes) => (bytes, None),
            Body::Shared(bytes) => (bytes, Some(bytes)),
        };
        let frame_max = turn.session.tuning.frame_max;
        amqp_codec::put_content_header(
            turn.out.buffer(),
            self.number,
            properties,
            body.len() as u64,
        );
        turn.out.body(self.number, body, shared, frame_max);
        Ok(())
    }

    /// Looks into the properties of a message that has some that concern the broker.
    fn traits(&self, content: &Content<'_>, turn: &Turn<'_>) -> Result<Traits, BrokerError> {
        if content.method.immediate {
            return Err(BrokerError::new(
                ReplyCode::NotImplemented,
                "immediate=true",
            ));
        }
        let raw = content.properties;
        check_properties(raw).map_err(bad_properties)?;
        check_user_id(raw, turn)?;
        let headers = headers(raw)?;
        let priority = value_of(raw, FLAG_PRIORITY)?.and_then(|value| value.first().copied());
        let mut traits = Traits {
            persistent: is_persistent(raw)?,
            priority: priority.unwrap_or(0),
            expires_at: expires_at(raw, turn.now)?,
            extra_keys: extra_keys(headers.as_ref())?,
            has_bcc: headers
                .as_ref()
                .is_some_and(|headers| headers.contains("BCC")),
            headers,
            rewritten: None,
        };
        if short_text(raw, FLAG_REPLY_TO) == Some(direct_reply::QUEUE) {
            traits.rewritten = Some(self.with_reply_token(raw)?);
        }
        Ok(traits)
    }

    /// The queues and the message of a publish inside a transaction are kept until its end.
    fn publish_in_transaction(
        &mut self,
        content: Content<'_>,
        traits: Traits,
        turn: &mut Turn<'_>,
    ) -> Result<(), BrokerError> {
        let rights = turn.session.broker.access().generation();
        let (route, _) = find_route(&content, &traits, rights, turn)?;
        let queues = route
            .targets
            .into_iter()
            .map(|target| target.queue)
            .collect();
        let Mode::Transaction(transaction) = &mut self.mode else {
            return Ok(());
        };
        let message = Message {
            exchange: content.method.exchange,
            routing_key: content.method.routing_key,
            properties: traits.rewritten.as_deref().unwrap_or(content.properties),
            body: content.body,
            persistent: traits.persistent,
            priority: traits.priority,
            expires_at: traits.expires_at,
            has_bcc: traits.has_bcc,
        };
        transaction.publish(message, queues, content.method.mandatory)?;
        let waiting = transaction.publishes().len() as u32;
        self.entry.uncommitted.store(waiting, Ordering::Relaxed);
        count(&self.entry.totals.publish, 1);
        Ok(())
    }
}

/// Puts a message into the batches of its targets.
#[inline]
pub(super) fn spread(
    targets: &mut [Target],
    mut message: Message<'_>,
    number: Option<(u16, u64)>,
    turn: &mut Turn<'_>,
) {
    let inbox = &turn.session.inbox;
    let is_large = message.body.len() >= SHARED_BODY_MIN;
    let is_in_turn = message.persistent
        && (targets.len() > 1 || turn.batches.shared().is_transaction)
        && turn
            .batches
            .shared()
            .add(targets, &message, is_large, turn.now);
    let Some((last, others)) = targets.split_last_mut() else {
        return;
    };
    if others.len() + 1 >= SHARED_TARGETS_MIN
        && let Body::Inline(bytes) = message.body
        && bytes.len() >= SHARED_BODY_MIN
    {
        message.body = Body::Shared(Bytes::copy_from_slice(bytes));
    }
    for target in others {
        let is_in_turn = is_in_turn && target.queue.identity().durable;
        turn.batches
            .publish(target, message.clone(), number, is_in_turn, inbox);
    }
    let is_in_turn = is_in_turn && last.queue.identity().durable;
    turn.batches
        .publish(last, message, number, is_in_turn, inbox);
}

/// The right to write and the exchange itself come before whatever the properties say.
pub(super) fn check_target(content: &Content<'_>, turn: &Turn<'_>) -> Result<(), BrokerError> {
    let exchange = content.method.exchange;
    let (broker, vhost) = (&turn.session.broker, &turn.session.vhost);
    let resource = Resource::Exchange(exchange);
    broker
        .access()
        .check(&turn.session.user, vhost.name(), Right::Write, resource)?;
    vhost.check_publishable(exchange)
}

/// Asks the topology, after the rights. The flag says whether the answer depends on nothing but
/// exchange and routing key, and may be kept.
fn find_route(
    content: &Content<'_>,
    traits: &Traits,
    rights: u64,
    turn: &mut Turn<'_>,
) -> Result<(Route, bool), BrokerError> {
    let (exchange, key) = (content.method.exchange, content.method.routing_key);
    let (broker, vhost) = (&turn.session.broker, &turn.session.vhost);
    broker.access().check(
        &turn.session.user,
        vhost.name(),
        Right::Write,
        Resource::Exchange(exchange),
    )?;
    let mut routing_keys: SmallVec<[&str; 1]> = SmallVec::new();
    routing_keys.push(key);
    routing_keys.extend(traits.extra_keys.iter().map(String::as_str));
    let routing = Routing {
        routing_keys,
        headers: traits.headers.as_ref(),
    };
    let mut found = RouteTargets::default();
    let generation = vhost.route_for_client(exchange, &routing, &mut found)?;
    let cacheable = traits.extra_keys.is_empty()
        && traits.headers.is_none()
        && !found.depends_on_headers
        && !(exchange.is_empty() && found.queues.is_empty());
    Ok((
        Route::new((exchange, key), generation, rights, found.queues),
        cacheable,
    ))
}

/// Properties that cannot be read.
pub(super) fn bad_properties(error: DecodeError) -> BrokerError {
    BrokerError::new(ReplyCode::FrameError, error.to_string())
}

/// Whether delivery-mode is 2; anything else is transient.
fn is_persistent(raw: &[u8]) -> Result<bool, BrokerError> {
    Ok(delivery_mode(raw).map_err(bad_properties)? == Some(2))
}

/// The headers, as far as they can be read. Entries with names that are not UTF-8 are passed on as
/// they are, and the broker does not look into them: so they may not be CC or BCC.
fn headers(raw: &[u8]) -> Result<Option<FieldTable>, BrokerError> {
    let Some(table) = value_of(raw, FLAG_HEADERS)? else {
        return Ok(None);
    };
    match FieldTable::decode(table) {
        Err(DecodeError::Utf8) => {}
        decoded => return decoded.map(Some).map_err(bad_properties),
    }
    let readable = RawTable(table).readable().map_err(bad_properties)?;
    for name in ["CC", "BCC"] {
        let is_name = |entry: &RawEntry<'_>| entry.name == name.as_bytes();
        if readable.unreadable.iter().any(is_name) {
            return Err(BrokerError::precondition(format!(
                "invalid message: header '{name}' holds a name that is not UTF-8"
            )));
        }
    }
    Ok(Some(readable.table))
}

/// A short string property, when it is text.
fn short_text(raw: &[u8], flag: u16) -> Option<&str> {
    let value = property_value(raw, flag).ok()??;
    std::str::from_utf8(value).ok()
}

fn value_of(raw: &[u8], flag: u16) -> Result<Option<&[u8]>, BrokerError> {
    property_value(raw, flag).map_err(bad_properties)
}

fn check_user_id(raw: &[u8], turn: &Turn<'_>) -> Result<(), BrokerError> {
    let user = &turn.session.user;
    match value_of(raw, FLAG_USER_ID)? {
        Some(claimed) if claimed != user.name.as_bytes() && !user.is_impersonator() => {
            Err(BrokerError::precondition(format!(
                "user_id property set to '{}' but authenticated user was '{}'",
                String::from_utf8_lossy(claimed),
                user.name
            )))
        }
        _ => Ok(()),
    }
}

pub(super) fn expires_at(raw: &[u8], now: Timestamp) -> Result<Option<Timestamp>, BrokerError> {
    if property_flags(raw) & FLAG_EXPIRATION == 0 {
        return Ok(None);
    }
    let text = short_text(raw, FLAG_EXPIRATION).unwrap_or_default();
    let refused =
        |why: &str| BrokerError::precondition(format!("invalid expiration '{text}': {why}"));
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let length = digits.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = digits.split_at(length);
    match digits.parse::<u128>() {
        _ if digits.is_empty() => Err(refused("no_integer")),
        _ if !rest.is_empty() => Err(refused(&format!("{{leftover_string,\"{rest}\"}}"))),
        Ok(0) => Ok(Some(now)),
        Ok(ms) if text.starts_with('-') => Err(refused(&format!("{{value_negative,-{ms}}}"))),
        Ok(ms) if ms <= u128::from(EXPIRATION_MAX_MS) => Ok(Some(now.plus_ms(ms as u64))),
        _ => {
            let digits = digits.trim_start_matches('0');
            Err(refused(&format!("{{value_too_large,{digits}}}")))
        }
    }
}

/// CC and BCC: more routing keys. They must be arrays; what is not a string in them is ignored.
fn extra_keys(headers: Option<&FieldTable>) -> Result<Vec<String>, BrokerError> {
    let mut keys = Vec::new();
    for name in ["CC", "BCC"] {
        match headers.and_then(|headers| headers.get(name)) {
            None => {}
            Some(FieldValue::Array(values)) => {
                keys.extend(
                    values
                        .iter()
                        .filter_map(FieldValue::as_str)
                        .map(str::to_owned),
                );
            }
            Some(other) => {
                return Err(BrokerError::precondition(format!(
                    "invalid message: {{unacceptable_type_in_header,\"{name}\",{}}}",
                    other.type_name()
                )));
            }
        }
    }
    Ok(keys)
}

/// The same properties without the BCC header, which nobody but the broker may see. Publishing
/// refuses properties for which this could fail; from elsewhere they are better left out than told.
pub(super) fn without_bcc(raw: &[u8]) -> Vec<u8> {
    let rewritten = || match property_value(raw, FLAG_HEADERS)? {
        Some(headers) => {
            let headers = RawTable(headers).without("BCC")?;
            replace_property(raw, FLAG_HEADERS, Some(&headers))
        }
        None => Ok(raw.to_vec()),
    };
    rewritten().unwrap_or_else(|_: DecodeError| vec![0, 0])
}

impl Channel {
    /// A publish of a transaction that has no queue: a direct reply, or unroutable.
    pub(super) fn commit_unrouted(
        &mut self,
        content: Content<'_>,
        has_bcc: bool,
        turn: &mut Turn<'_>,
    ) -> Result<(), BrokerError> {
        let traits = Traits {
            has_bcc,
            ..Traits::default()
        };
        if content.method.exchange.is_empty()
            && let Some(outcome) = self.publish_reply(&content, &traits, turn)
        {
            return outcome;
        }
        self.unroutable(&content, &traits, turn)
    }

    /// Publishes to queues that were found before, in a transaction that commits.
    pub(super) fn publish_committed(
        &mut self,
        queues: SmallVec<[Arc<crate::queue::handle::QueueHandle>; 1]>,
        message: Message<'_>,
        number: u64,
        turn: &mut Turn<'_>,
    ) {
        let mut targets: SmallVec<[Target; 1]> = queues
            .into_iter()
            .map(|queue| Target {
                queue,
                batch: 0,
                turn: 0,
            })
            .collect();
        spread(&mut targets, message, Some((self.number, number)), turn);
    }
}

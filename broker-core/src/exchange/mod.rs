//! Exchange types: each keeps the bindings of one exchange in the shape that its rule asks for.
//!
//! A matcher knows destinations as [`TargetId`]s only. It never looks at queues, never follows a
//! binding to another exchange and never decides what is an error; `topology` does.

mod direct;
mod fanout;
mod headers;
mod seen;
mod slab;
mod targets;
mod topic;

use amqp_codec::FieldTable;

use self::direct::Direct;
use self::fanout::Fanout;
use self::headers::Headers;
pub(crate) use self::headers::check_arguments as check_headers_arguments;
pub(crate) use self::seen::Seen;
pub(crate) use self::slab::Slab;
pub(crate) use self::targets::{TargetId, Targets};
use self::topic::Topic;
use crate::router::Routing;

/// The type of an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExchangeKind {
    /// The routing key equals the binding key.
    Direct,
    /// Every binding takes every message.
    Fanout,
    /// The binding key is a pattern of words: `*` is one word, `#` any number of them.
    Topic,
    /// The binding's arguments are compared with the message's headers.
    Headers,
}

impl ExchangeKind {
    /// All types, in the order in which they are listed to people.
    pub const ALL: [ExchangeKind; 4] = [
        ExchangeKind::Direct,
        ExchangeKind::Fanout,
        ExchangeKind::Headers,
        ExchangeKind::Topic,
    ];

    /// Its name in exchange.declare.
    pub const fn as_str(self) -> &'static str {
        match self {
            ExchangeKind::Direct => "direct",
            ExchangeKind::Fanout => "fanout",
            ExchangeKind::Topic => "topic",
            ExchangeKind::Headers => "headers",
        }
    }

    /// The type of this name.
    pub fn parse(name: &str) -> Option<ExchangeKind> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// The bindings of one exchange, ready to be matched.
#[derive(Debug)]
pub(crate) enum Matcher {
    Direct(Direct),
    Fanout(Fanout),
    Topic(Topic),
    Headers(Headers),
}

impl Matcher {
    pub(crate) fn new(kind: ExchangeKind) -> Matcher {
        match kind {
            ExchangeKind::Direct => Matcher::Direct(Direct::default()),
            ExchangeKind::Fanout => Matcher::Fanout(Fanout::default()),
            ExchangeKind::Topic => Matcher::Topic(Topic::default()),
            ExchangeKind::Headers => Matcher::Headers(Headers::default()),
        }
    }

    /// Adds a binding. Adding it twice takes removing it twice.
    pub(crate) fn add(&mut self, key: &str, arguments: &FieldTable, target: TargetId) {
        match self {
            Matcher::Direct(direct) => direct.add(key, target),
            Matcher::Fanout(fanout) => fanout.add(target),
            Matcher::Topic(topic) => topic.add(key, target),
            Matcher::Headers(headers) => headers.add(arguments, target),
        }
    }

    /// Removes a binding that was added with the same key, arguments and target.
    pub(crate) fn remove(&mut self, key: &str, arguments: &FieldTable, target: TargetId) {
        match self {
            Matcher::Direct(direct) => direct.remove(key, target),
            Matcher::Fanout(fanout) => fanout.remove(target),
            Matcher::Topic(topic) => topic.remove(key, target),
            Matcher::Headers(headers) => headers.remove(arguments, target),
        }
    }

    /// Calls `found` for every target, perhaps several times.
    pub(crate) fn find(&self, routing: &Routing<'_>, found: &mut impl FnMut(TargetId)) {
        match self {
            Matcher::Direct(direct) => {
                routing
                    .routing_keys
                    .iter()
                    .for_each(|key| direct.find(key, found));
            }
            Matcher::Fanout(fanout) => fanout.find(found),
            Matcher::Topic(topic) => {
                for key in &routing.routing_keys {
                    topic.find(key, found);
                }
            }
            Matcher::Headers(headers) => {
                headers.find(routing.headers, found);
            }
        }
    }

    /// Whether it asks for more than exchange and routing keys.
    pub(crate) fn looks_at_headers(&self) -> bool {
        matches!(self, Matcher::Headers(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_types_are_parsed_back() {
        for kind in ExchangeKind::ALL {
            assert_eq!(ExchangeKind::parse(kind.as_str()), Some(kind));
        }
        for name in ["", "Direct", "x-consistent-hash", "headers "] {
            assert_eq!(ExchangeKind::parse(name), None, "{name}");
        }
    }
}

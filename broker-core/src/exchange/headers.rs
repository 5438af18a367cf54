//! The headers exchange: rules over headers, found by an index and not by asking each binding.
//!
//! A rule is what a binding's arguments say: conditions `header = value` or `header is there`, of
//! which all or any must hold. Bindings with equal rules share one. Every condition is a byte
//! string, and so is everything a message fulfils, so holding is being in a set. A rule that asks
//! for any condition is indexed under each of them, one that asks for all under the one that the
//! fewest rules are indexed under.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::ops::Range;

use amqp_codec::{FieldTable, FieldValue};
use rustc_hash::FxHashMap;

use super::seen::Seen;
use super::slab::Slab;
use super::targets::{TargetId, Targets};
use crate::arguments::terms::{self, Term};
use crate::error::BrokerError;

const X_MATCH: &str = "x-match";

/// The bindings of a headers exchange.
#[derive(Debug, Default)]
pub(crate) struct Headers {
    rules: Slab<Rule>,
    /// The number of each rule, by mode and conditions.
    numbers: FxHashMap<(Mode, Box<[Condition]>), u32>,
    /// Rules that a message with this condition may fulfil.
    index: FxHashMap<Condition, BTreeSet<u32>>,
    /// Targets of rules that ask for all of no conditions.
    always: Targets,
}

#[derive(Debug)]
struct Rule {
    mode: Mode,
    conditions: Box<[Condition]>,
    /// The place in `conditions` of the one it is indexed under, if the mode is [`Mode::All`].
    indexed: usize,
    targets: Targets,
}

/// A header's name behind its length, then either nothing (the header is there) or its value.
type Condition = Box<[u8]>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Mode {
    All,
    Any,
}

/// 406 if the arguments of a binding to a headers exchange have an x-match that is none.
pub(crate) fn check_arguments(arguments: &FieldTable) -> Result<(), BrokerError> {
    let text = match arguments.get(X_MATCH) {
        None => return Ok(()),
        Some(FieldValue::LongString(text)) => match &text[..] {
            b"all" | b"any" | b"all-with-x" | b"any-with-x" => return Ok(()),
            _ => format!(
                "Invalid x-match field value {}; expected all, any, all-with-x, or any-with-x",
                Term(&FieldValue::LongString(text.clone()))
            ),
        },
        Some(other) => format!(
            "Invalid x-match field type {} (value {}); expected longstr",
            other.type_name(),
            Term(other)
        ),
    };
    Err(BrokerError::precondition(text))
}

impl Headers {
    pub(super) fn add(&mut self, arguments: &FieldTable, target: TargetId) {
        let (mode, conditions) = read_rule(arguments);
        if conditions.is_empty() {
            if mode == Mode::All {
                self.always.add(target);
            }
            return;
        }
        let key = (mode, conditions);
        let number = match self.numbers.get(&key) {
            Some(&number) => number,
            None => self.new_rule(key),
        };
        if let Some(rule) = self.rules.get_mut(number) {
            rule.targets.add(target);
        }
    }

    pub(super) fn remove(&mut self, arguments: &FieldTable, target: TargetId) {
        let key = read_rule(arguments);
        if key.1.is_empty() {
            if key.0 == Mode::All {
                self.always.remove(target);
            }
            return;
        }
        let Some(&number) = self.numbers.get(&key) else {
            return;
        };
        let Some(rule) = self.rules.get_mut(number) else {
            return;
        };
        rule.targets.remove(target);
        if rule.targets.is_empty()
            && let Some(rule) = self.rules.remove(number)
        {
            self.numbers.remove(&key);
            for condition in rule.indexed() {
                if let Some(rules) = self.index.get_mut(condition) {
                    rules.remove(&number);
                    if rules.is_empty() {
                        self.index.remove(condition);
                    }
                }
            }
        }
    }

    /// Calls `found` for the targets of all rules that hold, and gives how many rules were looked
    /// at.
    pub(super) fn find(
        &self,
        headers: Option<&FieldTable>,
        found: &mut impl FnMut(TargetId),
    ) -> usize {
        self.always.each(found);
        let Some(headers) = headers.filter(|_| !self.index.is_empty()) else {
            return 0;
        };
        let held = Held::new(headers);
        let mut seen = Seen::default();
        let mut looked_at = 0;
        let candidates = held
            .iter()
            .filter_map(|condition| self.index.get(condition));
        for &number in candidates.flatten() {
            if !seen.insert(number) {
                continue;
            }
            looked_at += 1;
            if let Some(rule) = self.rules.get(number)
                && rule.holds(&held)
            {
                rule.targets.each(found);
            }
        }
        looked_at
    }

    fn new_rule(&mut self, key: (Mode, Box<[Condition]>)) -> u32 {
        let (mode, conditions) = key.clone();
        let width = |condition: &Condition| self.index.get(condition).map_or(0, BTreeSet::len);
        let indexed = (0..conditions.len()).min_by_key(|&place| width(&conditions[place]));
        let rule = Rule {
            mode,
            conditions,
            indexed: indexed.unwrap_or(0),
            targets: Targets::Empty,
        };
        let indexed: Vec<Condition> = rule.indexed().to_vec();
        let number = self.rules.insert(rule);
        for condition in indexed {
            self.index.entry(condition).or_default().insert(number);
        }
        self.numbers.insert(key, number);
        number
    }
}

impl Rule {
    /// The conditions that it is indexed under.
    fn indexed(&self) -> &[Condition] {
        match self.mode {
            Mode::All => &self.conditions[self.indexed..=self.indexed],
            Mode::Any => &self.conditions,
        }
    }

    fn holds(&self, held: &Held) -> bool {
        match self.mode {
            Mode::All => self
                .conditions
                .iter()
                .all(|condition| held.contains(condition)),
            // It was found by one of its conditions.
            Mode::Any => true,
        }
    }
}

/// What a message fulfils: for each header that it is there, and that it has its value. Sorted,
/// not hashed: a publisher may choose its headers so that hashes collide.
struct Held {
    bytes: Vec<u8>,
    conditions: Vec<Range<usize>>,
}

impl Held {
    fn new(headers: &FieldTable) -> Held {
        let mut entries: Vec<_> = headers.iter().collect();
        // Stable: of two headers with one name the first counts.
        entries.sort_by_key(|(name, _)| *name);
        entries.dedup_by_key(|(name, _)| *name);
        let mut bytes = Vec::new();
        let mut conditions = Vec::with_capacity(2 * entries.len());
        for (name, value) in entries {
            let start = bytes.len();
            push_name(&mut bytes, name);
            conditions.push(start..bytes.len());
            let start = bytes.len();
            push_name(&mut bytes, name);
            terms::put_canonical(value, &mut bytes);
            conditions.push(start..bytes.len());
        }
        conditions.sort_unstable_by(|a, b| bytes[a.clone()].cmp(&bytes[b.clone()]));
        Held { bytes, conditions }
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.conditions
            .iter()
            .map(|range| &self.bytes[range.clone()])
    }

    fn contains(&self, condition: &[u8]) -> bool {
        let found = self
            .conditions
            .binary_search_by(|range| self.bytes[range.clone()].cmp(condition));
        found.is_ok()
    }
}

fn push_name(bytes: &mut Vec<u8>, name: &str) {
    bytes.push(name.len() as u8);
    bytes.extend_from_slice(name.as_bytes());
}

/// Mode and conditions, in an order that does not depend on that of the arguments.
fn read_rule(arguments: &FieldTable) -> (Mode, Box<[Condition]>) {
    let (mode, with_x) = match arguments.get(X_MATCH).and_then(FieldValue::as_str) {
        Some("any") => (Mode::Any, false),
        Some("any-with-x") => (Mode::Any, true),
        Some("all-with-x") => (Mode::All, true),
        _ => (Mode::All, false),
    };
    let takes_part = |name: &str| {
        if with_x {
            name != X_MATCH
        } else {
            !name.starts_with("x-")
        }
    };
    let mut conditions: Vec<Condition> = arguments
        .iter()
        .filter(|(name, _)| takes_part(name))
        .map(|(name, value)| {
            let mut condition = Vec::new();
            push_name(&mut condition, name);
            if *value != FieldValue::Void {
                terms::put_canonical(value, &mut condition);
            }
            condition.into_boxed_slice()
        })
        .collect();
    conditions.sort_unstable();
    conditions.dedup();
    (mode, conditions.into_boxed_slice())
}

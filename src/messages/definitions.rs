//! A start, before any message: from the store's map to vhosts, users, exchanges, queues, bindings.

use std::path::Path;

use broker_core::broker::{Broker, restore_order};
use broker_core::definition::Definition;
use broker_core::journal::PageKey;
use broker_core::time::Timestamp;

use crate::store::{DamageAlarm, Finding, Map};

/// Puts back what the log has. A definition that cannot be used is left out and reported, and
/// stays in the log: one of them is no reason to serve nobody.
pub fn restore_definitions(
    broker: &Broker,
    entries: &Map,
    (dir, alarm): (&Path, &DamageAlarm),
    now: Timestamp,
) {
    let unusable = |why: String| {
        let what = format!("a stored definition cannot be used: {why}");
        alarm.raise(Finding::error(dir, None, what));
    };
    let read =
        |(key, value): (&Vec<u8>, &Vec<u8>)| Definition::read(key, value).map_err(unusable).ok();
    let mut definitions: Vec<_> = entries
        .iter()
        .filter(|(key, _)| !key.starts_with(PageKey::PREFIX))
        .filter_map(read)
        .collect();
    definitions.sort_by_key(restore_order);
    for definition in definitions {
        if let Err(why) = broker.restore(definition, now) {
            unusable(why);
        }
    }
}

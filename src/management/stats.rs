//! Counters and their rates as JSON.

use serde_json::{Map, Value, json};

use super::rates::{COUNTERS, Counters, Sample};

/// How many of [`COUNTERS`] publishers cause.
const PUBLISHING: usize = 4;
/// The counters that make up `deliver_get`.
const DELIVER_GET: std::ops::Range<usize> = 4..8;

/// `name` and `name_details`.
pub(super) fn put(object: &mut Map<String, Value>, name: &str, value: u64, rate: f64) {
    object.insert(name.to_owned(), value.into());
    object.insert(format!("{name}_details"), json!({ "rate": rate }));
}

/// The lengths of queues, from ready and unacked.
pub(super) fn put_lengths(
    object: &mut Map<String, Value>,
    [ready, unacked]: [u64; 2],
    rates: [f64; 2],
) {
    put(object, "messages", ready + unacked, rates[0] + rates[1]);
    put(object, "messages_ready", ready, rates[0]);
    put(object, "messages_unacknowledged", unacked, rates[1]);
}

/// Octets received and sent.
pub(super) fn put_octets(
    object: &mut Map<String, Value>,
    [received, sent]: [u64; 2],
    rates: [f64; 2],
) {
    put(object, "recv_oct", received, rates[0]);
    put(object, "send_oct", sent, rates[1]);
}

/// Which counters an object has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// A queue: publish, and all of the consumers' side.
    OfQueue,
    /// A channel or vhost: a side where anything happened.
    Active,
    /// Everything.
    All,
}

/// `message_stats`, with totals of now and rates of the latest look. None where nothing happened.
pub(super) fn message_stats(totals: &Counters, sample: &Sample<11>, shown: Shown) -> Option<Value> {
    let mut stats = Map::new();
    let any = |counters: &[u64]| shown == Shown::All || counters.iter().any(|&count| count > 0);
    if any(&totals[..PUBLISHING]) {
        let places = if shown == Shown::OfQueue {
            1
        } else {
            PUBLISHING
        };
        for place in 0..places {
            put(
                &mut stats,
                COUNTERS[place],
                totals[place],
                sample.rates[place],
            );
        }
    }
    if any(&totals[PUBLISHING..]) {
        for place in PUBLISHING..COUNTERS.len() {
            put(
                &mut stats,
                COUNTERS[place],
                totals[place],
                sample.rates[place],
            );
        }
        let total = totals[DELIVER_GET].iter().sum();
        let rate = sample.rates[DELIVER_GET].iter().sum();
        put(&mut stats, "deliver_get", total, rate);
    }
    (!stats.is_empty()).then_some(Value::Object(stats))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_without_activity_is_left_out() {
        let mut totals = [0; 11];
        assert_eq!(
            message_stats(&totals, &Sample::default(), Shown::Active),
            None
        );
        totals[4] = 3;
        totals[6] = 2;
        let sample = Sample {
            values: totals,
            rates: [0.5; 11],
        };
        let stats = message_stats(&totals, &sample, Shown::Active).expect("some");
        assert_eq!(stats["deliver_get"], 5);
        assert_eq!(stats["deliver_get_details"], json!({"rate": 2.0}));
        assert_eq!(stats.get("publish"), None);
        let all = message_stats(&[0; 11], &sample, Shown::All).expect("all");
        assert_eq!(all["drop_unroutable"], 0);
    }

    #[test]
    fn a_queue_knows_nothing_of_confirms() {
        let mut totals = [0; 11];
        totals[0] = 1;
        let stats = message_stats(&totals, &Sample::default(), Shown::OfQueue).expect("some");
        assert_eq!(
            stats,
            json!({"publish": 1, "publish_details": {"rate": 0.0}})
        );
    }
}

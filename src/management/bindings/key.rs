//! What tells bindings between the same ends apart, in one path segment.

use amqp_codec::FieldTable;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use broker_core::topology::BindingSpec;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest, Sha256};

/// All but what a form leaves as it is; the tilde separates key and arguments.
const KEY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'.')
    .remove(b'-')
    .remove(b'_')
    .remove(b' ');
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'.')
    .remove(b'-')
    .remove(b'_')
    .remove(b'~');
/// Bytes of the hash of the arguments.
const HASH_BYTES: usize = 9;

/// `~` for nothing; else the routing key, and behind a tilde a hash of the arguments.
pub(super) fn properties_key(spec: &BindingSpec) -> String {
    if spec.routing_key.is_empty() && spec.arguments.is_empty() {
        return "~".into();
    }
    let mut key = utf8_percent_encode(&spec.routing_key, KEY)
        .to_string()
        .replace(' ', "+");
    if !spec.arguments.is_empty() {
        key.push('~');
        key.push_str(&hash(&spec.arguments));
    }
    key
}

/// The order of the arguments does not matter, as it does not when binding.
fn hash(arguments: &FieldTable) -> String {
    let mut entries: Vec<_> = arguments.clone().into_iter().collect();
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut bytes = Vec::new();
    // Arguments of a binding that exists can be encoded: it was compared by that.
    let _ = entries
        .into_iter()
        .collect::<FieldTable>()
        .encode(&mut bytes);
    URL_SAFE_NO_PAD.encode(&Sha256::digest(&bytes)[..HASH_BYTES])
}

/// A name as one segment of a path.
pub(super) fn encode(name: &str) -> String {
    utf8_percent_encode(name, SEGMENT).to_string()
}

/// Decoded until nothing is left to decode.
pub(super) fn loose(key: &str) -> String {
    let mut key = key.replace('+', " ");
    // Each round makes it shorter.
    loop {
        let decoded = percent_decode_str(&key).decode_utf8_lossy().into_owned();
        if decoded.len() >= key.len() {
            return key;
        }
        key = decoded;
    }
}

#[cfg(test)]
mod tests {
    use amqp_codec::{FieldValue, ShortString};
    use broker_core::topology::Destination;

    use super::*;

    fn key(routing_key: &str, arguments: &[(&str, i64)]) -> String {
        let arguments = arguments.iter();
        properties_key(&BindingSpec {
            source: "x".into(),
            destination: Destination::Queue("q".into()),
            routing_key: routing_key.into(),
            arguments: arguments
                .map(|(name, value)| (ShortString::clipped(name), FieldValue::I64(*value)))
                .collect(),
        })
    }

    #[test]
    fn a_key_without_arguments_is_the_encoded_routing_key() {
        assert_eq!(key("", &[]), "~");
        assert_eq!(key("a b.*.#", &[]), "a+b.%2A.%23");
        assert_eq!(key("a~/ü%", &[]), "a%7E%2F%C3%BC%25");
    }

    #[test]
    fn arguments_count_in_any_order() {
        let both = key("a", &[("x", 1), ("y", 2)]);
        assert_eq!(both, key("a", &[("y", 2), ("x", 1)]));
        assert_ne!(both, key("a", &[("x", 1), ("y", 3)]));
        assert!(both.starts_with("a~"));
        assert!(key("", &[("x", 1)]).starts_with('~'));
    }

    #[test]
    fn what_was_encoded_any_number_of_times_is_the_same() {
        for spelling in ["a+b.%2A.%23", "a b.*.#", "a%20b.%252A.%2523", "a b.%252A.#"] {
            assert_eq!(loose(spelling), "a b.*.#", "{spelling}");
        }
        assert_eq!(loose("100%"), "100%");
    }
}

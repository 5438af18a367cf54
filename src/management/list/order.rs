//! The order of values of a column: numbers, then words, objects, lists, texts.

use std::cmp::Ordering;

use serde_json::Value;

/// What an item is sorted by.
#[derive(Clone, Debug)]
pub(super) enum Key {
    Number(f64),
    Word(&'static str),
    Object,
    List,
    Text(String),
}

/// The value of a column; zero when there is none.
pub(super) fn key(value: &Value, path: &[&str]) -> Key {
    let found = path.iter().try_fold(value, |value, name| value.get(name));
    match found {
        None => Key::Number(0.0),
        Some(Value::Number(number)) => Key::Number(number.as_f64().unwrap_or(0.0)),
        Some(Value::Null) => Key::Word("null"),
        Some(Value::Bool(true)) => Key::Word("true"),
        Some(Value::Bool(false)) => Key::Word("false"),
        Some(Value::Object(_)) => Key::Object,
        Some(Value::Array(_)) => Key::List,
        Some(Value::String(text)) => Key::Text(text.clone()),
    }
}

impl Key {
    pub(super) fn cmp(&self, other: &Key) -> Ordering {
        match (self, other) {
            (Key::Number(a), Key::Number(b)) => a.total_cmp(b),
            (Key::Word(a), Key::Word(b)) => a.cmp(b),
            (Key::Text(a), Key::Text(b)) => a.cmp(b),
            (a, b) => a.rank().cmp(&b.rank()),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Key::Number(_) => 0,
            Key::Word(_) => 1,
            Key::Object => 2,
            Key::List => 3,
            Key::Text(_) => 4,
        }
    }
}

//! JSON bodies of requests, read as leniently as RabbitMQ reads them.

use amqp_codec::{FieldTable, SHORT_STRING_MAX};
use serde_json::{Map, Value, json};

use super::json::table;
use super::reply::Refusal;

const DOUBLY_ENCODED: &str = "invalid payload: the request body JSON-decoded to a string. Is the \
                              input doubly-JSON-encoded?";

/// The fields of a JSON object. Unknown ones are nobody's business.
#[derive(Debug)]
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// Nothing at all, `null` and `undefined` are an empty object.
    pub(super) fn parse(body: &[u8]) -> Result<Fields, Refusal> {
        let text = body.trim_ascii();
        if text.is_empty() || text == b"undefined" {
            return Ok(Fields(Map::new()));
        }
        match serde_json::from_slice(text) {
            Ok(Value::Object(fields)) => Ok(Fields(fields)),
            Ok(Value::Null) => Ok(Fields(Map::new())),
            Ok(Value::String(_)) => Err(Refusal::bad_request(DOUBLY_ENCODED)),
            Ok(_) | Err(_) => Err(Refusal::bad_request("not_json")),
        }
    }

    /// The fields of a value inside a body, if it is an object.
    pub(super) fn of(value: &Value) -> Option<Fields> {
        value.as_object().cloned().map(Fields)
    }

    /// A value; JSON's null is none.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// Text, if it is given.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, Refusal> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Refusal::bad_request(json!(["not_string", name]))),
        }
    }

    /// `true`, `"true"` or their opposites; false when it is not given.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.get(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::String(text)) if text == "true" => Ok(true),
            Some(Value::String(text)) if text == "false" => Ok(false),
            Some(other) => Err(Refusal::bad_request(json!(["not_boolean", other]))),
        }
    }

    /// `"a, b"` or `["a", "b"]`.
    pub(super) fn tags(&self, name: &str) -> Result<Option<Vec<String>>, Refusal> {
        tags(self.get(name), name)
    }

    /// The arguments of a queue, exchange or binding.
    pub(super) fn arguments(&self) -> Result<FieldTable, Refusal> {
        match self.get("arguments") {
            None => Ok(FieldTable::new()),
            Some(value) => table(value).map_err(Refusal::bad_request),
        }
    }

    /// The texts under these names, which must all be there.
    pub(super) fn required<const N: usize>(&self, names: [&str; N]) -> Result<[&str; N], Refusal> {
        let missing: Vec<String> = names
            .iter()
            .filter(|name| self.get(name).is_none())
            .map(|name| format!("{{key_missing,{name}}}"))
            .collect();
        if !missing.is_empty() {
            return Err(Refusal::bad_request(format!("[{}]", missing.join(","))));
        }
        let mut texts = [""; N];
        for (text, name) in texts.iter_mut().zip(names) {
            *text = self.text(name)?.unwrap_or_default();
        }
        Ok(texts)
    }
}

/// A list of words in either of its two forms.
pub(super) fn tags(value: Option<&Value>, name: &str) -> Result<Option<Vec<String>>, Refusal> {
    let wrong = || Refusal::bad_request(json!(["not_tags", name]));
    let words: Vec<&str> = match value {
        None => return Ok(None),
        Some(Value::String(text)) => text.split(',').collect(),
        Some(Value::Array(list)) => {
            let words: Option<_> = list.iter().map(Value::as_str).collect();
            words.ok_or_else(wrong)?
        }
        Some(_) => return Err(wrong()),
    };
    let words = words
        .into_iter()
        .map(str::trim)
        .filter(|word| !word.is_empty());
    Ok(Some(words.map(str::to_owned).collect()))
}

/// 400 for a name that the protocol could not carry. Line breaks are stripped from names there, so
/// that nobody could reach what has one.
pub(super) fn check_name(kind: &str, name: &str) -> Result<(), Refusal> {
    if name.contains(['\r', '\n']) {
        let reason = format!("the name of a {kind} has no line breaks");
        return Err(Refusal::bad_request(reason));
    }
    check_length(kind, name)
}

/// 400 for a text that is no short string of the protocol.
pub(super) fn check_length(kind: &str, text: &str) -> Result<(), Refusal> {
    let length = text.len();
    if length <= SHORT_STRING_MAX {
        return Ok(());
    }
    Err(Refusal::bad_request(format!(
        "{kind} should be less than {SHORT_STRING_MAX} bytes, actually was {length}\n"
    )))
}

//! Records and entries of the map as JSON: what the core tells of them, with the names of queues
//! beside their ids.

use std::collections::HashMap;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use broker_core::definition::{Definition, is_queue_key, key_names};
use broker_core::journal::PageKey;
use broker_core::journal::describe::{Described, describe_page};
use broker_core::topology::Destination;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

use crate::management::table_json;
use crate::store::{Change, Lsn};

/// Vhost and name of queues by their ids, as far as they are known. Ids are never used again, so what
/// was once true of one is always.
#[derive(Default)]
pub(super) struct Names(HashMap<u64, (String, String)>);

impl Names {
    /// Remembers the name if the entry is a queue's definition.
    pub(super) fn learn(&mut self, key: &[u8], value: &[u8]) {
        if is_queue_key(key)
            && let Ok(Definition::Queue(vhost, queue, id)) = Definition::read(key, value)
        {
            let name = (vhost.to_string(), queue.name.to_string());
            self.0.insert(id.0, name);
        }
    }

    fn name(&self, queue: u64) -> Option<&str> {
        self.0.get(&queue).map(|(_, name)| name.as_str())
    }

    fn vhost(&self, queue: u64) -> Option<&str> {
        self.0.get(&queue).map(|(vhost, _)| vhost.as_str())
    }
}

/// Something that is written as JSON without being built as such first.
pub(super) struct Shown<'a> {
    /// The LSN of the record and its bytes, where this is one.
    record: Option<(Lsn, usize)>,
    described: &'a Described,
    names: &'a Names,
}

impl<'a> Shown<'a> {
    /// A record whose payload has so many bytes.
    pub(super) fn record(
        lsn: Lsn,
        bytes: usize,
        described: &'a Described,
        names: &'a Names,
    ) -> Shown<'a> {
        Shown {
            record: Some((lsn, bytes)),
            described,
            names,
        }
    }

    fn part(&self, described: &'a Described) -> Shown<'a> {
        Shown {
            record: None,
            described,
            names: self.names,
        }
    }

    fn fields<S: Serializer>(
        &self,
        fields: &'a [(&'static str, Described)],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        if let Some((lsn, bytes)) = self.record {
            map.serialize_entry("lsn", &lsn.0)?;
            map.serialize_entry("bytes", &bytes)?;
        }
        for (name, value) in fields {
            map.serialize_entry(name, &self.part(value))?;
            match (*name, value) {
                ("queue", Described::Number(id)) => {
                    map.serialize_entry("vhost", &self.names.vhost(*id))?;
                    map.serialize_entry("queue_name", &self.names.name(*id))?;
                }
                ("queues", Described::List(ids)) => {
                    let names = ids.iter().map(|id| match id {
                        Described::Number(id) => self.names.name(*id),
                        _ => None,
                    });
                    map.serialize_entry("queue_names", &names.collect::<Vec<_>>())?;
                }
                _ => {}
            }
        }
        map.end()
    }
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.described {
            Described::Number(number) => to.serialize_u64(*number),
            Described::Flag(flag) => to.serialize_bool(*flag),
            Described::Text(text) => to.serialize_str(text),
            Described::Bytes(bytes) => to.collect_str(&Base64Display::new(bytes, &STANDARD)),
            Described::List(list) => to.collect_seq(list.iter().map(|one| self.part(one))),
            Described::Fields(fields) => self.fields(fields, to),
        }
    }
}

/// A change of the map.
pub(super) fn show_change(change: &Change) -> Value {
    match change {
        Change::Put { key, value } => json!({ "put": show_entry(key, value) }),
        Change::Delete { key } => json!({ "delete": show_key(key) }),
    }
}

/// What a key names.
fn show_key(key: &[u8]) -> Value {
    if let Some(page) = PageKey::parse(key) {
        return json!({ "kind": "page", "queue": page.queue, "page": page.number });
    }
    match key_names(key) {
        Some((kind, names)) => json!({ "kind": kind, "key": names }),
        None => json!({ "kind": "unknown", "key": key.escape_ascii().to_string() }),
    }
}

/// An entry of the map.
pub(super) fn show_entry(key: &[u8], value: &[u8]) -> Value {
    let shown = if key.starts_with(PageKey::PREFIX) {
        show_page(key, value)
    } else {
        Definition::read(key, value).map(|definition| show_definition(&definition))
    };
    shown.unwrap_or_else(|why| {
        let mut shown = show_key(key);
        shown["error"] = why.into();
        shown
    })
}

fn show_page(key: &[u8], value: &[u8]) -> Result<Value, String> {
    let described = describe_page(key, value).map_err(|why| why.to_string())?;
    let names = Names::default();
    let shown = Shown {
        record: None,
        described: &described,
        names: &names,
    };
    let mut shown = serde_json::to_value(shown).map_err(|why| why.to_string())?;
    shown["kind"] = "page".into();
    Ok(shown)
}

/// A definition, without what helps to find out a password.
fn show_definition(definition: &Definition) -> Value {
    match definition {
        Definition::Vhost(vhost) => json!({
            "kind": "vhost",
            "name": *vhost.name,
            "description": vhost.description,
            "tags": vhost.tags,
        }),
        Definition::User(user) => json!({
            "kind": "user",
            "name": *user.name,
            "hashing_algorithm": user.algorithm.as_str(),
            "tags": user.tags,
        }),
        Definition::Permission {
            vhost,
            user,
            patterns: [configure, write, read],
        } => json!({
            "kind": "permission",
            "vhost": **vhost,
            "user": **user,
            "configure": configure,
            "write": write,
            "read": read,
        }),
        Definition::Exchange(vhost, exchange) => json!({
            "kind": "exchange",
            "vhost": **vhost,
            "name": *exchange.name,
            "type": exchange.kind.as_str(),
            "auto_delete": exchange.auto_delete,
            "internal": exchange.internal,
            "arguments": table_json(&exchange.arguments),
        }),
        Definition::Queue(vhost, queue, id) => json!({
            "kind": "queue",
            "vhost": **vhost,
            "name": *queue.name,
            "id": id.0,
            "auto_delete": queue.auto_delete,
            "arguments": table_json(&queue.arguments),
        }),
        Definition::Binding(vhost, binding) => {
            let (to, kind) = match &binding.destination {
                Destination::Queue(name) => (name, "queue"),
                Destination::Exchange(name) => (name, "exchange"),
            };
            json!({
                "kind": "binding",
                "vhost": **vhost,
                "source": *binding.source,
                "destination": **to,
                "destination_type": kind,
                "routing_key": *binding.routing_key,
                "arguments": table_json(&binding.arguments),
            })
        }
    }
}

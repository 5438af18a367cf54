//! Definitions as they stand in the log: keys and values of a flat, ordered map.
//!
//! A key is a kind and names, each behind its length, so that neighbours in the map belong
//! together; a value is a version byte and an AMQP field table, the self-describing format that
//! is at hand here. Unknown fields are ignored when read, missing ones have defaults, so that a
//! later version can add some.

use std::sync::Arc;

use amqp_codec::{FieldTable, FieldValue, ShortString};

use crate::access::{HashAlgorithm, User};
use crate::exchange::ExchangeKind;
use crate::queue::handle::QueueId;
use crate::topology::{BindingSpec, Destination, ExchangeSpec, QueueSpec};

const VERSION: u8 = 1;

/// A change of the definitions.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// This is so from now on.
    Put(Definition),
    /// What this names is gone. (Its other fields do not matter.)
    Delete(Definition),
}

/// One thing that survives a restart.
#[derive(Clone, Debug, PartialEq)]
pub enum Definition {
    /// A vhost.
    Vhost(VhostSpec),
    /// A user.
    User(User),
    /// What a user may do in a vhost: vhost, user, the three patterns.
    Permission {
        /// The vhost.
        vhost: Arc<str>,
        /// The user.
        user: Arc<str>,
        /// Patterns for configure, write, read.
        patterns: [String; 3],
    },
    /// A durable exchange of a vhost.
    Exchange(Arc<str>, ExchangeSpec),
    /// A durable queue of a vhost, and which life of it this is.
    Queue(Arc<str>, QueueSpec, QueueId),
    /// A binding between two durable ends.
    Binding(Arc<str>, BindingSpec),
}

/// A vhost as it was declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VhostSpec {
    /// Its name.
    pub name: Arc<str>,
    /// For people.
    pub description: String,
    /// For people.
    pub tags: Vec<String>,
}

/// Whether a definition of a queue stands under the key.
pub fn is_queue_key(key: &[u8]) -> bool {
    key.first() == Some(&b'y')
}

/// What a key says by itself: the kind of definition and the names in it. None if it is the key of
/// no definition.
pub fn key_names(key: &[u8]) -> Option<(&'static str, Vec<String>)> {
    let (kind, mut rest) = key.split_first()?;
    let (kind, count) = match kind {
        b'v' => ("vhost", 1),
        b'u' => ("user", 1),
        b'p' => ("permission", 2),
        b'x' => ("exchange", 2),
        b'y' => ("queue", 2),
        b'z' => ("binding", 5),
        _ => return None,
    };
    let mut names = Vec::new();
    for _ in 0..count {
        let (length, behind) = rest.split_first_chunk()?;
        let (name, behind) = behind.split_at_checked(u16::from_be_bytes(*length).into())?;
        names.push(String::from_utf8_lossy(name).into_owned());
        rest = behind;
    }
    Some((kind, names))
}

impl Definition {
    /// The key under which it stands.
    pub fn key(&self) -> Vec<u8> {
        let mut key = Vec::new();
        match self {
            Definition::Vhost(vhost) => push_names(&mut key, b'v', &[&vhost.name]),
            Definition::User(user) => push_names(&mut key, b'u', &[&user.name]),
            Definition::Permission { vhost, user, .. } => {
                push_names(&mut key, b'p', &[vhost, user]);
            }
            Definition::Exchange(vhost, exchange) => {
                push_names(&mut key, b'x', &[vhost, &exchange.name]);
            }
            Definition::Queue(vhost, queue, _) => push_names(&mut key, b'y', &[vhost, &queue.name]),
            Definition::Binding(vhost, binding) => {
                let (kind, name) = match &binding.destination {
                    Destination::Queue(name) => ("q", name),
                    Destination::Exchange(name) => ("e", name),
                };
                let names = [vhost, &binding.source, kind, name, &binding.routing_key];
                push_names(&mut key, b'z', &names);
                // A table that cannot be encoded was never accepted from a client.
                let _ = binding.arguments.encode(&mut key);
            }
        }
        key
    }

    /// The value that stands under the key.
    pub fn value(&self) -> Vec<u8> {
        let table = match self {
            Definition::Vhost(vhost) => vhost_table(vhost),
            Definition::User(user) => user_table(user),
            Definition::Permission {
                vhost,
                user,
                patterns,
            } => table([
                ("vhost", text(vhost)),
                ("user", text(user)),
                ("configure", text(&patterns[0])),
                ("write", text(&patterns[1])),
                ("read", text(&patterns[2])),
            ]),
            Definition::Exchange(vhost, exchange) => table([
                ("vhost", text(vhost)),
                ("name", text(&exchange.name)),
                ("type", text(exchange.kind.as_str())),
                ("durable", FieldValue::Bool(exchange.durable)),
                ("auto_delete", FieldValue::Bool(exchange.auto_delete)),
                ("internal", FieldValue::Bool(exchange.internal)),
                ("arguments", FieldValue::Table(exchange.arguments.clone())),
            ]),
            Definition::Queue(vhost, queue, id) => table([
                ("id", FieldValue::LongLong(id.0 as i64)),
                ("vhost", text(vhost)),
                ("name", text(&queue.name)),
                ("durable", FieldValue::Bool(queue.durable)),
                ("auto_delete", FieldValue::Bool(queue.auto_delete)),
                ("arguments", FieldValue::Table(queue.arguments.clone())),
            ]),
            Definition::Binding(vhost, binding) => binding_table(vhost, binding),
        };
        let mut value = vec![VERSION];
        let _ = table.encode(&mut value);
        value
    }

    /// Reads what [`Self::key`] and [`Self::value`] wrote; the error says what is wrong.
    pub fn read(key: &[u8], value: &[u8]) -> Result<Definition, String> {
        let fields = match value.split_first() {
            Some((&VERSION, rest)) => {
                FieldTable::decode(rest).map_err(|error| format!("value: {error}"))?
            }
            Some((version, _)) => return Err(format!("unknown value version {version}")),
            None => return Err("empty value".into()),
        };
        let fields = Fields(fields);
        match key.first() {
            Some(b'v') => read_vhost(&fields),
            Some(b'u') => read_user(&fields),
            Some(b'p') => Ok(Definition::Permission {
                vhost: fields.text("vhost")?.into(),
                user: fields.text("user")?.into(),
                patterns: [
                    fields.text("configure")?.into(),
                    fields.text("write")?.into(),
                    fields.text("read")?.into(),
                ],
            }),
            Some(b'x') => read_exchange(&fields),
            Some(b'y') => read_queue(&fields),
            Some(b'z') => read_binding(&fields),
            _ => Err("unknown kind of definition".into()),
        }
    }
}

fn push_names(key: &mut Vec<u8>, kind: u8, names: &[&str]) {
    key.push(kind);
    for name in names {
        key.extend_from_slice(&(name.len() as u16).to_be_bytes());
        key.extend_from_slice(name.as_bytes());
    }
}

fn text(text: &str) -> FieldValue {
    FieldValue::LongString(text.as_bytes().to_vec())
}

fn table<const N: usize>(fields: [(&str, FieldValue); N]) -> FieldTable {
    fields
        .into_iter()
        .map(|(name, value)| (ShortString::clipped(name), value))
        .collect()
}

fn vhost_table(vhost: &VhostSpec) -> FieldTable {
    let tags = vhost.tags.iter().map(|tag| text(tag)).collect();
    table([
        ("name", text(&vhost.name)),
        ("description", text(&vhost.description)),
        ("tags", FieldValue::Array(tags)),
    ])
}

fn user_table(user: &User) -> FieldTable {
    let tags = user.tags.iter().map(|tag| text(tag)).collect();
    table([
        ("name", text(&user.name)),
        (
            "password_hash",
            FieldValue::Bytes(user.password_hash.clone()),
        ),
        ("hashing_algorithm", text(user.algorithm.as_str())),
        ("tags", FieldValue::Array(tags)),
    ])
}

fn binding_table(vhost: &str, binding: &BindingSpec) -> FieldTable {
    let (kind, name) = match &binding.destination {
        Destination::Queue(name) => ("queue", name),
        Destination::Exchange(name) => ("exchange", name),
    };
    table([
        ("vhost", text(vhost)),
        ("source", text(&binding.source)),
        ("destination_type", text(kind)),
        ("destination", text(name)),
        ("routing_key", text(&binding.routing_key)),
        ("arguments", FieldValue::Table(binding.arguments.clone())),
    ])
}

struct Fields(FieldTable);

impl Fields {
    fn text(&self, name: &str) -> Result<&str, String> {
        let value = self.0.get(name).and_then(FieldValue::as_str);
        value.ok_or_else(|| format!("no text under '{name}'"))
    }

    fn flag(&self, name: &str) -> bool {
        matches!(self.0.get(name), Some(FieldValue::Bool(true)))
    }

    fn table(&self, name: &str) -> FieldTable {
        match self.0.get(name) {
            Some(FieldValue::Table(table)) => table.clone(),
            _ => FieldTable::new(),
        }
    }

    fn texts(&self, name: &str) -> Vec<String> {
        match self.0.get(name) {
            Some(FieldValue::Array(values)) => values
                .iter()
                .filter_map(FieldValue::as_str)
                .map(str::to_owned)
                .collect(),
            _ => Vec::new(),
        }
    }
}

fn read_vhost(fields: &Fields) -> Result<Definition, String> {
    Ok(Definition::Vhost(VhostSpec {
        name: fields.text("name")?.into(),
        description: fields.text("description").unwrap_or_default().into(),
        tags: fields.texts("tags"),
    }))
}

fn read_user(fields: &Fields) -> Result<Definition, String> {
    let algorithm = fields.text("hashing_algorithm")?;
    let password_hash = match fields.0.get("password_hash") {
        Some(FieldValue::Bytes(hash)) => hash.clone(),
        _ => return Err("no bytes under 'password_hash'".into()),
    };
    Ok(Definition::User(User {
        name: fields.text("name")?.into(),
        password_hash,
        algorithm: HashAlgorithm::parse(algorithm)
            .ok_or_else(|| format!("unknown hashing algorithm '{algorithm}'"))?,
        tags: fields.texts("tags"),
    }))
}

fn read_exchange(fields: &Fields) -> Result<Definition, String> {
    let kind = fields.text("type")?;
    let spec = ExchangeSpec {
        name: fields.text("name")?.into(),
        kind: ExchangeKind::parse(kind).ok_or_else(|| format!("unknown exchange type '{kind}'"))?,
        durable: fields.flag("durable"),
        auto_delete: fields.flag("auto_delete"),
        internal: fields.flag("internal"),
        arguments: fields.table("arguments"),
    };
    Ok(Definition::Exchange(fields.text("vhost")?.into(), spec))
}

fn read_queue(fields: &Fields) -> Result<Definition, String> {
    let spec = QueueSpec {
        name: fields.text("name")?.into(),
        durable: fields.flag("durable"),
        exclusive: None,
        auto_delete: fields.flag("auto_delete"),
        arguments: fields.table("arguments"),
    };
    let id = match fields.0.get("id") {
        Some(FieldValue::LongLong(id)) => QueueId(*id as u64),
        _ => return Err("a queue without an id".into()),
    };
    Ok(Definition::Queue(fields.text("vhost")?.into(), spec, id))
}

fn read_binding(fields: &Fields) -> Result<Definition, String> {
    let name = fields.text("destination")?;
    let destination = match fields.text("destination_type")? {
        "queue" => Destination::Queue(name.into()),
        "exchange" => Destination::Exchange(name.into()),
        other => return Err(format!("unknown destination type '{other}'")),
    };
    let spec = BindingSpec {
        source: fields.text("source")?.into(),
        destination,
        routing_key: fields.text("routing_key")?.into(),
        arguments: fields.table("arguments"),
    };
    Ok(Definition::Binding(fields.text("vhost")?.into(), spec))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_says_what_it_names() {
        let binding = BindingSpec {
            source: "x".into(),
            destination: Destination::Queue("q".into()),
            routing_key: "k".into(),
            arguments: FieldTable::new(),
        };
        let definition = Definition::Binding("v".into(), binding);
        let names = ["v", "x", "q", "q", "k"].map(str::to_owned).to_vec();
        assert_eq!(key_names(&definition.key()), Some(("binding", names)));
        let permission = Definition::Permission {
            vhost: "v".into(),
            user: "u".into(),
            patterns: Default::default(),
        };
        let names = ["v", "u"].map(str::to_owned).to_vec();
        assert_eq!(key_names(&permission.key()), Some(("permission", names)));
    }

    #[test]
    fn what_is_no_key_names_nothing() {
        for key in [&b""[..], b"m", b"y\0", b"y\0\x01v", b"y\0\x01v\0\x02q"] {
            assert_eq!(key_names(key), None);
        }
    }
}

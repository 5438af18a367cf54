//! From the text of a definitions file to what it asks for.
//!
//! What this broker does not have is refused by name, so that nobody believes it holds.

use std::sync::Arc;

use broker_core::access::{Permission, User};
use broker_core::definition::VhostSpec;
use broker_core::exchange::ExchangeKind;
use broker_core::topology::{BindingSpec, Destination, ExchangeSpec, QueueSpec};
use serde_json::{Map, Value};

use super::ImportError;
use crate::management::body::{Fields, check_length, check_name};
use crate::management::reply::Refusal;
use crate::management::{permissions, users, vhosts};

/// Lists whose items this broker cannot honour, and what an item of them is called.
const UNAVAILABLE: [(&str, &str); 4] = [
    ("topic_permissions", "topic permission"),
    ("parameters", "parameter"),
    ("global_parameters", "global parameter"),
    ("policies", "policy"),
];
/// Global parameters that say where a file came from.
const ORIGIN: [&str; 2] = ["cluster_name", "internal_cluster_id"];

/// What a file asks for.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) users: Vec<User>,
    pub(super) vhosts: Vec<VhostPlan>,
    pub(super) permissions: Vec<InVhost<(String, Permission)>>,
    pub(super) exchanges: Vec<InVhost<ExchangeSpec>>,
    pub(super) queues: Vec<InVhost<QueueSpec>>,
    pub(super) bindings: Vec<InVhost<BindingSpec>>,
}

/// Something in a vhost.
#[derive(Debug)]
pub(super) struct InVhost<T> {
    pub(super) vhost: Arc<str>,
    /// Its kind and name, for errors.
    pub(super) what: String,
    pub(super) spec: T,
}

/// A vhost, as far as the file describes it.
#[derive(Debug)]
pub(super) struct VhostPlan {
    pub(super) name: Arc<str>,
    description: Option<String>,
    tags: Option<Vec<String>>,
}

impl VhostPlan {
    /// What is not described stays as it was.
    pub(super) fn over(&self, before: Option<VhostSpec>) -> VhostSpec {
        let (description, tags) = match before {
            Some(before) => (before.description, before.tags),
            None => Default::default(),
        };
        VhostSpec {
            name: Arc::clone(&self.name),
            description: self.description.clone().unwrap_or(description),
            tags: self.tags.clone().unwrap_or(tags),
        }
    }
}

impl Plan {
    /// Reads a file; into one vhost, if it is given, and then only what stands in a vhost.
    pub(super) fn read(text: &[u8], vhost: Option<&str>) -> Result<Plan, ImportError> {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let file = File(serde_json::from_slice(text)?);
        let mut plan = Plan::default();
        for (list, kind) in UNAVAILABLE {
            if vhost.is_none() || matches!(list, "parameters" | "policies") {
                file.refuse(list, kind)?;
            }
        }
        if vhost.is_none() {
            plan.users = file.each("users", "user", read_user)?;
            plan.vhosts = file.each("vhosts", "vhost", read_vhost)?;
            plan.permissions =
                file.each_in("permissions", "permission of", None, read_permission)?;
        }
        plan.exchanges = file.each_in("exchanges", "exchange", vhost, read_exchange)?;
        plan.queues = file.each_in("queues", "queue", vhost, read_queue)?;
        plan.bindings = file.each_in("bindings", "binding", vhost, read_binding)?;
        Ok(plan)
    }
}

struct File(Map<String, Value>);

impl File {
    fn list(&self, list: &str) -> Result<&[Value], ImportError> {
        match self.0.get(list) {
            None | Some(Value::Null) => Ok(&[]),
            Some(Value::Array(items)) => Ok(items),
            Some(_) => Err(ImportError::Object {
                what: format!("\"{list}\""),
                why: "a list is expected".into(),
            }),
        }
    }

    fn each<T>(
        &self,
        list: &str,
        kind: &str,
        read: impl Fn(&Fields) -> Result<T, Refusal>,
    ) -> Result<Vec<T>, ImportError> {
        let mut all = Vec::new();
        for (place, item) in self.list(list)?.iter().enumerate() {
            let what = || name_of(kind, list, place, item);
            let fields = Fields::of(item).ok_or_else(|| ImportError::Object {
                what: what(),
                why: "an object is expected".into(),
            })?;
            all.push(read(&fields).map_err(|refusal| ImportError::Object {
                what: what(),
                why: refusal.reason(),
            })?);
        }
        Ok(all)
    }

    /// Items with a vhost: the one of the item, or the one that is given for all.
    fn each_in<T>(
        &self,
        list: &str,
        kind: &str,
        vhost: Option<&str>,
        read: impl Fn(&Fields) -> Result<T, Refusal>,
    ) -> Result<Vec<InVhost<T>>, ImportError> {
        let items = self.each(list, kind, |fields| {
            let own = fields.text("vhost")?;
            let vhost = vhost.or(own).ok_or_else(|| missing("vhost"))?;
            Ok((Arc::from(vhost), read(fields)?))
        })?;
        let named = items.into_iter().zip(self.list(list)?).enumerate();
        Ok(named
            .map(|(place, ((vhost, spec), item))| InVhost {
                vhost,
                what: name_of(kind, list, place, item),
                spec,
            })
            .collect())
    }

    /// Refuses the first item of a list that must be empty.
    fn refuse(&self, list: &str, kind: &str) -> Result<(), ImportError> {
        for (place, item) in self.list(list)?.iter().enumerate() {
            let name = item.get("name").and_then(Value::as_str);
            if list == "global_parameters" && name.is_some_and(|name| ORIGIN.contains(&name)) {
                continue;
            }
            return Err(ImportError::Object {
                what: name_of(kind, list, place, item),
                why: format!("{list} are not available in this broker and would not hold"),
            });
        }
        Ok(())
    }
}

/// `queue 'q'`, or the item's place if it has no name.
fn name_of(kind: &str, list: &str, place: usize, item: &Value) -> String {
    let text = |name: &str| item.get(name).and_then(Value::as_str);
    match (
        text("name"),
        text("source"),
        text("destination"),
        text("user"),
    ) {
        (Some(name), ..) => format!("{kind} '{name}'"),
        (None, Some(source), Some(destination), _) => {
            format!("{kind} '{source}' -> '{destination}'")
        }
        (None, _, _, Some(user)) => format!("{kind} user '{user}'"),
        _ => format!("{list}[{place}]"),
    }
}

fn missing(field: &str) -> Refusal {
    Refusal::bad_request(format!("\"{field}\" is missing"))
}

fn required<'a>(fields: &'a Fields, name: &str) -> Result<&'a str, Refusal> {
    fields.text(name)?.ok_or_else(|| missing(name))
}

fn required_flag(fields: &Fields, name: &str) -> Result<bool, Refusal> {
    match fields.get(name) {
        None => Err(missing(name)),
        Some(_) => fields.flag(name),
    }
}

/// A name that is short enough for the protocol.
fn name<'a>(fields: &'a Fields, field: &str, kind: &str) -> Result<&'a str, Refusal> {
    let name = required(fields, field)?;
    if name.is_empty() {
        return Err(missing(field));
    }
    check_name(kind, name)?;
    Ok(name)
}

fn read_user(fields: &Fields) -> Result<User, Refusal> {
    refuse_limits(fields)?;
    users::read(name(fields, "name", "user")?, fields)
}

fn read_vhost(fields: &Fields) -> Result<VhostPlan, Refusal> {
    refuse_limits(fields)?;
    let name = name(fields, "name", "vhost")?;
    let metadata = fields.get("metadata").and_then(Fields::of);
    for part in [Some(fields), metadata.as_ref()].into_iter().flatten() {
        vhosts::read(name, part, None)?;
    }
    let described = |field: &str| -> Result<Option<String>, Refusal> {
        let inner = metadata.as_ref().map(|metadata| metadata.text(field));
        let inner = inner.transpose()?.flatten();
        Ok(fields.text(field)?.or(inner).map(str::to_owned))
    };
    let inner_tags = metadata.as_ref().map(|metadata| metadata.tags("tags"));
    Ok(VhostPlan {
        name: name.into(),
        description: described("description")?,
        tags: fields.tags("tags")?.or(inner_tags.transpose()?.flatten()),
    })
}

fn refuse_limits(fields: &Fields) -> Result<(), Refusal> {
    let none = match fields.get("limits") {
        None => true,
        Some(Value::Object(limits)) => limits.is_empty(),
        Some(Value::Array(limits)) => limits.is_empty(),
        Some(_) => false,
    };
    if none {
        return Ok(());
    }
    let reason = "limits are not available in this broker and would not hold";
    Err(Refusal::bad_request(reason))
}

fn read_permission(fields: &Fields) -> Result<(String, Permission), Refusal> {
    let user = required(fields, "user")?.to_owned();
    Ok((user, permissions::read(fields)?))
}

fn read_exchange(fields: &Fields) -> Result<ExchangeSpec, Refusal> {
    let kind = required(fields, "type")?;
    Ok(ExchangeSpec {
        name: name(fields, "name", "exchange")?.into(),
        kind: ExchangeKind::parse(kind)
            .ok_or_else(|| Refusal::bad_request(format!("unknown exchange type '{kind}'")))?,
        durable: required_flag(fields, "durable")?,
        auto_delete: required_flag(fields, "auto_delete")?,
        internal: fields.flag("internal")?,
        arguments: fields.arguments()?,
    })
}

fn read_queue(fields: &Fields) -> Result<QueueSpec, Refusal> {
    let kind = fields.text("type")?.unwrap_or("classic");
    if kind != "classic" {
        let reason = format!("queue type '{kind}' is not available in this broker");
        return Err(Refusal::bad_request(reason));
    }
    Ok(QueueSpec {
        name: name(fields, "name", "queue")?.into(),
        durable: required_flag(fields, "durable")?,
        exclusive: None,
        auto_delete: required_flag(fields, "auto_delete")?,
        arguments: fields.arguments()?,
    })
}

fn read_binding(fields: &Fields) -> Result<BindingSpec, Refusal> {
    let destination = required(fields, "destination")?.into();
    let routing_key = fields.text("routing_key")?.unwrap_or_default();
    check_length("routing key", routing_key)?;
    Ok(BindingSpec {
        source: required(fields, "source")?.into(),
        destination: match required(fields, "destination_type")? {
            "queue" => Destination::Queue(destination),
            "exchange" => Destination::Exchange(destination),
            other => {
                let reason = format!("unknown destination type '{other}'");
                return Err(Refusal::bad_request(reason));
            }
        },
        routing_key: routing_key.into(),
        arguments: fields.arguments()?,
    })
}

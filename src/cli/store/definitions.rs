//! The definitions of a map: whether each can be read, and whether what it names is there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use broker_core::access::Permission;
use broker_core::definition::Definition;
use broker_core::journal::PageKey;
use broker_core::topology::{BindingSpec, Destination};

use super::report::Report;
use crate::store::Map;
use crate::store::inspect::{Finding, Severity};

/// An object of a vhost, by vhost and name.
type Named = BTreeSet<(Arc<str>, Arc<str>)>;

/// What there is.
#[derive(Default)]
pub(super) struct Definitions {
    vhosts: BTreeSet<Arc<str>>,
    users: BTreeSet<Arc<str>>,
    exchanges: Named,
    queues: Named,
    bindings: u64,
    permissions: u64,
    /// Vhost and name of each queue, by its id.
    pub(super) ids: BTreeMap<u64, (Arc<str>, Arc<str>)>,
}

impl Definitions {
    /// Reads all of them.
    pub(super) fn read(map: &Map, findings: &mut Vec<Finding>) -> Definitions {
        let mut all = Vec::new();
        let entries = map.iter();
        for (key, value) in entries.filter(|(key, _)| !key.starts_with(PageKey::PREFIX)) {
            match Definition::read(key, value) {
                Ok(definition) => all.push(definition),
                Err(why) => findings.push(unusable(&key.escape_ascii().to_string(), &why)),
            }
        }
        let mut there = Definitions::default();
        for definition in &all {
            if let Err(why) = there.add(definition) {
                findings.push(unusable(&name(definition), &why));
            }
        }
        for definition in &all {
            if let Err(why) = there.resolve(definition) {
                findings.push(unusable(&name(definition), &why));
            }
        }
        there
    }

    fn add(&mut self, definition: &Definition) -> Result<(), String> {
        match definition {
            Definition::Vhost(vhost) => drop(self.vhosts.insert(Arc::clone(&vhost.name))),
            Definition::User(user) => drop(self.users.insert(user.name.as_ref().into())),
            Definition::Permission { patterns, .. } => {
                self.permissions += 1;
                let [configure, write, read] = patterns;
                Permission::new(configure, write, read)?;
            }
            Definition::Exchange(vhost, exchange) => {
                let named = (Arc::clone(vhost), Arc::clone(&exchange.name));
                self.exchanges.insert(named);
            }
            Definition::Queue(vhost, queue, id) => {
                let named = (Arc::clone(vhost), Arc::clone(&queue.name));
                self.queues.insert(named.clone());
                if let Some((_, other)) = self.ids.insert(id.0, named) {
                    return Err(format!("id {} is that of queue '{other}' as well", id.0));
                }
            }
            Definition::Binding(..) => self.bindings += 1,
        }
        Ok(())
    }

    /// Whether everything is there that the definition names.
    fn resolve(&self, definition: &Definition) -> Result<(), String> {
        match definition {
            Definition::Vhost(_) | Definition::User(_) => Ok(()),
            Definition::Permission { vhost, user, .. } => {
                self.need_vhost(vhost)?;
                let is_there = self.users.contains(user);
                is_there
                    .then_some(())
                    .ok_or_else(|| format!("no user '{user}'"))
            }
            Definition::Exchange(vhost, _) | Definition::Queue(vhost, ..) => self.need_vhost(vhost),
            Definition::Binding(vhost, binding) => {
                self.need_vhost(vhost)?;
                self.need_ends(vhost, binding)
            }
        }
    }

    fn need_vhost(&self, vhost: &Arc<str>) -> Result<(), String> {
        let is_there = self.vhosts.contains(vhost);
        is_there
            .then_some(())
            .ok_or_else(|| format!("no vhost '{vhost}'"))
    }

    fn need_ends(&self, vhost: &Arc<str>, binding: &BindingSpec) -> Result<(), String> {
        self.need_exchange(vhost, &binding.source)?;
        match &binding.destination {
            Destination::Exchange(name) => self.need_exchange(vhost, name),
            Destination::Queue(name) => {
                let named = (Arc::clone(vhost), Arc::clone(name));
                let is_there = self.queues.contains(&named);
                is_there
                    .then_some(())
                    .ok_or_else(|| format!("no queue '{name}'"))
            }
        }
    }

    fn need_exchange(&self, vhost: &Arc<str>, name: &Arc<str>) -> Result<(), String> {
        // Every vhost has those from its beginning; they are not stored.
        let is_predeclared = name.is_empty() || name.starts_with("amq.");
        let named = (Arc::clone(vhost), Arc::clone(name));
        if is_predeclared || self.exchanges.contains(&named) {
            return Ok(());
        }
        Err(format!("no exchange '{name}'"))
    }

    /// Adds to the totals.
    pub(super) fn count(&self, report: &mut Report) {
        report.totals.extend([
            ("vhosts", self.vhosts.len() as u64),
            ("users", self.users.len() as u64),
            ("permissions", self.permissions),
            ("exchanges", self.exchanges.len() as u64),
            ("queues", self.queues.len() as u64),
            ("bindings", self.bindings),
        ]);
    }
}

fn unusable(name: &str, why: &str) -> Finding {
    Finding {
        severity: Severity::Error,
        path: None,
        offset: None,
        what: format!("the definition of {name} cannot be used: {why}"),
    }
}

/// A definition's name for people.
pub(super) fn name(definition: &Definition) -> String {
    match definition {
        Definition::Vhost(vhost) => format!("vhost '{}'", vhost.name),
        Definition::User(user) => format!("user '{}'", user.name),
        Definition::Permission { vhost, user, .. } => {
            format!("the permission of user '{user}' in vhost '{vhost}'")
        }
        Definition::Exchange(vhost, exchange) => {
            format!("exchange '{}' in vhost '{vhost}'", exchange.name)
        }
        Definition::Queue(vhost, queue, _) => format!("queue '{}' in vhost '{vhost}'", queue.name),
        Definition::Binding(vhost, binding) => {
            let (Destination::Queue(to) | Destination::Exchange(to)) = &binding.destination;
            let from = &binding.source;
            format!("the binding of '{to}' to '{from}' in vhost '{vhost}'")
        }
    }
}

#[cfg(test)]
mod tests;

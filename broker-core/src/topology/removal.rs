//! What goes, and what goes with it: bindings with their ends, auto-delete exchanges with their
//! last outgoing binding, along chains and circles.

use std::sync::Arc;

use super::link::Binding;
use super::{RESERVED_PREFIX, Removed, Topology, alternate_of, check_not_default};
use crate::error::BrokerError;

impl Topology {
    /// Removes an exchange with its bindings; nothing happens if it does not exist.
    pub fn delete_exchange(&mut self, name: &str, if_unused: bool) -> Result<Removed, BrokerError> {
        check_not_default(name)?;
        if name.starts_with(RESERVED_PREFIX) {
            return Err(BrokerError::access_refused(format!(
                "deletion of system exchange '{name}' in vhost '{}' not allowed",
                self.vhost
            )));
        }
        let mut removed = Removed::default();
        let Ok(id) = self.exchange_id(name) else {
            return Ok(removed);
        };
        let exchange = self.exchanges.get(id);
        if if_unused && exchange.is_some_and(|exchange| !exchange.outgoing.is_empty()) {
            let vhost = &self.vhost;
            let text = format!("exchange '{name}' in vhost '{vhost}' in use");
            return Err(BrokerError::precondition(text));
        }
        let upstream = self.remove_exchange(id, &mut removed);
        self.remove_unused(upstream, &mut removed);
        Ok(removed)
    }

    /// Removes a queue with its bindings; nothing happens if it does not exist.
    pub fn remove_queue(&mut self, name: &str) -> Removed {
        let mut removed = Removed::default();
        let Some(id) = self.queue_names.remove(name) else {
            return removed;
        };
        let Some(queue) = self.queues.get(id) else {
            return removed;
        };
        let bindings: Vec<Arc<Binding>> = queue.incoming.iter().cloned().collect();
        let mut sources = Vec::new();
        queue.incoming.each_source(|source| sources.push(source));
        self.detach_all(bindings, &mut removed);
        if let Some(queue) = self.queues.remove(id) {
            let spec = queue.entry.spec;
            if let Some(connection) = spec.exclusive
                && let Some(owned) = self.exclusive.get_mut(&connection)
            {
                owned.remove(&id);
                if owned.is_empty() {
                    self.exclusive.remove(&connection);
                }
            }
            removed.queue = Some(spec);
        }
        self.remove_unused(sources, &mut removed);
        removed
    }

    /// These exchanges lost bindings: removes those that go with their last one, and in turn what
    /// lost bindings by that.
    pub(super) fn remove_unused(
        &mut self,
        exchanges: impl IntoIterator<Item = u32>,
        removed: &mut Removed,
    ) {
        let mut waiting: Vec<u32> = exchanges.into_iter().collect();
        // Before anything goes: a removed exchange bumps what is above it itself.
        self.routes_changed(waiting.iter().copied());
        while let Some(id) = waiting.pop() {
            let is_unused = self
                .exchanges
                .get(id)
                .is_some_and(|exchange| exchange.spec.auto_delete && exchange.outgoing.is_empty());
            if is_unused {
                waiting.extend(self.remove_exchange(id, removed));
            }
        }
    }

    /// Removes an exchange and gives the exchanges that had bindings to it.
    fn remove_exchange(&mut self, id: u32, removed: &mut Removed) -> Vec<u32> {
        self.routes_changed([id]);
        let Some(exchange) = self.exchanges.get(id) else {
            return Vec::new();
        };
        let mut upstream = Vec::new();
        exchange
            .incoming
            .each_source(|source| upstream.push(source));
        let all = exchange.outgoing.iter().chain(
            // One that leads back to its own exchange is in both lists.
            exchange
                .incoming
                .iter()
                .filter(|binding| binding.source != id),
        );
        let all: Vec<Arc<Binding>> = all.cloned().collect();
        self.detach_all(all, removed);
        if let Some(exchange) = self.exchanges.remove(id) {
            let spec = exchange.spec;
            self.exchange_names.remove(&spec.name);
            if let Some(name) = alternate_of(&spec)
                && let Some(before) = self.alternates.get_mut(name)
            {
                before.remove(&id);
                if before.is_empty() {
                    self.alternates.remove(name);
                }
            }
            removed.exchanges.push(spec);
        }
        upstream
    }

    fn detach_all(&mut self, bindings: Vec<Arc<Binding>>, removed: &mut Removed) {
        for binding in bindings {
            self.detach(&binding);
            removed.bindings.push(binding.spec.clone());
        }
    }
}

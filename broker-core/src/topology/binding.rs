//! Bindings: adding, removing, listing.

use std::sync::Arc;

use super::link::{Binding, Incoming};
use super::{BindingSpec, Destination, Removed, Topology, check_not_default};
use crate::error::BrokerError;
use crate::exchange::{ExchangeKind, TargetId, check_headers_arguments};

impl Topology {
    /// Adds a binding; false if it is there already.
    pub fn bind(&mut self, spec: BindingSpec) -> Result<bool, BrokerError> {
        check_ends(&spec)?;
        let source = self.exchange_id(&spec.source)?;
        let target = self.target_id(&spec.destination)?;
        let spec = self.with_shared_names(spec, source, target);
        let binding = Arc::new(new_binding(spec, source, target)?);
        let Some(exchange) = self.exchanges.get_mut(source) else {
            return Ok(false);
        };
        if exchange.spec.kind == ExchangeKind::Headers {
            check_headers_arguments(&binding.spec.arguments)?;
        }
        if !exchange.outgoing.insert(&binding) {
            return Ok(false);
        }
        exchange
            .matcher
            .add(&binding.spec.routing_key, &binding.spec.arguments, target);
        if let Some(incoming) = self.incoming_mut(target) {
            incoming.insert(&binding);
        }
        self.routes_changed([source]);
        Ok(true)
    }

    /// Removes a binding, and with it an auto-delete exchange that has no other. Nothing happens,
    /// as in RabbitMQ before 4.0, if the binding, its queue or its exchange is not there.
    pub fn unbind(&mut self, spec: &BindingSpec) -> Result<Removed, BrokerError> {
        check_ends(spec)?;
        let mut removed = Removed::default();
        let (Ok(source), Ok(target)) = (
            self.exchange_id(&spec.source),
            self.target_id(&spec.destination),
        ) else {
            return Ok(removed);
        };
        let wanted = new_binding(spec.clone(), source, target)?;
        let exchange = self.exchanges.get(source);
        let found = exchange
            .and_then(|exchange| exchange.outgoing.find(wanted))
            .cloned();
        if let Some(binding) = found {
            self.detach(&binding);
            removed.bindings.push(binding.spec.clone());
            self.remove_unused([source], &mut removed);
        }
        Ok(removed)
    }

    /// All bindings but those of the default exchange, by source.
    pub fn bindings(&self) -> impl Iterator<Item = &BindingSpec> {
        let exchanges = self
            .exchange_names
            .values()
            .filter_map(|&id| self.exchanges.get(id));
        exchanges.flat_map(|exchange| exchange.outgoing.iter().map(|binding| &binding.spec))
    }

    /// The bindings that lead on from an exchange, by destination.
    pub fn bindings_from(&self, exchange: &str) -> impl Iterator<Item = &BindingSpec> {
        let exchange = self.exchange_named(exchange).into_iter();
        exchange.flat_map(|exchange| exchange.outgoing.iter().map(|binding| &binding.spec))
    }

    /// The bindings that lead to a queue or an exchange, by source.
    pub fn bindings_to(&self, destination: &Destination) -> impl Iterator<Item = &BindingSpec> {
        let incoming = match destination {
            Destination::Queue(name) => self.queue_named(name).map(|queue| &queue.incoming),
            Destination::Exchange(name) => {
                self.exchange_named(name).map(|exchange| &exchange.incoming)
            }
        };
        let incoming = incoming.into_iter();
        incoming.flat_map(|incoming| incoming.iter().map(|binding| &binding.spec))
    }

    /// Takes a binding out of the places where its ends keep it.
    pub(super) fn detach(&mut self, binding: &Arc<Binding>) {
        if let Some(exchange) = self.exchanges.get_mut(binding.source) {
            let spec = &binding.spec;
            exchange.outgoing.remove(binding);
            exchange
                .matcher
                .remove(&spec.routing_key, &spec.arguments, binding.target);
        }
        if let Some(incoming) = self.incoming_mut(binding.target) {
            incoming.remove(binding);
        }
    }

    /// The same binding with the names that its ends have anyway: a hundred thousand bindings of
    /// one exchange hold its name once.
    fn with_shared_names(&self, spec: BindingSpec, source: u32, target: TargetId) -> BindingSpec {
        let exchange_name = |id| self.exchanges.get(id).map(|it| Arc::clone(&it.spec.name));
        let destination = match target {
            TargetId::Exchange(id) => exchange_name(id).map(Destination::Exchange),
            TargetId::Queue(id) => {
                let queue = self.queues.get(id);
                queue.map(|queue| Destination::Queue(Arc::clone(&queue.entry.spec.name)))
            }
        };
        BindingSpec {
            source: exchange_name(source).unwrap_or(spec.source),
            destination: destination.unwrap_or(spec.destination),
            ..spec
        }
    }

    fn incoming_mut(&mut self, target: TargetId) -> Option<&mut Incoming> {
        match target {
            TargetId::Queue(id) => self.queues.get_mut(id).map(|queue| &mut queue.incoming),
            TargetId::Exchange(id) => self
                .exchanges
                .get_mut(id)
                .map(|exchange| &mut exchange.incoming),
        }
    }

    /// The number of a destination, or 404.
    fn target_id(&self, destination: &Destination) -> Result<TargetId, BrokerError> {
        match destination {
            Destination::Queue(name) => self.queue_id(name).map(TargetId::Queue),
            Destination::Exchange(name) => self.exchange_id(name).map(TargetId::Exchange),
        }
    }
}

/// 403 if one of the ends is the default exchange.
fn check_ends(spec: &BindingSpec) -> Result<(), BrokerError> {
    if let Destination::Exchange(name) = &spec.destination {
        check_not_default(name)?;
    }
    check_not_default(&spec.source)
}

fn new_binding(spec: BindingSpec, source: u32, target: TargetId) -> Result<Binding, BrokerError> {
    Binding::new(spec, source, target)
        .map_err(|error| BrokerError::precondition(format!("invalid binding arguments: {error}")))
}

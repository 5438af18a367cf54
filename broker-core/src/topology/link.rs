//! Bindings as they are kept with their ends: ordered by what tells them apart.

use std::collections::BTreeMap;
use std::sync::Arc;

use amqp_codec::{EncodeError, FieldTable};

use super::{BindingSpec, Destination};
use crate::exchange::TargetId;

/// The bindings that lead on from an exchange.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    bindings: BTreeMap<LinkKey, Arc<Binding>>,
}

/// The bindings that lead to a queue or an exchange.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    bindings: BTreeMap<LinkKey, Arc<Binding>>,
    /// The exchanges they come from, each with the number of bindings.
    sources: BTreeMap<u32, usize>,
}

/// A binding and the numbers of its ends.
#[derive(Debug)]
pub(super) struct Binding {
    pub(super) spec: BindingSpec,
    pub(super) source: u32,
    pub(super) target: TargetId,
    arguments: ArgumentsKey,
}

/// A binding among those with the same end: the other end, the routing key, the arguments.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct LinkKey {
    other: Other,
    routing_key: Arc<str>,
    arguments: ArgumentsKey,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Other {
    Source(Arc<str>),
    Destination(Destination),
}

/// Arguments in the order of their names, as bytes: two bindings whose arguments differ in
/// nothing but order are one. Most bindings have none.
type ArgumentsKey = Option<Arc<[u8]>>;

impl Binding {
    /// Fails if the arguments could never have come over the wire.
    pub(super) fn new(
        spec: BindingSpec,
        source: u32,
        target: TargetId,
    ) -> Result<Binding, EncodeError> {
        let arguments = arguments_key(&spec.arguments)?;
        Ok(Binding {
            spec,
            source,
            target,
            arguments,
        })
    }

    fn from_source(&self) -> LinkKey {
        self.key(Other::Destination(self.spec.destination.clone()))
    }

    fn from_destination(&self) -> LinkKey {
        self.key(Other::Source(Arc::clone(&self.spec.source)))
    }

    fn key(&self, other: Other) -> LinkKey {
        LinkKey {
            other,
            routing_key: Arc::clone(&self.spec.routing_key),
            arguments: self.arguments.clone(),
        }
    }
}

impl Outgoing {
    pub(super) fn insert(&mut self, binding: &Arc<Binding>) {
        self.bindings
            .insert(binding.from_source(), Arc::clone(binding));
    }

    /// The binding that is here and equal to this one.
    pub(super) fn find(&self, binding: &Binding) -> Option<&Arc<Binding>> {
        self.bindings.get(&binding.from_source())
    }

    pub(super) fn remove(&mut self, binding: &Binding) {
        self.bindings.remove(&binding.from_source());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bindings.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Binding>> {
        self.bindings.values()
    }
}

impl Incoming {
    pub(super) fn insert(&mut self, binding: &Arc<Binding>) {
        if self
            .bindings
            .insert(binding.from_destination(), Arc::clone(binding))
            .is_none()
        {
            *self.sources.entry(binding.source).or_insert(0) += 1;
        }
    }

    pub(super) fn remove(&mut self, binding: &Binding) {
        if self.bindings.remove(&binding.from_destination()).is_some()
            && let Some(count) = self.sources.get_mut(&binding.source)
        {
            *count -= 1;
            if *count == 0 {
                self.sources.remove(&binding.source);
            }
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Binding>> {
        self.bindings.values()
    }

    /// The exchanges that bindings come from, each once.
    pub(super) fn sources(&self) -> impl Iterator<Item = u32> {
        self.sources.keys().copied()
    }
}

fn arguments_key(arguments: &FieldTable) -> Result<ArgumentsKey, EncodeError> {
    if arguments.is_empty() {
        return Ok(None);
    }
    let mut entries: Vec<_> = arguments.clone().into_iter().collect();
    // Stable: of two entries with one name the first counts, wherever it stood.
    entries.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut bytes = Vec::new();
    entries
        .into_iter()
        .collect::<FieldTable>()
        .encode(&mut bytes)?;
    Ok(Some(bytes.into()))
}

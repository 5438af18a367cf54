//! Bindings as they are kept with their ends: ordered by what tells them apart.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;

use amqp_codec::{EncodeError, FieldTable};

use super::BindingSpec;
use crate::exchange::{TargetId, Targets};

/// The bindings that lead on from an exchange, by destination.
#[derive(Debug, Default)]
pub(super) struct Outgoing(BTreeSet<AtSource>);

/// The bindings that lead to a queue or an exchange, by source.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    bindings: BTreeSet<AtDestination>,
    /// The exchanges that they come from.
    sources: Targets,
}

/// A binding and the numbers of its ends.
#[derive(Debug)]
pub(super) struct Binding {
    pub(super) spec: BindingSpec,
    pub(super) source: u32,
    pub(super) target: TargetId,
    arguments: ArgumentsKey,
}

/// Arguments in the order of their names, as bytes: two bindings whose arguments differ in
/// nothing but order are one. Most bindings have none.
type ArgumentsKey = Option<Box<[u8]>>;

/// A binding among those with the same source.
#[derive(Debug)]
struct AtSource(Arc<Binding>);

/// A binding among those with the same destination.
#[derive(Debug)]
struct AtDestination(Arc<Binding>);

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

    /// By all that is not an end.
    fn compare(&self, other: &Binding) -> Ordering {
        let by_key = self.spec.routing_key.cmp(&other.spec.routing_key);
        by_key.then_with(|| self.arguments.cmp(&other.arguments))
    }
}

impl Ord for AtSource {
    fn cmp(&self, other: &AtSource) -> Ordering {
        let (a, b) = (&self.0, &other.0);
        a.spec
            .destination
            .cmp(&b.spec.destination)
            .then_with(|| a.compare(b))
    }
}

impl Ord for AtDestination {
    fn cmp(&self, other: &AtDestination) -> Ordering {
        let (a, b) = (&self.0, &other.0);
        a.spec.source.cmp(&b.spec.source).then_with(|| a.compare(b))
    }
}

macro_rules! order_is_equality {
    ($($link:ty),+) => {
        $(
            impl PartialOrd for $link {
                fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                    Some(self.cmp(other))
                }
            }

            impl PartialEq for $link {
                fn eq(&self, other: &Self) -> bool {
                    self.cmp(other) == Ordering::Equal
                }
            }

            impl Eq for $link {}
        )+
    };
}

order_is_equality!(AtSource, AtDestination);

impl Outgoing {
    /// False if an equal one is there.
    pub(super) fn insert(&mut self, binding: &Arc<Binding>) -> bool {
        self.0.insert(AtSource(Arc::clone(binding)))
    }

    /// The binding that is here and equal to this one.
    pub(super) fn find(&self, binding: Binding) -> Option<&Arc<Binding>> {
        self.0.get(&AtSource(Arc::new(binding))).map(|link| &link.0)
    }

    pub(super) fn remove(&mut self, binding: &Arc<Binding>) {
        self.0.remove(&AtSource(Arc::clone(binding)));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Binding>> {
        self.0.iter().map(|link| &link.0)
    }
}

impl Incoming {
    pub(super) fn insert(&mut self, binding: &Arc<Binding>) {
        if self.bindings.insert(AtDestination(Arc::clone(binding))) {
            self.sources.add(TargetId::Exchange(binding.source));
        }
    }

    pub(super) fn remove(&mut self, binding: &Arc<Binding>) {
        if self.bindings.remove(&AtDestination(Arc::clone(binding))) {
            self.sources.remove(TargetId::Exchange(binding.source));
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Binding>> {
        self.bindings.iter().map(|link| &link.0)
    }

    /// Calls `found` for each exchange that bindings come from, once.
    pub(super) fn each_source(&self, mut found: impl FnMut(u32)) {
        self.sources.each(&mut |source| match source {
            TargetId::Exchange(id) => found(id),
            TargetId::Queue(_) => {}
        });
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

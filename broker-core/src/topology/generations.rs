//! Generations: a number per exchange that grows whenever a publish to it may go elsewhere.
//!
//! A change at one exchange is a change for every exchange from which messages can come to it,
//! over bindings or as an alternate. The walk visits each of them once; it costs what hangs
//! above the exchange, never the number of bindings.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Topology;
use crate::exchange::Seen;

/// The generation of an exchange, shared with those who remember routes.
#[derive(Debug, Default)]
pub(super) struct Generation(Arc<AtomicU64>);

impl Generation {
    pub(super) fn share(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.0)
    }

    fn bump(&self) {
        self.0.fetch_add(1, Ordering::Release);
    }
}

impl Topology {
    /// The number that grows when a publish to this exchange may go elsewhere than before. That
    /// of the default exchange never does: whether a queue is there says its handle.
    pub fn generation(&self, exchange: &str) -> Option<Arc<AtomicU64>> {
        self.exchange_named(exchange)
            .map(|exchange| exchange.generation.share())
    }

    /// An exchange of this name came or went.
    pub(super) fn alternate_changed(&self, name: &str) {
        let before = self.alternates.get(name);
        self.routes_changed(before.into_iter().flatten().copied());
    }

    /// What these exchanges do with messages changed.
    pub(super) fn routes_changed(&self, exchanges: impl IntoIterator<Item = u32>) {
        let mut seen = Seen::default();
        let mut waiting: Vec<u32> = exchanges.into_iter().collect();
        while let Some(id) = waiting.pop() {
            if !seen.insert(id) {
                continue;
            }
            let Some(exchange) = self.exchanges.get(id) else {
                continue;
            };
            exchange.generation.bump();
            exchange.incoming.each_source(|source| waiting.push(source));
            if let Some(before) = self.alternates.get(&exchange.spec.name) {
                waiting.extend(before);
            }
        }
    }
}

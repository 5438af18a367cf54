//! A channel's memory of where its publishes go.
//!
//! A route is what the topology answered for (exchange, routing key), together with the write
//! permission that was checked. It is valid while the exchange's generation (bumped by every
//! change of a binding it reaches) and the rights' generation stand, and none of its queues is
//! deleted. A publisher with one routing key compares two short strings per message.

use std::hash::Hasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustc_hash::FxHasher;
use smallvec::SmallVec;

use crate::queue::handle::QueueHandle;

/// Routes remembered per channel, at most.
pub const ROUTES_MAX: usize = 256;

/// One queue of a route.
#[derive(Debug)]
pub struct Target {
    /// The queue.
    pub queue: Arc<QueueHandle>,
    /// Its batch in the publish turn `turn`.
    pub batch: u32,
    /// The turn for which `batch` is right.
    pub turn: u64,
}

/// Where messages with one routing key, published to one exchange, go.
///
/// The names lie in the route itself, and the route on cache lines of its own: as little strings
/// of the heap they shared a line with whatever another thread was writing to, and comparing six
/// bytes was a quarter of all the time.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Route {
    /// Exchange, then routing key.
    names: SmallVec<[u8; 64]>,
    exchange_len: usize,
    generation: Arc<AtomicU64>,
    seen: u64,
    rights_seen: u64,
    /// The queues; may be empty (unroutable).
    pub targets: SmallVec<[Target; 1]>,
}

impl Route {
    /// A route found under the given generations, which must have been read before the topology.
    pub(super) fn new(
        (exchange, routing_key): (&str, &str),
        (generation, seen): (Arc<AtomicU64>, u64),
        rights_seen: u64,
        queues: impl IntoIterator<Item = Arc<QueueHandle>>,
    ) -> Route {
        let targets = queues
            .into_iter()
            .map(|queue| Target {
                queue,
                batch: 0,
                turn: 0,
            })
            .collect();
        Route {
            names: [exchange.as_bytes(), routing_key.as_bytes()]
                .concat()
                .into(),
            exchange_len: exchange.len(),
            generation,
            seen,
            rights_seen,
            targets,
        }
    }

    #[inline]
    fn is_for(&self, exchange: &[u8], routing_key: &[u8]) -> bool {
        let (own_exchange, own_key) = self.names.split_at(self.exchange_len);
        own_key == routing_key && own_exchange == exchange
    }

    /// Where it lies in a table of `size` slots.
    fn slot(exchange: &[u8], routing_key: &[u8], size: usize) -> usize {
        let mut hasher = FxHasher::default();
        hasher.write(exchange);
        hasher.write(routing_key);
        // The high bits of Fx are the mixed ones.
        (hasher.finish() >> 32) as usize & (size - 1)
    }

    fn own_slot(&self, size: usize) -> usize {
        let (exchange, routing_key) = self.names.split_at(self.exchange_len);
        Route::slot(exchange, routing_key, size)
    }

    #[inline]
    fn is_valid(&self, rights: u64) -> bool {
        self.generation.load(Ordering::Acquire) == self.seen
            && self.rights_seen == rights
            && self.targets.iter().all(|target| !target.queue.is_closed())
    }
}

/// The routes of one channel: a table that grows with the keys in use, up to [`ROUTES_MAX`].
#[derive(Debug, Default)]
pub(super) struct Routes {
    table: Vec<Option<Box<Route>>>,
    last: usize,
}

impl Routes {
    /// The remembered route, if it is still valid.
    #[inline]
    pub(super) fn find(
        &mut self,
        exchange: &[u8],
        routing_key: &[u8],
        rights: u64,
    ) -> Option<&mut Route> {
        let hit = |slot: &Option<Box<Route>>| {
            slot.as_ref()
                .is_some_and(|route| route.is_for(exchange, routing_key))
        };
        if !self.table.get(self.last).is_some_and(hit) {
            if self.table.is_empty() {
                return None;
            }
            let slot = Route::slot(exchange, routing_key, self.table.len());
            if !hit(&self.table[slot]) {
                return None;
            }
            self.last = slot;
        }
        self.table[self.last]
            .as_deref_mut()
            .filter(|route| route.is_valid(rights))
    }

    /// Remembers a route in place of whatever lay there.
    pub(super) fn insert(&mut self, route: Route) -> &mut Route {
        if self.table.is_empty() {
            self.table.push(None);
        }
        let mut slot = route.own_slot(self.table.len());
        let collides = self.table[slot].as_ref().is_some_and(|other| {
            (&other.names, other.exchange_len) != (&route.names, route.exchange_len)
        });
        if collides && self.table.len() < ROUTES_MAX {
            self.grow();
            slot = route.own_slot(self.table.len());
        }
        self.last = slot;
        self.table[slot].insert(Box::new(route))
    }

    fn grow(&mut self) {
        let size = (self.table.len() * 4).clamp(4, ROUTES_MAX);
        let old = std::mem::replace(&mut self.table, (0..size).map(|_| None).collect());
        for route in old.into_iter().flatten() {
            let slot = route.own_slot(size);
            self.table[slot] = Some(route);
        }
    }
}

//! From a message's exchange and keys to its queues: bindings, exchanges behind exchanges,
//! alternates.

use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use super::{DEFAULT_EXCHANGE, Exchange, Topology, alternate_of};
use crate::error::BrokerError;
use crate::exchange::{Seen, TargetId};
use crate::router::{RouteTargets, Routing};

impl Topology {
    /// Finds the queues that a message published to this exchange goes to, each once however many
    /// ways lead there. Every exchange is asked once, so circles end.
    pub fn route(
        &self,
        exchange: &str,
        routing: &Routing<'_>,
        targets: &mut RouteTargets,
    ) -> Result<(), BrokerError> {
        let mut walk = Walk {
            targets,
            queues: Seen::default(),
            exchanges: Seen::default(),
        };
        if exchange == DEFAULT_EXCHANGE {
            for &name in &routing.routing_keys {
                if let Some(&id) = self.queue_names.get(name) {
                    walk.reach(self, TargetId::Queue(id), &mut Waiting::new());
                }
            }
            return Ok(());
        }
        let mut waiting: Waiting = smallvec![self.exchange_id(exchange)?];
        while let Some(id) = waiting.pop() {
            if walk.exchanges.insert(id)
                && let Some(exchange) = self.exchanges.get(id)
            {
                walk.ask(self, exchange, routing, &mut waiting);
            }
        }
        Ok(())
    }
}

/// Exchanges still to be asked.
type Waiting = SmallVec<[u32; 8]>;

/// One message on its way.
struct Walk<'a> {
    targets: &'a mut RouteTargets,
    queues: Seen<u32>,
    exchanges: Seen<u32>,
}

impl Walk<'_> {
    /// Takes what an exchange's bindings lead to; if they lead nowhere, its alternate. Behind an
    /// alternate, the default exchange knows nobody, as in RabbitMQ.
    fn ask(
        &mut self,
        topology: &Topology,
        exchange: &Exchange,
        routing: &Routing<'_>,
        waiting: &mut Waiting,
    ) {
        self.targets.depends_on_headers |= exchange.matcher.looks_at_headers();
        let mut matched = false;
        exchange.matcher.find(routing, &mut |target| {
            matched |= self.reach(topology, target, waiting);
        });
        if !matched
            && let Some(name) = alternate_of(&exchange.spec)
            && let Some(&alternate) = topology.exchange_names.get(name)
        {
            waiting.push(alternate);
        }
    }

    /// False if the target is a queue that is being deleted: it counts as not there.
    #[inline]
    fn reach(&mut self, topology: &Topology, target: TargetId, waiting: &mut Waiting) -> bool {
        match target {
            TargetId::Exchange(id) => waiting.push(id),
            TargetId::Queue(id) => {
                let Some(queue) = topology.queues.get(id) else {
                    return false;
                };
                if queue.entry.handle.is_closed() {
                    return false;
                }
                if self.queues.insert(id) {
                    self.targets.queues.push(Arc::clone(&queue.entry.handle));
                }
            }
        }
        true
    }
}

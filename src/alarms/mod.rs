//! Memory and disk: when one runs low, connections that publish are blocked until there is enough
//! again. Consumers go on, so that there can be.
//!
//! Looks once a second. Also sees to it that memory of messages that are gone, or that went to
//! disk, returns to the system.

pub(crate) mod disk;
pub(crate) mod memory;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use broker_core::broker::{Alarm, Broker};
use broker_core::queue::handle::Budget;
use tracing::warn;

use crate::allocator;

const INTERVAL: Duration = Duration::from_secs(1);
/// Memory beside messages that grew by so much since it was last given back is looked at again.
const GIVE_BACK_BYTES: u64 = 16 << 20;

/// When to raise which alarm.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// More memory in use than this.
    pub(crate) memory: Option<u64>,
    /// Less free disk than this.
    pub(crate) disk: u64,
    /// On the disk of this directory.
    pub(crate) dir: PathBuf,
}

/// Raises and clears both alarms, for ever.
pub(crate) async fn watch(broker: Arc<Broker>, budget: Arc<Budget>, limits: Limits) {
    let mut ticks = tokio::time::interval(INTERVAL);
    let mut kept = beside(&budget);
    loop {
        ticks.tick().await;
        let now = beside(&budget);
        if now >= kept.saturating_add(GIVE_BACK_BYTES) {
            // It walks the heap: not on a thread that serves connections.
            let _ = tokio::task::spawn_blocking(allocator::give_back).await;
            kept = beside(&budget);
        }
        kept = kept.min(now);
        watch_memory(&broker, limits.memory).await;
        watch_disk(&broker, &limits);
    }
}

/// What the process holds beside messages: much of it when messages have gone.
fn beside(budget: &Budget) -> u64 {
    let messages = budget.resident() as u64;
    memory::resident().unwrap_or(0).saturating_sub(messages)
}

async fn watch_memory(broker: &Broker, watermark: Option<u64>) {
    let (Some(watermark), Some(mut used)) = (watermark, memory::resident()) else {
        return;
    };
    if used > watermark {
        let _ = tokio::task::spawn_blocking(allocator::give_back).await;
        used = memory::resident().unwrap_or(used);
    }
    let raised = used > watermark;
    if broker.set_alarm(Alarm::Memory, raised) {
        warn!(used, watermark, "memory alarm: {}", state(raised));
    }
}

fn watch_disk(broker: &Broker, limits: &Limits) {
    let Some(free) = disk::free(&limits.dir) else {
        return;
    };
    let raised = free < limits.disk;
    if broker.set_alarm(Alarm::Disk, raised) {
        let (limit, dir) = (limits.disk, limits.dir.display());
        warn!(free, limit, %dir, "disk alarm: {}", state(raised));
    }
}

fn state(raised: bool) -> &'static str {
    match raised {
        true => "publishers are blocked",
        false => "publishers go on",
    }
}

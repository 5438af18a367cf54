//! The memory alarm: above the watermark, connections that publish are blocked.
//!
//! Looks once a second at the memory the process holds. Consumers go on, so that it can become
//! less; the alarm ends when it has.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use broker_core::broker::{Alarm, Broker};
use tracing::warn;

const INTERVAL: Duration = Duration::from_secs(1);
/// Share of the memory there is that `auto` allows (RabbitMQ's default since 4.0).
const DEFAULT_PERCENT: u64 = 60;

/// The watermark to use: as configured, or a share of the memory this process may have.
pub(crate) fn watermark(configured: Option<u64>) -> Option<u64> {
    configured.or_else(|| available().map(|bytes| bytes / 100 * DEFAULT_PERCENT))
}

/// Bytes of memory the process holds now.
pub(crate) fn resident() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// The machine's memory, or the control group's limit if that is less.
fn available() -> Option<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let line = meminfo.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    let group = fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let limit = group
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(u64::MAX);
    Some(limit.min(kib * 1024))
}

/// Raises and clears the alarm, for ever.
pub(crate) async fn watch(broker: Arc<Broker>, watermark: u64) {
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        ticks.tick().await;
        let Some(used) = resident() else { continue };
        let raised = used > watermark;
        if broker.set_alarm(Alarm::Memory, raised) {
            let state = if raised {
                "publishers are blocked"
            } else {
                "publishers go on"
            };
            warn!(used, watermark, "memory alarm: {state}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configured_watermark_wins() {
        assert_eq!(watermark(Some(7)), Some(7));
    }

    #[test]
    fn the_default_is_below_what_there_is_and_above_what_a_test_needs() {
        let used = resident().expect("/proc is mounted");
        let default = watermark(None).expect("/proc is mounted");
        assert!(used < default, "{used} of {default}");
    }
}

//! The one place that reads time.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use broker_core::time::Timestamp;

/// Milliseconds since the epoch that never run backwards: the wall clock at start, and from then
/// on the monotonic one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    started: Instant,
    epoch_ms: u64,
}

impl Clock {
    /// A clock anchored to this moment.
    pub(crate) fn start() -> Clock {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Clock {
            started: Instant::now(),
            epoch_ms: u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// The time now.
    #[inline]
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(self.epoch_ms + self.started.elapsed().as_millis() as u64)
    }

    /// Milliseconds since the clock was started.
    pub(crate) fn uptime_ms(&self) -> u64 {
        self.started.elapsed().as_millis() as u64
    }

    /// The moment at which [`Self::now`] will have reached `at`.
    pub(crate) fn instant(&self, at: Timestamp) -> Instant {
        let ms = at.0.saturating_sub(self.epoch_ms);
        // A deadline beyond what an Instant can hold never comes.
        self.started
            .checked_add(std::time::Duration::from_millis(ms))
            .unwrap_or_else(|| self.started + std::time::Duration::from_secs(86_400 * 365))
    }
}

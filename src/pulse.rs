//! When a connection last heard and said something, and until when it has to do something.
//!
//! The connection's task writes times, the timer looks at them: no timer of its own per
//! connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use broker_core::inbox::{Event, Inbox};
use broker_core::time::Timestamp;

/// The life signs of one connection.
#[derive(Debug)]
pub(crate) struct Pulse {
    inbox: Arc<Inbox>,
    /// Heartbeat interval in milliseconds; 0 for none.
    interval_ms: AtomicU64,
    heard: AtomicU64,
    said: AtomicU64,
    /// The connection is dropped at this time; 0 for never.
    deadline: AtomicU64,
    suspended: AtomicBool,
    is_over: AtomicBool,
}

impl Pulse {
    /// Life signs of a connection that must be open at `deadline`.
    pub(crate) fn new(inbox: Arc<Inbox>, now: Timestamp, deadline: Timestamp) -> Arc<Pulse> {
        Arc::new(Pulse {
            inbox,
            interval_ms: AtomicU64::new(0),
            heard: AtomicU64::new(now.0),
            said: AtomicU64::new(now.0),
            deadline: AtomicU64::new(deadline.0),
            suspended: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        })
    }

    /// Something came from the peer.
    #[inline]
    pub(crate) fn heard(&self, now: Timestamp) {
        self.heard.store(now.0, Ordering::Relaxed);
    }

    /// Something was sent to it.
    #[inline]
    pub(crate) fn said(&self, now: Timestamp) {
        self.said.store(now.0, Ordering::Relaxed);
    }

    /// The connection is open: no deadline any more, heartbeats from now on. Gives when to look.
    pub(crate) fn open(&self, heartbeat_s: u16, now: Timestamp) -> Option<Timestamp> {
        self.deadline.store(0, Ordering::Relaxed);
        let interval = u64::from(heartbeat_s) * 1000;
        self.interval_ms.store(interval, Ordering::Relaxed);
        (interval > 0).then(|| now.plus_ms(interval / 2))
    }

    /// The connection has until `deadline` to end; no more heartbeats.
    pub(crate) fn close_by(&self, deadline: Timestamp) {
        self.interval_ms.store(0, Ordering::Relaxed);
        self.deadline.store(deadline.0, Ordering::Relaxed);
    }

    /// While the broker does not read, it cannot expect to hear anything.
    pub(crate) fn suspend(&self, suspended: bool, now: Timestamp) {
        if self.suspended.swap(suspended, Ordering::Relaxed) && !suspended {
            self.heard(now);
        }
    }

    /// Whether the connection is to be dropped.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// Called by the timer: asks for a heartbeat, or ends the connection. Gives when to look
    /// again.
    pub(crate) fn check(&self, now: Timestamp) -> Option<Timestamp> {
        let deadline = self.deadline.load(Ordering::Relaxed);
        let interval = self.interval_ms.load(Ordering::Relaxed);
        let silent_ms = now.since(Timestamp(self.heard.load(Ordering::Relaxed)));
        let deaf =
            interval > 0 && silent_ms > 2 * interval && !self.suspended.load(Ordering::Relaxed);
        if deaf || (deadline != 0 && now.0 >= deadline) {
            self.is_over.store(true, Ordering::Release);
            self.inbox.wake();
            return None;
        }
        if deadline != 0 {
            return Some(Timestamp(deadline));
        }
        if interval == 0 {
            return None;
        }
        let quiet_ms = now.since(Timestamp(self.said.load(Ordering::Relaxed)));
        if quiet_ms >= interval / 2 {
            self.inbox.send(Event::HeartbeatDue);
        }
        Some(now.plus_ms(interval / 2))
    }
}

#[cfg(test)]
mod tests {
    use broker_core::inbox::Mail;

    use super::*;

    fn pulse(deadline: u64) -> (Arc<Pulse>, Arc<Inbox>) {
        let inbox = Inbox::new();
        (
            Pulse::new(Arc::clone(&inbox), Timestamp(1_000), Timestamp(deadline)),
            inbox,
        )
    }

    #[test]
    fn a_handshake_has_until_its_deadline() {
        let (pulse, _) = pulse(11_000);
        assert_eq!(pulse.check(Timestamp(10_999)), Some(Timestamp(11_000)));
        assert!(!pulse.is_over());
        assert_eq!(pulse.check(Timestamp(11_000)), None);
        assert!(pulse.is_over());
    }

    #[test]
    fn a_heartbeat_is_due_after_half_an_interval_of_silence() {
        let (pulse, inbox) = pulse(11_000);
        let mut mail = Mail::default();
        assert_eq!(pulse.open(10, Timestamp(1_000)), Some(Timestamp(6_000)));
        pulse.said(Timestamp(3_000));
        assert_eq!(pulse.check(Timestamp(6_000)), Some(Timestamp(11_000)));
        assert!(
            !inbox.take(&mut mail, None),
            "something was said two seconds ago"
        );
        assert_eq!(pulse.check(Timestamp(11_000)), Some(Timestamp(16_000)));
        assert!(inbox.take(&mut mail, None));
    }

    #[test]
    fn a_silent_peer_is_dropped_after_two_intervals_unless_it_is_not_read() {
        let (pulse, _) = pulse(11_000);
        pulse.open(10, Timestamp(1_000));
        pulse.check(Timestamp(21_000));
        assert!(!pulse.is_over());
        pulse.suspend(true, Timestamp(21_000));
        pulse.check(Timestamp(31_000));
        assert!(!pulse.is_over());
        pulse.suspend(false, Timestamp(31_000));
        pulse.check(Timestamp(51_000));
        assert!(!pulse.is_over());
        pulse.check(Timestamp(51_001));
        assert!(pulse.is_over());
    }

    #[test]
    fn no_heartbeat_means_no_check() {
        let (pulse, _) = pulse(11_000);
        assert_eq!(pulse.open(0, Timestamp(1_000)), None);
        assert_eq!(pulse.check(Timestamp(1_000_000)), None);
        assert!(!pulse.is_over());
    }
}

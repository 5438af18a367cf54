//! The damage alarm: what was found wrong on disk since the process began, for as long as it runs.
//! Each find is logged when it comes. Decides nothing: what damage costs is up to whoever finds it.

use parking_lot::Mutex;
use tracing::error;

use super::finding::Finding;

/// So many finds are named; the rest is counted.
pub const FINDS_MAX: usize = 100;

/// Raised by the first find. It ends with the process: a start that finds nothing raises none.
#[derive(Debug, Default)]
pub struct DamageAlarm {
    found: Mutex<Found>,
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// The first of them, up to [`FINDS_MAX`].
    pub named: Vec<Finding>,
    /// All of them.
    pub count: u64,
}

impl DamageAlarm {
    /// Says what was found, once: logs it, and keeps it for whoever asks.
    pub fn raise(&self, find: Finding) {
        let Finding {
            path, offset, what, ..
        } = &find;
        let file = path.as_ref().map(|path| path.display());
        error!(
            file = file.map(tracing::field::display),
            offset, "damage: {what}"
        );
        let mut found = self.found.lock();
        found.count += 1;
        if found.named.len() < FINDS_MAX {
            found.named.push(find);
        }
    }

    /// Whether anything was found.
    pub fn is_raised(&self) -> bool {
        self.found.lock().count > 0
    }

    /// Everything that was found.
    pub fn found(&self) -> Found {
        self.found.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_finds_are_named_and_all_are_counted() {
        let alarm = DamageAlarm::default();
        assert!(!alarm.is_raised());
        for offset in 0..FINDS_MAX as u64 + 5 {
            alarm.raise(Finding::error("log", Some(offset), "broken"));
        }
        assert!(alarm.is_raised());
        let found = alarm.found();
        assert_eq!(found.count, FINDS_MAX as u64 + 5);
        assert_eq!(found.named.len(), FINDS_MAX);
        assert_eq!(found.named[3], Finding::error("log", Some(3), "broken"));
    }
}

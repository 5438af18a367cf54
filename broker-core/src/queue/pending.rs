//! Commands left for whoever holds a queue's lock. Bounded: beyond that, submitters wait.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::command::Command;
use crate::time::Timestamp;

/// So many commands may wait for the holder of the lock. Each comes from one turn of a connection,
/// so these are a few MiB of messages; with more, a submitter waits for the lock as its pacing.
const PENDING_MAX: usize = 32;

#[derive(Debug, Default)]
pub(super) struct Pending {
    commands: Mutex<Vec<(Timestamp, Command)>>,
    /// The length of `commands`, to be looked at without its lock.
    count: AtomicUsize,
}

impl Pending {
    /// Leaves a command, or gives it back when the list is full. The caller tries the queue's
    /// lock once more afterwards.
    pub(super) fn leave(&self, now: Timestamp, command: Command) -> Result<(), Command> {
        let mut commands = self.commands.lock();
        if commands.len() >= PENDING_MAX {
            return Err(command);
        }
        commands.push((now, command));
        self.count.store(commands.len(), Ordering::SeqCst);
        Ok(())
    }

    /// Leaves [`Command::Resume`] for the next holder, unless one waits already; never refused.
    pub(super) fn leave_resume(&self, now: Timestamp) {
        let mut commands = self.commands.lock();
        if !commands
            .iter()
            .any(|(_, command)| matches!(command, Command::Resume))
        {
            commands.push((now, Command::Resume));
            self.count.store(commands.len(), Ordering::SeqCst);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Ordering::SeqCst) == 0
    }

    /// All that was left, in order. Only the holder of the queue's lock calls this.
    pub(super) fn take(&self) -> Vec<(Timestamp, Command)> {
        if self.is_empty() {
            return Vec::new();
        }
        let mut commands = self.commands.lock();
        self.count.store(0, Ordering::SeqCst);
        std::mem::take(&mut *commands)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_come_out_in_order_and_only_once() {
        let pending = Pending::default();
        assert!(pending.is_empty());
        pending.leave(Timestamp(1), Command::Touch).unwrap();
        pending.leave(Timestamp(2), Command::Tick).unwrap();
        assert!(!pending.is_empty());
        let taken: Vec<_> = pending.take().into_iter().map(|(now, _)| now).collect();
        assert_eq!(taken, [Timestamp(1), Timestamp(2)]);
        assert!(pending.is_empty());
        assert!(pending.take().is_empty());
    }

    #[test]
    fn a_full_list_gives_the_command_back() {
        let pending = Pending::default();
        for _ in 0..PENDING_MAX {
            pending.leave(Timestamp(1), Command::Touch).unwrap();
        }
        assert!(matches!(
            pending.leave(Timestamp(1), Command::Tick),
            Err(Command::Tick)
        ));
        assert_eq!(pending.take().len(), PENDING_MAX);
        pending.leave(Timestamp(1), Command::Tick).unwrap();
    }
}

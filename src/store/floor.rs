//! The floor: up to where the entries of the log are no longer needed, and from when on that may
//! be relied on. Asks the owner; writes nothing.
//!
//! What the owner says is true because of changes it appended before it answered. So it counts
//! once all of those are durable: otherwise a crash could lose the change that names a message's
//! page, and the floor would have the entry with the message itself forgotten. While the log is at
//! its limit, nothing may be written that frees no space; what a higher floor waits for does.

use super::Lsn;
use super::core::Core;
use crate::defects::{Defect, is_planted};

/// What the owner said, and what it may be relied on with.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    floor: Lsn,
    /// The last record that had been appended when it had said so.
    behind: Lsn,
}

/// The floor of a running store.
#[derive(Debug)]
pub(super) struct Floor {
    known: Lsn,
    candidate: Option<Candidate>,
}

impl Floor {
    /// The floor a start found.
    pub(super) fn new(known: Lsn) -> Floor {
        Floor {
            known,
            candidate: None,
        }
    }

    /// The floor that can be relied on.
    pub(super) fn known(&self) -> Lsn {
        self.known
    }

    /// Asks the owner, unless an earlier answer still waits for its records. Returns the record
    /// that the answer waits for.
    pub(super) fn ask(&mut self, core: &Core) -> Lsn {
        self.settle(core.durable());
        if let Some(Candidate { behind, .. }) = self.candidate {
            return behind;
        }
        let Some(owner) = core.owner.lock().clone() else {
            return Lsn(0);
        };
        // What is appended while the owner answers may be beyond what it has looked at.
        let (before, _bytes) = core.appended();
        let floor = owner.floor().min(before);
        if floor <= self.known {
            return Lsn(0);
        }
        let behind = core.mark_freeing();
        self.candidate = Some(Candidate { floor, behind });
        self.settle(core.durable());
        behind
    }

    /// Takes over what the owner said, if all it relied on is durable.
    pub(super) fn settle(&mut self, durable: Lsn) {
        if let Some(Candidate { floor, .. }) = self
            .candidate
            .take_if(|c| c.behind <= durable || is_planted(Defect::FloorAtOnce))
        {
            self.known = self.known.max(floor);
        }
    }
}

//! Messages that are in the log and have no place in their queues yet: turns under way.
//!
//! A fan-out or a transaction is one record of the log, appended before its queues give the
//! messages their ordinals. Until all of them have, the log may not forget the record.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::defects::{Defect, is_planted};
use crate::host::Lsn;

#[derive(Debug, Default)]
struct State {
    /// Turns whose record is being appended: their LSN is not known.
    starting: usize,
    open: BTreeMap<u64, usize>,
}

/// The turns of a broker that are under way.
#[derive(Debug, Default)]
pub struct OpenTurns {
    state: Mutex<State>,
}

/// One of them; the last reference that goes closes it.
#[derive(Debug)]
pub struct OpenTurn {
    lsn: Lsn,
    turns: Arc<OpenTurns>,
}

/// What the turns under way need of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needed {
    /// Nothing.
    Nothing,
    /// This record and what comes after it.
    From(Lsn),
    /// It cannot be said at this moment.
    Unknown,
}

impl OpenTurns {
    /// Appends a turn; `append` gives its place in the log.
    pub fn begin(self: &Arc<Self>, append: impl FnOnce() -> Lsn) -> Arc<OpenTurn> {
        self.state.lock().starting += 1;
        let lsn = append();
        let mut state = self.state.lock();
        state.starting -= 1;
        if !is_planted(Defect::TurnOverTooSoon) {
            *state.open.entry(lsn.0).or_default() += 1;
        }
        let turns = Arc::clone(self);
        Arc::new(OpenTurn { lsn, turns })
    }

    /// What is needed. Whoever wants to forget the log up to its end asks for that end first,
    /// then for this, then the queues: what comes between is behind the end.
    pub fn needed(&self) -> Needed {
        let state = self.state.lock();
        match state.open.first_key_value() {
            _ if state.starting > 0 => Needed::Unknown,
            Some((&first, _)) => Needed::From(Lsn(first)),
            None => Needed::Nothing,
        }
    }
}

impl OpenTurn {
    /// Its place in the log.
    pub fn lsn(&self) -> Lsn {
        self.lsn
    }
}

impl Drop for OpenTurn {
    fn drop(&mut self) {
        let mut state = self.turns.state.lock();
        if let Some(count) = state.open.get_mut(&self.lsn.0) {
            *count -= 1;
            if *count == 0 {
                state.open.remove(&self.lsn.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_turn_under_way_is_needed_until_its_last_reference_goes() {
        let turns = Arc::new(OpenTurns::default());
        assert_eq!(turns.needed(), Needed::Nothing);
        let first = turns.begin(|| Lsn(7));
        let second = turns.begin(|| Lsn(9));
        let also_first = Arc::clone(&first);
        drop(first);
        assert_eq!(turns.needed(), Needed::From(Lsn(7)));
        drop(also_first);
        assert_eq!(turns.needed(), Needed::From(Lsn(9)));
        drop(second);
        assert_eq!(turns.needed(), Needed::Nothing);
    }

    #[test]
    fn a_turn_that_is_being_appended_makes_it_unknown() {
        let turns = Arc::new(OpenTurns::default());
        let open = turns.begin(|| {
            assert_eq!(turns.needed(), Needed::Unknown);
            Lsn(3)
        });
        assert_eq!(turns.needed(), Needed::From(open.lsn()));
    }
}

//! Where callgrind begins and ends to count.
//!
//! Owns the one function whose instructions, with all that it calls, are the measurement, and the
//! work that can be planted into it to prove that more of it is noticed.

use std::hint::black_box;

/// Runs `act` where its instructions are counted.
pub(crate) fn count<T>(act: impl FnOnce() -> T) -> Option<T> {
    let mut act = Some(act);
    let mut outcome = None;
    counted_by_callgrind(&mut || outcome = act.take().map(|act| act()));
    outcome
}

/// Work that nobody needs, counted like the rest.
pub(crate) fn plant(steps: u64) {
    counted_by_callgrind(&mut || {
        for step in 0..steps {
            black_box(step);
        }
    });
}

/// callgrind is told this name.
#[inline(never)]
fn counted_by_callgrind(act: &mut dyn FnMut()) {
    act();
    // Not the last thing it does: a jump out of here would end the counting.
    black_box(());
}

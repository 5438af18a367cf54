//! A durable queue with its log and its pages: random commands, a disk that is slow or fails, and
//! after each command a crash, whose start must find exactly what it should.

mod crash;
mod defects;
mod disk;
mod journal;
mod naive;
mod ops;
mod outcome;
mod run;
mod starts;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::queue::chunks::with_chunks_of;
use ops::{Op, Stage, op, stage};
use run::Run;

/// A crash is tried after every command, and its queue drained after every fourth.
fn carry_out(stage: Stage, steps: &[(Op, (usize, usize))]) {
    with_chunks_of(stage.chunk_bytes, || {
        let mut run = Run::new(stage);
        for (index, (op, picks)) in steps.iter().enumerate() {
            run.step(op);
            if !stage.is_durable {
                continue;
            }
            let left = run.disk.log().last() - run.durable;
            let end = run.durable + (picks.0 as u64 >> 8) % (left + 1);
            match index % 4 {
                3 => run.look_and_drain(end, *picks),
                _ => drop(run.look(end, *picks)),
            }
            run.look(run.disk.log().last(), *picks);
        }
        run.end();
    });
}

fn steps() -> impl Strategy<Value = Vec<(Op, (usize, usize))>> {
    vec((op(), any::<(usize, usize)>()), 1..50)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_start_finds_what_was_confirmed_and_not_settled(stage in stage(), steps in steps()) {
        carry_out(stage, &steps);
    }
}

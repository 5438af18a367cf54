//! A queue: messages in order, and the consumers they go to.

mod command;
mod dead_letter;
mod effects;
pub mod handle;
mod pending;
mod settings;
mod snapshot;

use std::any::Any;

pub use handle::*;

use crate::time::Timestamp;
use effects::Effects;

#[derive(Debug)]
pub(crate) struct Queue {
    identity: Identity,
    settings: Settings,
    now: Timestamp,
}

impl Queue {
    fn new(identity: Identity, settings: Settings) -> Queue {
        Queue { identity, settings, now: Timestamp(0) }
    }
    fn apply(&mut self, now: Timestamp, command: Command, effects: &mut Effects) {
        let _ = (now, command, effects, &self.identity, &self.settings);
    }
    fn publish(&mut self, now: Timestamp, batch: &mut Batch, effects: &mut Effects) {
        let _ = (now, batch, effects);
    }
    fn take_dead_letters(&mut self, _max: usize) -> Vec<DeadLetter> {
        Vec::new()
    }
    fn counts(&self) -> Counts {
        Counts::default()
    }
    fn snapshot(&self) -> Snapshot {
        unreachable!()
    }
    fn now(&self) -> Timestamp {
        self.now
    }
}

fn after_panic(_queue: &mut Queue, _panic: Box<dyn Any + Send>, effects: &mut Effects) {
    effects.failed = Some(String::new());
}

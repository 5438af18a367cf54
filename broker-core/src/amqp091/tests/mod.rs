//! Conversations with the machine in process: no socket, a log whose durability the test decides.

mod alarm;
mod backlog;
mod closing;
mod delivering;
mod gate;
mod limits;
mod pacing;
mod properties;
mod size;
mod straight;
pub(super) mod support;
mod turns;

//! Conversations with the machine in process: no socket, a log whose durability the test decides.

mod closing;
mod delivering;
mod gate;
mod limits;
mod support;

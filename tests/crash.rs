//! What survives a killed broker: everything that was answered, and nothing else.

mod support;

#[path = "crash/mod.rs"]
mod crash;

//! What is left of messages when the process, the power or the disk goes in the middle of the work.

mod support;

#[path = "durability/mod.rs"]
mod durability;

//! `leveret store` as an operator uses it: data directories checked, printed and copied.

mod support;

#[path = "store_commands/mod.rs"]
mod store_commands;

//! The broker as an operator sees it: options, files, signals, exit codes, alarms.

mod support;

#[path = "process/addresses.rs"]
mod addresses;
#[path = "process/alarm.rs"]
mod alarm;
#[path = "process/definitions.rs"]
mod definitions;
#[path = "process/files.rs"]
mod files;
#[path = "process/memory.rs"]
mod memory;
#[path = "process/options.rs"]
mod options;
#[path = "process/stage.rs"]
mod stage;
#[path = "process/stopping.rs"]
mod stopping;

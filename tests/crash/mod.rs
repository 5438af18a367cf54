//! Each test kills the broker's process and starts another one over the same data directory.

mod catalogue;
mod deletes;
mod directory;
mod durable;
mod moment;
mod node;
mod torn;
mod transient;

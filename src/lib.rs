//! Leveret: an AMQP 0-9-1 message broker that applications written for RabbitMQ use unchanged.
//!
//! The process around `broker_core`: sockets, log, management API, configuration, command line.
//! ARCHITECTURE.md has the map.

mod alarms;
mod allocator;
pub mod auth;
pub mod cli;
mod clock;
pub mod config;
pub mod defects;
mod log;
mod management;
pub mod messages;
mod node;
mod pulse;
mod serve;
mod server;
pub mod store;
mod timer;
mod version;

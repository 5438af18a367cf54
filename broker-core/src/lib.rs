//! What the broker decides: topology, routing, queues, permissions, the AMQP 0-9-1 machines.
//!
//! Nothing here does I/O, reads a clock or knows tokio: time is a parameter, durable changes and
//! timers go to a [`host::Host`], bytes come from and go to whoever owns the socket. Shared parts
//! (a queue, a connection's inbox, a vhost's topology) are plain machines behind short locks;
//! the lock order is queue → {inbox, journal, timer}, one queue at a time.
#![forbid(unsafe_code)]

pub mod access;
pub mod amqp091;
pub mod arguments;
pub mod broker;
pub mod credit;
mod dead_letters;
mod defects;
pub mod definition;
pub mod error;
pub mod exchange;
pub mod host;
pub mod inbox;
pub mod journal;
pub mod message;
pub mod queue;
pub mod recovery;
pub mod router;
mod spare;
pub mod time;
pub mod topology;
pub mod turns;
pub mod vhost;

pub use spare::keep_no_spares;

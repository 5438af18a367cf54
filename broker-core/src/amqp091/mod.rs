//! AMQP 0-9-1 as a machine without I/O: bytes and mail in, frames and queue commands out.
//!
//! [`connection::Connection`] belongs to one task of the process, which calls
//! `receive` with what the socket brought, `collect` until the inbox is empty, and writes what
//! lies in the [`output::Output`]. A published message goes `connection` (cut the frames) →
//! `publishing` (check, route, number) → `batches` (group by queue) → `queue::handle`; a delivery
//! comes back through the inbox → `delivering` (tag) → `encoding`.

mod assembler;
pub mod batches;
mod binding;
mod channel;
mod close;
mod confirms;
pub mod connection;
mod consuming;
mod contents;
mod declaring;
mod delivering;
pub mod direct_reply;
mod durable;
mod encoding;
mod framing;
mod gate;
mod handshake;
mod held;
mod mailing;
pub mod output;
mod publishing;
mod rights;
mod routes;
pub mod session;
mod settling;
mod shared_turn;
mod straight;
mod transaction;
mod turn;
mod unacked;

pub use gate::GATE_BYTES_MAX;
pub use routes::ROUTES_MAX;
pub use transaction::{TX_BYTES_MAX, TX_ENTRIES_MAX};

#[cfg(test)]
mod tests;

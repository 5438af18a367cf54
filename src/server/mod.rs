//! Sockets: accepts connections and drives one AMQP machine over each.
//!
//! Nothing here decides anything about AMQP; see `broker_core::amqp091`. Never imports the
//! management API.

mod driver;
mod listener;
mod pacing;
mod scratch;
mod transport;

pub(crate) use driver::Shared;
pub(crate) use listener::{Listeners, bind};
pub(crate) use pacing::PacingTick;

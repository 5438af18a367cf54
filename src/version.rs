//! Versions that are shown to others.

/// Leveret's own.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The version of RabbitMQ whose behaviour is the default here. Clients look at it to decide what
/// the broker can do.
pub(crate) const PRODUCT_VERSION: &str = "3.13.7";

//! The decisions of the broker.

//! What a durable queue does with its log and its pages, one fact after the other.

mod deaths;
mod failure;
mod gets;
mod logging;
mod memory;
mod paging;
mod reading;
mod releasing;
mod starts;
mod writing;

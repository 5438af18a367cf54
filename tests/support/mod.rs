//! What the integration tests share: the broker as a process, a frame-level AMQP client that is
//! driven by lines of text, and plain HTTP requests. No expectation about the broker lives here.

#![allow(dead_code, reason = "each test program uses its own part of this")]

pub(crate) mod broker;
pub(crate) mod build;
pub(crate) mod client;
pub(crate) mod compare;
pub(crate) mod grammar;
pub(crate) mod http;
pub(crate) mod method;
pub(crate) mod term;
pub(crate) mod value;

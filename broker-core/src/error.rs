//! Why the broker refuses something: each reason knows its reply code and RabbitMQ's text.
//!
//! The code decides the scope (channel or connection, [`amqp_codec::ReplyCode::scope`]); only
//! `amqp091` turns a reason into a close frame, which begins with the code's name.

use amqp_codec::ReplyCode;

/// A refusal that a client can read: a reply code and the text after `CODE_NAME - `.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} - {text}", code.name())]
pub struct BrokerError {
    /// The reply code; its scope is the channel or the connection.
    pub code: ReplyCode,
    /// RabbitMQ's words for it.
    pub text: String,
}

impl BrokerError {
    /// A refusal with any code and text.
    pub fn new(code: ReplyCode, text: impl Into<String>) -> Self {
        BrokerError {
            code,
            text: text.into(),
        }
    }

    /// 404 `no exchange 'x' in vhost 'v'`.
    pub fn no_exchange(name: &str, vhost: &str) -> Self {
        Self::new(
            ReplyCode::NotFound,
            format!("no exchange '{name}' in vhost '{vhost}'"),
        )
    }

    /// 404 `no queue 'q' in vhost 'v'`.
    pub fn no_queue(name: &str, vhost: &str) -> Self {
        Self::new(
            ReplyCode::NotFound,
            format!("no queue '{name}' in vhost '{vhost}'"),
        )
    }

    /// 406 with any text.
    pub fn precondition(text: impl Into<String>) -> Self {
        Self::new(ReplyCode::PreconditionFailed, text)
    }

    /// 403 with any text.
    pub fn access_refused(text: impl Into<String>) -> Self {
        Self::new(ReplyCode::AccessRefused, text)
    }

    /// 405: the queue is exclusive to another connection.
    pub fn locked(queue: &str, vhost: &str) -> Self {
        Self::new(
            ReplyCode::ResourceLocked,
            format!(
                "cannot obtain exclusive access to locked queue '{queue}' in vhost '{vhost}'. It \
                 could be originally declared on another connection or the exclusive property \
                 value does not match that of the original declaration."
            ),
        )
    }

    /// 403: another consumer has the queue, or it is asked for exclusively and has consumers.
    pub fn exclusive_use(queue: &str, vhost: &str) -> Self {
        Self::access_refused(format!(
            "queue '{queue}' in vhost '{vhost}' in exclusive use"
        ))
    }
}

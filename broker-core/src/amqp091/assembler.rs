//! Method + header + bodies → one message, for messages that did not come in one piece.
//!
//! A publish whose frames all lie in one read never passes here (see `connection::publish`). The
//! body's bytes are bounded by what its header announced, which is checked against
//! max_message_size before the first byte is kept; memory follows the bytes that came, never the
//! announcement.

use amqp_codec::{ContentHeader, ReplyCode, basic};
use bytes::Bytes;

use super::framing::{expected_body, expected_header};
use crate::error::BrokerError;
use crate::message::{Body, INLINE_BODY_MAX};

/// Room made at once for an announced body; more grows with what arrives.
const FIRST_BODY_BYTES: usize = 256 * 1024;

/// The fields of a basic.publish that matter.
#[derive(Clone, Copy, Debug)]
pub(super) struct PublishMethod<'a> {
    /// The exchange.
    pub exchange: &'a str,
    /// The routing key.
    pub routing_key: &'a str,
    /// Return it when it is unroutable.
    pub mandatory: bool,
    /// Refused: the broker does not implement it.
    pub immediate: bool,
}

impl<'a> From<&basic::Publish<'a>> for PublishMethod<'a> {
    fn from(method: &basic::Publish<'a>) -> Self {
        PublishMethod {
            exchange: method.exchange,
            routing_key: method.routing_key,
            mandatory: method.mandatory,
            immediate: method.immediate,
        }
    }
}

/// A whole publish.
#[derive(Debug)]
pub(super) struct Content<'a> {
    /// The method.
    pub method: PublishMethod<'a>,
    /// Property flags and values.
    pub properties: &'a [u8],
    /// The body.
    pub body: Body<'a>,
}

/// A publish of which some frames are still to come.
#[derive(Debug)]
pub(super) struct Assembling {
    exchange: Box<str>,
    routing_key: Box<str>,
    mandatory: bool,
    immediate: bool,
    header: Option<Announced>,
}

#[derive(Debug)]
struct Announced {
    properties: Box<[u8]>,
    body_size: usize,
    body: Vec<u8>,
}

impl Assembling {
    /// The method came, the header is next.
    pub(super) fn new(method: PublishMethod<'_>) -> Assembling {
        Assembling {
            exchange: method.exchange.into(),
            routing_key: method.routing_key.into(),
            mandatory: method.mandatory,
            immediate: method.immediate,
            header: None,
        }
    }

    /// A header frame came. True when the message is whole (it has no body).
    pub(super) fn header(&mut self, header: &ContentHeader<'_>) -> Result<bool, BrokerError> {
        if self.header.is_some() {
            return Err(expected_body());
        }
        let body_size = usize::try_from(header.body_size).unwrap_or(usize::MAX);
        self.header = Some(Announced {
            properties: header.properties.into(),
            body_size,
            body: Vec::with_capacity(body_size.min(FIRST_BODY_BYTES)),
        });
        Ok(body_size == 0)
    }

    /// A body frame came. True when the message is whole.
    pub(super) fn body(&mut self, payload: &[u8]) -> Result<bool, BrokerError> {
        let Some(announced) = &mut self.header else {
            return Err(expected_header());
        };
        let missing = announced.body_size - announced.body.len();
        if payload.len() > missing {
            return Err(BrokerError::new(
                ReplyCode::FrameError,
                "content body frame exceeds remaining content size",
            ));
        }
        announced.body.extend_from_slice(payload);
        Ok(payload.len() == missing)
    }

    /// What stands in the way of any other frame now.
    pub(super) fn interrupted(&self) -> BrokerError {
        if self.header.is_some() {
            expected_body()
        } else {
            expected_header()
        }
    }

    /// The whole message, given to `take`; none while the header has not come.
    pub(super) fn finish<T>(self, take: impl FnOnce(Content<'_>) -> T) -> Option<T> {
        let announced = self.header?;
        let method = PublishMethod {
            exchange: &self.exchange,
            routing_key: &self.routing_key,
            mandatory: self.mandatory,
            immediate: self.immediate,
        };
        let properties = &announced.properties;
        if announced.body.len() > INLINE_BODY_MAX {
            let body = Body::Shared(Bytes::from(announced.body));
            return Some(take(Content {
                method,
                properties,
                body,
            }));
        }
        Some(take(Content {
            method,
            properties,
            body: Body::Inline(&announced.body),
        }))
    }
}

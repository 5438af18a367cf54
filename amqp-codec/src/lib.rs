//! AMQP 0-9-1 with RabbitMQ's extensions, on the wire: bytes to frames, methods, field tables and
//! content properties, and back.
//!
//! The crate owns the byte layout and the numbers of the protocol. It never reads a socket, never
//! keeps state between two calls, and never decides what a peer may do.
//!
//! ```text
//!   socket bytes ──cut──▶ Frame ──┬─ Method::decode ──▶ basic::Publish, queue::Declare, …
//!                                 ├─ ContentHeader::parse ──▶ raw properties ──▶ Properties
//!                                 └─ body bytes
//! ```
//!
//! Decoding borrows from the input, except for field tables. No length field leads to an
//! allocation before the bytes it promises are there.

#![forbid(unsafe_code)]

mod error;
mod field_value;
mod frame;
mod method;
mod primitive;
mod properties;
mod reply_code;
mod short_string;
#[cfg(test)]
mod strategies;
mod table;

pub use error::{DecodeError, EncodeError};
pub use field_value::FieldValue;
pub use frame::{
    Cut, FRAME_END, FRAME_MIN_SIZE, FRAME_OVERHEAD, Frame, FrameError, FrameKind, PROTOCOL_HEADER,
    cut, put_body_frames, put_content, put_content_header, put_frame, put_heartbeat, put_method,
};
pub use method::{
    FieldKind, FieldSpec, METHODS, Method, MethodId, MethodSpec, PublishNames, access, basic,
    channel, confirm, connection, exchange, queue, spec, tx,
};
pub use properties::{
    BASIC_CLASS, ContentHeader, FLAG_APP_ID, FLAG_CLUSTER_ID, FLAG_CONTENT_ENCODING,
    FLAG_CONTENT_TYPE, FLAG_CORRELATION_ID, FLAG_DELIVERY_MODE, FLAG_EXPIRATION, FLAG_HEADERS,
    FLAG_MESSAGE_ID, FLAG_PRIORITY, FLAG_REPLY_TO, FLAG_TIMESTAMP, FLAG_TYPE, FLAG_USER_ID,
    Properties, RawEntry, RawTable, ReadableTable, check_properties, delivery_mode, property_flags,
    property_value, replace_property,
};
pub use reply_code::{ReplyCode, Scope};
pub use short_string::{SHORT_STRING_MAX, ShortString, clip};
pub use table::{FieldTable, MAX_DEPTH};

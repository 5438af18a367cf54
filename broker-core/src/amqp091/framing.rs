//! What RabbitMQ says of frames that are wrong or out of place.

use amqp_codec::{Frame, FrameError, ReplyCode};

use super::close::Failure;
use crate::error::BrokerError;

/// Bytes of a payload that a text shows.
const SHOWN: usize = 16;

/// A frame that cannot be cut; `input` begins with it.
pub(super) fn bad_frame(input: &[u8], error: FrameError) -> Failure {
    let kind = input.first().copied().unwrap_or_default();
    let payload = input.get(7..).unwrap_or_default();
    let size = match input.get(3..7) {
        Some(&[a, b, c, d]) => u32::from_be_bytes([a, b, c, d]) as usize,
        _ => 0,
    };
    let payload = &payload[..size.min(payload.len())];
    let text = match error {
        FrameError::TooLarge { payload: size, max } => {
            let max = max.saturating_sub(8);
            format!("type {kind}, all octets = <<>>: {{frame_too_large,{size},{max}}}")
        }
        FrameError::BadEnd(end) => {
            format!(
                "{}: {{invalid_frame_end_marker,{end}}}",
                octets(kind, payload)
            )
        }
        FrameError::UnknownKind(_) => format!("{}: unknown_frame", octets(kind, payload)),
    };
    Failure::frame(ReplyCode::FrameError, text)
}

/// A frame whose payload is too short or too long for its type.
pub(super) fn unknown_frame(frame: &Frame<'_>) -> Failure {
    let text = format!("{}: unknown_frame", octets(frame.kind as u8, frame.payload));
    Failure::frame(ReplyCode::FrameError, text)
}

/// A frame on a channel where its type has no business.
pub(super) fn misplaced(frame: &Frame<'_>) -> Failure {
    let text = octets(frame.kind as u8, frame.payload);
    Failure::frame(ReplyCode::UnexpectedFrame, text)
}

/// A content frame without a publish before it.
pub(super) fn expected_method() -> Failure {
    Failure::frame(
        ReplyCode::UnexpectedFrame,
        "expected method frame, got non method frame instead",
    )
}

/// Anything but a header after a publish.
pub(super) fn expected_header() -> BrokerError {
    BrokerError::new(
        ReplyCode::UnexpectedFrame,
        "expected content header for class 60, got non content header frame instead",
    )
}

/// A header of another class after a publish.
pub(super) fn expected_basic(class: u16) -> BrokerError {
    BrokerError::new(
        ReplyCode::UnexpectedFrame,
        format!("expected content header for class 60, got one for class {class} instead"),
    )
}

/// Anything but a body while there is some missing.
pub(super) fn expected_body() -> BrokerError {
    BrokerError::new(
        ReplyCode::UnexpectedFrame,
        "expected content body, got non content body frame instead",
    )
}

fn octets(kind: u8, payload: &[u8]) -> String {
    let which = if payload.len() > SHOWN {
        "first 16 octets"
    } else {
        "all octets"
    };
    let shown: Vec<String> = payload.iter().take(SHOWN).map(u8::to_string).collect();
    format!("type {kind}, {which} = <<{}>>", shown.join(","))
}

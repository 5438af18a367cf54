//! The codec as this client uses it: one way to write a method, one way to read a close.
//! Owns what every part says in the same words; the frames of the hot loops are prebuilt in
//! `block`, walked in `walk`, and acknowledgements are written here by hand. Touches no socket.

use amqp_codec::{
    EncodeError, FieldTable, FieldValue, FrameKind, Method, MethodId, ShortString, basic,
    connection, put_frame, put_method,
};

use super::error::PerfError;

/// Appends one method frame.
pub(super) fn put<'a>(
    out: &mut Vec<u8>,
    channel: u16,
    method: impl Into<Method<'a>>,
) -> Result<(), PerfError> {
    put_method(out, channel, &method.into()).map_err(PerfError::Encode)
}

/// Appends a basic.ack of everything up to `delivery_tag`.
pub(super) fn put_ack(out: &mut Vec<u8>, channel: u16, delivery_tag: u64) {
    const MULTIPLE: u8 = 1;
    let MethodId { class, method } = basic::Ack::ID;
    let mut payload = [0; 13];
    payload[..2].copy_from_slice(&class.to_be_bytes());
    payload[2..4].copy_from_slice(&method.to_be_bytes());
    payload[4..12].copy_from_slice(&delivery_tag.to_be_bytes());
    payload[12] = MULTIPLE;
    put_frame(out, FrameKind::Method, channel, &payload);
}

/// The connection.close of a client that is done.
pub(super) fn goodbye() -> connection::Close<'static> {
    connection::Close {
        reply_code: 200,
        reply_text: "done",
        class_id: 0,
        method_id: 0,
    }
}

/// The error that a connection.close or channel.close stands for; none for other methods.
pub(super) fn close_reason(method: &Method<'_>) -> Option<PerfError> {
    match method {
        Method::ConnectionClose(close) => {
            let text = close.reply_text.to_owned();
            Some(PerfError::ConnectionClosed {
                code: close.reply_code,
                text,
            })
        }
        Method::ChannelClose(close) => {
            let text = close.reply_text.to_owned();
            Some(PerfError::ChannelClosed {
                code: close.reply_code,
                text,
            })
        }
        _ => None,
    }
}

/// A method that has no business where it came.
pub(super) fn unexpected(method: &Method<'_>, place: &str) -> PerfError {
    PerfError::Protocol(format!("{} {place}", method.id()))
}

/// A table of a few entries.
pub(super) fn table<const N: usize>(
    entries: [(&str, FieldValue); N],
) -> Result<FieldTable, PerfError> {
    let mut table = FieldTable::new();
    for (name, value) in entries {
        table.insert(short(name)?, value);
    }
    Ok(table)
}

fn short(text: &str) -> Result<ShortString, PerfError> {
    ShortString::try_from(text).map_err(|error: EncodeError| PerfError::Encode(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handmade_ack_is_what_the_codec_would_write() {
        let (mut by_hand, mut by_codec) = (Vec::new(), Vec::new());
        put_ack(&mut by_hand, 7, 0x0102_0304_0506_0708);
        let ack = basic::Ack {
            delivery_tag: 0x0102_0304_0506_0708,
            multiple: true,
        };
        put(&mut by_codec, 7, ack).expect("an ack has an encoding");
        assert_eq!(by_hand, by_codec);
    }
}

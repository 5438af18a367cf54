//! The server of requests: sends each body back to where its reply-to says.
//! Owns reading whole messages with their properties; the counting consumers of a load read neither.

use std::time::Duration;

use amqp_codec::{
    ContentHeader, Cut, FRAME_OVERHEAD, FrameKind, Method, Properties, basic, cut, put_content,
};

use super::super::block::LOAD_CHANNEL;
use super::super::connection::Connection;
use super::super::error::PerfError;
use super::super::stop::Stop;
use super::super::wire::{close_reason, put, unexpected};

/// A message as it was delivered.
pub(super) struct Message {
    pub(super) correlation_id: Option<String>,
    pub(super) reply_to: Option<String>,
    pub(super) body: Vec<u8>,
}

/// Answers requests until the run is over.
pub(super) fn serve(connection: &mut Connection, stop: &Stop) -> Result<(), PerfError> {
    connection.wake_often(LOOK_INTERVAL)?;
    let mut replies = Vec::new();
    while !stop.is_over() {
        while let Some(request) = take_message(connection)? {
            reply(&mut replies, &request, connection.frame_max())?;
        }
        if !replies.is_empty() {
            connection.send(&replies)?;
            replies.clear();
        }
        connection.read_some()?;
    }
    Ok(())
}

fn reply(out: &mut Vec<u8>, request: &Message, frame_max: u32) -> Result<(), PerfError> {
    let Some(reply_to) = &request.reply_to else {
        return Err(PerfError::Protocol("a request without reply-to".to_owned()));
    };
    let publish = basic::Publish {
        routing_key: reply_to,
        ..Default::default()
    };
    let properties = Properties {
        correlation_id: request.correlation_id.as_deref(),
        ..Properties::default()
    };
    let mut raw = Vec::new();
    properties.encode(&mut raw).map_err(PerfError::Encode)?;
    put(out, LOAD_CHANNEL, publish)?;
    put_content(out, LOAD_CHANNEL, &raw, &request.body, frame_max);
    Ok(())
}

/// One message, reading once if there is none yet.
pub(super) fn next_message(connection: &mut Connection) -> Result<Option<Message>, PerfError> {
    if let Some(message) = take_message(connection)? {
        return Ok(Some(message));
    }
    connection.read_some()?;
    take_message(connection)
}

/// The next message, if all of it has been read.
fn take_message(connection: &mut Connection) -> Result<Option<Message>, PerfError> {
    let payload_max = connection.frame_max() - FRAME_OVERHEAD as u32;
    let (_, inbound) = connection.parts();
    let parsed = parse(inbound.unread(), payload_max)?;
    Ok(parsed.map(|(message, used)| {
        inbound.consume(used);
        message
    }))
}

/// The message that `bytes` begin with, and its length; none while frames are missing.
fn parse(bytes: &[u8], payload_max: u32) -> Result<Option<(Message, usize)>, PerfError> {
    let mut at = 0;
    let mut message: Option<(Message, u64)> = None;
    loop {
        if let Some((whole, 0)) = message.take_if(|(_, missing)| *missing == 0) {
            return Ok(Some((whole, at)));
        }
        let rest = &bytes[at..];
        let cut = cut(rest, payload_max).map_err(|e| PerfError::Protocol(e.to_string()))?;
        let Cut::Frame { frame, len } = cut else {
            return Ok(None);
        };
        at += len;
        match (frame.kind, &mut message) {
            (FrameKind::Method, None) => expect_delivery(frame.payload)?,
            (FrameKind::Header, None) => message = Some(begin(frame.payload)?),
            (FrameKind::Body, Some((message, missing))) => {
                message.body.extend_from_slice(frame.payload);
                *missing = missing.saturating_sub(frame.payload.len() as u64);
            }
            (FrameKind::Heartbeat, _) => {}
            _ => return Err(PerfError::Protocol("a frame out of place".to_owned())),
        }
    }
}

fn expect_delivery(payload: &[u8]) -> Result<(), PerfError> {
    match Method::decode(payload).map_err(PerfError::malformed)? {
        Method::BasicDeliver(_) | Method::ConnectionBlocked(_) | Method::ConnectionUnblocked(_) => {
            Ok(())
        }
        other => {
            Err(close_reason(&other).unwrap_or_else(|| unexpected(&other, "in place of a message")))
        }
    }
}

/// A message of which the header is there, and how much of its body is missing.
fn begin(payload: &[u8]) -> Result<(Message, u64), PerfError> {
    let header = ContentHeader::parse(payload).map_err(PerfError::malformed)?;
    let properties = Properties::parse(header.properties).map_err(PerfError::malformed)?;
    let message = Message {
        correlation_id: properties.correlation_id.map(str::to_owned),
        reply_to: properties.reply_to.map(str::to_owned),
        body: Vec::new(),
    };
    Ok((message, header.body_size))
}

/// How often a waiting server looks whether the run is over.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let deliver = basic::Deliver {
            delivery_tag: 1,
            ..Default::default()
        };
        put(&mut bytes, LOAD_CHANNEL, deliver).expect("it has an encoding");
        let mut raw = Vec::new();
        let properties = Properties {
            correlation_id: Some("7"),
            reply_to: Some("to"),
            ..Properties::default()
        };
        properties.encode(&mut raw).expect("short");
        put_content(&mut bytes, LOAD_CHANNEL, &raw, body, 4096);
        bytes
    }

    #[test]
    fn a_message_is_there_with_its_last_octet() {
        for body in [&b""[..], b"abc", &[b'x'; 9000]] {
            let bytes = delivery(body);
            for end in [0, 5, bytes.len() / 2, bytes.len() - 1] {
                assert!(parse(&bytes[..end], 4088).expect("valid").is_none());
            }
            let more = [&bytes[..], b"\x01"].concat();
            let (message, used) = parse(&more, 4088).expect("valid").expect("whole");
            assert_eq!((used, &message.body[..]), (bytes.len(), body));
            assert_eq!(message.correlation_id.as_deref(), Some("7"));
            assert_eq!(message.reply_to.as_deref(), Some("to"));
        }
    }

    #[test]
    fn a_reply_goes_where_the_request_says_and_one_that_cannot_is_an_error() {
        let (request, _) = parse(&delivery(b"abc"), 4088)
            .expect("valid")
            .expect("whole");
        let mut out = Vec::new();
        reply(&mut out, &request, 4096).expect("it has an encoding");
        let Cut::Frame { frame, .. } = cut(&out, 4088).expect("valid") else {
            panic!("no frame");
        };
        let publish = basic::Publish::decode_args(&frame.payload[4..]).expect("well-formed");
        assert_eq!((publish.exchange, publish.routing_key), ("", "to"));
        let lost = Message {
            reply_to: None,
            ..request
        };
        assert!(reply(&mut out, &lost, 4096).is_err());
    }
}

//! Content frames: the header and bodies of a publish, one by one or in one piece.

use amqp_codec::{
    BASIC_CLASS, ContentHeader, Cut, Frame, FrameKind, MethodId, ReplyCode, basic, cut,
};

use super::channel::Channel;
use super::close::Failure;
use super::connection::{Connection, Io, State};
use super::turn::Turn;
use crate::broker::BODY_SIZE_MAX;
use crate::error::BrokerError;
use crate::message::INLINE_BODY_MAX;
use crate::time::Timestamp;

impl Connection {
    /// A content header of a message that came in pieces.
    pub(super) fn header(
        &mut self,
        frame: Frame<'_>,
        now: Timestamp,
        io: &mut Io<'_>,
    ) -> Result<(), Failure> {
        let Some(channel) = self.receiving(frame.channel, "content header")? else {
            return Ok(());
        };
        let header = ContentHeader::parse(frame.payload).map_err(|error| bad_header(&error))?;
        let Some(assembling) = &mut channel.assembling else {
            return Err(unexpected_frame("content header"));
        };
        if header.class_id != BASIC_CLASS {
            return Err(Failure::frame(
                ReplyCode::UnexpectedFrame,
                format!(
                    "expected content header for class {BASIC_CLASS}, got one for class {} instead",
                    header.class_id
                ),
            ));
        }
        let is_whole = assembling
            .header(&header)
            .map_err(|e| Failure::method(e, NO_METHOD))?;
        if let Err(failure) = self.check_size(header.body_size) {
            if let Some(channel) = self.channels.get_mut(&frame.channel) {
                channel.assembling = None;
            }
            return Err(failure);
        }
        if is_whole {
            self.assembled(frame.channel, now, io)
        } else {
            Ok(())
        }
    }

    fn check_size(&self, body_size: u64) -> Result<(), Failure> {
        let limits = self.broker.limits();
        if body_size > BODY_SIZE_MAX {
            return Err(Failure::frame(
                ReplyCode::FrameError,
                format!("content body size {body_size} exceeds maximum allowed size"),
            ));
        }
        if body_size > u64::from(limits.max_message_size) {
            let error = BrokerError::precondition(format!(
                "message size {body_size} is larger than configured max size {}",
                limits.max_message_size
            ));
            return Err(Failure::method(error, basic::Publish::ID));
        }
        Ok(())
    }

    pub(super) fn body(
        &mut self,
        frame: Frame<'_>,
        now: Timestamp,
        io: &mut Io<'_>,
    ) -> Result<(), Failure> {
        let Some(channel) = self.receiving(frame.channel, "content body")? else {
            return Ok(());
        };
        let Some(assembling) = &mut channel.assembling else {
            return Err(unexpected_frame("content body"));
        };
        let is_whole = assembling
            .body(frame.payload)
            .map_err(|e| Failure::method(e, NO_METHOD))?;
        if is_whole {
            self.assembled(frame.channel, now, io)
        } else {
            Ok(())
        }
    }

    /// The channel that a content frame is for; none if the frame is to be ignored.
    fn receiving(&mut self, number: u16, what: &str) -> Result<Option<&mut Box<Channel>>, Failure> {
        match self.state {
            State::Open => {}
            State::Closing | State::Closed => return Ok(None),
            _ => return Err(unexpected_frame(what)),
        }
        if number == 0 {
            return Err(unexpected_frame(what));
        }
        match self.channels.get_mut(&number) {
            None => Err(Failure::frame(
                ReplyCode::ChannelError,
                "expected 'channel.open'",
            )),
            Some(channel) if channel.is_closing => Ok(None),
            Some(channel) => Ok(Some(channel)),
        }
    }

    fn assembled(&mut self, number: u16, now: Timestamp, io: &mut Io<'_>) -> Result<(), Failure> {
        let Some(session) = &self.session else {
            return Ok(());
        };
        let Some(channel) = self.channels.get_mut(&number) else {
            return Ok(());
        };
        let Some(assembling) = channel.assembling.take() else {
            return Ok(());
        };
        let mut turn = Turn {
            now,
            out: io.out,
            batches: io.batches,
            session,
        };
        let published = assembling.finish(|content| channel.publish(content, &mut turn));
        published
            .unwrap_or(Ok(()))
            .map_err(|error| Failure::method(error, basic::Publish::ID))
    }
}

const NO_METHOD: MethodId = MethodId {
    class: 0,
    method: 0,
};

/// Header and body of a publish, if they lie whole at the beginning of `rest` and the body needs
/// at most one frame; and the bytes they take. Anything unusual is left to the frame-wise path,
/// which knows the errors.
#[inline]
pub(super) fn whole_content(channel: u16, rest: &[u8]) -> Option<(&[u8], &[u8], usize)> {
    let Ok(Cut::Frame { frame, len }) = cut(rest, INLINE_BODY_MAX as u32) else {
        return None;
    };
    if frame.kind != FrameKind::Header || frame.channel != channel {
        return None;
    }
    let header = ContentHeader::parse(frame.payload).ok()?;
    if header.class_id != BASIC_CLASS {
        return None;
    }
    if header.body_size == 0 {
        return Some((header.properties, &[], len));
    }
    let Ok(Cut::Frame {
        frame: body,
        len: body_len,
    }) = cut(&rest[len..], INLINE_BODY_MAX as u32)
    else {
        return None;
    };
    let is_whole = body.kind == FrameKind::Body
        && body.channel == channel
        && body.payload.len() as u64 == header.body_size;
    is_whole.then_some((header.properties, body.payload, len + body_len))
}

/// A content header that cannot be read.
fn bad_header(error: &amqp_codec::DecodeError) -> Failure {
    match error {
        amqp_codec::DecodeError::ContentWeight(_) => Failure::frame(
            ReplyCode::UnexpectedFrame,
            "expected content header for class 60, got non content header frame instead",
        ),
        _ => Failure::frame(ReplyCode::FrameError, error.to_string()),
    }
}

fn unexpected_frame(what: &str) -> Failure {
    Failure::frame(
        ReplyCode::UnexpectedFrame,
        format!("expected method frame, got {what} frame instead"),
    )
}

//! Content frames: the header and bodies of a publish, one by one or in one piece.

use amqp_codec::{BASIC_CLASS, ContentHeader, Cut, Frame, FrameKind, ReplyCode, basic, cut};

use super::channel::Channel;
use super::close::Failure;
use super::connection::{Connection, Io, State};
use super::framing::{expected_basic, expected_header, expected_method, misplaced, unknown_frame};
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
        let max_message_size = self.broker.limits().max_message_size;
        if frame.payload.len() < HEADER_MIN {
            return Err(unknown_frame(&frame));
        }
        let Some(channel) = self.receiving(&frame)? else {
            return Ok(());
        };
        let Some(assembling) = &mut channel.assembling else {
            return Err(expected_method());
        };
        let header = ContentHeader::parse(frame.payload).map_err(|error| bad_header(&error))?;
        if header.class_id != BASIC_CLASS {
            return Err(of_publish(expected_basic(header.class_id)));
        }
        if let Err(error) = check_size(header.body_size, max_message_size) {
            channel.assembling = None;
            return Err(of_publish(error));
        }
        if assembling.header(&header).map_err(of_publish)? {
            self.assembled(frame.channel, now, io)
        } else {
            Ok(())
        }
    }

    /// A part of a body.
    pub(super) fn body(
        &mut self,
        frame: Frame<'_>,
        now: Timestamp,
        io: &mut Io<'_>,
    ) -> Result<(), Failure> {
        let Some(channel) = self.receiving(&frame)? else {
            return Ok(());
        };
        let Some(assembling) = &mut channel.assembling else {
            return Err(expected_method());
        };
        if assembling.body(frame.payload).map_err(of_publish)? {
            self.assembled(frame.channel, now, io)
        } else {
            Ok(())
        }
    }

    /// The channel that a content frame is for; none if the frame is to be ignored.
    fn receiving(&mut self, frame: &Frame<'_>) -> Result<Option<&mut Box<Channel>>, Failure> {
        match self.state {
            State::Open if frame.channel != 0 => {}
            State::Closing | State::Closed => return Ok(None),
            _ => return Err(misplaced(frame)),
        }
        match self.channels.get_mut(&frame.channel) {
            None => Err(expected_method()),
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

/// Bytes of a content header without any property.
const HEADER_MIN: usize = 12;

fn check_size(body_size: u64, max: u32) -> Result<(), BrokerError> {
    if body_size > BODY_SIZE_MAX {
        return Err(BrokerError::new(
            ReplyCode::FrameError,
            format!("content body size {body_size} exceeds maximum allowed size {BODY_SIZE_MAX}"),
        ));
    }
    if body_size > u64::from(max) {
        return Err(BrokerError::precondition(format!(
            "message size {body_size} is larger than configured max size {max}"
        )));
    }
    Ok(())
}

fn of_publish(error: BrokerError) -> Failure {
    Failure::method(error, basic::Publish::ID)
}

/// Header and body of a publish, if they lie whole at the beginning of `rest` and the body needs
/// at most one frame; and the bytes they take. Anything unusual is left to the frame-wise path,
/// which knows the errors.
#[inline]
pub(super) fn whole_content(
    channel: u16,
    rest: &[u8],
    size_max: u32,
) -> Option<(&[u8], &[u8], usize)> {
    let Ok(Cut::Frame { frame, len }) = cut(rest, INLINE_BODY_MAX as u32) else {
        return None;
    };
    if frame.kind != FrameKind::Header || frame.channel != channel {
        return None;
    }
    let header = ContentHeader::parse(frame.payload).ok()?;
    if header.class_id != BASIC_CLASS || header.body_size > u64::from(size_max) {
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
        amqp_codec::DecodeError::ContentWeight(_) => of_publish(expected_header()),
        _ => of_publish(BrokerError::new(ReplyCode::FrameError, error.to_string())),
    }
}

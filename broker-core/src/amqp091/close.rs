//! From a failure to a close frame: the one place where channel.close and connection.close for
//! errors are made.

use amqp_codec::{
    DecodeError, EncodeError, MethodId, ReplyCode, SHORT_STRING_MAX, Scope, channel, connection,
};

use super::connection::{Connection, Ending, Io, State};
use super::session::Phase;
use super::turn::Turn;
use crate::error::BrokerError;
use crate::time::Timestamp;

/// An error and the method it belongs to (0,0 for none).
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: BrokerError,
    pub(super) method: MethodId,
}

const NO_METHOD: MethodId = MethodId {
    class: 0,
    method: 0,
};

impl Failure {
    /// A failure of this method.
    pub(super) fn method(error: BrokerError, method: MethodId) -> Failure {
        Failure { error, method }
    }

    /// A failure outside any method.
    pub(super) fn frame(code: ReplyCode, text: impl Into<String>) -> Failure {
        Failure {
            error: BrokerError::new(code, text),
            method: NO_METHOD,
        }
    }

    /// A reply of ours that could not be encoded.
    pub(super) fn internal(error: &EncodeError) -> Failure {
        Failure::frame(ReplyCode::InternalError, error.to_string())
    }
}

impl From<BrokerError> for Failure {
    fn from(error: BrokerError) -> Failure {
        Failure {
            error,
            method: NO_METHOD,
        }
    }
}

/// A payload that is no method: what RabbitMQ calls each kind.
pub(super) fn undecodable(error: &DecodeError, payload: &[u8]) -> Failure {
    match error {
        DecodeError::UnknownMethod(id) => Failure::method(
            BrokerError::new(ReplyCode::CommandInvalid, "unimplemented method"),
            *id,
        ),
        DecodeError::Utf8 => Failure::frame(ReplyCode::FrameError, "Malformed UTF-8 in shortstr"),
        _ => {
            let method = match payload {
                [a, b, c, d, ..] => MethodId {
                    class: u16::from_be_bytes([*a, *b]),
                    method: u16::from_be_bytes([*c, *d]),
                },
                _ => NO_METHOD,
            };
            let arguments = payload.get(4..).unwrap_or_default();
            let text = format!("cannot decode {}", binary(arguments));
            Failure::method(BrokerError::new(ReplyCode::FrameError, text), method)
        }
    }
}

/// A text that fits into a short string; a longer one is cut and says so, as in RabbitMQ.
fn reply_text(text: String) -> String {
    const MARK: &str = "...";
    if text.len() <= SHORT_STRING_MAX {
        return text;
    }
    let mut end = SHORT_STRING_MAX - MARK.len();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{MARK}", &text[..end])
}

/// Bytes as RabbitMQ's texts show them, as far as a reply text reaches.
fn binary(bytes: &[u8]) -> String {
    let shown: Vec<String> = bytes.iter().take(64).map(u8::to_string).collect();
    let more = if bytes.len() > 64 { ",..." } else { "" };
    format!("<<{}{more}>>", shown.join(","))
}

impl Connection {
    /// Ends the channel or the connection, as the error's code says.
    pub(super) fn fail(&mut self, channel: u16, failure: Failure, now: Timestamp, io: &mut Io<'_>) {
        let scope = failure.error.code.scope();
        if scope == Scope::Channel && channel != 0 && self.channels.contains_key(&channel) {
            self.fail_channel(channel, failure, now, io);
        } else {
            self.fail_connection(failure, now, io);
        }
    }

    fn fail_channel(&mut self, number: u16, failure: Failure, now: Timestamp, io: &mut Io<'_>) {
        let text = failure.error.to_string();
        self.remark = Some(format!("channel {number} closed: {text}"));
        let Some(session) = self.session.clone() else {
            return;
        };
        let Some(channel) = self.channels.get_mut(&number) else {
            return;
        };
        let mut turn = Turn {
            now,
            out: io.out,
            batches: io.batches,
            session: &session,
        };
        let departed = channel.end(&mut turn);
        let close = channel::Close {
            reply_code: failure.error.code.code(),
            reply_text: &reply_text(text),
            class_id: failure.method.class,
            method_id: failure.method.method,
        };
        let sent = channel.reply(&mut turn, close);
        session.channels.lock().remove(&number);
        self.departed.extend(departed);
        if let Err(error) = sent {
            self.fail_connection(
                Failure {
                    error,
                    method: NO_METHOD,
                },
                now,
                io,
            );
        }
    }

    /// Ends the connection with a close frame, and waits for the client's close-ok.
    pub(super) fn fail_connection(&mut self, failure: Failure, now: Timestamp, io: &mut Io<'_>) {
        if matches!(self.state, State::Closing | State::Closed) {
            return;
        }
        let text = failure.error.to_string();
        self.remark = Some(format!("connection closed: {text}"));
        self.end_session(now, io);
        let close = connection::Close {
            reply_code: failure.error.code.code(),
            reply_text: &reply_text(text),
            class_id: failure.method.class,
            method_id: failure.method.method,
        };
        self.ending = Some(match io.out.method(0, close) {
            Ok(()) => Ending::PeerFirst,
            Err(_) => Ending::Now,
        });
        self.state = State::Closing;
    }

    /// Lets go of everything the connection holds: deliveries back to their queues, consumers
    /// cancelled, exclusive queues deleted. Nothing more is delivered to it.
    pub(super) fn end_session(&mut self, now: Timestamp, io: &mut Io<'_>) {
        let Some(session) = self.session.take() else {
            return;
        };
        session.set_phase(Phase::Closing);
        io.batches.hand_over(self.broker.host(), now);
        for channel in self.channels.values_mut() {
            let mut turn = Turn {
                now,
                out: io.out,
                batches: io.batches,
                session: &session,
            };
            let departed = channel.end(&mut turn);
            self.departed.extend(departed);
        }
        io.batches.hand_over(self.broker.host(), now);
        let mail = self.inbox.close();
        self.return_mail(mail, now);
        self.channels.clear();
        self.gated.clear();
        session.vhost.connection_ended(session.id, now);
        session.broker.connection_closed(&session);
        self.departed.clear();
    }
}

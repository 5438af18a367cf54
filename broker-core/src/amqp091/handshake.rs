//! From the first byte to connection.open: header, start, tune, open.

use std::sync::Arc;
use std::sync::atomic::AtomicU8;

use amqp_codec::{FieldTable, FieldValue, Method, PROTOCOL_HEADER, ReplyCode, connection};

use super::close::Failure;
use super::connection::{Connection, Ending, Io, State, unexpected_in};
use super::session::{Capabilities, Session, Traffic, Tuning};
use crate::access::User;
use crate::error::BrokerError;
use crate::time::Timestamp;

/// The lowest frame_max a client may ask for (spec 4.2.3; newer RabbitMQs want 8192, which shuts
/// old clients out).
pub(super) const FRAME_MAX_MIN: u32 = 4096;

/// AMQP 0-9, which differs in nothing that clients of it use.
const HEADER_0_9: [u8; 8] = *b"AMQP\x01\x01\x00\x09";

/// What the handshake has learnt so far.
#[derive(Debug, Default)]
pub(super) struct Handshake {
    pub(super) capabilities: Capabilities,
    client_properties: Box<[u8]>,
    mechanism: &'static str,
    user: Option<Arc<User>>,
    tuning: Option<Tuning>,
}

/// Why a login did not succeed, beyond "wrong name or password".
enum Login {
    User(Arc<User>),
    Refused,
}

impl Connection {
    /// Looks at the first eight bytes. Gives how many were used.
    pub(super) fn read_header(&mut self, input: &[u8], io: &mut Io<'_>) -> usize {
        let known = input.len().min(8);
        let expected = |header: &[u8; 8]| input[..known] == header[..known];
        if !expected(&PROTOCOL_HEADER) && !expected(&HEADER_0_9) {
            return self.refuse_header(input, io);
        }
        if input.len() < 8 {
            return 0;
        }
        let properties = self.broker.server_properties();
        let start = connection::Start {
            version_major: 0,
            version_minor: 9,
            server_properties: properties,
            mechanisms: b"PLAIN AMQPLAIN",
            locales: b"en_US",
        };
        if io.out.method(0, start).is_err() {
            self.ending = Some(Ending::Now);
        }
        self.state = State::Starting;
        8
    }

    /// Another protocol: answer with the header that is spoken here, and close (spec 2.2.1).
    fn refuse_header(&mut self, input: &[u8], io: &mut Io<'_>) -> usize {
        let what = match input {
            [0x16, 0x03, ..] => "a TLS handshake on the plain AMQP port",
            [b'A', b'M', b'Q', b'P', 0 | 2 | 3, 1, ..] => "AMQP 1.0",
            _ if [&b"GET "[..], b"POST", b"PUT ", b"HEAD"]
                .iter()
                .any(|m| input.starts_with(m)) =>
            {
                "an HTTP request on the AMQP port"
            }
            _ => "an unknown protocol",
        };
        self.remark = Some(format!("refused {what}"));
        io.out.buffer().extend_from_slice(&PROTOCOL_HEADER);
        self.state = State::Closed;
        self.ending = Some(Ending::Now);
        input.len()
    }

    /// A method before the connection is open.
    pub(super) fn handshake_method(
        &mut self,
        method: Method<'_>,
        now: Timestamp,
        io: &mut Io<'_>,
    ) -> Result<(), Failure> {
        let id = method.id();
        match (&self.state, method) {
            (State::Starting, Method::ConnectionStartOk(m)) => self.start_ok(m, now, io),
            (State::Tuning, Method::ConnectionTuneOk(m)) => self.tune_ok(&m),
            (State::Opening, Method::ConnectionOpen(m)) => self
                .open(&m, now, io)
                .map_err(|error| Failure::method(error, id)),
            (_, Method::ConnectionClose(_)) => {
                let sent = io.out.method(0, connection::CloseOk {});
                self.state = State::Closed;
                self.ending = Some(if sent.is_ok() {
                    Ending::PeerFirst
                } else {
                    Ending::Now
                });
                Ok(())
            }
            (_, Method::ConnectionCloseOk(_)) => {
                self.ending = Some(Ending::Now);
                Ok(())
            }
            (state, _) => Err(Failure::method(unexpected_in(state.name()), id)),
        }
    }

    fn start_ok(
        &mut self,
        method: connection::StartOk<'_>,
        _now: Timestamp,
        io: &mut Io<'_>,
    ) -> Result<(), Failure> {
        self.handshake.capabilities = Capabilities::of(&method.client_properties);
        self.handshake.mechanism = match method.mechanism {
            "PLAIN" => "PLAIN",
            "AMQPLAIN" => "AMQPLAIN",
            other => {
                return Err(Failure::method(
                    BrokerError::new(
                        ReplyCode::CommandInvalid,
                        format!("unknown authentication mechanism '{other}'"),
                    ),
                    connection::StartOk::ID,
                ));
            }
        };
        let login = self.log_in(method.response);
        let login = login.map_err(|error| Failure::method(error, connection::StartOk::ID))?;
        let Login::User(user) = login else {
            self.refuse_login(io);
            return Ok(());
        };
        let mut encoded = Vec::new();
        method
            .client_properties
            .encode(&mut encoded)
            .map_err(|error| Failure::internal(&error))?;
        self.handshake.client_properties = encoded.into_boxed_slice();
        self.handshake.user = Some(user);
        let limits = self.broker.limits();
        let tune = connection::Tune {
            channel_max: limits.channel_max,
            frame_max: limits.frame_max,
            heartbeat: limits.heartbeat,
        };
        self.state = State::Tuning;
        io.out
            .method(0, tune)
            .map_err(|error| Failure::internal(&error))
    }

    fn log_in(&mut self, response: &[u8]) -> Result<Login, BrokerError> {
        let (name, password) = match self.handshake.mechanism {
            "PLAIN" => plain(response)?,
            _ => amqplain(response)?,
        };
        let loopback = self.peer.is_loopback();
        match self.broker.log_in(&name, &password, loopback) {
            Ok(user) => Ok(Login::User(user)),
            Err(why) => {
                self.remark = Some(format!("login as '{name}' refused: {why}"));
                Ok(Login::Refused)
            }
        }
    }

    /// A close frame if the client can take one, else silence and a late close.
    fn refuse_login(&mut self, io: &mut Io<'_>) {
        self.state = State::Closed;
        self.ending = Some(Ending::Late);
        if self.handshake.capabilities.authentication_failure_close {
            let text = format!(
                "ACCESS_REFUSED - Login was refused using authentication mechanism {}. For \
                 details see the broker logfile.",
                self.handshake.mechanism
            );
            let close = connection::Close {
                reply_code: ReplyCode::AccessRefused.code(),
                reply_text: &text,
                class_id: 0,
                method_id: 0,
            };
            if io.out.method(0, close).is_ok() {
                self.state = State::Closing;
                self.ending = Some(Ending::PeerFirst);
            }
        }
    }

    fn tune_ok(&mut self, method: &connection::TuneOk) -> Result<(), Failure> {
        let limits = self.broker.limits();
        let checked = check(
            "channel_max",
            method.channel_max.into(),
            1,
            limits.channel_max.into(),
        )
        .and_then(|()| {
            check(
                "frame_max",
                method.frame_max,
                FRAME_MAX_MIN,
                limits.frame_max,
            )
        });
        checked.map_err(|error| Failure::method(error, connection::Tune::ID))?;
        self.handshake.tuning = Some(Tuning {
            channel_max: method.channel_max,
            frame_max: method.frame_max,
            heartbeat: method.heartbeat,
        });
        self.state = State::Opening;
        Ok(())
    }

    fn open(
        &mut self,
        method: &connection::Open<'_>,
        now: Timestamp,
        io: &mut Io<'_>,
    ) -> Result<(), BrokerError> {
        let handshake = std::mem::take(&mut self.handshake);
        let (Some(user), Some(tuning)) = (handshake.user, handshake.tuning) else {
            return Err(BrokerError::new(
                ReplyCode::ChannelError,
                "not authenticated",
            ));
        };
        let vhost = self.broker.open_vhost(&user, method.virtual_host)?;
        self.broker.admit_connection()?;
        self.handshake.capabilities = handshake.capabilities;
        let session = Arc::new(Session {
            id: self.id,
            broker: Arc::clone(&self.broker),
            vhost,
            user,
            inbox: Arc::clone(&self.inbox),
            peer: self.peer,
            tuning,
            capabilities: handshake.capabilities,
            client_properties: handshake.client_properties,
            auth_mechanism: handshake.mechanism,
            connected_at: now,
            traffic: Traffic::default(),
            channels: Default::default(),
            phase: AtomicU8::new(0),
        });
        self.broker.connection_opened(&session);
        self.session = Some(session);
        self.state = State::Open;
        io.out
            .method(0, connection::OpenOk { known_hosts: "" })
            .map_err(super::turn::encode_failed)
    }
}

/// `what` as the client chose it must lie within what the server allows; 0 stands for no limit
/// and is more than any.
fn check(what: &str, chosen: u32, min: u32, max: u32) -> Result<(), BrokerError> {
    let refuse = |relation: &str, bound: u32| {
        Err(BrokerError::new(
            ReplyCode::NotAllowed,
            format!("negotiated {what} = {chosen} is {relation} allowed value ({bound})"),
        ))
    };
    match chosen {
        0 if max != 0 && what == "channel_max" => Err(BrokerError::new(
            ReplyCode::NotAllowed,
            format!(
                "negotiated {what} = 0 (no limit) is higher than the maximum allowed value ({max})"
            ),
        )),
        0 if max != 0 => refuse("higher than the maximum", max),
        0 => Ok(()),
        _ if chosen < min => refuse("lower than the minimum", min),
        _ if max != 0 && chosen > max => refuse("higher than the maximum", max),
        _ => Ok(()),
    }
}

/// PLAIN (RFC 4616) with an empty authorisation identity, as RabbitMQ wants it.
fn plain(response: &[u8]) -> Result<(String, String), BrokerError> {
    let mut parts = response.split(|&byte| byte == 0);
    let parsed = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some([]), Some(name), Some(password), None) => std::str::from_utf8(name)
            .ok()
            .zip(std::str::from_utf8(password).ok()),
        _ => None,
    };
    match parsed {
        Some((name, password)) => Ok((name.into(), password.into())),
        None => Err(BrokerError::new(
            ReplyCode::SyntaxError,
            "response in PLAIN authentication mechanism is malformed",
        )),
    }
}

/// AMQPLAIN: a field table without its length, with LOGIN and PASSWORD.
fn amqplain(response: &[u8]) -> Result<(String, String), BrokerError> {
    let field = |table: &FieldTable, name: &str| match table.get(name) {
        Some(value @ FieldValue::LongString(_)) => value.as_str().map(str::to_owned),
        _ => None,
    };
    let table = FieldTable::decode_body(response).ok();
    let parsed =
        table.and_then(|table| Some((field(&table, "LOGIN")?, field(&table, "PASSWORD")?)));
    parsed.ok_or_else(|| {
        BrokerError::new(
            ReplyCode::SyntaxError,
            "AMQPLAIN auth info is missing LOGIN or PASSWORD field",
        )
    })
}

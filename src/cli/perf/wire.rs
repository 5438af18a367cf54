//! The few AMQP 0-9-1 methods a load generator needs, as bytes.
//! Owns method ids, argument writing and reading, and whole method frames; never touches a socket
//! and knows nothing of the frames in the hot loops (see `block` and `walk`).

use super::error::PerfError;

/// Class and method number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MethodId(pub(super) u16, pub(super) u16);

/// A text proven to fit a short string: at most 255 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name(String);

impl Name {
    pub(super) fn new(text: &str) -> Option<Self> {
        (text.len() <= SHORT_STRING_MAX).then(|| Name(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Method arguments under construction.
#[derive(Default)]
pub(super) struct Arguments(Vec<u8>);

impl Arguments {
    pub(super) fn new() -> Self {
        Arguments::default()
    }

    pub(super) fn octet(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub(super) fn short(mut self, value: u16) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(super) fn long(mut self, value: u32) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(super) fn longlong(mut self, value: u64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(super) fn name(mut self, name: &Name) -> Self {
        // A Name holds at most 255 bytes, so the length octet is exact.
        self.0.push(name.0.len() as u8);
        self.0.extend(name.0.as_bytes());
        self
    }

    /// A short string known to the program.
    pub(super) fn word(mut self, word: &'static str) -> Self {
        debug_assert!(word.len() <= SHORT_STRING_MAX);
        self.0.push(word.len() as u8);
        self.0.extend(word.as_bytes());
        self
    }

    pub(super) fn longstr(mut self, bytes: &[u8]) -> Self {
        self.0.extend((bytes.len() as u32).to_be_bytes());
        self.0.extend(bytes);
        self
    }

    pub(super) fn table(self, table: Table) -> Self {
        self.longstr(&table.0)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A field table under construction, with the value types needed here.
#[derive(Default)]
pub(super) struct Table(Vec<u8>);

impl Table {
    pub(super) fn new() -> Self {
        Table::default()
    }

    pub(super) fn text(self, key: &'static str, value: &str) -> Self {
        self.field(key, b'S', Arguments::new().longstr(value.as_bytes()))
    }

    pub(super) fn flag(self, key: &'static str) -> Self {
        self.field(key, b't', Arguments::new().octet(1))
    }

    pub(super) fn integer(self, key: &'static str, value: i64) -> Self {
        self.field(key, b'l', Arguments::new().longlong(value as u64))
    }

    pub(super) fn nested(self, key: &'static str, value: Table) -> Self {
        self.field(key, b'F', Arguments::new().table(value))
    }

    fn field(mut self, key: &'static str, kind: u8, value: Arguments) -> Self {
        self.0.push(key.len() as u8);
        self.0.extend(key.as_bytes());
        self.0.push(kind);
        self.0.extend(value.0);
        self
    }
}

/// Arguments of a received method, read front to back.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn octet(&mut self) -> Result<u8, PerfError> {
        self.array::<1>().map(|[octet]| octet)
    }

    pub(super) fn short(&mut self) -> Result<u16, PerfError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn long(&mut self) -> Result<u32, PerfError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn longlong(&mut self) -> Result<u64, PerfError> {
        self.array().map(u64::from_be_bytes)
    }

    /// A short string, shown as text whatever its bytes are.
    pub(super) fn shortstr(&mut self) -> Result<String, PerfError> {
        let len = self.octet()?;
        Ok(String::from_utf8_lossy(self.take(len as usize)?).into_owned())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PerfError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], PerfError> {
        let Some((taken, rest)) = self.0.split_at_checked(len) else {
            return Err(PerfError::Protocol(
                "a method shorter than its arguments".to_owned(),
            ));
        };
        self.0 = rest;
        Ok(taken)
    }
}

/// Appends one whole method frame.
pub(super) fn method_frame(out: &mut Vec<u8>, channel: u16, id: MethodId, arguments: &[u8]) {
    frame_head(out, FRAME_METHOD, channel, 4 + arguments.len());
    out.extend(id.0.to_be_bytes());
    out.extend(id.1.to_be_bytes());
    out.extend(arguments);
    out.push(FRAME_END);
}

/// Appends the seven octets before a payload.
pub(super) fn frame_head(out: &mut Vec<u8>, kind: u8, channel: u16, payload_bytes: usize) {
    out.push(kind);
    out.extend(channel.to_be_bytes());
    out.extend((payload_bytes as u32).to_be_bytes());
}

/// The error a connection.close or channel.close stands for.
pub(super) fn close_reason(id: MethodId, arguments: &[u8]) -> PerfError {
    let mut fields = Fields(arguments);
    let (code, text) = match fields
        .short()
        .and_then(|code| Ok((code, fields.shortstr()?)))
    {
        Ok(reason) => reason,
        Err(error) => return error,
    };
    if id == CONNECTION_CLOSE {
        PerfError::ConnectionClosed { code, text }
    } else {
        PerfError::ChannelClosed { code, text }
    }
}

pub(super) const PROTOCOL_HEADER: &[u8; 8] = b"AMQP\x00\x00\x09\x01";
pub(super) const FRAME_METHOD: u8 = 1;
pub(super) const FRAME_HEADER: u8 = 2;
pub(super) const FRAME_BODY: u8 = 3;
pub(super) const FRAME_HEARTBEAT: u8 = 8;
pub(super) const FRAME_END: u8 = 0xCE;
/// Seven octets before a payload and the end octet behind it.
pub(super) const FRAME_OVERHEAD: usize = 8;
const SHORT_STRING_MAX: usize = 255;

pub(super) const CONNECTION_START: MethodId = MethodId(10, 10);
pub(super) const CONNECTION_START_OK: MethodId = MethodId(10, 11);
pub(super) const CONNECTION_TUNE: MethodId = MethodId(10, 30);
pub(super) const CONNECTION_TUNE_OK: MethodId = MethodId(10, 31);
pub(super) const CONNECTION_OPEN: MethodId = MethodId(10, 40);
pub(super) const CONNECTION_OPEN_OK: MethodId = MethodId(10, 41);
pub(super) const CONNECTION_CLOSE: MethodId = MethodId(10, 50);
pub(super) const CONNECTION_CLOSE_OK: MethodId = MethodId(10, 51);
pub(super) const CONNECTION_BLOCKED: MethodId = MethodId(10, 60);
pub(super) const CONNECTION_UNBLOCKED: MethodId = MethodId(10, 61);
pub(super) const CHANNEL_OPEN: MethodId = MethodId(20, 10);
pub(super) const CHANNEL_OPEN_OK: MethodId = MethodId(20, 11);
pub(super) const CHANNEL_CLOSE: MethodId = MethodId(20, 40);
pub(super) const CHANNEL_CLOSE_OK: MethodId = MethodId(20, 41);
pub(super) const QUEUE_DECLARE: MethodId = MethodId(50, 10);
pub(super) const QUEUE_DECLARE_OK: MethodId = MethodId(50, 11);
pub(super) const QUEUE_BIND: MethodId = MethodId(50, 20);
pub(super) const QUEUE_BIND_OK: MethodId = MethodId(50, 21);
pub(super) const QUEUE_DELETE: MethodId = MethodId(50, 40);
pub(super) const QUEUE_DELETE_OK: MethodId = MethodId(50, 41);
pub(super) const BASIC_QOS: MethodId = MethodId(60, 10);
pub(super) const BASIC_QOS_OK: MethodId = MethodId(60, 11);
pub(super) const BASIC_CONSUME: MethodId = MethodId(60, 20);
pub(super) const BASIC_CONSUME_OK: MethodId = MethodId(60, 21);
pub(super) const BASIC_CANCEL: MethodId = MethodId(60, 30);
pub(super) const BASIC_PUBLISH: MethodId = MethodId(60, 40);
pub(super) const BASIC_DELIVER: MethodId = MethodId(60, 60);
pub(super) const BASIC_ACK: MethodId = MethodId(60, 80);
pub(super) const BASIC_NACK: MethodId = MethodId(60, 120);
pub(super) const CONFIRM_SELECT: MethodId = MethodId(85, 10);
pub(super) const CONFIRM_SELECT_OK: MethodId = MethodId(85, 11);

//! Field values and tables as they stand on the wire, type tag included.
//!
//! Owned by the tests: it shares no code with the broker's own codec, so that a mistake made there
//! is not repeated on this side and cancelled out. It never refuses a value for being unusual; a
//! test has to be able to send nonsense.

/// A field table: the entries in the order of the wire, doubles kept.
pub(crate) type Table = Vec<(String, Value)>;

/// One tagged value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Value {
    /// The type byte (`S`, `I`, `l`, `t` ...).
    pub(crate) tag: u8,
    /// What follows it.
    pub(crate) body: Body,
}

/// The payload of a value, by shape.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Body {
    /// `t`
    Bool(bool),
    /// `b B s u I i l L T`
    Int(i128),
    /// `f d`
    Float(f64),
    /// `D`: the scale and the unscaled number.
    Decimal(u8, u32),
    /// `S x`
    Bytes(Vec<u8>),
    /// `A`
    Array(Vec<Value>),
    /// `F`
    Table(Table),
    /// `V`
    Void,
}

/// The shape of what stands behind a type byte.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Shape {
    /// One byte, zero or not.
    Bool,
    /// This many bytes; signed or not.
    Int(usize, bool),
    /// Four or eight bytes.
    Float(usize),
    /// Five bytes.
    Decimal,
    /// A long string.
    Bytes,
    /// A counted array.
    Array,
    /// A counted table.
    Table,
    /// Nothing.
    Void,
}

/// The shape of a type byte as RabbitMQ reads it (which is not the specification's list).
pub(crate) fn shape(tag: u8) -> Option<Shape> {
    Some(match tag {
        b't' => Shape::Bool,
        b'b' => Shape::Int(1, true),
        b'B' => Shape::Int(1, false),
        b's' => Shape::Int(2, true),
        b'u' => Shape::Int(2, false),
        b'I' => Shape::Int(4, true),
        b'i' => Shape::Int(4, false),
        b'l' | b'L' => Shape::Int(8, true),
        b'T' => Shape::Int(8, false),
        b'f' => Shape::Float(4),
        b'd' => Shape::Float(8),
        b'D' => Shape::Decimal,
        b'S' | b'x' => Shape::Bytes,
        b'A' => Shape::Array,
        b'F' => Shape::Table,
        b'V' => Shape::Void,
        _ => return None,
    })
}

impl Value {
    /// A long string value.
    pub(crate) fn text(text: &str) -> Self {
        Self {
            tag: b'S',
            body: Body::Bytes(text.as_bytes().to_vec()),
        }
    }

    /// A boolean value.
    pub(crate) fn bool(value: bool) -> Self {
        Self {
            tag: b't',
            body: Body::Bool(value),
        }
    }

    /// A nested table.
    pub(crate) fn table(table: Table) -> Self {
        Self {
            tag: b'F',
            body: Body::Table(table),
        }
    }

    /// The bytes of a string value.
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        match &self.body {
            Body::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// Appends `value`, tag first.
pub(crate) fn put_value(out: &mut Vec<u8>, value: &Value) {
    out.push(value.tag);
    match &value.body {
        Body::Bool(yes) => out.push(u8::from(*yes)),
        Body::Int(number) => {
            let width = match shape(value.tag) {
                Some(Shape::Int(width, _)) => width,
                _ => 8,
            };
            out.extend_from_slice(&number.to_be_bytes()[16 - width..]);
        }
        Body::Float(number) if value.tag == b'f' => {
            #[allow(clippy::cast_possible_truncation, reason = "the wire type is narrower")]
            out.extend_from_slice(&(*number as f32).to_be_bytes());
        }
        Body::Float(number) => out.extend_from_slice(&number.to_be_bytes()),
        Body::Decimal(scale, number) => {
            out.push(*scale);
            out.extend_from_slice(&number.to_be_bytes());
        }
        Body::Bytes(bytes) => put_longstr(out, bytes),
        Body::Array(values) => {
            let mut inner = Vec::new();
            values.iter().for_each(|value| put_value(&mut inner, value));
            put_longstr(out, &inner);
        }
        Body::Table(table) => put_table(out, table),
        Body::Void => {}
    }
}

/// Appends a table behind its length.
pub(crate) fn put_table(out: &mut Vec<u8>, table: &Table) {
    let mut inner = Vec::new();
    for (key, value) in table {
        put_shortstr(&mut inner, key.as_bytes());
        put_value(&mut inner, value);
    }
    put_longstr(out, &inner);
}

/// Appends bytes behind a 32 bit length.
pub(crate) fn put_longstr(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Appends bytes behind an 8 bit length; what is over 255 bytes is cut.
pub(crate) fn put_shortstr(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = bytes.len().min(255);
    out.push(u8::try_from(length).unwrap_or(u8::MAX));
    out.extend_from_slice(&bytes[..length]);
}

/// Takes values off the front of a payload; every error names what was cut short.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// True when everything was taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `count` bytes.
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        if count > self.rest.len() {
            return Err(format!("{count} bytes wanted, {} there", self.rest.len()));
        }
        let (taken, rest) = self.rest.split_at(count);
        self.rest = rest;
        Ok(taken)
    }

    /// An integer of `width` bytes.
    pub(crate) fn int(&mut self, width: usize, signed: bool) -> Result<i128, String> {
        let bytes = self.take(width)?;
        let start = if signed && bytes[0] & 0x80 != 0 {
            -1
        } else {
            0
        };
        Ok(bytes
            .iter()
            .fold(start, |number, byte| (number << 8) | i128::from(*byte)))
    }

    /// A length of `width` bytes.
    fn length(&mut self, width: usize) -> Result<usize, String> {
        usize::try_from(self.int(width, false)?).map_err(|error| error.to_string())
    }

    /// A short string.
    pub(crate) fn shortstr(&mut self) -> Result<&'a [u8], String> {
        let length = self.length(1)?;
        self.take(length)
    }

    /// A long string.
    pub(crate) fn longstr(&mut self) -> Result<&'a [u8], String> {
        let length = self.length(4)?;
        self.take(length)
    }

    /// A table with its length.
    pub(crate) fn table(&mut self) -> Result<Table, String> {
        let mut inner = Reader::new(self.longstr()?);
        let mut table = Table::new();
        while !inner.is_empty() {
            let key = String::from_utf8_lossy(inner.shortstr()?).into_owned();
            table.push((key, inner.value()?));
        }
        Ok(table)
    }

    /// A tagged value.
    pub(crate) fn value(&mut self) -> Result<Value, String> {
        let tag = self.take(1)?[0];
        let shape = shape(tag).ok_or_else(|| format!("type byte {tag} is unknown"))?;
        let body = match shape {
            Shape::Bool => Body::Bool(self.take(1)?[0] != 0),
            Shape::Int(width, signed) => Body::Int(self.int(width, signed)?),
            Shape::Float(4) => Body::Float(f64::from(f32::from_be_bytes(self.array()?))),
            Shape::Float(_) => Body::Float(f64::from_be_bytes(self.array()?)),
            Shape::Decimal => {
                let scale = self.take(1)?[0];
                Body::Decimal(scale, u32::from_be_bytes(self.array()?))
            }
            Shape::Bytes => Body::Bytes(self.longstr()?.to_vec()),
            Shape::Array => {
                let mut inner = Reader::new(self.longstr()?);
                let mut values = Vec::new();
                while !inner.is_empty() {
                    values.push(inner.value()?);
                }
                Body::Array(values)
            }
            Shape::Table => Body::Table(self.table()?),
            Shape::Void => Body::Void,
        };
        Ok(Value { tag, body })
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.take(N)?.try_into().map_err(|_| "length".to_owned())
    }
}

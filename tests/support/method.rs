//! Methods and content headers by name, written and read from the table of method specifications.
//!
//! Knows names and layouts only; what a method means is the caller's affair.

use amqp_codec::{FieldKind, METHODS, MethodSpec};

use super::value::{self, Reader, Table};

/// One field of a method, or one property of a content header.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Field {
    /// A bit.
    Bit(bool),
    /// Any unsigned integer.
    Int(u64),
    /// A short or long string.
    Bytes(Vec<u8>),
    /// A field table.
    Table(Table),
}

/// A method frame's payload, decoded.
#[derive(Clone, Debug)]
pub(crate) struct Method {
    /// Name and field layout.
    pub(crate) spec: &'static MethodSpec,
    /// The fields in the layout's order.
    pub(crate) fields: Vec<Field>,
}

/// A content header, decoded.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    /// The class of the method it belongs to: 60.
    pub(crate) class: u16,
    /// Always 0, if the peer behaves.
    pub(crate) weight: u16,
    /// The announced body size.
    pub(crate) size: u64,
    /// The properties that are there, in the order of the wire.
    pub(crate) properties: Vec<(&'static str, Field)>,
}

/// The basic class's properties, from the highest flag bit down.
pub(crate) const PROPERTIES: [(&str, FieldKind); 14] = [
    ("content-type", FieldKind::ShortStr),
    ("content-encoding", FieldKind::ShortStr),
    ("headers", FieldKind::Table),
    ("delivery-mode", FieldKind::Octet),
    ("priority", FieldKind::Octet),
    ("correlation-id", FieldKind::ShortStr),
    ("reply-to", FieldKind::ShortStr),
    ("expiration", FieldKind::ShortStr),
    ("message-id", FieldKind::ShortStr),
    ("timestamp", FieldKind::Timestamp),
    ("type", FieldKind::ShortStr),
    ("user-id", FieldKind::ShortStr),
    ("app-id", FieldKind::ShortStr),
    ("cluster-id", FieldKind::ShortStr),
];

/// Whether two field names are the same apart from dashes (`no-wait`, `nowait`).
pub(crate) fn same_name(left: &str, right: &str) -> bool {
    let plain = |name: &str| {
        name.chars()
            .filter(|c| !matches!(c, '-' | '_'))
            .collect::<String>()
    };
    plain(left) == plain(right)
}

/// The specification of a method, by its name.
pub(crate) fn spec(name: &str) -> Option<&'static MethodSpec> {
    METHODS.iter().find(|spec| spec.name == name)
}

impl Method {
    /// A method with every field at its zero.
    pub(crate) fn blank(spec: &'static MethodSpec) -> Self {
        let fields = spec.fields.iter().map(|field| zero(field.kind)).collect();
        Self { spec, fields }
    }

    /// The field of this name.
    pub(crate) fn field(&self, name: &str) -> Option<&Field> {
        let place = self
            .spec
            .fields
            .iter()
            .position(|field| same_name(field.name, name))?;
        self.fields.get(place)
    }

    /// A string field as text; empty when there is no such field.
    pub(crate) fn text(&self, name: &str) -> String {
        match self.field(name) {
            Some(Field::Bytes(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
            _ => String::new(),
        }
    }

    /// An integer field; 0 when there is no such field.
    pub(crate) fn int(&self, name: &str) -> u64 {
        match self.field(name) {
            Some(Field::Int(number)) => *number,
            _ => 0,
        }
    }

    /// The payload of the method frame.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let (class, method) = ids(self.spec);
        out.extend_from_slice(&class.to_be_bytes());
        out.extend_from_slice(&method.to_be_bytes());
        let mut bits = 0;
        for (spec, field) in self.spec.fields.iter().zip(&self.fields) {
            if spec.kind != FieldKind::Bit {
                bits = 0;
            }
            put_field(&mut out, spec.kind, field, bits);
            bits = if spec.kind == FieldKind::Bit {
                (bits + 1) % 8
            } else {
                0
            };
        }
        out
    }

    /// Reads the payload of a method frame to its last byte.
    pub(crate) fn decode(payload: &[u8]) -> Result<Self, String> {
        let mut reader = Reader::new(payload);
        let class = reader.int(2, false)?;
        let number = reader.int(2, false)?;
        let spec = METHODS
            .iter()
            .find(|spec| {
                let (spec_class, spec_method) = ids(spec);
                (i128::from(spec_class), i128::from(spec_method)) == (class, number)
            })
            .ok_or_else(|| format!("no method has the ids {class},{number}"))?;
        let mut fields = Vec::new();
        let (mut octet, mut bits) = (0, 0);
        for field in spec.fields {
            if field.kind != FieldKind::Bit {
                bits = 0;
                fields.push(read_field(&mut reader, field.kind)?);
                continue;
            }
            if bits == 0 {
                octet = reader.int(1, false)?;
            }
            fields.push(Field::Bit(octet >> bits & 1 == 1));
            bits = (bits + 1) % 8;
        }
        if !reader.is_empty() {
            return Err(format!("bytes left over behind {}", spec.name));
        }
        Ok(Self { spec, fields })
    }
}

impl Header {
    /// The payload of the content header frame.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&self.class.to_be_bytes());
        out.extend_from_slice(&self.weight.to_be_bytes());
        out.extend_from_slice(&self.size.to_be_bytes());
        let mut flags = 0_u16;
        let mut values = Vec::new();
        for (place, (name, kind)) in PROPERTIES.iter().enumerate() {
            if let Some((_, field)) = self.properties.iter().find(|(have, _)| have == name) {
                flags |= 0x8000 >> place;
                put_field(&mut values, *kind, field, 0);
            }
        }
        out.extend_from_slice(&flags.to_be_bytes());
        out.extend_from_slice(&values);
        out
    }

    /// Reads the payload of a content header frame to its last byte.
    pub(crate) fn decode(payload: &[u8]) -> Result<Self, String> {
        let mut reader = Reader::new(payload);
        let class = u16::try_from(reader.int(2, false)?).map_err(|error| error.to_string())?;
        let weight = u16::try_from(reader.int(2, false)?).map_err(|error| error.to_string())?;
        let size = u64::try_from(reader.int(8, false)?).map_err(|error| error.to_string())?;
        let flags = reader.int(2, false)?;
        let mut properties = Vec::new();
        for (place, (name, kind)) in PROPERTIES.iter().enumerate() {
            if flags & (0x8000 >> place) != 0 {
                properties.push((*name, read_field(&mut reader, *kind)?));
            }
        }
        if flags & 3 != 0 || !reader.is_empty() {
            return Err(format!(
                "flags {flags:#x} or bytes left over in a content header"
            ));
        }
        Ok(Self {
            class,
            weight,
            size,
            properties,
        })
    }
}

/// Class and method id of a specification.
pub(crate) fn ids(spec: &MethodSpec) -> (u16, u16) {
    (spec.id.class, spec.id.method)
}

/// The zero of a kind.
fn zero(kind: FieldKind) -> Field {
    match kind {
        FieldKind::Bit => Field::Bit(false),
        FieldKind::ShortStr | FieldKind::LongStr => Field::Bytes(Vec::new()),
        FieldKind::Table => Field::Table(Table::new()),
        _ => Field::Int(0),
    }
}

/// The number of bytes of an integer kind.
pub(crate) fn width(kind: FieldKind) -> usize {
    match kind {
        FieldKind::Octet => 1,
        FieldKind::Short => 2,
        FieldKind::Long => 4,
        _ => 8,
    }
}

fn put_field(out: &mut Vec<u8>, kind: FieldKind, field: &Field, bits: usize) {
    match field {
        Field::Bit(yes) => {
            if bits == 0 {
                out.push(0);
            }
            if let Some(octet) = out.last_mut() {
                *octet |= u8::from(*yes) << bits;
            }
        }
        Field::Int(number) => out.extend_from_slice(&number.to_be_bytes()[8 - width(kind)..]),
        Field::Bytes(bytes) if kind == FieldKind::ShortStr => value::put_shortstr(out, bytes),
        Field::Bytes(bytes) => value::put_longstr(out, bytes),
        Field::Table(table) => value::put_table(out, table),
    }
}

fn read_field(reader: &mut Reader<'_>, kind: FieldKind) -> Result<Field, String> {
    Ok(match kind {
        FieldKind::Bit => Field::Bit(reader.int(1, false)? & 1 == 1),
        FieldKind::ShortStr => Field::Bytes(reader.shortstr()?.to_vec()),
        FieldKind::LongStr => Field::Bytes(reader.longstr()?.to_vec()),
        FieldKind::Table => Field::Table(reader.table()?),
        _ => {
            let number = reader.int(width(kind), false)?;
            Field::Int(u64::try_from(number).map_err(|error| error.to_string())?)
        }
    })
}

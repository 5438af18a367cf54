//! Field values as RabbitMQ sees them once decoded: when two are equal, and how texts show one.

use std::fmt;

use amqp_codec::{FieldTable, FieldValue};

/// Appends bytes that two values share exactly when they are equal after decoding: the width of
/// a number does not count, nor whether it is an integer, a timestamp or a float, nor whether
/// bytes came as text. Inside tables and arrays, where RabbitMQ keeps the types, all of that does.
pub(crate) fn put_canonical(value: &FieldValue, out: &mut Vec<u8>) {
    if let Some(integer) = value.as_i64() {
        put_integer(integer.into(), out);
        return;
    }
    match value {
        FieldValue::Timestamp(seconds) => put_integer((*seconds).into(), out),
        FieldValue::F32(float) => put_number(f64::from(*float), out),
        FieldValue::F64(float) => put_number(*float, out),
        FieldValue::LongString(bytes) | FieldValue::Bytes(bytes) => {
            out.push(b'S');
            out.extend_from_slice(bytes);
        }
        other => put_exact(other, out),
    }
}

/// Whether two values are the same argument: as [`put_canonical`] has it, but neither an integer
/// nor a timestamp is a float.
pub(crate) fn equal(a: &FieldValue, b: &FieldValue) -> bool {
    let (mut left, mut right) = (Vec::new(), Vec::new());
    put_canonical(a, &mut left);
    put_canonical(b, &mut right);
    left == right && is_integer(a) == is_integer(b)
}

fn is_integer(value: &FieldValue) -> bool {
    matches!(value, FieldValue::Timestamp(_)) || value.as_i64().is_some()
}

/// Wide enough for timestamps, which have no sign.
fn put_integer(integer: i128, out: &mut Vec<u8>) {
    out.push(b'n');
    out.extend_from_slice(&integer.to_be_bytes());
}

/// A float with an integer's value equals the integer. Beyond those that integers and timestamps
/// can have, floats equal only floats.
fn put_number(float: f64, out: &mut Vec<u8>) {
    let integer = float as i128;
    let is_whole = float.is_finite() && float.trunc() == float;
    if is_whole && (i64::MIN.into()..=u64::MAX.into()).contains(&integer) {
        put_integer(integer, out);
    } else {
        put_float(float, out);
    }
}

fn put_float(float: f64, out: &mut Vec<u8>) {
    out.push(b'd');
    // Minus zero equals zero.
    out.extend_from_slice(&(float + 0.0).to_be_bytes());
}

/// A value with its type; what has no fixed size stands behind its length.
fn put_exact(value: &FieldValue, out: &mut Vec<u8>) {
    out.push(if let FieldValue::LongLong(_) = value {
        b'l'
    } else {
        value.tag()
    });
    match value {
        FieldValue::Bool(value) => out.push(u8::from(*value)),
        FieldValue::I8(_)
        | FieldValue::U8(_)
        | FieldValue::I16(_)
        | FieldValue::U16(_)
        | FieldValue::I32(_)
        | FieldValue::U32(_)
        | FieldValue::I64(_)
        | FieldValue::LongLong(_) => {
            out.extend_from_slice(&value.as_i64().unwrap_or_default().to_be_bytes());
        }
        FieldValue::F32(float) => put_float(f64::from(*float), out),
        FieldValue::F64(float) => put_float(*float, out),
        FieldValue::Decimal { scale, value } => {
            out.push(*scale);
            out.extend_from_slice(&value.to_be_bytes());
        }
        FieldValue::LongString(bytes) | FieldValue::Bytes(bytes) => put_bytes(bytes, out),
        FieldValue::Array(values) => {
            out.extend_from_slice(&values.len().to_be_bytes());
            values.iter().for_each(|value| put_exact(value, out));
        }
        FieldValue::Timestamp(seconds) => out.extend_from_slice(&seconds.to_be_bytes()),
        FieldValue::Table(table) => {
            out.extend_from_slice(&table.len().to_be_bytes());
            for (name, value) in table.iter() {
                put_bytes(name.as_bytes(), out);
                put_exact(value, out);
            }
        }
        FieldValue::Void => {}
    }
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&bytes.len().to_be_bytes());
    out.extend_from_slice(bytes);
}

/// A value as an Erlang term, the notation in RabbitMQ's reply texts.
pub(crate) struct Term<'a>(pub(crate) &'a FieldValue);

impl fmt::Display for Term<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(integer) = self.0.as_i64() {
            return write!(f, "{integer}");
        }
        match self.0 {
            FieldValue::Bool(value) => write!(f, "{value}"),
            FieldValue::F32(float) => write!(f, "{:?}", f64::from(*float)),
            FieldValue::F64(float) => write!(f, "{float:?}"),
            FieldValue::Decimal { scale, value } => write!(f, "{{{scale},{value}}}"),
            FieldValue::LongString(bytes) | FieldValue::Bytes(bytes) => binary(bytes, f),
            FieldValue::Array(values) => list(values.iter().map(Member), f),
            FieldValue::Timestamp(seconds) => write!(f, "{seconds}"),
            FieldValue::Table(table) => list(entries(table), f),
            FieldValue::Void => f.write_str("undefined"),
            // Integers were answered above.
            FieldValue::I8(_)
            | FieldValue::U8(_)
            | FieldValue::I16(_)
            | FieldValue::U16(_)
            | FieldValue::I32(_)
            | FieldValue::U32(_)
            | FieldValue::I64(_)
            | FieldValue::LongLong(_) => Ok(()),
        }
    }
}

/// An element of an array: `{type,value}`.
struct Member<'a>(&'a FieldValue);

impl fmt::Display for Member<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{},{}}}", self.0.type_name(), Term(self.0))
    }
}

/// An entry of a table: `{name,type,value}`.
struct Entry<'a>(&'a str, &'a FieldValue);

impl fmt::Display for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        binary(self.0.as_bytes(), f)?;
        write!(f, ",{},{}}}", self.1.type_name(), Term(self.1))
    }
}

fn entries(table: &FieldTable) -> impl Iterator<Item = Entry<'_>> {
    table.iter().map(|(name, value)| Entry(name, value))
}

fn list(items: impl Iterator<Item = impl fmt::Display>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("[")?;
    for (place, item) in items.enumerate() {
        if place > 0 {
            f.write_str(",")?;
        }
        write!(f, "{item}")?;
    }
    f.write_str("]")
}

/// `<<"text">>` if all of it can be printed, else `<<1,2,3>>`.
fn binary(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let is_printable = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
    match str::from_utf8(bytes) {
        Ok("") => f.write_str("<<>>"),
        Ok(text) if text.chars().all(is_printable) => {
            f.write_str("<<\"")?;
            for c in text.chars() {
                match c {
                    '\n' => f.write_str("\\n")?,
                    '\r' => f.write_str("\\r")?,
                    '\t' => f.write_str("\\t")?,
                    '"' | '\\' => write!(f, "\\{c}")?,
                    c => write!(f, "{c}")?,
                }
            }
            f.write_str(if text.is_ascii() { "\">>" } else { "\"/utf8>>" })
        }
        _ => {
            let numbers: Vec<String> = bytes.iter().map(u8::to_string).collect();
            write!(f, "<<{}>>", numbers.join(","))
        }
    }
}

#[cfg(test)]
mod tests;

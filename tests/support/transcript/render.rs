//! Writes what came as a transcript would describe it, for reports and for `UPDATE_EXPECT=1`.

use crate::support::client::Content;
use crate::support::method::{Field, Header, Method};
use crate::support::value::{Body, Table, Value};

/// A method with all its fields.
pub(super) fn method(method: &Method) -> String {
    let mut out = method.spec.name.to_owned();
    for (spec, value) in method.spec.fields.iter().zip(&method.fields) {
        if !matches!(spec.name, "ticket") && !spec.name.starts_with("reserved") {
            out.push_str(&format!(" {}={}", spec.name, field(value)));
        }
    }
    out
}

/// A content with its properties and body.
pub(super) fn content(content: &Content) -> String {
    format!(
        "content{} body={}",
        properties(&content.header),
        body(&content.body)
    )
}

/// A content header frame.
pub(super) fn header(header: &Header) -> String {
    format!("header size={}{}", header.size, properties(header))
}

fn properties(header: &Header) -> String {
    header
        .properties
        .iter()
        .map(|(name, value)| format!(" {name}={}", field(value)))
        .collect()
}

fn field(value: &Field) -> String {
    match value {
        Field::Bit(bit) => bit.to_string(),
        Field::Int(number) => number.to_string(),
        Field::Bytes(bytes) => text(bytes),
        Field::Table(entries) => table(entries),
    }
}

/// A body in quotes; one byte over and over as a product.
pub(super) fn body(bytes: &[u8]) -> String {
    match bytes {
        [first, rest @ ..] if rest.len() > 20 && rest.iter().all(|byte| byte == first) => {
            format!("{}*{}", quoted(&[*first]), bytes.len())
        }
        _ => quoted(bytes),
    }
}

fn text(bytes: &[u8]) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:@".contains(byte);
    if bytes.iter().all(plain) {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    quoted(bytes)
}

fn quoted(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for part in bytes.utf8_chunks() {
        for letter in part.valid().chars() {
            match letter {
                '"' | '\\' | '$' => out.extend(['\\', letter]),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\0' => out.push_str("\\0"),
                low if u32::from(low) < 32 => out.push_str(&format!("\\x{:02x}", u32::from(low))),
                _ => out.push(letter),
            }
        }
        part.invalid()
            .iter()
            .for_each(|byte| out.push_str(&format!("\\x{byte:02x}")));
    }
    out.push('"');
    out
}

fn table(entries: &Table) -> String {
    let key = |key: &str| {
        if key.is_empty() {
            "\"\"".to_owned()
        } else {
            text(key.as_bytes())
        }
    };
    let entries = entries
        .iter()
        .map(|(name, entry)| format!("{}: {}", key(name), value(entry)));
    format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
}

fn value(value: &Value) -> String {
    let tag = char::from(value.tag);
    match &value.body {
        Body::Bool(yes) => yes.to_string(),
        Body::Int(number) => format!("{tag} {number}"),
        Body::Float(number) => format!("{tag} {number}"),
        Body::Decimal(scale, number) => format!("{tag} {scale}:{number}"),
        Body::Bytes(bytes) => format!("{tag} {}", quoted(bytes)),
        Body::Array(values) => {
            let values: Vec<String> = values.iter().map(self::value).collect();
            format!("[{}]", values.join(", "))
        }
        Body::Table(entries) => table(entries),
        Body::Void => "V".to_owned(),
    }
}

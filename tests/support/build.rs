//! From terms to bytes: what a `C:` line puts on the wire.

use std::collections::BTreeMap;

use amqp_codec::FieldKind;

use super::method::{self, Field, Header, Method, PROPERTIES, same_name};
use super::term::{Argument, Item, Piece, Sense, Term};
use super::value::{self, Body, Shape, Table, Value};

/// What was captured so far, by name.
pub(crate) type Captures = BTreeMap<String, Vec<u8>>;

/// The bytes of a text term; a capture that is not there is an error.
pub(crate) fn text(term: &Term, captures: &Captures) -> Result<Vec<u8>, String> {
    match term {
        Term::Text { pieces, repeat, .. } => Ok(join(pieces, captures)?.repeat(*repeat)),
        Term::Regex(pieces) => join(pieces, captures),
        Term::Any => Err("'*' says nothing that could be sent; quote it".into()),
        _ => Err("text wanted".into()),
    }
}

fn join(pieces: &[Piece], captures: &Captures) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Literal(bytes) => out.extend_from_slice(bytes),
            Piece::Capture(name) => match captures.get(name) {
                Some(bytes) => out.extend_from_slice(bytes),
                None => return Err(format!("nothing was captured as ${name}")),
            },
        }
    }
    Ok(out)
}

/// A number given as text.
pub(crate) fn number<N: std::str::FromStr>(term: &Term, captures: &Captures) -> Result<N, String> {
    let bytes = text(term, captures)?;
    let text = String::from_utf8_lossy(&bytes);
    text.parse()
        .map_err(|_| format!("'{text}' is not a number that fits"))
}

/// A field of this kind.
pub(crate) fn field(kind: FieldKind, term: &Term, captures: &Captures) -> Result<Field, String> {
    Ok(match kind {
        FieldKind::Bit => Field::Bit(truth(&text(term, captures)?)?),
        FieldKind::ShortStr | FieldKind::LongStr => Field::Bytes(text(term, captures)?),
        FieldKind::Table => match term {
            Term::Table(entries) => Field::Table(table(entries, captures)?),
            _ => return Err("a table {key: value} wanted".into()),
        },
        _ => Field::Int(number(term, captures)?),
    })
}

fn truth(text: &[u8]) -> Result<bool, String> {
    match text {
        b"true" => Ok(true),
        b"false" => Ok(false),
        _ => Err("true or false wanted".into()),
    }
}

/// A field table.
pub(crate) fn table(
    entries: &[(String, Option<Term>)],
    captures: &Captures,
) -> Result<Table, String> {
    let mut table = Table::new();
    for (key, term) in entries {
        let term = term.as_ref().ok_or("an absent key cannot be sent")?;
        table.push((key.clone(), tagged(term, captures)?));
    }
    Ok(table)
}

/// A value with its type byte.
pub(crate) fn tagged(term: &Term, captures: &Captures) -> Result<Value, String> {
    let (tag, inner) = match term {
        Term::Tagged(tag, inner) => (*tag, inner.as_deref()),
        Term::Table(_) => (b'F', Some(term)),
        Term::Array(_) => (b'A', Some(term)),
        Term::Text { quoted: false, .. } if truth(&text(term, captures)?).is_ok() => {
            (b't', Some(term))
        }
        _ => (b'S', Some(term)),
    };
    Ok(Value {
        tag,
        body: body(tag, inner, captures)?,
    })
}

fn body(tag: u8, inner: Option<&Term>, captures: &Captures) -> Result<Body, String> {
    let shape = value::shape(tag).unwrap_or(Shape::Bytes);
    let Some(term) = inner else {
        return Ok(Body::Void);
    };
    Ok(match (shape, term) {
        (Shape::Bool, _) => Body::Bool(truth(&text(term, captures)?)?),
        (Shape::Int(..), _) => Body::Int(number(term, captures)?),
        (Shape::Float(_), _) => Body::Float(number(term, captures)?),
        (Shape::Decimal, _) => {
            let bytes = text(term, captures)?;
            let text = String::from_utf8_lossy(&bytes);
            let (scale, unscaled) = text.split_once(':').ok_or("scale:number wanted")?;
            Body::Decimal(
                scale.parse().map_err(|_| "scale")?,
                unscaled.parse().map_err(|_| "number")?,
            )
        }
        (Shape::Array, Term::Array(elements)) => {
            let values = elements.iter().map(|element| tagged(element, captures));
            Body::Array(values.collect::<Result<_, _>>()?)
        }
        (Shape::Table, Term::Table(entries)) => Body::Table(table(entries, captures)?),
        (Shape::Void, _) => return Err("V has no value".into()),
        (_, Term::Table(_) | Term::Array(_)) => return Err("text wanted".into()),
        _ => Body::Bytes(text(term, captures)?),
    })
}

/// The method an item names, with its arguments filled in.
pub(crate) fn method(item: &Item, captures: &Captures) -> Result<Method, String> {
    let spec =
        method::spec(&item.name).ok_or_else(|| format!("there is no method '{}'", item.name))?;
    let mut method = Method::blank(spec);
    for argument in &item.arguments {
        let place = spec
            .fields
            .iter()
            .position(|field| same_name(field.name, &argument.name))
            .ok_or_else(|| format!("{} has no field '{}'", item.name, argument.name))?;
        method.fields[place] = field(spec.fields[place].kind, &argument.term, captures)
            .map_err(|error| format!("{}: {error}", argument.name))?;
    }
    Ok(method)
}

/// The content header and body an item describes (`size` is the body's unless it is given).
pub(crate) fn content(item: &Item, captures: &Captures) -> Result<(Header, Vec<u8>), String> {
    let mut header = Header {
        class: 60,
        weight: 0,
        size: 0,
        properties: Vec::new(),
    };
    let (mut content, mut size) = (Vec::new(), None);
    for argument in &item.arguments {
        match argument.name.as_str() {
            "body" => content = text(&argument.term, captures)?,
            "size" => size = Some(number(&argument.term, captures)?),
            "class" => header.class = number(&argument.term, captures)?,
            "weight" => header.weight = number(&argument.term, captures)?,
            _ => header.properties.push(property(argument, captures)?),
        }
    }
    header.size = size.unwrap_or(content.len() as u64);
    Ok((header, content))
}

fn property(argument: &Argument, captures: &Captures) -> Result<(&'static str, Field), String> {
    let (name, kind) = PROPERTIES
        .iter()
        .find(|(name, _)| *name == argument.name)
        .ok_or_else(|| format!("there is no property '{}'", argument.name))?;
    if argument.sense == Sense::Absent {
        return Err("an absent property cannot be sent".into());
    }
    let field = field(*kind, &argument.term, captures);
    Ok((name, field.map_err(|error| format!("{name}: {error}"))?))
}

/// Bytes from hexadecimal pairs and quoted texts: `00 01 "AMQP"`.
pub(crate) fn bytes(arguments: &[Argument], captures: &Captures) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    for argument in arguments {
        let bytes = text(&argument.term, captures)?;
        if matches!(argument.term, Term::Text { quoted: true, .. }) {
            out.extend_from_slice(&bytes);
            continue;
        }
        let digits = String::from_utf8_lossy(&bytes).into_owned();
        let byte = u8::from_str_radix(&digits, 16);
        out.push(byte.map_err(|_| format!("'{digits}' is no byte; quote text"))?);
    }
    Ok(out)
}

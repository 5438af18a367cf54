//! Field tables as JSON and back.

use amqp_codec::{FieldTable, FieldValue, ShortString};
use serde_json::{Map, Number, Value};

/// A table as a JSON object. Of two entries with one name the first counts, as everywhere.
pub(crate) fn object(table: &FieldTable) -> Value {
    let mut object = Map::new();
    for (name, value) in table.iter() {
        if !object.contains_key(name.as_str()) {
            object.insert(name.as_str().to_owned(), value_of(value));
        }
    }
    Value::Object(object)
}

fn value_of(value: &FieldValue) -> Value {
    match value {
        FieldValue::Bool(flag) => Value::Bool(*flag),
        FieldValue::F32(number) => float((*number).into()),
        FieldValue::F64(number) => float(*number),
        FieldValue::Decimal { scale, value } => {
            float(f64::from(*value) / 10f64.powi((*scale).into()))
        }
        FieldValue::Timestamp(seconds) => (*seconds).into(),
        FieldValue::LongString(bytes) | FieldValue::Bytes(bytes) => {
            String::from_utf8_lossy(bytes).into_owned().into()
        }
        FieldValue::Array(values) => values.iter().map(value_of).collect(),
        FieldValue::Table(table) => object(table),
        FieldValue::Void => Value::Null,
        number => number.as_i64().map_or(Value::Null, Value::from),
    }
}

fn float(number: f64) -> Value {
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}

/// A JSON object as a table; the error says what a table cannot hold.
pub(super) fn table(value: &Value) -> Result<FieldTable, String> {
    let table = match value {
        Value::Object(fields) => fields_of(fields)?,
        // What RabbitMQ itself writes for an empty object.
        Value::Array(list) if list.is_empty() => FieldTable::new(),
        _ => return Err("arguments must be a JSON object".into()),
    };
    let mut encoded = Vec::new();
    match table.encode(&mut encoded) {
        Ok(()) => Ok(table),
        Err(error) => Err(format!("arguments cannot be encoded: {error}")),
    }
}

fn fields_of(fields: &Map<String, Value>) -> Result<FieldTable, String> {
    let entry = |(name, value): (&String, &Value)| {
        let name = ShortString::try_from(name.as_str())
            .map_err(|error| format!("argument '{name}': {error}"))?;
        Ok((name, field(value)?))
    };
    fields.iter().map(entry).collect()
}

fn field(value: &Value) -> Result<FieldValue, String> {
    Ok(match value {
        Value::Null => FieldValue::Void,
        Value::Bool(flag) => FieldValue::Bool(*flag),
        Value::String(text) => FieldValue::LongString(text.clone().into_bytes()),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => FieldValue::I64(integer),
            // Integers beyond 64 bits have no type of their own.
            (None, Some(float)) if number.is_f64() => FieldValue::F64(float),
            _ => return Err(format!("number {number} is too large")),
        },
        Value::Array(list) => FieldValue::Array(list.iter().map(field).collect::<Result<_, _>>()?),
        Value::Object(fields) => FieldValue::Table(fields_of(fields)?),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_json_says_survives_a_table() {
        let value =
            json!({"i": -5, "f": 1.5, "t": "ü", "b": true, "n": null, "l": [1, "x", {"y": 2}]});
        let table = table(&value).expect("a table");
        assert_eq!(object(&table), value);
        assert_eq!(table.get("i"), Some(&FieldValue::I64(-5)));
    }

    #[test]
    fn what_a_table_cannot_hold_is_refused() {
        assert!(table(&json!([1])).is_err());
        assert!(table(&json!({"n": u64::MAX})).is_err());
        assert!(table(&json!({"n".repeat(256): 1})).is_err());
        let mut deep = json!({});
        for _ in 0..100 {
            deep = json!({ "d": deep });
        }
        assert!(table(&deep).is_err());
    }

    #[test]
    fn numbers_that_json_does_not_know_are_null() {
        let table: FieldTable = [(ShortString::clipped("x"), FieldValue::F64(f64::NAN))]
            .into_iter()
            .collect();
        assert_eq!(object(&table), json!({"x": null}));
    }
}

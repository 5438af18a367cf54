//! What must hold: routes, header values, x-death, closes. Pure data and checks.

use std::error::Error;
use std::fmt::Debug;

use lapin::ErrorKind;
use lapin::types::{AMQPValue, DecimalValue, FieldArray, FieldTable};

/// What a scenario or a check comes to.
pub type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// The text of a refused login.
pub const WRONG_PASSWORD_TEXT: &str =
    "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN";
/// Priorities in publishing order.
pub const PRIORITIES: [u8; 5] = [1, 5, 9, 0, 5];
/// The bytes of a frame around its payload.
pub const FRAME_OVERHEAD: usize = 8;

/// Both are the same; `what` names them in the failure.
pub fn equal<T: PartialEq<U> + Debug, U: Debug>(actual: T, expected: U, what: &str) -> Outcome {
    if actual == expected {
        return Ok(());
    }
    Err(format!(
        "{what}: {}, expected {}",
        shortened(&actual),
        shortened(&expected)
    )
    .into())
}

/// Every part occurs in the text.
pub fn contains(text: &str, parts: &[&str]) -> Outcome {
    match parts.iter().find(|part| !text.contains(*part)) {
        Some(part) => Err(format!("'{part}' is not in '{text}'").into()),
        None => Ok(()),
    }
}

fn shortened(value: &impl Debug) -> String {
    format!("{value:?}").chars().take(300).collect()
}

/// The call ends with a close by the broker of this code, with these texts in its reason.
pub fn closed_with<T: Debug>(result: lapin::Result<T>, code: u16, texts: &[&str]) -> Outcome {
    let error = match result {
        Ok(value) => return Err(format!("closed with {code} expected, not {value:?}").into()),
        Err(error) => error,
    };
    let ErrorKind::ProtocolError(closed) = error.kind() else {
        return Err(format!("closed with {code} expected, not {error}").into());
    };
    equal(closed.get_id(), code, "code of the close")?;
    contains(closed.get_message().as_str(), texts)
}

/// A table of these entries.
pub fn table<const N: usize>(entries: [(&str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert(name.into(), value);
    }
    table
}

/// A string value.
pub fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

/// A binding key or routing key, and the table that goes with it.
pub type Keyed = (&'static str, FieldTable);

/// Bindings of two queues (0 and 1), messages, and who gets which of them.
pub struct Route {
    /// The type of the exchange.
    pub kind: lapin::ExchangeKind,
    /// Queue, key and arguments.
    pub bindings: Vec<(usize, Keyed)>,
    /// Routing key and headers.
    pub messages: Vec<Keyed>,
    /// The numbers of the messages that arrive.
    pub arrive: [&'static [&'static str]; 2],
}

/// How each type of exchange routes.
pub fn routes() -> Vec<Route> {
    use lapin::ExchangeKind::{Direct, Fanout, Headers, Topic};
    let plain = |key| (key, FieldTable::default());
    let one = || ("n", AMQPValue::LongInt(1));
    let two = || ("s", text("two"));
    vec![
        Route {
            kind: Direct,
            bindings: vec![(0, plain("red")), (1, plain("blue"))],
            messages: vec![plain("red"), plain("blue"), plain("green")],
            arrive: [&["0"], &["1"]],
        },
        Route {
            kind: Fanout,
            bindings: vec![(0, plain("")), (1, plain("other"))],
            messages: vec![plain("any"), plain("")],
            arrive: [&["0", "1"], &["0", "1"]],
        },
        Route {
            kind: Topic,
            bindings: vec![(0, plain("a.*.c")), (1, plain("a.#"))],
            messages: vec![plain("a.b.c"), plain("a"), plain("a.b.c.d"), plain("b.a")],
            arrive: [&["0"], &["0", "1", "2"]],
        },
        Route {
            kind: Headers,
            bindings: vec![
                (0, ("", table([("x-match", text("all")), one(), two()]))),
                (1, ("", table([("x-match", text("any")), one(), two()]))),
            ],
            messages: vec![
                ("", table([one(), two()])),
                ("", table([one()])),
                ("", table([("s", text("three"))])),
            ],
            arrive: [&["0"], &["0", "1"]],
        },
    ]
}

/// Every type the client can write.
pub fn headers() -> FieldTable {
    let list = vec![AMQPValue::LongInt(1), text("two"), AMQPValue::Void];
    let empty = table([
        ("list", AMQPValue::FieldArray(FieldArray::default())),
        ("table", AMQPValue::FieldTable(FieldTable::default())),
    ]);
    table([
        ("bool", AMQPValue::Boolean(true)),
        ("i8", AMQPValue::ShortShortInt(-7)),
        ("u8", AMQPValue::ShortShortUInt(200)),
        ("i16", AMQPValue::ShortInt(-300)),
        ("u16", AMQPValue::ShortUInt(65_535)),
        ("i32", AMQPValue::LongInt(i32::MIN)),
        ("u32", AMQPValue::LongUInt(u32::MAX)),
        ("i64", AMQPValue::LongLongInt(i64::MIN)),
        ("f32", AMQPValue::Float(0.25)),
        ("f64", AMQPValue::Double(0.1)),
        (
            "decimal",
            AMQPValue::DecimalValue(DecimalValue {
                scale: 2,
                value: 314,
            }),
        ),
        ("string", text("grüße, 世界")),
        ("empty", text("")),
        ("bytes", AMQPValue::ByteArray(vec![0, 255, 254].into())),
        ("time", AMQPValue::Timestamp(1_709_209_815)),
        ("none", AMQPValue::Void),
        ("list", AMQPValue::FieldArray(list.into())),
        ("nested", AMQPValue::FieldTable(empty)),
    ])
}

/// The only x-death entry, after its fields and the x-first-death headers are checked.
pub fn single_death(
    headers: &FieldTable,
    queue: &str,
    reason: &str,
    exchange: &str,
    key: &str,
) -> Outcome<FieldTable> {
    let deaths = headers.inner().get("x-death").and_then(AMQPValue::as_array);
    let deaths = deaths.map(FieldArray::as_slice).unwrap_or_default();
    let [AMQPValue::FieldTable(death)] = deaths else {
        return Err(format!("one x-death entry expected, not {deaths:?}").into());
    };
    let of = |table: &FieldTable, name: &str| table.inner().get(name).cloned();
    let keys = AMQPValue::FieldArray(vec![text(key)].into());
    equal(
        of(death, "count"),
        Some(AMQPValue::LongLongInt(1)),
        "x-death count",
    )?;
    equal(
        of(death, "routing-keys"),
        Some(keys),
        "x-death routing-keys",
    )?;
    let time = death.inner().get("time").and_then(AMQPValue::as_timestamp);
    equal(time.is_some(), true, "x-death time is a timestamp")?;
    for (field, value) in [("queue", queue), ("reason", reason), ("exchange", exchange)] {
        equal(of(death, field), Some(text(value)), field)?;
        let first = format!("x-first-death-{field}");
        equal(of(headers, &first), Some(text(value)), &first)?;
    }
    Ok(death.clone())
}

//! Methods: the table against its second copy, and every method there and back.

mod as_text;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::args::{ArgReader, ArgWriter};
use super::*;
use crate::strategies::{bytes, field_table, short_text};
use crate::table::FieldTable;

fn kind_name(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Bit => "bit",
        FieldKind::Octet => "octet",
        FieldKind::Short => "short",
        FieldKind::Long => "long",
        FieldKind::LongLong => "longlong",
        FieldKind::Timestamp => "timestamp",
        FieldKind::ShortStr => "shortstr",
        FieldKind::LongStr => "longstr",
        FieldKind::Table => "table",
    }
}

fn as_text(spec: &MethodSpec) -> String {
    let traits = match (spec.synchronous, spec.has_content) {
        (true, true) => "SC",
        (true, false) => "S",
        (false, true) => "C",
        (false, false) => "-",
    };
    let MethodId { class, method } = spec.id;
    let mut text = format!("{class} {method} {} {traits}", spec.name);
    for field in spec.fields {
        text.push_str(&format!(" {}:{}", field.name, kind_name(field.kind)));
    }
    text
}

#[test]
fn ids_names_and_arguments_are_those_of_the_protocol() {
    let mut rows: Vec<&MethodSpec> = METHODS.iter().collect();
    rows.sort_by_key(|spec| spec.id);
    let rows: Vec<String> = rows.into_iter().map(as_text).collect();
    let expected: Vec<&str> = as_text::METHODS_AS_TEXT.lines().collect();
    assert_eq!(rows, expected);
    assert_eq!(rows.len(), 66);
}

#[test]
fn every_id_finds_its_own_row() {
    for row in METHODS {
        assert_eq!(spec(row.id), Some(row));
    }
    assert_eq!(
        spec(MethodId {
            class: 60,
            method: 41
        }),
        None
    );
    assert_eq!(
        spec(MethodId {
            class: 40,
            method: 41
        }),
        None,
        "exchange.unbind-ok is 40,51"
    );
}

#[test]
fn an_id_prints_as_its_name_or_as_numbers() {
    assert_eq!(basic::Publish::ID.to_string(), "basic.publish");
    assert_eq!(basic::RecoverAsync::ID.to_string(), "basic.recover-async");
    assert_eq!(
        MethodId {
            class: 60,
            method: 99
        }
        .to_string(),
        "60,99"
    );
}

/// One argument as bytes, or a bit that still has to share its octet.
#[derive(Clone, Debug)]
enum Arg {
    Bit(bool),
    Bytes(Vec<u8>),
}

fn arg(kind: FieldKind) -> BoxedStrategy<Arg> {
    let fixed = |len| vec(any::<u8>(), len).prop_map(Arg::Bytes).boxed();
    match kind {
        FieldKind::Bit => any::<bool>().prop_map(Arg::Bit).boxed(),
        FieldKind::Octet => fixed(1),
        FieldKind::Short => fixed(2),
        FieldKind::Long => fixed(4),
        FieldKind::LongLong | FieldKind::Timestamp => fixed(8),
        FieldKind::ShortStr => short_text()
            .prop_map(|text| Arg::Bytes([&[text.len() as u8], text.as_bytes()].concat()))
            .boxed(),
        FieldKind::LongStr => bytes()
            .prop_map(|bytes| [&(bytes.len() as u32).to_be_bytes(), &bytes[..]].concat())
            .prop_map(Arg::Bytes)
            .boxed(),
        FieldKind::Table => field_table()
            .prop_map(|table| {
                let mut out = Vec::new();
                table.encode(&mut out).unwrap();
                Arg::Bytes(out)
            })
            .boxed(),
    }
}

/// A payload of this method, packed without the crate's writer.
fn payload(spec: &MethodSpec) -> impl Strategy<Value = Vec<u8>> + use<> {
    let ids = [spec.id.class.to_be_bytes(), spec.id.method.to_be_bytes()].concat();
    let args: Vec<_> = spec.fields.iter().map(|field| arg(field.kind)).collect();
    args.prop_map(move |args| {
        let mut out = ids.clone();
        let mut bits = 0;
        for arg in args {
            match arg {
                Arg::Bytes(bytes) => {
                    out.extend(bytes);
                    bits = 0;
                }
                Arg::Bit(bit) if bits % 8 == 0 => {
                    out.push(bit.into());
                    bits = 1;
                }
                Arg::Bit(bit) => {
                    *out.last_mut().unwrap() += u8::from(bit) << bits;
                    bits += 1;
                }
            }
        }
        out
    })
}

#[track_caller]
fn for_every_method(cases: u32, check: impl Fn(&MethodSpec, &[u8])) {
    for spec in METHODS {
        let mut runner = TestRunner::new(Config::with_cases(cases));
        let checked = runner.run(&payload(spec), |payload| {
            check(spec, &payload);
            Ok(())
        });
        checked.unwrap_or_else(|failure| panic!("{}: {failure}", spec.name));
    }
}

#[test]
fn every_method_returns_unchanged() {
    for_every_method(32, |spec, payload| {
        let method = Method::decode(payload).unwrap();
        assert_eq!(method.id(), spec.id);
        assert_eq!(method.name(), spec.name);
        assert_eq!(method.has_content(), spec.has_content);
        assert_eq!(method.is_synchronous(), spec.synchronous);
        let mut out = vec![0xAA];
        method.encode(&mut out).unwrap();
        assert_eq!(out[1..], *payload);
    });
}

#[test]
fn every_method_cut_short_anywhere_is_truncated() {
    for_every_method(4, |_, payload| {
        for len in 0..payload.len() {
            assert_eq!(
                Method::decode(&payload[..len]),
                Err(DecodeError::Truncated),
                "{len}"
            );
        }
    });
}

#[test]
fn no_method_takes_bytes_behind_its_arguments() {
    for_every_method(4, |_, payload| {
        let longer = [payload, &[0]].concat();
        assert_eq!(Method::decode(&longer), Err(DecodeError::Trailing));
    });
}

#[test]
fn a_publish_is_read_byte_by_byte() {
    let payload = b"\0\x3C\0\x28\0\0\x03amq\x02rk\x02";
    let publish = basic::Publish {
        ticket: 0,
        exchange: "amq",
        routing_key: "rk",
        mandatory: false,
        immediate: true,
    };
    assert_eq!(
        basic::Publish::decode_args(&payload[4..]),
        Ok(publish.clone())
    );
    assert_eq!(Method::decode(payload), Ok(Method::BasicPublish(publish)));
}

#[test]
fn bits_fill_an_octet_from_its_lowest() {
    let declare = |octet| [b"\0\x32\0\x0A\0\0\x01q".as_slice(), &[octet], &[0; 4]].concat();
    let bits = |octet| match Method::decode(&declare(octet)) {
        Ok(Method::QueueDeclare(queue::Declare {
            passive,
            durable,
            exclusive,
            auto_delete,
            nowait,
            ..
        })) => [passive, durable, exclusive, auto_delete, nowait],
        other => panic!("{other:?}"),
    };
    for at in 0..5 {
        assert_eq!(bits(1 << at), std::array::from_fn(|bit| bit == at));
    }
    assert_eq!(
        bits(0b1110_0000),
        [false; 5],
        "the rest of the octet means nothing"
    );
}

#[test]
fn a_ninth_bit_starts_an_octet_and_another_argument_ends_one() {
    let mut out = Vec::new();
    let mut args = ArgWriter::new(&mut out);
    for at in 0..9 {
        args.bit(&(at % 2 == 0)).unwrap();
    }
    args.octet(&7).unwrap();
    args.bit(&true).unwrap();
    assert_eq!(out, [0b0101_0101, 1, 7, 1]);

    let mut args = ArgReader::new(&out);
    for at in 0..9 {
        assert_eq!(args.bit(), Ok(at % 2 == 0));
    }
    assert_eq!(args.octet(), Ok(7));
    assert_eq!(args.bit(), Ok(true));
    assert_eq!(args.finish(), Ok(()));
}

#[test]
fn a_short_string_that_is_not_utf8_is_refused() {
    let payload = b"\0\x32\0\x1E\0\0\x02\xFF\xFE\0";
    assert_eq!(Method::decode(payload), Err(DecodeError::Utf8));
}

#[test]
fn a_short_string_of_256_bytes_is_not_encoded_and_255_are() {
    let text = "x".repeat(256);
    for len in [255, 256] {
        let mut out = b"before".to_vec();
        let purge = queue::Purge {
            queue: &text[..len],
            ..Default::default()
        };
        let encoded = Method::from(purge.clone()).encode(&mut out);
        if len == 255 {
            assert_eq!(encoded, Ok(()));
            assert_eq!(Method::decode(&out[6..]), Ok(purge.into()));
        } else {
            assert_eq!(encoded, Err(EncodeError::ShortStringTooLong(256)));
            assert_eq!(out, b"before");
        }
    }
}

#[test]
fn a_table_argument_has_the_depth_limit() {
    let mut arguments = FieldTable::new();
    for _ in 0..32 {
        arguments = [(Default::default(), arguments.into())]
            .into_iter()
            .collect();
    }
    let declare = queue::Declare {
        queue: "q",
        arguments,
        ..Default::default()
    };
    let mut out = Vec::new();
    assert_eq!(
        Method::from(declare).encode(&mut out),
        Err(EncodeError::TooDeep)
    );
    assert!(out.is_empty());
}

#[test]
fn unknown_ids_are_refused_by_name() {
    for (class, method) in [(60, 99), (99, 1), (0, 0), (u16::MAX, u16::MAX)] {
        let payload = [class.to_be_bytes(), method.to_be_bytes()].concat();
        let id = MethodId { class, method };
        assert_eq!(
            Method::decode(&payload),
            Err(DecodeError::UnknownMethod(id))
        );
    }
}

proptest! {
    #[test]
    fn arbitrary_arguments_never_panic(
        row in 0..METHODS.len(),
        args in vec(any::<u8>(), 0..80),
    ) {
        let MethodId { class, method } = METHODS[row].id;
        let payload = [&class.to_be_bytes()[..], &method.to_be_bytes(), &args].concat();
        if let Ok(method) = Method::decode(&payload) {
            let mut out = Vec::new();
            prop_assert_eq!(method.encode(&mut out), Ok(()));
            prop_assert_eq!(out.len(), payload.len());
        }
        let _ = Method::decode(&args);
    }
}

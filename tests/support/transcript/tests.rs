//! Tests of the format and of the player: what is refused, what is compared, and that a wrong
//! answer is noticed. The broker here is a list of bytes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use super::{Act, Brokers, Outcome, Target, parse, play};
use crate::support::build::{self, Captures};
use crate::support::client::put_frame;
use crate::support::compare;
use crate::support::method::{Field, Header, Method};
use crate::support::term::{self, Item, Sense};
use crate::support::value::{Reader, put_table};

fn item(line: &str) -> Item {
    let phrase = term::parse(line).expect("a line");
    phrase.items.first().expect("an item").clone()
}

fn method(line: &str) -> Method {
    build::method(&item(line), &Captures::new()).expect("a method")
}

#[test]
fn a_line_has_items_senses_and_a_deadline() {
    let phrase = term::parse("3 times a.b x=1 !y z==\"q\" | content body=\"m\"*2 within 10s")
        .expect("a line");
    let first = &phrase.items[0];
    assert_eq!((first.times, first.name.as_str()), (Some(3), "a.b"));
    let senses: Vec<Sense> = first
        .arguments
        .iter()
        .map(|argument| argument.sense)
        .collect();
    assert_eq!(senses, [Sense::Equals, Sense::Absent, Sense::Exactly]);
    assert_eq!(phrase.items[1].name, "content");
    assert_eq!(phrase.within, Some(std::time::Duration::from_secs(10)));
    assert!(!phrase.eventually);
}

#[test]
fn what_cannot_be_read_is_refused() {
    for line in [
        "queue.declare queue=\"open",
        "queue.declare arguments={x 5}",
        "queue.declare arguments={x: 5}",
        "queue.declare arguments={x: I 5",
        "queue.declare queue=\"\\q\"",
        "queue.declare queue=/open",
        "queue.declare within 5",
        "| queue.declare",
        "",
    ] {
        assert!(term::parse(line).is_err(), "{line}");
    }
    for line in [
        "queue.declare quue=q",
        "queue.declared",
        "basic.ack delivery-tag=x",
    ] {
        assert!(
            build::method(&item(line), &Captures::new()).is_err(),
            "{line}"
        );
    }
}

#[test]
fn a_method_is_written_as_the_specification_has_it() {
    let bytes = method("queue.declare queue=q durable=true no-wait=true").encode();
    assert_eq!(bytes, [0, 50, 0, 10, 0, 0, 1, b'q', 0b1_0010, 0, 0, 0, 0]);
    let back = Method::decode(&bytes).expect("a method");
    assert_eq!(back.text("queue"), "q");
    assert_eq!(back.field("durable"), Some(&Field::Bit(true)));
    assert_eq!(back.field("exclusive"), Some(&Field::Bit(false)));
    assert!(Method::decode(&bytes[..bytes.len() - 1]).is_err());
}

#[test]
fn every_type_of_value_comes_back() {
    let line = "x headers={a: true, b: b -1, c: B 255, d: s -2, e: u 65535, f: I -3, g: i 4, \
                h: l -5, i: L 6, j: f 1.5, k: d -2.5, l: D 2:314, m: T 7, n: \"s\", \
                o: x \"b\\0\", p: [I 1, [V]], q: {r: V}, s: V}";
    let term = item(line).arguments[0].term.clone();
    let super::super::support::term::Term::Table(entries) = &term else {
        panic!("a table")
    };
    let table = build::table(entries, &Captures::new()).expect("a table");
    let mut bytes = Vec::new();
    put_table(&mut bytes, &table);
    assert_eq!(Reader::new(&bytes).table().expect("a table"), table);
    let tags: String = table
        .iter()
        .map(|(_, value)| char::from(value.tag))
        .collect();
    assert_eq!(tags, "tbBsuIilLfdDTSxAFV");
}

/// Compares a header that carries `sent` with the expectation `wanted`.
fn headers_match(sent: &str, wanted: &str) -> bool {
    let (header, body) = build::content(&item(sent), &Captures::new()).expect("a content");
    let header = Header::decode(&header.encode()).expect("a header");
    compare::content(&item(wanted), &header, Some(&body), &mut Captures::new()).is_ok()
}

#[test]
fn a_table_is_compared_in_part_or_as_a_whole() {
    let sent = "content priority=3 headers={a: I 1, b: \"x\", c: [I 1, V]} body=\"m\"";
    for wanted in [
        "content headers={a: I 1}",
        "content headers={!z, b: S /^x$/}",
        "content headers=={c: [I *, V], b: \"x\", a: *}",
        "content headers={c: *} priority=3 !expiration body=\"m\"",
    ] {
        assert!(headers_match(sent, wanted), "{wanted}");
    }
    for wanted in [
        "content headers={a: l 1}",
        "content headers={a: I 2}",
        "content headers={z: *}",
        "content headers={!a}",
        "content headers=={a: I 1}",
        "content headers={c: [I 1]}",
        "content headers={b: x \"x\"}",
        "content !priority",
        "content expiration=*",
        "content body=\"n\"",
    ] {
        assert!(!headers_match(sent, wanted), "{wanted}");
    }
}

#[test]
fn a_capture_is_bound_by_a_line_that_matches() {
    let came = method("basic.deliver consumer-tag=c delivery-tag=7");
    let mut captures = Captures::new();
    let wrong = item("basic.deliver delivery-tag=$t consumer-tag=d");
    assert!(compare::method(&wrong, &came, &mut captures).is_err());
    assert!(captures.is_empty());
    let right = item("basic.deliver delivery-tag=$t consumer-tag=c");
    assert!(compare::method(&right, &came, &mut captures).is_ok());
    assert_eq!(captures.get("t"), Some(&b"7".to_vec()));
    let again = method("basic.deliver consumer-tag=c delivery-tag=8");
    assert!(compare::method(&right, &again, &mut captures).is_err());
    let sent = build::method(&item("queue.declare queue=\"q$t\""), &captures).expect("a method");
    assert_eq!(sent.text("queue"), "q7");
}

#[test]
fn a_file_is_read_into_steps() {
    let text = "# fact\nraw\nC2: heartbeat\nS[3]: basic.get-empty\nS(b-1): eof\n\
                S(otherwise): heartbeat\nS: in any order\n  S: a.b\n  S2: a.b\n\
                API: PUT /api/x {\"a\": 1} -> 201|204 {\"b\": 2} eventually\n";
    let script = parse(text).expect("a file");
    assert!(script.raw);
    let lines: Vec<usize> = script.steps.iter().map(|step| step.line).collect();
    assert_eq!(lines, [3, 4, 5, 6, 7, 10]);
    assert_eq!(script.steps[2].brokers, Brokers::Only("b-1".to_owned()));
    assert_eq!(
        script.steps[3].brokers,
        Brokers::Otherwise(vec!["b-1".to_owned()])
    );
    assert!(matches!(&script.steps[0].act, Act::Speak(voice) if voice.channel == 0));
    assert!(matches!(&script.steps[1].act, Act::Hear(voice) if voice.channel == 3));
    assert!(matches!(&script.steps[4].act, Act::Group(voices) if voices.len() == 2));
    let Act::Api(call) = &script.steps[5].act else {
        panic!("a call")
    };
    assert_eq!(
        (call.body.as_str(), call.statuses.as_slice()),
        ("{\"a\": 1}", &[201, 204][..])
    );
    assert_eq!(
        (call.answer.as_str(), call.eventually),
        ("{\"b\": 2}", true)
    );
}

#[test]
fn a_line_that_is_none_is_named() {
    for (text, line) in [
        ("C: a.b\nX: c", 2),
        ("S a.b", 1),
        ("API: GET /api/x", 1),
        ("S: in any order\n  C: a.b", 2),
    ] {
        assert_eq!(parse(text).expect_err(text).line, line, "{text}");
    }
}

#[test]
fn a_name_stands_for_its_versions() {
    let target = |brand: &str| Target {
        amqp: SocketAddr::from(([127, 0, 0, 1], 1)),
        http: None,
        brand: brand.to_owned(),
    };
    assert!(target("rabbitmq-3.10.8").is("rabbitmq-3.10"));
    assert!(target("rabbitmq-3.10.8").is("rabbitmq"));
    assert!(!target("rabbitmq-3.10.8").is("rabbitmq-3.1"));
    assert!(!target("leveret-0.1.0").is("rabbitmq"));
}

/// Plays `text` against a socket that says the given methods, a frame each, and then closes.
fn play_against(says: &[&str], text: &str) -> Outcome {
    let mut bytes = Vec::new();
    for line in says {
        let (channel, line) = line.split_once(' ').expect("a channel");
        let channel = channel.parse().expect("a number");
        put_frame(&mut bytes, 1, channel, &method(line).encode());
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let amqp = listener.local_addr().expect("an address");
    let broker = thread::spawn(move || {
        let (mut socket, _) = listener.accept().expect("a client");
        socket.write_all(&bytes).expect("an open socket");
        socket
            .shutdown(std::net::Shutdown::Write)
            .expect("an open socket");
        let mut heard = Vec::new();
        // The player may hang up in the middle of it.
        let _ = socket.read_to_end(&mut heard);
    });
    let target = Target {
        amqp,
        http: None,
        brand: "leveret-0".to_owned(),
    };
    let outcome = play(&parse(text).expect("a file"), &target, "v", false);
    broker.join().expect("the broker's end");
    outcome
}

fn failed_at(outcome: &Outcome) -> Option<usize> {
    outcome.failure.as_ref().map(|failure| failure.line)
}

const START: &str = "0 connection.start version-minor=9 mechanisms=PLAIN locales=en_US";

#[test]
fn a_conversation_as_written_holds() {
    let text = "raw\nC: protocol-header\nS: connection.start version-minor=9\nS: eof";
    assert_eq!(failed_at(&play_against(&[START], text)), None);
}

#[test]
fn a_wrong_answer_is_a_failure_at_its_line() {
    let text = "raw\nC: protocol-header\nS: connection.start version-minor=8\nS: eof";
    let outcome = play_against(&[START], text);
    assert_eq!(failed_at(&outcome), Some(3));
    assert!(
        outcome
            .failure
            .is_some_and(|failure| failure.got.contains("version-minor=9"))
    );
}

#[test]
fn an_answer_that_does_not_come_is_a_failure() {
    let text = "raw\nC: protocol-header\nS: connection.start\nS: connection.tune";
    assert_eq!(failed_at(&play_against(&[START], text)), Some(4));
}

#[test]
fn what_nobody_asked_for_is_a_failure() {
    let text = "raw\nC: protocol-header\nS: connection.open-ok";
    let quiet = ["0 connection.open-ok", "0 connection.close-ok"];
    assert_eq!(failed_at(&play_against(&quiet, text)), None);
    let loud = [
        "0 connection.open-ok",
        "1 basic.cancel consumer-tag=c",
        "0 connection.close-ok",
    ];
    let outcome = play_against(&loud, text);
    assert_eq!(failed_at(&outcome), Some(0));
    assert!(
        outcome
            .failure
            .is_some_and(|failure| failure.got.contains("basic.cancel"))
    );
    let lenient = format!("{text}\nS: anything");
    assert_eq!(failed_at(&play_against(&loud, &lenient)), None);
}

#[test]
fn a_group_takes_its_lines_in_any_order_and_all_of_them() {
    let says = ["1 basic.ack delivery-tag=2", "1 basic.ack delivery-tag=1"];
    let text = "raw\nC: heartbeat\nS: in any order\n  S: basic.ack delivery-tag=1\n";
    let both = format!("{text}  S: basic.ack delivery-tag=2\n");
    assert_eq!(failed_at(&play_against(&says, &both)), None);
    let other = format!("{text}  S: basic.ack delivery-tag=3\n");
    assert!(failed_at(&play_against(&says, &other)).is_some());
}

#[test]
fn confirms_are_counted_however_they_are_grouped() {
    let says = [
        "1 basic.ack delivery-tag=2 multiple=true",
        "1 basic.ack delivery-tag=3",
    ];
    let text = "raw\nC: heartbeat\nS: acked 1..3\nS: eof";
    assert_eq!(failed_at(&play_against(&says, text)), None);
    assert_eq!(failed_at(&play_against(&says[1..], text)), Some(3));
    let refused = [
        "1 basic.ack delivery-tag=2 multiple=true",
        "1 basic.nack delivery-tag=3",
    ];
    assert_eq!(failed_at(&play_against(&refused, text)), Some(3));
}

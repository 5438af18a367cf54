//! Maps in which something cannot be read, or names what is not there.

use broker_core::access::{HashAlgorithm, User};
use broker_core::broker::restore_order;
use broker_core::definition::VhostSpec;
use broker_core::exchange::ExchangeKind;
use broker_core::queue::handle::QueueId;
use broker_core::topology::{ExchangeSpec, QueueSpec};

use super::*;

fn vhost() -> Definition {
    Definition::Vhost(VhostSpec {
        name: "v".into(),
        description: String::new(),
        tags: Vec::new(),
    })
}

fn user() -> Definition {
    Definition::User(User {
        name: "u".into(),
        password_hash: Vec::new(),
        algorithm: HashAlgorithm::Sha256,
        tags: Vec::new(),
    })
}

fn permission(read: &str) -> Definition {
    Definition::Permission {
        vhost: "v".into(),
        user: "u".into(),
        patterns: [".*".into(), ".*".into(), read.into()],
    }
}

fn exchange() -> Definition {
    let exchange = ExchangeSpec {
        name: "x".into(),
        kind: ExchangeKind::parse("topic").expect("a type"),
        durable: true,
        auto_delete: false,
        internal: false,
        arguments: Default::default(),
    };
    Definition::Exchange("v".into(), exchange)
}

fn queue(name: &str, id: u64) -> Definition {
    let queue = QueueSpec {
        name: name.into(),
        durable: true,
        exclusive: None,
        auto_delete: false,
        arguments: Default::default(),
    };
    Definition::Queue("v".into(), queue, QueueId(id))
}

fn binding(source: &str, destination: Destination) -> Definition {
    let binding = BindingSpec {
        source: source.into(),
        destination,
        routing_key: "k".into(),
        arguments: Default::default(),
    };
    Definition::Binding("v".into(), binding)
}

/// Something of everything, with nothing missing.
fn all() -> Vec<Definition> {
    vec![
        vhost(),
        user(),
        permission(".*"),
        exchange(),
        queue("q", 1),
        binding("x", Destination::Queue("q".into())),
        binding("amq.topic", Destination::Exchange("x".into())),
    ]
}

fn read(definitions: &[Definition]) -> (Definitions, Vec<String>) {
    let entries = definitions.iter();
    let map: Map = entries.map(|one| (one.key(), one.value())).collect();
    let mut findings = Vec::new();
    let there = Definitions::read(&map, &mut findings);
    (there, findings.into_iter().map(|one| one.what).collect())
}

#[track_caller]
fn assert_unusable(definitions: &[Definition], expected: &str) {
    let (_, findings) = read(definitions);
    let expected = format!("the definition of {expected}");
    assert_eq!(findings, [expected]);
}

#[test]
fn definitions_whose_parts_are_there_are_in_order() {
    let (there, findings) = read(&all());
    assert_eq!(findings, Vec::<String>::new());
    let queue = there.ids.get(&1).expect("the queue");
    assert_eq!((&*queue.0, &*queue.1), ("v", "q"));
}

#[test]
fn what_a_definition_names_must_be_there() {
    let without = |gone: Definition| -> Vec<Definition> {
        all().into_iter().filter(|one| *one != gone).collect()
    };
    assert_unusable(
        &without(user()),
        "the permission of user 'u' in vhost 'v' cannot be used: no user 'u'",
    );
    assert_unusable(
        &without(queue("q", 1)),
        "the binding of 'q' to 'x' in vhost 'v' cannot be used: no queue 'q'",
    );
    let (_, findings) = read(&without(exchange()));
    assert_eq!(findings.len(), 2, "both bindings: {findings:?}");
    let (_, findings) = read(&without(vhost()));
    assert_eq!(findings.len(), 5, "all but the user: {findings:?}");
    assert!(
        all().iter().all(|one| restore_order(one) <= 5),
        "no other kinds"
    );
}

#[test]
fn two_queues_with_one_id_and_a_wrong_pattern_are_found() {
    assert_unusable(
        &[vhost(), queue("a", 1), queue("b", 1)],
        "queue 'b' in vhost 'v' cannot be used: id 1 is that of queue 'a' as well",
    );
    let (_, findings) = read(&[vhost(), user(), permission("(")]);
    assert_eq!(findings.len(), 1);
    assert!(findings[0].contains("read pattern '('"), "{findings:?}");
}

#[test]
fn a_definition_that_cannot_be_read_is_named_by_its_key() {
    let mut map: Map = all().iter().map(|one| (one.key(), one.value())).collect();
    map.insert(queue("r", 2).key(), vec![1, 0]);
    map.insert(b"?".to_vec(), vec![1, 0, 0, 0, 0]);
    let mut findings = Vec::new();
    Definitions::read(&map, &mut findings);
    let findings: Vec<_> = findings.into_iter().map(|one| one.what).collect();
    assert_eq!(findings.len(), 2, "{findings:?}");
    let unknown = "the definition of ? cannot be used: unknown kind of definition";
    assert_eq!(findings[0], unknown);
    assert!(findings[1].contains(r"y\x00\x01v\x00\x01r"), "{findings:?}");
}

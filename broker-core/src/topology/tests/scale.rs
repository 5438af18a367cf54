//! Many queues and bindings: a search through all of them for each would not come to an end here.

use super::*;

const MANY: usize = 10_000;

/// A queue of one machine stands for all: only their names matter here.
fn many_queues() -> (Topology, Vec<String>) {
    let mut topology = Topology::new("v".into());
    let names: Vec<String> = (0..MANY).map(|number| format!("queue.{number}")).collect();
    let shared = handle("shared");
    for name in &names {
        let spec = QueueSpec {
            exclusive: Some(1),
            ..queue(name)
        };
        topology.insert_queue(spec, Arc::clone(&shared));
    }
    (topology, names)
}

#[test]
fn many_queues_share_a_key_and_have_keys_of_their_own() {
    let (mut topology, names) = many_queues();
    for name in &names {
        bind(&mut topology, to_queue("amq.fanout", name, ""));
        bind(&mut topology, to_queue("amq.direct", name, "shared"));
        bind(
            &mut topology,
            to_queue("amq.topic", name, &format!("own.{name}.#")),
        );
        let arguments = table(&[("shared", 1.into()), ("own", name.as_str().into())]);
        bind(
            &mut topology,
            BindingSpec {
                arguments,
                ..to_queue("amq.headers", name, "")
            },
        );
    }
    assert_eq!(topology.bindings().count(), 4 * MANY);
    assert_eq!(routed(&topology, "amq.direct", &["shared"]).len(), MANY);
    assert_eq!(routed(&topology, "amq.topic", &["own.queue.77.x"]).len(), 1);
    for name in &names[..MANY / 2] {
        topology
            .unbind(&to_queue("amq.direct", name, "shared"))
            .expect("fine");
        assert_eq!(topology.remove_queue(name).bindings.len(), 3);
    }
    assert_eq!(
        routed(&topology, "amq.fanout", &[""]).len(),
        MANY - MANY / 2
    );
    assert_eq!(topology.exclusive_queues(1).len(), MANY - MANY / 2);
    assert_eq!(topology.bindings().count(), 4 * (MANY - MANY / 2));
}

#[test]
fn many_bindings_of_one_queue_and_between_two_exchanges() {
    let mut topology = topology(&[exchange("x", ExchangeKind::Topic)], &["q"]);
    for number in 0..MANY {
        bind(
            &mut topology,
            to_queue("amq.direct", "q", &format!("k{number}")),
        );
        bind(
            &mut topology,
            to_exchange("amq.topic", "x", &format!("k{number}")),
        );
        // Each of these tells the one exchange above, not its many bindings.
        bind(&mut topology, to_queue("x", "q", &format!("k{number}")));
    }
    assert_eq!(routed(&topology, "amq.topic", &["k77"]), ["q"]);
    assert_eq!(topology.remove_queue("q").bindings.len(), 2 * MANY);
    assert_eq!(
        topology
            .delete_exchange("x", false)
            .expect("deleted")
            .bindings
            .len(),
        MANY
    );
    assert_eq!(topology.bindings().count(), 0);
}

//! What makes remembered routes invalid, and what does not.

use super::*;

/// x -e2e-> y -alternate-> z -e2e-> w, beside an exchange "other" that none of them reaches.
fn chain() -> Topology {
    let fanout = |name: &str| exchange(name, ExchangeKind::Fanout);
    let mut topology = topology(
        &[
            fanout("x"),
            with_alternate(fanout("y"), "z"),
            fanout("z"),
            fanout("w"),
            fanout("other"),
        ],
        &["q"],
    );
    bind(&mut topology, to_exchange("x", "y", ""));
    bind(&mut topology, to_exchange("z", "w", ""));
    topology
}

/// The exchanges of the chain whose generation a change bumps.
fn bumped(topology: &mut Topology, change: impl FnOnce(&mut Topology)) -> Vec<&'static str> {
    let names = ["x", "y", "z", "w", "other", ""];
    let before = names.map(|name| {
        let generation = topology.generation(name)?;
        let seen = generation.load(Ordering::Acquire);
        Some((name, generation, seen))
    });
    change(topology);
    let changed = |generation: &AtomicU64, seen| generation.load(Ordering::Acquire) != seen;
    before
        .into_iter()
        .flatten()
        .filter(|(_, generation, seen)| changed(generation, *seen))
        .map(|(name, ..)| name)
        .collect()
}

#[test]
fn a_binding_bumps_all_exchanges_above_it() {
    let mut topology = chain();
    for (source, expected) in [
        ("x", &["x"][..]),
        ("y", &["x", "y"]),
        ("z", &["x", "y", "z"]),
        ("w", &["x", "y", "z", "w"]),
        ("other", &["other"]),
    ] {
        let spec = to_queue(source, "q", "");
        let by_bind = bumped(&mut topology, |topology| bind(topology, spec.clone()));
        assert_eq!(by_bind, expected, "bind at {source}");
        let by_again = bumped(&mut topology, |topology| {
            assert_eq!(topology.bind(spec.clone()), Ok(false));
        });
        assert!(by_again.is_empty(), "bind again at {source}");
        let by_unbind = bumped(&mut topology, |topology| {
            assert!(topology.unbind(&spec).is_ok());
        });
        assert_eq!(by_unbind, expected, "unbind at {source}");
        let by_again = bumped(&mut topology, |topology| {
            assert!(topology.unbind(&spec).is_ok());
        });
        assert!(by_again.is_empty(), "unbind again at {source}");
    }
}

#[test]
fn queues_without_bindings_bump_nobody() {
    let mut topology = chain();
    let by_insert = bumped(&mut topology, |topology| {
        topology.insert_queue(queue("r"), handle("r"))
    });
    let by_remove = bumped(&mut topology, |topology| drop(topology.remove_queue("r")));
    assert!(by_insert.is_empty() && by_remove.is_empty());
}

#[test]
fn deleting_a_queue_bumps_what_it_was_bound_to() {
    let mut topology = chain();
    bind(&mut topology, to_queue("y", "q", ""));
    assert_eq!(
        bumped(&mut topology, |topology| drop(topology.remove_queue("q"))),
        ["x", "y"]
    );
}

#[test]
fn unrelated_exchanges_come_and_go_unnoticed() {
    let mut topology = chain();
    let by_declare = bumped(&mut topology, |topology| {
        assert_eq!(
            topology.declare_exchange(exchange("new", ExchangeKind::Topic)),
            Ok(true)
        );
        assert_eq!(
            topology.declare_exchange(exchange("new", ExchangeKind::Topic)),
            Ok(false)
        );
    });
    let by_delete = bumped(&mut topology, |topology| {
        assert!(topology.delete_exchange("new", false).is_ok());
    });
    assert!(by_declare.is_empty() && by_delete.is_empty());
}

#[test]
fn deleting_an_exchange_bumps_itself_and_all_above() {
    for (name, expected) in [
        ("w", &["x", "y", "z", "w"][..]),
        ("z", &["x", "y", "z"]),
        ("y", &["x", "y"]),
        ("x", &["x"]),
        ("other", &["other"]),
    ] {
        let mut topology = chain();
        let by_delete = bumped(&mut topology, |topology| {
            assert!(topology.delete_exchange(name, false).is_ok());
        });
        assert_eq!(by_delete, expected, "{name}");
    }
}

#[test]
fn an_alternate_that_comes_bumps_those_that_name_it() {
    let mut topology = chain();
    topology.delete_exchange("z", false).expect("deleted");
    let by_declare = bumped(&mut topology, |topology| {
        assert_eq!(
            topology.declare_exchange(exchange("z", ExchangeKind::Direct)),
            Ok(true)
        );
    });
    assert_eq!(by_declare, ["x", "y"]);
}

#[test]
fn an_auto_delete_exchange_that_goes_bumps_those_above() {
    let mut topology = chain();
    let spec = auto_delete(exchange("gone", ExchangeKind::Fanout));
    assert_eq!(topology.declare_exchange(spec), Ok(true));
    bind(&mut topology, to_exchange("w", "gone", ""));
    bind(&mut topology, to_queue("gone", "q", ""));
    let by_remove = bumped(&mut topology, |topology| drop(topology.remove_queue("q")));
    assert_eq!(by_remove, ["x", "y", "z", "w"]);
    assert!(topology.exchange("gone").is_none());
}

#[test]
fn circles_are_walked_once() {
    let mut topology = chain();
    bind(&mut topology, to_exchange("w", "x", ""));
    bind(&mut topology, to_exchange("w", "w", ""));
    let seen = |topology: &Topology, name| {
        topology
            .generation(name)
            .expect("there")
            .load(Ordering::Acquire)
    };
    let before = ["x", "y", "z", "w"].map(|name| seen(&topology, name));
    bind(&mut topology, to_queue("y", "q", ""));
    let after = ["x", "y", "z", "w"].map(|name| seen(&topology, name));
    assert_eq!(after, before.map(|generation| generation + 1));
}

#[test]
fn a_new_exchange_of_an_old_name_has_a_generation_of_its_own() {
    let mut topology = chain();
    let old = topology.generation("other").expect("there");
    topology.delete_exchange("other", false).expect("deleted");
    assert_eq!(
        topology.declare_exchange(exchange("other", ExchangeKind::Fanout)),
        Ok(true)
    );
    let new = topology.generation("other").expect("there");
    assert!(!Arc::ptr_eq(&old, &new));
}

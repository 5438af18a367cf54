//! Random changes, compared with a topology that is three lists and a search through them.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const EXCHANGES: [&str; 4] = ["a", "b", "c", "d"];
const QUEUES: [&str; 3] = ["p", "q", "r"];
const KEYS: [&str; 3] = ["k", "l.m", ""];

#[derive(Clone, Debug)]
enum Change {
    DeclareExchange(ExchangeSpec),
    DeleteExchange(&'static str, bool),
    InsertQueue(&'static str),
    RemoveQueue(&'static str),
    Bind(BindingSpec),
    Unbind(BindingSpec),
}

/// What there is, as lists.
#[derive(Default)]
struct Lists {
    exchanges: Vec<ExchangeSpec>,
    queues: Vec<QueueSpec>,
    bindings: Vec<BindingSpec>,
}

impl Lists {
    fn exchange(&self, name: &str) -> Option<&ExchangeSpec> {
        self.exchanges.iter().find(|spec| *spec.name == *name)
    }

    fn has(&self, destination: &Destination) -> bool {
        match destination {
            Destination::Queue(name) => self.queues.iter().any(|spec| spec.name == *name),
            Destination::Exchange(name) => self.exchange(name).is_some(),
        }
    }

    /// Applies a change and gives what it removed.
    fn apply(&mut self, change: &Change) -> Removed {
        let mut removed = Removed::default();
        match change {
            Change::DeclareExchange(spec) => {
                if self.exchange(&spec.name).is_none() {
                    self.exchanges.push(spec.clone());
                }
            }
            Change::DeleteExchange(name, if_unused) => {
                let in_use = self.bindings.iter().any(|spec| *spec.source == **name);
                if !(*if_unused && in_use) {
                    self.remove_exchange(name, &mut removed);
                }
            }
            Change::InsertQueue(name) => {
                if !self.has(&Destination::Queue((*name).into())) {
                    self.queues.push(queue(name));
                }
            }
            Change::RemoveQueue(name) => {
                if let Some(place) = self.queues.iter().position(|spec| *spec.name == **name) {
                    removed.queue = Some(self.queues.remove(place));
                    let gone = Destination::Queue((*name).into());
                    self.remove_bindings(|spec| spec.destination == gone, &mut removed);
                }
            }
            Change::Bind(spec) => {
                let ends = self.exchange(&spec.source).is_some() && self.has(&spec.destination);
                if ends && !self.bindings.contains(spec) {
                    self.bindings.push(spec.clone());
                }
            }
            Change::Unbind(spec) => self.remove_bindings(|other| other == spec, &mut removed),
        }
        removed
    }

    fn remove_exchange(&mut self, name: &str, removed: &mut Removed) {
        if let Some(place) = self.exchanges.iter().position(|spec| *spec.name == *name) {
            removed.exchanges.push(self.exchanges.remove(place));
            let as_destination = Destination::Exchange(name.into());
            let touches =
                |spec: &BindingSpec| *spec.source == *name || spec.destination == as_destination;
            self.remove_bindings(touches, removed);
        }
    }

    fn remove_bindings(&mut self, gone: impl Fn(&BindingSpec) -> bool, removed: &mut Removed) {
        let mut sources = Vec::new();
        self.bindings.retain(|spec| {
            if gone(spec) {
                sources.push(Arc::clone(&spec.source));
                removed.bindings.push(spec.clone());
            }
            !gone(spec)
        });
        for source in sources {
            let is_used = self.bindings.iter().any(|spec| spec.source == source);
            if !is_used && self.exchange(&source).is_some_and(|spec| spec.auto_delete) {
                self.remove_exchange(&source, removed);
            }
        }
    }

    fn route(&self, exchange: &str, key: &str, headers: Option<&FieldTable>) -> Vec<String> {
        let mut queues = Vec::new();
        let mut seen = Vec::new();
        let mut waiting = vec![exchange.to_owned()];
        while let Some(name) = waiting.pop() {
            let Some(spec) = self.exchange(&name) else {
                continue;
            };
            if seen.contains(&name) {
                continue;
            }
            seen.push(name);
            let matching: Vec<_> = self
                .bindings
                .iter()
                .filter(|binding| binding.source == spec.name && takes(spec, binding, key, headers))
                .collect();
            if matching.is_empty() {
                waiting.extend(alternate_of(spec).map(str::to_owned));
            }
            for binding in matching {
                match &binding.destination {
                    Destination::Queue(name) => queues.push(name.to_string()),
                    Destination::Exchange(name) => waiting.push(name.to_string()),
                }
            }
        }
        queues.sort();
        queues.dedup();
        queues
    }
}

fn takes(
    spec: &ExchangeSpec,
    binding: &BindingSpec,
    key: &str,
    headers: Option<&FieldTable>,
) -> bool {
    match spec.kind {
        ExchangeKind::Direct => *binding.routing_key == *key,
        ExchangeKind::Fanout => true,
        // The keys in use have no wildcards but "#".
        ExchangeKind::Topic => *binding.routing_key == *key || *binding.routing_key == *"#",
        ExchangeKind::Headers => binding
            .arguments
            .iter()
            .all(|(name, value)| headers.and_then(|headers| headers.get(name)) == Some(value)),
    }
}

/// Everything that a publish may come to, for all ways to publish.
fn all_routes(lists: &Lists) -> BTreeMap<(&'static str, &'static str, bool), Vec<String>> {
    let headers = table(&[("h", 1.into())]);
    let mut routes = BTreeMap::new();
    for exchange in EXCHANGES
        .into_iter()
        .filter(|name| lists.exchange(name).is_some())
    {
        for key in KEYS {
            for with_headers in [false, true] {
                let queues = lists.route(exchange, key, with_headers.then_some(&headers));
                routes.insert((exchange, key, with_headers), queues);
            }
        }
    }
    routes
}

fn exchange_spec() -> impl Strategy<Value = ExchangeSpec> {
    let name = proptest::sample::select(&EXCHANGES[..]);
    let kind = proptest::sample::select(&ExchangeKind::ALL[..]);
    let alternate = proptest::option::of(proptest::sample::select(&EXCHANGES[..]));
    (name, kind, any::<bool>(), alternate).prop_map(|(name, kind, auto_delete, alternate)| {
        let spec = ExchangeSpec {
            auto_delete,
            ..exchange(name, kind)
        };
        match alternate {
            Some(alternate) => with_alternate(spec, alternate),
            None => spec,
        }
    })
}

fn binding_spec() -> impl Strategy<Value = BindingSpec> {
    let source = proptest::sample::select(&EXCHANGES[..]);
    let destination = prop_oneof![
        proptest::sample::select(&QUEUES[..]).prop_map(|name| Destination::Queue(name.into())),
        proptest::sample::select(&EXCHANGES[..])
            .prop_map(|name| Destination::Exchange(name.into())),
    ];
    let key = proptest::sample::select(&["k", "l.m", "", "#"][..]);
    (source, destination, key, any::<bool>()).prop_map(|(source, destination, key, arguments)| {
        let entries = [("h", FieldValue::I32(1))];
        BindingSpec {
            source: source.into(),
            destination,
            routing_key: key.into(),
            arguments: table(if arguments { &entries } else { &[] }),
        }
    })
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => exchange_spec().prop_map(Change::DeclareExchange),
        1 => (proptest::sample::select(&EXCHANGES[..]), any::<bool>())
            .prop_map(|(name, if_unused)| Change::DeleteExchange(name, if_unused)),
        2 => proptest::sample::select(&QUEUES[..]).prop_map(Change::InsertQueue),
        1 => proptest::sample::select(&QUEUES[..]).prop_map(Change::RemoveQueue),
        6 => binding_spec().prop_map(Change::Bind),
        2 => binding_spec().prop_map(Change::Unbind),
    ]
}

/// Applies a change and gives what it removed; refusals are for other tests.
fn apply(topology: &mut Topology, change: &Change) -> Removed {
    match change {
        Change::DeclareExchange(spec) => {
            let _ = topology.declare_exchange(spec.clone());
        }
        Change::DeleteExchange(name, if_unused) => {
            return topology
                .delete_exchange(name, *if_unused)
                .unwrap_or_default();
        }
        Change::InsertQueue(name) => {
            if topology.queue(name).is_none() {
                topology.insert_queue(queue(name), handle(name));
            }
        }
        Change::RemoveQueue(name) => return topology.remove_queue(name),
        Change::Bind(spec) => {
            let _ = topology.bind(spec.clone());
        }
        Change::Unbind(spec) => return topology.unbind(spec).unwrap_or_default(),
    }
    Removed::default()
}

fn sorted(mut removed: Removed) -> Removed {
    removed.exchanges.sort_by(|a, b| a.name.cmp(&b.name));
    sort_bindings(&mut removed.bindings);
    removed
}

fn sort_bindings(bindings: &mut [BindingSpec]) {
    bindings.sort_by_key(|spec| format!("{spec:?}"));
}

fn is_own(name: &str) -> bool {
    EXCHANGES.contains(&name)
}

proptest! {
    #[test]
    fn it_does_what_three_lists_do(changes in proptest::collection::vec(change(), 1..40)) {
        let mut topology = Topology::new("v".into());
        let mut lists = Lists::default();
        let headers = table(&[("h", 1.into())]);
        for change in &changes {
            let routes_before = all_routes(&lists);
            let generations: Vec<_> = EXCHANGES
                .into_iter()
                .filter_map(|name| {
                    let generation = topology.generation(name)?;
                    let seen = generation.load(Ordering::Acquire);
                    Some((name, generation, seen))
                })
                .collect();

            let removed = apply(&mut topology, change);
            prop_assert_eq!(sorted(removed), sorted(lists.apply(change)), "{:?}", change);

            let routes = all_routes(&lists);
            for ((exchange, key, with_headers), queues) in &routes {
                let headers = with_headers.then_some(&headers);
                let mut found: Vec<String> = found(&topology, exchange, &[key], headers)
                    .queues
                    .iter()
                    .map(|queue| queue.identity().name.to_string())
                    .collect();
                found.sort();
                prop_assert_eq!(&found, queues, "{} {:?}", exchange, key);
            }
            for (exchange, generation, seen) in generations {
                let of_it = |(route, queues)| {
                    let (name, key, with_headers): &(&str, &str, bool) = route;
                    let queues: &Vec<String> = queues;
                    (*name == exchange).then(|| ((*key, *with_headers), queues.clone()))
                };
                let before: Vec<_> = routes_before.iter().filter_map(of_it).collect();
                let after: Vec<_> = routes.iter().filter_map(of_it).collect();
                prop_assert!(
                    before == after || generation.load(Ordering::Acquire) > seen,
                    "{:?} changed routes of {} in secret", change, exchange
                );
            }

            let mut all: Vec<BindingSpec> = topology.bindings().cloned().collect();
            sort_bindings(&mut all);
            let mut expected = lists.bindings.clone();
            sort_bindings(&mut expected);
            prop_assert_eq!(&all, &expected);
            let exchanges = topology.exchanges().filter(|spec| is_own(&spec.name));
            prop_assert_eq!(exchanges.count(), lists.exchanges.len());
            let queues = QUEUES.map(|name| Destination::Queue(name.into()));
            let exchanges = EXCHANGES.map(|name| Destination::Exchange(name.into()));
            let incoming = queues.iter().chain(&exchanges);
            let incoming: usize = incoming.map(|end| topology.bindings_to(end).count()).sum();
            prop_assert_eq!(incoming, all.len());
        }
    }
}

//! Random commands against a naive model: a list of messages and the rules of the documentation,
//! sharing no code with the queue. After every command both must have delivered the same messages
//! and hold the same; which of several equal consumers got one is only checked to be fair.

mod naive;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::inbox::INBOX_BYTES_MAX;
use naive::{Msg, Naive, Taker};

#[derive(Clone, Debug)]
struct Draft {
    priority: u8,
    body: usize,
    ttl: Option<u64>,
}

#[derive(Clone, Debug)]
enum Op {
    Publish(Vec<Draft>),
    Consume {
        client: usize,
        no_ack: bool,
        prefetch: u16,
        priority: i32,
    },
    Cancel(usize),
    Get {
        no_ack: bool,
    },
    Ack(Vec<usize>),
    Requeue(Vec<usize>),
    Reject(Vec<usize>),
    Return(Vec<usize>),
    ReturnUnseen,
    Advance(u64),
    Purge,
    Remove(Vec<u64>),
    Settle(usize),
    Configure(Settings),
    Block(usize),
    Unblock(usize),
}

fn settings() -> impl Strategy<Value = Settings> {
    let overflow = prop_oneof![
        Just(Overflow::DropHead),
        Just(Overflow::RejectPublish),
        Just(Overflow::RejectPublishDlx)
    ];
    (
        proptest::option::weighted(0.3, 0u64..80),
        proptest::option::weighted(0.3, 0u64..12),
        proptest::option::weighted(0.3, 0u64..200),
        overflow,
        any::<bool>(),
    )
        .prop_map(
            |(message_ttl, max_length, max_length_bytes, overflow, dead)| {
                let settings = Settings {
                    message_ttl,
                    max_length,
                    max_length_bytes,
                    overflow,
                    ..Settings::default()
                };
                if dead {
                    with_dead_letters(settings)
                } else {
                    settings
                }
            },
        )
}

fn op() -> impl Strategy<Value = Op> {
    let draft = (
        0u8..5,
        0usize..40,
        proptest::option::weighted(0.3, 0u64..60),
    )
        .prop_map(|(priority, body, ttl)| Draft {
            priority,
            body,
            ttl,
        });
    let picks = || vec(any::<usize>(), 1..6);
    prop_oneof![
        6 => vec(draft, 1..30).prop_map(Op::Publish),
        2 => (0usize..2, any::<bool>(), 0u16..5, -1i32..2).prop_map(
            |(client, no_ack, prefetch, priority)| Op::Consume { client, no_ack, prefetch, priority }
        ),
        2 => any::<usize>().prop_map(Op::Cancel),
        2 => any::<bool>().prop_map(|no_ack| Op::Get { no_ack }),
        4 => picks().prop_map(Op::Ack),
        3 => picks().prop_map(Op::Requeue),
        2 => picks().prop_map(Op::Reject),
        1 => picks().prop_map(Op::Return),
        1 => Just(Op::ReturnUnseen),
        3 => (0u64..50).prop_map(Op::Advance),
        1 => Just(Op::Purge),
        1 => vec(1u64..200, 1..10).prop_map(Op::Remove),
        1 => (0usize..5).prop_map(Op::Settle),
        1 => settings().prop_map(Op::Configure),
        1 => (0usize..2).prop_map(Op::Block),
        2 => (0usize..2).prop_map(Op::Unblock),
    ]
}

/// Without the limits for which it matters when a head that must be read first is dropped: those
/// in bytes, and any with priorities.
fn dropping_in_any_order(settings: &Settings, max_priority: Option<u8>) -> Settings {
    Settings {
        max_length: settings.max_length.filter(|_| max_priority.is_none()),
        max_length_bytes: None,
        ..settings.clone()
    }
}

struct Run {
    bed: Bed,
    clients: [Client; 2],
    getter: Client,
    naive: Naive,
    next_consumer: u64,
    /// The no-ack deliveries of the last command, as they could be returned.
    unseen: Vec<Msg>,
    unseen_records: Records,
}

impl Run {
    fn new(host: Surroundings, settings: Settings, max_priority: Option<u8>) -> Run {
        let settings = Settings {
            max_priority,
            ..settings
        };
        let bed = Bed::amid(host, identity(), settings.clone());
        let now = bed.now.0;
        Run {
            bed,
            clients: [Client::new(), Client::new()],
            getter: Client::new(),
            naive: Naive {
                settings,
                max_priority,
                now,
                next: 1,
                ..Naive::default()
            },
            next_consumer: 1,
            unseen: Vec::new(),
            unseen_records: Records::new(),
        }
    }

    fn step(&mut self, op: &Op) {
        self.naive.out.clear();
        self.bed.host.armed.lock().clear();
        match op {
            Op::Publish(drafts) => self.publish(drafts),
            Op::Consume {
                client,
                no_ack,
                prefetch,
                priority,
            } => {
                self.consume(*client, *no_ack, *prefetch, *priority);
            }
            Op::Cancel(pick) => self.cancel(*pick),
            Op::Get { no_ack } => return self.get(*no_ack),
            Op::Ack(picks) => self.settle(picks, Settle::Ack),
            Op::Requeue(picks) => self.settle(picks, Settle::Requeue),
            Op::Reject(picks) => self.settle(picks, Settle::Reject),
            Op::Return(picks) => self.settle(picks, Settle::Return),
            Op::ReturnUnseen => self.return_unseen(),
            Op::Advance(ms) => {
                self.naive.now += ms;
                self.bed.now = Timestamp(self.naive.now);
                self.bed.submit(Command::Tick);
            }
            Op::Purge => {
                self.naive.gone += self.naive.ready.len() as u64;
                self.naive.ready.clear();
                self.bed.submit(Command::Purge { reply: None });
            }
            Op::Remove(ordinals) => {
                let before = self.naive.ready.len();
                self.naive
                    .ready
                    .retain(|msg| !ordinals.contains(&msg.ordinal));
                self.naive.gone += (before - self.naive.ready.len()) as u64;
                self.bed.submit(Command::Remove {
                    ordinals: ordinals.clone(),
                });
            }
            Op::Settle(max) => self.settle_dead(*max),
            Op::Configure(settings) => {
                let max_priority = self.naive.max_priority;
                self.naive.settings = Settings {
                    max_priority,
                    ..settings.clone()
                };
                self.naive.trim();
                self.bed.submit(Command::Configure(settings.clone()));
            }
            Op::Block(client) => {
                if !std::mem::replace(&mut self.naive.blocked[*client], true) {
                    self.clients[*client].inbox.reserve_bytes(INBOX_BYTES_MAX);
                }
                return;
            }
            Op::Unblock(client) => {
                self.unblock(*client);
                // Without a skipped queue there is nobody to resume, and nothing to deliver.
                if self.naive.room() == 0 || self.naive.ready.is_empty() {
                    return;
                }
            }
        }
        self.naive.finish();
        self.compare_deliveries();
        self.compare_state();
    }

    fn unblock(&mut self, client: usize) {
        if std::mem::take(&mut self.naive.blocked[client]) {
            self.clients[client].inbox.release_bytes(INBOX_BYTES_MAX);
        }
        self.clients[client].resume(self.bed.now);
    }

    fn publish(&mut self, drafts: &[Draft]) {
        let bodies: Vec<String> = drafts.iter().map(|draft| "b".repeat(draft.body)).collect();
        let now = self.bed.now;
        let messages = drafts.iter().zip(&bodies).map(|(draft, body)| Message {
            priority: draft.priority,
            expires_at: draft.ttl.map(|ttl| now.plus_ms(ttl)),
            ..message(body)
        });
        self.bed.publish_all(messages);
        self.naive.publish(drafts);
    }

    fn consume(&mut self, client: usize, no_ack: bool, prefetch: u16, priority: i32) {
        let id = self.next_consumer;
        self.next_consumer += 1;
        let spec = self.clients[client].spec(id);
        let spec = ConsumerSpec {
            no_ack,
            prefetch,
            priority,
            ..spec
        };
        self.clients[client].consume_as(&self.bed, spec);
        let prefetch = u64::from(prefetch);
        self.naive.takers.push(Taker {
            id,
            client,
            no_ack,
            prefetch,
            priority,
            unacked: 0,
        });
    }

    fn cancel(&mut self, pick: usize) {
        if self.naive.takers.is_empty() {
            return;
        }
        let taker = self.naive.takers.remove(pick % self.naive.takers.len());
        self.bed.submit(Command::Cancel {
            consumer: ConsumerId(taker.id),
            reply: None,
        });
    }

    fn get(&mut self, no_ack: bool) {
        let reply = self.getter.reply(1);
        self.bed.submit(Command::Get {
            no_ack,
            reply,
            consumer: ConsumerId(0),
        });
        let got = self.getter.deliveries();
        while let Some(index) = self.naive.head() {
            if !self.naive.late(&self.naive.ready[index]) {
                break;
            }
            let msg = self.naive.ready.remove(index);
            self.naive.die(msg);
        }
        match self.naive.head() {
            None => assert!(got.is_empty()),
            Some(index) => {
                let msg = self.naive.ready.remove(index);
                assert_eq!(ordinals(&got), [msg.ordinal]);
                assert_eq!(got[0].redelivered, msg.redelivered);
                match no_ack {
                    true => self.naive.gone += 1,
                    false => self.naive.unacked.push((msg, 0)),
                }
            }
        }
        self.naive.finish();
        self.compare_deliveries();
        self.compare_state();
    }

    fn settle(&mut self, picks: &[usize], how: Settle) {
        let mut ordinals: Vec<u64> = Vec::new();
        for pick in picks {
            if self.naive.unacked.is_empty() {
                break;
            }
            let index = pick % self.naive.unacked.len();
            let ordinal = self.naive.unacked[index].0.ordinal;
            let Some(mut msg) = self.naive.unack(ordinal) else {
                continue;
            };
            ordinals.push(ordinal);
            match how {
                Settle::Ack => self.naive.gone += 1,
                Settle::Reject => self.naive.die(msg),
                Settle::Requeue | Settle::Return => {
                    msg.redelivered |= matches!(how, Settle::Requeue);
                    self.naive.ready.push(msg);
                }
            }
        }
        if matches!(how, Settle::Requeue | Settle::Return) {
            self.naive.trim();
        }
        self.bed.submit(match how {
            Settle::Ack => Command::Ack { ordinals },
            Settle::Requeue => Command::Requeue { ordinals },
            Settle::Reject => Command::Reject { ordinals },
            Settle::Return => Command::Return {
                ordinals,
                records: Records::new(),
            },
        });
    }

    fn return_unseen(&mut self) {
        let records = std::mem::take(&mut self.unseen_records);
        let unseen = std::mem::take(&mut self.unseen);
        self.naive.gone -= unseen.len() as u64;
        self.naive.ready.extend(unseen);
        self.naive.trim();
        self.bed.submit(Command::Return {
            ordinals: Vec::new(),
            records,
        });
    }

    fn settle_dead(&mut self, max: usize) {
        let letters = self.bed.queue.take_dead_letters(max);
        for letter in &letters {
            assert!(
                self.naive.dead.remove(&letter.ordinal),
                "{} is dead",
                letter.ordinal
            );
        }
        let ordinals = letters.iter().map(|letter| letter.ordinal).collect();
        self.bed.submit(Command::DeadLettered { ordinals });
    }

    /// The same messages went out, in order for each consumer, to consumers that had room, and
    /// to lower priorities only when the higher ones had none left.
    fn compare_deliveries(&mut self) {
        self.unseen.clear();
        self.unseen_records.clear();
        let mut all: Vec<(u64, u64, bool)> = Vec::new();
        for client in &self.clients {
            let mut mail = Mail::default();
            client.inbox.take(&mut mail, None);
            let mut records = Records::new();
            for record in mail.records.iter() {
                client.inbox.release_bytes(record.memory_bytes());
                records.push_record(record);
            }
            let delivered = deliveries(seen(mail));
            for (record, delivery) in records.iter().zip(&delivered) {
                let taker = self.naive.takers.iter().find(|t| t.id == delivery.consumer);
                if taker.is_some_and(|taker| taker.no_ack) {
                    self.unseen_records.push_record(record);
                }
                all.push((delivery.ordinal, delivery.consumer, delivery.redelivered));
            }
        }
        let out = std::mem::take(&mut self.naive.out);
        for msg in &out {
            let found = all.iter().find(|(ordinal, ..)| *ordinal == msg.ordinal);
            let &(_, consumer, redelivered) =
                found.unwrap_or_else(|| panic!("{} was not delivered: {all:?}", msg.ordinal));
            assert_eq!(redelivered, msg.redelivered);
            let takers = &mut self.naive.takers;
            let taker = takers
                .iter_mut()
                .find(|taker| taker.id == consumer)
                .expect("a consumer");
            assert!(!self.naive.blocked[taker.client]);
            if taker.no_ack {
                self.naive.gone += 1;
                self.unseen.push(msg.clone());
            } else {
                taker.unacked += 1;
                self.naive.unacked.push((msg.clone(), consumer));
            }
        }
        assert_eq!(all.len(), out.len(), "delivered {all:?}, expected {out:?}");
        self.check_order(&all, &out);
        self.check_choice(&all);
    }

    fn check_order(&self, all: &[(u64, u64, bool)], out: &[Msg]) {
        let place = |ordinal: u64| out.iter().position(|msg| msg.ordinal == ordinal);
        for taker in &self.naive.takers {
            let mine = all.iter().filter(|(_, consumer, _)| *consumer == taker.id);
            let places: Vec<_> = mine.map(|(ordinal, ..)| place(*ordinal)).collect();
            assert!(places.is_sorted(), "{} got {places:?}", taker.id);
        }
    }

    fn check_choice(&self, all: &[(u64, u64, bool)]) {
        let got = |taker: &Taker| all.iter().filter(|(_, id, _)| *id == taker.id).count() as i64;
        let open = |taker: &Taker| {
            !self.naive.blocked[taker.client]
                && (taker.no_ack || taker.prefetch == 0 || taker.unacked < taker.prefetch)
        };
        for taker in &self.naive.takers {
            let limited = !taker.no_ack && taker.prefetch != 0;
            assert!(
                !limited || taker.unacked <= taker.prefetch,
                "prefetch of {}",
                taker.id
            );
            for other in self.naive.takers.iter().filter(|other| open(other)) {
                if other.priority > taker.priority {
                    assert_eq!(got(taker), 0, "{} before {}", taker.id, other.id);
                } else if other.priority == taker.priority {
                    assert!(
                        got(taker) <= got(other) + 1,
                        "{} over {}",
                        taker.id,
                        other.id
                    );
                }
            }
        }
    }

    fn compare_state(&self) {
        let snapshot = self.bed.queue.snapshot();
        let (counts, totals, naive) = (snapshot.counts, snapshot.totals, &self.naive);
        let bytes: u64 = naive.ready.iter().map(|msg| msg.body).sum();
        let unacked_bytes: u64 = naive.unacked.iter().map(|(msg, _)| msg.body).sum();
        assert_eq!(counts.ready, naive.ready.len() as u64, "ready");
        assert_eq!(counts.unacked, naive.unacked.len() as u64, "unacked");
        assert_eq!(counts.dead, naive.dead.len() as u64, "dead");
        assert_eq!(
            (counts.ready_bytes, counts.unacked_bytes),
            (bytes, unacked_bytes)
        );
        assert_eq!(totals.publish, naive.published);
        let delivered = naive.unacked.iter().filter(|(_, consumer)| *consumer != 0);
        let credit: u32 = self.clients.iter().map(|client| client.credit.used()).sum();
        assert_eq!(u64::from(credit), delivered.count() as u64, "credit");
        let held = counts.ready + counts.unacked;
        assert_eq!(
            naive.published,
            held + naive.gone,
            "every message is somewhere"
        );
        let left = totals.ack + totals.deliver_no_ack + totals.get_no_ack;
        assert_eq!(
            totals.publish + totals.returned,
            held + left + totals.dropped + totals.purged,
            "the counters agree with themselves: {totals:?}"
        );
    }
}

#[derive(Clone, Copy)]
enum Settle {
    Ack,
    Requeue,
    Reject,
    Return,
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_queue_does_what_the_model_does(
        settings in settings(),
        max_priority in proptest::option::of(1u8..4),
        ops in vec(op(), 1..60),
    ) {
        let mut run = Run::new(Surroundings::default(), settings, max_priority);
        for op in &ops {
            run.step(op);
        }
    }

    #[test]
    fn a_queue_without_memory_does_the_same(
        settings in settings(),
        max_priority in proptest::option::of(1u8..4),
        ops in vec(op(), 1..60),
    ) {
        let exact = |settings: &Settings| dropping_in_any_order(settings, max_priority);
        let mut run = Run::new(Surroundings::without_memory(), exact(&settings), max_priority);
        for op in &ops {
            match op {
                Op::Configure(settings) => run.step(&Op::Configure(exact(settings))),
                op => run.step(op),
            }
        }
    }
}

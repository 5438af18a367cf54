//! What a seed chooses once for its whole history: sizes, limits, queues, and how often what
//! happens. Small files and tiny budgets, so that everything that is rare comes soon.

use std::sync::Arc;
use std::time::Duration;

use amqp_codec::{FieldTable, FieldValue, ShortString};
use broker_core::topology::QueueSpec;
use leveret::store::StoreOptions;

use crate::random::Random;

/// Where everything lies.
pub(crate) const DIR: &str = "/sim";
/// The only vhost.
pub(crate) const VHOST: &str = "/";

const KIB: u64 = 1 << 10;

/// What sort of queue one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    Plain,
    Priority,
    /// Drops its oldest messages; they become dead letters, or go.
    Limited {
        dead_letters: bool,
    },
    /// Refuses what is too many.
    Refusing,
    /// What is rejected becomes a dead letter.
    DeadLettering,
    /// Messages expire; as dead letters, or for good.
    Expiring {
        dead_letters: bool,
    },
    /// Where dead letters go.
    Letters,
    Transient,
}

/// A queue's name with its declaration.
#[derive(Clone, Debug)]
pub(crate) struct QueuePlan {
    pub(crate) name: Arc<str>,
    pub(crate) sort: Sort,
    pub(crate) max_length: u64,
    pub(crate) ttl: u64,
}

/// The priorities of a queue that has some.
pub(crate) const MAX_PRIORITY: u8 = 3;
/// The queue for dead letters.
pub(crate) const LETTERS: &str = "letters";

impl QueuePlan {
    pub(crate) fn is_durable(&self) -> bool {
        self.sort != Sort::Transient
    }

    pub(crate) fn is_dead_lettering(&self) -> bool {
        matches!(
            self.sort,
            Sort::DeadLettering
                | Sort::Limited { dead_letters: true }
                | Sort::Expiring { dead_letters: true }
        )
    }

    pub(crate) fn spec(&self) -> QueueSpec {
        let mut arguments = FieldTable::new();
        let mut add = |name: &str, value| {
            arguments.insert(ShortString::clipped(name), value);
        };
        if self.is_dead_lettering() {
            add("x-dead-letter-exchange", FieldValue::LongString(Vec::new()));
            let key = FieldValue::LongString(LETTERS.into());
            add("x-dead-letter-routing-key", key);
        }
        match self.sort {
            Sort::Priority => add("x-max-priority", FieldValue::I32(MAX_PRIORITY.into())),
            Sort::Limited { .. } => add("x-max-length", FieldValue::I64(self.max_length as i64)),
            Sort::Refusing => {
                add("x-max-length", FieldValue::I64(self.max_length as i64));
                add(
                    "x-overflow",
                    FieldValue::LongString(b"reject-publish".into()),
                );
            }
            Sort::Expiring { .. } => add("x-message-ttl", FieldValue::I64(self.ttl as i64)),
            Sort::Plain | Sort::DeadLettering | Sort::Letters | Sort::Transient => {}
        }
        QueueSpec {
            name: Arc::clone(&self.name),
            durable: self.is_durable(),
            exclusive: None,
            auto_delete: false,
            arguments,
        }
    }
}

/// How often what is done, against each other.
#[derive(Clone, Debug)]
pub(crate) struct Weights {
    /// By the order of `tasks::Act`.
    pub(crate) acts: Vec<u64>,
    /// Clients, log, pages, upkeep.
    pub(crate) parts: [u64; 4],
    /// That something happens in the middle of something else, in percent.
    pub(crate) switch: u64,
    /// That a checkpoint is asked for rather than due, in percent.
    pub(crate) asked: u64,
}

/// Everything a seed chooses once.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) options: StoreOptions,
    pub(crate) segment_bytes: u64,
    pub(crate) budget: usize,
    pub(crate) queues: Vec<QueuePlan>,
    pub(crate) clients: usize,
    pub(crate) weights: Weights,
    /// Bodies are mostly up to so long.
    pub(crate) body_bytes: u64,
    /// Messages of a batch.
    pub(crate) batch: u64,
    /// Of a hundred messages, those that are transient.
    pub(crate) transient: u64,
    /// Of a hundred operations on the disk, those before which a crash is tried.
    pub(crate) tried: u64,
}

impl Settings {
    pub(crate) fn choose(random: &mut Random, acts: usize) -> Settings {
        let file = 64 * KIB;
        let options = StoreOptions {
            log_file_bytes: file,
            log_max_bytes: file * random.between(4, 8),
            pending_max_bytes: (file * random.between(1, 4)) as usize,
            checkpoint_log_bytes: KIB * random.between(16, 160),
            checkpoint_interval: Duration::from_secs(3600),
            snapshot_log_bytes: KIB * random.between(16, 300),
            ..StoreOptions::new(DIR)
        };
        let weight = |random: &mut Random| match random.below(6) {
            0 => 0,
            1 => 1,
            2 => 12,
            _ => 4,
        };
        let weights = Weights {
            acts: (0..acts).map(|_| weight(random)).collect(),
            parts: [
                10,
                random.between(2, 30),
                random.between(1, 12),
                random.between(1, 4),
            ],
            switch: random.below(30),
            asked: random.below(40),
        };
        Settings {
            options,
            segment_bytes: 64 * KIB * random.between(1, 3),
            budget: match random.below(4) {
                0 => usize::MAX,
                1 => 0,
                _ => random.between(1, 64) as usize * 1024,
            },
            queues: queues(random),
            clients: random.between(1, 4) as usize,
            weights,
            body_bytes: *random.pick(&[60, 300, 2_000, 6_000]).unwrap_or(&60),
            batch: *random.pick(&[1, 4, 10]).unwrap_or(&4),
            transient: *random.pick(&[0, 10, 40]).unwrap_or(&0),
            tried: 60,
        }
    }
}

fn queues(random: &mut Random) -> Vec<QueuePlan> {
    let mut sorts = vec![Sort::Plain, Sort::Letters];
    for _ in 0..random.between(1, 6) {
        let dead_letters = random.chance(50);
        sorts.push(match random.below(9) {
            0 | 1 => Sort::Plain,
            2 => Sort::Priority,
            3 => Sort::Limited { dead_letters },
            4 => Sort::Refusing,
            5 | 6 => Sort::DeadLettering,
            7 => Sort::Expiring { dead_letters },
            _ => Sort::Transient,
        });
    }
    let plan = |(index, sort): (usize, Sort)| QueuePlan {
        name: match sort {
            Sort::Letters => LETTERS.into(),
            _ => format!("q{index}").into(),
        },
        sort,
        max_length: random.between(1, 20),
        ttl: random.between(20, 2_000),
    };
    sorts.into_iter().enumerate().map(plan).collect()
}

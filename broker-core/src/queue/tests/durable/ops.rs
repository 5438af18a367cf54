//! What can happen to a queue here; numbers pick among what there is at that moment.

use proptest::collection::vec;
use proptest::prelude::*;

/// A message to be published.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) is_persistent: bool,
    pub(super) priority: u8,
    pub(super) bytes: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Op {
    Publish(Vec<Draft>),
    /// A turn with so many messages, some of them for other queues as well, is in the log.
    BeginTurn(Vec<(Draft, bool)>),
    /// One of the turns reaches the queue, amid others.
    PlaceTurn {
        pick: usize,
        amid: Vec<Draft>,
    },
    Consume {
        no_ack: bool,
        prefetch: u16,
    },
    Cancel,
    Get {
        no_ack: bool,
    },
    Ack(Vec<usize>),
    Requeue(Vec<usize>),
    Reject(Vec<usize>),
    Return(Vec<usize>),
    Sent(Vec<usize>),
    TakeDead(usize),
    SettleDead(Vec<usize>),
    Purge,
    Remove(Vec<usize>),
    Release {
        percent: u64,
    },
    Shrink,
    Configure(Rules),
    Later(bool),
    Work(Vec<usize>),
    FailWrites(u32),
    FailReads(u32),
    /// The log becomes durable, and the store asks for the floor.
    Sync {
        percent: u64,
    },
    Tick,
    Crash {
        percent: u64,
    },
    StopAndStart,
    Delete,
}

/// The settings that matter here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) dead_letters: bool,
    /// Above this publishes are refused.
    pub(super) max_length: Option<u64>,
    /// What is refused is dead-lettered.
    pub(super) refused_die: bool,
}

/// How the queue and its surroundings are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stage {
    pub(super) is_durable: bool,
    pub(super) has_memory: bool,
    pub(super) chunk_bytes: usize,
    pub(super) max_priority: Option<u8>,
    pub(super) rules: Rules,
}

pub(super) fn stage() -> impl Strategy<Value = Stage> {
    let priorities = prop_oneof![3 => Just(None), 2 => Just(Some(2))];
    let chunk_bytes = prop_oneof![3 => Just(400), 2 => Just(1500), 1 => Just(256 * 1024)];
    (
        prop::bool::weighted(0.85),
        prop::bool::weighted(0.3),
        chunk_bytes,
        priorities,
        rules(),
    )
        .prop_map(
            |(is_durable, has_memory, chunk_bytes, max_priority, rules)| Stage {
                is_durable,
                has_memory,
                chunk_bytes,
                max_priority,
                rules,
            },
        )
}

fn rules() -> impl Strategy<Value = Rules> {
    let max_length = prop::option::weighted(0.3, 0u64..40);
    (any::<bool>(), max_length, any::<bool>()).prop_map(
        |(dead_letters, max_length, refused_die)| Rules {
            dead_letters,
            max_length,
            refused_die,
        },
    )
}

fn draft() -> impl Strategy<Value = Draft> {
    let bytes = prop_oneof![30 => 0usize..120, 1 => Just(5_000)];
    (prop::bool::weighted(0.8), 0u8..4, bytes).prop_map(|(is_persistent, priority, bytes)| Draft {
        is_persistent,
        priority,
        bytes,
    })
}

pub(super) fn op() -> impl Strategy<Value = Op> {
    let picks = |most| vec(any::<usize>(), 1..most);
    let coming = prop_oneof![
        8 => vec(draft(), 1..12).prop_map(Op::Publish),
        2 => vec((draft(), any::<bool>()), 1..4).prop_map(Op::BeginTurn),
        3 => (any::<usize>(), vec(draft(), 0..5)).prop_map(|(pick, amid)| Op::PlaceTurn { pick, amid }),
    ];
    let going = prop_oneof![
        4 => (any::<bool>(), prop_oneof![Just(0), 1u16..6])
            .prop_map(|(no_ack, prefetch)| Op::Consume { no_ack, prefetch }),
        2 => Just(Op::Cancel),
        3 => any::<bool>().prop_map(|no_ack| Op::Get { no_ack }),
        4 => picks(8).prop_map(Op::Ack),
        4 => picks(6).prop_map(Op::Requeue),
        2 => picks(6).prop_map(Op::Reject),
        1 => picks(6).prop_map(Op::Return),
        3 => picks(8).prop_map(Op::Sent),
        2 => (0usize..4).prop_map(Op::TakeDead),
        2 => picks(4).prop_map(Op::SettleDead),
        1 => Just(Op::Purge),
        2 => picks(5).prop_map(Op::Remove),
    ];
    let disk = prop_oneof![
        3 => (0u64..=100).prop_map(|percent| Op::Release { percent }),
        2 => Just(Op::Shrink),
        2 => rules().prop_map(Op::Configure),
        3 => any::<bool>().prop_map(Op::Later),
        6 => picks(6).prop_map(Op::Work),
        1 => (1u32..3).prop_map(Op::FailWrites),
        1 => (1u32..2).prop_map(Op::FailReads),
        4 => (0u64..=100).prop_map(|percent| Op::Sync { percent }),
        1 => Just(Op::Tick),
        2 => (0u64..=100).prop_map(|percent| Op::Crash { percent }),
        1 => Just(Op::StopAndStart),
    ];
    prop_oneof![6 => coming, 9 => going, 9 => disk]
}

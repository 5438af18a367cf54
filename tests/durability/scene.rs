//! The queues and exchanges of the load, and who is allowed to be where.

use super::line::{Gone, Line};

/// A durable queue of the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Queue {
    /// Confirmed publishes; acknowledged, put back and held by a consumer.
    Plain,
    /// One half of a fan-out, acknowledged by a consumer.
    FanKept,
    /// The other half, consumed without acknowledgement.
    FanAuto,
    /// Transactions publish here and into `TxBoth`; a mover takes from here in transactions.
    TxIn,
    /// The other queue of the transactions; nobody consumes.
    TxBoth,
    /// Where the mover publishes to.
    Moved,
    /// Five priorities; some messages are rejected to the dead letters.
    Prio,
    /// Messages expire to the dead letters.
    Ttl,
    /// A publisher without confirms, covered by channel.close-ok.
    Covered,
    /// The dead letters of `Prio` and `Ttl`.
    Dead,
    /// A queue that is purged, deleted and declared again.
    Own(u32),
}

/// Those that are always there, the sources of dead letters before their target.
pub(crate) const FIXED: [Queue; 10] = [
    Queue::Plain,
    Queue::FanKept,
    Queue::FanAuto,
    Queue::TxIn,
    Queue::TxBoth,
    Queue::Moved,
    Queue::Prio,
    Queue::Ttl,
    Queue::Covered,
    Queue::Dead,
];

/// The highest priority of `Prio`.
pub(crate) const PRIORITIES: u8 = 5;
/// The exchange of the fan-out.
pub(crate) const FAN: &str = "fan";
/// The exchange of the dead letters.
pub(crate) const LETTERS: &str = "letters";

impl Queue {
    pub(crate) fn name(self) -> String {
        let name = match self {
            Queue::Plain => "plain",
            Queue::FanKept => "fan-kept",
            Queue::FanAuto => "fan-auto",
            Queue::TxIn => "tx-in",
            Queue::TxBoth => "tx-both",
            Queue::Moved => "moved",
            Queue::Prio => "prio",
            Queue::Ttl => "ttl",
            Queue::Covered => "covered",
            Queue::Dead => "dead",
            Queue::Own(number) => return format!("own-{number}"),
        };
        name.to_owned()
    }

    /// Whether its messages may become dead letters.
    pub(crate) fn has_letters(self) -> bool {
        matches!(self, Queue::Prio | Queue::Ttl)
    }

    /// Whether nobody but the check takes messages out of it.
    pub(crate) fn is_unconsumed(self) -> bool {
        matches!(self, Queue::TxBoth | Queue::Moved | Queue::Covered)
    }

    /// The priority a message of this number has there.
    pub(crate) fn priority(self, number: u32) -> u8 {
        match self {
            Queue::Prio => u8::try_from(number % (u32::from(PRIORITIES) + 1)).unwrap_or(0),
            _ => 0,
        }
    }

    fn arguments(self) -> String {
        let letters = format!("x-dead-letter-exchange: S {LETTERS}");
        match self {
            Queue::Prio => format!(" arguments={{x-max-priority: B {PRIORITIES}, {letters}}}"),
            Queue::Ttl => format!(" arguments={{x-message-ttl: I 150, {letters}}}"),
            _ => String::new(),
        }
    }
}

/// Declares everything; the same again changes nothing.
pub(crate) fn declare(line: &mut Line) -> Result<(), Gone> {
    for exchange in [FAN, LETTERS] {
        let question = format!("exchange.declare exchange={exchange} type=fanout durable=true");
        line.call(1, &question, "exchange.declare-ok")?;
    }
    for queue in FIXED {
        let (name, arguments) = (queue.name(), queue.arguments());
        let question = format!("queue.declare queue={name} durable=true{arguments}");
        line.call(1, &question, "queue.declare-ok")?;
    }
    let bound = [
        (Queue::FanKept, FAN),
        (Queue::FanAuto, FAN),
        (Queue::Dead, LETTERS),
    ];
    for (queue, exchange) in bound {
        let question = format!("queue.bind queue={} exchange={exchange}", queue.name());
        line.call(1, &question, "queue.bind-ok")?;
    }
    Ok(())
}

/// The first queue that is not there, with what it should hold.
pub(crate) fn missing(line: &mut Line) -> Result<(), String> {
    for queue in FIXED {
        let name = queue.name();
        let question = format!("queue.declare queue={name} passive=true");
        line.peer
            .call(1, &question, "queue.declare-ok")
            .map_err(|why| format!("the queue {name} was declared and is not there: {why}"))?;
    }
    Ok(())
}

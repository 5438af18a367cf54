//! What can end a load run early, in words an operator can act on.
//! Owns the error type of `leveret perf` and which of two errors is worth more; never prints.

use std::io;

use amqp_codec::{DecodeError, EncodeError};

/// Why a load run failed.
#[derive(Debug, thiserror::Error)]
pub enum PerfError {
    /// Arguments that contradict each other or leave a limit.
    #[error("{0}")]
    Usage(String),
    /// No TCP connection to the broker.
    #[error("cannot connect to {address}: {source}")]
    Connect {
        /// Host and port that were tried.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// A socket failed in the middle of a run.
    #[error("{during}: {source}")]
    Socket {
        /// What was being done.
        during: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The broker sent connection.close.
    #[error("the broker closed the connection: {code} {text}")]
    ConnectionClosed {
        /// Reply code of the close.
        code: u16,
        /// Reply text of the close.
        text: String,
    },
    /// The broker sent channel.close.
    #[error("the broker closed the channel: {code} {text}")]
    ChannelClosed {
        /// Reply code of the close.
        code: u16,
        /// Reply text of the close.
        text: String,
    },
    /// The stream ended without a close method.
    #[error("the broker dropped the connection while {0}")]
    Dropped(&'static str),
    /// The broker sent basic.cancel.
    #[error("the broker cancelled the consumer (was its queue deleted?)")]
    ConsumerCancelled,
    /// Bytes that are not AMQP 0-9-1, or methods at the wrong moment.
    #[error("protocol error by the broker: {0}")]
    Protocol(String),
    /// Arguments that AMQP cannot carry.
    #[error("cannot be sent: {0}")]
    Encode(EncodeError),
    /// An answer or any progress took too long.
    #[error("given up after {seconds} s: {waiting_for}")]
    Stalled {
        /// What was waited for, with the count reached.
        waiting_for: String,
        /// How long.
        seconds: u64,
    },
    /// A signal came before there was anything to report.
    #[error("interrupted")]
    Interrupted,
    /// A queue of that name is there already and might hold somebody's messages.
    #[error(
        "queue '{0}' exists already; --existing uses it as it is (its messages will be consumed)"
    )]
    QueueExists(String),
    /// An exchange of that name is there already and is not of this run.
    #[error("exchange '{0}' exists already; without --exchange-type it is used as it is")]
    ExchangeExists(String),
    /// `--pid` names no process that can be read.
    #[error("cannot read /proc/{pid}/{file}: {source}")]
    Process {
        /// The process asked for.
        pid: u32,
        /// Which of its files.
        file: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The broker grew beyond `--rss-limit`.
    #[error("the broker's memory grew by {grown_kib} KiB, the limit is {limit_kib} KiB")]
    MemoryLimit {
        /// Growth over the size before the run.
        grown_kib: u64,
        /// The limit asked for.
        limit_kib: u64,
    },
    /// Bodies were lost, doubled, out of order or changed.
    #[error("the broker did not deliver what was published: {0}")]
    Unsound(String),
    /// This process could not do its own part (threads, signals, standard output).
    #[error("{during}: {source}")]
    Local {
        /// What was being done.
        during: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl PerfError {
    /// A socket error, with the broken-pipe kinds told apart from time-outs.
    pub(super) fn socket(during: &'static str, source: io::Error) -> Self {
        PerfError::Socket { during, source }
    }

    /// A method whose arguments make no sense.
    pub(super) fn malformed(error: DecodeError) -> Self {
        PerfError::Protocol(format!("malformed method: {error}"))
    }

    /// Whether `self` explains more than `other`: a close text beats the broken pipe it caused.
    pub(super) fn outranks(&self, other: &PerfError) -> bool {
        self.rank() > other.rank()
    }

    fn rank(&self) -> u8 {
        match self {
            PerfError::ConnectionClosed { .. } | PerfError::ChannelClosed { .. } => 3,
            PerfError::ConsumerCancelled | PerfError::Protocol(_) => 2,
            PerfError::Socket { .. } | PerfError::Dropped(_) => 0,
            _ => 1,
        }
    }
}

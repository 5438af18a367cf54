//! `leveret perf`: puts load on any AMQP 0-9-1 broker and measures rate, latency, memory and CPU.
//!
//! Lean enough not to be what is measured: publishes are prebuilt blocks of frames, deliveries are
//! counted by walking frame heads. Blocking sockets and one or two threads per connection. It owns
//! its own little client; only the codec is shared with the broker.
//!
//! | part | what |
//! |---|---|
//! | `args`, `uri` | the command line |
//! | `load` | the main run; `publisher`, `consumer`, `topology`, `tally`, `pace`, `keys`, `check`, `confirm` work for it |
//! | `idle`, `slow_reader`, `same_connection`, `declare`, `churn`, `request_reply` | runs of their own |
//! | `connection`, `wire`, `block`, `walk` | AMQP on a socket |
//! | `latency`, `process`, `report`, `stop`, `error` | measuring, telling, ending |

mod args;
mod block;
mod check;
mod churn;
mod confirm;
mod connection;
mod consumer;
mod declare;
mod error;
mod idle;
mod keys;
mod latency;
mod load;
mod pace;
mod process;
mod publisher;
mod report;
mod request_reply;
mod same_connection;
mod slow_reader;
mod stop;
mod tally;
mod topology;
mod uri;
mod walk;
mod wire;

#[cfg(test)]
mod tests;

use std::fmt::Display;
use std::io::{self, Write};
use std::sync::Arc;

use serde::Serialize;

pub use args::PerfArgs;
pub use error::PerfError;

use args::Mode;
use stop::{Stop, end_on_signals};

/// Runs the load and prints what it measured on standard output.
pub fn run(args: PerfArgs) -> Result<(), PerfError> {
    args.check()?;
    let stop = Arc::new(Stop::default());
    end_on_signals(stop.clone())?;
    match args.mode() {
        Mode::Load => {
            let report = load::run(&args, &stop)?;
            tell(&args, &report)?;
            report.verdict()
        }
        Mode::Idle { connections } => tell(&args, &idle::run(&args, connections, &stop)?),
        Mode::Declare {
            connections,
            queues,
        } => tell(&args, &declare::run(&args, (connections, queues), &stop)?),
        Mode::Churn { connections } => tell(&args, &churn::run(&args, connections, &stop)?),
        Mode::RequestReply { clients } => tell(&args, &request_reply::run(&args, clients, &stop)?),
        Mode::SameConnection => tell(&args, &same_connection::run(&args, &stop)?),
        Mode::SlowReader => {
            let report = slow_reader::run(&args, &stop)?;
            tell(&args, &report)?;
            report.verdict()
        }
    }
}

fn tell<T: Serialize + Display>(args: &PerfArgs, report: &T) -> Result<(), PerfError> {
    let failed = |source| PerfError::Local {
        during: "writing the report",
        source,
    };
    let text = match args.json {
        true => serde_json::to_string(report).map_err(|e| failed(io::Error::other(e)))?,
        false => report.to_string(),
    };
    writeln!(io::stdout(), "{text}").map_err(failed)
}

//! Temporary queues that come and go: declared, bound, deleted, at a fixed rate.
//! Owns the pace of each connection and the time of a whole cycle, counted from the moment it was
//! due; never publishes.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use amqp_codec::queue;
use serde::Serialize;

use super::args::PerfArgs;
use super::block::LOAD_CHANNEL;
use super::connection::{Connection, Dial};
use super::error::PerfError;
use super::latency::{Latencies, Summary};
use super::pace::Pace;
use super::process::{Process, wait_precisely};
use super::report::{BrokerUse, Moment, interrupted, rate};
use super::stop::Stop;
use super::uri::Uri;

/// What came and went.
#[derive(Debug, Serialize)]
pub(super) struct ChurnReport {
    mode: &'static str,
    config: PerfArgs,
    interrupted: bool,
    connections: u64,
    seconds: f64,
    /// Queues that were declared, bound and deleted.
    queues: u64,
    per_second: f64,
    /// Cycles of a paced run that were due and did not begin.
    unbegun: u64,
    /// From when a cycle was due to its delete-ok.
    latency_us: Option<Summary>,
    broker: Option<BrokerUse>,
}

impl fmt::Display for ChurnReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        interrupted(f, self.interrupted)?;
        write!(
            f,
            "churned      {:.0}/s ({} queues in {:.3} s over {} connections)",
            self.per_second, self.queues, self.seconds, self.connections
        )?;
        if self.unbegun > 0 {
            write!(f, ", {} due but not begun", self.unbegun)?;
        }
        if let Some(latency) = &self.latency_us {
            write!(f, "\ncycle µs     {latency}")?;
        }
        match &self.broker {
            Some(broker) => write!(f, "\n{broker}"),
            None => Ok(()),
        }
    }
}

/// Lets queues come and go for the time of the run.
pub(super) fn run(
    args: &PerfArgs,
    connections: u64,
    stop: &Stop,
) -> Result<ChurnReport, PerfError> {
    let process = args.pid.map(Process::new).transpose()?;
    let mut churners = (0..connections)
        .map(|number| Churner::open(args, number, connections))
        .collect::<Result<Vec<_>, _>>()?;
    wait_precisely();
    let first = Moment::now(process.as_ref())?;
    let end = first.at + args.time_limit();
    thread::scope(|scope| {
        for churner in &mut churners {
            scope.spawn(|| {
                stop.judge(churner.churn(first.at, end, stop));
            });
        }
    });
    let last = Moment::now(process.as_ref())?;
    if let Some(error) = stop.take_failure() {
        return Err(error);
    }
    let queues = churners.iter().map(|churner| churner.cycles).sum();
    let elapsed = last.at - first.at;
    let unbegun = churners
        .iter()
        .map(|churner| churner.unbegun(elapsed))
        .sum();
    let mut latencies = None;
    for churner in churners {
        Latencies::merge(&mut latencies, churner.latencies);
        churner.connection.close();
    }
    Ok(ChurnReport {
        mode: "churn",
        config: args.clone(),
        interrupted: stop.is_interrupted(),
        connections,
        seconds: elapsed.as_secs_f64(),
        queues,
        per_second: rate(queues, elapsed),
        unbegun,
        latency_us: latencies.as_ref().and_then(Latencies::summary),
        broker: BrokerUse::between(process.as_ref(), (&first, &last), 0, queues),
    })
}

/// One connection.
struct Churner {
    connection: Connection,
    exchange: String,
    queue: String,
    pace: Option<Pace>,
    cycles: u64,
    latencies: Option<Latencies>,
}

impl Churner {
    fn open(args: &PerfArgs, number: u64, connections: u64) -> Result<Self, PerfError> {
        let exchange = args.exchange.as_deref().unwrap_or(EXCHANGE);
        Ok(Churner {
            connection: open(&args.uri)?,
            exchange: exchange.to_owned(),
            // Exclusive to its connection, so no other run can have it.
            queue: format!("perf-churn-{:x}-{number}", std::process::id()),
            pace: args
                .rate
                .and_then(|rate| Pace::new(share(rate, number, connections))),
            cycles: 0,
            latencies: Latencies::new(),
        })
    }

    fn churn(&mut self, begin: Instant, end: Instant, stop: &Stop) -> Result<(), PerfError> {
        while Instant::now() < end && !stop.is_over() {
            let due = match self.pace {
                Some(pace) => begin + Duration::from_nanos(pace.due_at_nanos(self.cycles)),
                None => Instant::now(),
            };
            let wait = due.saturating_duration_since(Instant::now());
            if !wait.is_zero() && stop.wait(wait.min(end.saturating_duration_since(Instant::now())))
                || due >= end
            {
                break;
            }
            self.cycle()?;
            self.cycles += 1;
            if let Some(latencies) = &mut self.latencies {
                latencies.record(due.elapsed().as_nanos() as u64);
            }
        }
        Ok(())
    }

    fn cycle(&mut self) -> Result<(), PerfError> {
        let queue = self.queue.as_str();
        let declare = queue::Declare {
            queue,
            exclusive: true,
            auto_delete: true,
            ..Default::default()
        };
        let bind = queue::Bind {
            queue,
            exchange: &self.exchange,
            routing_key: queue,
            ..Default::default()
        };
        let delete = queue::Delete {
            queue,
            ..Default::default()
        };
        let connection = &mut self.connection;
        connection.call(LOAD_CHANNEL, declare, queue::DeclareOk::ID)?;
        connection.call(LOAD_CHANNEL, bind, queue::BindOk::ID)?;
        connection.call(LOAD_CHANNEL, delete, queue::DeleteOk::ID)?;
        Ok(())
    }

    fn unbegun(&self, elapsed: Duration) -> u64 {
        let due = self.pace.map_or(0, |pace| pace.due(elapsed));
        // The one that is due at the very end is nobody's fault.
        due.saturating_sub(self.cycles + 1)
    }
}

/// What connection `number` does of a rate for all of them.
fn share(rate: u64, number: u64, connections: u64) -> u64 {
    rate / connections + u64::from(number < rate % connections)
}

fn open(uri: &Uri) -> Result<Connection, PerfError> {
    let mut connection = Connection::open(uri, Dial::default())?;
    connection.open_channel(LOAD_CHANNEL)?;
    Ok(connection)
}

/// Where queues are bound when nothing else is asked for.
const EXCHANGE: &str = "amq.direct";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_shared_without_a_rest() {
        let shares: Vec<u64> = (0..3).map(|number| share(11, number, 3)).collect();
        assert_eq!(shares, [4, 4, 3]);
    }
}

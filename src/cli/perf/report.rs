//! What a run found out, as JSON and as text.
//! Owns the shape of the output and the rates in it; never measures.

use std::fmt;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::args::PerfArgs;
use super::check::Checks;
use super::error::PerfError;
use super::latency::Summary;
use super::process::{CpuTime, Process};

/// The broker's process at one moment.
#[derive(Clone, Copy)]
pub(super) struct Moment {
    pub(super) at: Instant,
    cpu: Option<CpuTime>,
    pub(super) rss_kib: Option<u64>,
    written_bytes: Option<u64>,
}

impl Moment {
    pub(super) fn now(process: Option<&Process>) -> Result<Self, PerfError> {
        Ok(Moment {
            at: Instant::now(),
            cpu: process.map(Process::cpu_time).transpose()?,
            rss_kib: process.map(Process::rss_kib).transpose()?,
            written_bytes: process.and_then(Process::written_bytes),
        })
    }
}

/// What the broker's process used between two moments.
#[derive(Clone, Debug, Serialize)]
pub(super) struct BrokerUse {
    pid: u32,
    cpu_user_s: f64,
    cpu_system_s: f64,
    cpu_ns_per_message: Option<f64>,
    rss_before_kib: u64,
    rss_after_kib: u64,
    rss_max_kib: u64,
    /// What went towards the disk: a durable load that writes nothing keeps no promise.
    written_kib: Option<u64>,
    written_bytes_per_message: Option<f64>,
}

impl BrokerUse {
    /// The use between two moments of `process`, during which it carried `messages`.
    pub(super) fn between(
        process: Option<&Process>,
        (first, last): (&Moment, &Moment),
        rss_max_kib: u64,
        messages: u64,
    ) -> Option<Self> {
        let cpu = last.cpu?.since(&first.cpu?);
        let (before, after) = (first.rss_kib?, last.rss_kib?);
        let written = first.written_bytes.zip(last.written_bytes);
        let written = written.map(|(before, after)| after.saturating_sub(before));
        Some(BrokerUse {
            pid: process?.pid(),
            cpu_user_s: cpu.user.as_secs_f64(),
            cpu_system_s: cpu.system.as_secs_f64(),
            cpu_ns_per_message: per_message(cpu.total().as_nanos() as u64, messages),
            rss_before_kib: before,
            rss_after_kib: after,
            rss_max_kib: rss_max_kib.max(before).max(after),
            written_kib: written.map(|bytes| bytes / 1024),
            written_bytes_per_message: written.and_then(|bytes| per_message(bytes, messages)),
        })
    }
}

impl fmt::Display for BrokerUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (user, system) = (self.cpu_user_s, self.cpu_system_s);
        write!(f, "broker CPU   {user:.2} s user + {system:.2} s system")?;
        if let Some(nanos) = self.cpu_ns_per_message {
            write!(f, " = {nanos:.0} ns per message")?;
        }
        write!(
            f,
            "\nbroker RSS   {} KiB before, {} KiB after, {} KiB at most",
            self.rss_before_kib, self.rss_after_kib, self.rss_max_kib
        )?;
        match (self.written_kib, self.written_bytes_per_message) {
            (Some(kib), Some(bytes)) if kib > 0 => {
                write!(
                    f,
                    "\nbroker disk  {kib} KiB written = {bytes:.1} bytes per message"
                )
            }
            _ => Ok(()),
        }
    }
}

/// What publishers did in the measured time.
#[derive(Debug, Serialize)]
pub(super) struct PublishFigures {
    pub(super) messages: u64,
    pub(super) per_second: f64,
    pub(super) confirmed: u64,
    pub(super) nacked: u64,
    /// Messages of a paced run that were due and could not be sent.
    pub(super) unsent: u64,
    /// How often the broker said connection.blocked.
    pub(super) blocked: u64,
    pub(super) client_cpu_ns_per_message: Option<f64>,
}

/// What consumers did in the measured time.
#[derive(Debug, Serialize)]
pub(super) struct DeliverFigures {
    pub(super) messages: u64,
    pub(super) per_second: f64,
    pub(super) mib_per_second: f64,
    pub(super) client_cpu_ns_per_message: Option<f64>,
    /// How they were spread over several consumers.
    pub(super) shares: Option<Shares>,
}

/// What each of several consumers got in the measured time.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Shares {
    slowest: u64,
    mean: f64,
    fastest: u64,
    slowest_to_mean: f64,
}

impl Shares {
    /// From the counts of all consumers at both ends; none with fewer than two of them.
    pub(super) fn between(first: &[u64], last: &[u64]) -> Option<Self> {
        let got: Vec<u64> = first.iter().zip(last).map(|(a, b)| b - a).collect();
        let (slowest, fastest) = (*got.iter().min()?, *got.iter().max()?);
        let mean = got.iter().sum::<u64>() as f64 / got.len() as f64;
        (got.len() > 1).then(|| Shares {
            slowest,
            mean,
            fastest,
            slowest_to_mean: if mean > 0.0 {
                slowest as f64 / mean
            } else {
                1.0
            },
        })
    }
}

/// A load run.
#[derive(Debug, Serialize)]
pub(super) struct LoadReport {
    pub(super) mode: &'static str,
    pub(super) config: PerfArgs,
    pub(super) interrupted: bool,
    pub(super) seconds: f64,
    pub(super) published: PublishFigures,
    pub(super) delivered: DeliverFigures,
    pub(super) max_ready: u64,
    /// At both ends of the measured time: a load whose depth grows is no steady state.
    pub(super) ready_before: u64,
    pub(super) ready_after: u64,
    /// Over the whole run.
    pub(super) checks: Option<Checks>,
    pub(super) broker: Option<BrokerUse>,
    /// From publishing to the confirm.
    pub(super) confirm_latency_us: Option<Summary>,
    /// From publishing to the delivery.
    pub(super) latency_us: Option<Summary>,
}

impl LoadReport {
    /// Fails a run whose bodies were not as they should be.
    pub(super) fn verdict(&self) -> Result<(), PerfError> {
        match &self.checks {
            Some(checks) if !checks.is_sound() => Err(PerfError::Unsound(checks.to_string())),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        interrupted(f, self.interrupted)?;
        writeln!(f, "measured     {:.3} s", self.seconds)?;
        writeln!(f, "published    {}", self.published)?;
        writeln!(f, "delivered    {}", self.delivered)?;
        write!(
            f,
            "ready        {} messages at most, {} before, {} after",
            self.max_ready, self.ready_before, self.ready_after
        )?;
        if let Some(checks) = &self.checks {
            write!(f, "\nbodies       {checks}")?;
        }
        if let Some(broker) = &self.broker {
            write!(f, "\n{broker}")?;
        }
        if let Some(latency) = &self.confirm_latency_us {
            write!(f, "\nconfirm µs   {latency}")?;
        }
        match &self.latency_us {
            Some(latency) => write!(f, "\nlatency µs   {latency}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for PublishFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0}/s ({}", self.per_second, self.messages)?;
        let notes = [
            (self.confirmed, "confirmed"),
            (self.nacked, "nacked"),
            (self.unsent, "due but not sent"),
            (self.blocked, "connection.blocked"),
        ];
        for (count, what) in notes.iter().filter(|(count, _)| *count > 0) {
            write!(f, ", {count} {what}")?;
        }
        write!(f, "){}", Cost(self.client_cpu_ns_per_message))
    }
}

impl fmt::Display for DeliverFigures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0}/s ({}", self.per_second, self.messages)?;
        let cost = Cost(self.client_cpu_ns_per_message);
        write!(f, ", {:.1} MiB/s){cost}", self.mib_per_second)?;
        match &self.shares {
            Some(shares) => write!(
                f,
                "\nper consumer {} at least, {:.0} on average, {} at most",
                shares.slowest, shares.mean, shares.fastest
            ),
            None => Ok(()),
        }
    }
}

/// What a message cost this client.
struct Cost(Option<f64>);

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(nanos) => write!(f, ", {nanos:.0} ns of this client's CPU each"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "p50 {:.1}, p95 {:.1}, p99 {:.1}, p99.9 {:.1}, max {:.1} ({} samples)",
            self.p50, self.p95, self.p99, self.p99_9, self.max, self.samples
        )
    }
}

/// A first line for runs that a signal cut short.
pub(super) fn interrupted(f: &mut fmt::Formatter<'_>, is_interrupted: bool) -> fmt::Result {
    if is_interrupted {
        writeln!(f, "interrupted: the figures are those up to the signal")
    } else {
        Ok(())
    }
}

/// A share of a sum per message, none without messages.
pub(super) fn per_message(sum: u64, messages: u64) -> Option<f64> {
    (messages > 0).then(|| sum as f64 / messages as f64)
}

/// Events per second.
pub(super) fn rate(events: u64, time: Duration) -> f64 {
    events as f64 / time.as_secs_f64().max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_of_several_consumers_is_compared_with_their_mean() {
        let shares = Shares::between(&[10, 0, 5], &[40, 50, 15]).expect("several");
        assert_eq!((shares.slowest, shares.fastest), (10, 50));
        assert_eq!((shares.mean, shares.slowest_to_mean), (30.0, 10.0 / 30.0));
        assert_eq!(Shares::between(&[1], &[9]), None);
        assert_eq!(Shares::between(&[], &[]), None);
    }
}

//! Idle connections with open channels, and what they cost the broker in memory.
//! Owns the opening over several threads and loopback source addresses, and the closing; sends
//! nothing in between: the connections have no heartbeat.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, ToSocketAddrs};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::args::PerfArgs;
use super::connection::{Connection, Dial};
use super::error::PerfError;
use super::process::{Process, raise_open_files};
use super::report::{BrokerUse, Moment, interrupted, rate};
use super::stop::Stop;
use super::uri::Uri;

/// What idle connections cost.
#[derive(Debug, Serialize)]
pub(super) struct IdleReport {
    mode: &'static str,
    config: PerfArgs,
    interrupted: bool,
    connections: u64,
    /// Connections that did not answer their close.
    lost: u64,
    connect_seconds: f64,
    connects_per_second: f64,
    channels: u64,
    kib_per_connection: Option<f64>,
    /// What is left of that when all have been gone for a while.
    kib_kept_per_connection: Option<f64>,
    broker: Option<BrokerUse>,
    close_seconds: f64,
}

impl fmt::Display for IdleReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        interrupted(f, self.interrupted)?;
        write!(
            f,
            "opened       {} connections, channels on each: {}, in {:.2} s ({:.0}/s), closed in {:.2} s",
            self.connections,
            self.channels,
            self.connect_seconds,
            self.connects_per_second,
            self.close_seconds
        )?;
        if self.lost > 0 {
            write!(
                f,
                "\nlost         {} connections were not open any more",
                self.lost
            )?;
        }
        if let Some(kib) = self.kib_per_connection {
            write!(
                f,
                "\nmemory       {kib:.2} KiB of broker RSS per connection"
            )?;
        }
        if let Some(kib) = self.kib_kept_per_connection {
            write!(f, ", {kib:.2} KiB when they are gone")?;
        }
        match &self.broker {
            Some(broker) => write!(f, "\n{broker}"),
            None => Ok(()),
        }
    }
}

/// Opens, holds, measures and closes `wanted` connections.
pub(super) fn run(args: &PerfArgs, wanted: u64, stop: &Stop) -> Result<IdleReport, PerfError> {
    let process = args.pid.map(Process::new).transpose()?;
    let files = raise_open_files();
    if wanted + SPARE_FILES > files {
        return Err(PerfError::Usage(format!(
            "{wanted} connections need more than the {files} files this process may open"
        )));
    }
    let sources = Sources::towards(&args.uri, wanted);
    let first = Moment::now(process.as_ref())?;
    let channels = args.channels.unwrap_or(1);
    let connections = open_all(args, wanted, &sources, stop)?;
    let opened = first.at.elapsed();
    stop.wait(args.time_limit());
    let last = Moment::now(process.as_ref())?;
    let count = connections.len() as u64;
    let closing = Instant::now();
    let lost = count - close_all(connections);
    let close_seconds = closing.elapsed().as_secs_f64();
    if process.is_some() {
        stop.wait(GONE_FOR);
    }
    let gone = Moment::now(process.as_ref())?;
    let grown = |before: u64, after: u64| (after as f64 - before as f64) / count.max(1) as f64;
    Ok(IdleReport {
        mode: "idle",
        config: args.clone(),
        interrupted: stop.is_interrupted(),
        connections: count,
        lost,
        channels: u64::from(channels),
        connect_seconds: opened.as_secs_f64(),
        connects_per_second: rate(count, opened),
        kib_per_connection: first.rss_kib.zip(last.rss_kib).map(|(b, a)| grown(b, a)),
        kib_kept_per_connection: first.rss_kib.zip(gone.rss_kib).map(|(b, a)| grown(b, a)),
        broker: BrokerUse::between(process.as_ref(), (&first, &last), 0, 0),
        close_seconds,
    })
}

/// Where connections come from: one loopback address has too few ports for very many of them.
struct Sources {
    loopback: bool,
    count: u64,
}

impl Sources {
    fn towards(uri: &Uri, connections: u64) -> Self {
        let address = (uri.host.as_str(), uri.port)
            .to_socket_addrs()
            .ok()
            .and_then(|mut a| a.next());
        let loopback = address.is_some_and(|a| a.is_ipv4() && a.ip().is_loopback());
        let count = connections
            .div_ceil(CONNECTIONS_PER_SOURCE)
            .clamp(MIN_SOURCES, MAX_SOURCES);
        Sources { loopback, count }
    }

    fn of(&self, connection: u64) -> Option<IpAddr> {
        let last = FIRST_SOURCE + connection % self.count;
        self.loopback
            .then_some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last as u8)))
    }
}

/// Opens connections on a few threads; the first error ends all of them.
fn open_all(
    args: &PerfArgs,
    wanted: u64,
    sources: &Sources,
    stop: &Stop,
) -> Result<Vec<Connection>, PerfError> {
    let (next, deadline) = (AtomicU64::new(0), Instant::now() + OPEN_TIMEOUT);
    let work = || {
        let mut opened = Vec::new();
        while !stop.is_over() {
            let number = next.fetch_add(1, Relaxed);
            if number >= wanted {
                break;
            }
            let one = open_one(args, sources.of(number), deadline, number);
            opened.extend(stop.judge(one));
        }
        opened
    };
    let mut opened = Vec::new();
    thread::scope(|scope| {
        let openers: Vec<_> = (1..OPENERS).map(|_| scope.spawn(work)).collect();
        opened.extend(work());
        opened.extend(
            openers
                .into_iter()
                .flat_map(|opener| opener.join().unwrap_or_default()),
        );
    });
    match stop.take_failure() {
        Some(error) => {
            close_all(opened);
            Err(error)
        }
        None => Ok(opened),
    }
}

fn open_one(
    args: &PerfArgs,
    source: Option<IpAddr>,
    deadline: Instant,
    opened: u64,
) -> Result<Connection, PerfError> {
    if Instant::now() >= deadline {
        let waiting_for = format!("after {opened} connections were opened");
        return Err(PerfError::Stalled {
            waiting_for,
            seconds: OPEN_TIMEOUT.as_secs(),
        });
    }
    let mut connection = Connection::open(
        &args.uri,
        Dial {
            source,
            ..Dial::default()
        },
    )?;
    for channel in 1..=args.channels.unwrap_or(1) {
        connection.open_channel(channel)?;
    }
    connection.shrink();
    Ok(connection)
}

/// Says goodbye to all, then waits for all, so that the time is not a sum of round trips. Returns
/// how many were still open.
fn close_all(mut connections: Vec<Connection>) -> u64 {
    for connection in &mut connections {
        // A connection that is gone already shows by its missing answer.
        let _ = connection.send_close();
    }
    let deadline = Instant::now() + CLOSE_TIMEOUT;
    let answered = connections
        .iter_mut()
        .filter_map(|c| c.await_close_ok(deadline).then_some(()));
    answered.count() as u64
}

const CONNECTIONS_PER_SOURCE: u64 = 5000;
/// 127.0.0.2 is the first; 127.0.0.1 stays free for everybody else.
const FIRST_SOURCE: u64 = 2;
const MIN_SOURCES: u64 = 4;
const MAX_SOURCES: u64 = 250;
/// Files this process needs besides its connections.
const SPARE_FILES: u64 = 64;
const OPENERS: usize = 4;
const OPEN_TIMEOUT: Duration = Duration::from_secs(300);
/// How long after the last close memory is read again: a broker may give it back late.
const GONE_FOR: Duration = Duration::from_secs(5);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(uri: &str, connections: u64) -> Sources {
        Sources::towards(&uri.parse().expect("valid"), connections)
    }

    #[test]
    fn loopback_connections_come_from_several_addresses() {
        let sources = sources("amqp://127.0.0.1:1", 10_000);
        let mut seen: Vec<_> = (0..10_000).filter_map(|n| sources.of(n)).collect();
        seen.sort();
        seen.dedup();
        let expected = (2..6).map(|last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)));
        assert_eq!(seen, expected.collect::<Vec<_>>());
    }

    #[test]
    fn no_source_address_gets_more_than_it_has_ports() {
        let sources = sources("amqp://127.0.0.1:1", 1_000_000);
        assert_eq!(sources.count, 200);
        assert!(1_000_000 / sources.count < 28_000);
    }

    #[test]
    fn other_hosts_are_reached_from_wherever_the_system_says() {
        assert_eq!(sources("amqp://[::1]:1", 10).of(0), None);
        assert_eq!(sources("amqp://192.0.2.1:1", 10).of(0), None);
    }
}

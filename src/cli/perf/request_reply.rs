//! Requests and replies through direct reply-to: many clients, one server.
//! Owns the clients' side (a request, then its reply, then the next) and that each reply is that of
//! its request; the server is in `echo`. Never uses confirms or acknowledgements.

use std::fmt;
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use amqp_codec::{Properties, basic, put_content};
use serde::Serialize;

use super::args::PerfArgs;
use super::block::LOAD_CHANNEL;
use super::connection::{Connection, Dial};
use super::consumer::{self, Terms};
use super::error::PerfError;
use super::latency::{Latencies, Summary};
use super::process::Process;
use super::report::{BrokerUse, Moment, interrupted, rate};
use super::stop::Stop;
use super::topology::{Topology, Wanted};
use super::wire::put;

mod echo;

use echo::{Message, next_message};

/// What requests took.
#[derive(Debug, Serialize)]
pub(super) struct RequestReplyReport {
    mode: &'static str,
    config: PerfArgs,
    interrupted: bool,
    clients: u64,
    seconds: f64,
    requests: u64,
    per_second: f64,
    /// From sending a request to its reply.
    latency_us: Option<Summary>,
    broker: Option<BrokerUse>,
}

impl fmt::Display for RequestReplyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        interrupted(f, self.interrupted)?;
        write!(
            f,
            "replied      {:.0}/s ({} requests of {} clients in {:.3} s)",
            self.per_second, self.requests, self.clients, self.seconds
        )?;
        if let Some(latency) = &self.latency_us {
            write!(f, "\nlatency µs   {latency}")?;
        }
        match &self.broker {
            Some(broker) => write!(f, "\n{broker}"),
            None => Ok(()),
        }
    }
}

/// Runs so many clients and a server for the time of the run.
pub(super) fn run(
    args: &PerfArgs,
    clients: u64,
    stop: &Stop,
) -> Result<RequestReplyReport, PerfError> {
    let queues = args.queue_names()?;
    let wanted = Wanted {
        queues: &queues,
        durable: args.durable,
        existing: false,
        max_length: None,
    };
    Topology::during(&args.uri, |topology| {
        topology.declare(&wanted)?;
        run_on(args, &queues[0], clients, stop)
    })
}

/// The same with a queue that is there.
pub(super) fn run_on(
    args: &PerfArgs,
    queue: &str,
    clients: u64,
    stop: &Stop,
) -> Result<RequestReplyReport, PerfError> {
    let process = args.pid.map(Process::new).transpose()?;
    let mut server = subscribe(args, queue)?;
    let clients = (0..clients)
        .map(|_| Client::open(args, queue))
        .collect::<Result<Vec<_>, _>>()?;
    let (first, last, answered) = thread::scope(|scope| {
        scope.spawn(|| stop.judge(echo::serve(&mut server, stop)));
        let measured = measure(scope, args, process.as_ref(), clients, stop);
        stop.end();
        measured
    })?;
    server.close();
    match stop.take_failure() {
        Some(error) => Err(error),
        None => Ok(report(
            args,
            process.as_ref(),
            (first, last),
            answered,
            stop,
        )),
    }
}

/// The measured window, and what each client says.
fn measure<'scope>(
    scope: &'scope Scope<'scope, '_>,
    args: &'scope PerfArgs,
    process: Option<&Process>,
    clients: Vec<Client>,
    stop: &'scope Stop,
) -> Result<(Moment, Moment, Vec<Answered>), PerfError> {
    let begin = Instant::now() + args.warmup();
    let window = begin..begin + args.time_limit();
    let asking: Vec<ScopedJoinHandle<'_, Option<Answered>>> = clients
        .into_iter()
        .map(|client| {
            let window = window.clone();
            scope.spawn(move || stop.judge(client.ask(&window, stop)))
        })
        .collect();
    stop.wait(window.start.saturating_duration_since(Instant::now()));
    let first = Moment::now(process)?;
    stop.wait(window.end.saturating_duration_since(Instant::now()));
    let last = Moment::now(process)?;
    let answered = asking
        .into_iter()
        .flat_map(|client| client.join().ok().flatten())
        .collect();
    Ok((first, last, answered))
}

fn report(
    args: &PerfArgs,
    process: Option<&Process>,
    (first, last): (Moment, Moment),
    answered: Vec<Answered>,
    stop: &Stop,
) -> RequestReplyReport {
    let clients = answered.len() as u64;
    let requests = answered.iter().map(|client| client.requests).sum();
    let mut latencies = None;
    for client in answered {
        Latencies::merge(&mut latencies, client.latencies);
    }
    let time = last.at - first.at;
    RequestReplyReport {
        mode: "request-reply",
        config: args.clone(),
        interrupted: stop.is_interrupted(),
        clients,
        seconds: time.as_secs_f64(),
        requests,
        per_second: rate(requests, time),
        latency_us: latencies.as_ref().and_then(Latencies::summary),
        broker: BrokerUse::between(process, (&first, &last), 0, requests),
    }
}

fn subscribe(args: &PerfArgs, queue: &str) -> Result<Connection, PerfError> {
    let mut connection = Connection::open(&args.uri, Dial::default())?;
    consumer::subscribe(&mut connection, queue, Terms::default())?;
    Ok(connection)
}

/// What a client got in the window.
#[derive(Default)]
struct Answered {
    requests: u64,
    latencies: Option<Latencies>,
}

/// One client.
struct Client {
    connection: Connection,
    queue: String,
    body_bytes: usize,
}

impl Client {
    fn open(args: &PerfArgs, queue: &str) -> Result<Self, PerfError> {
        let mut connection = subscribe(args, REPLY_TO)?;
        connection.wake_often(LOOK_INTERVAL)?;
        Ok(Client {
            connection,
            queue: queue.to_owned(),
            body_bytes: args.body_bytes(),
        })
    }

    /// Asks again and again until the window ends.
    fn ask(
        mut self,
        window: &std::ops::Range<Instant>,
        stop: &Stop,
    ) -> Result<Answered, PerfError> {
        let mut answered = Answered {
            latencies: Latencies::new(),
            ..Answered::default()
        };
        for number in 0u64.. {
            let sent = Instant::now();
            if sent >= window.end || stop.is_over() {
                break;
            }
            self.connection.send(&self.request(number)?)?;
            let Some(reply) = self.reply(stop)? else {
                break;
            };
            check(number, &reply)?;
            let now = Instant::now();
            if sent >= window.start && now < window.end {
                answered.requests += 1;
                if let Some(latencies) = &mut answered.latencies {
                    latencies.record((now - sent).as_nanos() as u64);
                }
            }
        }
        self.connection.close();
        Ok(answered)
    }

    fn request(&self, number: u64) -> Result<Vec<u8>, PerfError> {
        let publish = basic::Publish {
            routing_key: &self.queue,
            ..Default::default()
        };
        let id = number.to_string();
        let properties = Properties {
            correlation_id: Some(&id),
            reply_to: Some(REPLY_TO),
            ..Properties::default()
        };
        let mut body = vec![b'.'; self.body_bytes];
        let digits = id.len().min(body.len());
        body[..digits].copy_from_slice(&id.as_bytes()[..digits]);
        let mut raw = Vec::new();
        properties.encode(&mut raw).map_err(PerfError::Encode)?;
        let mut frames = Vec::new();
        put(&mut frames, LOAD_CHANNEL, publish)?;
        put_content(
            &mut frames,
            LOAD_CHANNEL,
            &raw,
            &body,
            self.connection.frame_max(),
        );
        Ok(frames)
    }

    /// The reply, or nothing when the run is over before it.
    fn reply(&mut self, stop: &Stop) -> Result<Option<Message>, PerfError> {
        let asked = Instant::now();
        loop {
            if let Some(message) = next_message(&mut self.connection)? {
                return Ok(Some(message));
            }
            if stop.is_over() {
                return Ok(None);
            }
            if asked.elapsed() > REPLY_TIMEOUT {
                return Err(PerfError::Stalled {
                    waiting_for: "waiting for a reply".to_owned(),
                    seconds: REPLY_TIMEOUT.as_secs(),
                });
            }
        }
    }
}

/// The reply is to the request that was sent last.
fn check(number: u64, reply: &Message) -> Result<(), PerfError> {
    let expected = number.to_string();
    let digits = expected.len().min(reply.body.len());
    let is_ours = reply.correlation_id.as_deref() == Some(expected.as_str());
    if is_ours && reply.body[..digits] == expected.as_bytes()[..digits] {
        return Ok(());
    }
    Err(PerfError::Protocol(format!(
        "request {number} was answered by the reply to {:?}",
        reply.correlation_id
    )))
}

const REPLY_TO: &str = "amq.rabbitmq.reply-to";
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
const REPLY_TIMEOUT: Duration = Duration::from_secs(15);

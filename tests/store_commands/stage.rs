//! A folder with data directories in it, brokers over them, and the command under test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::broker::{Broker, serve_on_free_ports};
use crate::support::client::{Arrival, Content, Peer};
use crate::support::http;
use crate::support::method::{Field, Method};

/// How long a broker may be silent.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Questions that are asked at a time.
const AT_ONCE: usize = 100;

/// A folder with the data directory `data` in it.
pub(crate) struct Stage {
    folder: tempfile::TempDir,
}

impl Stage {
    pub(crate) fn new() -> Stage {
        let folder = tempfile::tempdir().expect("a folder");
        Stage { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// A broker over `data`, with options.
    #[track_caller]
    pub(crate) fn start(&self, options: &[&str]) -> Broker {
        start(&self.data(), options)
    }
}

/// A broker over a data directory.
#[track_caller]
pub(crate) fn start(dir: &Path, options: &[&str]) -> Broker {
    let mut command = serve_on_free_ports(dir);
    command.args(options);
    Broker::run(command).expect("the broker starts")
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `leveret store` to its end.
#[track_caller]
pub(crate) fn store(arguments: &[&str]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leveret"));
    let output = command.arg("store").args(arguments).output();
    let output = output.expect("the command runs");
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("text"),
        stderr: String::from_utf8(output.stderr).expect("text"),
    }
}

/// What a check says as JSON, with its exit code.
#[track_caller]
pub(crate) fn check(dir: &Path) -> (Option<i32>, Value) {
    let ran = store(&["check", "--json", &text(dir)]);
    let report = serde_json::from_str(&ran.stdout);
    let report = report.unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    (ran.code, report)
}

/// The directory is in order.
#[track_caller]
pub(crate) fn assert_clean(dir: &Path) -> Value {
    let (code, report) = check(dir);
    assert_eq!(code, Some(0), "{report:#}");
    assert_eq!(report["outcome"], "clean");
    report
}

/// Asks a broker for a copy; returns what it says of it.
#[track_caller]
pub(crate) fn back_up(broker: &Broker, target: &Path) -> Value {
    let uri = uri(broker, "guest:guest");
    let ran = store(&["backup", "--json", "--uri", &uri, &text(target)]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    serde_json::from_str(&ran.stdout).expect("JSON")
}

pub(crate) fn uri(broker: &Broker, credentials: &str) -> String {
    format!("http://{credentials}@{}", broker.http())
}

pub(crate) fn text(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

/// The lines of a dump.
#[track_caller]
pub(crate) fn dump(dir: &Path, options: &[&str]) -> Vec<Value> {
    let dir = text(dir);
    let arguments: Vec<&str> = ["dump", &dir].iter().chain(options).copied().collect();
    let ran = store(&arguments);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let lines = ran.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect()
}

/// A connection of `guest` with channel 1 open, in confirm mode.
#[track_caller]
pub(crate) fn publisher(broker: &Broker) -> Peer {
    let mut peer = connect(broker);
    ask(&mut peer, &["confirm.select"]);
    peer
}

#[track_caller]
pub(crate) fn connect(broker: &Broker) -> Peer {
    Peer::open(broker.amqp(), "/").expect("a connection")
}

/// Sends questions one after the other on channel 1, each with the answer that must follow.
#[track_caller]
pub(crate) fn ask(peer: &mut Peer, questions: &[&str]) {
    for question in questions {
        let method = question.split(' ').next().unwrap_or_default();
        peer.call(1, question, &format!("{method}-ok"))
            .unwrap_or_else(|error| panic!("{question}: {error}"));
    }
}

/// Publishes persistent messages and waits for their confirms; `done` counts those before. An error
/// if the broker is gone.
pub(crate) fn publish(
    peer: &mut Peer,
    target: &str,
    bodies: &[String],
    done: &mut u64,
) -> Result<(), String> {
    for some in bodies.chunks(AT_ONCE) {
        let publishes = some.iter().map(|body| {
            format!("basic.publish {target} | content delivery-mode=2 body=\"{body}\"")
        });
        peer.send(1, &publishes.collect::<Vec<_>>().join(" | "))?;
        let last = *done + some.len() as u64;
        while *done < last {
            *done += confirmed(peer, *done)?;
        }
    }
    Ok(())
}

/// Waits for a confirm; returns how many messages it is for.
fn confirmed(peer: &mut Peer, done: u64) -> Result<u64, String> {
    let frame = match peer.next(1, Instant::now() + PATIENCE) {
        Arrival::Frame(frame) => frame,
        other => return Err(format!("{other:?}")),
    };
    let method = Method::decode(&frame.payload)?;
    match (
        method.spec.name,
        method.field("delivery-tag"),
        method.field("multiple"),
    ) {
        ("basic.ack", Some(Field::Int(tag)), Some(Field::Bit(true))) => Ok(tag - done),
        ("basic.ack", Some(Field::Int(_)), _) => Ok(1),
        _ => Err(format!("{method:?}")),
    }
}

/// Everything a queue holds, taken out of it.
#[track_caller]
pub(crate) fn drain(peer: &mut Peer, queue: &str) -> Vec<Content> {
    let mut messages = Vec::new();
    loop {
        let gets = vec![format!("basic.get queue=\"{queue}\" no-ack=true"); AT_ONCE];
        peer.send(1, &gets.join(" | ")).expect("sent");
        let before = messages.len();
        for _ in 0..AT_ONCE {
            messages.extend(got(peer));
        }
        if messages.len() < before + AT_ONCE {
            return messages;
        }
    }
}

/// The answer to a get.
fn got(peer: &mut Peer) -> Option<Content> {
    let deadline = Instant::now() + PATIENCE;
    let Arrival::Frame(frame) = peer.next(1, deadline) else {
        panic!("no answer to a get");
    };
    let method = Method::decode(&frame.payload).expect("a method");
    match method.spec.name {
        "basic.get-ok" => Some(peer.content(1, deadline).expect("a message")),
        "basic.get-empty" => None,
        other => panic!("{other}"),
    }
}

/// Bodies as text, in order.
pub(crate) fn bodies(messages: &[Content]) -> Vec<String> {
    let body = |message: &Content| String::from_utf8(message.body.clone()).expect("text");
    messages.iter().map(body).collect()
}

/// What a path of the management API shows.
#[track_caller]
pub(crate) fn show(broker: &Broker, path: &str) -> Value {
    let path = format!("/api/{path}");
    let answer = http::request(broker.http(), ("guest", "guest"), "GET", &path, "");
    answer.expect("an answer").json()
}

/// Ends a broker in order.
#[track_caller]
pub(crate) fn stop(broker: Broker) {
    assert!(broker.stop().expect("stopped").success());
}

/// So many bodies of about so many bytes.
pub(crate) fn numbered(name: &str, count: usize, bytes: usize) -> Vec<String> {
    let filling = "x".repeat(bytes);
    (0..count)
        .map(|number| format!("{name}-{number} {filling}"))
        .collect()
}

/// Flips a bit of a file.
#[track_caller]
pub(crate) fn flip(path: &Path, offset: usize) {
    let mut bytes = fs::read(path).expect("read");
    bytes[offset] ^= 0x10;
    fs::write(path, bytes).expect("written");
}

/// Copies a data directory that nobody has open.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), &target).expect("copied");
        }
    }
}

/// The files below a folder, with their contents.
pub(crate) fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.append(&mut contents(&path));
        } else {
            let bytes = fs::read(&path).expect("read");
            files.push((path, bytes));
        }
    }
    files.sort();
    files
}

//! No answer leaves before the sync that covers it: the broker runs under strace, a client notes
//! what each answer promises, and the order of the system calls is checked.
//!
//! The same check of a broker that does not sync must fail, or it proves nothing.

mod answers;
mod calls;
mod clients;

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use self::answers::Answers;
use self::calls::Call;
use self::clients::Promise;
use super::body::BODY_MIN;
use super::ground::tool;
use crate::support::broker::{Broker, serve_on_free_ports};

/// What may write to files or sockets.
const CALLS: &str = "pwrite64,pwritev,pwritev2,fdatasync,fsync,write,writev,sendto,sendmsg";

#[test]
fn no_answer_leaves_before_the_sync_that_covers_it() {
    if !tool("strace") {
        return;
    }
    let (promises, broken) = traced(&[]);
    assert!(promises > 400, "{promises} promises");
    assert!(
        broken.is_empty(),
        "{} of {promises} answers left too early:\n{}",
        broken.len(),
        broken[..broken.len().min(20)].join("\n")
    );
    println!("{promises} answers, each behind its sync");
}

#[test]
fn a_broker_that_does_not_sync_is_found_out() {
    if !tool("strace") {
        return;
    }
    let (promises, broken) = traced(&["--durability", "os"]);
    let unsynced = broken.iter().filter(|what| what.contains("not synced"));
    assert_eq!(
        unsynced.count(),
        promises,
        "none of them was synced: {:?}",
        broken.first()
    );
}

/// Runs the load under strace. Returns how many promises were made and those that were not kept.
fn traced(options: &[&str]) -> (usize, Vec<String>) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("trace");
    let data = folder.path().join("data");
    let mut broker = Broker::run(under_strace(&data, &file, options)).expect("it starts");
    let promises = clients::work(broker.amqp());
    stop(&mut broker);
    let text = fs::read_to_string(&file).expect("a trace");
    let calls = calls::parse(&text).expect("a trace that can be read");
    let answers = answers::read(&calls).expect("frames");
    let log = data.join("log");
    let written = labels(&calls, log.to_str().expect("a path"));
    let kept = |promise| check(promise, &answers, &written, &calls);
    (promises.len(), promises.iter().filter_map(kept).collect())
}

/// Which call wrote each label to the log.
fn labels<'a>(calls: &'a [Call], log: &str) -> HashMap<&'a [u8], &'a Call> {
    let mut written = HashMap::new();
    let writes = calls
        .iter()
        .filter(|call| call.name.starts_with("pwrite") && call.what.starts_with(log));
    for call in writes {
        let bytes = &call.bytes;
        for at in (0..bytes.len()).filter(|at| matches!(bytes[*at], b'<' | b'd')) {
            for length in [BODY_MIN, clients::DEFINITION_BYTES] {
                let label = bytes.get(at..at + length);
                label.map(|label| written.entry(label).or_insert(call));
            }
        }
    }
    written
}

fn under_strace(data: &Path, file: &Path, options: &[&str]) -> Command {
    let serve = serve_on_free_ports(data);
    let mut command = Command::new("strace");
    command
        .args(["-f", "-yy", "-xx", "-s", "4000000", "-e"])
        .arg(format!("trace={CALLS}"))
        .arg("-o")
        .arg(file)
        .arg("--")
        .arg(serve.get_program())
        .args(serve.get_args())
        .args(options);
    for (name, value) in serve.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

/// Stops the broker, which strace does not pass signals on to.
fn stop(broker: &mut Broker) {
    let line: serde_json::Value = serde_json::from_str(broker.line()).expect("JSON");
    let pid = line["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
    let pid = pid.and_then(Pid::from_raw).expect("a process id");
    kill_process(pid, Signal::TERM).expect("a signal");
    assert!(broker.wait().expect("an end").success());
}

/// What is wrong with an answer: everything it promises must have been written to the log, then
/// synced, and only then may it have left.
fn check(
    promise: &Promise,
    answers: &Answers,
    written: &HashMap<&[u8], &Call>,
    calls: &[Call],
) -> Option<String> {
    let Some(left) = answers.get(&(promise.whom, promise.answer)) else {
        return Some(format!("{promise:?} was not seen leaving"));
    };
    for label in &promise.labels {
        let text = String::from_utf8_lossy(label);
        let Some(write) = written.get(label.as_slice()) else {
            return Some(format!("{promise:?}: {text} is not in the log"));
        };
        let covers = |call: &Call| {
            matches!(call.name.as_str(), "fdatasync" | "fsync")
                && call.what == write.what
                && call.result == 0
                && call.begun > write.ended
                && call.ended < *left
        };
        if write.what.ends_with(calls::DELETED) || !calls.iter().any(covers) {
            let (begun, place) = (write.begun, &write.what);
            return Some(format!(
                "{promise:?}: {text} was written to {place} in line {begun} and not synced before line {left}"
            ));
        }
    }
    None
}

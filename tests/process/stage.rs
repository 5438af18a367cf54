//! A folder with a data directory in it, and brokers started over that with options of a test.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::broker::{Broker, Refusal, serve_on_free_ports};
use crate::support::client::{Arrival, Peer};
use crate::support::http::{self, Response};

/// How long a test waits for what must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// How long it waits to see that something does not come.
pub(crate) const SILENCE: Duration = Duration::from_millis(700);

/// A test's own folder.
pub(crate) struct Stage {
    folder: tempfile::TempDir,
}

impl Stage {
    pub(crate) fn new() -> Stage {
        let folder = tempfile::tempdir().expect("a folder");
        Stage { folder }
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// Writes a file into the folder.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("written");
        path
    }

    /// `leveret serve` over the data directory.
    pub(crate) fn serve(&self) -> Command {
        serve_on_free_ports(&self.data())
    }

    #[track_caller]
    pub(crate) fn start(&self) -> Broker {
        Broker::run(self.serve()).expect("the broker starts")
    }
}

/// The end of a broker that was not to start, by its exit code.
#[track_caller]
pub(crate) fn refused(command: Command, code: i32) -> Refusal {
    let refusal = Broker::refuse(command).expect("an end");
    assert_eq!(refusal.code, Some(code), "{}", refusal.stderr);
    refusal
}

#[track_caller]
pub(crate) fn call(broker: &Broker, method: &str, path: &str, body: &str) -> Response {
    let path = format!("/api/{path}");
    http::request(broker.http(), ("guest", "guest"), method, &path, body).expect("an answer")
}

#[track_caller]
pub(crate) fn get(broker: &Broker, path: &str) -> Value {
    call(broker, "GET", path, "").json()
}

/// A connection of `guest` with channel 1 open.
#[track_caller]
pub(crate) fn open(broker: &Broker) -> Peer {
    Peer::open(broker.amqp(), "/").expect("a connection")
}

/// Waits until something holds.
#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

/// Nothing comes on this channel.
#[track_caller]
pub(crate) fn assert_silent(peer: &mut Peer, channel: u16) {
    let came = peer.next(channel, Instant::now() + SILENCE);
    assert_eq!(came, Arrival::Silence);
}

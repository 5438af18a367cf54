//! A broker that is killed and started again over one data directory, and the files in it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::broker::Broker;
use crate::support::client::{Login, Peer};
use crate::support::http::{self, Response};

pub(crate) const ALL: &str = r#"{"configure": ".*", "write": ".*", "read": ".*"}"#;
const GUEST: (&str, &str) = ("guest", "guest");

/// The broker of a data directory, running until a test ends it.
pub(crate) struct Node {
    // In this order: the broker ends before its folder goes.
    broker: Option<Broker>,
    folder: tempfile::TempDir,
}

impl Node {
    pub(crate) fn start() -> Node {
        let mut node = Node {
            broker: None,
            folder: tempfile::tempdir().expect("a folder"),
        };
        node.start_again();
        node
    }

    pub(crate) fn dir(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn broker(&self) -> &Broker {
        self.broker.as_ref().expect("a running broker")
    }

    #[track_caller]
    pub(crate) fn start_again(&mut self) {
        assert!(self.broker.is_none(), "it is running");
        self.broker = Some(Broker::start_in(self.folder.path(), &[]).expect("the broker starts"));
    }

    pub(crate) fn kill(&mut self) {
        let broker = self.broker.take().expect("a running broker");
        let status = broker.kill().expect("killed");
        assert_eq!(status.code(), None, "it ended by itself");
    }

    pub(crate) fn stop(&mut self) {
        let broker = self.broker.take().expect("a running broker");
        assert!(broker.stop().expect("stopped").success());
    }

    pub(crate) fn kill_and_start(&mut self) {
        self.kill();
        self.start_again();
    }

    /// A connection of `guest` with channel 1 open.
    pub(crate) fn peer(&self, vhost: &str) -> Peer {
        Peer::open(self.broker().amqp(), vhost).expect("a connection")
    }

    /// Whether these credentials open this vhost.
    pub(crate) fn admits(&self, (user, password): (&str, &str), vhost: &str) -> bool {
        let login = Login {
            user: user.to_owned(),
            password: password.to_owned(),
            ..Login::guest(vhost)
        };
        Peer::log_in(self.broker().amqp(), &login).is_ok()
    }

    pub(crate) fn call(&self, method: &str, path: &str, body: &str) -> Response {
        let path = format!("/api/{path}");
        http::request(self.broker().http(), GUEST, method, &path, body).expect("an answer")
    }

    #[track_caller]
    pub(crate) fn must(&self, method: &str, path: &str, body: &str, status: u16) {
        let response = self.call(method, path, body);
        let said = String::from_utf8_lossy(&response.body);
        assert_eq!(response.status, status, "{method} {path}: {said}");
    }

    /// Every durable definition, in an order of its own.
    pub(crate) fn definitions(&self) -> Value {
        let mut file = self.call("GET", "definitions", "").json();
        for list in file.as_object_mut().expect("definitions").values_mut() {
            if let Value::Array(items) = list {
                items.sort_by_key(Value::to_string);
            }
        }
        file
    }

    /// The names in a list such as `queues`, sorted; those the broker makes itself are left out.
    pub(crate) fn names(&self, list: &str) -> Vec<String> {
        let shown = self.call("GET", list, "").json();
        let items = shown.as_array().expect("a list").iter();
        let mut names: Vec<String> = items
            .map(|item| item["name"].as_str().expect("a name").to_owned())
            .filter(|name| !name.is_empty() && !name.starts_with("amq."))
            .collect();
        names.sort();
        names
    }
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

/// Groups begin on multiples of this.
pub(crate) const GROUP: usize = 4096;

/// The newest file of the log that holds a group.
pub(crate) fn newest_log(dir: &Path) -> PathBuf {
    let files = fs::read_dir(dir.join("log")).expect("the log's folder");
    files
        .map(|file| file.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .filter(|path| !groups(&fs::read(path).expect("read")).is_empty())
        .max()
        .expect("a file with groups")
}

/// Where the groups of a log file begin.
pub(crate) fn groups(file: &[u8]) -> Vec<usize> {
    let places = (GROUP..file.len()).step_by(GROUP);
    places
        .filter(|at| file[*at..].starts_with(b"LVGP"))
        .collect()
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

//! A vhost of a running broker for one test, and requests to the API about it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::broker::Broker;
use crate::support::client::{Login, Peer};
use crate::support::http::{self, Response};

/// How long a test waits for what comes eventually.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

pub(crate) const GUEST: (&str, &str) = ("guest", "guest");
pub(crate) const ALL: &str = r#"{"configure": ".*", "write": ".*", "read": ".*"}"#;

/// The broker that tests share; it ends with the last test that has it.
pub(crate) struct Running {
    broker: Mutex<Broker>,
}

impl Running {
    fn share() -> Arc<Running> {
        static RUNNING: Mutex<Weak<Running>> = Mutex::new(Weak::new());
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        running.upgrade().unwrap_or_else(|| {
            let broker = Mutex::new(Broker::start().expect("the broker starts"));
            let started = Arc::new(Running { broker });
            *running = Arc::downgrade(&started);
            started
        })
    }

    fn ask<T>(&self, question: impl FnOnce(&Broker) -> T) -> T {
        question(&self.broker.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn amqp(&self) -> SocketAddr {
        self.ask(Broker::amqp)
    }

    pub(crate) fn http(&self) -> SocketAddr {
        self.ask(Broker::http)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.ask(Broker::pid)
    }
}

/// A test's own vhost. In paths and bodies, `{v}` stands for its name.
pub(crate) struct Stage {
    pub(crate) broker: Arc<Running>,
    pub(crate) vhost: String,
}

impl Stage {
    /// Creates the vhost, open to `guest`.
    pub(crate) fn new(vhost: &str) -> Stage {
        let stage = Stage {
            broker: Running::share(),
            vhost: vhost.to_owned(),
        };
        stage.must("PUT", "vhosts/{v}", "{}", 201);
        stage.must("PUT", "permissions/{v}/guest", ALL, 201);
        stage
    }

    pub(crate) fn fill(&self, text: &str) -> String {
        text.replace("{v}", &self.vhost)
    }

    /// A request of `guest` to a path below `/api/`.
    #[track_caller]
    pub(crate) fn call(&self, method: &str, path: &str, body: &str) -> Response {
        self.call_as(GUEST, method, path, body)
    }

    #[track_caller]
    pub(crate) fn call_as(
        &self,
        user: (&str, &str),
        method: &str,
        path: &str,
        body: &str,
    ) -> Response {
        let path = format!("/api/{}", self.fill(path));
        http::request(self.broker.http(), user, method, &path, &self.fill(body)).expect("an answer")
    }

    /// A request with headers of its own.
    #[track_caller]
    pub(crate) fn send(&self, headers: &[(&str, &str)], method: &str, path: &str) -> Response {
        let path = self.fill(path);
        http::send(self.broker.http(), headers, method, &path, "").expect("an answer")
    }

    /// A request that is answered with this status.
    #[track_caller]
    pub(crate) fn must(&self, method: &str, path: &str, body: &str, status: u16) -> Response {
        let response = self.call(method, path, body);
        assert_status(&response, status, method, &self.fill(path));
        response
    }

    /// What `guest` gets from a path.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Value {
        self.must("GET", path, "", 200).json()
    }

    /// A request that is refused with this status, error and reason.
    #[track_caller]
    pub(crate) fn refused(
        &self,
        method: &str,
        path: &str,
        body: &str,
        (status, error, reason): (u16, &str, &str),
    ) {
        let answer = self.must(method, path, body, status).json();
        assert_eq!(answer["error"], error, "{method} {path}");
        let wanted =
            serde_json::from_str(reason).unwrap_or_else(|_| Value::from(self.fill(reason)));
        assert_eq!(answer["reason"], wanted, "{method} {path}");
    }

    #[track_caller]
    pub(crate) fn not_found(&self, method: &str, path: &str, body: &str) {
        self.refused(method, path, body, (404, "Object Not Found", "Not Found"));
    }

    /// Makes a user `{v}-tag` with this tag, password `p`.
    #[track_caller]
    pub(crate) fn user(&self, tag: &str) -> String {
        let name = format!("{}-{tag}", self.vhost);
        let body = format!(r#"{{"password": "p", "tags": "{tag}"}}"#);
        self.must("PUT", &format!("users/{name}"), &body, 201);
        name
    }

    /// An AMQP connection of `guest` to the vhost, channel 1 open.
    #[track_caller]
    pub(crate) fn peer(&self) -> Peer {
        self.peer_of(GUEST)
    }

    #[track_caller]
    pub(crate) fn peer_of(&self, (user, password): (&str, &str)) -> Peer {
        let login = Login {
            user: user.to_owned(),
            password: password.to_owned(),
            ..Login::guest(&self.vhost)
        };
        let mut peer = Peer::log_in(self.broker.amqp(), &login).expect("a connection");
        peer.call(1, "channel.open", "channel.open-ok")
            .expect("a channel");
        peer
    }

    /// What a path shows once it is as wanted.
    #[track_caller]
    pub(crate) fn eventually(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let shown = self.call("GET", path, "").json();
            if wanted(&shown) {
                return shown;
            }
            assert!(Instant::now() < deadline, "{path} shows {shown}");
            std::thread::park_timeout(PAUSE);
        }
    }
}

#[track_caller]
pub(crate) fn assert_status(response: &Response, status: u16, method: &str, path: &str) {
    let body = String::from_utf8_lossy(&response.body);
    assert_eq!(response.status, status, "{method} {path}: {body}");
}

/// The values of a member of each item.
pub(crate) fn column<'a>(list: &'a Value, name: &str) -> Vec<&'a str> {
    let items = list.as_array().expect("a list");
    items
        .iter()
        .map(|item| item[name].as_str().expect("text"))
        .collect()
}

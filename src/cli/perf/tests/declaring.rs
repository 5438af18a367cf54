//! Declaring many queues: new names, every one of them once, and none left behind.

use std::collections::BTreeSet;
use std::sync::Arc;

use amqp_codec::{Method, connection, queue};
use parking_lot::Mutex;
use serde_json::Value;

use super::super::args::tests::accepted;
use super::super::block::LOAD_CHANNEL;
use super::super::declare;
use super::super::error::PerfError;
use super::super::stop::Stop;
use super::super::uri::Uri;
use super::peer::Peer;

/// Names that were declared and names that were deleted.
#[derive(Default)]
struct Seen {
    declared: Mutex<Vec<String>>,
    deleted: Mutex<Vec<String>>,
}

impl Seen {
    fn note(&self, method: &Method<'_>) {
        match method {
            Method::QueueDeclare(declare) => {
                assert!(declare.durable && !declare.passive && !declare.exclusive);
                self.declared.lock().push(declare.queue.to_owned());
            }
            Method::QueueDelete(delete) => self.deleted.lock().push(delete.queue.to_owned()),
            _ => {}
        }
    }

    fn declared(&self) -> BTreeSet<String> {
        self.declared.lock().iter().cloned().collect()
    }

    fn deleted(&self) -> BTreeSet<String> {
        self.deleted.lock().iter().cloned().collect()
    }
}

fn run(uri: Uri, connections: u64, queues: u64, keep: &str) -> Result<Value, PerfError> {
    let mut args = accepted(&format!("--declare --durable {keep}"));
    args.uri = uri;
    let report = declare::run(&args, (connections, queues), &Stop::default())?;
    Ok(serde_json::to_value(&report).expect("plain values"))
}

/// A broker that notes what `connections` connections declare and delete.
fn noting(connections: usize) -> (Uri, std::thread::JoinHandle<()>, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let noted = seen.clone();
    let (uri, peers) = Peer::start_several(connections, move |_, mut peer| {
        peer.welcome(0);
        peer.serve(|_, method| {
            noted.note(method);
            true
        });
    });
    (uri, peers, seen)
}

#[test]
fn every_queue_has_a_name_of_its_own_and_is_deleted_afterwards() {
    let (uri, peers, seen) = noting(3);
    let report = run(uri, 3, 50, "").expect("no error");
    peers.join().expect("the scripts ran");
    let asked_for = seen.declared.lock().len();
    assert_eq!((asked_for, seen.declared().len()), (50, 50));
    assert_eq!(seen.deleted(), seen.declared());
    assert_eq!(report["declared"]["queues"], 50);
    assert_eq!(report["deleted"]["queues"], 50);
    assert_eq!(report["latency_us"]["samples"], 50);
}

#[test]
fn another_run_uses_other_names_and_kept_queues_stay() {
    let (first_uri, first_peers, first) = noting(1);
    let report = run(first_uri, 1, 5, "--keep").expect("no error");
    assert!(report["deleted"].is_null());
    let (second_uri, second_peers, second) = noting(1);
    run(second_uri, 1, 5, "--keep").expect("no error");
    first_peers.join().expect("the script ran");
    second_peers.join().expect("the script ran");
    assert_eq!((first.declared().len(), first.deleted().len()), (5, 0));
    assert!(first.declared().is_disjoint(&second.declared()));
}

#[test]
fn a_close_in_the_middle_is_told_and_what_was_declared_is_deleted_on_a_fresh_connection() {
    let seen = Arc::new(Seen::default());
    let noted = seen.clone();
    let (uri, peers) = Peer::start_several(2, move |number, mut peer| {
        peer.welcome(0);
        peer.serve(|peer, method| {
            noted.note(method);
            if number == 0 && noted.declared.lock().len() == 3 {
                peer.close(320, "CONNECTION_FORCED");
                peer.expect(connection::CloseOk::ID);
                return false;
            }
            true
        });
    });
    let error = run(uri, 1, 10, "").map(drop).expect_err("closed");
    assert_eq!(
        error.to_string(),
        "the broker closed the connection: 320 CONNECTION_FORCED"
    );
    peers.join().expect("the scripts ran");
    assert_eq!(seen.declared().len(), 3);
    assert_eq!(seen.deleted(), seen.declared());
}

#[test]
fn a_queue_that_somebody_uses_is_an_error() {
    let (uri, peers) = Peer::start(|mut peer| {
        peer.welcome(0);
        peer.serve(|peer, method| {
            let Method::QueueDeclare(declare) = method else {
                return true;
            };
            let (message_count, consumer_count) = (1, 0);
            let ok = queue::DeclareOk {
                queue: declare.queue,
                message_count,
                consumer_count,
            };
            peer.send(LOAD_CHANNEL, ok);
            // The rest of the script: the deletion and the close.
            peer.serve(|_, _| true);
            false
        });
    });
    let error = run(uri, 1, 1, "").map(drop).expect_err("not new");
    assert!(matches!(error, PerfError::Protocol(_)), "{error}");
    peers.join().expect("the script ran");
}

//! Who may have the data directory, and what a start says that cannot use it.

use std::fs;

use super::node::{Node, ask};
use crate::support::broker::{Broker, serve_on_free_ports};

#[test]
fn a_second_process_is_refused_and_the_first_goes_on() {
    let mut node = Node::start();
    let refusal = Broker::refuse(serve_on_free_ports(node.dir())).expect("an end");
    assert_eq!(refusal.code, Some(1), "{}", refusal.stderr);
    let error = format!(
        "error: data directory {} is in use by another process\n",
        node.dir().display()
    );
    assert!(refusal.stderr.ends_with(&error), "{}", refusal.stderr);
    ask(&mut node.peer("/"), &["queue.declare queue=q durable=true"]);
    node.kill_and_start();
    assert_eq!(node.names("queues/%2F"), ["q"]);
}

#[test]
fn a_missing_log_file_is_named() {
    let mut node = Node::start();
    ask(&mut node.peer("/"), &["queue.declare queue=q durable=true"]);
    node.kill();
    fs::remove_dir_all(node.dir().join("log")).expect("removed");
    let refusal = Broker::refuse(serve_on_free_ports(node.dir())).expect("an end");
    assert_eq!(refusal.code, Some(1), "{}", refusal.stderr);
    let last = refusal.stderr.lines().last().unwrap_or_default();
    assert!(
        last.starts_with("error: ") && last.contains("00000000000000000001.log is missing"),
        "{last}"
    );
}

#[test]
fn a_file_of_another_program_is_named_and_left_alone() {
    let mut node = Node::start();
    node.stop();
    let path = node.dir().join("node");
    fs::write(
        &path,
        "not written by a broker, and long enough to be read as a header of one. ".repeat(4),
    )
    .expect("written");
    let foreign = fs::read(&path).expect("read");
    let refusal = Broker::refuse(serve_on_free_ports(node.dir())).expect("an end");
    assert_eq!(refusal.code, Some(1), "{}", refusal.stderr);
    let error = format!("error: {} was not written by this broker\n", path.display());
    assert!(refusal.stderr.ends_with(&error), "{}", refusal.stderr);
    assert_eq!(fs::read(&path).expect("read"), foreign);
}

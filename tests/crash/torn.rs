//! A last write that the device has in part, or not at all.

use std::fs;
use std::path::Path;

use super::node::{GROUP, Node, ask, copy, groups, newest_log};
use crate::support::broker::Broker;
use crate::support::client::Peer;

const TORN: &str = "the last write was cut short and is dropped";

/// Changes the newest log file, which the killed broker left behind.
fn change(dir: &Path, change: impl FnOnce(&mut Vec<u8>, usize)) {
    let path = newest_log(dir);
    let mut file = fs::read(&path).expect("read");
    let last = groups(&file).pop().expect("a group");
    change(&mut file, last);
    fs::write(&path, file).expect("written");
}

/// A broker that has stored `before`, and then `last` as the last group of its log.
fn killed() -> Node {
    let mut node = Node::start();
    ask(
        &mut node.peer("/"),
        &[
            "queue.declare queue=before durable=true",
            "queue.declare queue=last durable=true",
        ],
    );
    node.kill();
    node
}

/// The broker starts, has these queues, and takes and keeps new ones.
#[track_caller]
fn assert_goes_on(node: &mut Node, queues: &[&str], is_torn: bool) {
    node.start_again();
    assert_eq!(node.names("queues/%2F"), queues);
    let log = node.broker().start_log();
    assert_eq!(log.contains(TORN), is_torn, "{log}");
    ask(
        &mut node.peer("/"),
        &["queue.declare queue=new durable=true"],
    );
    node.kill_and_start();
    let mut wanted = queues.to_vec();
    wanted.push("new");
    wanted.sort_unstable();
    assert_eq!(node.names("queues/%2F"), wanted);
    let log = node.broker().start_log();
    assert!(!log.contains("damage: "), "{log}");
}

#[test]
fn garbage_behind_the_last_group_takes_nothing_away() {
    let mut node = killed();
    change(node.dir(), |file, last| {
        let garbage: Vec<u8> = (0..3 * GROUP).map(|at| (at * 7 % 251) as u8).collect();
        let behind = &mut file[last + GROUP..];
        behind[..garbage.len()].copy_from_slice(&garbage);
    });
    assert_goes_on(&mut node, &["before", "last"], false);
}

#[test]
fn a_group_that_was_there_before_is_not_read_twice() {
    let mut node = killed();
    change(node.dir(), |file, last| {
        let again = file[last..last + GROUP].to_vec();
        file[last + GROUP..][..GROUP].copy_from_slice(&again);
    });
    node.start_again();
    assert_eq!(node.names("queues/%2F"), ["before", "last"]);
}

#[test]
fn a_last_group_that_was_cut_off_takes_only_itself_away() {
    let mut node = killed();
    change(node.dir(), |file, last| file[last + 70..].fill(0));
    assert_goes_on(&mut node, &["before"], true);
}

#[test]
fn a_last_group_with_a_lost_sector_takes_only_itself_away() {
    let mut node = killed();
    change(node.dir(), |file, last| file[last + 64..last + 80].fill(0));
    assert_goes_on(&mut node, &["before"], true);
}

#[test]
fn a_file_that_is_shorter_than_it_was_is_served_as_far_as_it_goes_and_told() {
    let mut node = killed();
    change(node.dir(), |file, last| file.truncate(last + GROUP));
    node.start_again();
    assert_eq!(node.names("queues/%2F"), ["before", "last"]);
    let log = node.broker().start_log();
    assert!(log.contains("damage: cut short: records from "), "{log}");
}

/// A first start that is interrupted leaves the directory as one of these copies.
#[test]
fn however_little_of_the_first_start_is_kept_the_default_user_logs_in() {
    let mut node = Node::start();
    ask(&mut node.peer("/"), &["queue.declare queue=q durable=true"]);
    node.kill();
    let path = newest_log(node.dir());
    let whole = fs::read(&path).expect("read");
    let places = groups(&whole);
    for kept in 0..=places.len() {
        let folder = tempfile::tempdir().expect("a folder");
        copy(node.dir(), folder.path());
        let end = places.get(kept).copied().unwrap_or(whole.len());
        let name = path.strip_prefix(node.dir()).expect("inside");
        fs::write(folder.path().join(name), &whole[..end]).expect("written");
        let broker = Broker::start_in(folder.path(), &[]).expect("the broker starts");
        if let Err(error) = Peer::open(broker.amqp(), "/") {
            panic!("with {kept} of {} groups: {error}", places.len());
        }
    }
}

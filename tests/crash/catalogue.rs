//! The catalogue lost or damaged: what it held comes from snapshot and log.

use std::fs;
use std::path::Path;

use super::node::{ALL, Node, ask};

/// Something of each kind that is stored.
fn fill(node: &Node) {
    node.must("PUT", "vhosts/v", r#"{"description": "d"}"#, 201);
    node.must("PUT", "users/u", r#"{"password": "p", "tags": ""}"#, 201);
    node.must("PUT", "permissions/v/u", ALL, 201);
    ask(
        &mut node.peer("/"),
        &[
            "exchange.declare exchange=x type=topic durable=true",
            "queue.declare queue=q durable=true",
            "queue.bind queue=q exchange=x routing-key=a.*",
        ],
    );
}

fn set_aside(dir: &Path) -> bool {
    dir.join("catalogue.aside-1").is_dir()
}

#[test]
fn a_lost_catalogue_comes_from_the_snapshot_after_a_stop() {
    let mut node = Node::start();
    fill(&node);
    let before = node.definitions();
    node.stop();
    assert!(node.dir().join("definitions.snapshot").is_file());
    fs::remove_dir_all(node.dir().join("catalogue")).expect("removed");
    node.start_again();
    assert_eq!(node.definitions(), before);
    assert!(node.dir().join("catalogue").is_dir(), "it is rebuilt");
    assert!(node.admits(("u", "p"), "v"));
}

#[test]
fn a_lost_catalogue_comes_from_snapshot_and_log_after_a_kill() {
    let mut node = Node::start();
    fill(&node);
    node.stop();
    node.start_again();
    ask(
        &mut node.peer("/"),
        &[
            "queue.declare queue=later durable=true",
            "queue.delete queue=q",
        ],
    );
    let before = node.definitions();
    node.kill();
    fs::remove_dir_all(node.dir().join("catalogue")).expect("removed");
    node.start_again();
    assert_eq!(node.definitions(), before);
    assert_eq!(node.names("queues/%2F"), ["later"]);
}

#[test]
fn without_catalogue_and_snapshot_the_log_alone_will_do() {
    let mut node = Node::start();
    fill(&node);
    let before = node.definitions();
    node.kill();
    fs::remove_dir_all(node.dir().join("catalogue")).expect("removed");
    // It may not have been written yet, which is what is wanted.
    let _ = fs::remove_file(node.dir().join("definitions.snapshot"));
    node.start_again();
    assert_eq!(node.definitions(), before);
}

#[test]
fn a_damaged_catalogue_is_set_aside_and_rebuilt() {
    let mut node = Node::start();
    fill(&node);
    let before = node.definitions();
    node.stop();
    for file in fs::read_dir(node.dir().join("catalogue")).expect("a folder") {
        let path = file.expect("an entry").path();
        if path.is_file() {
            let length = fs::metadata(&path).expect("its length").len();
            fs::write(
                &path,
                vec![0x5a; usize::try_from(length).expect("a length")],
            )
            .expect("written");
        }
    }
    node.start_again();
    assert_eq!(node.definitions(), before);
    assert!(set_aside(node.dir()), "kept for inspection");
    let log = node.broker().start_log();
    assert!(log.contains("catalogue set aside"), "{log}");
    node.kill_and_start();
    assert_eq!(node.definitions(), before);
}

#[test]
fn a_damaged_snapshot_is_not_needed_and_written_anew() {
    let mut node = Node::start();
    fill(&node);
    let before = node.definitions();
    node.stop();
    fs::write(
        node.dir().join("definitions.snapshot"),
        b"LVRTSNAP and no more",
    )
    .expect("written");
    node.start_again();
    assert_eq!(node.definitions(), before);
    node.stop();
    fs::remove_dir_all(node.dir().join("catalogue")).expect("removed");
    node.start_again();
    assert_eq!(node.definitions(), before);
}

//! `store check` on directories that something happened to: each damage is named with its file, and
//! with the offset where there is one.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::check::{SMALL, filled};
use super::stage::{
    Stage, ask, assert_clean, check, connect, copy, flip, publish, publisher, stop, store, text,
};

/// The findings of a damaged directory, as severity, file and offset.
#[track_caller]
fn findings(dir: &Path, code: i32) -> Vec<(String, String, Value)> {
    let (ended, report) = check(dir);
    assert_eq!(ended, Some(code), "{report:#}");
    let all = report["findings"].as_array().expect("a list").iter();
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    all.map(|one| {
        (
            word(&one["severity"]),
            word(&one["file"]),
            one["offset"].clone(),
        )
    })
    .collect()
}

#[track_caller]
fn assert_damaged(dir: &Path, file: &str, offset: impl Into<Value>) {
    let found = findings(dir, 1);
    let expected = ("error".to_owned(), file.to_owned(), offset.into());
    assert!(found.contains(&expected), "{expected:?} in {found:?}");
}

/// The segment with pages in use, as its name in the directory.
#[track_caller]
fn segment(report: &Value) -> String {
    let files = report["files"].as_array().expect("a list");
    let used = |file: &&Value| file["kind"] == "segment" && file["pages"].as_u64() > Some(0);
    let file = files.iter().find(used).expect("a segment");
    file["file"].as_str().expect("a name").to_owned()
}

/// A copy to be damaged.
fn another(stage: &Stage, name: &str) -> PathBuf {
    let dir = stage.path(name);
    copy(&stage.data(), &dir);
    dir
}

#[test]
fn flipped_bits_are_named_in_every_kind_of_file() {
    let stage = Stage::new();
    filled(&stage);
    let segment = segment(&assert_clean(&stage.data()));
    let log = "log/00000000000000000001.log";
    // Where the bit is, and what is named: the record, group, header or slot it belongs to. A group
    // begins at 4096, its first record behind its header of 64 bytes.
    let places = [
        ("node", 70, 0),
        ("node", 4096 + 70, 4096),
        ("definitions.snapshot", 60, 0),
        ("definitions.snapshot", 150, 128),
        (log, 60, 0),
        (log, 4096 + 20, 4096),
        (log, 4096 + 100, 4096 + 64),
        (&segment, 60, 0),
    ];
    for (number, (file, bit, offset)) in places.into_iter().enumerate() {
        let dir = another(&stage, &format!("copy-{number}"));
        flip(&dir.join(file), bit);
        assert_damaged(&dir, file, offset);
        fs::remove_dir_all(dir).expect("removed");
    }
}

#[test]
fn a_flipped_bit_of_a_page_names_its_place_and_what_is_lost() {
    let stage = Stage::new();
    filled(&stage);
    let segment = segment(&assert_clean(&stage.data()));
    let path = stage.data().join(&segment);
    let bytes = fs::read(&path).expect("read");
    let pages = (4096..bytes.len()).filter(|at| bytes[*at..].starts_with(b"LVPG"));
    let at = pages.max().expect("a page");
    flip(&path, at + 100);
    assert_damaged(&stage.data(), &segment, at);
    let ran = store(&["check", &text(&stage.data())]);
    let line = ran.stdout.lines().find(|line| line.starts_with("error: "));
    let line = line.expect("an error");
    assert!(
        line.contains(&format!("{segment}, offset {at}: ")),
        "{line}"
    );
    assert!(line.contains("messages)"), "{line}");
}

#[test]
fn a_catalogue_that_cannot_be_opened_is_named() {
    let stage = Stage::new();
    filled(&stage);
    fs::write(stage.data().join("catalogue/conf"), "garbage\n".repeat(9)).expect("written");
    assert_damaged(&stage.data(), "catalogue", Value::Null);
}

#[test]
fn a_missing_segment_is_named_with_what_was_in_it() {
    let stage = Stage::new();
    filled(&stage);
    let segment = segment(&assert_clean(&stage.data()));
    fs::remove_file(stage.data().join(&segment)).expect("removed");
    let (code, report) = check(&stage.data());
    assert_eq!(code, Some(1));
    let missing = &report["findings"][0];
    assert_eq!(missing["file"], segment.as_str());
    let what = missing["what"].as_str().expect("text");
    assert!(
        what.contains("missing, with ") && what.contains(" messages"),
        "{what}"
    );
}

#[test]
fn a_segment_that_nobody_names_is_listed_and_no_damage() {
    let stage = Stage::new();
    filled(&stage);
    let segment = segment(&assert_clean(&stage.data()));
    let path = stage.data().join(&segment);
    let saved = fs::read(&path).expect("read");
    let broker = stage.start(&SMALL);
    ask(&mut connect(&broker), &["queue.purge queue=a"]);
    stop(broker);
    assert!(!path.exists(), "its pages are gone");
    fs::write(&path, saved).expect("written");
    let expected = ("warning".to_owned(), segment, Value::Null);
    assert_eq!(findings(&stage.data(), 0), [expected]);
}

#[test]
fn missing_and_foreign_files_are_named() {
    let stage = Stage::new();
    filled(&stage);
    let dir = another(&stage, "without-node");
    fs::remove_file(dir.join("node")).expect("removed");
    assert_damaged(&dir, "node", Value::Null);
    let dir = another(&stage, "foreign-log");
    fs::write(
        dir.join("log/00000000000000000001.log"),
        "not written by a broker",
    )
    .expect("written");
    assert_damaged(&dir, "log/00000000000000000001.log", 0);
    let dir = another(&stage, "without-snapshot");
    fs::remove_file(dir.join("definitions.snapshot")).expect("removed");
    assert_clean(&dir);
}

#[test]
fn a_write_that_was_cut_short_is_no_damage() {
    let stage = Stage::new();
    let broker = stage.start(&[]);
    let mut peer = publisher(&broker);
    ask(&mut peer, &["queue.declare queue=q durable=true"]);
    let last = ["last".to_owned()];
    publish(&mut peer, "routing-key=q", &last, &mut 0).expect("confirmed");
    broker.kill().expect("killed");
    let log = "log/00000000000000000001.log";
    let path = stage.data().join(log);
    let mut bytes = fs::read(&path).expect("read");
    let groups = (4096..bytes.len()).step_by(4096);
    let group = groups.filter(|at| bytes[*at..].starts_with(b"LVGP")).max();
    let group = group.expect("a group");
    bytes[group + 70..].fill(0);
    fs::write(&path, &bytes).expect("written");
    let expected = ("warning".to_owned(), log.to_owned(), json!(group));
    assert_eq!(findings(&stage.data(), 0), [expected]);
    // A crash leaves the file as long as it was.
    bytes.truncate(group + 70);
    fs::write(&path, bytes).expect("written");
    assert_damaged(&stage.data(), log, group + 70);
}

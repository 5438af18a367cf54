//! What others on the machine may see of the data directory.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::stage::{Stage, open};

/// Folders and files below `path` and their modes.
fn modes(path: &Path, found: &mut Vec<(PathBuf, bool, u32)>) {
    for entry in fs::read_dir(path).expect("a folder") {
        let path = entry.expect("an entry").path();
        let metadata = fs::metadata(&path).expect("its mode");
        found.push((
            path.clone(),
            metadata.is_dir(),
            metadata.permissions().mode() & 0o777,
        ));
        if metadata.is_dir() {
            modes(&path, found);
        }
    }
}

#[track_caller]
fn assert_private(data: &Path) {
    let mut found = Vec::new();
    modes(data, &mut found);
    for (path, is_folder, mode) in &found {
        let wanted = if *is_folder { 0o700 } else { 0o600 };
        assert_eq!(*mode, wanted, "{}: {mode:o}", path.display());
    }
    let names: Vec<&str> = found
        .iter()
        .filter_map(|(path, ..)| path.file_name()?.to_str())
        .collect();
    for name in ["catalogue", "definitions.snapshot", "lock", "log", "node"] {
        assert!(names.contains(&name), "{name} is missing in {names:?}");
    }
}

/// Starts a broker, has something stored, and stops it.
fn use_once(stage: &Stage) {
    let broker = stage.start();
    open(&broker)
        .call(1, "queue.declare queue=q durable=true", "queue.declare-ok")
        .expect("a queue");
    assert!(broker.stop().expect("stopped").success());
}

#[test]
fn only_the_owner_opens_the_data_directory() {
    let stage = Stage::new();
    for _ in 0..2 {
        use_once(&stage);
        let mode = fs::metadata(stage.data())
            .expect("a folder")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o700);
        assert_private(&stage.data());
    }
}

#[test]
fn in_a_folder_that_others_may_open_they_see_no_content() {
    let stage = Stage::new();
    fs::create_dir(stage.data()).expect("a folder");
    fs::set_permissions(stage.data(), fs::Permissions::from_mode(0o755)).expect("its mode");
    use_once(&stage);
    assert_private(&stage.data());
}

//! The rules of `docs/STYLE.md` and `ARCHITECTURE.md` that a program can check, checked over every
//! file of the project.
//!
//! A rule is a function from files to violations. Each is also tried on a planted violation, so
//! that it is known to be able to fail.

mod arrows;
mod files;
mod rules;
mod rust;

use std::path::Path;

use files::File;

/// A rule: what it finds, one line each.
type Rule = fn(&[File]) -> Vec<String>;

#[track_caller]
fn holds(rule: Rule) {
    let files =
        files::project(Path::new(env!("CARGO_MANIFEST_DIR"))).expect("the sources can be read");
    assert!(
        files.len() > 20,
        "only {} files: is this the project?",
        files.len()
    );
    let violations = rule(&files);
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

/// Tries `rule` on a file that breaks it.
#[track_caller]
fn finds(rule: Rule, path: &str, text: &str) {
    let violations = rule(&[File::new(path, text)]);
    assert_eq!(violations.len(), 1, "{violations:?}");
    assert!(violations[0].starts_with(path), "{violations:?}");
}

/// Tries `rule` on a file that looks like a violation and is none.
#[track_caller]
fn passes(rule: Rule, path: &str, text: &str) {
    assert_eq!(rule(&[File::new(path, text)]), Vec::<String>::new());
}

#[test]
fn files_are_at_most_700_lines() {
    holds(rules::file_length);
}

#[test]
fn functions_are_at_most_70_lines() {
    holds(rules::function_length);
}

#[test]
fn every_rust_file_says_what_it_owns() {
    holds(rules::head);
}

#[test]
fn no_file_has_a_name_that_says_nothing() {
    holds(rules::file_name);
}

#[test]
fn nothing_unfinished_is_left_behind() {
    holds(rules::unfinished);
}

#[test]
fn no_test_and_no_warning_is_switched_off() {
    holds(rules::switched_off);
}

#[test]
fn only_the_command_line_prints() {
    holds(rules::printing);
}

#[test]
fn no_file_names_a_folder_of_one_machine() {
    holds(rules::machine_path);
}

#[test]
fn the_codec_imports_nothing_of_ours_and_nothing_of_the_system() {
    holds(arrows::codec);
}

#[test]
fn the_core_has_no_input_output_clock_or_chance() {
    holds(arrows::core);
}

#[test]
fn the_cores_manifest_lists_its_few_dependencies_only() {
    holds(arrows::core_manifest);
}

#[test]
fn the_process_imports_downwards() {
    holds(arrows::process);
}

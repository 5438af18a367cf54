//! Rules about one file at a time: sizes, heads, names and words.

use crate::files::File;
use crate::rust::{functions, is_word, tokens};

const FILE_LINES_MAX: usize = 700;
const FUNCTION_LINES_MAX: usize = 70;

/// Names that say that the author did not know what the file owns.
const EMPTY_NAMES: [&str; 5] = ["utils", "util", "helpers", "models", "types"];

// The words are put together so that this file does not break its own rules.
const UNFINISHED_MACROS: [&str; 3] = [
    concat!("to", "do!"),
    concat!("unimple", "mented!"),
    concat!("db", "g!"),
];
const UNFINISHED_WORDS: [&str; 3] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
];
const IGNORED: &str = concat!("#[igno", "re");
const UNUSED: &str = concat!("allow(dead_", "code");
const PRINTS: [&str; 2] = ["println!", "print!"];
const MACHINE_PATHS: [&str; 2] = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];

/// A file holds one subject; past this it holds more.
pub(crate) fn file_length(files: &[File]) -> Vec<String> {
    let long = files
        .iter()
        .filter(|file| file.is_program())
        .filter_map(|file| {
            let lines = file.text.lines().count();
            let path = &file.path;
            (lines > FILE_LINES_MAX)
                .then(|| format!("{path}: {lines} lines, at most {FILE_LINES_MAX}"))
        });
    long.collect()
}

/// A function does one thing; past this it does more.
pub(crate) fn function_length(files: &[File]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        for function in functions(&file.code) {
            if function.lines > FUNCTION_LINES_MAX {
                found.push(format!(
                    "{}:{}: fn {} has {} lines, at most {FUNCTION_LINES_MAX}",
                    file.path, function.line, function.name, function.lines
                ));
            }
        }
    }
    found
}

/// Every Rust file begins with what it owns.
pub(crate) fn head(files: &[File]) -> Vec<String> {
    let rust = files.iter().filter(|file| file.path.ends_with(".rs"));
    rust.filter(|file| !file.text.starts_with("//! "))
        .map(|file| format!("{}: no //! head", file.path))
        .collect()
}

/// No file is a drawer for leftovers.
pub(crate) fn file_name(files: &[File]) -> Vec<String> {
    let empty = files
        .iter()
        .filter(|file| file.is_program())
        .filter(|file| {
            let name = file.path.rsplit('/').next().unwrap_or("");
            let stem = name.split('.').next().unwrap_or(name);
            EMPTY_NAMES.contains(&stem)
        });
    empty
        .map(|file| format!("{}: the name does not say what is inside", file.path))
        .collect()
}

/// No macro that gives up at run time, no note to do it later.
pub(crate) fn unfinished(files: &[File]) -> Vec<String> {
    let mut found = occurrences(files, |file| &file.code, &UNFINISHED_MACROS);
    let programs: Vec<_> = files.iter().filter(|file| file.is_program()).collect();
    found.extend(occurrences(programs, |file| &file.text, &UNFINISHED_WORDS));
    found
}

/// No test is skipped, no unused code kept quiet, and an exception from a lint has a reason.
pub(crate) fn switched_off(files: &[File]) -> Vec<String> {
    let mut found = occurrences(files, |file| &file.code, &[IGNORED]);
    let product = files.iter().filter(|file| file.is_product());
    found.extend(occurrences(product, |file| &file.code, &[UNUSED]));
    for file in files {
        for line in unreasoned(&file.code) {
            found.push(format!(
                "{}:{line}: a lint is switched off without a reason",
                file.path
            ));
        }
    }
    found
}

/// Lines with an `#[allow(…)]` or `#[expect(…)]` that has no `reason = "…"`.
fn unreasoned(code: &str) -> Vec<usize> {
    let tokens = tokens(code);
    let opens = |at: usize| {
        matches!(tokens[at].0, "allow" | "expect")
            && at >= 2
            && matches!(tokens[at - 1].0, "[" | ",")
            && tokens[..at]
                .iter()
                .rev()
                .take(8)
                .any(|(token, _)| *token == "#")
    };
    let attributes = (0..tokens.len()).filter(|at| opens(*at));
    let bare = attributes.filter(|at| {
        let inside = tokens[*at..].iter().take_while(|(token, _)| *token != "]");
        !inside.into_iter().any(|(token, _)| *token == "reason")
    });
    bare.map(|at| tokens[at].1).collect()
}

/// Standard output belongs to the command line; the rest logs.
pub(crate) fn printing(files: &[File]) -> Vec<String> {
    let silent = files
        .iter()
        .filter(|file| file.is_product() && !file.path.starts_with("src/cli/"));
    occurrences(silent, |file| &file.shipped, &PRINTS)
}

/// Nothing depends on where it was written.
pub(crate) fn machine_path(files: &[File]) -> Vec<String> {
    occurrences(files, |file| &file.text, &MACHINE_PATHS)
}

/// Where one of `words` stands by itself in a part of a file.
fn occurrences<'a>(
    files: impl IntoIterator<Item = &'a File>,
    part: impl Fn(&'a File) -> &'a str,
    words: &[&str],
) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        for (index, line) in part(file).lines().enumerate() {
            for word in words.iter().filter(|word| stands_alone(line, word)) {
                found.push(format!("{}:{}: {word}", file.path, index + 1));
            }
        }
    }
    found
}

/// Whether `word` is in `line` without a letter before it (or after it, when it ends in one).
fn stands_alone(line: &str, word: &str) -> bool {
    let ends_in_letter = word.ends_with(is_word);
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        let joined_before = before.is_some_and(|c| is_word(c) || "-.}".contains(c));
        let joined_after = ends_in_letter && after.is_some_and(is_word);
        !joined_before && !joined_after
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{finds, passes};

    #[test]
    fn a_file_of_701_lines_is_found_and_one_of_700_is_not() {
        finds(file_length, "src/a.rs", &"\n".repeat(701));
        passes(file_length, "src/a.rs", &"\n".repeat(700));
        passes(file_length, "docs/a.md", &"\n".repeat(701));
    }

    #[test]
    fn a_function_of_71_lines_is_found_and_one_of_70_is_not() {
        let function = |lines: usize| format!("fn f() {{{}}}\n", "\n".repeat(lines - 1));
        finds(function_length, "src/a.rs", &function(71));
        passes(function_length, "src/a.rs", &function(70));
    }

    #[test]
    fn a_file_without_a_head_is_found() {
        finds(head, "src/a.rs", "use std::io;\n//! Too late.\n");
        finds(head, "src/a.rs", "");
        passes(head, "src/a.rs", "//! Owns a.\n");
        passes(head, "a.py", "import os\n");
    }

    #[test]
    fn an_empty_name_is_found() {
        for name in [
            "src/utils.rs",
            "src/x/helpers.rs",
            "interop/models.py",
            "ui/types.d.ts",
        ] {
            finds(file_name, name, "");
        }
        passes(file_name, "src/exchange_types.rs", "");
    }

    #[test]
    fn what_is_unfinished_is_found() {
        for word in UNFINISHED_MACROS {
            finds(unfinished, "src/a.rs", &format!("fn f() {{ {word}() }}"));
            passes(
                unfinished,
                "src/a.rs",
                &format!("let text = \"{word}\"; // {word}"),
            );
        }
        for word in UNFINISHED_WORDS {
            finds(unfinished, "src/a.rs", &format!("// {word}: later"));
            finds(unfinished, "interop/run.py", &format!("# {word}"));
            passes(
                unfinished,
                "src/a.rs",
                &format!("const A{word}: u8 = 1; // {word}S"),
            );
        }
    }

    #[test]
    fn what_is_switched_off_is_found() {
        finds(switched_off, "tests/a.rs", &format!("{IGNORED}]"));
        finds(
            switched_off,
            "tests/a.rs",
            &format!("{IGNORED} = \"slow\"]"),
        );
        finds(
            switched_off,
            "src/a.rs",
            &format!("#[{UNUSED}, reason = \"later\")]"),
        );
        finds(switched_off, "tests/a.rs", "#[allow(clippy::all)]");
        finds(switched_off, "src/a.rs", "#![allow(unused)]");
        finds(switched_off, "src/a.rs", "#[cfg_attr(test, allow(unused))]");
        passes(
            switched_off,
            "src/a.rs",
            "#[allow(unused, reason = \"each uses a part\")]",
        );
        passes(
            switched_off,
            "src/a.rs",
            &format!("// {IGNORED}], {UNUSED})"),
        );
        passes(
            switched_off,
            "src/a.rs",
            "fn f() { value.expect(\"holds\") }",
        );
    }

    #[test]
    fn printing_outside_the_command_line_is_found() {
        for word in PRINTS {
            finds(printing, "src/server/a.rs", &format!("{word}()"));
            passes(printing, "src/cli/a.rs", &format!("{word}()"));
            passes(printing, "src/server/a.rs", &format!("e{word}()"));
            passes(printing, "tests/a.rs", &format!("{word}()"));
            passes(
                printing,
                "src/server/a.rs",
                &format!("#[cfg(test)] mod t {{ {word}() }}"),
            );
        }
    }

    #[test]
    fn a_path_of_one_machine_is_found() {
        for path in MACHINE_PATHS {
            finds(machine_path, "docs/a.md", &format!("see `{path}x`"));
            passes(
                machine_path,
                "docs/a.md",
                &format!("https://example.org{path}x"),
            );
        }
    }
}

//! The project's text files, as rules see them.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

use crate::rust::{code, without_tests};

/// Folders that hold nothing we wrote, for a tree without git.
const FOREIGN: [&str; 6] = [
    "target",
    "node_modules",
    ".git",
    ".venv",
    "__pycache__",
    "leveret-data",
];

/// One text file.
pub(crate) struct File {
    /// Relative to the project, with `/`.
    pub(crate) path: String,
    /// As it stands.
    pub(crate) text: String,
    /// Rust without comments and literals, line for line; empty for other files.
    pub(crate) code: String,
    /// The same without the modules that only tests see.
    pub(crate) shipped: String,
}

impl File {
    /// A file as if it stood at `path`.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let code = if path.ends_with(".rs") {
            code(text)
        } else {
            String::new()
        };
        let is_test = path.ends_with("/tests.rs") || path.contains("/tests/");
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            shipped: if is_test {
                String::new()
            } else {
                without_tests(&code)
            },
            code,
        }
    }

    /// Whether it is Rust of the product: not of its tests, benches or tools.
    pub(crate) fn is_product(&self) -> bool {
        let folders = ["src/", "amqp-codec/src/", "broker-core/src/"];
        self.path.ends_with(".rs") && folders.iter().any(|folder| self.path.starts_with(folder))
    }

    /// Whether it is a program, of whatever language.
    pub(crate) fn is_program(&self) -> bool {
        let name = self.path.rsplit('/').next().unwrap_or("");
        let endings = [
            "rs", "ts", "tsx", "js", "mjs", "css", "html", "py", "go", "java", "sh", "rb", "cs",
            "php", "toml", "yml", "yaml",
        ];
        match name.rsplit_once('.') {
            Some((_, ending)) => endings.contains(&ending),
            None => name == "Makefile" || self.text.starts_with("#!"),
        }
    }
}

/// Every text file that git knows or would add; without git, every one outside build folders.
pub(crate) fn project(root: &Path) -> io::Result<Vec<File>> {
    let mut paths = tracked(root).unwrap_or_default();
    if paths.is_empty() {
        walk(root, root, &mut paths)?;
    }
    let mut files = Vec::new();
    for path in paths {
        // A file may be deleted and still known, or hold bytes that are no text.
        if let Ok(text) = fs::read_to_string(root.join(&path)) {
            files.push(File::new(&path, &text));
        }
    }
    Ok(files)
}

fn tracked(root: &Path) -> Option<Vec<String>> {
    let listed = Command::new("git")
        .args([
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "-z",
        ])
        .current_dir(root)
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let names = String::from_utf8(listed.stdout).ok()?;
    Some(
        names
            .split('\0')
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect(),
    )
}

fn walk(root: &Path, folder: &Path, paths: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            if !FOREIGN.iter().any(|name| entry.file_name() == *name) {
                walk(root, &path, paths)?;
            }
        } else if let Some(name) = path.strip_prefix(root).ok().and_then(Path::to_str) {
            paths.push(name.to_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_tests_ships_nothing() {
        assert_eq!(File::new("src/a/tests.rs", "fn a() {}").shipped, "");
        assert_eq!(File::new("src/a/mod.rs", "fn a() {}").shipped, "fn a() {}");
    }

    #[test]
    fn the_walk_leaves_build_folders_out() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["src/a.rs", "target/b.rs", "c.md"] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        let mut paths = Vec::new();
        walk(folder.path(), folder.path(), &mut paths).unwrap();
        paths.sort();
        assert_eq!(paths, ["c.md", "src/a.rs"]);
    }
}

//! Rules about who may know whom: `amqp-codec ← broker-core ← src`, and the layers inside `src`.

use crate::files::File;
use crate::rust::paths;

/// What only a process can do, and what would make the same commands give other effects.
const SYSTEM: [&str; 16] = [
    "tokio",
    "std::net",
    "std::fs",
    "std::thread",
    "std::process",
    "std::env",
    "std::time::SystemTime",
    "std::time::Instant",
    "std::os",
    "SystemTime::now",
    "Instant::now",
    "rand",
    "getrandom",
    "rustix",
    "axum",
    "sled",
];

/// Addresses are values: they are compared and shown, not connected to.
const VALUES: [&str; 4] = [
    "std::net::SocketAddr",
    "std::net::IpAddr",
    "std::net::Ipv4Addr",
    "std::net::Ipv6Addr",
];

/// What the core may be built from.
const CORE_DEPENDENCIES: [&str; 8] = [
    "amqp-codec",
    "bytes",
    "dashmap",
    "parking_lot",
    "regex",
    "rustc-hash",
    "smallvec",
    "thiserror",
];

/// The parts of the process from the bottom up. A part names only parts of lower layers, so the two
/// faces of the broker, `server` and `management`, never know each other.
const LAYERS: &[&[&str]] = &[
    &[
        "allocator",
        "clock",
        "config",
        "defects",
        "metrics",
        "version",
    ],
    &["alarms", "log", "store", "auth"],
    &["messages", "pulse"],
    &["timer"],
    &["node"],
    &["server", "management"],
    &["serve"],
    &["cli"],
];

/// The files that put the parts together.
const ROOTS: [&str; 2] = ["src/lib.rs", "src/main.rs"];

/// Bytes to frames and back: no other part, no system.
pub(crate) fn codec(files: &[File]) -> Vec<String> {
    let forbidden = ["broker_core", "leveret"].iter().chain(&SYSTEM);
    named(files, "amqp-codec/src/", forbidden)
}

/// Decisions: the codec's words, and nothing that has a clock, a socket or a disk.
pub(crate) fn core(files: &[File]) -> Vec<String> {
    let forbidden = ["leveret"].iter().chain(&SYSTEM);
    named(files, "broker-core/src/", forbidden)
}

fn named<'a>(
    files: &[File],
    folder: &str,
    forbidden: impl Iterator<Item = &'a &'a str> + Clone,
) -> Vec<String> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| file.path.starts_with(folder)) {
        for (path, line) in paths(&file.shipped) {
            let is_value = VALUES.iter().any(|value| begins_with(&path, value));
            if !is_value && forbidden.clone().any(|start| begins_with(&path, start)) {
                found.push(format!("{}:{line}: names {path}", file.path));
            }
        }
    }
    found
}

/// Whether `path` is `start` or something inside it.
fn begins_with(path: &str, start: &str) -> bool {
    path.strip_prefix(start)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// A manifest without the means is the proof that the core does no more than it should.
pub(crate) fn core_manifest(files: &[File]) -> Vec<String> {
    let manifests = files
        .iter()
        .filter(|file| file.path == "broker-core/Cargo.toml");
    manifests.flat_map(foreign_dependencies).collect()
}

fn foreign_dependencies(file: &File) -> Vec<String> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in file.text.lines() {
        if line.starts_with('[') {
            inside = line.contains("dependencies") && !line.contains("dev-dependencies");
            if inside && line.trim_end() != "[dependencies]" {
                found.push(format!(
                    "{}: dependencies belong into [dependencies]: {line}",
                    file.path
                ));
            }
            continue;
        }
        let name = line.split(['.', '=', ' ']).next().unwrap_or("");
        if inside
            && !name.is_empty()
            && !name.starts_with('#')
            && !CORE_DEPENDENCIES.contains(&name)
        {
            found.push(format!(
                "{}: {name} is not among the core's dependencies",
                file.path
            ));
        }
    }
    found
}

/// Each part of the process names the parts below it only.
pub(crate) fn process(files: &[File]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files
        .iter()
        .filter(|file| !ROOTS.contains(&file.path.as_str()))
    {
        let Some(from) = part(&file.path) else {
            continue;
        };
        let Some(layer) = layer(from) else {
            found.push(format!(
                "{}: {from} has no layer in tests/tidy/arrows.rs",
                file.path
            ));
            continue;
        };
        for (path, line) in paths(&file.shipped) {
            let to = path
                .strip_prefix("crate::")
                .and_then(|rest| rest.split("::").next());
            let Some(to) = to.filter(|to| *to != from) else {
                continue;
            };
            if self::layer(to).is_some_and(|to| to >= layer) {
                found.push(format!("{}:{line}: {from} names {path}", file.path));
            }
        }
    }
    found
}

/// The part of the process that a file belongs to: its folder under `src`, or its own name there.
fn part(path: &str) -> Option<&str> {
    let inside = path
        .strip_prefix("src/")
        .filter(|path| path.ends_with(".rs"))?;
    inside
        .split('/')
        .next()
        .map(|first| first.trim_end_matches(".rs"))
}

fn layer(part: &str) -> Option<usize> {
    LAYERS.iter().position(|parts| parts.contains(&part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{finds, passes};

    #[test]
    fn a_codec_that_looks_up_is_found() {
        finds(codec, "amqp-codec/src/a.rs", "use broker_core::Queue;");
        finds(
            codec,
            "amqp-codec/src/a.rs",
            "use std::{fmt, net::TcpStream};",
        );
        passes(
            codec,
            "amqp-codec/src/a.rs",
            "use std::fmt; use crate::frame::Frame;",
        );
    }

    #[test]
    fn a_core_that_touches_the_world_is_found() {
        for name in SYSTEM {
            let path = if name.contains("::") {
                name.to_owned()
            } else {
                format!("{name}::x")
            };
            finds(
                core,
                "broker-core/src/a.rs",
                &format!("fn f() {{ {path}(); }}"),
            );
        }
        passes(
            core,
            "broker-core/src/a.rs",
            "use std::time::Duration; // std::fs::read",
        );
        passes(
            core,
            "broker-core/src/a.rs",
            "use crate::random::Rand; fn rand() {}",
        );
        passes(
            core,
            "broker-core/src/a.rs",
            "use std::net::{IpAddr, SocketAddr};",
        );
        passes(
            core,
            "broker-core/src/a.rs",
            "#[cfg(test)] mod tests { use std::thread::scope; }",
        );
        passes(core, "src/a.rs", "use std::fs::File;");
    }

    #[test]
    fn a_foreign_dependency_of_the_core_is_found() {
        let path = "broker-core/Cargo.toml";
        finds(
            core_manifest,
            path,
            "[dependencies]\nbytes.workspace = true\ntokio = \"1\"\n",
        );
        finds(core_manifest, path, "[target.'cfg(unix)'.dependencies]\n");
        passes(
            core_manifest,
            path,
            "[dependencies]\nregex = \"1\"\n[dev-dependencies]\ntokio = \"1\"",
        );
    }

    #[test]
    fn a_part_that_looks_up_or_sideways_is_found() {
        finds(process, "src/store/a.rs", "use crate::node::Node;");
        finds(
            process,
            "src/server/a.rs",
            "use crate::{config::Config, management::Page};",
        );
        finds(
            process,
            "src/management/a.rs",
            "fn f() { crate::server::start() }",
        );
        finds(process, "src/config/a.rs", "use crate::metrics::Counter;");
        finds(process, "src/gossip.rs", "");
        passes(
            process,
            "src/server/a.rs",
            "use crate::node::Node; use crate::server::b;",
        );
        passes(process, "src/lib.rs", "pub use crate::cli::run;");
    }
}

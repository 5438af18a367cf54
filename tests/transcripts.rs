//! Plays the transcripts in `tests/transcripts` against the broker, or against another one.
//!
//! `LEVERET_TRANSCRIPTS_AGAINST=host:port` (and `LEVERET_TRANSCRIPTS_HTTP=host:port`) name a broker
//! that is running already; `LEVERET_TRANSCRIPTS=part/of/a/name` selects files;
//! `UPDATE_EXPECT=1` writes what came into the files. See `tests/transcripts/README.md`.

#![allow(clippy::print_stdout, reason = "what a run prints is its report")]

mod support;
#[path = "support/transcript/mod.rs"]
mod transcript;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;

use support::broker::Broker;
use support::client::{PROTOCOL_HEADER, Peer};
use support::method::{Field, Method};
use support::value::{Body, Table};
use transcript::{Failure, Outcome, Target};

/// How many files are played at the same time.
const PLAYERS: usize = 8;
/// How many lines of a failed file are shown before the one that failed.
const CONTEXT: usize = 4;

#[test]
fn every_transcript_holds() {
    let (target, broker) = target().expect("a broker to play against");
    let files = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts"));
    assert!(!files.is_empty(), "no transcript matches");
    println!(
        "{} transcripts against {} at {}",
        files.len(),
        target.brand,
        target.amqp
    );
    let results = play_all(files, &target);
    let failed = report(&results);
    if let (Some(broker), true) = (broker, failed > 0) {
        println!("--- the broker's last words ---\n{}", tail(&broker.log()));
    }
    assert_eq!(
        failed,
        0,
        "{failed} of {} transcripts failed",
        results.len()
    );
}

/// The broker named by the environment, or one started here.
fn target() -> Result<(Target, Option<Broker>), String> {
    let resolve = |name: &str| -> Result<Option<SocketAddr>, String> {
        let Ok(text) = env::var(name) else {
            return Ok(None);
        };
        let mut found = text
            .to_socket_addrs()
            .map_err(|error| format!("{text}: {error}"))?;
        found
            .next()
            .map(Some)
            .ok_or_else(|| format!("{text}: no address"))
    };
    if let Some(amqp) = resolve("LEVERET_TRANSCRIPTS_AGAINST")? {
        let http = resolve("LEVERET_TRANSCRIPTS_HTTP")?;
        return Ok((
            Target {
                amqp,
                http,
                brand: brand(amqp)?,
            },
            None,
        ));
    }
    let broker = Broker::start()?;
    let (amqp, http) = (broker.amqp(), Some(broker.http()));
    Ok((
        Target {
            amqp,
            http,
            brand: brand(amqp)?,
        },
        Some(broker),
    ))
}

/// What the broker calls itself in `connection.start`, as `name-version`.
fn brand(address: SocketAddr) -> Result<String, String> {
    let mut peer = Peer::connect(address).map_err(|error| error.to_string())?;
    peer.write(PROTOCOL_HEADER)
        .map_err(|error| error.to_string())?;
    let start: Method = peer.expect(0, "connection.start")?;
    let Some(Field::Table(properties)) = start.field("server-properties") else {
        return Err("no server-properties".to_owned());
    };
    let platform = property(properties, "platform").to_lowercase();
    if platform.starts_with("leveret") {
        return Ok(platform.replace(' ', "-"));
    }
    let product = property(properties, "product").to_lowercase();
    Ok(format!("{product}-{}", property(properties, "version")))
}

fn property(properties: &Table, name: &str) -> String {
    match properties
        .iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| &value.body)
    {
        Some(Body::Bytes(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    }
}

/// The transcripts below `root`, those that `LEVERET_TRANSCRIPTS` selects.
fn files(root: &Path) -> Vec<(String, PathBuf)> {
    let wanted = env::var("LEVERET_TRANSCRIPTS").unwrap_or_default();
    let mut folders = vec![root.to_owned()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).expect("a folder of transcripts");
        for path in entries.map(|entry| entry.expect("an entry").path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "txt") {
                let name = path
                    .strip_prefix(root)
                    .expect("below the root")
                    .display()
                    .to_string();
                found.push((name, path));
            }
        }
    }
    found.retain(|(name, _)| wanted.split(',').any(|part| name.contains(part)));
    found.sort();
    found
}

/// Plays the files on a bounded number of threads; a broker without API gets one file at a time.
fn play_all(files: Vec<(String, PathBuf)>, target: &Target) -> BTreeMap<String, Outcome> {
    let players = if target.http.is_some() { PLAYERS } else { 1 };
    let queue = Mutex::new(files.into_iter().enumerate());
    let results = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..players {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().expect("a player panicked").next();
                    let Some((number, (name, path))) = next else {
                        return;
                    };
                    let vhost = format!("transcript-{}-{number}", std::process::id());
                    let outcome = play_file(&path, target, &vhost);
                    println!("{:7} {name}", verdict(&outcome));
                    results
                        .lock()
                        .expect("a player panicked")
                        .insert(name, outcome);
                }
            });
        }
    });
    results.into_inner().expect("a player panicked")
}

fn play_file(path: &Path, target: &Target, vhost: &str) -> Outcome {
    let update = env::var("UPDATE_EXPECT").is_ok_and(|value| value == "1");
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return failed(0, error.to_string()),
    };
    let script = match transcript::parse(&text) {
        Ok(script) => script,
        Err(failure) => return failed(failure.line, failure.got),
    };
    let mut outcome = transcript::play(&script, target, vhost, update);
    if !outcome.rewritten.is_empty() {
        announce(path, &text, &outcome.rewritten);
        if let Err(error) = fs::write(path, rewrite(&text, &outcome.rewritten)) {
            outcome.failure = Some(Failure {
                line: 0,
                got: error.to_string(),
            });
        }
    }
    if let Some(failure) = &mut outcome.failure {
        failure.got = describe(&text, failure);
    }
    outcome
}

/// Says which expectations, not just blanks, an update replaces.
fn announce(path: &Path, text: &str, rewritten: &BTreeMap<usize, Vec<String>>) {
    for (number, line) in (1..).zip(text.lines()) {
        if let (Some(lines), false) = (rewritten.get(&number), line.ends_with(": ?")) {
            println!(
                "rewrote {}:{number}\n  - {line}\n  + {}",
                path.display(),
                lines.join("\n  + ")
            );
        }
    }
}

fn failed(line: usize, got: String) -> Outcome {
    Outcome {
        failure: Some(Failure { line, got }),
        ..Outcome::default()
    }
}

/// The lines up to the failed one, and what came instead of it.
fn describe(text: &str, failure: &Failure) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let last = if failure.line == 0 {
        lines.len()
    } else {
        failure.line - 1
    };
    let mut out = String::new();
    for line in &lines[last.saturating_sub(CONTEXT)..last] {
        out.push_str(&format!("    {line}\n"));
    }
    if let Some(expected) = failure.line.checked_sub(1).and_then(|line| lines.get(line)) {
        out.push_str(&format!("  - {expected}\n"));
    }
    out.push_str(&format!("  + {}", failure.got));
    out
}

fn rewrite(text: &str, rewritten: &BTreeMap<usize, Vec<String>>) -> String {
    let mut out = String::new();
    for (number, line) in (1..).zip(text.lines()) {
        match rewritten.get(&number) {
            Some(lines) => lines
                .iter()
                .for_each(|line| out.push_str(&format!("{line}\n"))),
            None => out.push_str(&format!("{line}\n")),
        }
    }
    for line in rewritten.get(&usize::MAX).into_iter().flatten() {
        out.push_str(&format!("{line}\n"));
    }
    out
}

fn verdict(outcome: &Outcome) -> &'static str {
    match (&outcome.failure, &outcome.skipped) {
        (Some(_), _) => "FAILED",
        (None, Some(_)) => "skipped",
        (None, None) => "ok",
    }
}

/// Prints what failed, what was skipped and where the broker differs; returns how many failed.
fn report(results: &BTreeMap<String, Outcome>) -> usize {
    let (mut failed, mut skipped, mut different) = (0, 0, 0);
    for (name, outcome) in results {
        if let Some(failure) = &outcome.failure {
            failed += 1;
            println!("\nFAILED {name}:{}\n{}", failure.line, failure.got);
        }
        if let Some(reason) = &outcome.skipped {
            skipped += 1;
            println!("\nskipped {name}: {reason}");
        }
        if !outcome.differences.is_empty() {
            different += 1;
            println!(
                "\ndiffers {name}: lines {:?} are this broker's own",
                outcome.differences
            );
        }
    }
    println!(
        "\n{} transcripts: {failed} failed, {skipped} skipped, {different} with known differences",
        results.len()
    );
    failed
}

fn tail(log: &str) -> &str {
    let start = log
        .char_indices()
        .rev()
        .nth(4_000)
        .map_or(0, |(place, _)| place);
    &log[start..]
}

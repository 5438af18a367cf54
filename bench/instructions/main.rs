//! Runs a load through the whole broker in one thread, without sockets, so that callgrind can count
//! its instructions: codec, channel, queue, delivery and the log's buffer.
//!
//! `instructions LOAD [BATCHES [PLANTED]]` prints how many messages were counted. `PLANTED` adds so
//! many steps of needless work for each message. `instructions` alone prints the loads.
//! `bench/guard` starts it and compares.

mod client;
mod counter;
mod loads;
mod process;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use loads::LOADS;

/// Reads of the publisher.
const BATCHES: u64 = 40;

fn main() -> ExitCode {
    // cargo bench adds a flag of its own.
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout();
    let Some(name) = words.first() else {
        for load in &LOADS {
            writeln!(out, "{}", load.name)?;
        }
        return Ok(());
    };
    let load = LOADS.iter().find(|load| load.name == name);
    let load = load.ok_or_else(|| format!("no load is called {name}"))?;
    let number = |at: usize, default: u64| match words.get(at) {
        Some(word) => word.parse().map_err(|_| format!("{word} is no number")),
        None => Ok(default),
    };
    let messages = load.run(number(1, BATCHES)?, number(2, 0)?)?;
    writeln!(out, "{messages}")?;
    Ok(())
}

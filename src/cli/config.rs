//! `leveret config`: prints a sample file, checks one before it is put in use.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use super::{EXIT_USAGE, failed, outcome, print};
use crate::config;

/// What to do with configuration files.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Print a file of every option, each at its default and commented out.
    Sample,
    /// Check a file: every fault is named with its line, nothing is started.
    Check {
        /// The file to check.
        file: PathBuf,
    },
}

/// Does it. A file with faults is exit code 2, as when the broker is started with it.
pub(super) fn run(command: ConfigCommand) -> ExitCode {
    match command {
        ConfigCommand::Sample => outcome(print(&config::sample())),
        ConfigCommand::Check { file } => check(file),
    }
}

fn check(file: PathBuf) -> ExitCode {
    let variables = std::env::vars_os().collect();
    match config::check(&file, variables) {
        Ok(loaded) => {
            for warning in loaded.warnings {
                eprintln!("warning: {warning}");
            }
            outcome(print(&format!("{}: valid\n", file.display())))
        }
        Err(error) => failed(ExitCode::from(EXIT_USAGE), error),
    }
}

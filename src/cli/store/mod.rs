//! `leveret store`: a data directory checked, printed and copied.
//!
//! | command | broker | what |
//! |---|---|---|
//! | `check` | stopped | every file by itself and against the others; changes nothing |
//! | `dump` | stopped | the log's records, and the map, as lines of JSON |
//! | `backup` | serving | asks it for a copy of its data directory |
//!
//! Parses arguments and prints. What lies on disk the store knows, what it means the core.

mod backup;
mod check;
mod definitions;
mod dump;
mod http;
mod pages;
mod report;
mod state;
#[cfg(test)]
mod tests;

use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;

use broker_core::journal::describe::Bodies;
use clap::Subcommand;

use self::dump::Wanted;
use self::http::Uri;
use super::{EXIT_USAGE, failed};

/// What to do with a data directory.
#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// Check every checksum and cross-reference of a data directory that no broker has open.
    ///
    /// Changes nothing. Exit code 0: all is well; 1: something is damaged; 2: it could not be
    /// checked. The catalogue is copied to the folder for temporary files (TMPDIR).
    Check {
        /// The data directory.
        dir: PathBuf,
        /// Print one JSON object instead of lines for people.
        #[arg(long)]
        json: bool,
    },
    /// Print the records of the log, in order, as lines of JSON.
    ///
    /// For a data directory that no broker has open; changes nothing. Exit codes as for `check`.
    Dump {
        /// The data directory.
        dir: PathBuf,
        /// The bodies of messages too, in base64.
        #[arg(long)]
        bodies: bool,
        /// Behind the records, the entries of the map: definitions, and where pages lie.
        #[arg(long)]
        map: bool,
    },
    /// Ask a serving broker for a copy of its data directory.
    ///
    /// The copy holds the state at the record that is named; a broker started on it serves that
    /// state. Exit code 0: it is made; 1: pages are missing in it, because they are damaged; 2: there
    /// is none.
    Backup {
        /// A directory that is empty, or is to be made: an absolute path on the broker's machine.
        target: PathBuf,
        /// The management API, with the credentials of an administrator. A password that is left
        /// out is read from standard input.
        #[arg(long, default_value = "http://guest:guest@127.0.0.1:15672")]
        uri: Uri,
        /// Print the broker's answer, which is JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Does it.
pub(super) fn run(command: StoreCommand) -> ExitCode {
    match command {
        StoreCommand::Backup { target, uri, json } => backup::run(uri, &target, json),
        StoreCommand::Check { dir, json } => check::run(&dir, json),
        StoreCommand::Dump { dir, bodies, map } => {
            let bodies = match bodies {
                true => Bodies::Shown,
                false => Bodies::Counted,
            };
            dump::run(&dir, Wanted { bodies, map })
        }
    }
}

/// Damage was found.
const EXIT_DAMAGED: u8 = 1;

/// Nothing can be said about the directory.
fn not_looked_at(why: impl Display) -> ExitCode {
    failed(ExitCode::from(EXIT_USAGE), why)
}

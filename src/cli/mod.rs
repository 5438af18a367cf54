//! The command line: which program `leveret` is this time.
//!
//! Parses arguments, prints, and turns outcomes into exit codes; what a command does lives in the
//! part that it names.

mod config;
mod hash_password;
pub mod perf;
mod serve;
mod store;

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use config::ConfigCommand;
use serve::ServeArgs;
use store::StoreCommand;

/// What could not even start: wrong usage, wrong configuration. clap exits with the same.
const EXIT_USAGE: u8 = 2;

/// A message broker that applications written for RabbitMQ use unchanged.
#[derive(Debug, Parser)]
#[command(name = "leveret", version, args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the broker. The default when no command is given.
    Serve(ServeArgs),
    /// Put load on a broker, this one or another, and report rates and latencies.
    Perf(Box<perf::PerfArgs>),
    /// Work with configuration files.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Check, print and copy data directories.
    #[command(subcommand)]
    Store(StoreCommand),
    /// Print the hash of the password on standard input, for definitions files and the API.
    HashPassword,
}

/// Does what the process's arguments say.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command {
        None => serve::run(arguments.serve),
        Some(Command::Serve(args)) => serve::run(args),
        Some(Command::Perf(args)) => outcome(perf::run(*args)),
        Some(Command::Config(command)) => config::run(command),
        Some(Command::Store(command)) => store::run(command),
        Some(Command::HashPassword) => {
            outcome(hash_password::hash_line(io::stdin()).and_then(|hash| print(&hash)))
        }
    }
}

fn outcome<E: Display>(result: Result<(), E>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(ExitCode::FAILURE, error),
    }
}

/// Says on standard error why the process ends; each line of a report is marked.
fn failed(code: ExitCode, error: impl Display) -> ExitCode {
    for line in error.to_string().lines() {
        eprintln!("error: {line}");
    }
    code
}

/// Prints on standard output. A reader that has seen enough (`| head`) is not an error.
fn print(text: &str) -> io::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn no_command_means_serve() {
        let bare = Arguments::try_parse_from(["leveret", "--heartbeat", "30"]).unwrap();
        assert!(bare.command.is_none());
        assert_eq!(bare.serve.flags, [("heartbeat", "30".to_owned())]);
        let named = Arguments::try_parse_from(["leveret", "serve", "--heartbeat", "30"]).unwrap();
        assert!(matches!(named.command, Some(Command::Serve(args)) if args == bare.serve));
    }

    #[test]
    fn an_unknown_flag_names_the_nearest() {
        let error = Arguments::try_parse_from(["leveret", "--hearbeat", "30"]).unwrap_err();
        assert!(error.to_string().contains("--heartbeat"), "{error}");
    }
}

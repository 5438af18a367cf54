//! `leveret serve`: flags from the table of options, then the broker.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command, error::Error};

use super::{EXIT_USAGE, failed};
use crate::config::{self, CONFIG_VARIABLE, ConfigOption, OPTIONS, Sources};
use crate::{log, serve};

/// The flag that names the configuration file.
const CONFIG_FLAG: &str = "config";

/// What the command line says about the configuration; checked together with the other sources.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ServeArgs {
    pub(super) file: Option<PathBuf>,
    pub(super) flags: Vec<(&'static str, String)>,
}

/// Loads the configuration, opens the log and serves until told to stop.
pub(super) fn run(args: ServeArgs) -> ExitCode {
    let sources = Sources {
        flags: args.flags,
        file: args.file,
        variables: std::env::vars_os().collect(),
    };
    let loaded = match config::load(&sources) {
        Ok(loaded) => loaded,
        Err(error) => return failed(ExitCode::from(EXIT_USAGE), error),
    };
    log::init(loaded.config.log_level, loaded.config.log_format);
    for warning in loaded.warnings {
        tracing::warn!("{warning}");
    }
    match serve::run(loaded.config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(ExitCode::FAILURE, error),
    }
}

/// Options that have a flag, with it.
fn flagged() -> impl Iterator<Item = (&'static ConfigOption, &'static str)> {
    OPTIONS
        .iter()
        .filter_map(|option| option.flag.map(|flag| (option, flag)))
}

fn argument(option: &'static ConfigOption, flag: &'static str) -> Arg {
    let mut facts = format!("[default: {}]", option.default);
    if let Some(env) = option.env {
        facts.push_str(&format!(" [env: {env}]"));
    }
    let expects = option.field.expects();
    Arg::new(flag)
        .long(flag)
        .value_name("VALUE")
        .allow_negative_numbers(true)
        .help(format!("{} {facts}", option.doc))
        .long_help(format!("{} Takes {expects}. {facts}", option.doc))
}

impl clap::Args for ServeArgs {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new(CONFIG_FLAG)
            .long(CONFIG_FLAG)
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help(format!(
                "A file of `key = value` lines, as rabbitmq.conf has them; `leveret config sample` \
                 prints one [env: {CONFIG_VARIABLE}]"
            ));
        flagged().fold(command.arg(file), |command, (option, flag)| {
            command.arg(argument(option, flag))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for ServeArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let given = flagged().filter_map(|(_, flag)| {
            let value = matches.get_one::<String>(flag)?;
            Some((flag, value.clone()))
        });
        Ok(Self {
            file: matches.get_one::<PathBuf>(CONFIG_FLAG).cloned(),
            flags: given.collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

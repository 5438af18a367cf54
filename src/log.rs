//! Where log lines go and which of them are written: standard error, one line or object per event.
//!
//! Owns the filter and the format; what is worth a line is decided where it happens.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{LogFormat, LogLevel};

/// The crates that are ours; a dependency's lines are capped at `warn`.
const OURS: [&str; 3] = ["leveret", "broker_core", "amqp_codec"];

/// Sends the process's events to standard error from now on. Only the first call has an effect: a
/// test process with several nodes has one log.
pub(crate) fn init(level: LogLevel, format: LogFormat) {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(directives(level)))
        .with_writer(std::io::stderr);
    // The only error is that a log is already there.
    let _ = match format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder
            .with_ansi(std::io::stderr().is_terminal())
            .try_init(),
    };
}

fn directives(level: LogLevel) -> String {
    let mut out = filter_name(level.min(LogLevel::Warn)).to_owned();
    for ours in OURS {
        out.push_str(&format!(",{ours}={}", filter_name(level)));
    }
    out
}

fn filter_name(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Off => "off",
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_never_says_more_than_warnings() {
        let all = |level| directives(level);
        assert_eq!(
            all(LogLevel::Off),
            "off,leveret=off,broker_core=off,amqp_codec=off"
        );
        assert_eq!(
            all(LogLevel::Error),
            "error,leveret=error,broker_core=error,amqp_codec=error"
        );
        assert_eq!(
            all(LogLevel::Trace),
            "warn,leveret=trace,broker_core=trace,amqp_codec=trace"
        );
    }

    #[test]
    fn every_level_is_a_filter() {
        for level in [
            LogLevel::Off,
            LogLevel::Warn,
            LogLevel::Info,
            LogLevel::Debug,
        ] {
            assert!(directives(level).parse::<EnvFilter>().is_ok(), "{level}");
        }
    }
}

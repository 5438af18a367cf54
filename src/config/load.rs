//! From the sources to one configuration: flag over variable over file over default.
//!
//! Reads the file and nothing else. Each source is applied on top of the ones below it, in the
//! order of the table; a list that a source names replaces the list below. Everything wrong in any
//! source is collected, so that an operator mends a file in one go.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::error::{ConfigError, Fault, Origin, Warning};
use super::field::Field;
use super::options::{ConfigOption, ERLANG_ONLY, OPTIONS};
use super::{Config, file, nearest};

/// The variable that names the configuration file.
pub const CONFIG_VARIABLE: &str = "LEVERET_CONFIG";

/// How the variables of this program begin.
const VARIABLE_PREFIX: &str = "LEVERET_";

/// A variable this close to a known one is a typing error.
const TYPING_ERROR_EDITS: usize = 2;

/// The file being written, the next one, and what a definitions snapshot holds back.
const LOG_FILES_MIN: u64 = 4;

/// Everything a configuration is made from.
#[derive(Debug, Default)]
pub struct Sources {
    /// Flags without their dashes, with their values.
    pub flags: Vec<(&'static str, String)>,
    /// The file that a flag names.
    pub file: Option<PathBuf>,
    /// The environment.
    pub variables: Vec<(OsString, OsString)>,
}

/// A configuration, and what its operator should know about where it came from.
#[derive(Debug)]
pub struct Loaded {
    /// What to run with.
    pub config: Config,
    /// What to log once logging works.
    pub warnings: Vec<Warning>,
}

/// One value for one option.
struct Assignment {
    row: usize,
    name: Option<String>,
    value: String,
    origin: Origin,
}

#[derive(Default)]
struct Loader {
    faults: Vec<Fault>,
    warnings: Vec<Warning>,
}

/// Reads every source and checks every value.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
    let mut loader = Loader::default();
    let mut config = Config::default();
    if let Some(path) = config_file(sources) {
        let layer = loader.file_layer(&path, sources)?;
        loader.apply(&mut config, layer);
    }
    let layer = loader.variable_layer(sources);
    loader.apply(&mut config, layer);
    let layer = loader.flag_layer(sources);
    loader.apply(&mut config, layer);
    loader.finish(config)
}

/// Reads and checks a file alone; the variables are only put in where the file asks for them.
pub fn check(path: &Path, variables: Vec<(OsString, OsString)>) -> Result<Loaded, ConfigError> {
    let sources = Sources {
        variables,
        ..Sources::default()
    };
    let mut loader = Loader::default();
    let mut config = Config::default();
    let layer = loader.file_layer(path, &sources)?;
    loader.apply(&mut config, layer);
    loader.finish(config)
}

/// Faults of a file are told in its order, before those of variables and flags.
fn line(fault: &Fault) -> usize {
    match fault.origin() {
        Some(Origin::Line(_, line)) => *line,
        Some(Origin::Variable(_) | Origin::Flag(_)) | None => usize::MAX,
    }
}

impl Config {
    /// The configuration of an empty command line, environment and file.
    pub(super) fn from_defaults(mut blank: Config) -> Config {
        for option in OPTIONS {
            // Each default is one that its own row accepts; a test walks the table.
            option
                .field
                .set(&mut blank, None, option.default)
                .expect("the table's own default");
        }
        blank
    }
}

fn config_file(sources: &Sources) -> Option<PathBuf> {
    let from_variable = || {
        let value = sources
            .variables
            .iter()
            .find(|(name, _)| name == CONFIG_VARIABLE);
        value
            .filter(|(_, value)| !value.is_empty())
            .map(|(_, value)| PathBuf::from(value))
    };
    sources.file.clone().or_else(from_variable)
}

impl Loader {
    fn finish(mut self, config: Config) -> Result<Loaded, ConfigError> {
        if self.faults.is_empty() {
            self.faults.extend(conflict(&config));
        }
        if self.faults.is_empty() {
            return Ok(Loaded {
                config,
                warnings: self.warnings,
            });
        }
        self.faults.sort_by_key(line);
        Err(ConfigError::Invalid(self.faults))
    }

    fn file_layer(
        &mut self,
        path: &Path,
        sources: &Sources,
    ) -> Result<Vec<Assignment>, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        let variable = |name: &str| {
            let found = sources.variables.iter().find(|(known, _)| known == name);
            found.and_then(|(_, value)| value.to_str().map(str::to_owned))
        };
        let (entries, malformed) = file::parse(&text, &variable);
        for bad in malformed {
            let origin = Origin::Line(path.to_owned(), bad.line);
            self.faults.push(Fault::Malformed {
                origin,
                reason: bad.reason,
            });
        }
        let mut layer = Vec::new();
        for entry in entries {
            let origin = Origin::Line(path.to_owned(), entry.line);
            match find(&entry.key) {
                Some((row, name)) => {
                    layer.push((
                        entry.key,
                        Assignment {
                            row,
                            name,
                            value: entry.value,
                            origin,
                        },
                    ));
                }
                None => self.unknown(origin, entry.key),
            }
        }
        Ok(self.last_of_each(layer))
    }

    /// The last line with a key counts, as in RabbitMQ; the ones before it are named.
    fn last_of_each(&mut self, layer: Vec<(String, Assignment)>) -> Vec<Assignment> {
        let mut last = HashMap::new();
        for (_, assignment) in &layer {
            if let Origin::Line(_, line) = assignment.origin {
                last.insert((assignment.row, assignment.name.clone()), line);
            }
        }
        let mut kept = Vec::new();
        for (key, assignment) in layer {
            let by = last.get(&(assignment.row, assignment.name.clone()));
            match (&assignment.origin, by) {
                (Origin::Line(_, line), Some(&by)) if *line != by => {
                    let origin = assignment.origin;
                    self.warnings.push(Warning::Replaced { origin, key, by });
                }
                _ => kept.push(assignment),
            }
        }
        kept
    }

    fn unknown(&mut self, origin: Origin, key: String) {
        if ERLANG_ONLY.iter().any(|pattern| matches(pattern, &key)) {
            self.warnings.push(Warning::ErlangOnly { origin, key });
            return;
        }
        let nearest = nearest::nearest(&key, known_keys(&key)).unwrap_or_default();
        self.faults.push(Fault::UnknownKey {
            origin,
            key,
            nearest,
        });
    }

    fn variable_layer(&mut self, sources: &Sources) -> Vec<Assignment> {
        let mut layer = Vec::new();
        for (name, value) in &sources.variables {
            let Some(name) = name
                .to_str()
                .filter(|name| name.starts_with(VARIABLE_PREFIX))
            else {
                continue;
            };
            let row = OPTIONS.iter().position(|option| option.env == Some(name));
            let Some(row) = row else {
                self.mistyped(name);
                continue;
            };
            let origin = Origin::Variable(name.to_owned());
            match value.to_str() {
                // Compose files and shells pass an unset variable on as an empty one.
                Some("") => {}
                Some(text) => {
                    layer.push(Assignment {
                        row,
                        name: None,
                        value: text.to_owned(),
                        origin,
                    });
                }
                None => {
                    let reason = "is not valid UTF-8".to_owned();
                    self.faults.push(Fault::Malformed { origin, reason });
                }
            }
        }
        layer
    }

    /// Other programs may own variables with our prefix (Kubernetes makes some for a service called
    /// `leveret`), so only what looks mistyped is worth a line.
    fn mistyped(&mut self, name: &str) {
        let known = OPTIONS.iter().filter_map(|option| option.env);
        let nearest = known
            .chain([CONFIG_VARIABLE])
            .map(|known| (nearest::edits(name, known), known))
            .min_by_key(|(edits, _)| *edits)
            .filter(|(edits, _)| (1..=TYPING_ERROR_EDITS).contains(edits));
        if let Some((_, nearest)) = nearest {
            self.warnings.push(Warning::UnknownVariable {
                name: name.to_owned(),
                nearest,
            });
        }
    }

    fn flag_layer(&mut self, sources: &Sources) -> Vec<Assignment> {
        let rows = sources.flags.iter().filter_map(|(flag, value)| {
            let row = OPTIONS
                .iter()
                .position(|option| option.flag == Some(*flag))?;
            let origin = Origin::Flag(flag);
            Some(Assignment {
                row,
                name: None,
                value: value.clone(),
                origin,
            })
        });
        rows.collect()
    }

    fn apply(&mut self, config: &mut Config, mut layer: Vec<Assignment>) {
        layer.sort_by_key(|assignment| assignment.row);
        let mut touched = HashSet::new();
        for Assignment {
            row,
            name,
            value,
            origin,
        } in layer
        {
            let option = &OPTIONS[row];
            if touched.insert(row) {
                option.field.clear(config);
            }
            if let Err(reason) = option.field.set(config, name.as_deref(), &value) {
                let value = if matches!(option.field, Field::Secret(_)) {
                    "…"
                } else {
                    &value
                };
                self.faults.push(Fault::BadValue {
                    origin,
                    key: full_key(option, name.as_deref()),
                    value: value.to_owned(),
                    reason,
                });
            }
        }
    }
}

/// What a store with these values could not do.
fn conflict(config: &Config) -> Option<Fault> {
    let holds = config.log_max_bytes / config.log_file_bytes >= LOG_FILES_MIN;
    (!holds).then_some(Fault::Conflict {
        key: "wal.max_size",
        other: "wal.file_size",
        reason: "the log must hold at least four files",
    })
}

/// The row with this key, and the last part of the key where the row is a list.
fn find(key: &str) -> Option<(usize, Option<String>)> {
    OPTIONS.iter().enumerate().find_map(|(row, option)| {
        if option.key == key || option.also.contains(&key) {
            return Some((row, None));
        }
        let rest = key.strip_prefix(option.list_base()?)?;
        match rest.strip_prefix('.') {
            None => rest.is_empty().then_some((row, None)),
            // A dot inside a name may be escaped, as rabbitmq.conf requires.
            Some(name) => (!name.is_empty()).then(|| (row, Some(name.replace("\\.", ".")))),
        }
    })
}

impl ConfigOption {
    /// The key without its `.$name`, for a list.
    pub fn list_base(&self) -> Option<&'static str> {
        self.key.rsplit_once(".$").map(|(base, _)| base)
    }
}

fn full_key(option: &ConfigOption, name: Option<&str>) -> String {
    match (option.list_base(), name) {
        (Some(base), Some(name)) => format!("{base}.{name}"),
        (Some(base), None) => base.to_owned(),
        (None, _) => option.key.to_owned(),
    }
}

/// Every key there is; a list's with the last part of `like`, so that only the rest is compared.
fn known_keys(like: &str) -> impl Iterator<Item = String> {
    let last = like.rsplit('.').next().unwrap_or(like).to_owned();
    OPTIONS.iter().flat_map(move |option| {
        let named = option.list_base().map(|base| format!("{base}.{last}"));
        let also = option.also.iter().map(|key| (*key).to_owned());
        std::iter::once(full_key(option, None))
            .chain(named)
            .chain(also)
    })
}

fn matches(pattern: &str, key: &str) -> bool {
    pattern
        .strip_suffix('*')
        .map_or(pattern == key, |start| key.starts_with(start))
}

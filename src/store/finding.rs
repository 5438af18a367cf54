//! What is wrong with a file of the store, for an operator: which file, where in it, and what.

use std::path::PathBuf;

use super::StoreError;
use super::replay::{Damage, UNKNOWN};

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something is wrong, or missing.
    Error,
    /// Nothing is lost by it, but somebody may wonder.
    Warning,
}

/// Something an operator should read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The file or directory; none for the state that files make together.
    pub path: Option<PathBuf>,
    /// Where in the file.
    pub offset: Option<u64>,
    /// What it is.
    pub what: String,
}

impl Finding {
    /// Something that is wrong in a file.
    pub fn error(path: impl Into<PathBuf>, offset: Option<u64>, what: impl Into<String>) -> Self {
        Finding {
            severity: Severity::Error,
            path: Some(path.into()),
            offset,
            what: what.into(),
        }
    }

    /// Something odd about a file.
    pub fn warning(path: impl Into<PathBuf>, offset: Option<u64>, what: impl Into<String>) -> Self {
        Finding {
            severity: Severity::Warning,
            ..Finding::error(path, offset, what)
        }
    }

    /// What an error says is wrong; the error itself if it says that looking failed.
    pub fn from_error(error: StoreError) -> Result<Finding, StoreError> {
        match error.place() {
            Some(_) => Ok(Finding::about(&error)),
            None => Err(error),
        }
    }

    /// What an error says, whatever that is.
    pub(crate) fn about(error: &StoreError) -> Finding {
        let what = match error {
            StoreError::Corrupt { what, .. } => (*what).to_owned(),
            StoreError::MissingFile { .. } => "missing".to_owned(),
            StoreError::UnknownRecord { kind, .. } => format!("a record of unknown kind {kind}"),
            error => error.to_string(),
        };
        let place = error.place();
        Finding {
            severity: Severity::Error,
            path: place.map(|(path, _)| path.to_path_buf()),
            offset: place.and_then(|(_, offset)| offset),
            what,
        }
    }

    /// What is missing where the log is damaged; `remark` says what follows from it.
    pub(super) fn in_log(damage: &Damage, remark: &str) -> Finding {
        let Damage {
            place,
            first,
            records,
        } = damage;
        let what = match *records {
            0 => format!("the header is damaged; the records behind it are read{remark}"),
            1 => format!("record {first} is damaged{remark}"),
            UNKNOWN => format!("cut short: records from {first} on may be missing{remark}"),
            _ => {
                let last = first.0.saturating_add(records - 1);
                format!("records {first} to {last} are damaged or missing{remark}")
            }
        };
        Finding::error(&place.path, Some(place.offset), what)
    }
}

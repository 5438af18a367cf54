//! `leveret store backup`: asks a serving broker for a copy of its data directory, and says what
//! came of it. The broker makes the copy, on its own machine.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::http::{Answer, Uri};
use super::{EXIT_DAMAGED, not_looked_at};
use crate::cli::{hash_password, print};

const PATH: &str = "/api/x/backup";

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
enum BackupError {
    #[error("the target is not UTF-8")]
    Target,
    #[error("cannot read the password: {0}")]
    Password(io::Error),
    #[error("cannot ask {uri:?}: {source}")]
    Ask { uri: Uri, source: io::Error },
    #[error("{uri:?} answered with {status}: {reason}")]
    Refused {
        uri: Uri,
        status: u16,
        reason: String,
    },
}

/// Asks, waits and tells.
pub(super) fn run(uri: Uri, target: &Path, is_json: bool) -> ExitCode {
    let made = match ask(uri, target) {
        Ok(made) => made,
        Err(error) => return not_looked_at(error),
    };
    let text = match is_json {
        true => format!("{made}\n"),
        false => told(&made),
    };
    let lost = made["lost_pages"].as_u64().unwrap_or_default();
    match print(&text) {
        Err(error) => not_looked_at(error),
        Ok(()) if lost > 0 => {
            eprintln!("error: {lost} pages of messages are damaged and missing in the backup");
            ExitCode::from(EXIT_DAMAGED)
        }
        Ok(()) => ExitCode::SUCCESS,
    }
}

fn ask(mut uri: Uri, target: &Path) -> Result<Value, BackupError> {
    let target = target.to_str().ok_or(BackupError::Target)?;
    if uri.needs_password() {
        let password = hash_password::read_password(io::stdin()).map_err(BackupError::Password)?;
        uri.set_password(password);
    }
    let question = json!({ "target": target }).to_string();
    let answered = uri.post(PATH, &question);
    let Answer { status, body } = match answered {
        Ok(answer) => answer,
        Err(source) => return Err(BackupError::Ask { uri, source }),
    };
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    if status == 200 && body["lsn"].is_u64() {
        return Ok(body);
    }
    let reason = match &body["reason"] {
        Value::String(reason) => reason.clone(),
        Value::Null => "no reason".to_owned(),
        other => other.to_string(),
    };
    Err(BackupError::Refused {
        uri,
        status,
        reason,
    })
}

fn told(made: &Value) -> String {
    let number = |name: &str| made[name].as_u64().unwrap_or_default();
    format!(
        "{}: the state at record {}; {} log files, {} pages, {} bytes, {} ms\n",
        made["target"].as_str().unwrap_or_default(),
        number("lsn"),
        number("log_files"),
        number("pages"),
        number("bytes"),
        number("duration_ms"),
    )
}

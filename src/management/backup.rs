//! `POST /x/backup`: a copy of the data directory, made by the broker on its own machine.

use std::path::Path;

use axum::http::StatusCode;
use serde_json::json;

use super::call::Call;
use super::reply::{Refusal, Reply};
use crate::messages::BackupError;

/// Body: `{"target": "/an/absolute/path"}`, a directory that is empty or is made. Answered when the
/// copy is on disk.
pub(super) fn post(call: &Call) -> Result<Reply, Refusal> {
    let fields = call.fields()?;
    let [target] = fields.required(["target"])?;
    let made = call.api.backups.make(Path::new(target))?;
    tracing::info!(user = &*call.user.name, target, "a backup was asked for");
    Ok(Reply::json(&json!({
        "target": target,
        "lsn": made.lsn.0,
        "log_files": made.log_files,
        "pages": made.pages,
        "lost_pages": made.lost_pages,
        "bytes": made.bytes,
        "duration_ms": u64::try_from(made.took.as_millis()).unwrap_or(u64::MAX),
    })))
}

impl From<BackupError> for Refusal {
    fn from(error: BackupError) -> Refusal {
        let reason = error.to_string();
        match error {
            BackupError::Busy => Refusal::new(StatusCode::CONFLICT, "conflict", reason),
            BackupError::Target { .. } => Refusal::bad_request(reason),
            BackupError::Store(_) => Refusal::internal(&reason),
        }
    }
}

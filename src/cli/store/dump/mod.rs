//! `leveret store dump`: the records of the log in order, and the map, each as one line of JSON. Holds
//! one record in memory at a time, and the names of queues.

mod shown;

use std::io::{self, BufWriter, ErrorKind, StdoutLock, Write};
use std::path::Path;
use std::process::ExitCode;

use broker_core::journal::describe::{Bodies, describe};
use serde::Serialize;
use serde_json::{Value, json};

use self::shown::{Names, Shown, show_change, show_entry};
use super::{EXIT_DAMAGED, not_looked_at};
use crate::store::inspect::{Finding, Inspection, Severity};
use crate::store::{Change, Lsn, Map, Sink, StoreError};

/// What of the directory is printed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    pub(super) bodies: Bodies,
    pub(super) map: bool,
}

/// Why nothing (more) is printed.
#[derive(Debug, thiserror::Error)]
enum DumpError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot write: {0}")]
    Output(#[from] io::Error),
}

/// Prints.
pub(super) fn run(dir: &Path, wanted: Wanted) -> ExitCode {
    match dump(dir, wanted) {
        Ok(false) => ExitCode::SUCCESS,
        Ok(true) => ExitCode::from(EXIT_DAMAGED),
        // A reader that has seen enough (`| head`) is not an error.
        Err(DumpError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(DumpError::Store(error)) if error.is_damage() => {
            eprintln!("error: {error}");
            ExitCode::from(EXIT_DAMAGED)
        }
        Err(error) => not_looked_at(error),
    }
}

/// Whether damage was found.
fn dump(dir: &Path, wanted: Wanted) -> Result<bool, DumpError> {
    let inspection = Inspection::open(dir)?;
    let mut printer = Printer::new(wanted.bodies);
    match inspection.snapshot() {
        Ok(map) => printer.learn(&map),
        // Names are missing then, and records are what was asked for.
        Err(error) if error.is_damage() => eprintln!("error: {error}"),
        Err(error) => return Err(error.into()),
    }
    let findings = inspection.records(&mut printer)?;
    printer.finish()?;
    findings.iter().for_each(tell);
    if wanted.map {
        let state = inspection.state()?;
        for (key, value) in &state.map {
            let entry = json!({ "map": show_entry(key, value) });
            printer.print(&entry)?;
        }
    }
    printer.out.flush()?;
    let is_error = |finding: &Finding| finding.severity == Severity::Error;
    Ok(printer.is_damaged || findings.iter().any(is_error))
}

fn tell(finding: &Finding) {
    let severity = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let path = finding.path.as_deref().unwrap_or(Path::new("log"));
    let offset = finding.offset.unwrap_or_default();
    eprintln!(
        "{severity}: {}, offset {offset}: {}",
        path.display(),
        finding.what
    );
}

/// A record of changes of the map.
#[derive(Serialize)]
struct Changes {
    lsn: u64,
    kind: &'static str,
    changes: Vec<Value>,
}

/// Prints what it is handed.
struct Printer {
    out: BufWriter<StdoutLock<'static>>,
    names: Names,
    bodies: Bodies,
    /// The changes of the record that is being handed over.
    changes: Option<(Lsn, Vec<Value>)>,
    failed: Option<io::Error>,
    /// A record could not be read.
    is_damaged: bool,
}

impl Printer {
    fn new(bodies: Bodies) -> Printer {
        Printer {
            out: BufWriter::new(io::stdout().lock()),
            names: Names::default(),
            bodies,
            changes: None,
            failed: None,
            is_damaged: false,
        }
    }

    fn learn(&mut self, map: &Map) {
        map.iter()
            .for_each(|(key, value)| self.names.learn(key, value));
    }

    fn print(&mut self, line: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, line)?;
        self.out.write_all(b"\n")
    }

    /// Prints as long as that works.
    fn try_print(&mut self, line: &impl Serialize) {
        if self.failed.is_none() {
            self.failed = self.print(line).err();
        }
    }

    /// Prints the changes that came last.
    fn end_record(&mut self) {
        if let Some((lsn, changes)) = self.changes.take() {
            self.try_print(&Changes {
                lsn: lsn.0,
                kind: "changes",
                changes,
            });
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        self.end_record();
        self.failed.take().map_or(Ok(()), Err)
    }
}

impl Sink for Printer {
    fn change(&mut self, lsn: Lsn, change: Change) {
        if let Change::Put { key, value } = &change {
            self.names.learn(key, value);
        }
        if self.changes.as_ref().is_some_and(|(of, _)| *of != lsn) {
            self.end_record();
        }
        let (_, changes) = self.changes.get_or_insert((lsn, Vec::new()));
        changes.push(show_change(&change));
    }

    fn entry(&mut self, lsn: Lsn, kind: u8, payload: &[u8]) {
        self.end_record();
        match describe(kind, payload, self.bodies) {
            Ok(described) => {
                let names = std::mem::take(&mut self.names);
                self.try_print(&Shown::record(lsn, payload.len(), &described, &names));
                self.names = names;
            }
            Err(why) => {
                self.is_damaged = true;
                let error = why.to_string();
                let bytes = payload.len();
                let line = json!({ "lsn": lsn.0, "kind": kind, "bytes": bytes, "error": error });
                self.try_print(&line);
            }
        }
    }

    fn is_satisfied(&self) -> bool {
        self.failed.is_some()
    }
}

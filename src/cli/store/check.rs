//! `leveret store check`: puts together what the store, the core and the definitions say of a data
//! directory. Changes nothing in it.

use std::path::Path;
use std::process::ExitCode;

use broker_core::recovery::check::Problem;

use super::definitions::Definitions;
use super::report::{Line, Report};
use super::state::Decoding;
use super::{EXIT_DAMAGED, not_looked_at, pages, state};
use crate::cli::{EXIT_USAGE, print};
use crate::messages::Checking;
use crate::store::inspect::{Content, Examination, Examined, Finding, Inspection, Severity};
use crate::store::{Lsn, StoreError};

/// Checks and prints.
pub(super) fn run(dir: &Path, json: bool) -> ExitCode {
    let report = match examine(dir) {
        Ok(report) => report,
        Err(error) => {
            if json {
                let _ = print(&Report::refusal(dir, &error));
            }
            return not_looked_at(error);
        }
    };
    let text = if json {
        report.to_json()
    } else {
        report.to_string()
    };
    match print(&text) {
        Err(error) => not_looked_at(error),
        Ok(()) if report.is_damaged() => ExitCode::from(EXIT_DAMAGED),
        Ok(()) => ExitCode::SUCCESS,
    }
}

const _: () = assert!(EXIT_USAGE != EXIT_DAMAGED, "scripts tell them apart");

/// Everything that can be said. The error is why nothing can.
pub(super) fn examine(dir: &Path) -> Result<Report, StoreError> {
    let mut report = Report::new(dir);
    let inspection = match Inspection::open(dir) {
        Ok(inspection) => inspection,
        Err(error) => {
            // Without knowing whose files they are, no checksum of them can be checked.
            report.findings.push(Finding::from_error(error)?);
            return Ok(report);
        }
    };
    let mut reading = Checking::default();
    let mut rest = Decoding::default();
    let mut found = inspection.examine(&mut reading, &mut rest)?;
    report.findings.append(&mut found.findings);
    report.files = found.files.iter().map(line).collect();
    for damaged in &rest.damaged {
        let what = format!("{damaged} (not needed any more)");
        report.findings.push(at_record(&found, damaged.lsn.0, what));
    }
    match &found.state {
        Some(start) => {
            let definitions = Definitions::read(&start.map, &mut report.findings);
            let mut checked = reading.finish();
            for problem in &checked.problems {
                let finding = match problem {
                    Problem::Entry(damaged) => {
                        at_record(&found, damaged.lsn.0, problem.to_string())
                    }
                    Problem::Placement { lsn, .. } | Problem::Order(lsn, _) => {
                        at_record(&found, lsn.0, problem.to_string())
                    }
                    _ => without_place(problem.to_string()),
                };
                report.findings.push(finding);
            }
            pages::check(
                &inspection,
                &start.map,
                &definitions,
                &mut checked,
                &mut report,
            )?;
            definitions.count(&mut report);
            state::count(&checked, &mut report);
        }
        None => pages::list(&inspection, &mut report)?,
    }
    Ok(report)
}

fn without_place(what: String) -> Finding {
    Finding {
        severity: Severity::Error,
        path: None,
        offset: None,
        what,
    }
}

/// Something that is wrong with a record, in the file that has it.
fn at_record(found: &Examination, lsn: u64, what: String) -> Finding {
    let mut logs = found.files.iter();
    let file = logs.find(|file| match file.content {
        Content::Log { first, last, .. } => (first.0..=last.0).contains(&lsn),
        _ => false,
    });
    match file {
        Some(file) => Finding::error(&file.path, None, what),
        None => without_place(what),
    }
}

/// A file as one line says it.
fn line(file: &Examined) -> Line {
    let (kind, what, facts) = match file.content {
        Content::Node {
            epoch,
            last,
            is_clean,
        } => {
            let end = if is_clean {
                "closed"
            } else {
                "not closed: the next start reads the log"
            };
            let facts = vec![("epoch", epoch), ("last", last.0)];
            ("node", format!("start {epoch}, {end}"), facts)
        }
        Content::Log { epoch, first, last } => {
            let what = if last < first {
                "no whole record".to_owned()
            } else {
                format!("records {first} to {last}, written by start {epoch}")
            };
            let facts = vec![("epoch", epoch), ("first", first.0), ("last", last.0)];
            ("log", what, facts)
        }
        Content::EmptyLog => ("log", "no records, prepared for later".to_owned(), vec![]),
        Content::Catalogue { upto } => {
            let what = match upto {
                Lsn(0) => "nothing in it yet".to_owned(),
                _ => format!("the map up to record {upto}"),
            };
            ("catalogue", what, vec![("last", upto.0)])
        }
        Content::Snapshot { upto, entries } => {
            let what = format!("{entries} entries, the map up to record {upto}");
            let facts = vec![("last", upto.0), ("entries", entries as u64)];
            ("snapshot", what, facts)
        }
        Content::Leftover => (
            "leftover",
            "left by a kill, removed at the next start".to_owned(),
            vec![],
        ),
        Content::Aside => (
            "aside",
            "a damaged catalogue, kept for inspection".to_owned(),
            vec![],
        ),
    };
    Line {
        path: file.path.clone(),
        kind,
        bytes: file.bytes,
        what,
        facts,
    }
}

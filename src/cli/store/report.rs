//! What a check found, as lines for people and as JSON for machines.

use std::fmt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::store::StoreError;
use crate::store::inspect::{Finding, Severity};

/// A file that was checked.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) path: PathBuf,
    /// A word for machines.
    pub(super) kind: &'static str,
    /// Its length; none for a directory.
    pub(super) bytes: Option<u64>,
    /// For people.
    pub(super) what: String,
    /// For machines.
    pub(super) facts: Vec<(&'static str, u64)>,
}

/// Everything a check found.
#[derive(Debug)]
pub(super) struct Report {
    dir: PathBuf,
    pub(super) files: Vec<Line>,
    pub(super) findings: Vec<Finding>,
    /// Counts with their names.
    pub(super) totals: Vec<(&'static str, u64)>,
}

/// The version of the JSON form.
const FORM: u64 = 1;

impl Report {
    pub(super) fn new(dir: &Path) -> Report {
        Report {
            dir: dir.to_path_buf(),
            files: Vec::new(),
            findings: Vec::new(),
            totals: Vec::new(),
        }
    }

    pub(super) fn is_damaged(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    fn count(&self, severity: Severity) -> usize {
        let found = self.findings.iter();
        found.filter(|finding| finding.severity == severity).count()
    }

    /// Problems of the state that were counted and not named.
    pub(super) fn more_problems(&mut self, count: u64) {
        if count > 0 {
            self.findings.push(Finding {
                severity: Severity::Error,
                path: None,
                offset: None,
                what: format!("{count} more problems"),
            });
        }
    }

    /// A path as seen from the directory.
    fn relative<'a>(&self, path: &'a Path) -> &'a Path {
        match path.strip_prefix(&self.dir) {
            Ok(relative) if !relative.as_os_str().is_empty() => relative,
            _ => path,
        }
    }

    /// One object on one line.
    pub(super) fn to_json(&self) -> String {
        let outcome = if self.is_damaged() {
            "damaged"
        } else {
            "clean"
        };
        let files: Vec<Value> = self.files.iter().map(|file| self.file_json(file)).collect();
        let findings = self
            .findings
            .iter()
            .map(|finding| self.finding_json(finding));
        let totals = self.totals.iter();
        let totals: Map<String, Value> = totals
            .map(|(name, count)| (name.replace(' ', "_"), (*count).into()))
            .collect();
        let report = json!({
            "form": FORM,
            "directory": self.dir.to_string_lossy(),
            "outcome": outcome,
            "errors": self.count(Severity::Error),
            "warnings": self.count(Severity::Warning),
            "files": files,
            "findings": findings.collect::<Vec<_>>(),
            "totals": totals,
        });
        format!("{report}\n")
    }

    fn file_json(&self, file: &Line) -> Value {
        let mut shown = Map::new();
        let path = self.relative(&file.path).to_string_lossy();
        shown.insert("file".into(), path.into());
        shown.insert("kind".into(), file.kind.into());
        shown.insert("bytes".into(), file.bytes.into());
        shown.insert("what".into(), file.what.as_str().into());
        for (name, value) in &file.facts {
            shown.insert((*name).into(), (*value).into());
        }
        Value::Object(shown)
    }

    fn finding_json(&self, finding: &Finding) -> Value {
        let path = finding.path.as_ref();
        let path = path.map(|path| self.relative(path).to_string_lossy());
        json!({
            "severity": word(finding.severity),
            "file": path,
            "offset": finding.offset,
            "what": finding.what,
        })
    }

    /// What is printed as JSON when nothing could be checked.
    pub(super) fn refusal(dir: &Path, error: &StoreError) -> String {
        let report = json!({
            "form": FORM,
            "directory": dir.to_string_lossy(),
            "outcome": "not_checked",
            "error": error.to_string(),
        });
        format!("{report}\n")
    }
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for file in &self.files {
            let path = self.relative(&file.path).display().to_string();
            writeln!(f, "{path:<36} {}", file.what)?;
        }
        let counts = self.totals.iter().filter(|(_, count)| *count > 0);
        let counts: Vec<String> = counts.map(|(name, n)| format!("{name}: {n}")).collect();
        if !counts.is_empty() {
            writeln!(f, "{}", counts.join(", "))?;
        }
        for finding in &self.findings {
            write!(f, "{}: ", word(finding.severity))?;
            match (&finding.path, finding.offset) {
                (Some(path), Some(offset)) => {
                    write!(f, "{}, offset {offset}: ", self.relative(path).display())?;
                }
                (Some(path), None) => write!(f, "{}: ", self.relative(path).display())?,
                (None, _) => {}
            }
            writeln!(f, "{}", finding.what)?;
        }
        let (errors, warnings) = (self.count(Severity::Error), self.count(Severity::Warning));
        writeln!(f, "errors: {errors}, warnings: {warnings}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::new(Path::new("/data"));
        report.files.push(Line {
            path: "/data/log/1".into(),
            kind: "log",
            bytes: Some(10),
            what: "records 1 to 2".into(),
            facts: vec![("first", 1)],
        });
        report.totals.extend([("user names", 2), ("nothing", 0)]);
        let warning = Finding::warning("/data/x", None, "odd");
        report.findings.push(warning);
        report
    }

    #[test]
    fn lines_for_people_name_files_as_seen_from_the_directory() {
        let mut report = report();
        let error = Finding::error("/data/log/1", Some(7), "broken");
        report.findings.push(error);
        report.more_problems(3);
        let expected = "log/1                                records 1 to 2\n\
            user names: 2\n\
            warning: x: odd\n\
            error: log/1, offset 7: broken\n\
            error: 3 more problems\n\
            errors: 2, warnings: 1\n";
        assert_eq!(report.to_string(), expected);
    }

    #[test]
    fn json_says_the_same() {
        let mut report = report();
        let shown: Value = serde_json::from_str(&report.to_json()).unwrap();
        assert_eq!(shown["outcome"], "clean");
        let file = json!({"file": "log/1", "kind": "log", "bytes": 10,
            "what": "records 1 to 2", "first": 1});
        assert_eq!(shown["files"], json!([file]));
        assert_eq!(shown["totals"], json!({"user_names": 2, "nothing": 0}));
        let warning = json!({"severity": "warning", "file": "x", "offset": null, "what": "odd"});
        assert_eq!(shown["findings"], json!([warning]));
        report.more_problems(1);
        let shown: Value = serde_json::from_str(&report.to_json()).unwrap();
        assert_eq!(
            (&shown["outcome"], &shown["errors"]),
            (&json!("damaged"), &json!(1))
        );
    }
}

//! The files of the log: what each begins with, whether those hold that no start reads any more, and
//! all records there are in order.

use crate::store::StoreError;
use crate::store::logdir::{LogDir, LogFile, file_path, is_reserve, log_path, parse_name};
use crate::store::recover::{Report, spare_path};
use crate::store::replay::{Range, Replayed, replay};
use crate::store::{Lsn, Sink};

use super::{Content, Examination, Finding, Inspection, examined};

/// Damage in log that no start reads.
const NOT_NEEDED: &str = " (not needed any more)";

impl Inspection {
    /// Looks at what each log file begins with. False if a start would stop at one of them.
    pub(super) fn examine_log_files(&self, found: &mut Examination) -> Result<bool, StoreError> {
        let dir = log_path(&self.dir);
        let mut names = match self.disk.list(&dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            listed => listed.map_err(StoreError::io("list", &dir))?,
        };
        names.sort_unstable();
        let mut files = Vec::new();
        let mut is_readable = true;
        for name in names {
            let Some(number) = parse_name(&name) else {
                self.examine_other(&name, found);
                continue;
            };
            let path = file_path(&dir, number);
            let whose = (&self.identity, self.horizon());
            match LogFile::read(&*self.disk, path, number, whose) {
                Ok(file) => files.push(file),
                Err(error) => {
                    is_readable = false;
                    found.findings.push(Finding::from_error(error)?);
                }
            }
        }
        files.sort_unstable_by_key(|file| file.number);
        self.tell_files(&files, found);
        Ok(is_readable)
    }

    fn examine_other(&self, name: &str, found: &mut Examination) {
        let dir = log_path(&self.dir);
        let path = dir.join(name);
        if is_reserve(name) {
            found.files.push(examined(path, Content::EmptyLog));
        } else if path == spare_path(&dir) {
            found.files.push(examined(path, Content::Leftover));
        } else {
            let what = "not a file of the log";
            found.findings.push(Finding::warning(path, None, what));
        }
    }

    fn tell_files(&self, files: &[LogFile], found: &mut Examination) {
        for (index, file) in files.iter().enumerate() {
            let Some(header) = file.header else {
                if file.damaged {
                    let what = "the header is damaged, and no record of the file counts";
                    // With records behind it, it was in use.
                    let was_used = files[index + 1..].iter().any(|file| file.header.is_some());
                    found.findings.push(match was_used {
                        true => Finding::error(&file.path, Some(0), what),
                        false => Finding::warning(&file.path, Some(0), what),
                    });
                }
                found
                    .files
                    .push(examined(file.path.clone(), Content::EmptyLog));
                continue;
            };
            let behind = files[index + 1..].iter().find_map(|file| file.header);
            let last = behind.map_or(Lsn(u64::MAX), |behind| behind.first.before());
            let content = Content::Log {
                epoch: header.epoch,
                first: header.first,
                last,
            };
            found.files.push(examined(file.path.clone(), content));
        }
    }

    /// Checks the log that a start does not read.
    pub(super) fn examine_rest(
        &self,
        report: &Report,
        rest: &mut dyn Sink,
        found: &mut Examination,
    ) -> Result<(), StoreError> {
        let upto = report.read_from.map(Lsn::before);
        let read = self.read_log(report.base, upto, rest);
        match read {
            Ok(read) => {
                self.take_rest(&read, upto, found);
                let last = read.last.max(report.last);
                set_last(&mut found.files, last);
            }
            Err(error) => found.findings.push(Finding::from_error(error)?),
        }
        Ok(())
    }

    fn take_rest(&self, read: &Replayed, upto: Option<Lsn>, found: &mut Examination) {
        for damage in &read.damage {
            found.findings.push(Finding::in_log(damage, NOT_NEEDED));
        }
        // The log was whole when the last run ended, if it has files at all.
        let holds_records = read.bytes_read > 0;
        if upto.is_none() && holds_records && read.reached < self.node.log_end {
            let (first, last) = (read.reached.next(), self.node.log_end);
            let what = format!("the log ends before records {first} to {last}{NOT_NEEDED}");
            let (path, offset) = match &read.ends_at {
                Some(end) => (end.path.clone(), Some(end.offset)),
                None => (log_path(&self.dir), None),
            };
            found.findings.push(Finding::error(path, offset, what));
        }
    }

    /// Hands over every record there is, from the oldest on, as far as `upto`. Changes up to
    /// `known` are not, and need not be there.
    fn read_log(
        &self,
        known: Lsn,
        upto: Option<Lsn>,
        sink: &mut dyn Sink,
    ) -> Result<Replayed, StoreError> {
        let log = LogDir::read(
            &*self.disk,
            &log_path(&self.dir),
            &self.identity,
            self.horizon(),
        )?;
        let files = contiguous(&log);
        let first = files.first().and_then(|file| file.header);
        let range = Range {
            after: known,
            floor: first.map_or(Lsn(0), |first| first.first.before()),
            until: upto.unwrap_or(Lsn(u64::MAX)),
            horizon: self.horizon(),
        };
        replay(files, &self.identity, range, sink)
    }

    /// Hands over every record of the log in order, needed or not. Returns what is damaged and
    /// how the log ends.
    pub fn records(&self, sink: &mut dyn Sink) -> Result<Vec<Finding>, StoreError> {
        let read = self.read_log(Lsn(0), None, sink)?;
        let mut findings: Vec<_> = read
            .damage
            .iter()
            .map(|one| Finding::in_log(one, ""))
            .collect();
        if let Some(torn) = &read.torn_tail {
            let what = "the last write was cut short";
            let torn = Finding::warning(&torn.path, Some(torn.offset), what);
            findings.push(torn);
        }
        Ok(findings)
    }
}

/// The files that belong together: those up to the last with a record whose numbers have no gap. What
/// lies before a gap was let go, and came back with a power loss.
fn contiguous(log: &LogDir) -> &[LogFile] {
    let last = log.last_written().unwrap_or(0);
    let end = log.files.partition_point(|file| file.number <= last);
    let files = &log.files[..end];
    let gap = |pair: &[LogFile]| pair[1].number != pair[0].number + 1;
    let start = files.windows(2).rposition(gap).map_or(0, |at| at + 1);
    let first = files[start..].iter().position(|file| file.header.is_some());
    &files[start + first.unwrap_or(end - start)..]
}

/// The last log file ends with the last record.
fn set_last(files: &mut [super::Examined], end: Lsn) {
    for file in files {
        if let Content::Log { last, .. } = &mut file.content {
            *last = (*last).min(end);
        }
    }
}

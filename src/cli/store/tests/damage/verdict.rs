//! What damage may cost, and who must tell: worked out from where it lies.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use super::hurt::Hurt;
use super::layout::{FILE_HEADER, Group, LogFile, touch};
use super::reference::{Lost, Reference};

/// Whether something is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Telling {
    /// It must be.
    Must,
    /// It must not.
    Never,
    /// Both is right.
    May,
}

use Telling::{May, Must, Never};

/// More records than any directory here has.
const RECORDS_MAX: u64 = 100_000;

/// What may come of damage.
#[derive(Debug)]
pub(super) struct Verdict {
    /// One of these is lost.
    pub(super) lost: Vec<Lost>,
    /// Whether the start, and who reads pages behind it, raises the alarm.
    pub(super) alarm: Telling,
    /// Whether `store check` finds an error.
    pub(super) check: Telling,
    /// Whether the start refuses, naming the file.
    pub(super) refusal: Telling,
}

impl Verdict {
    fn nothing_lost(telling: Telling) -> Verdict {
        Verdict {
            lost: vec![Lost::default()],
            alarm: telling,
            check: telling,
            refusal: Never,
        }
    }

    fn refused() -> Verdict {
        Verdict {
            refusal: Must,
            ..Verdict::nothing_lost(Must)
        }
    }
}

fn any(ranges: &[Range<u64>], place: &Range<u64>) -> bool {
    ranges.iter().any(|range| touch(range, place))
}

/// Judges what happened to the file `name`, whose bytes differ in `ranges` now.
pub(super) fn judge(
    reference: &Reference,
    name: &Path,
    hurt: &Hurt,
    ranges: &[Range<u64>],
) -> Verdict {
    let text = name.to_str().expect("a name");
    let is_lost = matches!(hurt, Hurt::Remove | Hurt::Replace);
    match text {
        "node" if is_lost => Verdict::refused(),
        "node" => judge_node(ranges),
        "definitions.snapshot" => judge_snapshot(hurt, ranges),
        _ if text.starts_with("catalogue/") => Verdict::nothing_lost(May),
        _ if text.starts_with("log/") && text.ends_with(".log") => {
            judge_log(reference, name, hurt, ranges)
        }
        _ if text.starts_with("pages/") && !text.contains("transient") => {
            judge_segment(reference, name, hurt, ranges)
        }
        _ => Verdict::nothing_lost(Never),
    }
}

fn judge_node(ranges: &[Range<u64>]) -> Verdict {
    let slots = [0, 4096].map(|slot| any(ranges, &(slot..slot + FILE_HEADER)));
    match slots {
        [true, true] => Verdict::refused(),
        [false, false] => Verdict::nothing_lost(Never),
        _ => Verdict::nothing_lost(Must),
    }
}

fn judge_snapshot(hurt: &Hurt, ranges: &[Range<u64>]) -> Verdict {
    match hurt {
        Hurt::Replace => Verdict::refused(),
        Hurt::Remove => Verdict::nothing_lost(May),
        _ if ranges.is_empty() => Verdict::nothing_lost(Never),
        _ => Verdict::nothing_lost(Must),
    }
}

fn judge_segment(
    reference: &Reference,
    name: &Path,
    hurt: &Hurt,
    ranges: &[Range<u64>],
) -> Verdict {
    if *hurt == Hurt::Replace {
        return Verdict::refused();
    }
    let stem = name.file_stem().and_then(|stem| stem.to_str());
    let segment: u64 = stem.and_then(|stem| stem.parse().ok()).expect("a number");
    let here = reference
        .pages
        .iter()
        .filter(|page| page.segment == segment);
    let mut lost = Lost::default();
    for page in here.clone().filter(|page| any(ranges, &page.bytes())) {
        lost.pages.insert((page.segment, page.offset));
    }
    let is_used = here.count() > 0;
    let header = any(ranges, &(0..FILE_HEADER)) && *hurt != Hurt::Remove;
    let is_told = !lost.pages.is_empty() || (header && is_used);
    Verdict {
        alarm: if is_told { Must } else { Never },
        check: if is_told || header { Must } else { Never },
        lost: vec![lost],
        refusal: Never,
    }
}

/// How a group of the log was hit.
struct Hit {
    /// What is lost at least.
    least: BTreeSet<u64>,
    /// What is lost at most: behind a length that is damaged nobody can tell records apart.
    most: BTreeSet<u64>,
    header: bool,
}

fn hit(group: &Group, ranges: &[Range<u64>]) -> Option<Hit> {
    let all = || group.records.iter().map(|record| record.lsn);
    if any(ranges, &group.header()) {
        return Some(Hit {
            least: all().collect(),
            most: all().collect(),
            header: true,
        });
    }
    let damaged = |record: &&super::layout::Record| any(ranges, &record.at);
    let least: BTreeSet<u64> = group
        .records
        .iter()
        .filter(damaged)
        .map(|r| r.lsn)
        .collect();
    let length = group
        .records
        .iter()
        .find(|record| any(ranges, &record.length_at()));
    let mut most = least.clone();
    if let Some(first) = length {
        most.extend(all().filter(|lsn| *lsn >= first.lsn));
    }
    (!least.is_empty()).then_some(Hit {
        least,
        most,
        header: false,
    })
}

fn judge_log(reference: &Reference, name: &Path, hurt: &Hurt, ranges: &[Range<u64>]) -> Verdict {
    let index = reference.logs.iter().position(|file| file.name == name);
    let index = index.expect("a file of the log");
    let file = &reference.logs[index];
    let is_last = reference.logs[index + 1..]
        .iter()
        .all(|later| later.groups.is_empty());
    match hurt {
        Hurt::Replace => return Verdict::refused(),
        Hurt::Remove if file.groups.is_empty() => return Verdict::nothing_lost(Never),
        Hurt::Remove => return judge_gone(reference, file, is_last),
        _ if file.groups.is_empty() => return Verdict::nothing_lost(Never),
        _ => {}
    }
    let mut hits = Vec::new();
    for group in &file.groups {
        hits.extend(hit(group, ranges).map(|hit| (group, hit)));
    }
    let header = any(ranges, &(0..FILE_HEADER));
    let is_known_cut = match hurt {
        Hurt::Cut { at } if is_last => *at < file.filled(*at),
        _ => false,
    };
    let Some((first, _)) = hits.first() else {
        return match is_known_cut {
            true => judge_torn(reference, u64::MAX, true),
            false => judge_header(reference, file, header),
        };
    };
    let behind = file.groups.iter().filter(|group| group.at > first.at);
    let is_proven = |group: &&Group| !any(ranges, &group.header());
    let is_torn = is_last && !behind.clone().any(|group| is_proven(&group));
    if is_torn {
        return judge_torn(reference, first.first, is_known_cut);
    }
    let least: BTreeSet<u64> = hits.iter().flat_map(|(_, hit)| hit.least.clone()).collect();
    let most: BTreeSet<u64> = hits.iter().flat_map(|(_, hit)| hit.most.clone()).collect();
    let whole = hits.iter().filter(|(_, hit)| !hit.header);
    // A group that reaches beyond the end of its file is not looked at any closer.
    let whole: BTreeSet<u64> = whole
        .flat_map(|(group, _)| group.records.iter().map(|record| record.lsn))
        .chain(most.iter().copied())
        .collect();
    let needed = |lsns: &BTreeSet<u64>| {
        let from = reference.from;
        from.is_some_and(|from| lsns.iter().any(|lsn| *lsn >= from))
    };
    let is_read = header && judge_header(reference, file, true).alarm == Must;
    let alarm = match (needed(&least) || is_read, needed(&whole)) {
        (true, _) => Must,
        (false, true) => May,
        (false, false) => Never,
    };
    let mut outcomes = vec![least, most];
    if matches!(hurt, Hurt::Cut { .. }) {
        outcomes.push(whole);
    }
    // A file that is empty may never have been written.
    let is_empty = matches!(hurt, Hurt::Cut { at: 0 });
    Verdict {
        lost: outcomes.into_iter().map(lost).collect(),
        alarm,
        check: if is_empty && alarm != Must { May } else { Must },
        refusal: Never,
    }
}

fn lost(records: BTreeSet<u64>) -> Lost {
    Lost {
        records,
        ..Lost::default()
    }
}

/// No record is hit, but perhaps the header of the file.
fn judge_header(reference: &Reference, file: &LogFile, is_hit: bool) -> Verdict {
    let last = file.groups.last().and_then(|group| group.records.last());
    let last = last.map_or(0, |record| record.lsn);
    let is_read = reference.from.is_some_and(|from| last >= from);
    Verdict {
        alarm: if is_hit && is_read { Must } else { Never },
        check: if is_hit { Must } else { Never },
        ..Verdict::nothing_lost(Never)
    }
}

/// Nothing stands behind the damage: the last write may just as well have been cut short, unless
/// the file is known to have been longer.
fn judge_torn(reference: &Reference, first: u64, is_known_cut: bool) -> Verdict {
    if reference.from.is_none() {
        return Verdict {
            alarm: Never,
            check: Must,
            ..Verdict::nothing_lost(Never)
        };
    }
    let telling = if is_known_cut { Must } else { May };
    Verdict {
        lost: vec![lost((first..first.saturating_add(RECORDS_MAX)).collect())],
        alarm: telling,
        check: telling,
        refusal: Never,
    }
}

/// A file with records is gone.
fn judge_gone(reference: &Reference, file: &LogFile, is_last: bool) -> Verdict {
    let records = file.groups.iter().flat_map(|group| &group.records);
    let records: BTreeSet<u64> = records.map(|record| record.lsn).collect();
    let last = records.last().copied().unwrap_or_default();
    let is_needed = reference.from.is_some_and(|from| last >= from);
    Verdict {
        lost: vec![lost(records)],
        alarm: if is_needed && !is_last { Must } else { May },
        check: May,
        refusal: May,
    }
}

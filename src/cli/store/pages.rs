//! Segments, and the pages that entries of the map name in them: each is there with its checksum,
//! and holds the messages that its entry says are alive.

use std::collections::BTreeMap;

use broker_core::journal::{PageEntry, PageKey};
use broker_core::recovery::check::Checked;

use super::definitions::Definitions;
use super::report::{Line, Report};
use crate::store::inspect::{Finding, Inspection};
use crate::store::pages::{PageAt, SegmentFile, SegmentFiles, SegmentListing};
use crate::store::{Map, StoreError};

/// What entries name in a segment.
#[derive(Default)]
struct Named {
    pages: Vec<PageEntry>,
    messages: u64,
}

/// Checks all segments and pages.
pub(super) fn check(
    inspection: &Inspection,
    map: &Map,
    definitions: &Definitions,
    checked: &mut Checked,
    report: &mut Report,
) -> Result<(), StoreError> {
    let segments = inspection.segments();
    let mut named = named(map, definitions, report);
    let SegmentListing {
        segments: files,
        others,
    } = segments.list()?;
    for other in others {
        report
            .findings
            .push(Finding::warning(other, None, "not a segment"));
    }
    for file in files {
        let in_use = named.remove(&file.segment);
        report.files.push(line(&file, in_use.as_ref()));
        tell(file, in_use.is_some(), report)?;
        for page in in_use.iter().flat_map(|named| &named.pages) {
            check_page(&segments, page, checked, report)?;
        }
    }
    for (segment, Named { pages, messages }) in named {
        let count = pages.len();
        let what = format!("missing, with {count} pages and {messages} messages in them");
        let path = segments.path(segment);
        report.findings.push(Finding::error(path, None, what));
    }
    Ok(())
}

/// Lists segments when nobody knows which pages are in use.
pub(super) fn list(inspection: &Inspection, report: &mut Report) -> Result<(), StoreError> {
    for file in inspection.segments().list()?.segments {
        let mut line = line(&file, None);
        "pages not checked: nothing says which are in use".clone_into(&mut line.what);
        report.files.push(line);
        if let Some(fault) = file.fault {
            report.findings.push(Finding::from_error(fault)?);
        }
    }
    Ok(())
}

/// The pages of queues that exist, by segment.
fn named(map: &Map, definitions: &Definitions, report: &mut Report) -> BTreeMap<u64, Named> {
    let mut named = BTreeMap::<u64, Named>::new();
    let mut orphans = 0;
    let entries = map.range(PageKey::PREFIX.to_vec()..);
    for (key, value) in entries.take_while(|(key, _)| key.starts_with(PageKey::PREFIX)) {
        // One that cannot be read was found while the map was.
        let Ok(page) = PageEntry::decode(key, value) else {
            continue;
        };
        if !definitions.ids.contains_key(&page.queue) {
            orphans += 1;
            continue;
        }
        let of_segment = named.entry(page.segment).or_default();
        of_segment.messages += page.runs.count();
        of_segment.pages.push(page);
    }
    let pages = named.values().map(|named| named.pages.len() as u64).sum();
    report.totals.push(("pages", pages));
    report.totals.push(("pages of deleted queues", orphans));
    named
}

fn line(file: &SegmentFile, named: Option<&Named>) -> Line {
    let pages = named.map_or(0, |named| named.pages.len());
    let messages = named.map_or(0, |named| named.messages);
    let (kind, what) = match (file.is_transient, named) {
        (true, _) => (
            "leftover",
            "left by a kill, removed at the next start".to_owned(),
        ),
        (false, Some(_)) => ("segment", format!("{pages} pages, {messages} messages")),
        (false, None) => ("segment", "no page in use".to_owned()),
    };
    Line {
        path: file.path.clone(),
        kind,
        bytes: Some(file.bytes),
        what,
        facts: vec![("pages", pages as u64), ("messages", messages)],
    }
}

fn tell(file: SegmentFile, is_in_use: bool, report: &mut Report) -> Result<(), StoreError> {
    if let Some(fault) = file.fault {
        report.findings.push(Finding::from_error(fault)?);
    }
    if !is_in_use && !file.is_transient {
        let what = "no page in it is in use; the next start removes it";
        report
            .findings
            .push(Finding::warning(&file.path, None, what));
    }
    Ok(())
}

fn check_page(
    segments: &SegmentFiles,
    page: &PageEntry,
    checked: &mut Checked,
    report: &mut Report,
) -> Result<(), StoreError> {
    let at = PageAt {
        segment: page.segment,
        offset: page.offset,
        length: page.length,
        crc: page.crc,
    };
    let path = segments.path(at.segment);
    let key = page.page_key();
    match segments.read(&at) {
        Ok(block) => {
            let known = checked.problems.len();
            checked.page(page, &block);
            for problem in &checked.problems[known..] {
                let finding = Finding::error(&path, Some(at.offset), problem.to_string());
                report.findings.push(finding);
            }
        }
        Err(error) => {
            let lost = page.runs.count();
            let mut finding = Finding::from_error(error)?;
            finding.offset = finding.offset.or(Some(at.offset));
            let (queue, number) = (key.queue, key.number);
            finding.what += &format!(" (page {number} of queue {queue}, {lost} messages)");
            report.findings.push(finding);
        }
    }
    Ok(())
}

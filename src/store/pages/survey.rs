//! What lies in the directory of the segments, compared with what is in use. Changes nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::store::StoreError;

use super::files::{Files, Keeping, SegmentHeader, parse_name};
use super::page::PageAt;
use super::segment::{FIRST_PAGE_AT, Segment};

/// A segment that pages in use should be in, and that is not there: they are lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingSegment {
    /// Its number.
    pub segment: u64,
    /// The file that should be there.
    pub path: PathBuf,
    /// How many pages in use it held.
    pub pages: usize,
    /// What they took, headers included.
    pub bytes: u64,
}

/// Where live pages begin and end, by segment.
type Live = BTreeMap<u64, BTreeMap<u64, u64>>;

/// What was found.
pub(super) struct Survey {
    /// Segments that hold pages in use.
    pub(super) segments: BTreeMap<u64, Segment>,
    pub(super) missing: Vec<MissingSegment>,
    /// Files with pages in use whose headers are damaged. Each page says by itself whether it is
    /// whole, so those that are can be served.
    pub(super) broken: Vec<PathBuf>,
    /// Files that nobody needs.
    pub(super) leftover: Vec<u64>,
    /// The highest number a durable segment has or had.
    pub(super) last: u64,
    /// The highest number of a transient segment whose file is still there.
    pub(super) last_transient: u64,
}

impl Survey {
    /// Reads the directory and the header of each file in it.
    pub(super) fn read(
        files: &Files,
        in_use: impl Iterator<Item = PageAt>,
    ) -> Result<Survey, StoreError> {
        let mut live = live_pages(files, in_use);
        let mut survey = Survey {
            segments: BTreeMap::new(),
            missing: Vec::new(),
            broken: Vec::new(),
            leftover: Vec::new(),
            last: live.keys().copied().filter(is_durable).max().unwrap_or(0),
            last_transient: 0,
        };
        for name in files.names()? {
            let Some(segment) = parse_name(&name) else {
                tracing::warn!(dir = %files.dir().display(), name, "not a segment: left alone");
                continue;
            };
            survey.add(files, segment, &mut live)?;
        }
        survey.missing = live
            .into_iter()
            .map(|(segment, pages)| MissingSegment {
                segment,
                path: files.path(segment),
                pages: pages.len(),
                bytes: pages.iter().map(|(start, end)| end - start).sum(),
            })
            .collect();
        Ok(survey)
    }

    fn add(&mut self, files: &Files, segment: u64, live: &mut Live) -> Result<(), StoreError> {
        if !is_durable(&segment) {
            self.last_transient = self.last_transient.max(segment);
            self.leftover.push(segment);
            return Ok(());
        }
        self.last = self.last.max(segment);
        let header = files.check_header(segment)?;
        let Some(pages) = live.remove(&segment) else {
            self.leftover.push(segment);
            return Ok(());
        };
        let path = files.path(segment);
        if header == SegmentHeader::Broken {
            self.broken.push(path.clone());
        }
        let file = files.get(segment)?;
        let size = file.size().map_err(StoreError::io("measure", &path))?;
        let allocated = file.allocated().map_err(StoreError::io("measure", &path))?;
        self.segments
            .insert(segment, Segment::found(pages, size, allocated));
        Ok(())
    }
}

fn is_durable(segment: &u64) -> bool {
    Keeping::of(*segment) == Keeping::Durable
}

fn live_pages(files: &Files, in_use: impl Iterator<Item = PageAt>) -> Live {
    let mut live = Live::new();
    for at in in_use {
        let pages = live.entry(at.segment).or_default();
        match at.offset.checked_add(at.framed_bytes()) {
            Some(end) if at.offset >= FIRST_PAGE_AT => {
                pages.insert(at.offset, end);
            }
            _ => {
                let path = files.path(at.segment);
                tracing::error!(path = %path.display(), at.offset, "no page can begin there");
            }
        }
    }
    live
}

//! The definitions snapshot: whole by itself, and with the log behind it the same map as the one
//! that a start builds from the catalogue.

use crate::store::backup::Applying;
use crate::store::disk::Disk;
use crate::store::logdir::{LogDir, log_path};
use crate::store::replay::{Range, replay};
use crate::store::snapshot::{Snapshot, snapshot_path};
use crate::store::{Lsn, Map, StoreError};

use super::{Content, Examination, Finding, Inspection, Severity, examined};

impl Inspection {
    pub(super) fn examine_snapshot(&self, found: &mut Examination) -> Result<(), StoreError> {
        let disk: &dyn Disk = &*self.disk;
        let read = Snapshot::open(disk, &self.dir, &self.identity).and_then(|snapshot| {
            let read = |snapshot: Snapshot| Ok((snapshot.mark, snapshot.read()?));
            snapshot.map(read).transpose()
        });
        let (upto, mut map) = match read {
            Ok(Some(read)) => read,
            Ok(None) => return Ok(()),
            Err(error) => {
                found.findings.push(Finding::from_error(error)?);
                return Ok(());
            }
        };
        let path = snapshot_path(&self.dir);
        let entries = map.len();
        let content = Content::Snapshot { upto, entries };
        found.files.push(examined(path.clone(), content));
        let is_whole = |finding: &Finding| finding.severity != Severity::Error;
        let is_whole = found.findings.iter().all(is_whole);
        let Some(state) = found.state.as_ref().filter(|_| is_whole) else {
            // Damage elsewhere makes a difference already.
            return Ok(());
        };
        match self.catch_up(&mut map, upto) {
            Ok(()) => {
                let differing = differences(&map, &state.map);
                if differing > 0 {
                    let what = format!(
                        "{differing} entries differ from the catalogue's at record {}",
                        state.last
                    );
                    found.findings.push(Finding::error(path, None, what));
                }
            }
            Err(error) if error.is_damage() => {
                let what = "it could not stand in for the catalogue: the log begins later";
                found.findings.push(Finding::warning(path, None, what));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Makes the map what it is at the end of the log.
    fn catch_up(&self, map: &mut Map, mark: Lsn) -> Result<(), StoreError> {
        let horizon = self.horizon();
        let log = LogDir::read(&*self.disk, &log_path(&self.dir), &self.identity, horizon)?;
        let range = Range {
            after: mark,
            floor: Lsn(u64::MAX),
            until: Lsn(u64::MAX),
            horizon,
        };
        let files = log.files_from(range.from(), mark)?;
        replay(files, &self.identity, range, &mut Applying(map)).map(drop)
    }
}

/// How many keys have another value in one map than in the other, or are in one only.
fn differences(one: &Map, other: &Map) -> usize {
    let changed = |(key, value): &(&Vec<u8>, &Vec<u8>)| other.get(*key) != Some(*value);
    let only_there = |key: &&Vec<u8>| !one.contains_key(*key);
    one.iter().filter(changed).count() + other.keys().filter(only_there).count()
}

//! The catalogue in sled. One tree, small batches, no background thread, a small cache.
//! sled's own flush does not reach the device on Linux, so `sync` does that through a second
//! descriptor of its `db` file. Every call is guarded: a panic of sled is an error here.
//!
//! ```text
//! key 0                                            the mark
//!     complete LSN u64, touched LSN u64, floor u64, entries u64, digest u64, node id, cluster id
//! key 1, key length u16 BE, key, part u16 BE       a part of an entry's value
//!     up to 4096 bytes; an empty value is one empty part
//! ```
//! Values are cut into parts because sled puts a page larger than 128 KiB into a file of its own,
//! which it never syncs; a page holds up to 17 entries, so parts and keys are small enough.
//! A checkpoint is cut into batches because sled keeps everything that follows the start of a batch
//! in memory until its end: 100,000 entries at once took 650 MB, and a scan after it 15 times as
//! long.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::totals::Totals;
use super::{Catalogue, CatalogueError, CatalogueSource, Entries, Mark, Visit};
use crate::store::Lsn;
use crate::store::disk::{Disk, File};
use crate::store::error::{is_disk_full, is_out_of_resources, panic_message};
use crate::store::layout::{Cursor, Identity};

const MARK_KEY: [u8; 1] = [0];
const ENTRY: u8 = 1;
const PART_BYTES: usize = 4096;
/// A batch ends when it holds so many entries, or so many bytes of them.
const BATCH_ENTRIES: usize = 1000;
const BATCH_BYTES: usize = 256 << 10;
/// sled gives its file lock back some time after it was dropped.
const LOCK_WAIT: Duration = Duration::from_secs(5);

/// Opens and sets aside the catalogue of one data directory.
pub(in crate::store) struct SledSource {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    cache_bytes: u64,
}

impl SledSource {
    pub(in crate::store) fn new(disk: Arc<dyn Disk>, dir: &Path, cache_bytes: u64) -> SledSource {
        SledSource {
            disk,
            dir: dir.to_path_buf(),
            cache_bytes,
        }
    }

    fn open_catalogue(&self, identity: &Identity) -> Result<SledCatalogue, CatalogueError> {
        let path = self.path();
        self.disk.create_dir(&path).map_err(io_error)?;
        let db = self.open_db(&path)?;
        let mut catalogue = SledCatalogue {
            db: Some(db),
            device: self.settle(&path)?,
            disk: Arc::clone(&self.disk),
            path,
            identity: *identity,
            mark: None,
            totals: Totals::default(),
        };
        catalogue.read_mark()?;
        Ok(catalogue)
    }

    fn open_db(&self, path: &Path) -> Result<sled::Db, CatalogueError> {
        let config = sled::Config::new()
            .path(path)
            .cache_capacity(self.cache_bytes)
            .flush_every_ms(None);
        let deadline = Instant::now() + LOCK_WAIT;
        loop {
            match guard(|| config.open()) {
                Err(CatalogueError::Damaged(reason)) if reason.contains("acquire lock") => {
                    if Instant::now() >= deadline {
                        return Err(CatalogueError::Refused(std::io::Error::other(reason)));
                    }
                    std::thread::park_timeout(Duration::from_millis(10));
                }
                other => return other,
            }
        }
    }

    /// Makes a new catalogue's files durable under their names, and private.
    fn settle(&self, path: &Path) -> Result<Arc<dyn File>, CatalogueError> {
        let settled = || {
            for name in ["db", "conf"] {
                let file = path.join(name);
                std::fs::set_permissions(&file, Permissions::from_mode(0o600))?;
                self.disk.open(&file)?.sync_data()?;
            }
            self.disk.sync_dir(path)?;
            self.disk.sync_dir(&self.dir)?;
            self.disk.open(&path.join("db"))
        };
        settled().map_err(io_error)
    }
}

impl CatalogueSource for SledSource {
    fn exists(&self) -> bool {
        self.path().exists()
    }

    fn open(&self, identity: &Identity) -> Result<Box<dyn Catalogue>, CatalogueError> {
        Ok(Box::new(self.open_catalogue(identity)?))
    }

    fn set_aside(&self) -> std::io::Result<PathBuf> {
        let names = self.disk.list(&self.dir)?;
        let taken = |number: &u32| names.contains(&format!("catalogue.aside-{number}"));
        let number = (1..=u32::MAX)
            .find(|number| !taken(number))
            .unwrap_or(u32::MAX);
        let aside = self.dir.join(format!("catalogue.aside-{number}"));
        self.disk.rename(&self.path(), &aside)?;
        self.disk.sync_dir(&self.dir)?;
        Ok(aside)
    }

    fn path(&self) -> PathBuf {
        self.dir.join("catalogue")
    }
}

/// An open sled database.
struct SledCatalogue {
    /// Taken out only to be dropped under guard.
    db: Option<sled::Db>,
    /// The second descriptor of sled's `db` file.
    device: Arc<dyn File>,
    disk: Arc<dyn Disk>,
    path: PathBuf,
    identity: Identity,
    mark: Option<Mark>,
    totals: Totals,
}

impl SledCatalogue {
    fn db(&self) -> Result<&sled::Db, CatalogueError> {
        self.db
            .as_ref()
            .ok_or_else(|| CatalogueError::Damaged("it was closed".to_owned()))
    }

    fn read_mark(&mut self) -> Result<(), CatalogueError> {
        let db = self.db()?;
        let Some(value) = guard(|| db.get(MARK_KEY))? else {
            let empty = guard(|| db.iter().next().transpose())?.is_none();
            return if empty {
                Ok(())
            } else {
                Err(damaged("it has entries and no mark"))
            };
        };
        let mut cursor = Cursor::new(&value);
        let read = (|| {
            let (complete, touched) = (Lsn(cursor.u64()?), Lsn(cursor.u64()?));
            let floor = Lsn(cursor.u64()?);
            let totals = Totals::decode(&mut cursor)?;
            let identity = Identity {
                node: cursor.array()?,
                cluster: cursor.array()?,
            };
            let mark = Mark {
                complete,
                touched,
                floor,
            };
            Some((mark, totals, identity))
        })();
        let Some((mark, totals, identity)) = read else {
            return Err(damaged("its mark is not well formed"));
        };
        if identity != self.identity {
            return Err(damaged("it belongs to another node or cluster"));
        }
        self.mark = Some(mark);
        self.totals = totals;
        Ok(())
    }

    fn encode_mark(&self, mark: Mark, totals: &Totals) -> Vec<u8> {
        let mut value = mark.complete.0.to_le_bytes().to_vec();
        value.extend_from_slice(&mark.touched.0.to_le_bytes());
        value.extend_from_slice(&mark.floor.0.to_le_bytes());
        totals.encode(&mut value);
        value.extend_from_slice(&self.identity.node);
        value.extend_from_slice(&self.identity.cluster);
        value
    }

    /// The stored value of a key and how many parts it has.
    fn stored(db: &sled::Db, key: &[u8]) -> sled::Result<Option<(Vec<u8>, u16)>> {
        let mut value = Assembly::default();
        for entry in db.scan_prefix(parts_prefix(key)) {
            let (part_key, part) = entry?;
            if parse_part_key(&part_key).is_some_and(|(stored, _)| stored == key) {
                value.push(&part);
            }
        }
        Ok((value.parts > 0).then_some((value.bytes, value.parts)))
    }

    /// A batch of these entries and the mark, and the totals after it.
    fn batch(&self, entries: &[Entry<'_>], mark: Mark) -> sled::Result<(sled::Batch, Totals)> {
        let (mut batch, mut totals) = (sled::Batch::default(), self.totals);
        let Some(db) = self.db.as_ref() else {
            return Ok((batch, totals));
        };
        for (key, value) in entries {
            let mut old_parts = 0;
            if let Some((old, parts)) = Self::stored(db, key)? {
                totals.remove(key, &old);
                old_parts = parts;
            }
            let mut new_parts = 0;
            if let Some(value) = value {
                totals.add(key, value);
                new_parts = put_parts(&mut batch, key, value);
            }
            for part in new_parts..old_parts {
                batch.remove(part_key(key, part));
            }
        }
        batch.insert(&MARK_KEY, self.encode_mark(mark, &totals));
        Ok((batch, totals))
    }

    /// Writes one batch, which moves the mark with its entries.
    fn apply_batch(&mut self, entries: &[Entry<'_>], mark: Mark) -> Result<(), CatalogueError> {
        let db = self.db()?;
        let (batch, totals) = guard(|| self.batch(entries, mark))?;
        guard(|| db.apply_batch(batch))?;
        self.mark = Some(mark);
        self.totals = totals;
        Ok(())
    }
}

/// A key and its new value, if it has one.
type Entry<'a> = (&'a Vec<u8>, &'a Option<Vec<u8>>);

fn entry_bytes((key, value): Entry<'_>) -> usize {
    key.len() + value.as_ref().map_or(0, Vec::len)
}

impl Catalogue for SledCatalogue {
    fn mark(&self) -> Option<Mark> {
        self.mark
    }

    fn scan(&self, visit: Visit<'_>) -> Result<(), CatalogueError> {
        let db = self.db()?;
        let mut totals = Totals::default();
        guard(|| {
            let mut reader = Reader {
                key: Vec::new(),
                value: Assembly::default(),
            };
            let mut emit = |key: &[u8], value: &[u8]| {
                totals.add(key, value);
                visit(key, value);
            };
            for entry in db.range([ENTRY]..) {
                let (key, part) = entry?;
                reader.push(&key, &part, &mut emit);
            }
            reader.finish(&mut emit);
            Ok(())
        })?;
        if totals == self.totals {
            Ok(())
        } else {
            Err(damaged("its entries do not add up"))
        }
    }

    fn apply(&mut self, entries: &Entries, upto: Lsn, floor: Lsn) -> Result<(), CatalogueError> {
        let before = self.mark.unwrap_or_default();
        let touched = Mark {
            touched: upto,
            ..before
        };
        let mut batch = Vec::new();
        let mut bytes = 0;
        for entry in entries {
            if batch.len() >= BATCH_ENTRIES || bytes >= BATCH_BYTES {
                self.apply_batch(&batch, touched)?;
                batch.clear();
                bytes = 0;
            }
            bytes += entry_bytes(entry);
            batch.push(entry);
        }
        self.apply_batch(
            &batch,
            Mark {
                complete: upto,
                touched: upto,
                floor,
            },
        )
    }

    fn flush(&mut self) -> Result<(), CatalogueError> {
        let db = self.db()?;
        guard(|| db.flush()).map(|_bytes| ())
    }

    fn sync(&mut self) -> Result<(), CatalogueError> {
        self.device.sync_data().map_err(io_error)?;
        self.disk.sync_dir(&self.path).map_err(io_error)
    }
}

impl Drop for SledCatalogue {
    fn drop(&mut self) {
        let db = self.db.take();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(db))) {
            tracing::warn!(
                panic = panic_message(&*panic),
                "closing the catalogue panicked"
            );
        }
    }
}

/// The parts of one value, put together.
#[derive(Default)]
struct Assembly {
    bytes: Vec<u8>,
    parts: u16,
}

impl Assembly {
    /// Adds a part. A part that is missing shows in the totals.
    fn push(&mut self, part: &[u8]) {
        self.bytes.extend_from_slice(part);
        self.parts += 1;
    }
}

/// Puts entries together while a scan passes over their parts.
struct Reader {
    key: Vec<u8>,
    value: Assembly,
}

impl Reader {
    fn push(&mut self, key: &[u8], part: &[u8], emit: Visit<'_>) {
        let Some((key, _part)) = parse_part_key(key) else {
            return;
        };
        if self.value.parts == 0 || key != self.key {
            self.finish(emit);
            self.key = key.to_vec();
        }
        self.value.push(part);
    }

    fn finish(&mut self, emit: Visit<'_>) {
        let value = std::mem::take(&mut self.value);
        if value.parts > 0 {
            emit(&self.key, &value.bytes);
        }
    }
}

fn parts_prefix(key: &[u8]) -> Vec<u8> {
    let mut prefix = Vec::with_capacity(key.len() + 5);
    prefix.push(ENTRY);
    prefix.extend_from_slice(&(key.len() as u16).to_be_bytes());
    prefix.extend_from_slice(key);
    prefix
}

fn part_key(key: &[u8], part: u16) -> Vec<u8> {
    let mut whole = parts_prefix(key);
    whole.extend_from_slice(&part.to_be_bytes());
    whole
}

fn parse_part_key(whole: &[u8]) -> Option<(&[u8], u16)> {
    let (_entry, rest) = whole.split_first()?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let (key, part) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    Some((key, u16::from_be_bytes(part.try_into().ok()?)))
}

/// Puts a value into the batch; returns the number of its parts. A log record, and so a value,
/// is at most 8 MiB: 2,048 parts.
fn put_parts(batch: &mut sled::Batch, key: &[u8], value: &[u8]) -> u16 {
    let parts = value.len().div_ceil(PART_BYTES).max(1) as u16;
    let mut chunks = value.chunks(PART_BYTES);
    for part in 0..parts {
        batch.insert(part_key(key, part), chunks.next().unwrap_or_default());
    }
    parts
}

fn damaged(what: &str) -> CatalogueError {
    CatalogueError::Damaged(what.to_owned())
}

/// Runs a call into sled; its panics and errors become ours.
fn guard<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, CatalogueError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(sled::Error::Io(error))) => Err(io_error(error)),
        Ok(Err(error)) => Err(CatalogueError::Damaged(error.to_string())),
        Err(panic) => {
            let message = panic_message(&*panic);
            Err(CatalogueError::Damaged(format!("it panicked: {message}")))
        }
    }
}

fn io_error(error: std::io::Error) -> CatalogueError {
    use std::io::ErrorKind;
    match error.kind() {
        _ if is_disk_full(&error) => CatalogueError::DiskFull(error),
        _ if is_out_of_resources(&error) => CatalogueError::Refused(error),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            CatalogueError::Refused(error)
        }
        _ => CatalogueError::Damaged(error.to_string()),
    }
}

#[cfg(test)]
mod tests;

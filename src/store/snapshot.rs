//! The definitions snapshot: the whole map as of some record in one checksummed file, replaced at
//! once by rename. Read only when the catalogue cannot be used.
//!
//! ```text
//!   0 128  file header; its fields:
//!   48  8    LSN         the map holds every change up to this one
//!   56  8    floor       no entry of the log up to this LSN is needed
//!   64  8    entries
//!   72  8    bytes of entries
//!   80  4    CRC32C of the bytes of entries
//! 128   …  entries: key length u32, value length u32, key, value; in no order
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::debug;

use super::disk::{Disk, File, publish_file, temporary_name};
use super::layout::{Cursor, HEADER_BYTES, Header, Identity, Magic, read_header, write_header};
use super::{Lsn, Map, StoreError};
use crate::defects::{Defect, is_planted};

/// Entries are read and written in pieces of about this size.
const PIECE_BYTES: usize = 1 << 20;

/// Where the snapshot lies.
pub(super) fn snapshot_path(dir: &Path) -> PathBuf {
    dir.join("definitions.snapshot")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Extent {
    entries: u64,
    bytes: u64,
    crc: u32,
}

impl Extent {
    fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.crc = crc32c::crc32c_append(self.crc, bytes);
    }
}

/// Writes a snapshot; until [`finish`](Self::finish) the one before it stays as it is.
pub(super) struct SnapshotWriter<'a> {
    disk: &'a dyn Disk,
    path: PathBuf,
    file: Arc<dyn File>,
    piece: Vec<u8>,
    extent: Extent,
    /// The first write that failed; nothing is written after it.
    failed: Option<StoreError>,
}

impl<'a> SnapshotWriter<'a> {
    pub(super) fn create(disk: &'a dyn Disk, dir: &Path) -> Result<Self, StoreError> {
        let path = snapshot_path(dir);
        let temporary = temporary_name(&path);
        let file = disk
            .create(&temporary)
            .map_err(StoreError::io("create", &temporary))?;
        let (piece, extent) = (Vec::new(), Extent::default());
        Ok(SnapshotWriter {
            disk,
            path,
            file,
            piece,
            extent,
            failed: None,
        })
    }

    /// Adds an entry. An error shows in `finish`, so that this can be a scan's visitor.
    pub(super) fn push(&mut self, key: &[u8], value: &[u8]) {
        self.extent.entries += 1;
        self.piece
            .extend_from_slice(&(key.len() as u32).to_le_bytes());
        self.piece
            .extend_from_slice(&(value.len() as u32).to_le_bytes());
        self.piece.extend_from_slice(key);
        self.piece.extend_from_slice(value);
        if self.piece.len() >= PIECE_BYTES {
            self.write_piece();
        }
    }

    fn write_piece(&mut self) {
        if self.failed.is_none() {
            let offset = HEADER_BYTES as u64 + self.extent.bytes;
            let written = self.file.pwrite(&self.piece, offset);
            self.failed = written
                .map_err(StoreError::io("write", &self.temporary()))
                .err();
        }
        self.extent.add(&self.piece);
        self.piece.clear();
    }

    fn temporary(&self) -> PathBuf {
        temporary_name(&self.path)
    }

    /// Leaves the snapshot unfinished and gives its space back.
    pub(super) fn abandon(self) {
        if let Err(error) = self.disk.remove(&self.temporary()) {
            debug!(%error, "a half-written snapshot could not be removed");
        }
    }

    /// Puts the snapshot, which holds every change up to `mark`, in the place of the one before.
    /// No entry of the log up to `floor` is needed with it.
    /// Returns how many bytes of entries it has.
    pub(super) fn finish(
        mut self,
        identity: &Identity,
        mark: Lsn,
        floor: Lsn,
    ) -> Result<u64, StoreError> {
        match self.write_rest(identity, mark, floor) {
            Ok(()) => Ok(self.extent.bytes),
            Err(error) => {
                self.abandon();
                Err(error)
            }
        }
    }

    fn write_rest(&mut self, identity: &Identity, mark: Lsn, floor: Lsn) -> Result<(), StoreError> {
        self.write_piece();
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let mut fields = Vec::with_capacity(36);
        for field in [mark.0, floor.0, self.extent.entries, self.extent.bytes] {
            fields.extend_from_slice(&field.to_le_bytes());
        }
        fields.extend_from_slice(&self.extent.crc.to_le_bytes());
        let header = write_header(Magic::Snapshot, identity, &fields);
        let temporary = self.temporary();
        self.file
            .pwrite(&header, 0)
            .map_err(StoreError::io("write", &temporary))?;
        if !is_planted(Defect::SnapshotUnsynced) {
            self.file
                .sync_data()
                .map_err(StoreError::io("sync", &temporary))?;
        }
        publish_file(self.disk, &self.path).map_err(StoreError::io("rename", &temporary))
    }
}

/// A snapshot file whose header holds.
pub(super) struct Snapshot {
    path: PathBuf,
    file: Arc<dyn File>,
    extent: Extent,
    /// The record up to which it holds the map.
    pub(super) mark: Lsn,
    /// No entry up to this record is needed with it.
    pub(super) floor: Lsn,
}

impl Snapshot {
    /// How many bytes of entries it has.
    pub(super) fn bytes(&self) -> u64 {
        self.extent.bytes
    }

    /// Opens the snapshot and reads its header; `None` if there is none.
    pub(super) fn open(
        disk: &dyn Disk,
        dir: &Path,
        expected: &Identity,
    ) -> Result<Option<Snapshot>, StoreError> {
        let path = snapshot_path(dir);
        let file = match disk.open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io("open", &path)(error)),
        };
        let mut bytes = [0; HEADER_BYTES];
        let read = file
            .pread(&mut bytes, 0)
            .map_err(StoreError::io("read", &path))?;
        let corrupt = |what| StoreError::Corrupt {
            path: path.clone(),
            offset: 0,
            what,
        };
        match read_header(&path, Magic::Snapshot, &bytes[..read])? {
            Header::Blank | Header::Damaged => Err(corrupt("the header's checksum does not hold")),
            Header::Whole { identity, .. } if identity != *expected => {
                Err(StoreError::WrongNode { path })
            }
            Header::Whole { fields, .. } => {
                let (mark, floor, extent) = decode_fields(fields)
                    .ok_or_else(|| corrupt("the header is not well formed"))?;
                Ok(Some(Snapshot {
                    path,
                    file,
                    extent,
                    mark,
                    floor,
                }))
            }
        }
    }

    /// Checks the whole file against its checksum.
    pub(super) fn verify(&self) -> Result<(), StoreError> {
        let mut found = Extent {
            entries: self.extent.entries,
            ..Extent::default()
        };
        let mut piece = vec![0; PIECE_BYTES];
        while found.bytes < self.extent.bytes {
            let wanted = (self.extent.bytes - found.bytes).min(PIECE_BYTES as u64) as usize;
            let offset = HEADER_BYTES as u64 + found.bytes;
            let read = self
                .file
                .pread(&mut piece[..wanted], offset)
                .map_err(StoreError::io("read", &self.path))?;
            if read < wanted {
                return Err(self.corrupt(offset + read as u64, "the file is cut short"));
            }
            found.add(&piece[..wanted]);
        }
        if found == self.extent {
            return Ok(());
        }
        Err(self.corrupt(
            HEADER_BYTES as u64,
            "the checksum of the entries does not hold",
        ))
    }

    /// Copies the file into another directory, checking it. Returns its length.
    pub(super) fn copy_to(&self, disk: &dyn Disk, dir: &Path) -> Result<u64, StoreError> {
        self.verify()?;
        let path = snapshot_path(dir);
        let temporary = temporary_name(&path);
        let copy = disk
            .create(&temporary)
            .map_err(StoreError::io("create", &temporary))?;
        let length = HEADER_BYTES as u64 + self.extent.bytes;
        let mut done = 0;
        while done < length {
            let wanted = (length - done).min(PIECE_BYTES as u64) as usize;
            let piece = self.file.read(wanted, done);
            let piece = piece.map_err(StoreError::io("read", &self.path))?;
            if piece.len() < wanted {
                return Err(self.corrupt(done + piece.len() as u64, "the file is cut short"));
            }
            copy.pwrite(&piece, done)
                .map_err(StoreError::io("write", &temporary))?;
            done += wanted as u64;
        }
        copy.sync_data()
            .map_err(StoreError::io("sync", &temporary))?;
        publish_file(disk, &path).map_err(StoreError::io("rename", &temporary))?;
        Ok(length)
    }

    /// Reads all entries, after checking them.
    pub(super) fn read(&self) -> Result<Map, StoreError> {
        self.verify()?;
        let mut bytes = vec![0; self.extent.bytes as usize];
        self.file
            .pread(&mut bytes, HEADER_BYTES as u64)
            .map_err(StoreError::io("read", &self.path))?;
        let mut cursor = Cursor::new(&bytes);
        let mut entries = Map::new();
        for _ in 0..self.extent.entries {
            let Some((key, value)) = decode_entry(&mut cursor) else {
                break;
            };
            entries.insert(key, value);
        }
        if entries.len() as u64 == self.extent.entries && cursor.is_empty() {
            return Ok(entries);
        }
        Err(self.corrupt(HEADER_BYTES as u64, "the entries are not well formed"))
    }

    fn corrupt(&self, offset: u64, what: &'static str) -> StoreError {
        StoreError::Corrupt {
            path: self.path.clone(),
            offset,
            what,
        }
    }
}

fn decode_fields(fields: &[u8]) -> Option<(Lsn, Lsn, Extent)> {
    let mut cursor = Cursor::new(fields);
    let (mark, floor) = (Lsn(cursor.u64()?), Lsn(cursor.u64()?));
    let extent = Extent {
        entries: cursor.u64()?,
        bytes: cursor.u64()?,
        crc: cursor.u32()?,
    };
    Some((mark, floor, extent))
}

fn decode_entry(cursor: &mut Cursor<'_>) -> Option<(Vec<u8>, Vec<u8>)> {
    let (key, value) = (cursor.u32()? as usize, cursor.u32()? as usize);
    Some((cursor.bytes(key)?.to_vec(), cursor.bytes(value)?.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sim::SimDisk;

    const IDENTITY: Identity = Identity {
        node: [1; 16],
        cluster: [0; 16],
    };

    fn dir() -> &'static Path {
        Path::new("/sim")
    }

    fn write(disk: &SimDisk, value: &[u8], mark: u64) -> Result<u64, StoreError> {
        let mut writer = SnapshotWriter::create(disk, dir())?;
        writer.push(b"a", value);
        writer.push(b"b", &[7; 100]);
        writer.finish(&IDENTITY, Lsn(mark), Lsn(mark - 1))
    }

    fn disk_with_snapshot() -> SimDisk {
        let disk = SimDisk::new();
        disk.create_dir(dir()).unwrap();
        write(&disk, b"first", 5).unwrap();
        disk
    }

    fn read(disk: &SimDisk) -> Result<(Lsn, Map), StoreError> {
        let snapshot = Snapshot::open(disk, dir(), &IDENTITY)?.expect("a snapshot was written");
        Ok((snapshot.mark, snapshot.read()?))
    }

    #[test]
    fn a_snapshot_reads_back() {
        let disk = disk_with_snapshot();
        let (mark, entries) = read(&disk).unwrap();
        assert_eq!(mark, Lsn(5));
        let snapshot = Snapshot::open(&disk, dir(), &IDENTITY).unwrap().unwrap();
        assert_eq!(snapshot.floor, Lsn(4));
        assert_eq!(entries[&b"a"[..]], b"first");
        assert_eq!(entries.len(), 2);
    }

    #[test]
    fn a_large_snapshot_is_written_in_pieces() {
        let disk = disk_with_snapshot();
        let value = vec![9; 3 * PIECE_BYTES];
        write(&disk, &value, 6).unwrap();
        assert_eq!(read(&disk).unwrap().1[&b"a"[..]], value);
    }

    #[test]
    fn no_snapshot_is_none() {
        assert!(
            Snapshot::open(&SimDisk::new(), dir(), &IDENTITY)
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        let length = disk_with_snapshot().contents(&snapshot_path(dir())).len();
        for offset in 0..length {
            let disk = disk_with_snapshot();
            disk.flip(&snapshot_path(dir()), offset as u64, 1);
            assert!(read(&disk).is_err(), "offset {offset}");
        }
    }

    #[test]
    fn a_snapshot_cut_short_names_file_and_offset() {
        let disk = disk_with_snapshot();
        disk.truncate(&snapshot_path(dir()), 150);
        let error = read(&disk).unwrap_err().to_string();
        assert!(
            error.contains("definitions.snapshot") && error.contains("150"),
            "{error}"
        );
    }

    #[test]
    fn a_power_loss_leaves_the_old_snapshot_or_the_new_one() {
        for seed in 0..50 {
            let disk = disk_with_snapshot();
            disk.crash_after(seed % 7);
            let finished = write(&disk, b"second", 9).is_ok();
            disk.power_loss(seed);
            let (mark, entries) = read(&disk).unwrap();
            let expected = if mark == Lsn(9) {
                b"second".to_vec()
            } else {
                b"first".to_vec()
            };
            assert_eq!(entries[&b"a"[..]], expected);
            assert!(!finished || mark == Lsn(9), "seed {seed}");
        }
    }

    #[test]
    fn a_full_disk_leaves_the_old_snapshot() {
        let disk = disk_with_snapshot();
        disk.set_free(Some(64));
        assert!(write(&disk, b"second", 9).unwrap_err().is_disk_full());
        assert_eq!(read(&disk).unwrap().0, Lsn(5));
    }

    #[test]
    fn another_nodes_snapshot_is_refused() {
        let disk = disk_with_snapshot();
        let other = Identity {
            node: [2; 16],
            ..IDENTITY
        };
        let opened = Snapshot::open(&disk, dir(), &other);
        assert!(matches!(opened, Err(StoreError::WrongNode { .. })));
    }
}

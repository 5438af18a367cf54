//! The file `node`: whose directory this is, and how the last run ended. Two slots are written
//! in turn and in place, so that it needs no space on a full disk and survives a torn write.
//! Never holds anything that changes more than twice a run.
//!
//! ```text
//! slot 0 at 0, slot 1 at 4096, each a file header with the fields
//!  48 8 generation   the slot with the higher one counts
//!  56 8 epoch        counts starts
//!  64 8 first file   the log file begun at that start; 0: none could be made
//!  72 8 LSN          the last one known when the slot was written
//!  80 8 floor        no entry up to this LSN is needed
//!  88 8 log end      the last LSN that was on the device in the log then
//!  96 1 clean        1: the catalogue holds everything up to the LSN, and the floor is there
//! ```

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, File, replace_file};
use super::group::BLOCK_BYTES;
use super::layout::{Cursor, HEADER_BYTES, Header, Identity, Magic, read_header, write_header};
use super::logdir::Horizon;
use super::{Lsn, StoreError};
use crate::defects::{Defect, is_planted};

/// What a slot says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NodeState {
    pub(super) epoch: u64,
    pub(super) first_file: u64,
    pub(super) last: Lsn,
    pub(super) floor: Lsn,
    pub(super) log_end: Lsn,
    pub(super) clean: bool,
}

impl NodeState {
    /// What the run that wrote this began after.
    pub(super) fn horizon(&self) -> Horizon {
        Horizon {
            epoch: self.epoch,
            last: if self.clean { self.last } else { self.log_end },
        }
    }
}

/// The open node file.
pub(super) struct NodeFile {
    path: PathBuf,
    file: Arc<dyn File>,
    generation: u64,
    pub(super) identity: Identity,
    pub(super) state: NodeState,
    /// Where a slot is whose checksum does not hold.
    pub(super) damaged_slot: Option<u64>,
}

/// Where the node file lies.
pub(super) fn node_path(dir: &Path) -> PathBuf {
    dir.join("node")
}

impl NodeFile {
    /// Opens the node file, `None` if there is none.
    pub(super) fn open(disk: &dyn Disk, dir: &Path) -> Result<Option<NodeFile>, StoreError> {
        let path = node_path(dir);
        let file = match disk.open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io("open", &path)(error)),
        };
        let mut bytes = vec![0; 2 * BLOCK_BYTES];
        let read = file
            .pread(&mut bytes, 0)
            .map_err(StoreError::io("read", &path))?;
        let (first, second) = bytes[..read].split_at(read.min(BLOCK_BYTES));
        let slots = [read_slot(&path, first)?, read_slot(&path, second)?];
        let newest = slots.iter().flatten().max_by_key(|slot| slot.generation);
        let Some(Slot {
            identity,
            generation,
            mut state,
        }) = newest.copied()
        else {
            let what = "neither slot is whole";
            return Err(StoreError::Corrupt {
                path,
                offset: 0,
                what,
            });
        };
        // A damaged slot may have been the newer one, which said that the log must be read.
        let damaged = slots.iter().position(Option::is_none);
        state.clean &= damaged.is_none();
        Ok(Some(NodeFile {
            path,
            file,
            generation,
            identity,
            state,
            damaged_slot: damaged.map(|slot| (slot * BLOCK_BYTES) as u64),
        }))
    }

    /// Makes the node file of a new directory.
    pub(super) fn create(disk: &dyn Disk, dir: &Path) -> Result<NodeFile, StoreError> {
        let mut node = [0; 16];
        getrandom::fill(&mut node).map_err(|error| {
            StoreError::io("draw a node id for", &node_path(dir))(std::io::Error::other(
                error.to_string(),
            ))
        })?;
        let identity = Identity {
            node,
            cluster: [0; 16],
        };
        let state = NodeState {
            epoch: 0,
            first_file: 0,
            last: Lsn(0),
            floor: Lsn(0),
            log_end: Lsn(0),
            clean: true,
        };
        NodeFile::publish(disk, dir, identity, state)
    }

    /// Makes the node file of a directory that is as `state` says. Durable when it returns, and
    /// not there before.
    pub(super) fn publish(
        disk: &dyn Disk,
        dir: &Path,
        identity: Identity,
        state: NodeState,
    ) -> Result<NodeFile, StoreError> {
        let path = node_path(dir);
        let mut bytes = vec![0; 2 * BLOCK_BYTES];
        for (generation, slot) in bytes.chunks_mut(BLOCK_BYTES).enumerate() {
            slot[..HEADER_BYTES].copy_from_slice(&encode_slot(
                &identity,
                generation as u64,
                &state,
            ));
        }
        replace_file(disk, &path, &bytes).map_err(StoreError::io("create", &path))?;
        let file = disk.open(&path).map_err(StoreError::io("open", &path))?;
        Ok(NodeFile {
            path,
            file,
            generation: 1,
            identity,
            state,
            damaged_slot: None,
        })
    }

    /// Records how the node stands now; durable when it returns.
    pub(super) fn write(&mut self, state: NodeState) -> Result<(), StoreError> {
        let generation = self.generation + 1;
        let slot = encode_slot(&self.identity, generation, &state);
        let offset = (generation % 2) * BLOCK_BYTES as u64;
        self.file
            .pwrite(&slot, offset)
            .map_err(StoreError::io("write", &self.path))?;
        if !is_planted(Defect::NodeUnsynced) {
            self.file
                .sync_data()
                .map_err(StoreError::io("sync", &self.path))?;
        }
        self.generation = generation;
        self.state = state;
        Ok(())
    }
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    identity: Identity,
    generation: u64,
    state: NodeState,
}

fn read_slot(path: &Path, bytes: &[u8]) -> Result<Option<Slot>, StoreError> {
    match read_header(path, Magic::Node, bytes)? {
        Header::Whole { identity, fields } => Ok(decode_slot(identity, fields)),
        Header::Blank | Header::Damaged => Ok(None),
    }
}

fn decode_slot(identity: Identity, fields: &[u8]) -> Option<Slot> {
    let mut cursor = Cursor::new(fields);
    let generation = cursor.u64()?;
    let (epoch, first_file) = (cursor.u64()?, cursor.u64()?);
    let (last, floor) = (Lsn(cursor.u64()?), Lsn(cursor.u64()?));
    let (log_end, clean) = (Lsn(cursor.u64()?), cursor.u8()? == 1);
    Some(Slot {
        identity,
        generation,
        state: NodeState {
            epoch,
            first_file,
            last,
            floor,
            log_end,
            clean,
        },
    })
}

fn encode_slot(identity: &Identity, generation: u64, state: &NodeState) -> [u8; HEADER_BYTES] {
    let mut fields = Vec::with_capacity(49);
    for field in [generation, state.epoch, state.first_file] {
        fields.extend_from_slice(&field.to_le_bytes());
    }
    for lsn in [state.last, state.floor, state.log_end] {
        fields.extend_from_slice(&lsn.0.to_le_bytes());
    }
    fields.push(u8::from(state.clean));
    write_header(Magic::Node, identity, &fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sim::SimDisk;

    const STATE: NodeState = NodeState {
        epoch: 7,
        first_file: 3,
        last: Lsn(40),
        floor: Lsn(30),
        log_end: Lsn(39),
        clean: true,
    };

    fn dir() -> &'static Path {
        Path::new("/sim")
    }

    fn reopened(disk: &SimDisk) -> Result<Option<NodeFile>, StoreError> {
        NodeFile::open(disk, dir())
    }

    fn written() -> (SimDisk, Identity) {
        let disk = SimDisk::new();
        disk.create_dir(dir()).unwrap();
        let mut node = NodeFile::create(&disk, dir()).unwrap();
        node.write(STATE).unwrap();
        (disk, node.identity)
    }

    #[test]
    fn no_file_is_none() {
        assert!(reopened(&SimDisk::new()).unwrap().is_none());
    }

    #[test]
    fn the_newest_state_is_read_back() {
        let (disk, identity) = written();
        let node = reopened(&disk).unwrap().unwrap();
        assert_eq!(node.state, STATE);
        assert_eq!(node.identity, identity);
    }

    #[test]
    fn a_damaged_newest_slot_falls_back_and_is_not_clean() {
        let (disk, _) = written();
        disk.flip(&node_path(dir()), 60, 1);
        let node = reopened(&disk).unwrap().unwrap();
        assert_eq!(node.state.epoch, 0);
        assert!(!node.state.clean);
    }

    #[test]
    fn a_file_cut_anywhere_in_the_second_slot_falls_back_to_the_first() {
        let (disk, identity) = written();
        let whole = disk.contents(&node_path(dir()));
        for length in 4096..4096 + HEADER_BYTES {
            disk.overwrite(&node_path(dir()), &whole[..length]);
            let node = reopened(&disk).expect("it opens").expect("a node file");
            assert_eq!((node.identity, node.damaged_slot), (identity, Some(4096)));
        }
    }

    #[test]
    fn two_damaged_slots_are_an_error_naming_the_file() {
        let (disk, _) = written();
        disk.flip(&node_path(dir()), 60, 1);
        disk.flip(&node_path(dir()), 4096 + 60, 1);
        let Err(error) = reopened(&disk) else {
            panic!("an error expected")
        };
        assert!(matches!(error, StoreError::Corrupt { .. }));
        assert!(error.to_string().contains("/sim/node"));
    }

    #[test]
    fn a_state_survives_the_loss_of_the_next_ones_write() {
        let (disk, _) = written();
        let mut node = reopened(&disk).unwrap().unwrap();
        disk.fail_next_sync();
        assert!(node.write(NodeState { epoch: 8, ..STATE }).is_err());
        disk.power_loss(1);
        let epoch = reopened(&disk).unwrap().unwrap().state.epoch;
        assert!(epoch == 7 || epoch == 8);
    }
}

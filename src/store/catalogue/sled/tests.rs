//! sled as the catalogue, on real files.

use std::collections::BTreeMap;
use std::io;

use parking_lot::Mutex;

use super::*;
use crate::store::disk::RealDisk;

const IDENTITY: Identity = Identity {
    node: [1; 16],
    cluster: [0; 16],
};
const CACHE_BYTES: u64 = 16 << 20;

fn source(dir: &Path) -> SledSource {
    SledSource::new(Arc::new(RealDisk), dir, CACHE_BYTES)
}

#[track_caller]
fn open(dir: &Path) -> Box<dyn Catalogue> {
    source(dir).open(&IDENTITY).expect("the catalogue opens")
}

fn entries<const N: usize>(entries: [(&[u8], Option<&[u8]>); N]) -> Entries {
    let owned = |(key, value): (&[u8], Option<&[u8]>)| (key.to_vec(), value.map(<[u8]>::to_vec));
    entries.into_iter().map(owned).collect()
}

fn contents(catalogue: &dyn Catalogue) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, CatalogueError> {
    let mut all = BTreeMap::new();
    catalogue.scan(&mut |key, value| {
        all.insert(key.to_vec(), value.to_vec());
    })?;
    Ok(all)
}

#[track_caller]
fn checkpoint(catalogue: &mut dyn Catalogue, changes: &Entries, mark: u64) {
    catalogue
        .apply(changes, Lsn(mark), Lsn(mark - 1))
        .expect("apply");
    catalogue.flush().expect("flush");
    catalogue.sync().expect("sync");
}

#[test]
fn a_new_catalogue_has_no_mark_and_no_entries() {
    let dir = tempfile::tempdir().unwrap();
    assert!(!source(dir.path()).exists());
    let catalogue = open(dir.path());
    assert_eq!(catalogue.mark(), None);
    assert!(contents(&*catalogue).unwrap().is_empty());
    assert!(source(dir.path()).exists());
}

#[test]
fn entries_and_mark_are_there_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalogue = open(dir.path());
    checkpoint(
        &mut *catalogue,
        &entries([(b"a", Some(b"1")), (b"b", Some(b""))]),
        4,
    );
    checkpoint(
        &mut *catalogue,
        &entries([(b"a", None), (b"c", Some(b"3"))]),
        9,
    );
    drop(catalogue);
    let catalogue = open(dir.path());
    assert_eq!(
        catalogue.mark(),
        Some(Mark {
            complete: Lsn(9),
            touched: Lsn(9),
            floor: Lsn(8)
        })
    );
    let expected = BTreeMap::from([(b"b".to_vec(), Vec::new()), (b"c".to_vec(), b"3".to_vec())]);
    assert_eq!(contents(&*catalogue).unwrap(), expected);
}

#[test]
fn keys_that_are_prefixes_of_each_other_do_not_mix() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalogue = open(dir.path());
    let long = vec![7; 3 * PART_BYTES];
    let keys: [&[u8]; 5] = [b"", b"a", b"a\0", b"a\0\0", b"a\0\x01"];
    let all = entries(keys.map(|key| (key, Some(long.as_slice()))));
    checkpoint(&mut *catalogue, &all, 1);
    checkpoint(&mut *catalogue, &entries([(b"a", None)]), 2);
    let left = contents(&*catalogue).unwrap();
    assert_eq!(left.len(), 4);
    assert!(left.values().all(|value| *value == long));
}

#[test]
fn values_of_every_number_of_parts_replace_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalogue = open(dir.path());
    let sizes = [
        0,
        1,
        PART_BYTES,
        PART_BYTES + 1,
        5 * PART_BYTES,
        PART_BYTES - 1,
        0,
    ];
    for (mark, size) in (1..).zip(sizes) {
        let value = vec![mark as u8; size];
        checkpoint(&mut *catalogue, &entries([(b"key", Some(&value))]), mark);
        assert_eq!(contents(&*catalogue).unwrap()[&b"key"[..]], value, "{size}");
    }
}

#[test]
fn the_longest_keys_and_large_values_stay_in_sleds_synced_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalogue = open(dir.path());
    for mark in 1..=4_u64 {
        let mut changes = Entries::new();
        for number in 0..60_u8 {
            let mut key = vec![number; crate::store::KEY_MAX_BYTES];
            key[..2].copy_from_slice(&[mark as u8 % 2, number]);
            changes.insert(
                key,
                Some(vec![number; 3 * PART_BYTES + usize::from(number)]),
            );
        }
        checkpoint(&mut *catalogue, &changes, mark);
    }
    assert_eq!(contents(&*catalogue).unwrap().len(), 120);
    let blobs = dir.path().join("catalogue/blobs");
    assert_eq!(RealDisk.list(&blobs).unwrap(), Vec::<String>::new());
}

#[test]
fn an_entry_that_changed_behind_its_back_does_not_add_up() {
    let keep = part_key(b"a", 0);
    type Forgery = fn(&sled::Db, &[u8]) -> sled::Result<Option<sled::IVec>>;
    let forge: [Forgery; 3] = [
        |db, key| db.remove(key),
        |db, key| db.insert(key, &b"2"[..]),
        |db, _| db.insert(part_key(b"b", 0), &b"1"[..]),
    ];
    for change in forge {
        let dir = tempfile::tempdir().unwrap();
        let mut catalogue = open(dir.path());
        checkpoint(&mut *catalogue, &entries([(b"a", Some(b"1"))]), 1);
        drop(catalogue);
        let db = source(dir.path())
            .open_db(&dir.path().join("catalogue"))
            .unwrap();
        change(&db, &keep).unwrap();
        drop(db);
        let read = contents(&*open(dir.path()));
        assert!(matches!(read, Err(CatalogueError::Damaged(_))), "{read:?}");
    }
}

#[test]
fn a_catalogue_of_another_node_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalogue = open(dir.path());
    checkpoint(&mut *catalogue, &entries([(b"a", Some(b"1"))]), 1);
    drop(catalogue);
    let other = Identity {
        node: [2; 16],
        ..IDENTITY
    };
    let opened = source(dir.path()).open(&other);
    assert!(matches!(opened, Err(CatalogueError::Damaged(_))));
}

#[test]
fn setting_aside_keeps_the_old_one_under_the_next_free_name() {
    let dir = tempfile::tempdir().unwrap();
    for number in 1..=2 {
        let mut catalogue = open(dir.path());
        checkpoint(&mut *catalogue, &entries([(b"a", Some(b"1"))]), 1);
        drop(catalogue);
        let aside = source(dir.path()).set_aside().unwrap();
        assert_eq!(aside, dir.path().join(format!("catalogue.aside-{number}")));
        assert!(aside.join("db").exists());
        assert!(!source(dir.path()).exists());
    }
    assert_eq!(open(dir.path()).mark(), None);
}

/// The real disk, noting which files are synced.
struct SyncLog {
    synced: Arc<Mutex<Vec<PathBuf>>>,
}

struct SyncLogFile {
    file: Arc<dyn File>,
    path: PathBuf,
    synced: Arc<Mutex<Vec<PathBuf>>>,
}

impl Disk for SyncLog {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        RealDisk.create_dir(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        RealDisk.lock(path)
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let (file, synced) = (RealDisk.open(path)?, Arc::clone(&self.synced));
        Ok(Arc::new(SyncLogFile {
            file,
            path: path.to_path_buf(),
            synced,
        }))
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        RealDisk.create(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(dir)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.sync_dir(dir)?;
        self.synced.lock().push(dir.to_path_buf());
        Ok(())
    }
}

impl File for SyncLogFile {
    fn pread(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.pread(buf, offset)
    }
    fn pwrite(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        self.file.pwrite(buf, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()?;
        self.synced.lock().push(self.path.clone());
        Ok(())
    }
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }
}

#[test]
fn sync_reaches_sleds_db_file_and_its_directory() {
    let dir = tempfile::tempdir().unwrap();
    let synced = Arc::new(Mutex::new(Vec::new()));
    let disk = Arc::new(SyncLog {
        synced: Arc::clone(&synced),
    });
    let source = SledSource::new(disk, dir.path(), CACHE_BYTES);
    let mut catalogue = source.open(&IDENTITY).unwrap();
    catalogue
        .apply(&entries([(b"a", Some(b"1"))]), Lsn(1), Lsn(0))
        .unwrap();
    catalogue.flush().unwrap();
    synced.lock().clear();
    catalogue.sync().unwrap();
    let path = dir.path().join("catalogue");
    assert_eq!(*synced.lock(), [path.join("db"), path]);
}

#[test]
fn a_checkpoint_of_many_entries_is_cut_into_batches_and_whole_at_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalogue = open(dir.path());
    let many: Entries = (0..3 * BATCH_ENTRIES as u32)
        .map(|number| (number.to_be_bytes().to_vec(), Some(vec![1; 20])))
        .collect();
    checkpoint(&mut *catalogue, &many, 7);
    let large: Entries = (0..4_u8)
        .map(|number| (vec![number], Some(vec![2; BATCH_BYTES])))
        .collect();
    checkpoint(&mut *catalogue, &large, 8);
    drop(catalogue);
    let catalogue = open(dir.path());
    assert_eq!(
        catalogue.mark(),
        Some(Mark {
            complete: Lsn(8),
            touched: Lsn(8),
            floor: Lsn(7)
        })
    );
    assert_eq!(
        contents(&*catalogue).unwrap().len(),
        many.len() + large.len()
    );
}

#[test]
fn a_checkpoint_cut_short_between_batches_adds_up_and_says_how_far_it_touched() {
    let dir = tempfile::tempdir().unwrap();
    let mut catalogue = open_sled(dir.path());
    let first = entries([(b"a", Some(b"1"))]);
    catalogue.apply(&first, Lsn(3), Lsn(2)).unwrap();
    let second = entries([(b"b", Some(b"2"))]);
    let batch: Vec<_> = second.iter().collect();
    catalogue
        .apply_batch(
            &batch,
            Mark {
                complete: Lsn(3),
                touched: Lsn(9),
                floor: Lsn(2),
            },
        )
        .unwrap();
    drop(catalogue);
    let catalogue = open(dir.path());
    assert_eq!(
        catalogue.mark(),
        Some(Mark {
            complete: Lsn(3),
            touched: Lsn(9),
            floor: Lsn(2)
        })
    );
    assert_eq!(contents(&*catalogue).unwrap().len(), 2);
}

fn open_sled(dir: &Path) -> SledCatalogue {
    source(dir)
        .open_catalogue(&IDENTITY)
        .expect("the catalogue opens")
}

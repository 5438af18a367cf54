//! The simulated disk itself: what survives what.

use super::*;
use crate::store::disk::{Disk, File};

const PATH: &str = "/sim/file";

fn disk_with_file(synced: &[u8]) -> (SimDisk, Arc<dyn File>) {
    let disk = SimDisk::new();
    disk.create_dir(Path::new("/sim")).unwrap();
    let file = disk.create(Path::new(PATH)).unwrap();
    file.pwrite(synced, 0).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir(Path::new("/sim")).unwrap();
    (disk, file)
}

/// The contents of the file after a power loss, for many seeds.
fn outcomes(prepare: impl Fn(&SimDisk, &Arc<dyn File>)) -> BTreeSet<Vec<u8>> {
    (0..200)
        .map(|seed| {
            let (disk, file) = disk_with_file(b"old");
            prepare(&disk, &file);
            disk.power_loss(seed);
            disk.contents(Path::new(PATH))
        })
        .collect()
}

#[test]
fn synced_bytes_survive_every_power_loss() {
    assert_eq!(outcomes(|_, _| {}), BTreeSet::from([b"old".to_vec()]));
}

#[test]
fn unsynced_bytes_are_kept_by_some_power_losses_and_lost_by_others() {
    let seen = outcomes(|_, file| file.pwrite(b"new", 0).unwrap());
    assert_eq!(seen, BTreeSet::from([b"old".to_vec(), b"new".to_vec()]));
}

#[test]
fn a_write_of_two_sectors_can_be_torn_either_way() {
    let seen = outcomes(|_, file| file.pwrite(&[1; 1024], 0).unwrap());
    let first_only = |bytes: &Vec<u8>| bytes.len() == 512 && bytes[511] == 1;
    let second_only = |bytes: &Vec<u8>| bytes.len() == 1024 && bytes[0] == b'o' && bytes[512] == 1;
    assert!(seen.iter().any(first_only) && seen.iter().any(second_only));
}

#[test]
fn a_later_write_can_survive_an_earlier_one() {
    let seen = outcomes(|_, file| {
        file.pwrite(b"A", 0).unwrap();
        file.pwrite(b"B", 1).unwrap();
    });
    assert!(seen.contains(&b"oBd"[..]) && seen.contains(&b"Ald"[..]));
}

#[test]
fn a_failed_sync_is_not_made_good_by_the_next_one() {
    let seen = outcomes(|disk, file| {
        file.pwrite(b"new", 0).unwrap();
        disk.fail_next_sync();
        assert!(file.sync_data().is_err());
        file.sync_data().unwrap();
    });
    assert!(seen.contains(&b"old"[..]));
}

#[test]
fn a_name_survives_only_with_its_directory_synced() {
    let survivals: BTreeSet<bool> = (0..50)
        .map(|seed| {
            let (disk, _file) = disk_with_file(b"old");
            disk.rename(Path::new(PATH), Path::new("/sim/other"))
                .unwrap();
            disk.power_loss(seed);
            assert_ne!(
                disk.contents(Path::new(PATH)),
                disk.contents(Path::new("/sim/other"))
            );
            disk.contents(Path::new("/sim/other")) == b"old"
        })
        .collect();
    assert_eq!(survivals.len(), 2);
}

#[test]
fn a_killed_process_loses_its_files_and_no_bytes() {
    let (disk, file) = disk_with_file(b"old");
    file.pwrite(b"new", 0).unwrap();
    disk.kill();
    assert!(file.pwrite(b"ghost", 0).is_err());
    assert_eq!(disk.contents(Path::new(PATH)), b"new");
}

#[test]
fn a_full_disk_takes_what_fits_and_overwriting_needs_no_space() {
    let (disk, file) = disk_with_file(b"old");
    disk.set_free(Some(2));
    let error = file.pwrite(b"longer", 0).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(disk.contents(Path::new(PATH)), b"longe");
    assert!(file.pwrite(b"short", 0).is_ok());
}

/// The file of four blocks, all synced, after a hole was punched into its middle.
fn disk_with_hole() -> (SimDisk, Arc<dyn File>) {
    let (disk, file) = disk_with_file(&[7; 4 * 4096]);
    file.punch_hole(4096, 2 * 4096).unwrap();
    (disk, file)
}

#[test]
fn a_hole_reads_as_zeros_and_takes_no_space() {
    let (disk, file) = disk_with_hole();
    let contents = disk.contents(Path::new(PATH));
    assert_eq!(contents[4096..12_288], [0; 8192]);
    assert_eq!(contents[12_288..], [7; 4096]);
    assert_eq!(disk.allocated(Path::new(PATH)), 8192);
    assert_eq!(
        (file.size().unwrap(), file.allocated().unwrap()),
        (16_384, 8192)
    );
}

#[test]
fn only_whole_blocks_and_the_last_one_become_holes() {
    let (disk, file) = disk_with_file(&[7; 4096 + 100]);
    file.punch_hole(1, 4095).unwrap();
    assert_eq!(disk.allocated(Path::new(PATH)), 4096 + 100);
    file.punch_hole(4096, 4096).unwrap();
    assert_eq!(disk.allocated(Path::new(PATH)), 4096);
    assert_eq!(file.size().unwrap(), 4096 + 100, "the length stays");
}

#[test]
fn an_unsynced_hole_is_there_after_some_power_losses_whole_or_in_part() {
    let seen: BTreeSet<u64> = (0..100)
        .map(|seed| {
            let (disk, _file) = disk_with_hole();
            disk.power_loss(seed);
            let allocated = disk.allocated(Path::new(PATH));
            let zeros = disk.contents(Path::new(PATH));
            let zeros = zeros.iter().filter(|byte| **byte == 0).count() as u64;
            assert_eq!(allocated + zeros, 16_384);
            allocated
        })
        .collect();
    assert_eq!(seen, BTreeSet::from([8192, 12_288, 16_384]));
}

#[test]
fn a_synced_hole_stays() {
    for seed in 0..20 {
        let (disk, file) = disk_with_hole();
        file.sync_data().unwrap();
        disk.power_loss(seed);
        assert_eq!(disk.allocated(Path::new(PATH)), 8192);
    }
}

#[test]
fn a_hole_gives_its_space_to_others_and_needs_space_to_be_filled() {
    let (disk, file) = disk_with_file(&[7; 4 * 4096]);
    disk.set_free(Some(0));
    file.punch_hole(0, 4096).unwrap();
    assert!(file.pwrite(&[1; 4096], 4 * 4096).is_ok());
    let error = file.pwrite(&[1; 10], 0).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert!(file.pwrite(&[1; 10], 4096).is_ok());
}

#[test]
fn holes_can_be_refused_once_or_for_good() {
    let (disk, file) = disk_with_file(&[7; 4096]);
    disk.fail_next_punch();
    assert!(file.punch_hole(0, 4096).is_err());
    disk.set_without_holes();
    let error = file.punch_hole(0, 4096).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    assert_eq!(disk.allocated(Path::new(PATH)), 4096);
}

#[test]
fn a_crash_stops_every_change() {
    let (disk, file) = disk_with_file(b"old");
    disk.crash_after(1);
    assert!(file.pwrite(b"1", 0).is_ok());
    assert!(file.pwrite(b"2", 0).is_err() && file.sync_data().is_err());
    assert!(disk.is_crashed());
}

#[test]
fn a_lock_is_taken_once() {
    let disk = SimDisk::new();
    let guard = disk.lock(Path::new("/sim/lock")).unwrap();
    assert!(disk.lock(Path::new("/sim/lock")).is_err());
    drop(guard);
    assert!(disk.lock(Path::new("/sim/lock")).is_ok());
}

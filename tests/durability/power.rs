//! Power cuts: the broker's directory lies on an ext4 of its own, which is cut off under load without
//! flushing its journal, mounted again, and every message must be where it was promised to be.
//!
//! The same without syncs must lose messages, or this proves nothing. Root's alone: others are told.

use std::path::{Path, PathBuf};

use super::ground::{Mount, can_mount};
use super::kill::draw_options;
use super::life::{Ending, Life, Rules, Site, Sum, joined, number};
use super::random::Random;

const ROUNDS: u64 = 20;
const SEED: u64 = 0x0c07_0ff0;
/// Disks at the same time.
const LANES: u64 = 2;
/// So many rounds without syncs may pass until something is lost.
const UNSYNCED_ROUNDS: u64 = 10;
const DISK_MIB: u64 = 640;

#[test]
fn nothing_promised_is_lost_when_the_power_goes() {
    if !can_mount() {
        return;
    }
    let (rounds, seed) = (number("CYCLES", ROUNDS), number("SEED", SEED));
    let sums: Vec<Sum> = std::thread::scope(|scope| {
        let lane = |lane: u64| {
            let rounds = (rounds + LANES - 1 - lane) / LANES;
            move || Life::begin(rules(options), disk(), seed.wrapping_add(lane)).live(rounds)
        };
        let lanes: Vec<_> = (0..LANES).map(|index| scope.spawn(lane(index))).collect();
        lanes.into_iter().map(joined).collect()
    });
    let sum = sums.into_iter().fold(Sum::default(), Sum::add);
    println!("{sum:?}, seed {seed:#x}");
    assert_eq!(sum.cycles, rounds);
    assert!(sum.tally.sure > 0 && sum.tally.surely_settled > 0);
}

#[test]
fn without_syncs_messages_are_lost_when_the_power_goes() {
    if !can_mount() {
        return;
    }
    let life = Life::begin(rules(unsynced), disk(), SEED);
    let (wrong, rounds) = life.until_broken(UNSYNCED_ROUNDS);
    let lost = wrong.iter().filter(|what| what.contains("is lost")).count();
    println!("{lost} lost in round {rounds} without syncs");
    assert!(lost > 0, "after {rounds} rounds: {wrong:?}");
}

fn rules(options: fn(&mut Random) -> Vec<String>) -> Rules {
    Rules {
        test: "durability::power",
        options,
        ending: |random| Ending::PowerCut {
            after: random.micros(20_000..900_000),
        },
        interrupted: 0,
    }
}

/// The files of the default size fit the disk, but take long to be filled with zeros.
fn options(random: &mut Random) -> Vec<String> {
    let options = draw_options(random);
    match options.is_empty() && random.chance(70) {
        true => vec!["--wal-file-size".to_owned(), "4194304".to_owned()],
        false => options,
    }
}

fn unsynced(random: &mut Random) -> Vec<String> {
    let mut options = options(random);
    options.extend(["--durability".to_owned(), "os".to_owned()]);
    options
}

/// A disk whose image lies in memory if there is room: what it loses is in front of the image.
fn disk() -> Site {
    let place = roomy(Path::new("/dev/shm")).unwrap_or_else(std::env::temp_dir);
    let folder = tempfile::tempdir_in(place).expect("a folder");
    let mount = Mount::ext4(folder.path(), DISK_MIB).expect("a disk");
    Site::Disk(mount, folder)
}

fn roomy(place: &Path) -> Option<PathBuf> {
    let free = rustix::fs::statvfs(place).ok()?;
    let wanted = LANES * 2 * (DISK_MIB << 20);
    (free.f_bavail * free.f_frsize >= wanted).then(|| place.to_owned())
}

//! SIGKILL under load, again and again over one data directory, and after each start every message
//! is where the clients' history says it must be.
//!
//! `CYCLES` says how many (50 here, 1,000 for a night), `SEED` where the draws begin. A cycle that
//! fails prints its seed and keeps the data directory; times are drawn from the seed, but what the
//! broker was doing at such a time is not, so it may take several tries to see it again.

use std::time::Instant;

use super::life::{Ending, Life, Rules, Site, Sum, joined, number};
use super::random::Random;

/// Cycles where nobody says how many.
const CYCLES: u64 = 50;
const SEED: u64 = 0x1e7e_2e70;
/// Cycles over one data directory.
const LIFE: u64 = 10;
/// Data directories at the same time.
const LANES: u64 = 2;

#[test]
fn nothing_promised_is_lost_however_often_the_broker_is_killed() {
    let (cycles, seed) = (number("CYCLES", CYCLES), number("SEED", SEED));
    let began = Instant::now();
    let lanes: Vec<Sum> = std::thread::scope(|scope| {
        let lane = |lane| move || run_lane(seed, lane, cycles);
        let lanes: Vec<_> = (0..LANES).map(|index| scope.spawn(lane(index))).collect();
        lanes.into_iter().map(joined).collect()
    });
    let sum = lanes.into_iter().fold(Sum::default(), Sum::add);
    println!("{sum:?} in {:?}, seed {seed:#x}", began.elapsed());
    assert_eq!(sum.cycles, cycles);
    assert!(sum.tally.sure > 0 && sum.tally.surely_settled > 0 && sum.tally.doubtful > 0);
}

/// The lives of one lane, one after the other.
fn run_lane(seed: u64, lane: u64, cycles: u64) -> Sum {
    let lives = cycles.div_ceil(LIFE);
    let mut sum = Sum::default();
    for life in (0..lives).filter(|life| life % LANES == lane) {
        let count = LIFE.min(cycles - life * LIFE);
        let site = Site::Folder(tempfile::tempdir().expect("a folder"));
        let lived = Life::begin(rules(), site, seed.wrapping_add(life)).live(count);
        sum = sum.add(lived);
    }
    sum
}

fn rules() -> Rules {
    Rules {
        test: "durability::kill",
        options: draw_options,
        ending: draw_ending,
        interrupted: 25,
    }
}

fn draw_ending(random: &mut Random) -> Ending {
    let after = random.micros(20_000..900_000);
    match random.within(0..100) {
        0..12 => Ending::Stop { after },
        12..24 => Ending::KillWhileStopping {
            after,
            then: random.micros(0..250_000),
        },
        _ => Ending::Kill { after },
    }
}

/// Small files and little memory in most cycles, so that the log is recycled, messages go to pages
/// and checkpoints are made all the time.
pub(crate) fn draw_options(random: &mut Random) -> Vec<String> {
    if random.chance(20) {
        return Vec::new();
    }
    let file = 65_536 << random.within(0..6);
    let options = [
        ("--wal-file-size", file),
        ("--wal-max-size", file * random.within(4..40)),
        ("--wal-checkpoint-size", 65_536 << random.within(0..5)),
        ("--wal-checkpoint-interval", random.within(100..2_000)),
        ("--resident-bytes", random.within(0..4) * 200_000),
    ];
    let words = options.map(|(name, value)| [name.to_owned(), value.to_string()]);
    words.into_iter().flatten().collect()
}

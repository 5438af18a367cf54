//! What happens to a file: a bit flips, blocks are zeroed, it is cut, goes, or is replaced.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

const BLOCK: u64 = 4096;

/// Numbers that look random and are the same for the same seed.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// A number below `limit`, which is above zero (SplitMix64).
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    pub(super) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }
}

/// The files below a directory, as seen from it, sorted.
pub(super) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    walk(dir, Path::new(""), &mut found);
    found.sort();
    found
}

fn walk(dir: &Path, below: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir.join(below)).expect("a folder") {
        let entry = entry.expect("an entry");
        let name = below.join(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true => walk(dir, &name, found),
            false => found.push(name),
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hurt {
    /// One bit.
    Flip { at: u64, bit: u8 },
    /// So many blocks of 4096 bytes.
    Zero { at: u64, blocks: u64 },
    /// The file ends here.
    Cut { at: u64 },
    /// It is gone.
    Remove,
    /// It holds something else.
    Replace,
}

impl Hurt {
    /// One of them, mostly where the file has something.
    pub(super) fn draw(random: &mut Random, bytes: &[u8], used: &[Range<u64>]) -> Hurt {
        let length = bytes.len() as u64;
        if length == 0 {
            return random.pick(&[Hurt::Remove, Hurt::Replace]).clone();
        }
        let at = match used {
            [_, ..] if random.below(10) > 0 => {
                let range = random.pick(used);
                let end = range.end.min(length).max(range.start + 1);
                (range.start + random.below(end - range.start)).min(length - 1)
            }
            _ => random.below(length),
        };
        match random.below(100) {
            0..60 => Hurt::Flip {
                at,
                bit: random.below(8) as u8,
            },
            60..75 => Hurt::Zero {
                at: at - at % BLOCK,
                blocks: *random.pick(&[1, 1, 1, 2, 4, 12]),
            },
            75..90 => Hurt::Cut { at },
            90..95 => Hurt::Remove,
            _ => Hurt::Replace,
        }
    }

    /// Does it to a file; returns the places whose bytes are others now.
    pub(super) fn inflict(&self, path: &Path, bytes: &[u8]) -> Vec<Range<u64>> {
        let length = bytes.len() as u64;
        let mut hurt = bytes.to_vec();
        let changed = match *self {
            Hurt::Flip { at, bit } => {
                hurt[at as usize] ^= 1 << bit;
                one(at..at + 1)
            }
            Hurt::Zero { at, blocks } => {
                let end = (at + blocks * BLOCK).min(length);
                hurt[at as usize..end as usize].fill(0);
                let is_other = |at: &u64| bytes[*at as usize] != 0;
                (at..end).filter(is_other).map(|at| at..at + 1).collect()
            }
            Hurt::Cut { at } => {
                hurt.truncate(at as usize);
                one(at..length)
            }
            Hurt::Remove => {
                fs::remove_file(path).expect("removed");
                return one(0..length);
            }
            Hurt::Replace => {
                hurt = b"Nobody's file, for all we know.".repeat(300);
                one(0..length)
            }
        };
        fs::write(path, &hurt).expect("written");
        changed
    }
}

fn one(place: Range<u64>) -> Vec<Range<u64>> {
    std::iter::once(place).collect()
}

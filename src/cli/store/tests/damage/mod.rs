//! Bits flip, blocks are zeroed, files are cut, replaced and go, in every kind of file of a data
//! directory that a broker wrote. Each time it is started again: what it serves is what it was
//! given, without what the damage hit and nothing else; the damage is told, by the start or who
//! reads the page, and by `store check`.
//!
//! `SAMPLES=n` tries so many, `SEED=n` begins with another.

mod client;
mod hurt;
mod layout;
mod reference;
mod sample;
mod scene;
mod verdict;

use std::sync::atomic::{AtomicU64, Ordering};

use self::reference::Reference;
use self::sample::Bench;
use self::scene::Scene;

/// How many, where nothing else is asked for.
const SAMPLES: u64 = 1000;
/// How many at a time: most of a sample is waiting for threads.
const AT_ONCE: usize = 4;

fn asked(name: &str, otherwise: u64) -> u64 {
    let asked = std::env::var(name).ok();
    asked.map_or(otherwise, |text| text.parse().expect("a number"))
}

#[test]
fn damage_is_told_and_costs_what_it_hits_and_nothing_else() {
    let (samples, seed) = (asked("SAMPLES", SAMPLES), asked("SEED", 1));
    let scene = Scene::new();
    let references = [&scene.killed, &scene.closed].map(|dir| Reference::of(dir));
    let next = AtomicU64::new(seed);
    let bench = Bench::new(&references, &scene.published);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= asked("SEED", 1) + samples || bench.is_done() {
                        return;
                    }
                    bench.run(seed);
                }
            });
        }
    });
    bench.tell();
}

//! Which seeds are played, by how many threads, and what is said of those that fail.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use crate::coverage::Coverage;
use crate::history::{Outcome, play};

/// Histories when nobody says how many.
const SEEDS: u64 = 16;
/// So many lines of a story are told when nobody says how many.
const STORY_LINES: u64 = 80;

/// What was asked for.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    One(u64),
    Seeds(u64),
    Crashes(u64),
}

/// A number from the environment.
pub(crate) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn wanted() -> Wanted {
    match (number("SEED"), number("SEEDS"), number("CRASHES")) {
        (Some(seed), _, _) => Wanted::One(seed),
        (None, Some(seeds), _) => Wanted::Seeds(seeds),
        (None, None, Some(crashes)) => Wanted::Crashes(crashes),
        (None, None, None) => Wanted::Seeds(SEEDS),
    }
}

/// What came of all histories so far.
#[derive(Default)]
struct Total {
    next: AtomicU64,
    points: AtomicU64,
    has_failed: AtomicBool,
    coverage: Mutex<Coverage>,
    failures: Mutex<Vec<(u64, String)>>,
}

impl Total {
    /// The next seed to be played, if there is one.
    fn next(&self, wanted: Wanted) -> Option<u64> {
        if self.has_failed.load(Ordering::Relaxed) {
            return None;
        }
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        let points = self.points.load(Ordering::Relaxed);
        let is_wanted = match wanted {
            Wanted::One(_) => next == 0,
            Wanted::Seeds(seeds) => next < seeds,
            Wanted::Crashes(crashes) => points < crashes,
        };
        is_wanted.then_some(match wanted {
            Wanted::One(seed) => seed,
            Wanted::Seeds(_) | Wanted::Crashes(_) => next,
        })
    }

    fn add(&self, seed: u64, outcome: Outcome) {
        self.points.fetch_add(outcome.points, Ordering::Relaxed);
        self.coverage.lock().add(&outcome.coverage);
        if let Some(violation) = outcome.violation {
            let goes_on = std::env::var_os("ALL").is_some();
            self.has_failed.store(!goes_on, Ordering::Relaxed);
            self.failures.lock().push((seed, violation));
        }
    }
}

/// Plays what is asked for.
pub(crate) fn play_all() {
    broker_core::keep_no_spares();
    let wanted = wanted();
    let total = Total::default();
    let began = Instant::now();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(seed) = total.next(wanted) {
                    total.add(seed, play(seed, false));
                }
            });
        }
    });
    let (points, seconds) = (total.points.into_inner(), began.elapsed().as_secs_f64());
    let coverage = total.coverage.into_inner();
    eprintln!("{}", coverage.table());
    eprintln!(
        "{points} crashes in {} histories, {} pairs of a record and the next operation, {seconds:.1} s",
        total
            .next
            .into_inner()
            .saturating_sub(threads as u64)
            .max(1),
        coverage.pairs()
    );
    let mut failures = total.failures.into_inner();
    failures.sort();
    for (seed, violation) in &failures {
        let line = violation.lines().next().unwrap_or_default();
        eprintln!("seed {seed}: {line}");
    }
    if let Some((seed, violation)) = failures.first() {
        panic!("{}", report(*seed, violation));
    }
    if let Some(crashes) = number("CRASHES") {
        assert!(
            points >= crashes,
            "{points} crashes are fewer than {crashes}"
        );
        let gaps = coverage.gaps();
        assert!(gaps.is_empty(), "no crash came between {gaps:?}");
    }
}

/// What went wrong, how it can be seen again, and what happened before.
fn report(seed: u64, violation: &str) -> String {
    let again = play(seed, true);
    let story = again.story;
    let lines = number("STORY").unwrap_or(STORY_LINES);
    let from = story.len().saturating_sub(lines as usize);
    let lines = story[from..].join("\n");
    let same = again.violation.as_deref() == Some(violation);
    let same = if same {
        ""
    } else {
        "(it is not the same when played again)\n"
    };
    format!(
        "seed {seed}: {violation}\n{same}\nrepeat: SEED={seed} cargo test --profile checked --test sim\n\n{lines}\n"
    )
}

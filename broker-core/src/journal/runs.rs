//! Sets of ordinals as runs: what is settled, and what of a page is alive.
//!
//! Ordinals mostly come in order, so a set is a few runs whatever its size. Runs are sorted and
//! never touch (a run that would be longer than its count can say goes on in the next one).

use std::fmt;

use smallvec::SmallVec;

/// Consecutive ordinals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// The lowest.
    pub first: u64,
    /// How many; at least one.
    pub count: u32,
}

impl Run {
    /// The highest ordinal.
    pub fn last(&self) -> u64 {
        self.first.saturating_add(u64::from(self.count) - 1)
    }

    /// The highest ordinal, if the run is not empty and does not go beyond the highest number.
    pub fn checked_last(&self) -> Option<u64> {
        self.first
            .checked_add(u64::from(self.count).checked_sub(1)?)
    }
}

/// A set of ordinals.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runs {
    runs: SmallVec<[Run; 2]>,
}

impl Runs {
    /// The empty set.
    pub fn new() -> Runs {
        Runs::default()
    }

    /// All from `first` to `last`.
    pub fn between(first: u64, last: u64) -> Runs {
        let mut runs = Runs::new();
        runs.insert_between(first, last);
        runs
    }

    /// The runs, ascending.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// All ordinals, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.runs.iter().flat_map(|run| run.first..=run.last())
    }

    /// Whether no ordinal is in it.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// How many ordinals are in it.
    pub fn count(&self) -> u64 {
        self.runs.iter().map(|run| u64::from(run.count)).sum()
    }

    /// The lowest ordinal.
    pub fn first(&self) -> Option<u64> {
        self.runs.first().map(|run| run.first)
    }

    /// The highest ordinal.
    pub fn last(&self) -> Option<u64> {
        self.runs.last().map(Run::last)
    }

    /// Bytes of memory beside the set itself.
    pub fn heap_bytes(&self) -> usize {
        match self.runs.spilled() {
            true => self.runs.capacity() * size_of::<Run>(),
            false => 0,
        }
    }

    /// Whether the ordinal is in it.
    pub fn contains(&self, ordinal: u64) -> bool {
        let index = self.runs.partition_point(|run| run.last() < ordinal);
        self.runs.get(index).is_some_and(|run| run.first <= ordinal)
    }

    /// Adds an ordinal. Cheap at the end, a search and a move elsewhere.
    #[inline]
    pub fn insert(&mut self, ordinal: u64) {
        if let Some(last) = self.runs.last_mut() {
            if last.last().checked_add(1) == Some(ordinal) && last.count < u32::MAX {
                last.count += 1;
                return;
            }
            if ordinal <= last.last() {
                return self.insert_between(ordinal, ordinal);
            }
        }
        self.runs.push(Run {
            first: ordinal,
            count: 1,
        });
    }

    /// Adds all of a run.
    pub fn insert_run(&mut self, run: Run) {
        if run.count > 0 {
            self.insert_between(run.first, run.last());
        }
    }

    /// Adds all from `first` to `last`.
    pub fn insert_between(&mut self, first: u64, last: u64) {
        if first > last {
            return;
        }
        let start = self
            .runs
            .partition_point(|run| run.last().saturating_add(1) < first);
        let (mut first, mut last, mut end) = (first, last, start);
        while let Some(run) = self.runs.get(end) {
            if run.first > last.saturating_add(1) {
                break;
            }
            first = first.min(run.first);
            last = last.max(run.last());
            end += 1;
        }
        self.replace(start, end, [(first, last)]);
    }

    /// Takes an ordinal out; false if it was not in.
    pub fn remove(&mut self, ordinal: u64) -> bool {
        let is_in = self.contains(ordinal);
        if is_in {
            self.remove_between(ordinal, ordinal);
        }
        is_in
    }

    /// Takes all of `others` out.
    pub fn remove_all(&mut self, others: &Runs) {
        for run in &others.runs {
            self.remove_between(run.first, run.last());
        }
    }

    /// Takes all from `first` to `last` out.
    pub fn remove_between(&mut self, first: u64, last: u64) {
        let start = self.runs.partition_point(|run| run.last() < first);
        let end = self.runs.partition_point(|run| run.first <= last);
        if start >= end || first > last {
            return;
        }
        let (low, high) = (self.runs[start].first, self.runs[end - 1].last());
        let below = first.checked_sub(1).filter(|&below| low <= below);
        let above = last.checked_add(1).filter(|&above| above <= high);
        let kept = [
            below.map(|below| (low, below)),
            above.map(|above| (above, high)),
        ];
        self.replace(start, end, kept.into_iter().flatten());
    }

    /// Puts these intervals in the place of the runs from `start` to `end`.
    fn replace(&mut self, start: usize, end: usize, by: impl IntoIterator<Item = (u64, u64)>) {
        let mut new: SmallVec<[Run; 2]> = SmallVec::new();
        for (first, last) in by {
            push_between(&mut new, first, last);
        }
        if new.len() == end - start {
            self.runs[start..end].copy_from_slice(&new);
            return;
        }
        self.runs.drain(start..end);
        self.runs.insert_many(start, new);
    }
}

/// Appends the runs of an interval, which are more than one only if it is immense.
fn push_between(runs: &mut SmallVec<[Run; 2]>, mut first: u64, last: u64) {
    loop {
        let beyond = last - first;
        let count = u32::try_from(beyond).map_or(u32::MAX, |beyond| beyond.saturating_add(1));
        runs.push(Run { first, count });
        if beyond < u64::from(count) {
            return;
        }
        first += u64::from(count);
    }
}

/// For people: `1-3, 7`.
impl fmt::Display for Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, run) in self.runs.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            match run.count {
                1 => write!(f, "{}", run.first)?,
                _ => write!(f, "{}-{}", run.first, run.last())?,
            }
        }
        Ok(())
    }
}

impl Extend<u64> for Runs {
    fn extend<T: IntoIterator<Item = u64>>(&mut self, ordinals: T) {
        for ordinal in ordinals {
            self.insert(ordinal);
        }
    }
}

impl FromIterator<u64> for Runs {
    fn from_iter<T: IntoIterator<Item = u64>>(ordinals: T) -> Runs {
        let mut runs = Runs::new();
        runs.extend(ordinals);
        runs
    }
}

//! What people see of a run while it lasts: a line per interval, and on a terminal how much is done.
//! Owns its words and where they go, standard error; that nobody reads them is no reason to end a
//! run.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use super::super::report::rate;
use super::super::tally::Totals;

/// The lines of one run.
pub(super) struct Progress {
    began: Instant,
    interval: Duration,
    told_at: Instant,
    told: Totals,
    on_terminal: bool,
}

/// How a run stands.
pub(super) struct Standing {
    pub(super) totals: Totals,
    /// Messages that were ready when last looked at.
    pub(super) ready: u64,
    /// What part of the run is over, from 0 to 1.
    pub(super) done: f64,
}

impl Progress {
    /// None for a run that nobody watches.
    pub(super) fn new(totals: &Totals, interval: Duration, is_shown: bool) -> Option<Self> {
        let now = Instant::now();
        is_shown.then(|| Progress {
            began: now,
            interval,
            told_at: now,
            told: *totals,
            on_terminal: io::stderr().is_terminal(),
        })
    }

    /// Tells what is due.
    pub(super) fn tell(&mut self, standing: &Standing) {
        let mut text = String::new();
        if self.on_terminal {
            text.push_str(CLEAR_LINE);
        }
        let time = self.told_at.elapsed();
        if time >= self.interval {
            let new = standing.totals.since(&self.told);
            text.push_str(&line(self.began.elapsed(), (&new, time), standing.ready));
            self.told_at = Instant::now();
            self.told = standing.totals;
        }
        if self.on_terminal {
            text.push_str(&bar(standing.done));
        }
        let _ = io::stderr().write_all(text.as_bytes());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.on_terminal {
            let _ = io::stderr().write_all(CLEAR_LINE.as_bytes());
        }
    }
}

fn line(elapsed: Duration, (new, time): (&Totals, Duration), ready: u64) -> String {
    format!(
        "{:>8.1} s {:>11.0} published/s {:>11.0} delivered/s {:>10} ready\n",
        elapsed.as_secs_f64(),
        rate(new.published, time),
        rate(new.delivered, time),
        ready
    )
}

fn bar(done: f64) -> String {
    let done = done.clamp(0.0, 1.0);
    let filled = (done * BAR_WIDTH as f64) as usize;
    let (full, empty) = ("#".repeat(filled), ".".repeat(BAR_WIDTH - filled));
    format!("[{full}{empty}] {:.0} %", done * 100.0)
}

const BAR_WIDTH: usize = 40;
const CLEAR_LINE: &str = "\r\x1b[K";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_rates_of_its_interval_and_the_depth() {
        let new = Totals {
            published: 1000,
            delivered: 500,
            ..Totals::default()
        };
        let line = line(Duration::from_secs(3), (&new, Duration::from_secs(2)), 42);
        assert_eq!(
            line.split_whitespace().collect::<Vec<_>>(),
            [
                "3.0",
                "s",
                "500",
                "published/s",
                "250",
                "delivered/s",
                "42",
                "ready"
            ]
        );
        assert!(line.ends_with('\n'));
    }

    #[test]
    fn the_bar_fills_from_nothing_to_all() {
        assert_eq!(bar(0.0), format!("[{}] 0 %", ".".repeat(40)));
        let half = format!("[{}{}] 50 %", "#".repeat(20), ".".repeat(20));
        assert_eq!(bar(0.5), half);
        assert_eq!(bar(7.0), format!("[{}] 100 %", "#".repeat(40)));
    }

    #[test]
    fn a_run_that_prints_json_is_silent() {
        let interval = Duration::from_secs(1);
        assert!(Progress::new(&Totals::default(), interval, false).is_none());
    }
}

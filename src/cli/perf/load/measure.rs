//! The clock of a load run: warm-up, window, progress, and the knowledge that all is done.
//! Owns every waiting of the main thread and its limits; never starts or joins a worker.

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::super::error::PerfError;
use super::super::publisher;
use super::super::tally::Totals;
use super::progress::{Progress, Standing};
use super::{Load, Sample, Window};

impl Load<'_> {
    /// Warm-up, then a window of fixed length.
    pub(super) fn measure_timed(&self) -> Result<Window, PerfError> {
        self.stop.wait(self.args.warmup());
        self.stamps.open_window();
        let first = self.sample()?;
        let end = Instant::now() + self.args.time_limit();
        let mut watch = Watch::new(self, &first.totals);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || self.stop.wait(left.min(LOOK_INTERVAL / 2)) {
                break;
            }
            watch.look(self)?;
        }
        let last = self.sample()?;
        self.stamps.close_window();
        Ok(Window {
            first,
            last,
            rss_max_kib: watch.rss_max_kib,
        })
    }

    /// Lets publishers finish and close, so that nothing of this run reaches the broker after it;
    /// when latencies or bodies count, what is on its way arrives too, for as long as any of it
    /// does.
    pub(super) fn settle_down(&self) {
        let counts = self.args.latency || self.args.check;
        let arrived = || !counts || self.all_delivered();
        let (mut end, mut seen) = (Instant::now() + publisher::CLOSE_TIMEOUT, self.totals());
        while Instant::now() < end && !(self.publishing.load(Relaxed) == 0 && arrived()) {
            if self.stop.wait(POLL_INTERVAL) {
                break;
            }
            let now = self.totals();
            if self.args.check && now != seen {
                seen = now;
                end = Instant::now() + publisher::CLOSE_TIMEOUT;
            }
        }
    }

    /// From `first` until everything is published, settled and consumed, or enough is drained.
    pub(super) fn measure_counted(&self, first: Sample) -> Result<Window, PerfError> {
        let end = Instant::now() + self.args.time_limit();
        let mut watch = Watch::new(self, &first.totals);
        let mut quiet = Quiet {
            totals: first.totals,
            since: Instant::now(),
            round: 0,
        };
        while !self.is_done(&mut quiet) {
            if self.stop.wait(POLL_INTERVAL) {
                break;
            }
            watch.look(self)?;
            if quiet.since.elapsed() > STALL_TIMEOUT {
                self.stop.fail(self.stalled(STALL_TIMEOUT));
            } else if Instant::now() > end {
                self.stop.fail(self.stalled(self.args.time_limit()));
            }
        }
        if self.args.stopped {
            // What the broker still hands to sockets is handed over by then.
            self.stop.wait(HOLD_STOPPED);
        }
        let last = self.sample()?;
        self.stamps.close_window();
        Ok(Window {
            first,
            last,
            rss_max_kib: watch.rss_max_kib,
        })
    }

    fn stalled(&self, waited: Duration) -> PerfError {
        let totals = self.totals();
        let waiting_for = match (self.args.drain, self.args.messages) {
            (Some(wanted), _) => format!("of {wanted} messages {} delivered", totals.delivered),
            (None, wanted) => format!(
                "of {} messages {} published, {} settled, {} delivered",
                wanted.unwrap_or(0),
                totals.published,
                totals.settled,
                totals.delivered
            ),
        };
        PerfError::Stalled {
            waiting_for,
            seconds: waited.as_secs(),
        }
    }

    fn is_done(&self, quiet: &mut Quiet) -> bool {
        let totals = self.totals();
        let round = self.depth.last().0;
        if totals != quiet.totals {
            *quiet = Quiet {
                totals,
                since: Instant::now(),
                round,
            };
        }
        if let Some(wanted) = self.args.drain {
            return totals.delivered >= wanted;
        }
        let published = Some(totals.published) == self.args.messages;
        let settled = self.args.confirm == 0 || totals.settled == totals.published;
        published && settled && self.is_drained(quiet)
    }

    /// Everything routed has arrived. An exchange or somebody else's queue makes the number
    /// unknowable; then it is enough that nothing is ready and nothing has moved for a while.
    fn is_drained(&self, quiet: &Quiet) -> bool {
        if self.has_no_readers() {
            // Without confirms only the answer to the close says that all has been taken.
            return self.args.confirm > 0 || self.publishing.load(Relaxed) == 0;
        }
        if self.is_countable() && self.all_delivered() {
            return true;
        }
        let (round, ready) = self.depth.last();
        !self.is_countable()
            && ready == 0
            && round >= quiet.round + 2
            && quiet.since.elapsed() > QUIET_TIME
    }

    /// What part of the run is over.
    fn done(&self, totals: &Totals, elapsed: Duration) -> f64 {
        let part = |count: u64, wanted: u64| count as f64 / wanted as f64;
        match (self.args.drain, self.args.messages) {
            (Some(wanted), _) => part(totals.delivered, wanted),
            (None, Some(wanted)) if self.has_no_readers() => part(totals.published, wanted),
            (None, Some(wanted)) => part(totals.delivered, wanted * self.copies().unwrap_or(1)),
            (None, None) => elapsed.as_secs_f64() / self.args.time_limit().as_secs_f64(),
        }
    }

    fn is_countable(&self) -> bool {
        self.copies().is_some()
    }

    fn all_delivered(&self) -> bool {
        let totals = self.totals();
        let kept = totals.published.saturating_sub(totals.nacked);
        totals.delivered >= kept * self.copies().unwrap_or(1)
    }
}

/// Since when nothing has moved.
struct Quiet {
    totals: Totals,
    since: Instant,
    /// Looks at the depth that had been made by then.
    round: u64,
}

/// What is looked at now and then during the measurement.
struct Watch {
    rss_max_kib: u64,
    began: Instant,
    looked_at: Instant,
    progress: Option<Progress>,
}

impl Watch {
    fn new(load: &Load<'_>, totals: &Totals) -> Self {
        let now = Instant::now();
        Watch {
            rss_max_kib: 0,
            began: now,
            looked_at: now,
            progress: Progress::new(totals, load.args.interval, !load.args.json),
        }
    }

    fn look(&mut self, load: &Load<'_>) -> Result<(), PerfError> {
        if self.looked_at.elapsed() < LOOK_INTERVAL {
            return Ok(());
        }
        self.looked_at = Instant::now();
        if let Some(process) = &load.process {
            self.rss_max_kib = self.rss_max_kib.max(process.rss_kib()?);
        }
        if let Some(progress) = &mut self.progress {
            let totals = load.totals();
            progress.tell(&Standing {
                totals,
                ready: load.depth.last().1,
                done: load.done(&totals, self.began.elapsed()),
            });
        }
        Ok(())
    }
}

const LOOK_INTERVAL: Duration = Duration::from_millis(100);
const POLL_INTERVAL: Duration = Duration::from_millis(5);
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
const HOLD_STOPPED: Duration = Duration::from_secs(2);
const QUIET_TIME: Duration = Duration::from_secs(1);

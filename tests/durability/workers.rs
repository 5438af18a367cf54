//! The clients of the load. Each has a connection of its own, works until the broker goes (or until
//! it has done enough, and then waits for the end), and reports what it did.

mod consumers;
mod definer;
mod publishers;
mod transactions;

use std::net::SocketAddr;
use std::sync::Barrier;
use std::thread::ScopedJoinHandle;
use std::time::Duration;

use super::body::Id;
use super::history::Deed;
use super::line::{Event, Gone, Line};
use super::random::Random;
use super::scene::Queue;

/// How long a worker waits at a time for something to come.
const LOOK: Duration = Duration::from_millis(20);
/// A broker that says nothing for so long, while something is awaited, is stuck.
pub(crate) const STUCK: Duration = Duration::from_secs(60);

/// What a worker works with.
pub(crate) struct Desk {
    pub(crate) line: Line,
    pub(crate) random: Random,
    /// Its number as a publisher.
    publisher: u32,
    published: u32,
    /// How many messages it publishes at most.
    limit: u32,
    pub(crate) report: Vec<Deed>,
}

impl Desk {
    fn draw_id(&mut self) -> Id {
        self.published += 1;
        Id {
            publisher: self.publisher,
            number: self.published,
        }
    }

    /// The size of the next body: most are small, a few are larger than a frame.
    fn draw_size(&mut self) -> usize {
        let range = match self.random.within(0..1000) {
            0..700 => 28..200,
            700..970 => 200..4_000,
            970..997 => 4_000..40_000,
            _ => 40_000..400_000,
        };
        usize::try_from(self.random.within(range)).unwrap_or(0)
    }

    fn is_done(&self) -> bool {
        self.published >= self.limit
    }

    fn pause(&mut self) {
        std::thread::park_timeout(self.random.micros(0..3_000));
    }

    /// Reads until the broker goes, for a worker that has done enough.
    fn wait_for_the_end(&mut self) -> Result<(), Gone> {
        loop {
            self.idle()?;
        }
    }

    fn idle(&mut self) -> Result<(), Gone> {
        match self.line.next(LOOK)? {
            Event::Quiet => Ok(()),
            other => {
                self.unexpected(&other);
                Ok(())
            }
        }
    }

    /// Waits for the answer of a name; what comes before it is not expected.
    fn answer(&mut self, name: &str) -> Result<(), Gone> {
        loop {
            match self.line.next(STUCK)? {
                Event::Method(_, method) if method.spec.name == name => return Ok(()),
                other => self.unexpected(&other),
            }
        }
    }

    /// Reports what should not have come; being blocked is no fault.
    fn unexpected(&mut self, event: &Event) {
        if let Event::Method(0, method) = event
            && method.spec.name.starts_with("connection.")
        {
            return;
        }
        let what = match event {
            Event::Quiet => format!("no answer for {STUCK:?}"),
            other => format!("nobody expected {other:?}"),
        };
        self.report.push(Deed::Wrong(what));
    }
}

/// What a worker does.
pub(crate) type Work = fn(&mut Desk) -> Result<(), Gone>;

/// The workers of the load: publishers, then consumers.
pub(crate) const PUBLISHERS: [Work; 7] = [
    publishers::plain,
    publishers::fan,
    publishers::prio,
    publishers::ttl,
    publishers::covered,
    transactions::publish,
    definer::define,
];

/// See [`PUBLISHERS`].
pub(crate) const CONSUMERS: [Work; 6] = [
    consumers::plain,
    consumers::kept,
    consumers::prio,
    consumers::dead,
    consumers::auto,
    transactions::move_on,
];

/// Where the load goes, and what is drawn for it.
pub(crate) struct Load<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) random: Random,
    /// The first number of the publishers, above all earlier ones.
    pub(crate) publisher: u32,
    /// Messages of each publisher at most.
    pub(crate) limit: u32,
    pub(crate) works: &'a [Work],
}

impl Load<'_> {
    /// Starts the workers, calls `end` when all of them work, and returns what they did until the
    /// broker was gone.
    pub(crate) fn run(mut self, end: impl FnOnce()) -> Vec<Vec<Deed>> {
        let ready = Barrier::new(self.works.len() + 1);
        std::thread::scope(|scope| {
            let mut workers: Vec<ScopedJoinHandle<'_, Vec<Deed>>> = Vec::new();
            for (index, work) in self.works.iter().enumerate() {
                let random = self.random.fork();
                let publisher = self.publisher + u32::try_from(index).unwrap_or(0);
                let (address, limit, ready) = (self.address, self.limit, &ready);
                workers.push(scope.spawn(move || {
                    let line = Line::open(address);
                    ready.wait();
                    let mut desk = Desk {
                        line: line.expect("a connection"),
                        random,
                        publisher,
                        published: 0,
                        limit,
                        report: Vec::new(),
                    };
                    let Err(Gone) = work(&mut desk).and_then(|()| desk.wait_for_the_end()) else {
                        unreachable!("a worker ends with its broker");
                    };
                    desk.report
                }));
            }
            ready.wait();
            end();
            let reports = workers.into_iter().map(|worker| worker.join());
            reports.map(|report| report.expect("a report")).collect()
        })
    }
}

/// A message of one worker.
fn sent(home: Queue, id: Id, bytes: usize, sure: bool) -> Deed {
    Deed::Sent {
        home,
        id,
        bytes,
        sure,
    }
}

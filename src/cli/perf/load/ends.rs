//! The ends of a run's workers: what each says when it is done, summed up.
//! Owns the joining of their threads; a worker that failed has told the run by itself.

use std::thread::ScopedJoinHandle;

use super::super::check::Checker;
use super::super::consumer::Consumed;
use super::super::latency::Latencies;
use super::super::publisher::Published;

/// A thread at work; what it returns is missing when it has failed.
pub(super) type Worker<'scope, T> = ScopedJoinHandle<'scope, Option<T>>;

/// What the workers say at the end, summed up.
#[derive(Default)]
pub(super) struct Ends<'a> {
    pub(super) publisher_cpu_nanos: u64,
    pub(super) consumer_cpu_nanos: u64,
    pub(super) unsent: u64,
    pub(super) latencies: Option<Latencies>,
    pub(super) confirm_latencies: Option<Latencies>,
    /// The accounts of checked bodies, by consumer.
    pub(super) checkers: Vec<Option<Checker<'a>>>,
}

impl<'a> Ends<'a> {
    /// Waits for all workers; those that failed have told the run.
    pub(super) fn collect(
        publishing: Vec<Worker<'_, Published>>,
        consuming: Vec<Worker<'_, Consumed<'a>>>,
    ) -> Self {
        let mut ends = Ends::default();
        for published in publishing
            .into_iter()
            .flat_map(|handle| handle.join().ok().flatten())
        {
            ends.publisher_cpu_nanos += published.cpu_nanos;
            ends.unsent += published.unsent;
            Latencies::merge(&mut ends.confirm_latencies, published.confirm_latencies);
        }
        for consumed in consuming
            .into_iter()
            .flat_map(|handle| handle.join().ok().flatten())
        {
            ends.consumer_cpu_nanos += consumed.cpu_nanos;
            Latencies::merge(&mut ends.latencies, consumed.latencies);
            ends.checkers.push(consumed.checker);
        }
        ends
    }
}

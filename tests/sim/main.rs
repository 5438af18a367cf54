//! The whole storage path over a disk that fails: log, segments, queues, keeper and recovery as
//! they are, the catalogue as a model, clients that do what clients do; all in one thread, in an
//! order that a seed decides, crashed at any operation on the disk, and checked against what those
//! clients know.
//!
//! ```text
//! SEEDS=1000 cargo test --profile checked --test sim      more histories
//! CRASHES=100000 …                                        as many as it takes
//! SEEDS=600 CRASHES=100000 …                              so many, which must be enough
//! SEED=17 STORY=300 …                                     one, and the end of its story if it fails
//! ALL=1 …                                                 does not end with the first failure
//! DEFECT=AckBeforeSync HISTORIES=500 … --features defects is it found, and by which seed?
//! ```

#![allow(clippy::print_stdout, reason = "what a run prints is its report")]

mod client;
mod coverage;
mod crash;
#[cfg(feature = "defects")]
mod defects;
mod history;
mod host;
mod message;
mod model;
mod observe;
mod process;
mod random;
mod seeds;
mod settings;
mod tasks;
mod world;

#[test]
fn no_crash_loses_or_invents_anything() {
    seeds::play_all();
}

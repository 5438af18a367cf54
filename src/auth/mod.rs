//! Passwords: how they are hashed, and how a login is checked.
//!
//! Hashes have RabbitMQ's formats, so that exported users keep their passwords: four bytes of
//! salt, then hash(salt ‖ password). A successful check is remembered for a minute under a keyed
//! hash, so that a client which logs in for every message does not cost a hash each; the unknown
//! user costs as much as a wrong password.

mod password;

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use broker_core::access::User;
use broker_core::broker::Authenticator;
use dashmap::DashMap;

pub use password::{hash, verify};

/// How long a verified password is believed without looking again.
const REMEMBERED: Duration = Duration::from_secs(60);
/// Verified passwords remembered at most.
const REMEMBERED_MAX: usize = 10_000;

/// Sixteen unpredictable bytes.
pub fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    if getrandom::fill(&mut bytes).is_err() {
        // Without the system's source of randomness names could be guessed; the hasher's keys
        // came from the same source when the process started.
        let state = RandomState::new();
        let now = Instant::now();
        bytes[..8].copy_from_slice(&state.hash_one(now).to_le_bytes());
        bytes[8..].copy_from_slice(&state.hash_one((now, "second half")).to_le_bytes());
    }
    bytes
}

/// Checks passwords against the hashes of the broker's own users.
#[derive(Debug, Default)]
pub struct Passwords {
    key: RandomState,
    verified: DashMap<u64, Instant>,
}

impl Authenticator for Passwords {
    fn verify(&self, user: Option<&User>, password: &str) -> bool {
        let Some(user) = user else {
            password::spend_time(password);
            return false;
        };
        let digest = self
            .key
            .hash_one((&*user.name, &user.password_hash, password));
        if self
            .verified
            .get(&digest)
            .is_some_and(|since| since.elapsed() < REMEMBERED)
        {
            return true;
        }
        let accepted = verify(password, &user.password_hash, user.algorithm);
        if accepted {
            if self.verified.len() >= REMEMBERED_MAX {
                self.verified.clear();
            }
            self.verified.insert(digest, Instant::now());
        }
        accepted
    }
}

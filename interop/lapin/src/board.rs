//! Runs the scenarios in order and prints one line for each. Owns the deadlines: 20 s for a
//! scenario, 60 s for the program. Never talks to a broker.

use std::future::Future;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::client::Client;
use crate::facts::Outcome;

const SCENARIO_TIME: Duration = Duration::from_secs(20);
const PROGRAM_TIME: Duration = Duration::from_secs(60);

/// What a scenario does, as a function that starts it.
pub type Steps = for<'a> fn(&'a Client) -> Pin<Box<dyn Future<Output = Outcome> + 'a>>;

/// A scenario's name in the list, and what it does.
pub type Scenario = (&'static str, Steps);

/// A name no other run uses.
pub fn name_for(purpose: &str) -> String {
    static NAMED: AtomicU32 = AtomicU32::new(0);
    let number = NAMED.fetch_add(1, Ordering::Relaxed);
    format!("interop.lapin.{}.{number}.{purpose}", std::process::id())
}

/// Runs the scenarios and gives the exit code.
pub async fn run(scenarios: impl Iterator<Item = &Scenario>) -> ExitCode {
    let started = Instant::now();
    let mut code = ExitCode::SUCCESS;
    for (name, steps) in scenarios {
        let left = PROGRAM_TIME.saturating_sub(started.elapsed());
        match run_one(*steps, left).await {
            Ok(()) => println!("ok {name}"),
            Err(reason) => {
                code = ExitCode::FAILURE;
                let words: Vec<String> = reason
                    .to_string()
                    .split_whitespace()
                    .map(str::to_owned)
                    .collect();
                println!("FAIL {name}: {}", words.join(" "));
            }
        }
    }
    code
}

async fn run_one(steps: Steps, left: Duration) -> Outcome {
    if left.is_zero() {
        return Err("not reached within the time of the program".into());
    }
    let client = Client::default();
    timeout(left.min(SCENARIO_TIME), steps(&client))
        .await
        .unwrap_or_else(|_| Err("no outcome before the deadline".into()))
}

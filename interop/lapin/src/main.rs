//! The interop scenarios with lapin: `AMQP_URI=… interop-lapin`.

mod board;
mod client;
mod connections;
mod consuming;
mod facts;
mod publishing;
mod topology;

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    let lists = [
        topology::SCENARIOS,
        publishing::SCENARIOS,
        consuming::SCENARIOS,
        connections::SCENARIOS,
    ];
    board::run(lists.into_iter().flatten()).await
}

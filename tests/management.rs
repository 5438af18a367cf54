//! The management API of a running broker, asked over HTTP.

mod support;

#[path = "management/access.rs"]
mod access;
#[path = "management/bindings.rs"]
mod bindings;
#[path = "management/connections.rs"]
mod connections;
#[path = "management/conventions.rs"]
mod conventions;
#[path = "management/definitions.rs"]
mod definitions;
#[path = "management/exchanges.rs"]
mod exchanges;
#[path = "management/health.rs"]
mod health;
#[path = "management/lists.rs"]
mod lists;
#[path = "management/queues.rs"]
mod queues;
#[path = "management/stage.rs"]
mod stage;
#[path = "management/statistics.rs"]
mod statistics;
#[path = "management/users.rs"]
mod users;
#[path = "management/vhosts.rs"]
mod vhosts;

//! What there is under `/api`, and who may ask for it: one table.

use std::pin::Pin;
use std::sync::Arc;

use axum::http::Method;
use broker_core::access::User;
use broker_core::broker::Broker;

use super::call::Call;
use super::path::Names;
use super::reply::{Refusal, Reply};
use super::{
    backup, bindings, channels, connections, consumers, definitions, exchanges, health, nodes,
    overview, permissions, queues, users, vhosts,
};
use Guard::{Administrator, Management, Monitoring, Vhost};

type Answered = Result<Reply, Refusal>;
/// An answer that takes its time.
pub(super) type Answering = Pin<Box<dyn Future<Output = Answered> + Send>>;

/// One method of one path.
pub(super) struct Route {
    pub(super) method: Method,
    /// Segments below `/api`; those with a colon stand for any.
    pub(super) path: &'static str,
    pub(super) guard: Guard,
    pub(super) act: Act,
}

/// The function of a resource.
#[derive(Clone, Copy)]
pub(super) enum Act {
    /// Answers at once; carried out where it delays nobody.
    Now(fn(&Call) -> Answered),
    /// Waits for others.
    Later(fn(Arc<Call>) -> Answering),
}

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guard {
    /// Everybody with a management tag; what is shown depends on who it is.
    Management,
    /// The same, if the vhost of the path exists and is open to the user; to monitoring and
    /// administrator all are. Changes are checked against the user's permission besides.
    Vhost,
    /// monitoring or administrator.
    Monitoring,
    /// administrator.
    Administrator,
}

/// The tags that open the API at all.
const MANAGEMENT_TAGS: [&str; 4] = ["administrator", "monitoring", "policymaker", "management"];

/// Whether the user sees everything there is.
pub(super) fn is_monitor(user: &User) -> bool {
    user.has_tag("monitoring") || user.has_tag("administrator")
}

impl Guard {
    /// 401 for who may not.
    pub(super) fn check(self, broker: &Broker, user: &User, names: &Names) -> Result<(), Refusal> {
        if !MANAGEMENT_TAGS.iter().any(|tag| user.has_tag(tag)) {
            return Err(Refusal::not_authorised("Not management user"));
        }
        match self {
            Guard::Management => Ok(()),
            Guard::Monitoring if is_monitor(user) => Ok(()),
            Guard::Monitoring => Err(Refusal::not_authorised("Not monitor user")),
            Guard::Administrator if user.has_tag("administrator") => Ok(()),
            Guard::Administrator => Err(Refusal::not_authorised("Not administrator user")),
            Guard::Vhost => check_vhost(broker, user, names.get("vhost").unwrap_or_default()),
        }
    }
}

fn check_vhost(broker: &Broker, user: &User, vhost: &str) -> Result<(), Refusal> {
    // What does not exist is not found, whoever asks; as in RabbitMQ.
    if broker.vhost(vhost).is_none() {
        return Err(Refusal::not_found());
    }
    if is_monitor(user) || broker.access().permission(vhost, &user.name).is_some() {
        return Ok(());
    }
    Err(Refusal::not_authorised(
        "User not authorised to access virtual host",
    ))
}

const fn now(
    method: Method,
    path: &'static str,
    guard: Guard,
    act: fn(&Call) -> Answered,
) -> Route {
    Route {
        method,
        path,
        guard,
        act: Act::Now(act),
    }
}

const fn later(
    method: Method,
    path: &'static str,
    guard: Guard,
    act: fn(Arc<Call>) -> Answering,
) -> Route {
    Route {
        method,
        path,
        guard,
        act: Act::Later(act),
    }
}

const GET: Method = Method::GET;
const PUT: Method = Method::PUT;
const POST: Method = Method::POST;
const DELETE: Method = Method::DELETE;

/// The methods of one path stand together; of two patterns that fit, the first counts.
#[rustfmt::skip]
pub(super) static ROUTES: &[Route] = &[
    now(GET, "overview", Management, overview::overview),
    now(GET, "whoami", Management, overview::whoami),
    now(GET, "cluster-name", Management, overview::cluster_name),
    now(GET, "extensions", Management, overview::nothing),
    now(GET, "feature-flags", Management, overview::nothing),
    now(GET, "nodes", Monitoring, nodes::all),
    now(GET, "nodes/:node", Monitoring, nodes::get),

    now(GET, "definitions", Administrator, definitions::get),
    now(POST, "definitions", Administrator, definitions::post),
    now(GET, "all-configuration", Administrator, definitions::get),
    now(POST, "all-configuration", Administrator, definitions::post),
    now(GET, "definitions/:vhost", Administrator, definitions::get_vhost),
    now(POST, "definitions/:vhost", Administrator, definitions::post_vhost),

    now(GET, "vhosts", Management, vhosts::all),
    now(GET, "vhosts/:name", Administrator, vhosts::get),
    now(PUT, "vhosts/:name", Administrator, vhosts::put),
    now(DELETE, "vhosts/:name", Administrator, vhosts::delete),
    now(GET, "vhosts/:name/permissions", Administrator, vhosts::permissions_of),
    now(GET, "vhosts/:vhost/connections", Vhost, connections::of_vhost),
    now(GET, "vhosts/:vhost/channels", Vhost, channels::of_vhost),

    now(GET, "users", Administrator, users::all),
    now(GET, "users/without-permissions", Administrator, users::without_permissions),
    now(POST, "users/bulk-delete", Administrator, users::bulk_delete),
    now(GET, "users/:user", Administrator, users::get),
    now(PUT, "users/:user", Administrator, users::put),
    now(DELETE, "users/:user", Administrator, users::delete),
    now(GET, "users/:user/permissions", Administrator, users::permissions_of),

    now(GET, "permissions", Administrator, permissions::all),
    now(GET, "permissions/:vhost/:user", Administrator, permissions::get),
    now(PUT, "permissions/:vhost/:user", Administrator, permissions::put),
    now(DELETE, "permissions/:vhost/:user", Administrator, permissions::delete),

    now(GET, "exchanges", Management, exchanges::all),
    now(GET, "exchanges/:vhost", Vhost, exchanges::of_vhost),
    now(GET, "exchanges/:vhost/:exchange", Vhost, exchanges::get),
    now(PUT, "exchanges/:vhost/:exchange", Vhost, exchanges::put),
    now(DELETE, "exchanges/:vhost/:exchange", Vhost, exchanges::delete),
    now(GET, "exchanges/:vhost/:exchange/bindings/source", Vhost, bindings::from_exchange),
    now(GET, "exchanges/:vhost/:exchange/bindings/destination", Vhost, bindings::to_exchange),

    now(GET, "queues", Management, queues::all),
    now(GET, "queues/detailed", Management, queues::all),
    now(GET, "queues/:vhost", Vhost, queues::of_vhost),
    now(GET, "queues/:vhost/:queue", Vhost, queues::get),
    now(PUT, "queues/:vhost/:queue", Vhost, queues::put),
    later(DELETE, "queues/:vhost/:queue", Vhost, queues::delete),
    later(DELETE, "queues/:vhost/:queue/contents", Vhost, queues::purge),
    now(GET, "queues/:vhost/:queue/bindings", Vhost, bindings::of_queue),

    now(GET, "bindings", Management, bindings::all),
    now(GET, "bindings/:vhost", Vhost, bindings::of_vhost),
    now(GET, "bindings/:vhost/e/:source/q/:queue", Vhost, bindings::between),
    now(POST, "bindings/:vhost/e/:source/q/:queue", Vhost, bindings::post),
    now(GET, "bindings/:vhost/e/:source/q/:queue/:properties", Vhost, bindings::get),
    now(DELETE, "bindings/:vhost/e/:source/q/:queue/:properties", Vhost, bindings::delete),
    now(GET, "bindings/:vhost/e/:source/e/:destination", Vhost, bindings::between),
    now(POST, "bindings/:vhost/e/:source/e/:destination", Vhost, bindings::post),
    now(GET, "bindings/:vhost/e/:source/e/:destination/:properties", Vhost, bindings::get),
    now(DELETE, "bindings/:vhost/e/:source/e/:destination/:properties", Vhost, bindings::delete),

    now(GET, "connections", Management, connections::all),
    now(GET, "connections/username/:user", Management, connections::of_user),
    now(DELETE, "connections/username/:user", Management, connections::close_of_user),
    now(GET, "connections/:connection", Management, connections::get),
    now(DELETE, "connections/:connection", Management, connections::close),
    now(GET, "connections/:connection/channels", Management, channels::of_connection),
    now(GET, "channels", Management, channels::all),
    now(GET, "channels/:channel", Management, channels::get),
    now(GET, "consumers", Management, consumers::all),
    now(GET, "consumers/:vhost", Vhost, consumers::of_vhost),

    now(GET, "health/checks/alarms", Management, health::alarms),
    now(GET, "health/checks/local-alarms", Management, health::local_alarms),
    now(GET, "health/checks/port-listener/:port", Management, health::port_listener),
    now(GET, "health/checks/protocol-listener/:protocol", Management, health::protocol_listener),
    later(GET, "health/checks/virtual-hosts", Management, health::virtual_hosts),
    now(GET, "health/checks/node-is-quorum-critical", Management, health::single_node),
    now(GET, "health/checks/node-is-mirror-sync-critical", Management, health::single_node),
    now(GET, "health/checks/certificate-expiration/:within/:unit", Management, health::certificate_expiration),
    later(GET, "aliveness-test/:vhost", Vhost, health::aliveness_test),
    now(GET, "healthchecks/node", Management, health::node),
    now(GET, "healthchecks/node/:node", Management, health::named_node),

    // What RabbitMQ does not have.
    now(POST, "x/backup", Administrator, backup::post),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The list that the tests of a running broker try with every kind of user.
    #[test]
    fn the_table_is_the_list_that_is_tested() {
        let listed = include_str!("../../tests/management/routes.txt").lines();
        let listed: Vec<String> = listed
            .filter(|line| !line.starts_with('#'))
            .map(str::to_owned)
            .collect();
        let table: Vec<String> = ROUTES
            .iter()
            .map(|route| {
                let guard = format!("{:?}", route.guard).to_lowercase();
                format!("{} {} {guard}", route.method, route.path)
            })
            .collect();
        assert_eq!(table, listed);
    }

    #[test]
    fn a_guard_of_vhosts_has_a_vhost_to_guard() {
        for route in ROUTES.iter().filter(|route| route.guard == Vhost) {
            assert!(route.path.contains(":vhost"), "{}", route.path);
        }
    }
}

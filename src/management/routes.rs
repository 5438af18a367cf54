//! What there is under `/api`, and who may ask for it: one table.

use std::pin::Pin;
use std::sync::Arc;

use axum::http::Method;
use broker_core::access::User;
use broker_core::broker::Broker;

use super::call::Call;
use super::path::Names;
use super::reply::{Refusal, Reply};
use super::{bindings, connections, exchanges, overview, permissions, queues, users, vhosts};

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
    /// The same, if the vhost of the path is open to the user. monitoring and administrator see
    /// all vhosts.
    VhostVisible,
    /// The same, but nobody gets by without a permission in the vhost.
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
        let vhost = names.get("vhost").unwrap_or_default();
        match self {
            Guard::Management => Ok(()),
            Guard::Monitoring if is_monitor(user) => Ok(()),
            Guard::Monitoring => Err(Refusal::not_authorised("Not monitor user")),
            Guard::Administrator if user.has_tag("administrator") => Ok(()),
            Guard::Administrator => Err(Refusal::not_authorised("Not administrator user")),
            Guard::VhostVisible if is_monitor(user) => Ok(()),
            Guard::VhostVisible | Guard::Vhost => check_vhost(broker, user, vhost),
        }
    }
}

fn check_vhost(broker: &Broker, user: &User, vhost: &str) -> Result<(), Refusal> {
    if broker.access().permission(vhost, &user.name).is_some() {
        return Ok(());
    }
    // What does not exist is not found, whoever asks; as in RabbitMQ.
    if broker.vhost(vhost).is_none() {
        return Err(Refusal::not_found());
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
    now(GET, "overview", Guard::Management, overview::overview),
    now(GET, "whoami", Guard::Management, overview::whoami),

    now(GET, "vhosts/:name", Guard::Administrator, vhosts::get),
    now(PUT, "vhosts/:name", Guard::Administrator, vhosts::put),
    now(DELETE, "vhosts/:name", Guard::Administrator, vhosts::delete),
    now(GET, "vhosts/:vhost/connections", Guard::VhostVisible, connections::of_vhost),

    now(GET, "users/:user", Guard::Administrator, users::get),
    now(PUT, "users/:user", Guard::Administrator, users::put),
    now(DELETE, "users/:user", Guard::Administrator, users::delete),

    now(GET, "permissions/:vhost/:user", Guard::Administrator, permissions::get),
    now(PUT, "permissions/:vhost/:user", Guard::Administrator, permissions::put),
    now(DELETE, "permissions/:vhost/:user", Guard::Administrator, permissions::delete),

    now(GET, "exchanges/:vhost/:exchange", Guard::VhostVisible, exchanges::get),
    now(PUT, "exchanges/:vhost/:exchange", Guard::Vhost, exchanges::put),
    now(DELETE, "exchanges/:vhost/:exchange", Guard::Vhost, exchanges::delete),

    now(GET, "queues/:vhost/:queue", Guard::VhostVisible, queues::get),
    now(PUT, "queues/:vhost/:queue", Guard::Vhost, queues::put),
    later(DELETE, "queues/:vhost/:queue", Guard::Vhost, queues::delete),

    now(POST, "bindings/:vhost/e/:source/q/:queue", Guard::Vhost, bindings::post_queue),

    now(GET, "connections/username/:user", Guard::Management, connections::of_user),
    now(DELETE, "connections/username/:user", Guard::Management, connections::close_of_user),
    now(GET, "connections/:connection", Guard::Management, connections::get),
    now(DELETE, "connections/:connection", Guard::Management, connections::close),
];

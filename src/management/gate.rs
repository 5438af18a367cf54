//! The way of a request: path, method, login, guard, body, the resource's function, the log.
//!
//! Everything is denied that the table of routes does not allow. A request that is not let in is
//! answered before its body is read.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{ACCEPT, ALLOW, AUTHORIZATION, CONTENT_LENGTH};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use broker_core::access::User;
use bytes::Bytes;
use tokio::time::timeout;

use super::Api;
use super::call::Call;
use super::door::Caller;
use super::path::{self, Names, Query};
use super::reply::{Refusal, Reply};
use super::routes::{Act, ROUTES, Route};
use super::waiting;

/// How long a body may take to arrive.
const BODY_PATIENCE: Duration = Duration::from_secs(30);
/// How long a request may wait for its turn.
const TURN_PATIENCE: Duration = Duration::from_secs(30);

/// Answers a request.
pub(super) async fn serve(
    State(api): State<Arc<Api>>,
    ConnectInfo(Caller(peer)): ConnectInfo<Caller>,
    request: Request,
) -> Response {
    match answer(api, peer, request).await {
        Ok(response) => response,
        Err(refusal) => refusal.into_response(),
    }
}

async fn answer(api: Arc<Api>, peer: SocketAddr, request: Request) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let (found, names) = find(parts.uri.path()).ok_or_else(Refusal::not_found)?;
    if parts.method == Method::OPTIONS {
        let reply = Reply::done().with(ALLOW, allow(found));
        return Ok(Reply {
            status: StatusCode::OK,
            ..reply
        }
        .into_response());
    }
    let route = find_method(found, &parts.method)?;
    let is_loopback = peer.ip().to_canonical().is_loopback();
    let user = log_in(&api, &parts.headers, is_loopback)?;
    route.guard.check(&api.broker, &user, &names)?;
    if route.method == Method::GET && !takes_json(&parts.headers) {
        return Err(Refusal::not_acceptable());
    }
    let turn = timeout(TURN_PATIENCE, api.turns.acquire()).await;
    let Ok(Ok(_turn)) = turn else {
        let reason = "too many requests at the same time";
        return Err(Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "timeout",
            reason,
        ));
    };
    let body = read_body(body, &parts.headers, api.facts.max_body_bytes).await?;
    let call = Arc::new(Call {
        api: Arc::clone(&api),
        user,
        names,
        query: Query::parse(parts.uri.query().unwrap_or_default()),
        headers: parts.headers,
        body,
    });
    let reply = run(route.act, call).await?;
    waiting::durable(&api.broker, reply.after).await?;
    // The server itself leaves the body of an answer to HEAD out.
    Ok(reply.into_response())
}

/// What looks at the broker for long does so on threads where it delays nobody; a panic there is
/// a 500 here.
async fn run(act: Act, call: Arc<Call>) -> Result<Reply, Refusal> {
    match act {
        Act::Now(act) => tokio::task::spawn_blocking(move || act(&call))
            .await
            .unwrap_or_else(|_| Err(Refusal::internal("the request could not be carried out"))),
        Act::Later(act) => act(call).await,
    }
}

/// The routes of a path: all have the pattern that fits first.
fn find(raw_path: &str) -> Option<(&'static [Route], Names)> {
    let segments = path::segments(raw_path)?;
    ROUTES
        .chunk_by(|a, b| a.path == b.path)
        .find_map(|routes| Some((routes, path::matches(routes[0].path, &segments)?)))
}

/// HEAD is a GET whose body is not sent.
fn find_method(routes: &'static [Route], method: &Method) -> Result<&'static Route, Refusal> {
    let method = match *method {
        Method::HEAD => &Method::GET,
        ref other => other,
    };
    let route = routes.iter().find(|route| route.method == *method);
    route.ok_or_else(|| Refusal::not_allowed(allow(routes)))
}

fn allow(routes: &[Route]) -> String {
    let mut methods: Vec<&str> = Vec::new();
    if routes.iter().any(|route| route.method == Method::GET) {
        methods.push("HEAD");
    }
    methods.extend(routes.iter().map(|route| route.method.as_str()));
    methods.push("OPTIONS");
    methods.join(", ")
}

/// Who asks. What is wrong with credentials is not told.
fn log_in(api: &Api, headers: &HeaderMap, is_loopback: bool) -> Result<Arc<User>, Refusal> {
    let header = headers
        .get(AUTHORIZATION)
        .ok_or_else(Refusal::no_credentials)?;
    let (name, password) = header
        .to_str()
        .ok()
        .and_then(credentials)
        .ok_or_else(Refusal::login_failed)?;
    let user = api.broker.log_in(&name, &password, is_loopback);
    user.map_err(|error| {
        tracing::warn!(user = name, %error, "refused a login to the management API");
        Refusal::login_failed()
    })
}

fn credentials(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (name, password) = decoded.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

/// Whether the client wants what there is: JSON.
fn takes_json(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(ACCEPT).into_iter().peekable();
    if accepted.peek().is_none() {
        return true;
    }
    let types = accepted
        .filter_map(|value| value.to_str().ok())
        .flat_map(|all| all.split(','));
    let mut types = types.map(|one| one.split(';').next().unwrap_or_default().trim());
    types.any(|one| matches!(one, "" | "*/*" | "application/*" | "application/json"))
}

async fn read_body(body: Body, headers: &HeaderMap, max: u64) -> Result<Bytes, Refusal> {
    let too_large = || {
        let reason = "Exceeded HTTP request body size limit";
        Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "bad_request", reason)
    };
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > max) {
        return Err(too_large());
    }
    let max = usize::try_from(max).unwrap_or(usize::MAX);
    match timeout(BODY_PATIENCE, to_bytes(body, max)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => Err(too_large()),
        Err(_) => Err(Refusal::new(
            StatusCode::REQUEST_TIMEOUT,
            "timeout",
            "the request body did not arrive",
        )),
    }
}

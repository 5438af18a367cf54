//! What a request is answered with: a reply, or a refusal in RabbitMQ's words.

use std::fmt;

use amqp_codec::ReplyCode;
use axum::body::Body;
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, VARY, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use broker_core::error::BrokerError;
use broker_core::host::Lsn;
use serde_json::{Value, json};

/// How clients are asked for credentials.
const CHALLENGE: &str = "Basic realm=\"RabbitMQ Management\"";

/// A good answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    /// JSON text.
    pub(super) body: Option<Vec<u8>>,
    pub(super) headers: Vec<(HeaderName, String)>,
    /// It may leave when the log is durable to here.
    pub(super) after: Lsn,
}

impl Reply {
    fn new(status: StatusCode, body: Option<Vec<u8>>) -> Reply {
        Reply {
            status,
            body,
            headers: Vec::new(),
            after: Lsn::NONE,
        }
    }

    /// 200 with a value.
    pub(super) fn json(value: &Value) -> Reply {
        Reply::text(value.to_string().into_bytes())
    }

    /// 200 with JSON text.
    pub(super) fn text(json: Vec<u8>) -> Reply {
        Reply::new(StatusCode::OK, Some(json))
    }

    /// A value with another status.
    pub(super) fn status(status: StatusCode, value: &Value) -> Reply {
        Reply::new(status, Some(value.to_string().into_bytes()))
    }

    /// 204.
    pub(super) fn done() -> Reply {
        Reply::new(StatusCode::NO_CONTENT, None)
    }

    /// 201 for what is new, 204 for what was there.
    pub(super) fn put(is_new: bool) -> Reply {
        if is_new {
            Reply::new(StatusCode::CREATED, None)
        } else {
            Reply::done()
        }
    }

    /// The same, once the log is durable to `lsn`.
    pub(super) fn after(mut self, lsn: Lsn) -> Reply {
        self.after = lsn;
        self
    }

    /// The same with a header more.
    pub(super) fn with(mut self, name: HeaderName, value: String) -> Reply {
        self.headers.push((name, value));
        self
    }

    pub(super) fn into_response(self) -> Response {
        let mut response = respond(self.status, self.body);
        for (name, value) in self.headers {
            // A name with bytes that no header may have was percent-encoded before.
            if let Ok(value) = HeaderValue::try_from(value) {
                response.headers_mut().insert(name, value);
            }
        }
        response
    }
}

/// Why a request is not carried out.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    error: &'static str,
    reason: Value,
    challenge: bool,
    allow: Option<String>,
}

impl Refusal {
    pub(super) fn new(
        status: StatusCode,
        error: &'static str,
        reason: impl Into<Value>,
    ) -> Refusal {
        Refusal {
            status,
            error,
            reason: reason.into(),
            challenge: false,
            allow: None,
        }
    }

    /// 400.
    pub(super) fn bad_request(reason: impl Into<Value>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, "bad_request", reason)
    }

    /// 404, for paths and for things.
    pub(super) fn not_found() -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, "Object Not Found", "Not Found")
    }

    /// 401 without a body: no credentials came.
    pub(super) fn no_credentials() -> Refusal {
        let mut refusal = Refusal::new(StatusCode::UNAUTHORIZED, "", Value::Null);
        refusal.challenge = true;
        refusal
    }

    /// 401 for credentials that are not accepted, whatever is wrong with them.
    pub(super) fn login_failed() -> Refusal {
        let mut refusal = Refusal::new(StatusCode::UNAUTHORIZED, "not_authorized", "Login failed");
        refusal.challenge = true;
        refusal
    }

    /// 401 for somebody who may log in but not do this.
    pub(super) fn not_authorised(reason: &str) -> Refusal {
        Refusal::new(StatusCode::UNAUTHORIZED, "not_authorised", reason)
    }

    /// 405.
    pub(super) fn not_allowed(allow: String) -> Refusal {
        let mut refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "", Value::Null);
        refusal.allow = Some(allow);
        refusal
    }

    /// 406, without a body: no form of one would do.
    pub(super) fn not_acceptable() -> Refusal {
        Refusal::new(StatusCode::NOT_ACCEPTABLE, "", Value::Null)
    }

    /// 500.
    pub(super) fn internal(reason: &str) -> Refusal {
        Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_server_error",
            reason,
        )
    }

    /// Why, as text.
    pub(super) fn reason(&self) -> String {
        match &self.reason {
            Value::String(reason) => reason.clone(),
            other => other.to_string(),
        }
    }

    pub(super) fn into_response(self) -> Response {
        let body = (!self.error.is_empty()).then(|| {
            json!({"error": self.error, "reason": self.reason})
                .to_string()
                .into_bytes()
        });
        let mut response = respond(self.status, body);
        if self.challenge {
            let challenge = HeaderValue::from_static(CHALLENGE);
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        if let Some(allow) = self
            .allow
            .and_then(|allow| HeaderValue::try_from(allow).ok())
        {
            response.headers_mut().insert(ALLOW, allow);
        }
        response
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = self.status.as_u16();
        write!(f, "{status} {}: {}", self.error, self.reason)
    }
}

/// What the broker refuses, as RabbitMQ's API words it.
impl From<BrokerError> for Refusal {
    fn from(error: BrokerError) -> Refusal {
        match error.code {
            ReplyCode::AccessRefused => Refusal::not_authorised("Access refused."),
            ReplyCode::NotFound => Refusal::new(StatusCode::NOT_FOUND, "not_found", error.text),
            ReplyCode::InternalError => Refusal::internal(&error.text),
            _ => Refusal::bad_request(error.text),
        }
    }
}

/// An answer with the headers that all have.
fn respond(status: StatusCode, json: Option<Vec<u8>>) -> Response {
    let has_body = json.is_some();
    let mut response = Response::new(json.map_or_else(Body::empty, Body::from));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        VARY,
        HeaderValue::from_static("accept, accept-encoding, origin"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if has_body {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    response
}

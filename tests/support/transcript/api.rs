//! `API:` lines, and the calls that give each file its vhost.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::stage::Stage;
use super::{Call, Target};
use crate::support::http::{self, Response};

/// Between two attempts of a call that is answered eventually.
const PAUSE: Duration = Duration::from_millis(50);

/// How long an answer may take to become the wanted one: some brokers renew what their API tells
/// every five seconds only.
const PATIENCE: Duration = Duration::from_secs(15);
/// How much of an unwanted answer is shown.
const SHOWN: usize = 500;

const GUEST: (&str, &str) = ("guest", "guest");

/// A call that has to succeed.
pub(super) fn must(target: &Target, method: &str, path: &str, body: &str) -> Result<(), String> {
    let response = request(target, method, path, body)?;
    match response.status {
        200..300 => Ok(()),
        status => Err(format!("{method} {path}: {status} {}", text(&response))),
    }
}

fn request(target: &Target, method: &str, path: &str, body: &str) -> Result<Response, String> {
    let address = target
        .http
        .ok_or("an API: line, but no address of a management API")?;
    http::request(address, GUEST, method, path, body)
}

fn text(response: &Response) -> String {
    String::from_utf8_lossy(&response.body)
        .chars()
        .take(SHOWN)
        .collect()
}

impl Stage<'_> {
    pub(super) fn call(&mut self, call: &Call) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.call_once(call) {
                Err(_) if call.eventually && Instant::now() < deadline => {
                    self.pause_anywhere()?;
                }
                verdict => return verdict,
            }
        }
    }

    fn call_once(&mut self, call: &Call) -> Result<(), String> {
        let (path, body) = (self.fill_in(&call.path), self.fill_in(&call.body));
        let response = request(self.target, &call.method, &path, &body)?;
        if let (Some(user), "PUT") = (path.strip_prefix("/api/users/"), call.method.as_str()) {
            self.users.push(user.to_owned());
        }
        let whole = format!("{} {}", response.status, text(&response));
        if !call.statuses.contains(&response.status) {
            return Err(whole);
        }
        if call.answer.is_empty() {
            return Ok(());
        }
        let wanted = serde_json::from_str(&self.fill_in(&call.answer));
        let wanted: Value = wanted.map_err(|error| format!("the expected JSON: {error}"))?;
        if holds(&wanted, &response.json()) {
            Ok(())
        } else {
            Err(whole)
        }
    }

    /// `$name` and `${name}` replaced by what was captured.
    fn fill_in(&self, text: &str) -> String {
        self.captures
            .iter()
            .fold(text.to_owned(), |text, (name, value)| {
                let value = String::from_utf8_lossy(value);
                text.replace(&format!("${{{name}}}"), &value)
                    .replace(&format!("${name}"), &value)
            })
    }

    fn pause_anywhere(&mut self) -> Result<(), String> {
        match self.guests.keys().next().copied() {
            Some(number) => self.pause(number, PAUSE),
            None => Ok(()),
        }
    }
}

/// Whether `wanted` is in `came`: objects may hold more, arrays may not.
fn holds(wanted: &Value, came: &Value) -> bool {
    match (wanted, came) {
        (Value::Object(wanted), Value::Object(came)) => wanted
            .iter()
            .all(|(key, value)| came.get(key).is_some_and(|found| holds(value, found))),
        (Value::Array(wanted), Value::Array(came)) => {
            wanted.len() == came.len() && wanted.iter().zip(came).all(|(w, c)| holds(w, c))
        }
        _ => wanted == came,
    }
}

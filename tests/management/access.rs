//! Who may do what: every route with every kind of user.

use crate::stage::{ALL, GUEST, Stage, assert_status};
use crate::support::http::{Response, basic};

/// Method, path with placeholders filled in, and the guard.
fn routes(stage: &Stage, own_name: &str) -> Vec<(String, String, String)> {
    let lines = include_str!("routes.txt").lines();
    let lines = lines.filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let mut words = line.split(' ').map(str::to_owned);
            let mut word = || words.next().expect("three words");
            let (method, path, guard) = (word(), word(), word());
            let segments = path.split('/').map(|segment| match segment {
                ":vhost" | ":name" => stage.vhost.as_str(),
                ":user" => own_name,
                ":port" => "1",
                placeholder => placeholder.trim_start_matches(':'),
            });
            let path = segments.collect::<Vec<_>>().join("/");
            (method, path, guard)
        })
        .collect()
}

#[track_caller]
fn assert_refused(response: &Response, reason: &str, route: &str) {
    assert_status(response, 401, "", route);
    assert_eq!(response.json()["error"], "not_authorised", "{route}");
    assert_eq!(response.json()["reason"], reason, "{route}");
}

#[test]
fn nobody_gets_in_without_credentials_that_fit() {
    let stage = Stage::new("matrix-nobody");
    let wrong = [basic("guest", "wrong"), basic("no-such-user", "guest")];
    let strange = ["Bearer x", "Basic", "Basic !!!", "Basic bm8tY29sb24="];
    for (method, path, _) in routes(&stage, "guest") {
        let path = format!("/api/{path}");
        let none = stage.send(&[], &method, &path);
        assert_status(&none, 401, &method, &path);
        let challenge = Some("Basic realm=\"RabbitMQ Management\"");
        assert_eq!(none.header("www-authenticate"), challenge, "{path}");
        assert!(none.body.is_empty(), "{path}");
        for value in wrong.iter().map(String::as_str).chain(strange) {
            let refused = stage.send(&[("authorization", value)], &method, &path);
            assert_status(&refused, 401, &method, &path);
            assert_eq!(refused.json()["error"], "not_authorized", "{path}");
            assert_eq!(refused.json()["reason"], "Login failed", "{path}");
        }
    }
}

#[test]
fn a_user_without_a_tag_of_the_api_may_nothing() {
    let stage = Stage::new("matrix-tagless");
    let user = stage.user("impersonator");
    stage.must("PUT", &format!("permissions/{{v}}/{user}"), ALL, 201);
    for (method, path, _) in routes(&stage, &user) {
        let refused = stage.call_as((&user, "p"), &method, &path, "");
        assert_refused(&refused, "Not management user", &path);
    }
}

#[test]
fn management_may_what_is_its_own() {
    let stage = Stage::new("matrix-management");
    for tag in ["management", "policymaker"] {
        let user = stage.user(tag);
        for (method, path, guard) in routes(&stage, &user) {
            let answer = stage.call_as((&user, "p"), &method, &path, "");
            match guard.as_str() {
                "management" => assert_ne!(answer.status, 401, "{method} {path}"),
                "vhost" => {
                    let reason = "User not authorised to access virtual host";
                    assert_refused(&answer, reason, &path);
                }
                "monitoring" => assert_refused(&answer, "Not monitor user", &path),
                _ => assert_refused(&answer, "Not administrator user", &path),
            }
        }
    }
}

#[test]
fn monitoring_sees_everything_and_changes_nothing() {
    let stage = Stage::new("matrix-monitoring");
    let user = stage.user("monitoring");
    for (method, path, guard) in routes(&stage, &user) {
        let answer = stage.call_as((&user, "p"), &method, &path, "");
        match (guard.as_str(), method.as_str()) {
            ("administrator", _) => assert_refused(&answer, "Not administrator user", &path),
            (_, "GET") => assert_ne!(answer.status, 401, "{method} {path}"),
            // It has no permission in the vhost; but what does not exist is not found first.
            ("vhost", "PUT" | "POST") => assert_refused(&answer, "Access refused.", &path),
            _ => assert!(matches!(answer.status, 204 | 404), "{method} {path}"),
        }
    }
}

#[test]
fn changes_need_the_rights_that_amqp_asks_for() {
    let stage = Stage::new("rights");
    let user = stage.user("management");
    let rights = r#"{"configure": "^mine", "write": "^mine|^amq.topic$", "read": "^mine"}"#;
    stage.must("PUT", &format!("permissions/{{v}}/{user}"), rights, 201);
    stage.must("PUT", "queues/{v}/other", "{}", 201);
    stage.must("PUT", "exchanges/{v}/mine.x", "{}", 201);
    let me = (user.as_str(), "p");
    let refused = |method: &str, path: &str, body: &str| {
        assert_refused(
            &stage.call_as(me, method, path, body),
            "Access refused.",
            path,
        );
    };
    assert_eq!(
        stage.call_as(me, "PUT", "queues/{v}/mine", "{}").status,
        201
    );
    refused("PUT", "queues/{v}/theirs", "{}");
    refused("DELETE", "queues/{v}/other", "");
    refused("DELETE", "queues/{v}/other/contents", "");
    refused("PUT", "exchanges/{v}/theirs", "{}");
    refused("DELETE", "exchanges/{v}/amq.topic", "");
    let alternate = r#"{"arguments": {"alternate-exchange": "theirs"}}"#;
    refused("PUT", "exchanges/{v}/mine.y", alternate);
    let dead_letters = r#"{"arguments": {"x-dead-letter-exchange": "theirs"}}"#;
    refused("PUT", "queues/{v}/mine.z", dead_letters);
    refused("POST", "bindings/{v}/e/amq.topic/q/mine", "{}");
    refused("POST", "bindings/{v}/e/mine.x/q/other", "{}");
    let bound = stage.call_as(me, "POST", "bindings/{v}/e/mine.x/q/mine", "{}");
    assert_eq!(bound.status, 201);
    stage.must("POST", "bindings/{v}/e/amq.topic/q/mine", "{}", 201);
    refused("DELETE", "bindings/{v}/e/amq.topic/q/mine/~", "");
}

#[test]
fn lists_show_the_vhosts_that_are_open_to_the_user() {
    let stage = Stage::new("visible");
    let user = stage.user("management");
    stage.must("PUT", "queues/{v}/hidden", "{}", 201);
    for path in [
        "queues",
        "exchanges",
        "bindings",
        "vhosts",
        "consumers",
        "connections",
    ] {
        let shown = stage.call_as((&user, "p"), "GET", path, "").json();
        assert_eq!(shown, serde_json::json!([]), "{path}");
    }
    let overview = stage.call_as((&user, "p"), "GET", "overview", "").json();
    assert_eq!(overview["object_totals"]["queues"], 0);
    assert!(overview.get("listeners").is_none() && overview.get("node").is_none());
    stage.must("PUT", &format!("permissions/{{v}}/{user}"), ALL, 201);
    let shown = stage.call_as((&user, "p"), "GET", "queues", "").json();
    assert_eq!(shown[0]["name"], "hidden");
    let overview = stage.call_as((&user, "p"), "GET", "overview", "").json();
    assert_eq!(overview["object_totals"]["queues"], 1);
}

#[test]
fn whoami_says_who_asks() {
    let stage = Stage::new("whoami");
    let shown = stage.call_as(GUEST, "GET", "whoami", "").json();
    assert_eq!(shown["name"], "guest");
    assert_eq!(shown["tags"], serde_json::json!(["administrator"]));
}

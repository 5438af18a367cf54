//! `/bindings`, and the bindings of queues and exchanges.

use serde_json::json;

use crate::stage::{Stage, column};

#[test]
fn a_binding_is_found_where_its_location_says() {
    let stage = Stage::new("binding-location");
    stage.must("PUT", "queues/{v}/a%20q", "{}", 201);
    let between = "bindings/{v}/e/amq.topic/q/a%20q";
    for (body, location) in [
        (r#"{}"#, "a%20q/~"),
        (r#"{"routing_key": null, "arguments": {}}"#, "a%20q/~"),
        (r#"{"routing_key": "a b.*.#"}"#, "a%20q/a%2Bb.%252A.%2523"),
        (r#"{"routing_key": "x~y"}"#, "a%20q/x%257Ey"),
    ] {
        let answer = stage.must("POST", between, body, 201);
        assert_eq!(answer.header("location"), Some(location), "{body}");
    }
    let with_arguments = r#"{"routing_key": "k", "arguments": {"n": 1}}"#;
    let answer = stage.must("POST", between, with_arguments, 201);
    let location = answer.header("location").expect("a location").to_owned();
    assert!(location.starts_with("a%20q/k~"), "{location}");
    let shown = stage.get(&format!("bindings/{{v}}/e/amq.topic/q/{location}"));
    assert_eq!(shown["arguments"], json!({"n": 1}));
    let listed = stage.get(between);
    assert_eq!(column(&listed, "routing_key"), ["", "a b.*.#", "k", "x~y"]);
    let again = stage.must("POST", between, with_arguments, 201);
    assert_eq!(again.header("location"), Some(location.as_str()));
    assert_eq!(stage.get(between), listed);
}

#[test]
fn a_binding_is_deleted_by_its_key_however_often_it_is_encoded() {
    let stage = Stage::new("binding-delete");
    stage.must("PUT", "queues/{v}/q", "{}", 201);
    let between = "bindings/{v}/e/amq.topic/q/q";
    for key in ["a.*.b+c", "a.%2A.b+c", "a.%252A.b%2Bc", "a.*.b%20c"] {
        stage.must("POST", between, r#"{"routing_key": "a.*.b c"}"#, 201);
        let path = format!("{between}/{key}");
        assert_eq!(stage.get(&path)["properties_key"], "a.%2A.b+c", "{key}");
        stage.must("DELETE", &path, "", 204);
        stage.not_found("DELETE", &path, "");
        assert_eq!(stage.get(between), json!([]), "{key}");
    }
}

#[test]
fn of_two_keys_that_decode_alike_the_exact_one_is_meant() {
    let stage = Stage::new("binding-exact");
    stage.must("PUT", "queues/{v}/q", "{}", 201);
    let between = "bindings/{v}/e/amq.direct/q/q";
    for key in ["#", "%23"] {
        stage.must(
            "POST",
            between,
            &json!({ "routing_key": key }).to_string(),
            201,
        );
    }
    stage.must("DELETE", &format!("{between}/%2523"), "", 204);
    assert_eq!(column(&stage.get(between), "routing_key"), ["%23"]);
}

#[test]
fn exchanges_are_bound_to_exchanges() {
    let stage = Stage::new("binding-exchanges");
    stage.must("PUT", "exchanges/{v}/x", "{}", 201);
    let between = "bindings/{v}/e/amq.topic/e/x";
    stage.must("POST", between, r#"{"routing_key": "k"}"#, 201);
    let expected = json!({
        "source": "amq.topic", "vhost": "binding-exchanges", "destination": "x",
        "destination_type": "exchange", "routing_key": "k", "arguments": {},
        "properties_key": "k",
    });
    assert_eq!(stage.get(between), json!([expected]));
    assert_eq!(stage.get(&format!("{between}/k")), expected);
    for path in [
        "exchanges/{v}/x/bindings/destination",
        "exchanges/{v}/amq.topic/bindings/source",
    ] {
        assert_eq!(stage.get(path), json!([expected]), "{path}");
    }
    assert_eq!(stage.get("exchanges/{v}/x/bindings/source"), json!([]));
    stage.must("DELETE", &format!("{between}/k"), "", 204);
    assert_eq!(stage.get(between), json!([]));
}

#[test]
fn every_queue_is_bound_to_the_default_exchange() {
    let stage = Stage::new("binding-default");
    stage.must("PUT", "queues/{v}/q", "{}", 201);
    stage.must("POST", "bindings/{v}/e/amq.topic/q/q", "{}", 201);
    let sources = |path: &str| {
        let listed = stage.get(path);
        column(&listed, "source").join(",")
    };
    assert_eq!(sources("queues/{v}/q/bindings"), ",amq.topic");
    assert_eq!(sources("bindings/{v}"), ",amq.topic");
    assert_eq!(sources("exchanges/{v}/amq.default/bindings/source"), "");
    assert_eq!(sources("bindings/{v}/e/amq.default/q/q"), "");
    assert_eq!(
        stage.get("bindings/{v}/e/amq.default/q/q/q")["routing_key"],
        "q"
    );
    assert!(column(&stage.get("bindings"), "vhost").contains(&"binding-default"));
    let refused = (401, "not_authorised", "Access refused.");
    stage.refused("POST", "bindings/{v}/e/amq.default/q/q", "{}", refused);
    stage.refused("DELETE", "bindings/{v}/e/amq.default/q/q/q", "", refused);
    stage.not_found("GET", "queues/{v}/nope/bindings", "");
}

#[test]
fn ends_that_do_not_exist_cannot_be_bound() {
    let stage = Stage::new("binding-nowhere");
    stage.must("PUT", "queues/{v}/q", "{}", 201);
    let no_queue = (404, "not_found", "no queue 'nope' in vhost '{v}'");
    stage.refused("POST", "bindings/{v}/e/amq.topic/q/nope", "{}", no_queue);
    let no_exchange = (404, "not_found", "no exchange 'nope' in vhost '{v}'");
    stage.refused("POST", "bindings/{v}/e/nope/q/q", "{}", no_exchange);
    stage.not_found("DELETE", "bindings/{v}/e/amq.topic/q/q/nope", "");
    assert_eq!(stage.get("bindings/{v}/e/nope/q/q"), json!([]));
    let long = json!({ "routing_key": "k".repeat(256) }).to_string();
    let reason = "routing key should be less than 255 bytes, actually was 256\n";
    let path = "bindings/{v}/e/amq.topic/q/q";
    stage.refused("POST", path, &long, (400, "bad_request", reason));
}

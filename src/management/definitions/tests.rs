//! What is read of a file, without a broker to put it in.

use serde_json::json;

use super::ImportError;
use super::read::Plan;

fn error(text: &str, vhost: Option<&str>) -> String {
    match Plan::read(text.as_bytes(), vhost) {
        Ok(plan) => format!("{plan:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_broken_file_is_told_with_its_line() {
    let text = "{\n  \"queues\": [\n    oops\n";
    let Err(ImportError::Json(error)) = Plan::read(text.as_bytes(), None) else {
        panic!("it is broken")
    };
    assert_eq!((error.line(), error.column()), (3, 5));
    assert!(Plan::read(b"", None).is_err());
    assert!(Plan::read(b"[]", None).is_err());
    assert!(Plan::read("[".repeat(100_000).as_bytes(), None).is_err());
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_file() {
    assert!(Plan::read(b"\xef\xbb\xbf{}", None).is_ok());
}

#[test]
fn an_item_without_a_name_is_told_by_its_place() {
    let text = json!({ "exchanges": [{ "type": "direct" }] }).to_string();
    assert_eq!(error(&text, Some("v")), "exchanges[0]: \"name\" is missing");
    let text = json!({ "queues": [{ "name": "q" }, 5] }).to_string();
    assert_eq!(error(&text, None), "queue 'q': \"vhost\" is missing");
}

#[test]
fn names_are_as_long_as_the_protocol_allows() {
    let long = "n".repeat(256);
    for (list, item) in [
        ("queues", json!({ "name": long })),
        ("exchanges", json!({ "name": long, "type": "direct" })),
        (
            "bindings",
            json!({
                "source": "s", "destination": "d", "destination_type": "queue", "routing_key": long,
            }),
        ),
    ] {
        let text = json!({ list: [item] }).to_string();
        assert!(
            error(&text, Some("v")).contains("less than 255 bytes"),
            "{list}"
        );
    }
    let text = json!({ "queues": [{ "name": "" }] }).to_string();
    assert_eq!(error(&text, Some("v")), "queue '': \"name\" is missing");
}

#[test]
fn into_one_vhost_only_what_stands_in_a_vhost_is_read() {
    let text = json!({
        "users": [{ "nonsense": true }],
        "global_parameters": [{ "name": "x" }],
        "queues": [{ "name": "q", "vhost": "other", "durable": true, "auto_delete": false }],
    });
    let plan = Plan::read(text.to_string().as_bytes(), Some("v")).expect("a plan");
    assert!(plan.users.is_empty());
    assert_eq!(&*plan.queues[0].vhost, "v");
    let policy = json!({ "policies": [{ "name": "p" }] }).to_string();
    assert!(error(&policy, Some("v")).starts_with("policy 'p': policies are not available"));
}

//! Columns, order and pages of real lists.

use serde_json::json;

use crate::stage::{Stage, column};
use crate::support::http::basic;

fn stage_with_queues(vhost: &str) -> Stage {
    let stage = Stage::new(vhost);
    for name in ["b", "A", "ab", "c"] {
        stage.must("PUT", &format!("queues/{{v}}/{name}"), "{}", 201);
    }
    stage
}

#[test]
fn a_page_of_queues() {
    let stage = stage_with_queues("list-pages");
    let page = stage.get("queues/{v}?page=2&page_size=3&columns=name");
    let expected = json!({
        "total_count": 4, "filtered_count": 4, "item_count": 1, "page": 2, "page_size": 3,
        "page_count": 2, "items": [{"name": "c"}],
    });
    assert_eq!(page, expected);
    let filtered = stage.get("queues/{v}?page=1&name=A&pagination=false");
    assert_eq!(column(&filtered["items"], "name"), ["A", "ab"]);
    assert_eq!(filtered["page_size"], 100);
    let by_pattern = stage.get("queues/{v}?page=1&name=%5Ea.%3F%24&use_regex=true");
    assert_eq!(by_pattern["filtered_count"], 2);
    assert_eq!(by_pattern["total_count"], 4);
}

#[test]
fn every_list_has_pages() {
    let stage = stage_with_queues("list-every");
    let _peer = stage.peer();
    for path in [
        "queues",
        "queues/detailed",
        "queues/{v}",
        "exchanges",
        "exchanges/{v}",
        "bindings",
        "bindings/{v}",
        "connections",
        "connections/username/guest",
        "vhosts/{v}/connections",
        "channels",
        "vhosts/{v}/channels",
        "consumers",
        "consumers/{v}",
        "users",
        "vhosts",
        "permissions",
        "nodes",
    ] {
        let page = stage.get(&format!("{path}?page=1&page_size=2"));
        let items = page["items"]
            .as_array()
            .unwrap_or_else(|| panic!("{path}: {page}"));
        assert_eq!(page["item_count"], items.len(), "{path}");
        assert!(items.len() <= 2, "{path}");
    }
}

#[test]
fn bad_pages_are_refused() {
    let stage = stage_with_queues("list-bad-pages");
    let refused = |query: &str, error: &str, reason: &str| {
        stage.refused(
            "GET",
            &format!("queues/{{v}}?{query}"),
            "",
            (400, error, reason),
        );
    };
    let invalid = "invalid_pagination_parameters";
    refused(
        "page=0&page_size=10",
        invalid,
        "Invalid pagination parameters: page number 0, page size 10",
    );
    refused(
        "page=1&page_size=501",
        invalid,
        "Invalid pagination parameters: page number 1, page size 501",
    );
    refused(
        "page=99&page_size=10",
        "page_out_of_range",
        "Page out of range, page: 99 page size: 10, len: 4",
    );
    for query in [
        "page=foo",
        "page=1&page_size=x",
        "page=1&name=%5B&use_regex=true",
    ] {
        refused(query, "bad_request", "Pagination parameters are invalid");
    }
}

#[test]
fn lists_are_sorted_by_name_or_as_asked() {
    let stage = stage_with_queues("list-order");
    let names = |query: &str| {
        let listed = stage.get(&format!("queues/{{v}}?{query}"));
        column(&listed, "name").join(",")
    };
    assert_eq!(names(""), "A,ab,b,c");
    assert_eq!(names("sort_reverse=true"), "c,b,ab,A");
    assert_eq!(names("sort=name&sort_reverse=true"), "c,b,ab,A");
    let mut peer = stage.peer();
    peer.send(1, "basic.publish routing-key=ab | content body=x")
        .expect("published");
    stage.eventually("queues/{v}/ab", |queue| queue["messages"] == 1);
    assert_eq!(
        names("sort=messages&sort_reverse=true&columns=name"),
        "ab,c,b,A"
    );
    assert_eq!(names("sort=no.such.column"), "A,ab,b,c");
}

#[test]
fn columns_reduce_lists_and_single_objects() {
    let stage = stage_with_queues("list-columns");
    let expected = json!({"name": "A", "messages_details": {"rate": 0.0}});
    let columns = "columns=name,messages_details.rate,no.such";
    assert_eq!(stage.get(&format!("queues/{{v}}?{columns}"))[0], expected);
    assert_eq!(stage.get(&format!("queues/{{v}}/A?{columns}")), expected);
    let overview = stage.get("overview?columns=object_totals.queues,listeners.protocol");
    assert_eq!(overview["listeners"][0], json!({"protocol": "amqp"}));
    assert!(overview["object_totals"]["queues"].is_u64());
}

#[test]
fn a_header_narrows_a_list_to_a_vhost() {
    let stage = stage_with_queues("list-header");
    let guest = basic("guest", "guest");
    let listed = |vhost: &str| {
        let headers = [("authorization", guest.as_str()), ("x-vhost", vhost)];
        stage.send(&headers, "GET", "/api/queues")
    };
    assert_eq!(
        column(&listed("list-header").json(), "name"),
        ["A", "ab", "b", "c"]
    );
    assert_eq!(listed("no-such-vhost").status, 404);
}

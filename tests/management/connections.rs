//! `/connections` and `/channels`.

use serde_json::{Value, json};

use crate::stage::{ALL, Stage, assert_status, column};
use crate::support::http::basic;

/// A name as a segment of a path.
fn encoded(name: &Value) -> String {
    let name = name.as_str().expect("a name");
    name.replace(' ', "%20").replace('>', "%3E")
}

#[test]
fn a_connection_shows_its_ends_and_what_was_agreed() {
    let stage = Stage::new("connection-shown");
    let _peer = stage.peer();
    let listed = stage.get("vhosts/{v}/connections");
    let path = format!("connections/{}", encoded(&listed[0]["name"]));
    let shown = stage.get(&path);
    let port = stage.broker.amqp().port();
    for (name, value) in [
        ("vhost", json!("connection-shown")),
        ("user", json!("guest")),
        ("state", json!("running")),
        ("type", json!("network")),
        ("protocol", json!("AMQP 0-9-1")),
        ("host", json!("127.0.0.1")),
        ("port", json!(port)),
        ("peer_host", json!("127.0.0.1")),
        ("ssl", json!(false)),
        ("auth_mechanism", json!("PLAIN")),
        ("channel_max", json!(2047)),
        ("frame_max", json!(131_072)),
        ("timeout", json!(0)),
        ("channels", json!(1)),
    ] {
        assert_eq!(shown[name], value, "{name}");
    }
    assert_eq!(
        shown["client_properties"]["capabilities"]["basic.nack"],
        true
    );
    assert!(
        shown["connected_at"]
            .as_u64()
            .is_some_and(|at| at > 1_600_000_000_000)
    );
    assert!(shown["recv_oct"].as_u64().is_some_and(|octets| octets > 0));
    assert!(shown["recv_oct_details"]["rate"].is_f64());
    assert!(column(&stage.get("connections"), "vhost").contains(&"connection-shown"));
    stage.not_found("GET", "connections/nope", "");
    stage.not_found("DELETE", "connections/nope", "");
}

#[test]
fn a_closed_connection_reads_the_reason() {
    let stage = Stage::new("connection-close");
    let mut peer = stage.peer();
    let name = encoded(&stage.get("vhosts/{v}/connections")[0]["name"]);
    let guest = basic("guest", "guest");
    let headers = [
        ("authorization", guest.as_str()),
        ("x-reason", "maintenance at noon"),
    ];
    let answer = stage.send(&headers, "DELETE", &format!("/api/connections/{name}"));
    assert_status(&answer, 204, "DELETE", &name);
    let close =
        "connection.close reply-code=320 reply-text=\"CONNECTION_FORCED - maintenance at noon\"";
    peer.expect(0, close).expect("a close");

    let mut peer = stage.peer();
    let name = stage.eventually("vhosts/{v}/connections", |list| {
        list[0]["state"] == "running"
    });
    stage.must(
        "DELETE",
        &format!("connections/{}", encoded(&name[0]["name"])),
        "",
        204,
    );
    let close = "connection.close reply-code=320 reply-text=\"CONNECTION_FORCED - Closed via management plugin\"";
    peer.expect(0, close).expect("a close");
}

#[test]
fn the_connections_of_a_user_are_listed_and_closed_together() {
    let stage = Stage::new("connection-user");
    let user = stage.user("management");
    stage.must("PUT", &format!("permissions/{{v}}/{user}"), ALL, 201);
    let mut peers = [stage.peer_of((&user, "p")), stage.peer_of((&user, "p"))];
    let path = format!("connections/username/{user}");
    let listed = stage.get(&path);
    assert_eq!(listed.as_array().map(Vec::len), Some(2));
    let brief = listed[0].as_object().expect("an object");
    assert_eq!(
        brief.keys().collect::<Vec<_>>(),
        ["name", "node", "user", "vhost"]
    );
    stage.must("DELETE", &path, "", 204);
    for peer in &mut peers {
        peer.expect(0, "connection.close reply-code=320")
            .expect("a close");
    }
    assert_eq!(stage.get("connections/username/nobody"), json!([]));
}

#[test]
fn who_has_no_monitoring_sees_and_closes_only_its_own_connections() {
    let stage = Stage::new("connection-own");
    let user = stage.user("management");
    stage.must("PUT", &format!("permissions/{{v}}/{user}"), ALL, 201);
    let me = (user.as_str(), "p");
    let _of_guest = stage.peer();
    let foreign = encoded(&stage.get("vhosts/{v}/connections")[0]["name"]);
    let reason = "User not authorised to access object";
    for (method, path) in [
        ("GET", format!("connections/{foreign}")),
        ("DELETE", format!("connections/{foreign}")),
        ("GET", format!("connections/{foreign}/channels")),
        ("DELETE", "connections/username/guest".to_owned()),
    ] {
        let answer = stage.call_as(me, method, &path, "");
        assert_status(&answer, 401, method, &path);
        assert_eq!(answer.json()["reason"], reason);
    }
    let channel = format!("channels/{foreign}%20(1)");
    assert_eq!(stage.call_as(me, "GET", &channel, "").status, 404);
    assert_eq!(
        stage.call_as(me, "GET", "connections", "").json(),
        json!([])
    );
    let mut own = stage.peer_of(me);
    let listed = stage
        .call_as(me, "GET", "vhosts/{v}/connections", "")
        .json();
    assert_eq!(column(&listed, "user"), [user.as_str()]);
    let path = format!("connections/{}", encoded(&listed[0]["name"]));
    assert_eq!(stage.call_as(me, "DELETE", &path, "").status, 204);
    own.expect(0, "connection.close reply-code=320")
        .expect("a close");
}

#[test]
fn a_channel_shows_what_it_does() {
    let stage = Stage::new("channel-shown");
    stage.must("PUT", "queues/{v}/q", "{}", 201);
    let mut peer = stage.peer();
    peer.call(1, "confirm.select", "confirm.select-ok")
        .expect("confirms");
    peer.call(1, "basic.qos prefetch-count=7", "basic.qos-ok")
        .expect("qos");
    peer.call(
        1,
        "basic.consume queue=q consumer-tag=tag",
        "basic.consume-ok",
    )
    .expect("consuming");
    peer.send(1, "basic.publish routing-key=q | content body=x")
        .expect("published");
    peer.expect(1, "basic.deliver").expect("a delivery");
    let channels = stage.eventually("vhosts/{v}/channels", |list| {
        list[0]["messages_unacknowledged"] == 1 && list[0]["message_stats"]["confirm"] == 1
    });
    let listed = &channels[0];
    for (name, value) in [
        ("number", json!(1)),
        ("user", json!("guest")),
        ("vhost", json!("channel-shown")),
        ("state", json!("running")),
        ("confirm", json!(true)),
        ("transactional", json!(false)),
        ("consumer_count", json!(1)),
        ("prefetch_count", json!(7)),
        ("global_prefetch_count", json!(0)),
        ("messages_unconfirmed", json!(0)),
    ] {
        assert_eq!(listed[name], value, "{name}");
    }
    assert_eq!(listed["message_stats"]["deliver"], 1);
    let connection = &listed["connection_details"]["name"];
    let of_connection = stage.get(&format!("connections/{}/channels", encoded(connection)));
    assert_eq!(of_connection[0]["name"], listed["name"]);
    let alone = stage.get(&format!("channels/{}", encoded(&listed["name"])));
    assert_eq!(alone["consumer_details"][0]["consumer_tag"], "tag");
    assert!(column(&stage.get("channels"), "vhost").contains(&"channel-shown"));
    stage.not_found("GET", "channels/nope", "");
}

//! Rates and sums: `/overview`, `/vhosts`, and what is measured of queues, channels and
//! connections.

use serde_json::Value;

use crate::stage::Stage;

fn is_positive(rate: &Value) -> bool {
    rate.as_f64().is_some_and(|rate| rate > 0.0)
}

#[test]
fn rates_follow_what_happens_and_sums_outlive_channels() {
    let stage = Stage::new("rates");
    stage.must("PUT", "queues/{v}/q", "{}", 201);
    let mut peer = stage.peer();
    // A queue's first rate is the difference to a look at which it was there.
    let publishing =
        |queue: &Value| is_positive(&queue["message_stats"]["publish_details"]["rate"]);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let mut published = 0_u64;
    loop {
        peer.send(1, "basic.publish routing-key=q | content body=0123456789")
            .expect("published");
        published += 1;
        let queue = stage.get("queues/{v}/q");
        if publishing(&queue) && is_positive(&queue["messages_details"]["rate"]) {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{queue}");
        std::thread::park_timeout(std::time::Duration::from_millis(50));
    }
    let channel = &stage.get("vhosts/{v}/channels")[0];
    assert!(
        is_positive(&channel["message_stats"]["publish_details"]["rate"]),
        "{channel}"
    );
    let connection = &stage.get("vhosts/{v}/connections")[0];
    assert!(
        is_positive(&connection["recv_oct_details"]["rate"]),
        "{connection}"
    );
    let vhost = stage.get("vhosts/{v}");
    assert!(
        is_positive(&vhost["messages_ready_details"]["rate"]),
        "{vhost}"
    );
    assert!(is_positive(&vhost["recv_oct"]), "{vhost}");
    let overview = stage.get("overview");
    assert!(
        is_positive(&overview["message_stats"]["publish_details"]["rate"]),
        "{overview}"
    );

    peer.hang_up();
    let vhost = stage.eventually("vhosts/{v}", |vhost| {
        let stats = &vhost["message_stats"];
        stats["publish"] == published && stats["publish_details"]["rate"] == 0.0
    });
    assert_eq!(vhost["messages"], published);
}

#[test]
fn the_overview_counts_objects_and_names_the_broker() {
    let stage = Stage::new("overview");
    stage.must("PUT", "queues/{v}/q", "{}", 201);
    let _peer = stage.peer();
    let shown = stage.get("overview");
    assert_eq!(shown["product_name"], "Leveret");
    assert_eq!(shown["rabbitmq_version"], "3.13.7");
    assert_eq!(shown["leveret_version"], env!("CARGO_PKG_VERSION"));
    for name in ["queues", "connections", "channels", "exchanges"] {
        let count = shown["object_totals"][name].as_u64();
        assert!(count.is_some_and(|count| count > 0), "{name}: {count:?}");
    }
    for name in ["publish", "ack", "deliver_get", "drop_unroutable"] {
        assert!(shown["message_stats"][name].is_u64(), "{name}");
        let details = format!("{name}_details");
        assert!(
            shown["message_stats"][&details]["rate"].is_f64(),
            "{details}"
        );
    }
    assert!(shown["queue_totals"]["messages"].is_u64());
    let port = stage.broker.amqp().port();
    assert_eq!(shown["listeners"][0]["port"], port);
    assert_eq!(shown["listeners"][1]["protocol"], "http");
    let brief = stage.get("overview?disable_stats=true");
    assert!(brief.get("message_stats").is_none());
    assert_eq!(brief["disable_stats"], true);
    assert_eq!(stage.get("cluster-name")["name"], shown["cluster_name"]);
}

#[test]
fn the_node_shows_what_the_system_says() {
    let stage = Stage::new("nodes");
    let nodes = stage.get("nodes");
    let name = nodes[0]["name"].as_str().expect("a name");
    let shown = stage.get(&format!("nodes/{name}"));
    assert_eq!(shown["name"], nodes[0]["name"]);
    assert_eq!(shown["running"], true);
    assert_eq!(shown["being_drained"], false);
    assert_eq!(shown["os_pid"], stage.broker.pid().to_string());
    for name in [
        "mem_used",
        "mem_limit",
        "disk_free",
        "fd_used",
        "fd_total",
        "proc_used",
        "uptime",
    ] {
        let value = shown[name].as_u64();
        assert!(value.is_some_and(|value| value > 0), "{name}: {value:?}");
    }
    assert_eq!(
        (&shown["mem_alarm"], &shown["disk_free_alarm"]),
        (&false.into(), &false.into())
    );
    stage.not_found("GET", "nodes/rabbit@nowhere", "");
    for path in ["extensions", "feature-flags"] {
        assert_eq!(stage.get(path), serde_json::json!([]));
    }
}

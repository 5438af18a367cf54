//! Which command lines are a plan and which contradict themselves.

use clap::{CommandFactory, Parser};

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: PerfArgs,
}

/// The arguments, as far as clap and the plan's own rules let them through.
fn parse(line: &str) -> Result<PerfArgs, String> {
    let words = ["perf"].into_iter().chain(line.split_whitespace());
    let line = Line::try_parse_from(words).map_err(|error| error.to_string())?;
    line.args.check().map_err(|error| error.to_string())?;
    Ok(line.args)
}

#[track_caller]
pub(in super::super) fn accepted(line: &str) -> PerfArgs {
    parse(line).unwrap_or_else(|error| panic!("{line}: {error}"))
}

#[track_caller]
fn refused(line: &str, reason: &str) {
    match parse(line) {
        Ok(_) => panic!("{line}: accepted"),
        Err(error) => assert!(error.contains(reason), "{line}: {error}"),
    }
}

#[test]
fn the_flags_are_well_formed() {
    Line::command().debug_assert();
}

#[test]
fn defaults_are_one_pair_with_sixteen_bytes_for_ten_seconds() {
    let args = accepted("");
    assert_eq!((args.publishers, args.queues, args.consumers), (1, 1, 1));
    assert_eq!(
        (args.body_bytes(), args.time_limit()),
        (16, Duration::from_secs(10))
    );
    assert!(matches!(args.mode(), Mode::Load));
}

#[test]
fn each_mode_has_its_own_defaults() {
    let slow = accepted("--slow-reader");
    assert_eq!((slow.body_bytes(), slow.read_rate), (1 << 20, 4 << 20));
    assert!(matches!(slow.mode(), Mode::SlowReader));
    let idle = accepted("--idle --connections 5");
    assert_eq!(idle.time_limit(), Duration::from_secs(2));
    assert!(matches!(idle.mode(), Mode::Idle { connections: 5 }));
    let same = accepted("--same-connection");
    assert_eq!(
        (same.body_bytes(), same.time_limit()),
        (16, Duration::from_secs(600))
    );
    assert!(matches!(same.mode(), Mode::SameConnection));
    let declare = accepted("--declare");
    assert_eq!(declare.time_limit(), Duration::from_secs(600));
    let (connections, queues) = (1, 1000);
    assert!(
        matches!(declare.mode(), Mode::Declare { connections: c, queues: q }
        if (c, q) == (connections, queues))
    );
}

#[test]
fn flags_of_another_mode_are_refused() {
    for flag in [
        "--size 1",
        "--ack 1",
        "--latency",
        "--durable",
        "--publishers 2",
        "--rate 1",
    ] {
        refused(
            &format!("--idle --connections 1 {flag}"),
            "cannot be used with",
        );
    }
    for flag in [
        "--ack 1",
        "--latency",
        "--messages 1",
        "--warmup 1",
        "--same-connection",
    ] {
        refused(&format!("--slow-reader {flag}"), "cannot be used with");
    }
    for flag in ["--confirm 1", "--rate 1", "--queues 2", "--read-rate 1"] {
        refused(&format!("--same-connection {flag}"), "cannot be used with");
    }
    for flag in [
        "--size 1",
        "--queue-name q-%d",
        "--confirm 1",
        "--existing",
        "--idle",
    ] {
        refused(
            &format!("--declare --connections 1 {flag}"),
            "cannot be used with",
        );
    }
    for flag in [
        "--size 1",
        "--confirm 1",
        "--messages 1",
        "--warmup 1",
        "--keep",
        "--declare",
    ] {
        refused(&format!("--drain 1 {flag}"), "cannot be used with");
    }
    refused("--connections 1", "--idle");
    refused("--idle", "--connections");
    refused("--read-rate 1", "--slow-reader");
    refused("--slow-reader --rss-limit 1", "--pid");
    refused("--messages 1 --warmup 1", "cannot be used with");
}

#[test]
fn what_would_have_no_effect_is_refused() {
    refused("--publishers 0 --consumers 0", "neither");
    refused("--publishers 0 --messages 1", "needs a publisher");
    for flag in [
        "--size 1",
        "--confirm 1",
        "--persistent",
        "--rate 1",
        "--exchange e",
    ] {
        refused(&format!("--publishers 0 {flag}"), "without publishers");
    }
    refused("--drain 1 --publishers 1", "publishes nothing");
    refused("--drain 1 --consumers 0", "needs a consumer");
    refused("--confirm-latency", "needs --confirm");
    refused("--consumers 0 --ack 1", "needs a consumer");
    refused("--prefetch 1", "without --ack");
    refused("--routing-key k", "--exchange");
    refused("--queues 2 --queue-name q", "%d");
    refused("--slow-reader --queue-name q", "%d");
    refused(
        "--latency --consumers 0",
        "needs a publisher and a consumer",
    );
}

#[test]
fn slow_and_stopped_consumers_are_consumers_of_a_load() {
    accepted("--consume-rate 10 --ack 1 --prefetch 1");
    accepted("--stopped --messages 10");
    accepted("--declare --exchange amq.direct");
    accepted("--idle --connections 1 --channels 2047");
    refused("--stopped", "--messages");
    refused("--stopped --messages 1 --ack 1", "cannot be used with");
    refused("--stopped --messages 1 --consumers 0", "need a consumer");
    refused("--consume-rate 1 --consumers 0", "need a consumer");
    refused("--consume-rate 0", "--consume-rate must lie");
    accepted("--channels 2 --confirm 10 --ack 1");
    refused("--channels 2 --check", "cannot be used with");
    refused("--channels 2 --churn", "cannot be used with");
    refused("--idle --connections 1 --channels 2048", "--channels must");
}

#[test]
fn checked_bodies_have_room_for_their_seal() {
    accepted("--check --size 12");
    refused("--check --size 11", "12 bytes");
    accepted("--check --latency --size 20");
    refused("--check --latency --size 19", "20 bytes");
    refused("--check --consumers 0", "needs a publisher and a consumer");
    refused("--check --existing", "cannot be used with");
}

#[test]
fn churn_and_requests_are_modes_of_their_own() {
    let churn = accepted("--churn --rate 2000 --connections 4 --exchange amq.topic");
    assert!(matches!(churn.mode(), Mode::Churn { connections: 4 }));
    let asking = accepted("--request-reply --connections 500 --size 100");
    assert!(matches!(asking.mode(), Mode::RequestReply { clients: 500 }));
    assert_eq!(asking.time_limit(), Duration::from_secs(10));
    for flag in [
        "--size 1",
        "--durable",
        "--declare",
        "--idle --connections 1",
    ] {
        refused(&format!("--churn {flag}"), "cannot be used with");
    }
    for flag in ["--rate 1", "--confirm 1", "--churn", "--slow-reader"] {
        refused(&format!("--request-reply {flag}"), "cannot be used with");
    }
    refused("--churn --connections 1001", "--connections must lie");
}

#[test]
fn what_would_wait_for_ever_is_refused() {
    accepted("--ack 10 --prefetch 10");
    refused("--ack 11 --prefetch 10", "wait for ever");
}

#[test]
fn limits_hold_at_their_edges() {
    accepted("--latency --size 8");
    refused("--latency --size 7", "8 bytes");
    accepted("--size 134217728");
    refused("--size 134217729", "--size must lie between");
    accepted("--publishers 1000");
    refused("--publishers 1001", "--publishers must lie between");
    refused("--queues 0", "--queues must lie between");
    refused("--messages 0", "--messages must lie between");
    refused("--drain 0", "--drain must lie between");
    accepted("--confirm 100000 --confirm-latency");
    refused("--confirm 100001 --confirm-latency", "at most 100000");
    accepted("--declare --connections 1000");
    refused("--declare --connections 1001", "--connections must lie");
    accepted("--idle --connections 1001");
    accepted("--duration 0.5");
    refused("--duration=-1", "between 0 and 86400");
    refused("--duration 86401", "between 0 and 86400");
    accepted(&format!("--queue-name {}", "q".repeat(255)));
    refused(
        &format!("--queue-name {}", "q".repeat(256)),
        "longer than 255 bytes",
    );
}

#[test]
fn a_drain_publishes_nothing_without_being_told() {
    for line in [
        "--drain 7",
        "--drain 7 --publishers 0 --existing --prefetch 9 --ack 3",
    ] {
        let args = accepted(line);
        assert_eq!((args.publishers, args.consumers), (0, 1));
        assert_eq!(args.time_limit(), Duration::from_secs(600));
        assert!(args.is_counted());
    }
}

#[test]
fn queues_are_numbered_from_one_and_are_their_own_routing_keys() {
    let args = accepted("--queues 3 --queue-name a-%d-z");
    let names = args.queue_names().expect("short");
    assert_eq!(names, ["a-1-z", "a-2-z", "a-3-z"]);
    let (exchange, key) = args.target(&names[1]).expect("short");
    assert_eq!((exchange.as_str(), key.as_str()), ("", "a-2-z"));
    let args = accepted("--exchange amq.topic --routing-key k");
    let (exchange, key) = args.target(&names[1]).expect("short");
    assert_eq!((exchange.as_str(), key.as_str()), ("amq.topic", "k"));
}

#[test]
fn bindings_go_to_the_queues_in_turn_and_have_numbers() {
    let args = accepted("--exchange e --routing-key k.%d.x --routing-keys 9 --binding-key k.%d.*");
    let queue = &args.queue_names().expect("short")[0];
    assert_eq!(args.binding_count(), 1);
    let key = args.binding_key(12, queue).expect("short");
    assert_eq!(key, "k.0000000012.*");
    let args = accepted("--exchange e --exchange-type topic --bindings 7 --binding-key %d");
    assert_eq!(args.binding_count(), 7);
    let plain = accepted("--exchange e --queues 3");
    let key = plain.binding_key(2, queue).expect("short");
    assert_eq!((plain.binding_count(), key), (3, queue.clone()));
    assert_eq!(accepted("--queues 3").binding_count(), 0);
}

#[test]
fn numbers_in_keys_are_asked_for_twice() {
    refused("--exchange e --routing-key k --routing-keys 2", "needs %d");
    refused("--exchange e --routing-key %d", "needs --routing-keys");
    refused(
        "--exchange e --routing-key %d.%d --routing-keys 2",
        "one %d",
    );
    refused("--exchange e --bindings 2", "needs %d in --binding-key");
    refused("--exchange-type topic", "--exchange");
    refused("--binding-key k", "--exchange");
}

#[test]
fn the_configuration_that_is_reported_has_no_password() {
    let args = accepted("--uri amqp://u:secret@h:1/v --duration 1.5");
    let json = serde_json::to_value(&args).expect("plain values");
    assert_eq!(json["uri"], "amqp://u@h:1/v");
    assert_eq!(json["duration"], 1.5);
    assert!(!json.to_string().contains("secret"));
}

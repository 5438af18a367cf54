//! Whole configurations: precedence, faults and where they stand, the sample file.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use tempfile::NamedTempFile;

use super::options::{ERLANG_ONLY, OPTIONS};
use super::*;

/// Sources with a file of `text`; the file lives as long as the first part.
fn file(text: &str) -> (NamedTempFile, Sources) {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let sources = Sources {
        file: Some(file.path().to_owned()),
        ..Sources::default()
    };
    (file, sources)
}

fn variables(pairs: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    pairs
        .iter()
        .map(|(name, value)| (name.into(), value.into()))
        .collect()
}

#[track_caller]
fn loaded(text: &str) -> Config {
    let (_file, sources) = file(text);
    load(&sources).unwrap().config
}

/// The faults of a file of `text`, in its order.
#[track_caller]
fn faults(text: &str) -> Vec<Fault> {
    let (_file, sources) = file(text);
    faults_of(&sources)
}

#[track_caller]
fn faults_of(sources: &Sources) -> Vec<Fault> {
    match load(sources) {
        Err(ConfigError::Invalid(faults)) => faults,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_default_is_one_its_row_accepts() {
    let mut config = Config::default();
    for option in OPTIONS {
        let set = option.field.set(&mut config, None, option.default);
        assert_eq!(set, Ok(()), "{}", option.key);
    }
    assert_eq!(
        config,
        Config::default(),
        "defaults add nothing to themselves"
    );
}

#[test]
fn the_defaults_are_rabbitmqs_where_both_have_them() {
    let config = Config::default();
    assert_eq!(config.amqp_bind, ["127.0.0.1:5672".parse().unwrap()]);
    assert_eq!(config.http_bind, Some("127.0.0.1:15672".parse().unwrap()));
    assert_eq!(
        (config.heartbeat, config.frame_max, config.channel_max),
        (60, 131_072, 2047)
    );
    assert_eq!(config.initial_frame_max, 8192);
    assert_eq!(config.handshake_timeout, Duration::from_secs(10));
    assert_eq!(config.max_message_size, 134_217_728);
    assert_eq!(config.loopback_users, ["guest"]);
    assert_eq!(config.default_user_tags, ["administrator"]);
    assert_eq!(config.durability, Durability::Fsync);
    assert_eq!(config.management_max_body_bytes, 20 << 20);
}

#[test]
fn a_flag_counts_before_a_variable_before_a_file_before_the_default() {
    let (_file, mut sources) = file("heartbeat = 1\nframe_max = 10000\nchannel_max = 5\n");
    sources.variables = variables(&[("LEVERET_HEARTBEAT", "2"), ("LEVERET_FRAME_MAX", "20000")]);
    sources.flags = vec![("heartbeat", "3".to_owned())];
    let config = load(&sources).unwrap().config;
    assert_eq!(
        (config.heartbeat, config.frame_max, config.channel_max),
        (3, 20_000, 5)
    );
    assert_eq!(config.max_message_size, Config::default().max_message_size);
}

#[test]
fn a_list_of_a_higher_source_replaces_the_one_below() {
    let (_file, mut sources) = file("listeners.tcp.1 = 5001\nlisteners.tcp.2 = ::1:5002\n");
    let config = load(&sources).unwrap().config;
    assert_eq!(
        config.amqp_bind,
        ["0.0.0.0:5001", "[::1]:5002"].map(|a| a.parse().unwrap())
    );
    sources.flags = vec![("amqp-bind", "127.0.0.1:5003, 127.0.0.1:5004".to_owned())];
    let config = load(&sources).unwrap().config;
    assert_eq!(
        config.amqp_bind,
        ["127.0.0.1:5003", "127.0.0.1:5004"].map(|a| a.parse().unwrap())
    );
}

#[test]
fn loopback_users_are_a_set_spelled_in_rabbitmqs_ways() {
    assert!(loaded("loopback_users = none").loopback_users.is_empty());
    assert!(
        loaded("loopback_users.guest = false")
            .loopback_users
            .is_empty()
    );
    assert_eq!(loaded("loopback_users.bob = true").loopback_users, ["bob"]);
    assert_eq!(
        loaded("loopback_users.a\\.b = true").loopback_users,
        ["a.b"]
    );
    assert_eq!(
        loaded("loopback_users = guest, bob").loopback_users,
        ["guest", "bob"]
    );
    assert_eq!(
        loaded("default_user_tags.monitoring = true").default_user_tags,
        ["monitoring"]
    );
}

#[test]
fn the_management_port_alone_opens_every_interface_whatever_the_order_of_lines() {
    let bind = |text: &str| loaded(text).http_bind.map(|address| address.to_string());
    assert_eq!(
        bind("management.tcp.port = 8080").as_deref(),
        Some("0.0.0.0:8080")
    );
    let ip_first = "management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = 8080";
    assert_eq!(bind(ip_first).as_deref(), Some("127.0.0.1:8080"));
    let port_first = "management.tcp.port = 8080\nmanagement.tcp.ip = 127.0.0.1";
    assert_eq!(bind(port_first).as_deref(), Some("127.0.0.1:8080"));
    assert_eq!(bind("http_bind = off"), None);
}

#[test]
fn words_stand_for_what_is_left_out() {
    let config = loaded(
        "max_connections = infinity\nworker_threads = auto\nload_definitions = none\n\
         cluster_name = auto\nchannel_max = 0",
    );
    assert_eq!(
        (config.max_connections, config.worker_threads),
        (None, None)
    );
    assert_eq!((config.definitions, config.cluster_name), (None, None));
    assert_eq!(
        config.channel_max,
        u16::MAX,
        "0 is as many as there are numbers"
    );
}

#[test]
fn another_versions_name_of_a_key_means_the_same() {
    assert_eq!(loaded("connection_max = 7").max_connections, Some(7));
    assert_eq!(loaded("max_channels_per_connection = 7").channel_max, 7);
    let path = loaded("management.load_definitions = /d.json").definitions;
    assert_eq!(path.as_deref(), Some(Path::new("/d.json")));
}

#[test]
fn an_unknown_key_names_file_line_and_the_nearest_key() {
    let table = [
        ("hearbeat", "heartbeat"),
        ("listener.tcp.default", "listeners.tcp.default"),
        ("loopback_user.guest", "loopback_users.guest"),
        ("frame.max", "frame_max"),
        (
            "management.http.max_body_sise",
            "management.http.max_body_size",
        ),
        ("max_conections", "max_connections"),
    ];
    for (key, nearest) in table {
        let (file, sources) = file(&format!("# head\n\n{key} = 1\n"));
        let path = file.path().display();
        let expected = format!("{path}:3: unknown key {key}; the nearest known key is {nearest}");
        assert_eq!(load(&sources).unwrap_err().to_string(), expected);
    }
}

#[test]
fn every_bad_value_names_its_option_and_the_value() {
    let table = [
        ("data_dir", "''", ""),
        ("listeners.tcp.default", "nowhere", "nowhere"),
        ("listeners.tcp", "none", "none"),
        ("http_bind", "127.0.0.1", "127.0.0.1"),
        ("management.tcp.port", "65536", "65536"),
        ("management.tcp.ip", "localhost", "localhost"),
        ("ready_file", "''", ""),
        ("node_name", "a b", "a b"),
        ("cluster_name", "''", ""),
        ("load_definitions", "''", ""),
        ("default_user", "''", ""),
        ("default_pass", "''", "…"),
        ("default_user_tags", "''", ""),
        ("default_user_tags.administrator", "yes", "yes"),
        ("default_vhost", "''", ""),
        ("default_permissions.configure", "[", "["),
        ("default_permissions.write", "(", "("),
        ("default_permissions.read", "*", "*"),
        ("loopback_users", "guest,,bob", "guest,,bob"),
        ("loopback_users.guest", "1", "1"),
        ("heartbeat", "65536", "65536"),
        ("frame_max", "4095", "4095"),
        ("frame_max", "536870913", "536870913"),
        ("initial_frame_max", "4095", "4095"),
        ("channel_max", "65536", "65536"),
        ("handshake_timeout", "10s", "10s"),
        ("max_message_size", "0", "0"),
        ("max_message_size", "513MiB", "513MiB"),
        ("consumer_max_per_channel", "0", "0"),
        ("max_connections", "-1", "-1"),
        ("vm_memory_high_watermark.absolute", "0.4", "0.4"),
        ("vm_memory_high_watermark.relative", "1.1", "1.1"),
        ("disk_free_limit.absolute", "-1", "-1"),
        ("disk_free_limit.relative", "0", "0"),
        ("management.http.max_body_size", "1", "1"),
        ("durability", "sometimes", "sometimes"),
        ("wal.file_size", "1k", "1k"),
        ("wal.max_size", "1", "1"),
        ("resident_bytes", "lots", "lots"),
        ("wal.checkpoint_size", "x", "x"),
        ("wal.checkpoint_interval", "0", "0"),
        ("worker_threads", "0", "0"),
        ("log.console.level", "loud", "loud"),
        ("log.console.formatter", "xml", "xml"),
    ];
    for (key, text, shown) in table {
        let message = match &faults(&format!("{key} = {text}"))[..] {
            [fault @ Fault::BadValue { .. }] => fault.to_string(),
            other => panic!("{key}: {other:?}"),
        };
        let expected = format!(":1: bad value {shown:?} for {key}: ");
        assert!(message.contains(&expected), "{message}");
    }
    for option in OPTIONS {
        let base = option.list_base().unwrap_or(option.key);
        assert!(
            table.iter().any(|(key, ..)| key.starts_with(base)),
            "{base} has no bad value"
        );
    }
}

#[test]
fn a_bound_itself_is_accepted() {
    assert_eq!(loaded("frame_max = 4096").frame_max, 4096);
    assert_eq!(loaded("frame_max = 512MiB").frame_max, 536_870_912);
    assert_eq!(loaded("max_message_size = 1").max_message_size, 1);
    assert_eq!(
        loaded("max_message_size = 536870912").max_message_size,
        536_870_912
    );
    assert_eq!(loaded("heartbeat = 65535").heartbeat, 65_535);
    assert_eq!(
        loaded("consumer_max_per_channel = 1").consumer_max_per_channel,
        Some(1)
    );
}

#[test]
fn a_bad_flag_or_variable_is_named_as_it_was_given() {
    let sources = Sources {
        flags: vec![("frame-max", "tiny".to_owned())],
        variables: variables(&[("LEVERET_DURABILITY", "hope")]),
        file: None,
    };
    let messages: Vec<_> = faults_of(&sources).iter().map(Fault::to_string).collect();
    assert_eq!(
        messages,
        [
            "LEVERET_DURABILITY: bad value \"hope\" for durability: must be one of fsync, os",
            "--frame-max: bad value \"tiny\" for frame_max: must be bytes from 4096 to 536870912",
        ]
    );
}

#[test]
fn a_secret_is_not_repeated_in_its_fault() {
    let (_file, mut sources) = file("default_pass = 'hunter2' trailing\n");
    assert!(!load(&sources).unwrap_err().to_string().contains("hunter2"));
    sources.file = None;
    sources.variables = variables(&[("LEVERET_DEFAULT_PASS", "hunter2")]);
    let config = load(&sources).unwrap().config;
    assert_eq!(config.default_pass.reveal(), "hunter2");
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn everything_wrong_is_said_at_once_in_the_files_order() {
    let faults = faults("heartbeat = x\nnot an entry\nfoo = 1\n");
    let kinds = faults.iter().map(|fault| match fault {
        Fault::Malformed { .. } => "malformed",
        Fault::UnknownKey { .. } => "unknown",
        Fault::BadValue { .. } => "value",
        Fault::Conflict { .. } => "conflict",
    });
    assert_eq!(kinds.collect::<Vec<_>>(), ["value", "malformed", "unknown"]);
}

#[test]
fn the_log_must_hold_four_of_its_files() {
    let message = faults("wal.file_size = 1MiB\nwal.max_size = 4194303\n")[0].to_string();
    assert!(
        message.starts_with("wal.max_size and wal.file_size"),
        "{message}"
    );
    let config = loaded("wal.file_size = 1MiB\nwal.max_size = 4MiB\n");
    assert_eq!(
        (config.log_file_bytes, config.log_max_bytes),
        (1 << 20, 4 << 20)
    );
    assert_eq!(
        loaded("wal.file_size = 65537").log_file_bytes,
        65_536 + 4096
    );
}

#[test]
fn keys_of_rabbitmqs_runtime_warn_and_do_not_fail() {
    let text: String = ERLANG_ONLY
        .iter()
        .map(|key| key.replace('*', "x") + " = 1\n")
        .collect();
    let (_file, sources) = file(&text);
    let loaded = load(&sources).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert_eq!(loaded.warnings.len(), ERLANG_ONLY.len());
    let (_file, sources) = file("delegate_count = 4\nsysmon_handler.thresholds.busy_ports = 1\n");
    let shown: Vec<_> = load(&sources)
        .unwrap()
        .warnings
        .iter()
        .map(Warning::to_string)
        .collect();
    assert!(
        shown[0].contains(":1: delegate_count tunes RabbitMQ's Erlang runtime"),
        "{shown:?}"
    );
    assert!(
        shown[1].contains(":2: sysmon_handler.thresholds.busy_ports"),
        "{shown:?}"
    );
}

#[test]
fn the_last_line_with_a_key_counts_and_the_others_are_named() {
    let (_file, sources) = file("heartbeat = 1\nmax_connections = 4\nheartbeat = 2\n");
    let loaded = load(&sources).unwrap();
    assert_eq!(loaded.config.heartbeat, 2);
    let shown: Vec<_> = loaded.warnings.iter().map(Warning::to_string).collect();
    assert_eq!(shown.len(), 1);
    assert!(
        shown[0].ends_with(":1: heartbeat is set again in line 3, which counts"),
        "{shown:?}"
    );
}

#[test]
fn a_mistyped_variable_is_named_and_a_foreign_one_is_not() {
    let sources = Sources {
        variables: variables(&[
            ("LEVERET_HEARTBAET", "1"),
            ("LEVERET_SERVICE_HOST", "10.0.0.1"),
            ("LEVERET_CONFIG", ""),
            ("PATH", "/bin"),
        ]),
        ..Sources::default()
    };
    let loaded = load(&sources).unwrap();
    let nearest = "LEVERET_HEARTBEAT";
    let name = "LEVERET_HEARTBAET".to_owned();
    assert_eq!(
        loaded.warnings,
        [Warning::UnknownVariable { name, nearest }]
    );
}

#[test]
fn an_empty_variable_is_an_unset_one() {
    let variables = variables(&[("LEVERET_HEARTBEAT", ""), ("LEVERET_CONFIG", "")]);
    let sources = Sources {
        variables,
        ..Sources::default()
    };
    assert_eq!(load(&sources).unwrap().config, Config::default());
}

#[test]
fn a_variable_may_name_the_file_and_a_flag_comes_before_it() {
    let (first, _) = file("heartbeat = 1");
    let (second, _) = file("heartbeat = 2");
    let named = first.path().as_os_str().to_owned();
    let mut sources = Sources {
        variables: vec![(CONFIG_VARIABLE.into(), named)],
        ..Sources::default()
    };
    assert_eq!(load(&sources).unwrap().config.heartbeat, 1);
    sources.file = Some(second.path().to_owned());
    assert_eq!(load(&sources).unwrap().config.heartbeat, 2);
}

#[test]
fn a_check_is_of_the_file_alone() {
    let (file, _) = file("default_user = $(LEVERET_SEED)");
    let variables = variables(&[("LEVERET_SEED", "bob"), ("LEVERET_DURABILITY", "hope")]);
    let config = check(file.path(), variables).unwrap().config;
    assert_eq!(config.default_user, "bob");
    assert!(check(file.path(), Vec::new()).is_err_and(|e| e.to_string().contains("LEVERET_SEED")));
}

#[test]
fn a_missing_file_is_named() {
    let sources = Sources {
        file: Some("/nowhere/leveret.conf".into()),
        ..Sources::default()
    };
    let shown = load(&sources).unwrap_err().to_string();
    assert!(shown.contains("/nowhere/leveret.conf"), "{shown}");
}

#[test]
fn the_sample_changes_nothing_as_it_is_and_uncommented() {
    assert_eq!(loaded(&sample()), Config::default());
    let uncommented: Vec<_> = sample()
        .lines()
        .map(|line| line.strip_prefix("# ").unwrap_or(line).to_owned())
        .collect();
    let settings = uncommented
        .iter()
        .filter(|line| line.contains(" = "))
        .count();
    assert_eq!(settings, OPTIONS.len());
    let (_file, sources) = file(&uncommented.join("\n"));
    let loaded = load(&sources).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert_eq!(loaded.warnings, []);
}

#[test]
fn the_sample_names_flag_variable_and_bounds() {
    let sample = sample();
    for part in [
        "--frame-max",
        "LEVERET_FRAME_MAX",
        "bytes from 4096 to 536870912",
    ] {
        assert!(sample.contains(part), "{part}");
    }
    assert!(sample.lines().all(|line| line.len() <= 100));
}

#[test]
fn keys_flags_and_variables_are_each_used_once() {
    let mut seen = std::collections::HashSet::new();
    for option in OPTIONS {
        assert!(seen.insert(option.key), "{}", option.key);
        for name in option
            .also
            .iter()
            .copied()
            .chain(option.flag)
            .chain(option.env)
        {
            // `durability` is a key and a flag of one option; two options never share a name.
            assert!(name == option.key || seen.insert(name), "{name}");
        }
        if let (Some(flag), Some(env)) = (option.flag, option.env) {
            let expected = format!("LEVERET_{}", flag.to_uppercase().replace('-', "_"));
            assert_eq!(env, expected);
        }
    }
}

//! `/users` and `/permissions`.

use serde_json::json;

use crate::stage::{ALL, Stage, column};

#[test]
fn a_user_is_made_changed_and_deleted() {
    let stage = Stage::new("user-life");
    stage.must(
        "PUT",
        "users/{v}",
        r#"{"password": "p", "tags": "management, x"}"#,
        201,
    );
    let shown = stage.get("users/{v}");
    assert_eq!(shown["name"], "user-life");
    assert_eq!(shown["tags"], json!(["management", "x"]));
    assert_eq!(shown["hashing_algorithm"], "rabbit_password_hashing_sha256");
    assert_eq!(shown["limits"], json!({}));
    assert_eq!(
        stage
            .call_as(("user-life", "p"), "GET", "whoami", "")
            .status,
        200
    );
    stage.must(
        "PUT",
        "users/{v}",
        r#"{"password": "q", "tags": ["monitoring"]}"#,
        204,
    );
    assert_eq!(
        stage
            .call_as(("user-life", "p"), "GET", "whoami", "")
            .status,
        401
    );
    assert_eq!(
        stage.call_as(("user-life", "q"), "GET", "nodes", "").status,
        200
    );
    assert!(column(&stage.get("users"), "name").contains(&"user-life"));
    stage.must("DELETE", "users/{v}", "", 204);
    assert_eq!(
        stage
            .call_as(("user-life", "q"), "GET", "whoami", "")
            .status,
        401
    );
    for method in ["GET", "DELETE"] {
        stage.not_found(method, "users/{v}", "");
    }
}

#[test]
fn a_password_comes_as_text_or_as_hash_or_not_at_all() {
    let stage = Stage::new("user-hash");
    // The worked example of RabbitMQ's documentation: test12.
    let hash = r#"{"password_hash": "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR", "tags": "management"}"#;
    stage.must("PUT", "users/{v}", hash, 201);
    assert_eq!(
        stage
            .call_as(("user-hash", "test12"), "GET", "whoami", "")
            .status,
        200
    );
    stage.must("PUT", "users/{v}", r#"{"tags": "management"}"#, 204);
    for password in ["test12", ""] {
        assert_eq!(
            stage
                .call_as(("user-hash", password), "GET", "whoami", "")
                .status,
            401
        );
    }
    stage.must(
        "PUT",
        "users/{v}",
        r#"{"password": "", "tags": "management"}"#,
        204,
    );
    assert_eq!(
        stage.call_as(("user-hash", ""), "GET", "whoami", "").status,
        401
    );
}

#[test]
fn what_a_user_cannot_be_is_refused() {
    let stage = Stage::new("user-limits");
    let refused = |body: &str, reason: &str| {
        stage.refused("PUT", "users/{v}", body, (400, "bad_request", reason));
    };
    refused(r#"{"password": "x"}"#, "tags_not_present");
    refused(
        r#"{"password": "x", "password_hash": "y", "tags": ""}"#,
        "both_password_and_password_hash_are_provided",
    );
    refused(
        r#"{"password_hash": "!!", "tags": ""}"#,
        r#"["not_base64", "!!"]"#,
    );
    refused(
        r#"{"password_hash": "", "hashing_algorithm": "rot13", "tags": ""}"#,
        r#"["unknown_hashing_algorithm", "rot13"]"#,
    );
    refused(
        r#"{"password": "x", "hashing_algorithm": "rabbit_password_hashing_md5", "tags": ""}"#,
        "a password is hashed with rabbit_password_hashing_sha256",
    );
    refused(
        r#"{"password": "x", "tags": "", "permissions": {"no-such-vhost": {"configure": "", "write": "", "read": ""}}}"#,
        "vhost_or_user_not_found",
    );
    stage.not_found("GET", "users/{v}", "");
}

#[test]
fn permissions_may_come_along_with_a_user() {
    let stage = Stage::new("user-with-permissions");
    let body = r#"{"password": "p", "tags": "", "permissions": {"{v}": {"configure": "a", "write": "b", "read": "c"}}}"#;
    stage.must("PUT", "users/{v}", body, 201);
    let expected = json!({
        "user": "user-with-permissions", "vhost": "user-with-permissions",
        "configure": "a", "write": "b", "read": "c",
    });
    assert_eq!(stage.get("permissions/{v}/{v}"), expected);
    assert_eq!(stage.get("users/{v}/permissions"), json!([expected]));
    stage.peer_of(("user-with-permissions", "p"));
}

#[test]
fn users_that_can_go_nowhere_are_listed() {
    let stage = Stage::new("user-without");
    let user = stage.user("management");
    let without = || stage.get("users/without-permissions");
    assert!(column(&without(), "name").contains(&user.as_str()));
    stage.must("PUT", &format!("permissions/{{v}}/{user}"), ALL, 201);
    assert!(!column(&without(), "name").contains(&user.as_str()));
}

#[test]
fn many_users_are_deleted_at_once_or_none() {
    let stage = Stage::new("user-bulk");
    let users = [stage.user("management"), stage.user("monitoring")];
    let body = json!({ "users": [users[0], "no-such-user"] }).to_string();
    let reason = r#"["no_such_user", "no-such-user"]"#;
    stage.refused(
        "POST",
        "users/bulk-delete",
        &body,
        (400, "bad_request", reason),
    );
    stage.get(&format!("users/{}", users[0]));
    stage.must(
        "POST",
        "users/bulk-delete",
        &json!({ "users": users }).to_string(),
        204,
    );
    stage.not_found("GET", &format!("users/{}", users[0]), "");
    stage.must("POST", "users/bulk-delete", r#"{"users": "x"}"#, 400);
}

#[test]
fn a_permission_is_made_changed_and_deleted() {
    let stage = Stage::new("permission-life");
    stage.must("PUT", "permissions/{v}/guest", ALL, 204);
    let body = r#"{"configure": "^a", "write": "", "read": ".*"}"#;
    stage.must("PUT", "permissions/{v}/guest", body, 204);
    assert_eq!(stage.get("permissions/{v}/guest")["configure"], "^a");
    let of_vhost = |list: &serde_json::Value| column(list, "vhost").contains(&"permission-life");
    assert!(of_vhost(&stage.get("permissions")));
    assert!(of_vhost(&stage.get("users/guest/permissions")));
    stage.must("DELETE", "permissions/{v}/guest", "", 204);
    for method in ["GET", "DELETE"] {
        stage.not_found(method, "permissions/{v}/guest", "");
    }
    stage.not_found("GET", "users/no-such-user/permissions", "");
}

#[test]
fn what_a_permission_cannot_be_is_refused() {
    let stage = Stage::new("permission-limits");
    let refused = |path: &str, body: &str, reason: &str| {
        stage.refused("PUT", path, body, (400, "bad_request", reason));
    };
    let missing = "[{key_missing,write},{key_missing,read}]";
    refused("permissions/{v}/guest", r#"{"configure": ".*"}"#, missing);
    refused("permissions/{v}/nobody", ALL, "vhost_or_user_not_found");
    refused("permissions/{v}-no/guest", ALL, "vhost_or_user_not_found");
    let bad = r#"{"configure": "(", "write": ".*", "read": ".*"}"#;
    let answer = stage.must("PUT", "permissions/{v}/guest", bad, 400).json();
    assert_eq!(answer["reason"][0], "invalid_regexp");
    assert_eq!(stage.get("permissions/{v}/guest")["configure"], ".*");
}

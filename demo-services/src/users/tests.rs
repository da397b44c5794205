//! Users on a port of its own.

use std::time::{Duration, Instant};

use axum::http::Method;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::interface::Secret;
use super::{Context, OPERATOR_EMAIL, open_with, routes};
use crate::kit::clock::now_s;
use crate::kit::identity::{Keys, TokenError};
use crate::kit::tests::contract;
use crate::kit::tests::trial::{Answer, Trial};
use crate::switches::EXPIRED_TOKEN_STORM;

const PASSWORD: &str = "correct horse battery";
const OPERATOR_PASSWORD: &str = "a staple of operators";
const NOBODY: (&str, &str) = ("", "");

async fn users() -> Trial {
    let password = Secret::new(OPERATOR_PASSWORD.to_owned());
    Trial::open("users", "users-1", async |context| open_with(context, Some(password)).await).await
}

async fn post(users: &Trial, path: &str, body: Value) -> Answer {
    users.tell(Method::POST, path, NOBODY, &body).await
}

async fn register(users: &Trial, email: &str) -> Answer {
    let body = json!({"email": email, "password": PASSWORD, "name": "Ada"});
    post(users, "/api/v1/users", body).await
}

async fn log_in(users: &Trial, email: &str, password: &str) -> Answer {
    post(users, "/api/v1/sessions", json!({"email": email, "password": password})).await
}

/// Checks tokens as the gateway does, whose folder is beside that of users.
fn gateway_keys(users: &Trial) -> Keys {
    Keys::from_file(&users.folder.path().join("keys/jwt.key")).unwrap()
}

#[tokio::test]
async fn the_document_and_the_router_are_one() {
    users().await.has_the_interface_of(&routes()).await;
}

#[tokio::test]
async fn contracts_with_consumers_are_kept() {
    for contract in contract::with_provider("users") {
        let faults = contract::faults(&contract, &users().await).await;
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }
}

#[tokio::test]
async fn whoever_registered_logs_in_and_is_known_to_the_gateway() {
    let users = users().await;
    let profile = register(&users, " Ada@Example.org").await;
    assert_eq!(profile.status, 201);
    assert_eq!(profile.header("cache-control"), "private, no-store");
    let id = profile.body["id"].as_str().unwrap();
    assert_eq!(profile.body["email"], "ada@example.org");
    assert_eq!(profile.body["roles"], json!(["customer"]));
    let session = log_in(&users, "ada@EXAMPLE.org ", PASSWORD).await;
    assert_eq!(session.status, 201);
    assert_eq!(session.header("cache-control"), "private, no-store");
    let claims = gateway_keys(&users).verify(session.body["token"].as_str().unwrap()).unwrap();
    assert_eq!((claims.sub.as_str(), &claims.roles[..]), (id, &["customer".to_owned()][..]));
    assert_eq!(claims.iss, "logq-demo-users");
    assert_eq!(claims.exp - claims.iat, 900);
    assert!((now_s() - claims.iat) < 60);
    assert_eq!(session.body["expires_at"], claims.exp);
    assert_eq!(session.body["user_id"], id);
    let other = log_in(&users, "ada@example.org", PASSWORD).await;
    let other = gateway_keys(&users).verify(other.body["token"].as_str().unwrap()).unwrap();
    assert_ne!(claims.jti, other.jti);
    let operator = log_in(&users, OPERATOR_EMAIL, OPERATOR_PASSWORD).await;
    let claims = gateway_keys(&users).verify(operator.body["token"].as_str().unwrap()).unwrap();
    assert_eq!(claims.roles, ["operator"]);
}

#[tokio::test]
async fn tokens_of_the_storm_have_expired_already() {
    let users = users().await;
    register(&users, "ada@example.org").await;
    for (on, expected) in [(true, Some(TokenError::Expired)), (false, None)] {
        users.directory.turn(EXPIRED_TOKEN_STORM, on);
        let session = log_in(&users, "ada@example.org", PASSWORD).await;
        assert_eq!(session.status, 201);
        let token = session.body["token"].as_str().unwrap();
        assert_eq!(gateway_keys(&users).verify(token).err(), expected);
    }
}

#[tokio::test]
async fn users_see_and_change_themselves_and_operators_everybody() {
    let users = users().await;
    let ada = register(&users, "ada@example.org").await.body["id"].as_str().unwrap().to_owned();
    let bob = register(&users, "bob@example.org").await.body["id"].as_str().unwrap().to_owned();
    let (ada_path, bob_path) = (format!("/api/v1/users/{ada}"), format!("/api/v1/users/{bob}"));
    let absent = "/api/v1/users/u-0000".to_owned();
    let injected = "/api/v1/users/u-1'%20OR%20'1'='1".to_owned();
    let (ada, operator) = ((ada.as_str(), "customer"), ("u-op", "customer,operator"));
    let name = json!({"name": "Eve"});
    for (method, user, path, expected) in [
        ("GET", NOBODY, &ada_path, (401, "unauthenticated")),
        ("GET", ("", "operator"), &ada_path, (401, "unauthenticated")),
        ("GET", ada, &ada_path, (200, "")),
        ("GET", ada, &bob_path, (403, "forbidden")),
        // As for whoever exists.
        ("GET", ada, &absent, (403, "forbidden")),
        ("GET", (ada.0, "Operator,operators"), &bob_path, (403, "forbidden")),
        ("GET", operator, &bob_path, (200, "")),
        ("GET", operator, &absent, (404, "no_user")),
        ("GET", operator, &injected, (404, "no_user")),
        ("GET", operator, &"/api/v1/users/%FF".to_owned(), (400, "bad_path")),
        ("PATCH", NOBODY, &ada_path, (401, "unauthenticated")),
        ("PATCH", ada, &bob_path, (403, "forbidden")),
        ("PATCH", ada, &ada_path, (200, "")),
        ("PATCH", operator, &bob_path, (200, "")),
        ("PATCH", operator, &absent, (404, "no_user")),
        ("POST", ada, &format!("{bob_path}/deactivate"), (403, "forbidden")),
        ("POST", operator, &format!("{bob_path}/deactivate"), (200, "")),
        ("POST", operator, &format!("{bob_path}/deactivate"), (200, "")),
        ("POST", operator, &format!("{absent}/deactivate"), (404, "no_user")),
        ("DELETE", NOBODY, &ada_path, (401, "unauthenticated")),
        ("DELETE", ada, &bob_path, (403, "forbidden")),
        ("DELETE", operator, &injected, (404, "no_user")),
        ("DELETE", ada, &ada_path, (204, "")),
        ("DELETE", ada, &ada_path, (404, "no_user")),
    ] {
        let answer = users.tell(method.parse().unwrap(), path, user, &name).await;
        assert_eq!(answer.outcome(), expected, "{method} {path} as {user:?}");
        if method == "PATCH" && answer.status == 200 {
            assert_eq!(answer.body["name"], "Eve");
        }
    }
    let bob = users.ask(Method::GET, &bob_path, operator).await.body;
    assert_eq!((&bob["name"], &bob["state"]), (&json!("Eve"), &json!("deactivated")));
    for (email, password, expected) in [
        ("bob@example.org", PASSWORD, (403, "deactivated")),
        ("bob@example.org", "a wrong password", (401, "bad_credentials")),
        ("ada@example.org", PASSWORD, (401, "bad_credentials")),
    ] {
        let answer = log_in(&users, email, password).await;
        assert_eq!(answer.outcome(), expected, "{email} {password}");
    }
    // Whoever left can come again.
    assert_eq!(register(&users, "ada@example.org").await.status, 201);
}

#[tokio::test]
async fn an_unknown_address_is_answered_like_a_wrong_password_and_as_late() {
    let users = users().await;
    register(&users, "ada@example.org").await;
    let mut fastest = [Duration::MAX; 3];
    let mut bodies = Vec::new();
    for _ in 0..5 {
        for (index, email) in
            ["ada@example.org", "eve@example.org", "no address"].iter().enumerate()
        {
            let began = Instant::now();
            let answer = log_in(&users, email, "wrong horse battery").await;
            fastest[index] = fastest[index].min(began.elapsed());
            assert_eq!(answer.outcome(), (401, "bad_credentials"));
            bodies.push(answer.body);
        }
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    // A hash is nearly all of the time; without one it would be a thirtieth.
    assert!(fastest[1] > fastest[0] / 4 && fastest[2] > fastest[0] / 4, "{fastest:?}");
}

#[tokio::test]
async fn of_many_who_register_an_address_at_once_one_has_it() {
    let users = users().await;
    let emails = ["ada@example.org", "ADA@example.org"].iter().cycle().take(8);
    let answers = join_all(emails.map(|email| register(&users, email))).await;
    let mut outcomes: Vec<_> = answers.iter().map(Answer::outcome).collect();
    outcomes.sort_unstable();
    assert_eq!(outcomes[0], (201, ""));
    assert_eq!(outcomes[1..], [(409, "email_taken"); 7]);
    assert_eq!(log_in(&users, "ada@example.org", PASSWORD).await.status, 201);
    assert_eq!(register(&users, OPERATOR_EMAIL).await.outcome(), (409, "email_taken"));
}

#[tokio::test]
async fn the_address_of_the_operator_is_nobodys_without_a_password_for_it() {
    let users = async |password: Option<&str>| {
        let password = password.map(|password| Secret::new(password.to_owned()));
        Trial::open("users", "users-1", async |context| open_with(context, password).await).await
    };
    let without = users(None).await;
    assert_eq!(register(&without, OPERATOR_EMAIL).await.outcome(), (409, "email_taken"));
    for password in ["", PASSWORD, OPERATOR_PASSWORD] {
        let answer = log_in(&without, OPERATOR_EMAIL, password).await;
        assert_eq!(answer.outcome(), (401, "bad_credentials"));
    }
    // Nor that of an earlier start.
    let with = || Some(Secret::new(OPERATOR_PASSWORD.to_owned()));
    let again = async |context: &Context| {
        drop(open_with(context, with()).await?);
        open_with(context, None).await
    };
    let thrice = async |context: &Context| {
        drop(again(context).await?);
        open_with(context, with()).await
    };
    let without = Trial::open("users", "users-1", again).await;
    let with = Trial::open("users", "users-1", thrice).await;
    for (users, status) in [(without, 403), (with, 201)] {
        assert_eq!(log_in(&users, OPERATOR_EMAIL, OPERATOR_PASSWORD).await.status, status);
    }
}

#[tokio::test]
async fn what_is_no_registration_and_no_login_is_refused_with_a_code() {
    let users = users().await;
    let with = |name: &str, value: Value| {
        let mut body = json!({"email": "ada@example.org", "password": PASSWORD, "name": "Ada"});
        body[name] = value;
        body.to_string()
    };
    let (json, text) = ("application/json", "text/plain");
    for (path, kind, body, expected) in [
        ("users", json, with("email", json!("ada")), (422, "bad_email")),
        ("users", json, with("email", json!("a@b.c' OR '1'='1")), (422, "bad_email")),
        ("users", json, with("email", json!("a".repeat(255) + "@example.org")), (422, "bad_email")),
        ("users", json, with("email", json!(7)), (422, "bad_field")),
        ("users", json, with("email", json!(["a@example.org"])), (422, "bad_field")),
        ("users", json, with("password", json!("nine char")), (422, "bad_password")),
        ("users", json, with("password", json!("ä".repeat(9))), (422, "bad_password")),
        ("users", json, with("password", json!("a".repeat(129))), (422, "bad_password")),
        ("users", json, with("password", json!({"$ne": null})), (422, "bad_field")),
        ("users", json, with("password", json!(1_234_567_890)), (422, "bad_field")),
        ("users", json, with("name", json!("")), (422, "bad_name")),
        ("users", json, with("name", json!("a".repeat(101))), (422, "bad_name")),
        ("users", json, with("name", json!("a\u{0}b")), (422, "bad_name")),
        ("users", json, with("name", json!(null)), (422, "bad_field")),
        ("users", json, with("roles", json!(["operator"])), (422, "bad_field")),
        ("users", json, with("name", json!("a".repeat(20_000))), (413, "too_large")),
        ("users", json, "{\"email\":".to_owned(), (400, "bad_json")),
        ("users", json, "ada".to_owned(), (400, "bad_json")),
        ("users", text, with("name", json!("Ada")), (415, "not_json")),
        ("sessions", json, "{}".to_owned(), (422, "bad_field")),
        ("sessions", json, "[]".to_owned(), (422, "bad_field")),
        (
            "sessions",
            json,
            r#"{"email": "a' OR '1'='1", "password": "' OR '1'='1"}"#.to_owned(),
            (401, "bad_credentials"),
        ),
        (
            "sessions",
            json,
            r#"{"email": "operator@shop.example", "password": true}"#.to_owned(),
            (422, "bad_field"),
        ),
        (
            "sessions",
            json,
            format!(r#"{{"email": "a@b.c", "password": "{}"}}"#, "a".repeat(20_000)),
            (413, "too_large"),
        ),
        ("sessions", text, "{}".to_owned(), (415, "not_json")),
    ] {
        let path = format!("/api/v1/{path}");
        let shown = format!("{path} {kind} {body:.80}");
        let answer = users.send(Method::POST, &path, &[("content-type", kind)], body).await;
        assert_eq!(answer.outcome(), expected, "{shown}");
        let quoted = answer.body.to_string().contains("1234567890");
        assert!(!quoted, "an error quotes a password: {}", answer.body);
    }
    let good = [("password", json!("ä".repeat(10))), ("password", json!("茶".repeat(128)))];
    for (number, (field, value)) in good.into_iter().enumerate() {
        let mut body = json!({"email": format!("good-{number}@example.org"), "name": "'); DROP TABLE users;--"});
        body[field] = value;
        let answer = post(&users, "/api/v1/users", body).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        assert_eq!(answer.body["name"], "'); DROP TABLE users;--");
    }
}

#[tokio::test]
async fn the_log_tells_changes_of_accounts_and_no_secrets() {
    let users = users().await;
    let id = register(&users, "ada@example.org").await.body["id"].as_str().unwrap().to_owned();
    let session = log_in(&users, "ada@example.org", PASSWORD).await.body;
    log_in(&users, "ada@example.org", "wrong horse battery").await;
    let (path, ada) = (format!("/api/v1/users/{id}"), (id.as_str(), "customer"));
    users.tell(Method::PATCH, &path, ada, &json!({"name": "Lovelace"})).await;
    let deactivate = format!("{path}/deactivate");
    users.ask(Method::POST, &deactivate, ada).await;
    users.ask(Method::POST, &deactivate, ada).await;
    users.ask(Method::DELETE, &path, ada).await;
    let lines = users.close().await;
    let changes = lines.iter().filter(|line| line["event_name"] == "db.row.changed");
    let changes: Vec<_> = changes
        .map(|line| {
            assert_eq!(
                (&line["db.row.key"], &line["db.collection.name"]),
                (&json!(id), &json!("users"))
            );
            assert!(line["correlation_id"].is_string(), "{line}");
            (
                line["db.operation.name"].as_str().unwrap(),
                line["db.row.version"].as_i64(),
                &line["db.row.state"],
            )
        })
        .collect();
    let (active, deactivated) = (&json!("active"), &json!("deactivated"));
    assert_eq!(
        changes,
        [
            ("INSERT", Some(1), active),
            ("UPDATE", Some(2), active),
            ("UPDATE", Some(3), deactivated),
            ("DELETE", Some(3), &Value::Null),
        ]
    );
    let text = lines.iter().map(Value::to_string).collect::<String>();
    let token = session["token"].as_str().unwrap();
    let secrets = [
        PASSWORD,
        OPERATOR_PASSWORD,
        "wrong horse",
        token,
        "argon2",
        "ada@example.org",
        "Lovelace",
    ];
    for secret in secrets {
        assert!(!text.contains(secret), "{secret} is in the log: {text}");
    }
}

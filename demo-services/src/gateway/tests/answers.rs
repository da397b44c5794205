//! What goes out: answers that are kept, errors, and what browsers are told.

use axum::http::Method;
use futures_util::future::join_all;
use tokio::net::TcpListener;

use super::{Gate, is_secured};
use crate::gateway::settings::Settings;

#[tokio::test]
async fn nobody_is_given_another_ones_answer() {
    let gate = Gate::open(Settings::default()).await;
    let users: Vec<_> = (0..20).map(|number| format!("u-{number}")).collect();
    let tokens: Vec<_> = users.iter().map(|user| gate.token(user, "customer")).collect();
    // The services say of all of these that everybody may keep them.
    let paths = ["/api/v1/products/public", "/api/v1/cart", "/api/v1/users/public"];
    let mut answers = Vec::new();
    for _ in 0..10 {
        let asked = users.iter().zip(&tokens).flat_map(|(user, token)| {
            let gate = &gate;
            paths.map(move |path| async move {
                let answer = gate.get(path, &[("authorization", token)]).await;
                assert_eq!(answer.body["user"], user.as_str(), "{path}");
                (path, answer)
            })
        });
        answers.extend(join_all(asked).await);
    }
    let nobody = gate.get(paths[0], &[]).await;
    assert_eq!((&nobody.body["user"], nobody.header("x-cache")), (&().into(), "miss"));
    for (path, answer) in &answers {
        let control = if *path == paths[0] { "public, max-age=60" } else { "private, no-store" };
        assert_eq!(answer.header("cache-control"), control, "{path}");
        let is_kept = answer.header("x-cache") == "hit";
        assert!(!is_kept || *path == paths[0], "{path} was kept");
        let vary = answer.headers.get_all("vary").iter();
        let vary: Vec<_> = vary.map(|value| value.to_str().unwrap()).collect();
        assert_eq!(vary.join(",").contains("authorization"), *path == paths[0], "{vary:?}");
    }
    for (user, token) in users.iter().zip(&tokens) {
        let again = gate.get(paths[0], &[("authorization", token)]).await;
        assert_eq!((again.header("x-cache"), &again.body["user"]), ("hit", &user.as_str().into()));
    }
    gate.close().await;
}

#[tokio::test]
async fn a_kept_answer_is_for_what_was_asked_and_accepted() {
    let gate = Gate::open(Settings::default()).await;
    for (path, accept, kept) in [
        ("/api/v1/products/public", "application/json", "miss"),
        ("/api/v1/products/public", "application/json", "hit"),
        ("/api/v1/products/public", "text/html", "miss"),
        ("/api/v1/products/public?page=2", "application/json", "miss"),
        ("/api/v1/products/private", "application/json", "miss"),
        ("/api/v1/products/private", "application/json", "miss"),
        ("/api/v1/products/status-404", "application/json", "miss"),
        ("/api/v1/products/status-404", "application/json", "miss"),
    ] {
        let answer = gate.get(path, &[("accept", accept)]).await;
        assert_eq!(answer.header("x-cache"), kept, "{path} {accept}");
        assert!(answer.status != 200 || answer.body["accept"] == accept, "{:?}", answer.body);
    }
    for (known, status) in [("\"1\"", 304), ("\"2\"", 200)] {
        let headers = [("accept", "application/json"), ("if-none-match", known)];
        let answer = gate.get("/api/v1/products/public", &headers).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-cache")), (status, "hit"), "{known}");
    }
    gate.close().await;
}

#[tokio::test]
async fn what_goes_wrong_behind_the_door_is_told_in_words_of_the_door() {
    for (last, status, code) in [
        ("status-500", 502, "bad_gateway"),
        ("status-501", 502, "bad_gateway"),
        ("status-503", 503, "unavailable"),
        ("status-504", 504, "timeout"),
        ("status-302", 502, "bad_gateway"),
        ("long", 502, "bad_gateway"),
        ("silent", 504, "timeout"),
        ("status-404", 404, "inner_code"),
        ("words", 400, "refused"),
        ("refused", 409, "inner_code"),
    ] {
        let mut gate = Gate::open(Settings::default()).await;
        let answer = gate.get(&format!("/api/v1/products/{last}"), &[]).await;
        gate.check(last, &answer, status, code);
        assert!(!answer.headers.contains_key("location"), "{last}");
        assert_eq!(answer.headers.contains_key("retry-after"), status == 503, "{last}");
        gate.close().await;
    }
}

#[tokio::test]
async fn services_that_are_not_there_or_fail_for_long_are_closed_parts_of_the_shop() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = listener.local_addr().unwrap();
    drop(listener);
    let mut gate = Gate::before(Settings::default(), &["catalog"], nobody).await;
    let operator = gate.token("u-0", "operator");
    let headers = [("authorization", operator.as_str())];
    let answer = gate.get("/api/v1/admin/ledger", &headers).await;
    gate.check("no instance", &answer, 503, "unavailable");
    let order = gate.trial.send(Method::POST, "/checkout", &[], "{}").await;
    gate.check("an order without orders", &order, 503, "unavailable");
    assert_eq!(order.header("retry-after"), "1");
    let answer = gate.get("/api/v1/products", &[]).await;
    gate.check("unreachable", &answer, 502, "bad_gateway");
    assert!(!answer.body.to_string().contains("127.0.0.1"), "{:?}", answer.body);
    // Until the circuit is open, which is for a while.
    let mut answers = Vec::new();
    for number in 0..20 {
        answers.push(gate.get(&format!("/api/v1/products?page={number}"), &[]).await);
    }
    let open =
        answers.iter().find(|answer| answer.status == 503).expect("the circuit stays closed");
    gate.check("circuit open", open, 503, "unavailable");
    assert!(open.header("retry-after").parse::<u64>().unwrap() >= 1);
    let health = gate.get("/health", &[]).await;
    gate.check("nobody is well", &health, 503, "");
    assert_eq!(health.body["services"]["catalog"]["breaker"], "open", "{:?}", health.body);
    let home = gate.get("/api/v1/home", &[]).await;
    gate.check("a page without parts", &home, 200, "");
    assert_eq!(home.body["missing"], serde_json::json!(["products", "in_stock"]));
    // What goes wrong is in the log.
    gate.refused.retain(|(_, _, code)| !code.is_empty());
    let lines = gate.close().await;
    let causes = ["no_instance", "unreachable", "breaker_open"];
    for cause in causes {
        let is_it = |line: &serde_json::Value| {
            let message = line["error.message"].as_str().unwrap_or_default();
            line["message"] == "request failed" && message.starts_with(cause)
        };
        assert!(lines.iter().any(is_it), "{cause} is not in the log");
    }
}

#[tokio::test]
async fn a_page_does_not_wait_for_a_part_that_is_silent() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = listener.local_addr().unwrap();
    let gate = Gate::before(Settings::default(), &["catalog", "inventory"], silent).await;
    let home = gate.get("/api/v1/home", &[]).await;
    assert_eq!(home.body["missing"], serde_json::json!(["products", "in_stock"]));
    // Others are warned: the call is known to have failed.
    let health = gate.get("/api/v1/health", &[]).await;
    let dependencies = health.body["dependencies"].as_array().unwrap().iter();
    let errors = dependencies.filter(|one| one["last_error"] == "it did not answer in time");
    let names: Vec<_> = errors.map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["catalog", "inventory"]);
    // There was time for one try of each.
    let lines = gate.close().await;
    assert!(!lines.iter().any(|line| line["event_name"] == "retry.scheduled"), "{lines:#?}");
}

#[tokio::test]
async fn pages_of_other_origins_may_ask_and_read() {
    let mut gate = Gate::open(Settings::default()).await;
    let asked = [
        ("origin", "https://page.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization, content-type, idempotency-key"),
    ];
    for path in ["/checkout", "/api/v1/cart", "/nowhere"] {
        let answer = gate.trial.send(Method::OPTIONS, path, &asked, "").await;
        assert_eq!(answer.status, 200, "{path}");
        is_secured(path, &answer.headers);
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert_eq!(answer.header("access-control-max-age"), "600");
        // With any origin there are no cookies.
        assert!(!answer.headers.contains_key("access-control-allow-credentials"));
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            assert!(answer.header("access-control-allow-methods").contains(method), "{method}");
        }
        for name in ["authorization", "content-type", "idempotency-key"] {
            assert!(answer.header("access-control-allow-headers").contains(name), "{name}");
        }
    }
    for (path, status, code) in [
        ("/api/v1/products", 200, ""),
        ("/api/v1/cart", 401, "token_missing"),
        ("/nowhere", 404, "no_route"),
    ] {
        let answer = gate.get(path, &asked[..1]).await;
        gate.check(path, &answer, status, code);
        assert_eq!(answer.header("access-control-allow-origin"), "*", "{path}");
        assert!(answer.header("access-control-expose-headers").contains("x-correlation-id"));
    }
    gate.close().await;
}

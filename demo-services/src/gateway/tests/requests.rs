//! What comes in: paths, methods, bodies, and what people put into them who mean no good.

use axum::http::Method;
use serde_json::json;

use super::Gate;
use crate::gateway::routes::ROUTES;
use crate::gateway::settings::Settings;

#[tokio::test]
async fn the_document_and_the_routes_are_one() {
    // Nobody is behind it, so that what is asked for does not matter.
    let nowhere = "127.0.0.1:1".parse().unwrap();
    let gate = Gate::before(Settings::default(), &[], nowhere).await;
    let operator = gate.token("u-0", "operator");
    let mut routes: Vec<_> =
        ROUTES.iter().map(|route| format!("{} {}", route.method, route.path)).collect();
    for own in [
        "POST /checkout",
        "GET /api/v1/home",
        "GET /services",
        "GET /health",
        "GET /api/v1/health",
        "GET /api/v1/openapi.json",
    ] {
        routes.push(own.to_owned());
    }
    routes.sort();
    assert_eq!(gate.trial.documented(&[("authorization", &operator)]).await, routes);
    gate.close().await;
}

#[tokio::test]
async fn a_path_has_one_spelling_and_leads_nowhere_else() {
    let mut gate = Gate::open(Settings::default()).await;
    let paths = [
        ("/api/v1/products/cup", 200, "/api/v1/products/cup"),
        ("/api/v1/products/c%75p", 200, "/api/v1/products/cup"),
        ("/api/v1/products/a%2Fb", 200, "/api/v1/products/a%2Fb"),
        ("/api/v1/products/a%20b?q=1&q=%2e%2e/", 200, "/api/v1/products/a%20b?q=1&q=%2e%2e/"),
        ("/api/v1/products/%252e%252e", 200, "/api/v1/products/%252e%252e"),
        ("/api/v1/products?q=' OR 1=1--", 400, ""),
        ("/api/v1/products?q='%20OR%201=1--", 200, "/api/v1/products?q=%27%20OR%201=1--"),
        ("/api/v1/products/..", 400, "bad_path"),
        ("/api/v1/products/%2e%2e", 400, "bad_path"),
        ("/api/v1/products/.%2E", 400, "bad_path"),
        ("/api/v1/products/.", 400, "bad_path"),
        ("/api/v1/products/a%00b", 400, "bad_path"),
        ("/api/v1/products/a%0d%0ax-user-id:%20u-1", 400, "bad_path"),
        ("/api/v1/products/%ff", 400, "bad_path"),
        ("/api/v1/products/", 404, "no_route"),
        ("/api/v1/products/cup/", 404, "no_route"),
        ("/api/v1//products", 404, "no_route"),
        ("//api/v1/products", 404, "no_route"),
        ("/api/v1/products/../admin/ledger", 404, "no_route"),
        ("/api/v1/products/../../../etc/passwd", 404, "no_route"),
        ("/API/v1/products", 404, "no_route"),
        ("/api/v1/ledger", 404, "no_route"),
        ("/api/v1/account", 404, "no_route"),
        ("/api/v1/sagas/s-1", 404, "no_route"),
        ("/", 404, "no_route"),
    ];
    for (number, (path, status, expected)) in paths.into_iter().enumerate() {
        let id = format!("path-{number}");
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: shop\r\nx-correlation-id: {id}\r\nconnection: close\r\n\r\n"
        );
        let (found, answer) = gate.raw(request.as_bytes()).await;
        assert_eq!(found, status, "{path}: {answer}");
        assert!(answer.contains(expected), "{path}: {answer}");
        if status >= 400 && !expected.is_empty() {
            assert!(answer.contains("x-content-type-options: nosniff"), "{path}: {answer}");
            gate.refused.push((id, status, expected.to_owned()));
        }
    }
    gate.close().await;
}

#[tokio::test]
async fn a_wrong_method_is_told_which_ones_are_right() {
    let mut gate = Gate::open(Settings::default()).await;
    for (method, path, allowed) in [
        (Method::POST, "/api/v1/products", "GET"),
        (Method::DELETE, "/checkout", "POST"),
        (Method::PUT, "/api/v1/home", "GET"),
        (Method::POST, "/api/v1/health", "GET"),
        (Method::TRACE, "/api/v1/cart", "DELETE"),
        ("BREW".parse().unwrap(), "/api/v1/openapi.json", "GET"),
    ] {
        let answer = gate.trial.send(method, path, &[], "").await;
        gate.check(path, &answer, 405, "wrong_method");
        assert!(answer.header("allow").contains(allowed), "{path}: {:?}", answer.headers);
    }
    gate.close().await;
}

#[tokio::test]
async fn a_body_that_is_too_large_or_too_slow_is_refused() {
    let mut gate = Gate::open(Settings {
        body_timeout: std::time::Duration::from_millis(100),
        ..Settings::default()
    })
    .await;
    let token = gate.token("u-1", "customer");
    let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
    for (method, path) in [
        (Method::PUT, "/api/v1/cart/items/cup"),
        (Method::POST, "/api/v1/sessions"),
        (Method::POST, "/checkout"),
    ] {
        let large = json!({"name": "x".repeat(20 << 10)}).to_string();
        let answer = gate.trial.send(method, path, &headers, large).await;
        gate.check(path, &answer, 413, "too_large");
    }
    for path in ["/api/v1/sessions", "/checkout"] {
        let id = format!("slow-{}", gate.refused.len());
        let head = format!("POST {path} HTTP/1.1\r\nhost: shop\r\nx-correlation-id: {id}\r\n");
        let rest = "connection: close\r\ncontent-length: 100\r\n\r\n{";
        let (status, answer) = gate.raw(format!("{head}{rest}").as_bytes()).await;
        assert_eq!(status, 408, "{answer}");
        gate.refused.push((id, 408, "body_timeout".to_owned()));
    }
    let broken = gate.trial.send(Method::POST, "/checkout", &headers, "{\"items\": [").await;
    gate.check("half a body", &broken, 400, "bad_json");
    gate.close().await;
}

#[tokio::test]
async fn what_is_put_in_to_do_harm_does_none_and_is_one_line_of_the_log() {
    let mut gate = Gate::open(Settings::default()).await;
    let texts = [
        "'; DROP TABLE users; --",
        "../../../../etc/passwd",
        "{\"level\":\"error\",\"message\":\"forged\"}",
        "\" , \"level\": \"error",
        "${jndi:ldap://10.0.0.1/a}",
        "%0d%0aset-cookie: a=b",
        "<script>alert(1)</script>",
        "%s%n{}",
    ];
    for text in texts {
        let headers = [("x-correlation-id", text), ("accept", text), ("user-agent", text)];
        let answer = gate.get("/api/v1/products/status-404", &headers).await;
        assert_eq!(answer.header("x-correlation-id"), text);
        assert_eq!(answer.outcome(), (404, "inner_code"));
        assert!(!answer.headers.contains_key("set-cookie"), "{:?}", answer.headers);
    }
    for text in texts.into_iter().chain(["a\0b", "a\r\nb", "\u{1b}[31m", "\u{2028}", "ü☃"]) {
        let body = json!({"customer": text, "items": [{"sku": text, "quantity": 1}], "card": text});
        let answer = gate.trial.send(Method::POST, "/checkout", &[], body.to_string()).await;
        gate.check(text, &answer, 200, "");
        let refused = gate.trial.send(Method::POST, "/checkout", &[], format!("x{text}")).await;
        gate.check(text, &refused, 400, "bad_json");
        let id = refused.header("x-correlation-id");
        assert!(id.starts_with("ord-"), "{id}");
    }
    // Header fields that are none do not get in, and those after a line break are not said by the gateway.
    for field in
        ["x-correlation-id: a\0b", "x-correlation-id: a\r\nx-user-id: u-0", "accept: \u{1}"]
    {
        let request = format!(
            "GET /api/v1/products/cup HTTP/1.1\r\nhost: shop\r\n{field}\r\nconnection: close\r\n\r\n"
        );
        let (status, answer) = gate.raw(request.as_bytes()).await;
        let is_refused = status == 400 && !answer.contains("u-0");
        assert!(is_refused || answer.contains("\"user\":null"), "{field:?}: {answer}");
    }
    // Each line of it is an object, or this fails.
    let lines = gate.close().await;
    let is_forged = |line: &&serde_json::Value| line["message"] == "forged";
    assert!(!lines.iter().any(|line| is_forged(&line)));
    for text in texts {
        let is_it = |line: &serde_json::Value| {
            line["correlation_id"] == text && line["error.type"] == "inner_code"
        };
        assert!(lines.iter().any(is_it), "{text} is not in the log");
        assert!(lines.iter().any(|line| line["customer"] == text), "{text} is no customer");
    }
}

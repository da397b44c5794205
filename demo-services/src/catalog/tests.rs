//! The catalog on a port of its own.

use std::time::Instant;

use axum::http::Method;
use serde_json::{Value, json};

use super::{SLOW_FOR, open, routes};
use crate::kit::tests::contract;
use crate::kit::tests::trial::{Answer, Trial};
use crate::switches::{FLAKY_CATALOG, SLOW_CATALOG};

const ADA: (&str, &str) = ("u-ada", "customer");
const BOB: (&str, &str) = ("u-bob", "customer");
const NOBODY: (&str, &str) = ("", "");

async fn catalog() -> Trial {
    instance("catalog-1").await
}

async fn instance(instance: &str) -> Trial {
    Trial::open("catalog", instance, open).await
}

async fn read(catalog: &Trial, path: &str) -> Answer {
    catalog.ask(Method::GET, path, NOBODY).await
}

fn skus(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|item| item["sku"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_document_and_the_router_are_one() {
    catalog().await.has_the_interface_of(&routes()).await;
}

#[tokio::test]
async fn contracts_with_consumers_are_kept() {
    for contract in contract::with_provider("catalog") {
        let faults = contract::faults(&contract, &catalog().await).await;
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }
}

#[tokio::test]
async fn everybody_reads_products_by_page_and_sku() {
    let catalog = catalog().await;
    let all = ["cup", "kettle", "oolong-100g", "saucer", "sencha-100g", "teapot"];
    for (query, expected, page, limit) in [
        ("", &all[..], 1, 20),
        ("?page=1&limit=4", &all[..4], 1, 4),
        ("?page=2&limit=4", &all[4..], 2, 4),
        ("?page=3&limit=4", &[], 3, 4),
        ("?page=1000000&limit=100", &[], 1_000_000, 100),
    ] {
        let answer = read(&catalog, &format!("/api/v1/products{query}")).await;
        assert_eq!(answer.status, 200, "{query}");
        assert_eq!(skus(&answer.body["products"]), expected, "{query}");
        let Answer { body, .. } = &answer;
        assert_eq!(
            (&body["page"], &body["limit"], &body["total"]),
            (&json!(page), &json!(limit), &json!(6))
        );
    }
    for (sku, price_cents) in [
        ("teapot", 3_450),
        ("cup", 890),
        ("saucer", 540),
        ("oolong-100g", 1_290),
        ("sencha-100g", 1_150),
        ("kettle", 7_900),
    ] {
        let product = read(&catalog, &format!("/api/v1/products/{sku}")).await.body;
        assert_eq!((&product["sku"], &product["price_cents"]), (&json!(sku), &json!(price_cents)));
        assert!(!product["variants"].as_array().unwrap().is_empty(), "{sku}");
        for variant in product["variants"].as_array().unwrap() {
            let path = format!("/api/v1/products/{}", variant["sku"].as_str().unwrap());
            let found = read(&catalog, &path).await.body;
            assert_eq!(found["variant_of"], json!(sku));
            assert_eq!(found["price_cents"], variant["price_cents"]);
        }
    }
}

#[tokio::test]
async fn a_search_finds_what_has_all_words() {
    let catalog = catalog().await;
    for (q, expected) in [
        ("teapot", &["teapot"][..]),
        ("TEAP", &["teapot"]),
        ("white%20porcelain", &["cup", "teapot"]),
        ("porcelain%20teapot", &["teapot"]),
        ("copper", &["kettle"]),
        ("samovar", &[]),
        ("%22", &[]),
        ("%22%20OR%20sku:*", &[]),
        ("teapot%20OR%20cup", &[]),
        ("teapot%20%22NEAR(", &[]),
        ("'%20OR%201=1;--", &[]),
        ("%00", &[]),
        ("%E8%8C%B6", &[]),
    ] {
        let answer = read(&catalog, &format!("/api/v1/search?q={q}")).await;
        assert_eq!(answer.status, 200, "{q}: {}", answer.body);
        let mut found = skus(&answer.body["products"]);
        found.sort_unstable();
        assert_eq!(found, expected, "{q}");
    }
}

#[tokio::test]
async fn reads_may_be_kept_until_they_change_and_carts_may_not() {
    let catalog = catalog().await;
    for path in ["/api/v1/products", "/api/v1/products/cup", "/api/v1/search?q=tea"] {
        let answer = read(&catalog, path).await;
        assert_eq!(answer.header("cache-control"), "public, max-age=5", "{path}");
        assert_eq!(answer.header("content-type"), "application/json", "{path}");
        let tag = answer.header("etag").to_owned();
        assert_eq!(read(&catalog, path).await.header("etag"), tag);
        for (named, status) in [
            (tag.clone(), 304),
            (format!("\"other\", W/{tag}"), 304),
            ("*".to_owned(), 304),
            ("\"other\"".to_owned(), 200),
            (tag.trim_matches('"').to_owned(), 200),
        ] {
            let again = catalog.send(Method::GET, path, &[("if-none-match", &named)], "").await;
            assert_eq!(again.status, status, "{path} {named}");
            assert_eq!(again.header("etag"), tag, "{path} {named}");
        }
    }
    for (path, user) in
        [("/api/v1/cart", ADA), ("/api/v1/cart", NOBODY), ("/api/v1/products/samovar", NOBODY)]
    {
        let answer = catalog.ask(Method::GET, path, user).await;
        assert_eq!(answer.header("cache-control"), "private, no-store", "{path} {user:?}");
        assert_eq!(answer.header("etag"), "", "{path} {user:?}");
    }
}

#[tokio::test]
async fn each_user_fills_and_clears_a_cart_of_their_own_and_the_log_tells_it() {
    let catalog = catalog().await;
    let put = async |user, sku: &str, quantity: u32| {
        let path = format!("/api/v1/cart/items/{sku}");
        let answer = catalog.tell(Method::PUT, &path, user, &json!({"quantity": quantity})).await;
        assert_eq!(answer.status, 200, "{sku}: {}", answer.body);
        answer.body
    };
    let cart = async |user| catalog.ask(Method::GET, "/api/v1/cart", user).await.body;
    let remove = async |user, path| {
        assert_eq!(catalog.ask(Method::DELETE, path, user).await.status, 204, "{path}");
    };
    let empty = json!({"items": [], "total_cents": 0});
    assert_eq!(cart(ADA).await, empty);
    put(ADA, "cup", 1).await;
    put(ADA, "teapot-blue", 1).await;
    let full = put(ADA, "cup", 100).await;
    assert_eq!(full["total_cents"], 89_000 + 3_650);
    assert_eq!(
        full["items"][0],
        json!({"sku": "cup", "name": "Cup", "quantity": 100, "price_cents": 890, "amount_cents": 89_000})
    );
    assert_eq!(cart(ADA).await, full);
    put(BOB, "kettle", 2).await;
    remove(BOB, "/api/v1/cart/items/cup").await;
    remove(ADA, "/api/v1/cart/items/cup").await;
    remove(ADA, "/api/v1/cart/items/cup").await;
    assert_eq!(skus(&cart(ADA).await["items"]), ["teapot-blue"]);
    remove(ADA, "/api/v1/cart").await;
    assert_eq!(cart(ADA).await, empty);
    assert_eq!(skus(&cart(BOB).await["items"]), ["kettle"]);
    let lines = catalog.close().await;
    let changes = lines.iter().filter(|line| line["event_name"] == "db.row.changed");
    let changes: Vec<_> = changes
        .map(|line| {
            assert!(line["correlation_id"].is_string(), "{line}");
            (
                line["db.operation.name"].as_str().unwrap(),
                line["db.row.key"].as_str().unwrap(),
                &line["db.row.version"],
            )
        })
        .collect();
    let (first, second, none) = (&json!(1), &json!(2), &Value::Null);
    assert_eq!(
        changes,
        [
            ("INSERT", "u-ada,cup", first),
            ("INSERT", "u-ada,teapot-blue", first),
            ("UPDATE", "u-ada,cup", second),
            ("INSERT", "u-bob,kettle", first),
            ("DELETE", "u-ada,cup", none),
            ("DELETE", "u-ada,teapot-blue", none),
        ]
    );
}

#[tokio::test]
async fn what_cannot_be_answered_is_refused_with_a_code() {
    let catalog = catalog().await;
    let long = format!("/api/v1/search?q={}", "a".repeat(101));
    for (method, path, user, expected) in [
        ("GET", "/api/v1/products?page=0", NOBODY, (422, "bad_page")),
        ("GET", "/api/v1/products?limit=0", NOBODY, (422, "bad_page")),
        ("GET", "/api/v1/products?limit=101", NOBODY, (422, "bad_page")),
        ("GET", "/api/v1/products?page=1000001", NOBODY, (422, "bad_page")),
        ("GET", "/api/v1/products?page=-1", NOBODY, (400, "bad_query")),
        ("GET", "/api/v1/products?page=1;DROP%20TABLE%20products", NOBODY, (400, "bad_query")),
        ("GET", "/api/v1/products?page=4294967296", NOBODY, (400, "bad_query")),
        ("GET", "/api/v1/products/samovar", NOBODY, (404, "no_product")),
        ("GET", "/api/v1/products/teapot'%20OR%20'1'='1", NOBODY, (404, "no_product")),
        ("GET", "/api/v1/products/%00", NOBODY, (404, "no_product")),
        ("GET", "/api/v1/products/%FF", NOBODY, (400, "bad_path")),
        ("GET", "/api/v1/products/..%2F..%2Fetc%2Fpasswd", NOBODY, (404, "no_product")),
        ("GET", "/api/v1/search", NOBODY, (400, "bad_query")),
        ("GET", "/api/v1/search?q=", NOBODY, (422, "bad_search")),
        ("GET", &long, NOBODY, (422, "bad_search")),
        ("GET", "/api/v1/cart", NOBODY, (401, "unauthenticated")),
        ("DELETE", "/api/v1/cart", NOBODY, (401, "unauthenticated")),
        ("DELETE", "/api/v1/cart/items/cup", NOBODY, (401, "unauthenticated")),
        ("DELETE", "/api/v1/cart/items/'%20OR%201=1", ADA, (204, "")),
        ("POST", "/api/v1/products", ADA, (405, "wrong_method")),
        ("GET", "/api/v1/nothing", ADA, (404, "no_route")),
    ] {
        let answer = catalog.ask(method.parse().unwrap(), path, user).await;
        assert_eq!(answer.outcome(), expected, "{method} {path}");
    }
    let (json, text) = ("application/json", "text/plain");
    let long = format!("{{\"quantity\": 1, \"note\": \"{}\"}}", "a".repeat(20_000));
    for (sku, user, kind, body, expected) in [
        ("cup", NOBODY, json, r#"{"quantity": 1}"#, (401, "unauthenticated")),
        ("samovar", ADA, json, r#"{"quantity": 1}"#, (404, "no_product")),
        ("'; DELETE FROM products; --", ADA, json, r#"{"quantity": 1}"#, (404, "no_product")),
        ("cup", ADA, json, r#"{"quantity": 0}"#, (422, "bad_quantity")),
        ("cup", ADA, json, r#"{"quantity": 101}"#, (422, "bad_quantity")),
        ("cup", ADA, json, r#"{"quantity": -1}"#, (422, "bad_field")),
        ("cup", ADA, json, r#"{"quantity": 1.5}"#, (422, "bad_field")),
        ("cup", ADA, json, r#"{"quantity": "1 OR 1=1"}"#, (422, "bad_field")),
        ("cup", ADA, json, r#"{"quantity": null}"#, (422, "bad_field")),
        ("cup", ADA, json, r#"{"quantity": 1, "price_cents": 1}"#, (422, "bad_field")),
        ("cup", ADA, json, "{}", (422, "bad_field")),
        ("cup", ADA, json, "[1", (400, "bad_json")),
        ("cup", ADA, json, "", (400, "bad_json")),
        ("cup", ADA, json, &long, (413, "too_large")),
        ("cup", ADA, text, r#"{"quantity": 1}"#, (415, "not_json")),
    ] {
        let path = format!("/api/v1/cart/items/{}", sku.replace(' ', "%20"));
        let headers = [("x-user-id", user.0), ("content-type", kind)];
        let answer = catalog.send(Method::PUT, &path, &headers, body.to_owned()).await;
        assert_eq!(answer.outcome(), expected, "{sku} {kind} {body:.40}");
    }
    let total = read(&catalog, "/api/v1/products").await.body["total"].clone();
    assert_eq!(total, 6);
}

#[tokio::test]
async fn a_flaky_catalog_refuses_every_second_read() {
    let catalog = catalog().await;
    let mut seen = Vec::new();
    catalog.directory.turn(FLAKY_CATALOG, true);
    for path in
        ["/api/v1/products", "/api/v1/products/cup", "/api/v1/search?q=tea", "/api/v1/products/cup"]
    {
        let answer = read(&catalog, path).await;
        assert_ne!(
            answer.header("cache-control"),
            if answer.status == 200 { "" } else { "public, max-age=5" }
        );
        seen.push((answer.outcome().0, answer.outcome().1.to_owned()));
    }
    let [flaky, good] = [(503, "catalog_flaky".to_owned()), (200, String::new())];
    assert_eq!(seen, [flaky.clone(), good.clone(), flaky, good.clone()]);
    assert_eq!(catalog.ask(Method::GET, "/api/v1/cart", ADA).await.status, 200);
    assert_eq!(catalog.ask(Method::GET, "/api/v1/cart", ADA).await.status, 200);
    catalog.directory.turn(FLAKY_CATALOG, false);
    for _ in 0..2 {
        assert_eq!(read(&catalog, "/api/v1/products").await.status, 200);
    }
}

#[tokio::test]
async fn of_a_slow_catalog_the_first_instance_is_slow() {
    for (name, switch, is_slow) in [
        ("catalog-1", SLOW_CATALOG, true),
        ("catalog-1", "slow-payments", false),
        ("catalog-2", SLOW_CATALOG, false),
    ] {
        let catalog = instance(name).await;
        catalog.directory.turn(switch, true);
        // The fastest of some: a busy machine makes some slow.
        let mut fastest = SLOW_FOR * 100;
        for _ in 0..if is_slow { 1 } else { 5 } {
            let began = Instant::now();
            assert_eq!(read(&catalog, "/api/v1/products/cup").await.status, 200);
            fastest = fastest.min(began.elapsed());
        }
        assert_eq!(fastest >= SLOW_FOR, is_slow, "{name} {switch}: {fastest:?}");
    }
}

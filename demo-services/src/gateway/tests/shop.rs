//! The gateway before a whole shop.

use std::time::Duration;

use reqwest::{Client, Method};
use serde_json::{Value, json};

use super::claims;
use crate::kit::client::http_client;
use crate::kit::identity::Keys;
use crate::payments::CARD_GOOD;
use crate::shop::{Running, Settings, Wanted};

struct Door {
    client: Client,
    base: String,
}

impl Door {
    /// Status and body.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        token: &str,
        key: &str,
        body: &Value,
    ) -> (u16, Value) {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        if !key.is_empty() {
            request = request.header("idempotency-key", key);
        }
        let answer = request.json(body).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }
}

async fn shop(folder: &std::path::Path) -> Running {
    let settings = Settings {
        data: folder.join("data"),
        logs: folder.join("logs"),
        collector: None,
        step_timeout: Duration::from_secs(5),
        seed: 1,
    };
    let wanted = crate::shop::KINDS.iter().map(|kind| Wanted::one(kind.name));
    let shop = Running::start(&settings, None, &wanted.collect::<Vec<_>>()).await.unwrap();
    shop.found().await.unwrap();
    shop
}

#[tokio::test]
async fn an_order_is_seen_by_whoever_placed_it() {
    let folder = tempfile::tempdir().unwrap();
    let shop = shop(folder.path()).await;
    let base = format!("http://{}", shop.address("gateway-1").unwrap());
    let door = Door { client: http_client(), base };
    let (post, get) = (Method::POST, Method::GET);
    let mut tokens = Vec::new();
    for email in ["ada@example.org", "eve@example.org"] {
        let account = json!({"email": email, "password": "correct horse battery", "name": "A"});
        let (status, _) = door.ask(post.clone(), "/api/v1/users", "", "", &account).await;
        assert_eq!(status, 201);
        let login = json!({"email": email, "password": "correct horse battery"});
        let (status, session) = door.ask(post.clone(), "/api/v1/sessions", "", "", &login).await;
        assert_eq!(status, 201, "{session}");
        tokens.push(session["token"].as_str().unwrap().to_owned());
    }
    let keys = Keys::from_file(&folder.path().join("data/keys/jwt.key")).unwrap();
    let operator = keys.sign(&claims("u-0", "operator")).unwrap();
    let [ada, eve] = &tokens[..] else { panic!() };
    let items = json!([{"sku": "cup", "quantity": 1}]);
    let order = json!({"customer": "cust-001", "items": items, "card": CARD_GOOD});
    for (by, expected) in [
        (ada.as_str(), [("", 404), (ada.as_str(), 200), (eve, 404), (&operator, 200)]),
        ("", [("", 200), (ada, 200), (eve, 200), (&operator, 200)]),
    ] {
        let (status, placed) = door.ask(post.clone(), "/checkout", by, "", &order).await;
        assert_eq!(status, 201, "{placed}");
        let path = format!("/api/v1/orders/{}", placed["order_id"].as_str().unwrap());
        for (token, status) in expected {
            let (found, seen) = door.ask(get.clone(), &path, token, "", &Value::Null).await;
            assert_eq!(found, status, "{seen}");
        }
    }
    // Another's key does not lead to another's order.
    for (by, status) in [(ada.as_str(), 201), (ada, 201), (eve, 422), ("", 422)] {
        let (found, answer) = door.ask(post.clone(), "/checkout", by, "the-key", &order).await;
        assert_eq!(found, status, "{answer}");
        assert_eq!(answer["order_id"].is_string(), status == 201, "{answer}");
    }
    // A field of another type is refused, and is not quoted in anybody's log.
    let number = 4_000_000_000_000_259_u64;
    let odd = json!({"customer": "cust-001", "items": items, "card": number});
    let (status, refused) = door.ask(post, "/checkout", "", "", &odd).await;
    assert_eq!((status, refused["error"]["code"].as_str()), (422, Some("bad_field")));
    shop.close().await.unwrap();
    for log in std::fs::read_dir(folder.path().join("logs")).unwrap() {
        let log = std::fs::read_to_string(log.unwrap().path()).unwrap();
        assert!(!log.contains(&number.to_string()), "{log}");
    }
}

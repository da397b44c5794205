//! Who comes in, and as whom.

use axum::http::Method;

use super::{Gate, claims};
use crate::gateway::settings::Settings;
use crate::kit::clock::now_s;
use crate::kit::identity::Keys;

const PROFILE: &str = "/api/v1/users/u-1";
const LEDGER: &str = "/api/v1/admin/ledger";

#[tokio::test]
async fn a_token_that_is_no_good_is_refused_in_whatever_shape_it_comes() {
    let mut gate = Gate::open(Settings::default()).await;
    let good = gate.token("u-1", "customer");
    let of = |keys: &Keys, change: &dyn Fn(&mut crate::kit::identity::Claims)| {
        let mut claims = claims("u-1", "operator");
        change(&mut claims);
        format!("Bearer {}", keys.sign(&claims).unwrap())
    };
    let keys = gate.keys();
    let expired = of(&keys, &|claims| claims.exp = now_s() - 1);
    let other = tempfile::tempdir().unwrap();
    let forged = of(&Keys::from_file(&other.path().join("key")).unwrap(), &|_| {});
    let payload = good.split('.').nth(1).unwrap();
    let none = format!("Bearer eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{payload}.");
    let long = format!("Bearer {}", "a".repeat(5_000));
    for (token, code) in [
        (expired.as_str(), "token_expired"),
        (&forged, "token_invalid"),
        (&none, "token_invalid"),
        (&long, "token_invalid"),
        (&good[..good.len() - 2], "token_invalid"),
        (good.trim_start_matches("Bearer "), "token_invalid"),
        (&good.replace("Bearer ", "Bearer"), "token_invalid"),
        (&good.replace("Bearer", "Basic"), "token_invalid"),
        (&format!("{good}, {good}"), "token_invalid"),
        ("Bearer", "token_invalid"),
        ("Bearer ", "token_invalid"),
        ("Bearer ..", "token_invalid"),
        ("Bearer a.b.c.d", "token_invalid"),
        ("Bearer ' OR '1'='1", "token_invalid"),
        ("", "token_invalid"),
    ] {
        // Also where nobody has to be anybody.
        for path in [PROFILE, LEDGER, "/api/v1/products", "/nowhere"] {
            let answer = gate.get(path, &[("authorization", token)]).await;
            gate.check(token, &answer, 401, code);
            assert_eq!(answer.header("www-authenticate"), "Bearer");
        }
    }
    let twice = [("authorization", good.as_str()), ("authorization", &good)];
    let answer = gate.get(PROFILE, &twice).await;
    gate.check("two tokens", &answer, 401, "token_invalid");
    let lines = gate.close().await;
    let log = lines.iter().map(ToString::to_string).collect::<String>();
    assert!(!log.contains(payload), "a token is in the log");
}

#[tokio::test]
async fn who_has_no_token_or_not_the_role_is_refused_before_anything_else() {
    let mut gate = Gate::open(Settings::default()).await;
    let (customer, operator) = (gate.token("u-1", "customer"), gate.token("u-0", "operator"));
    for (token, path, status, code) in [
        ("", PROFILE, 401, "token_missing"),
        ("", LEDGER, 401, "token_missing"),
        ("", "/api/v1/cart", 401, "token_missing"),
        ("", "/api/v1/users/%00", 401, "token_missing"),
        ("", "/api/v1/products", 200, ""),
        (&customer, PROFILE, 200, ""),
        (&customer, LEDGER, 403, "forbidden"),
        (&customer, "/api/v1/admin/sagas/s-1", 403, "forbidden"),
        (&operator, LEDGER, 200, ""),
        (&operator, PROFILE, 200, ""),
    ] {
        let headers = [("authorization", token)];
        let headers = if token.is_empty() { &[][..] } else { &headers };
        let answer = gate.get(path, headers).await;
        gate.check(path, &answer, status, code);
        assert_eq!(answer.headers.contains_key("www-authenticate"), status == 401, "{path}");
    }
    let body = "x".repeat(20 << 10);
    let put = gate.trial.send(Method::PUT, "/api/v1/cart/items/cup", &[], body).await;
    gate.check("a large body of nobody", &put, 401, "token_missing");
    gate.close().await;
}

#[tokio::test]
async fn services_hear_who_asks_from_the_gateway_and_from_nobody_else() {
    let gate = Gate::open(Settings::default()).await;
    let customer = gate.token("u-1", "customer");
    let claimed = [
        ("x-user-id", "u-0"),
        ("X-User-Roles", "operator"),
        ("x-service-name", "orders"),
        ("x-forwarded-for", "10.0.0.1"),
        ("cookie", "user=u-0"),
        // With it a call may be tried again, and these services do not keep it.
        ("idempotency-key", "k-1"),
    ];
    let nobody = gate.get("/api/v1/products/cup", &claimed).await.body;
    assert_eq!((&nobody["user"], &nobody["roles"]), (&().into(), &().into()), "{nobody}");
    let mut headers = claimed.to_vec();
    headers.push(("authorization", &customer));
    let somebody = gate.get(PROFILE, &headers).await.body;
    assert_eq!((&somebody["user"], &somebody["roles"]), (&"u-1".into(), &"customer".into()));
    for said in [nobody, somebody] {
        let seen: Vec<_> = said["headers"].as_array().unwrap().iter().collect();
        for name in ["authorization", "cookie", "x-forwarded-for", "idempotency-key"] {
            assert!(!seen.contains(&&name.into()), "{name}: {said}");
        }
    }
    gate.close().await;
}

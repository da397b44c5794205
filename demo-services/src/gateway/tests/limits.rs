//! How often one may ask.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use axum::http::Method;
use futures_util::future::join_all;
use futures_util::{StreamExt, stream};

use super::{Gate, is_secured};
use crate::gateway::settings::Settings;

/// Of one client: more than it may have requests under way.
const CONNECTIONS: usize = 200;
const DEADLINE: Duration = Duration::from_secs(60);

fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).unwrap()
}

#[tokio::test]
async fn a_thousand_in_a_rush_are_answered_or_told_to_come_again() {
    let gate = Gate::open(Settings::default()).await;
    // Half of them could be kept.
    let paths = ["/api/v1/products/public", "/api/v1/products/cup"];
    let asked = (0..1_000).map(|number| gate.get(paths[number % 2], &[]));
    let answers: Vec<_> = stream::iter(asked).buffer_unordered(CONNECTIONS).collect().await;
    let mut answered = 0;
    let mut others = Vec::new();
    for answer in answers {
        is_secured("a rush", &answer.headers);
        assert!(!answer.header("x-correlation-id").is_empty());
        match answer.outcome() {
            (200, _) => answered += 1,
            (429, "too_many_requests") => {
                assert!(answer.header("retry-after").parse::<u64>().unwrap() >= 1);
            }
            (status, _) => others.push(status),
        }
    }
    let began = Instant::now();
    while gate.get("/health", &[]).await.status != 200 {
        assert!(began.elapsed() < DEADLINE, "it does not recover");
    }
    let lines = gate.close().await;
    let why = lines.iter().find(|line| line["message"] == "request failed");
    assert!(others.is_empty(), "{others:?}: {why:?}");
    assert!((100..1_000).contains(&answered), "{answered} were answered");
}

#[tokio::test]
async fn each_client_has_a_count_and_so_have_tokens_that_are_no_good() {
    let mut gate =
        Gate::open(Settings { per_second: number(1), burst: number(3), ..Settings::default() })
            .await;
    let began = Instant::now();
    let [ada, eve] = ["u-1", "u-2"].map(|user| gate.token(user, "customer"));
    for token in [ada.as_str(), &eve, "Bearer forged"] {
        let mut outcomes = Vec::new();
        for _ in 0..8 {
            let answer = gate.get("/api/v1/cart", &[("authorization", token)]).await;
            outcomes.push(answer.status.as_u16());
            if answer.status == 429 {
                gate.check(token, &answer, 429, "too_many_requests");
                assert!(!answer.header("retry-after").is_empty());
            }
        }
        let first = if token == "Bearer forged" { 401 } else { 200 };
        assert_eq!(outcomes[..3], [first; 3], "{token}");
        // One more for each second that went by.
        let refused = outcomes.iter().filter(|status| **status == 429).count();
        assert!(refused as u64 + 3 + began.elapsed().as_secs() + 1 >= 8, "{outcomes:?}");
    }
    gate.close().await;
}

#[tokio::test]
async fn logins_and_registrations_have_a_smaller_count() {
    let mut gate = Gate::open(Settings {
        expensive_per_second: number(1),
        expensive_burst: number(2),
        ..Settings::default()
    })
    .await;
    let token = gate.token("u-1", "customer");
    let posts = [
        ("/api/v1/sessions", &[][..]),
        ("/api/v1/users", &[]),
        ("/api/v1/sessions", &[]),
        // Whoever asks: an account does not help to guess passwords of others.
        ("/api/v1/sessions", &[("authorization", token.as_str())]),
        ("/api/v1/users", &[]),
    ];
    let answers = posts.map(|(path, headers)| gate.trial.send(Method::POST, path, headers, "{}"));
    let mut refused = 0;
    for ((path, _), answer) in posts.into_iter().zip(join_all(answers).await) {
        if answer.status == 429 {
            gate.check(path, &answer, 429, "too_many_requests");
            assert!(!answer.header("retry-after").is_empty());
            refused += 1;
        }
    }
    assert!(refused >= 1, "none was refused");
    assert_eq!(gate.get("/api/v1/products", &[]).await.status, 200);
    gate.close().await;
}

//! The gateway: what somebody outside sees of the shop.

use std::time::Duration;

use anyhow::ensure;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::stage::{Answered, Stage};
use crate::switches::EXPIRED_TOKEN_STORM;

const GATEWAY: &str = "gateway-1";
const CART: &str = "/api/v1/cart";
const LEDGER: &str = "/api/v1/admin/ledger";
const HOME: &str = "/api/v1/home";
/// More than an address may send at once.
const LOGINS: usize = 60;
/// How long whoever asks too often may be told to wait.
const WAIT_MAX_S: u64 = 10;

/// Somebody with an account.
struct Visitor {
    email: String,
    password: String,
}

impl Visitor {
    async fn register(stage: &Stage, name: &str) -> anyhow::Result<Self> {
        let email = format!("{name}@shop.example");
        let password = format!("{:016x}", fastrand::u64(..));
        let account = json!({"email": email, "password": password, "name": name});
        send(stage, "/api/v1/users", &account).await?.expect(201, "a new account")?;
        Ok(Self { email, password })
    }

    /// Logs in; gives the value of `authorization`.
    async fn log_in(&self, stage: &Stage) -> anyhow::Result<String> {
        let login = json!({"email": self.email, "password": self.password});
        let session = send(stage, "/api/v1/sessions", &login).await?;
        session.expect(201, "a login")?;
        Ok(format!("Bearer {}", session.text("token")))
    }
}

async fn send(stage: &Stage, path: &str, body: &Value) -> anyhow::Result<Answered> {
    stage.ask(GATEWAY, Method::POST, path, Some(body), &[]).await
}

/// Asks with a token, or without one if it is empty.
async fn get(stage: &Stage, path: &str, token: &str) -> anyhow::Result<Answered> {
    let headers = [("authorization", token)];
    let headers = if token.is_empty() { &[][..] } else { &headers };
    stage.ask(GATEWAY, Method::GET, path, None, headers).await
}

/// Asks, and notes a refusal that has to come.
async fn refused(
    stage: &mut Stage,
    path: &str,
    token: &str,
    (status, code): (u16, &'static str),
    title: &str,
) -> anyhow::Result<()> {
    let answer = get(stage, path, token).await?;
    answer.expect(status, title)?;
    ensure!(answer.code() == code, "{title} is refused with {}", answer.body);
    stage.saw(format!("GET {path}, {title}: {status} {code}"));
    stage.leaves(&answer, "failed", Some("request refused"), title);
    Ok(())
}

pub(super) async fn doors(stage: &mut Stage) -> anyhow::Result<()> {
    refused(stage, CART, "", (401, "token_missing"), "without a token").await?;
    let ada = Visitor::register(stage, "ada").await?;
    let token = ada.log_in(stage).await?;
    let cart = get(stage, CART, &token).await?;
    cart.expect(200, "a cart with a token")?;
    stage.saw(format!("GET {CART}, with a token: 200"));
    stage.leaves(&cart, "completed", None, "with a token");
    refused(stage, LEDGER, &token, (403, "forbidden"), "an operator's page, asked by a customer")
        .await?;

    let eve = Visitor::register(stage, "eve").await?.log_in(stage).await?;
    kept(stage, [("ada", &token), ("eve", &eve), ("nobody", "")]).await?;

    stage.turn(EXPIRED_TOKEN_STORM, true).await?;
    let late = ada.log_in(stage).await?;
    refused(stage, CART, &late, (401, "token_expired"), "with a token of yesterday").await?;
    stage.turn(EXPIRED_TOKEN_STORM, false).await?;
    let token = ada.log_in(stage).await?;
    get(stage, CART, &token).await?.expect(200, "a cart with a token of today")?;
    stage.saw("logged in again: 200");
    too_often(stage).await
}

/// An answer that is kept is given again to whoever it was given to, and to nobody else.
async fn kept(stage: &mut Stage, visitors: [(&str, &str); 3]) -> anyhow::Result<()> {
    for (name, token) in visitors {
        let mut seen = Vec::new();
        for _ in 0..2 {
            let answer = get(stage, "/api/v1/products?limit=3", token).await?;
            answer.expect(200, "products")?;
            seen.push(answer.header("x-cache"));
        }
        ensure!(seen == ["miss", "hit"], "the cache has for {name}, who asked twice: {seen:?}");
        stage.saw(format!("products for {name}, twice: {}", seen.join(", ")));
    }
    Ok(())
}

async fn too_often(stage: &mut Stage) -> anyhow::Result<()> {
    let nobody = json!({});
    let answers = join_all((0..LOGINS).map(|_| send(stage, "/api/v1/sessions", &nobody))).await;
    let answers: Vec<_> = answers.into_iter().collect::<Result<_, _>>()?;
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status == 429).collect();
    let Some(first) = refused.first() else {
        anyhow::bail!("{LOGINS} logins at once are all let in");
    };
    let wait = first.header("retry-after");
    ensure!(first.code() == "too_many_requests", "429 with {}", first.body);
    let seconds: u64 = wait.parse().unwrap_or(u64::MAX);
    ensure!((1..=WAIT_MAX_S).contains(&seconds), "429 with retry-after {wait:?}");
    let count = refused.len();
    stage.saw(format!("{LOGINS} logins at once: {count} are told to come again in {seconds} s"));
    stage.leaves(first, "failed", Some("request refused"), "one login too many");
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let again = send(stage, "/api/v1/sessions", &nobody).await?;
    again.expect(422, "a login without a name, later")?;
    stage.saw("later: let in again");
    Ok(())
}

pub(super) async fn home(stage: &mut Stage) -> anyhow::Result<()> {
    let token = Visitor::register(stage, "ada").await?.log_in(stage).await?;
    let whole = page_without(stage, &token, &[]).await?;
    stage.saw("a page out of catalog, inventory and users: nothing is missing");
    stage.leaves(&whole, "completed", None, "a whole page");
    stage.kill("catalog-1");
    let gap = page_without(stage, &token, &["products", "cart"]).await?;
    let body = &gap.body;
    let rest = (body["in_stock"].as_array().map_or(0, Vec::len), body["profile"]["name"].as_str());
    ensure!(rest.0 > 0 && rest.1 == Some("ada"), "the rest is not there: {body}");
    stage.saw("without catalog: products and cart are missing, stock and profile are there");
    stage.leaves(&gap, "completed", Some("catalog|page"), "a page with a gap");
    stage.run("catalog", 1).await?;
    page_without(stage, &token, &[]).await?;
    stage.saw("catalog is back: the page is whole again");
    Ok(())
}

/// The page, once these parts of it are missing and no others. A part may be late on a machine that is busy.
async fn page_without(stage: &Stage, token: &str, missing: &[&str]) -> anyhow::Result<Answered> {
    let what = format!("these parts of the page are missing: {missing:?}");
    stage
        .becomes(&what, async || {
            let page = get(stage, HOME, token).await?;
            page.expect(200, "the page")?;
            Ok((page.body["missing"] == json!(missing)).then_some(page))
        })
        .await
}

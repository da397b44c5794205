//! Two services: orders calls payments over HTTP and sends it a message, under one correlation id and in one trace.
use std::{collections::BTreeMap, error::Error, future::pending, path::Path, time::Duration};

use axum::{Router, routing::post};
use service::telemetry::{Call, Lines, Message, Telemetry, TelemetryOptions, messages};
use tokio::sync::mpsc::{Sender, channel};
use tracing::{Instrument, info};

const REFUND: Message<'static> = Message { system: "memory", destination: "refunds", id: "m-1" };

async fn order(payments: reqwest::RequestBuilder, queue: Sender<BTreeMap<String, String>>) {
    info!(order_id = "o-1", "order received");
    let paid = Call::of(payments).peer("payments").send().await.map(|answer| answer.status());
    info!(status = paid.map_or(0, |status| status.as_u16()), "payments answered");
    let (publish, mut headers) = (messages::publish(REFUND), BTreeMap::new());
    publish.in_scope(|| messages::inject(&mut headers));
    let _ = queue.send(headers).await;
}

/// Sends an order through both and gives its correlation id. Lines go to `logs`, spans to `collector`.
pub(crate) async fn run(collector: &str, logs: &Path) -> Result<String, Box<dyn Error>> {
    let telemetry = |name: &str| {
        let lines = Lines::file(logs.join(format!("{name}.log")));
        let collector = Some(collector.to_owned());
        let options = TelemetryOptions { lines, collector, ..TelemetryOptions::new(name) };
        Telemetry::start(options, &Default::default())
    };
    let (orders, payments) = (telemetry("orders")?, telemetry("payments")?);
    let tls = service::tls::no_trust();
    let client = reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls).build()?;

    let pay = Router::new().route("/payments", post(async || info!("payment authorised")));
    let pay_url = serve(payments.observe(pay)).await? + "/payments";
    let (queue, mut received) = channel(8);
    let consumer = tokio::spawn(payments.scope(async move {
        let headers = received.recv().await.unwrap_or_default();
        async { info!("refund noted") }.instrument(messages::process(REFUND, &headers, 1)).await;
    }));

    let caller = client.clone();
    let place = Router::new().route("/orders", post(move || order(caller.post(pay_url), queue)));
    let answer = client.post(serve(orders.observe(place)).await? + "/orders").send().await?;
    consumer.await?;
    orders.close(Duration::from_secs(5)).await;
    payments.close(Duration::from_secs(5)).await;
    Ok(answer.headers()["x-correlation-id"].to_str()?.to_owned())
}

async fn serve(routes: Router) -> std::io::Result<String> {
    let port = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", port.local_addr()?);
    tokio::spawn(service::http::serve(port, routes, pending(), Default::default()));
    Ok(url)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    run("http://127.0.0.1:4318", Path::new(".")).await.map(drop)
}

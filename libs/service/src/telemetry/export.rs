//! Spans on their way to the collector.
//!
//! A span that ends goes into a queue of `span_queue_max`; one that finds it full is dropped and counted, and whoever
//! ended it never waits. A task takes up to [`BATCH_MAX`] of them, or what there is after the interval, and posts them
//! as OTLP. A batch is tried again 3 times within 10 s, where the collector's answer allows that, and is then dropped and
//! counted. That the collector does not take them is told once, and once more when it does.

use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::trace::Span as _;
use opentelemetry_otlp::{ExporterBuildError, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter, SpanProcessor};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::origin::correlation_attribute;
use crate::metrics::Counter;
use crate::shutdown::{Shutdown, Trigger};

/// Spans that are posted at once.
const BATCH_MAX: usize = 512;
/// How long one batch may take, with all its tries.
const BATCH_TIMEOUT: Duration = Duration::from_secs(10);

/// Puts spans that end into the queue, each with the correlation id of its context.
#[derive(Debug)]
pub(super) struct Queue {
    spans: mpsc::Sender<SpanData>,
    lost: Counter,
}

/// The task that empties the queue.
#[derive(Debug)]
pub(super) struct Exporting {
    stop: Trigger,
    ended: JoinHandle<()>,
}

/// What the task is given.
pub(super) struct Destination {
    /// `http://host:port`, without a path.
    pub(super) collector: String,
    pub(super) client: reqwest::Client,
    pub(super) resource: Resource,
    pub(super) queue_max: usize,
    pub(super) interval: Duration,
    pub(super) lost: Counter,
}

/// Starts the task.
///
/// # Errors
/// If the collector's address is none. Must be called inside a tokio runtime.
pub(super) fn start(destination: Destination) -> Result<(Queue, Exporting), ExporterBuildError> {
    let Destination { collector, client, resource, queue_max, interval, lost } = destination;
    let mut exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(format!("{}/v1/traces", collector.trim_end_matches('/')))
        .with_timeout(BATCH_TIMEOUT)
        .build()?;
    exporter.set_resource(&resource);
    let (spans, queue) = mpsc::channel(queue_max.max(1));
    let (stop, stopping) = Shutdown::new();
    let worker = Worker { exporter, collector, queue, interval, lost: lost.clone(), told: false };
    let ended = tokio::spawn(worker.run(stopping));
    Ok((Queue { spans, lost }, Exporting { stop, ended }))
}

impl SpanProcessor for Queue {
    fn on_start(&self, span: &mut Span, context: &Context) {
        if let Some(attribute) = correlation_attribute(context) {
            span.set_attribute(attribute);
        }
    }

    fn on_end(&self, span: SpanData) {
        if self.spans.try_send(span).is_err() {
            self.lost.inc();
        }
    }

    /// [`Exporting::close`] does it without blocking a thread.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

impl Exporting {
    /// Posts what is in the queue, for at most `deadline`. Spans that end later are counted as lost.
    pub(super) async fn close(mut self, deadline: Duration) {
        self.stop.set_off();
        if tokio::time::timeout(deadline, &mut self.ended).await.is_err() {
            self.ended.abort();
        }
    }
}

struct Worker {
    exporter: opentelemetry_otlp::SpanExporter,
    collector: String,
    queue: mpsc::Receiver<SpanData>,
    interval: Duration,
    lost: Counter,
    /// The last batch could not be posted, and that was told.
    told: bool,
}

impl Worker {
    async fn run(mut self, stopping: Shutdown) {
        loop {
            let mut batch = Vec::new();
            tokio::select! {
                received = self.queue.recv_many(&mut batch, BATCH_MAX) => if received == 0 { return },
                () = stopping.requested() => break,
            }
            let due = Instant::now() + self.interval;
            while batch.len() < BATCH_MAX {
                let room = BATCH_MAX - batch.len();
                tokio::select! {
                    received = timeout_at(due, self.queue.recv_many(&mut batch, room)) => {
                        if matches!(received, Err(_) | Ok(0)) { break }
                    }
                    () = stopping.requested() => break,
                }
            }
            self.post(batch).await;
        }
        self.queue.close();
        let mut batch = Vec::new();
        while self.queue.recv_many(&mut batch, BATCH_MAX).await > 0 {
            self.post(std::mem::take(&mut batch)).await;
        }
    }

    async fn post(&mut self, batch: Vec<SpanData>) {
        let spans = batch.len() as u64;
        match self.exporter.export(batch).await {
            Ok(()) if self.told => {
                self.told = false;
                tracing::info!(collector = self.collector, "spans are exported again");
            }
            Ok(()) => {}
            Err(error) => {
                self.lost.inc_by(spans);
                if !self.told {
                    self.told = true;
                    tracing::warn!(collector = self.collector, %error, "spans cannot be exported, counting what is lost");
                }
            }
        }
    }
}

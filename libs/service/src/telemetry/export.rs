//! Spans on their way to the collector.
//!
//! A span that ends goes into a queue of `span_queue_max`; one that finds it full is dropped and counted, and whoever
//! ended it never waits. A task takes up to [`BATCH_MAX`] of them, or what there is after the interval, and posts them
//! as OTLP. A batch is tried again 3 times within 10 s, where the collector's answer allows that, and is then dropped and
//! counted; so is what has not been acknowledged when the service has to end. That the collector does not take them is
//! told once, and once more when it does.

use std::pin::pin;
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::trace::Span as _;
use opentelemetry_otlp::{ExporterBuildError, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanExporter, SpanProcessor};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::origin::correlation_attribute;
use crate::metrics::Counter;

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
    /// By when it has to be done.
    stop: oneshot::Sender<Instant>,
    ended: JoinHandle<()>,
}

/// What the task is given.
pub(super) struct Destination {
    /// `http://host:port`, without a path.
    pub(super) collector: String,
    /// The service, for who reads what is told of it.
    pub(super) service: String,
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
    let Destination { collector, service, client, resource, queue_max, interval, lost } =
        destination;
    let mut exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(format!("{}/v1/traces", collector.trim_end_matches('/')))
        .with_timeout(BATCH_TIMEOUT)
        .build()?;
    exporter.set_resource(&resource);
    let (spans, queue) = mpsc::channel(queue_max.max(1));
    let (stop, stopping) = oneshot::channel();
    let worker = Worker {
        exporter,
        collector,
        service,
        queue,
        interval,
        batch: Vec::new(),
        lost: lost.clone(),
        told: false,
    };
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
    /// Posts what is in the queue, for at most `deadline`. What is left then, and spans that end later, are lost.
    pub(super) async fn close(self, deadline: Duration) {
        // Only a task that panicked is gone already, and that was told.
        let _ = self.stop.send(Instant::now() + deadline);
        let _ = self.ended.await;
    }
}

struct Worker {
    exporter: opentelemetry_otlp::SpanExporter,
    collector: String,
    service: String,
    queue: mpsc::Receiver<SpanData>,
    interval: Duration,
    /// Taken out of the queue, not posted yet.
    batch: Vec<SpanData>,
    lost: Counter,
    /// The last batch could not be posted, and that was told.
    told: bool,
}

impl Worker {
    /// Runs until it is told by when to end; the same time as for a batch if nobody is there to tell it.
    async fn run(mut self, mut stop: oneshot::Receiver<Instant>) {
        let by = |at: Result<Instant, _>| at.unwrap_or_else(|_| Instant::now() + BATCH_TIMEOUT);
        let end = loop {
            let mut end = None;
            tokio::select! {
                () = self.fill() => {}
                at = &mut stop => end = Some(by(at)),
            }
            let batch = std::mem::take(&mut self.batch);
            let (spans, lost) = (batch.len() as u64, self.lost.clone());
            let mut posted = pin!(self.post(batch));
            let end = match end {
                Some(end) => end,
                None => tokio::select! {
                    () = &mut posted => continue,
                    at = &mut stop => by(at),
                },
            };
            if timeout_at(end, posted).await.is_err() {
                lost.inc_by(spans);
            }
            break end;
        };
        self.queue.close();
        let mut batch = Vec::new();
        while self.queue.recv_many(&mut batch, BATCH_MAX).await > 0 {
            let spans = batch.len() as u64;
            if timeout_at(end, self.post(std::mem::take(&mut batch))).await.is_err() {
                self.lost.inc_by(spans);
            }
        }
    }

    /// Waits for a first span and, for the interval, for others to go with it. May be cancelled.
    async fn fill(&mut self) {
        if self.queue.recv_many(&mut self.batch, BATCH_MAX).await == 0 {
            // Nobody is left who could end a span: there is nothing to do until the end.
            return std::future::pending().await;
        }
        let due = Instant::now() + self.interval;
        while self.batch.len() < BATCH_MAX {
            let room = BATCH_MAX - self.batch.len();
            let more = timeout_at(due, self.queue.recv_many(&mut self.batch, room)).await;
            if matches!(more, Err(_) | Ok(0)) {
                break;
            }
        }
    }

    async fn post(&mut self, batch: Vec<SpanData>) {
        let spans = batch.len() as u64;
        if spans == 0 {
            return;
        }
        let (service, collector) = (&self.service, &self.collector);
        match self.exporter.export(batch).await {
            Ok(()) if self.told => {
                self.told = false;
                tracing::info!(service, collector, "spans are exported again");
            }
            Ok(()) => {}
            Err(error) => {
                self.lost.inc_by(spans);
                if !self.told {
                    self.told = true;
                    tracing::warn!(service, collector, %error, "spans cannot be exported, counting what is lost");
                }
            }
        }
    }
}

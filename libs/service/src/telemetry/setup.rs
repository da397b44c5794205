//! One call that sets up what a service says of itself: lines, spans, and the context that ties them together.

use std::error::Error as StdError;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use reqwest::redirect::Policy;
use thiserror::Error;
use tracing::instrument::Instrumented;
use tracing::{Dispatch, Instrument, Level};
use tracing_subscriber::filter::{EnvFilter, ParseError, filter_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt};

use super::export::{self, Destination, Exporting, Queue};
use super::lines::{Lines, LinesLayer};
use super::origin::new_correlation_id;
use super::scoped::Scoped;
use super::server::{CorrelationIds, Observer};
use crate::metrics::Metrics;
use crate::tls::{ClientTls, no_trust};

/// How a service tells what it does.
#[derive(Clone)]
pub struct TelemetryOptions {
    /// Its name, in every line and span.
    pub service: String,
    /// Where its lines go. Standard output.
    pub lines: Lines,
    /// Which events become lines, like `info,hyper=warn`. `info`. There are always spans of level INFO and above.
    pub filter: String,
    /// Where its spans go: an OTLP receiver over HTTP, `http://host:port`; `http://` may be left out. None are exported
    /// without it. OpenTelemetry's variable `OTEL_EXPORTER_OTLP_HEADERS` adds headers, for example a token.
    pub collector: Option<String>,
    /// Spans that wait for the collector; further ones are dropped and counted. 2,048.
    pub span_queue_max: usize,
    /// How long a span waits for others to go with it. 1 s.
    pub export_interval: Duration,
    /// Makes the correlation id of a request that comes without one. 32 random hex digits.
    pub correlation_ids: CorrelationIds,
}

/// Why telemetry cannot be set up.
#[derive(Debug, Error)]
#[allow(missing_docs)]
pub enum TelemetryError {
    #[error("cannot write log lines: {0}")]
    Lines(#[source] io::Error),
    #[error("cannot read the filter {filter:?}: {source}; write it like info,hyper=warn")]
    Filter { filter: String, source: ParseError },
    #[error("cannot export spans to {collector}: {source}; give its address as http://host:port")]
    Collector { collector: String, source: Box<dyn StdError + Send + Sync> },
    #[error("this process has a log subscriber already; use Telemetry::scope for further services")]
    Installed,
}

/// The telemetry of a service. Cheap to clone.
#[derive(Clone)]
pub struct Telemetry {
    dispatch: Dispatch,
    metrics: Metrics,
    correlation_ids: CorrelationIds,
    exporting: Arc<Mutex<Option<Exporting>>>,
    /// Ends all spans when it is dropped.
    _provider: SdkTracerProvider,
}

impl std::fmt::Debug for TelemetryOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TelemetryOptions")
            .field("service", &self.service)
            .field("lines", &self.lines)
            .field("filter", &self.filter)
            .field("collector", &self.collector)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

impl TelemetryOptions {
    /// The defaults.
    pub fn new(service: impl Into<String>) -> Self {
        Self {
            service: service.into(),
            lines: Lines::Stdout,
            filter: "info".to_owned(),
            collector: None,
            span_queue_max: 2_048,
            export_interval: Duration::from_secs(1),
            correlation_ids: Arc::new(new_correlation_id),
        }
    }
}

impl Telemetry {
    /// Sets up the telemetry of a process with one service: from here on its events are lines. Call it once, inside a
    /// tokio runtime.
    ///
    /// # Errors
    /// If the options cannot be used, or the process has a log subscriber already.
    pub fn install(options: TelemetryOptions, metrics: &Metrics) -> Result<Self, TelemetryError> {
        let telemetry = Self::start(options, metrics)?;
        tracing::dispatcher::set_global_default(telemetry.dispatch.clone())
            .map_err(|_| TelemetryError::Installed)?;
        Ok(telemetry)
    }

    /// Sets up the telemetry of one service among several of a process. It is told by requests of
    /// [`Telemetry::observe`] and by what runs in [`Telemetry::scope`].
    ///
    /// # Errors
    /// If the options cannot be used.
    pub fn start(options: TelemetryOptions, metrics: &Metrics) -> Result<Self, TelemetryError> {
        let TelemetryOptions { service, lines, filter, collector, correlation_ids, .. } = &options;
        let lost = "telemetry_lines_lost_total";
        let lost = metrics.counter(lost, "Log lines that could not be written.");
        let lines =
            LinesLayer::open(lines, service.clone(), lost).map_err(TelemetryError::Lines)?;
        let filter = EnvFilter::try_new(filter)
            .map_err(|source| TelemetryError::Filter { filter: filter.clone(), source })?;
        let resource = resource_of(service);
        let mut provider = SdkTracerProvider::builder().with_resource(resource.clone());
        let mut exporting = None;
        if let Some(collector) = collector {
            let (queue, task) = export_to(collector, &options, resource, metrics)?;
            provider = provider.with_span_processor(queue);
            exporting = Some(task);
        }
        let provider = provider.build();
        // Spans are not filtered by what is told: they carry the ids of lines, of calls and of messages. And events are
        // lines already; as events of spans they would be stored twice.
        let spans = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("service"))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(|metadata| {
                metadata.is_span() && *metadata.level() <= Level::INFO
            }));
        let lines = lines.with_filter(filter);
        let subscriber = tracing_subscriber::registry().with(spans).with(lines);
        Ok(Self {
            dispatch: Dispatch::new(subscriber),
            metrics: metrics.clone(),
            correlation_ids: correlation_ids.clone(),
            exporting: Arc::new(Mutex::new(exporting)),
            _provider: provider,
        })
    }

    /// Puts the routes behind what every request is to go through: ids, a span, the metric.
    pub fn observe<S: Clone + Send + Sync + 'static>(&self, router: Router<S>) -> Router<S> {
        let ids = self.correlation_ids.clone();
        Observer::new(self.dispatch.clone(), ids, &self.metrics).around(router)
    }

    /// Has what the routes tell told by this service, and does nothing else around them: for requests that machines send
    /// each other all the time, which belong to no interaction.
    pub fn quiet<S: Clone + Send + Sync + 'static>(&self, router: Router<S>) -> Router<S> {
        super::server::quiet(self.dispatch.clone(), router)
    }

    /// Has the events and spans of `work` told by this service. Tasks that it spawns are on their own, see
    /// [`super::carry`].
    pub fn scope<F: Future>(&self, work: F) -> Scoped<F> {
        Scoped::new(work, self.dispatch.clone())
    }

    /// Exports the spans that have ended, for at most `deadline`; lines are written already. The last thing a service
    /// does. What ends later is counted as lost.
    pub async fn close(self, deadline: Duration) {
        let exporting = self.exporting.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(exporting) = exporting {
            exporting.close(deadline).await;
        }
    }
}

/// Has a task that is to be spawned go on with the current span, and be told by the current service.
pub fn carry<F: Future>(work: F) -> Scoped<Instrumented<F>> {
    Scoped::here(work.in_current_span())
}

/// Who it is that makes the spans.
fn resource_of(service: &str) -> Resource {
    let resource = Resource::builder().with_service_name(service.to_owned());
    match fs::read_to_string("/proc/sys/kernel/hostname") {
        Ok(host) => resource.with_attribute(KeyValue::new("host.name", host.trim().to_owned())),
        // Not on Linux: the spans have no host then.
        Err(_) => resource,
    }
    .build()
}

fn export_to(
    collector: &str,
    options: &TelemetryOptions,
    resource: Resource,
    metrics: &Metrics,
) -> Result<(Queue, Exporting), TelemetryError> {
    let collector = match collector.contains("://") {
        true => collector.to_owned(),
        false => format!("http://{collector}"),
    };
    let unusable = |source| TelemetryError::Collector { collector: collector.clone(), source };
    let lost = "telemetry_spans_lost_total";
    let destination = Destination {
        client: client_of(&collector).map_err(unusable)?,
        collector: collector.clone(),
        service: options.service.clone(),
        resource,
        queue_max: options.span_queue_max,
        interval: options.export_interval,
        lost: metrics.counter(lost, "Spans that did not reach the collector."),
    };
    export::start(destination).map_err(|error| unusable(error.into()))
}

/// A client for the collector alone; a proxy from the environment has nothing to do with calls within the machine.
fn client_of(collector: &str) -> Result<reqwest::Client, Box<dyn StdError + Send + Sync>> {
    let url = reqwest::Url::parse(collector)?;
    let tls = if url.scheme() == "https" { ClientTls::default().load()? } else { no_trust() };
    let client = reqwest::Client::builder().tls_backend_preconfigured(tls).redirect(Policy::none());
    let client = if is_this_machine(&url) { client.no_proxy() } else { client };
    Ok(client.build()?)
}

fn is_this_machine(url: &reqwest::Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

//! OTLP over HTTP (`POST /v1/logs` and `/v1/traces`, protobuf and JSON) and over gRPC, as OpenTelemetry's exporters send it.
//!
//! The answer 200 comes when the records are durable in the spool, or dropped and counted where the user said so.
//! Requests of many senders share a batch and its fsync: it is cut [`LINGER`] after the first of them waits for it. A
//! request is decoded twice, first to find out whether it is whole, so that of one that is not nothing is taken. One
//! that is refused after it was taken in part, because the spool filled up meanwhile, is sent again and may be doubled:
//! OTLP has no names for requests, so the promise is at least once.
//!
//! Bounds: [`REQUESTS_MAX`] requests are read and decoded at once, others wait [`SLOT_WAIT_MAX`] and are then told to
//! come again; a body of `body_max`, as sent and unpacked each, within [`BODY_WAIT_MAX`]. So bodies take no more memory
//! than 2 · `REQUESTS_MAX` · `body_max`. A request that waits for the disk holds none.

mod grpc;
mod http;
mod records;

use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_ENCODING;
use bytes::Bytes;
use futures_util::StreamExt;
use record::Timestamp;
use service::doors::Entrance;
use service::grpc::{BadFrame, ENCODING, message};
use service::http_requests::RequestDurations;
use service::shutdown::Shutdown;
use thiserror::Error;
use tokio::sync::Semaphore;
use wire::{DecodeError, Decoded, Encoding, Format, Limits};

use self::records::Records;
use super::intake::{Intake, Stopped, WhenFull};
use super::status::SourceView;
use super::stream::Pipeline;
use crate::reading::Reading;

/// Requests that are read and decoded at once.
const REQUESTS_MAX: usize = 8;
/// When a refused sender is to come again.
const RETRY_WAIT: Duration = Duration::from_secs(1);
/// How long further ones wait.
const SLOT_WAIT_MAX: Duration = Duration::from_secs(2);
/// How long a sender may take for its body.
const BODY_WAIT_MAX: Duration = Duration::from_secs(30);
/// How long a request waits for a spool that takes nothing, before anything of it is taken.
const SPOOL_WAIT_MAX: Duration = Duration::from_secs(2);
/// How long it waits for room in the open batch.
const ROOM_WAIT_MAX: Duration = Duration::from_secs(5);
/// How often it is looked whether a batch is durable.
const DURABLE_STEP: Duration = Duration::from_millis(5);
/// How long it waits for its batch to be durable.
const DURABLE_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long a batch waits for other requests.
const LINGER: Duration = Duration::from_millis(20);
/// How often it is looked whether the spool takes something.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What the user says about a receiver.
#[derive(Clone, Debug)]
pub(super) struct OtlpOptions {
    pub(super) http: String,
    /// Also over gRPC.
    pub(super) grpc: Option<String>,
    /// Longest body, as sent and unpacked.
    pub(super) body_bytes_max: usize,
}

/// What stands before the routes of a receiver.
#[derive(Clone, Debug)]
pub(super) struct Before {
    pub(super) entrance: Entrance,
    pub(super) durations: RequestDurations,
}

/// Listens where the user says.
///
/// # Errors
/// It cannot; names the key.
pub(super) fn listen(key: &str, address: &str) -> Result<TcpListener, String> {
    let listen = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    listen().map_err(|error: std::io::Error| {
        format!(
            "cannot listen on {address}; set `{key}` of this source to another address: {error}"
        )
    })
}

/// What the thread of a receiver owns, and all its requests share.
pub(super) struct Receiver {
    slots: Arc<Semaphore>,
    limits: Limits,
    intake: Arc<Intake>,
    when_full: WhenFull,
    records: Mutex<Records>,
    view: Arc<SourceView>,
}

/// How a message stands in its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Http,
    Grpc,
}

/// Why a request is not taken.
#[derive(Debug, Error)]
enum Refusal {
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error("the body is larger than {limit_bytes} bytes; send smaller batches")]
    BodyTooLarge { limit_bytes: usize },
    #[error("the body was cut off: {0}; send it again")]
    BodyCutOff(String),
    #[error(transparent)]
    Frame(#[from] BadFrame),
    #[error("the body did not come within {} s; send it again", BODY_WAIT_MAX.as_secs())]
    BodySlow,
    #[error("{REQUESTS_MAX} requests are being taken already; send this one again")]
    Busy,
    #[error("the spool of the agent takes nothing at the moment; send it again")]
    SpoolFull,
    #[error("the agent is stopping; send it again")]
    Stopping,
    #[error("the decoder stopped; this is a bug, please report what was sent")]
    DecoderPanicked,
}

impl Refusal {
    /// OTLP senders try again on 429, 502, 503 and 504 only.
    fn status(&self) -> u16 {
        match self {
            Self::Decode(error) => error.status(),
            Self::BodyTooLarge { .. } => 413,
            Self::BodyCutOff(_) | Self::Frame(_) => 400,
            Self::Busy => 429,
            Self::BodySlow | Self::SpoolFull | Self::Stopping => 503,
            Self::DecoderPanicked => 500,
        }
    }

    /// When to come again, where that helps.
    fn retry_after(&self) -> Option<Duration> {
        matches!(self.status(), 429 | 503).then_some(RETRY_WAIT)
    }
}

impl Receiver {
    pub(super) fn new(
        options: &OtlpOptions,
        reading: Reading,
        pipeline: Pipeline,
        view: Arc<SourceView>,
    ) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(REQUESTS_MAX)),
            limits: Limits { decoded_bytes_max: options.body_bytes_max, ..Limits::default() },
            intake: Arc::clone(&pipeline.intake),
            when_full: pipeline.when_full,
            records: Mutex::new(Records::new(reading.settings, pipeline)),
            view,
        }
    }

    /// Takes requests until told to stop, and answers those that are under way.
    pub(super) fn run(
        self,
        http: TcpListener,
        grpc: Option<TcpListener>,
        before: &Before,
        stopping: Shutdown,
    ) {
        let view = Arc::clone(&self.view);
        let fail = |error: std::io::Error| {
            tracing::error!(source = view.name, %error, "the receiver has stopped");
            view.show(|shown| shown.last_error = Some(error.to_string()));
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(REQUESTS_MAX)
            .build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return fail(error),
        };
        let receiver = Arc::new(self);
        let served = runtime.block_on(async {
            let over_http =
                self::http::serve(Arc::clone(&receiver), http, before, stopping.clone());
            match grpc {
                Some(grpc) => {
                    let over_grpc = self::grpc::serve(receiver, grpc, before, stopping);
                    futures_util::future::try_join(over_http, over_grpc).await.map(|_| ())
                }
                None => over_http.await.map(|_| ()),
            }
        });
        if let Err(error) = served {
            fail(error);
        }
    }

    async fn ingest(
        self: Arc<Self>,
        format: Format,
        framing: Framing,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Decoded, Refusal> {
        let packed_as = match framing {
            Framing::Http => CONTENT_ENCODING.as_str(),
            Framing::Grpc => ENCODING,
        };
        let encoding = headers.get(packed_as).and_then(|value| value.to_str().ok());
        let mut encoding = Encoding::from_header(encoding)?;
        let slot = tokio::time::timeout(SLOT_WAIT_MAX, Arc::clone(&self.slots).acquire_owned());
        let slot = slot.await.map_err(|_| Refusal::Busy)?.map_err(|_| Refusal::Stopping)?;
        let body = tokio::time::timeout(BODY_WAIT_MAX, self.read(body));
        let mut body = body.await.map_err(|_| Refusal::BodySlow)??;
        if framing == Framing::Grpc {
            let message = message(&body, encoding != Encoding::Identity)?;
            if !message.packed {
                encoding = Encoding::Identity;
            }
            body = message.bytes;
        }
        let receiver = Arc::clone(&self);
        let taken = tokio::task::spawn_blocking(move || {
            let taken = receiver.take(format, encoding, &body);
            // A sender that goes away frees its place only when its request is done with.
            drop(slot);
            taken
        });
        let (decoded, batch) = taken.await.map_err(|_| Refusal::DecoderPanicked)??;
        if let Some(batch) = batch {
            self.wait_for_batch(batch).await?;
        }
        Ok(decoded)
    }

    async fn read(&self, body: Body) -> Result<Bytes, Refusal> {
        let limit_bytes = self.limits.decoded_bytes_max;
        let mut frames = body.into_data_stream();
        let mut bytes = Vec::new();
        while let Some(frame) = frames.next().await {
            let frame = frame.map_err(|error| Refusal::BodyCutOff(error.to_string()))?;
            if bytes.len() + frame.len() > limit_bytes {
                return Err(Refusal::BodyTooLarge { limit_bytes });
            }
            bytes.extend_from_slice(&frame);
        }
        Ok(bytes.into())
    }

    /// Takes a whole body; gives the number of the last batch that has something of it.
    fn take(
        &self,
        format: Format,
        encoding: Encoding,
        sent: &[u8],
    ) -> Result<(Decoded, Option<u64>), Refusal> {
        let begun = Instant::now();
        let body = wire::decompress(encoding, sent, &self.limits)?;
        let received_at = Timestamp::now();
        wire::decode(format, &body, received_at, &self.limits, &mut |_| ())?;
        self.wait_for_spool(begun + SPOOL_WAIT_MAX)?;

        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        if self.when_full != WhenFull::Drop {
            records.pipeline.when_full = WhenFull::WaitUntil(begun + ROOM_WAIT_MAX);
        }
        let mut pushed = Ok(None);
        let decoded = wire::decode(format, &body, received_at, &self.limits, &mut |record| {
            if let Ok(batch) = pushed {
                pushed = records.take(format.signal(), record).map(|number| number.or(batch));
            }
        })?;
        if pushed.is_ok() {
            pushed = records.count(sent.len(), &decoded).and(pushed);
        }
        let (counts, last) = (records.pipeline.counts, records.pipeline.last_record);
        drop(records);
        self.view.show(|shown| {
            shown.counts = counts;
            shown.last_record_ns = last.map_or(0, |time| time.0);
        });
        match pushed {
            Ok(batch) => Ok((decoded, batch)),
            Err(Stopped) if self.intake.is_stopped() => Err(Refusal::Stopping),
            Err(Stopped) => Err(Refusal::SpoolFull),
        }
    }

    /// So that a request is refused before anything of it is taken.
    fn wait_for_spool(&self, deadline: Instant) -> Result<(), Refusal> {
        while self.when_full != WhenFull::Drop && self.intake.is_blocked() {
            if Instant::now() >= deadline {
                return Err(Refusal::SpoolFull);
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    /// A request that waits for its fsync holds no slot: its body is gone.
    async fn wait_for_batch(&self, batch: u64) -> Result<(), Refusal> {
        let deadline = Instant::now() + DURABLE_WAIT_MAX;
        self.intake.cut_within(batch, LINGER);
        while !self.intake.is_durable(batch) {
            // The user does not want senders to wait for it.
            if self.when_full == WhenFull::Drop && self.intake.is_blocked() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(Refusal::SpoolFull);
            }
            tokio::time::sleep(DURABLE_STEP).await;
        }
        Ok(())
    }
}

//! The way of a batch: admitted, decoded off the async threads, appended, answered.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use record::Timestamp;
use service::grpc;
use store::{Append, Appended, BatchBuilder, Store, StoreError};
use tokio::sync::oneshot;
use wire::{BatchName, Decoded, Encoding, Format, Rejected};

use crate::Collector;
use crate::admission::Admitted;
use crate::refusal::Refusal;

/// Bytes of a typical record, for sizing a batch's first allocation.
const RECORD_BYTES_TYPICAL: usize = 300;

/// What a request's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// The batch, packed as `Content-Encoding` says.
    Http,
    /// One message of gRPC: five bytes, and the batch, packed as `grpc-encoding` says if those say so.
    Grpc,
}

/// What became of a batch that was taken.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) appended: Appended,
    pub(crate) rejected_total: u32,
    pub(crate) rejected: Vec<Rejected>,
}

impl Collector {
    /// Takes a request of a known format; gives the answer when the batch is durable and visible.
    pub(crate) async fn ingest(
        self: &Arc<Self>,
        tenant: Arc<str>,
        format: Format,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Accepted, Refusal> {
        self.ingest_framed(Framing::Http, tenant, format, headers, body).await
    }

    /// As [`Collector::ingest`], of a body that may be framed.
    pub(crate) async fn ingest_framed(
        self: &Arc<Self>,
        framing: Framing,
        tenant: Arc<str>,
        format: Format,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Accepted, Refusal> {
        let result = self.try_ingest(framing, tenant, format, headers, body).await;
        self.metrics.answered(format, &result);
        if let Err(refusal) = &result {
            tracing::debug!(code = refusal.code(), %refusal, "batch refused");
        }
        result
    }

    async fn try_ingest(
        self: &Arc<Self>,
        framing: Framing,
        tenant: Arc<str>,
        format: Format,
        headers: &HeaderMap,
        body: Body,
    ) -> Result<Accepted, Refusal> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let received_at = Timestamp::now();
        let name = BatchName::from_headers(text)?;
        let (packed_as, around) = match framing {
            Framing::Http => (CONTENT_ENCODING.as_str(), 0),
            Framing::Grpc => (grpc::ENCODING, grpc::PREFIX_BYTES),
        };
        let mut encoding = Encoding::from_header(text(packed_as))?;
        let length = text(CONTENT_LENGTH.as_str()).and_then(|length| length.parse().ok());
        let said = length.unwrap_or(0);
        self.rates
            .admit(&tenant, said, Instant::now())
            .map_err(|after| Refusal::TooFast { after })?;
        let packed = encoding != Encoding::Identity;
        let mut admitted = self.admit(length, packed, around, body).await?;
        if framing == Framing::Grpc {
            let message = grpc::message(&admitted.bytes, packed)?;
            admitted.bytes = message.bytes;
            if packed && !message.packed {
                // It could have been packed and is not: what its columns take is not set apart yet.
                encoding = Encoding::Identity;
                admitted.reservations.push(self.store.reserve(admitted.bytes.len())?);
            }
        }
        self.rates.charge(&tenant, admitted.bytes.len().saturating_sub(said));
        self.metrics.received_bytes(format, admitted.bytes.len());

        let permit = self.decoding.acquire().await.map_err(|_| StoreError::Closed)?;
        let (answer, answered) = oneshot::channel();
        let batch = Batch { tenant, name, received_at, format, encoding, admitted };
        let collector = Arc::clone(self);
        let decoded = tokio::task::spawn_blocking(move || {
            let decoded = decode_and_append(&collector, batch, answer);
            drop(collector);
            decoded
        });
        let decoded = decoded.await.map_err(|_| Refusal::DecoderPanicked)?;
        drop(permit);
        let decoded = decoded?;
        // The commit thread answers every append it takes; if it is gone, so is the store.
        let appended = answered.await.map_err(|_| StoreError::Closed)??;
        Ok(Accepted {
            appended,
            rejected_total: decoded.rejected_total,
            rejected: decoded.rejected,
        })
    }
}

struct Batch {
    tenant: Arc<str>,
    name: Option<BatchName>,
    received_at: Timestamp,
    format: Format,
    encoding: Encoding,
    admitted: Admitted,
}

fn decode_and_append(
    collector: &Collector,
    batch: Batch,
    answer: oneshot::Sender<Result<Appended, StoreError>>,
) -> Result<Decoded, Refusal> {
    let store: &Store = &collector.store;
    let limits = collector.limits();
    let payload = batch.admitted.bytes;
    let body = wire::decompress(batch.encoding, &payload, &limits)?;
    let mut reservations = batch.admitted.reservations;
    if batch.encoding != Encoding::Identity {
        reservations.push(store.reserve(2 * body.len())?);
    }
    let mut builder = BatchBuilder::new(batch.received_at, body.len() / RECORD_BYTES_TYPICAL);
    let decoded = wire::decode(batch.format, &body, batch.received_at, &limits, &mut |record| {
        builder.push(record)
    })?;
    let rejected = store::rejected_by_reason(&decoded);
    if batch.name.is_some() && decoded.rejected_total > 0 {
        rejected.iter().for_each(|(reason, records)| store.count_rejected(reason, *records));
        let first = decoded.rejected.first().map_or_else(String::new, |first| first.detail.clone());
        return Err(Refusal::NotWhole { rejected: decoded.rejected_total, first });
    }
    if decoded.accepted == 0 && batch.name.is_none() {
        // Nothing to keep: no journal entry, but the refused records are accounted for.
        rejected.iter().for_each(|(reason, records)| store.count_rejected(reason, *records));
        let _ = answer.send(Ok(Appended { duplicate: false, records: 0, lost_batches: 0 }));
        return Ok(decoded);
    }
    drop(body);
    let append = Append {
        tenant: batch.tenant,
        signal: batch.format.signal().name(),
        name: batch.name,
        received_at: batch.received_at,
        format: batch.format,
        encoding: batch.encoding,
        payload,
        rejected,
        timestamps_replaced: decoded.timestamps_replaced,
        decoded: builder.finish(),
    };
    store.append(
        append,
        Box::new(move |result| {
            // The memory is counted as part of the view from here on.
            drop(reservations);
            // A client that went away has no use for the answer.
            let _ = answer.send(result);
        }),
    );
    Ok(decoded)
}

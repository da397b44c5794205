//! Reads request bodies within the store's memory: every byte is reserved before it is kept.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use store::{Reservation, StoreError};

use crate::Collector;
use crate::refusal::Refusal;

/// Reserved at a time while a body of unknown length comes in.
const STEP_BYTES: usize = 256 << 10;
/// How long a request waits for memory before it is refused.
const WAIT_MAX: Duration = Duration::from_secs(2);
const WAIT_STEP: Duration = Duration::from_millis(10);

/// A body with the memory that it holds.
pub(crate) struct Admitted {
    pub(crate) bytes: Bytes,
    pub(crate) reservations: Vec<Reservation>,
}

impl Collector {
    /// Reads a body to its end, and sets memory apart for its columns unless it is packed. `around` are bytes of the
    /// body that are not what was sent, and do not count against its limit.
    pub(crate) async fn admit(
        &self,
        length: Option<usize>,
        packed: bool,
        around: usize,
        mut body: Body,
    ) -> Result<Admitted, Refusal> {
        let limit_bytes = self.options.body_bytes_max;
        let too_large = |bytes: usize| bytes > limit_bytes.saturating_add(around);
        if length.is_some_and(too_large) {
            return Err(Refusal::BodyTooLarge { limit_bytes });
        }
        // Columns take about as much as the text they come from, so plain bodies count twice from the start: half a
        // reservation that waits for its other half would keep others waiting. What a packed body takes shows later.
        let share = if packed { 1 } else { 2 };
        let mut reserved = length.unwrap_or(STEP_BYTES);
        let mut reservations = vec![self.reserve_or_wait(reserved * share).await?];
        let mut bytes = BytesMut::with_capacity(reserved.min(limit_bytes));
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Refusal::BodyCutOff { detail: error.to_string() })?;
            let Ok(data) = frame.into_data() else { continue };
            if too_large(bytes.len() + data.len()) {
                return Err(Refusal::BodyTooLarge { limit_bytes });
            }
            while bytes.len() + data.len() > reserved {
                reservations.push(self.reserve_or_wait(STEP_BYTES * share).await?);
                reserved += STEP_BYTES;
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Admitted { bytes: bytes.freeze(), reservations })
    }

    /// Waits a little for memory before it refuses: a flush that is under way gives much of it back, and a
    /// sender that is held up costs less than one that has to come again.
    async fn reserve_or_wait(&self, bytes: usize) -> Result<Reservation, StoreError> {
        let deadline = tokio::time::Instant::now() + WAIT_MAX;
        loop {
            match self.store.reserve(bytes) {
                Err(StoreError::Overloaded { .. }) if tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(WAIT_STEP).await;
                }
                other => return other,
            }
        }
    }
}

//! What a segment's Parquet footer tells when there is no catalog: its [`SegmentMeta`], and the senders of its cut.
//!
//! ```text
//! key `logq`          SegmentMeta (JSON); `records_file` is zeros, for the file cannot know its own checksum
//! key `logq.senders`  [[Sender, SenderState], …] (JSON), with the last [`CHECKSUMS_KEPT`] checksums of each
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};

use super::meta::{FOOTER_KEY, SENDERS_KEY, SegmentId, SegmentMeta};
use super::{RECORDS_SUFFIX, file_name};
use crate::error::{Result, StoreError};
use crate::files::StoreFiles;
use crate::sender::{Sender, SenderState};

/// Batches of a sender that can still be compared after the catalog was lost; older ones conflict.
const CHECKSUMS_KEPT: usize = 64;

/// The senders' states as JSON.
pub(super) fn senders_to_json(senders: &[(Sender, SenderState)]) -> Result<String> {
    let short = |state: &SenderState| {
        let mut state = state.clone();
        let surplus = state.checksums.len().saturating_sub(CHECKSUMS_KEPT);
        state.checksums.drain(..surplus);
        state
    };
    let senders: Vec<_> = senders.iter().map(|(sender, state)| (sender, short(state))).collect();
    serde_json::to_string(&senders).map_err(StoreError::segment("describe"))
}

/// The senders that a footer tells of.
pub(super) fn senders(metadata: &ArrowReaderMetadata) -> Vec<(Sender, SenderState)> {
    value(metadata, SENDERS_KEY)
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

/// Keeps the state that has more batches.
pub(crate) fn keep_newer(
    senders: &mut BTreeMap<Sender, SenderState>,
    sender: Sender,
    state: SenderState,
) {
    let known = senders.entry(sender).or_default();
    if state.batches_accepted >= known.batches_accepted {
        *known = state;
    }
}

/// Reads the footer of a segment whose catalog row is lost; the checksum of the file is that of now.
///
/// # Errors
/// [`StoreError::Corrupt`] if there is no good footer.
pub(crate) fn read_footer(
    fs: &dyn StoreFiles,
    folder: &Path,
    id: SegmentId,
) -> Result<(SegmentMeta, Vec<(Sender, SenderState)>)> {
    let path = folder.join(file_name(id, RECORDS_SUFFIX));
    let bytes = Bytes::from_owner(fs.map(&path).map_err(StoreError::io("read", &path))?);
    let records_file = (bytes.len() as u64, crc32c::crc32c(&bytes));
    let metadata = ArrowReaderMetadata::load(&bytes, ArrowReaderOptions::new())
        .map_err(|error| StoreError::corrupt(&path, error.to_string()))?;
    let text = value(&metadata, FOOTER_KEY)
        .ok_or_else(|| StoreError::corrupt(&path, "its footer says nothing of logq"))?;
    let mut meta: SegmentMeta = serde_json::from_str(text)
        .map_err(|error| StoreError::corrupt(&path, format!("its footer: {error}")))?;
    let rows = metadata.metadata().file_metadata().num_rows();
    if meta.id != id || i64::from(meta.rows) != rows {
        return Err(StoreError::corrupt(&path, "its footer is that of another file"));
    }
    meta.records_file = records_file;
    let senders = senders(&metadata);
    Ok((meta, senders))
}

fn value<'m>(metadata: &'m ArrowReaderMetadata, key: &str) -> Option<&'m str> {
    let pairs = metadata.metadata().file_metadata().key_value_metadata()?;
    pairs.iter().find(|pair| pair.key == key)?.value.as_deref()
}

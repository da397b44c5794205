//! The memtable: parts that grow, until a cut seals them.

use std::collections::HashMap;
use std::sync::Arc;

use crate::chunk::{Chunk, PartDay};
use crate::combine::Combined;
use crate::view::{Part, PartKey};

/// Chunks of fewer rows are joined with their like, so that a part of many small batches stays fast to read.
const JOIN_ROWS_MAX: usize = 8_192;

/// The growing parts.
#[derive(Debug, Default)]
pub(crate) struct Memtable {
    parts: HashMap<PartKey, Arc<Part>>,
    /// Of the parts, and of entries without records.
    bytes: usize,
    /// When the oldest batch in it came.
    oldest: Option<std::time::Instant>,
}

impl Memtable {
    /// Adds a chunk to its part; a day beyond `open_parts_max` goes to the late part.
    pub(crate) fn add(
        &mut self,
        tenant: &Arc<str>,
        signal: &'static str,
        day: PartDay,
        chunk: Chunk,
        open_parts_max: usize,
    ) {
        let mut key = PartKey { tenant: Arc::clone(tenant), signal, day };
        if !self.parts.contains_key(&key) && self.parts.len() >= open_parts_max {
            key.day = PartDay::Late;
        }
        self.oldest.get_or_insert_with(std::time::Instant::now);
        let part = self
            .parts
            .entry(key.clone())
            .or_insert_with(|| Arc::new(Part { key, chunks: Vec::new() }));
        // Views share the part; each change makes a new one whose chunks are shared.
        let part = Arc::make_mut(part);
        let before = part.bytes();
        part.chunks.push(Arc::new(chunk));
        join_small(&mut part.chunks);
        self.bytes = self.bytes + part.bytes() - before;
    }

    /// Notes a batch without records: it takes no memory, but its entry in the journal waits for a cut as well.
    pub(crate) fn add_empty(&mut self, entry_bytes: usize) {
        self.oldest.get_or_insert_with(std::time::Instant::now);
        self.bytes += entry_bytes;
    }

    /// Memory of the parts and bytes of entries without records: what a cut would free.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn age(&self) -> Option<std::time::Duration> {
        self.oldest.map(|oldest| oldest.elapsed())
    }

    /// The parts as they are now.
    pub(crate) fn parts(&self) -> Vec<Arc<Part>> {
        self.parts.values().cloned().collect()
    }

    /// Hands out all parts and begins anew.
    pub(crate) fn seal(&mut self) -> Vec<Arc<Part>> {
        let parts = std::mem::take(self).parts;
        let mut parts: Vec<_> = parts.into_values().collect();
        parts.sort_by(|a, b| a.key.cmp(&b.key));
        parts
    }
}

/// Joins the last chunks while the one before is not twice as large: each row is copied a logarithmic
/// number of times.
fn join_small(chunks: &mut Vec<Arc<Chunk>>) {
    while let [.., before, last] = chunks.as_slice() {
        let rows = before.rows() + last.rows();
        if before.rows() >= last.rows() * 2 || rows > JOIN_ROWS_MAX {
            return;
        }
        let pair = [Arc::clone(before), Arc::clone(last)];
        let Ok((batch, names)) = Combined::new(&pair).batch(0..rows) else { return };
        let received_at_max = before.received_at_max.max(last.received_at_max);
        chunks.truncate(chunks.len() - 2);
        chunks.push(Arc::new(Chunk::new(batch, Arc::new(names), received_at_max)));
    }
}

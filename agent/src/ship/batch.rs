//! Records into batches: filled until one more record would not fit, then encoded and compressed once.
//!
//! The bytes of a batch never change after that, however often they are sent.

use std::fmt;

use bytes::Bytes;
use record::RecordRef;
use wire::{Encoding, OtlpEncoder};

use super::options::BatchLimits;
use super::report::ReportTotal;
use crate::interpret::Interpreted;
use crate::lines::Line;

/// A batch, ready to be sent.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    pub(super) sequence: u64,
    /// `ExportLogsServiceRequest`, compressed by zstd.
    pub(super) body: Bytes,
    pub(super) pieces: Vec<Piece>,
}

/// Which lines of one file are in a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    /// Its place among the files.
    pub(super) file: usize,
    pub(super) first_line: u64,
    pub(super) last_line: u64,
    pub(super) records: u64,
    pub(super) counts: ReportTotal,
}

impl Batch {
    /// For messages: `a.log lines 1 to 50000, b.log lines 1 to 3`.
    pub(super) fn lines(&self, paths: &[String]) -> String {
        const NAMED_MAX: usize = 3;
        let name = |piece: &Piece| {
            let path = paths.get(piece.file).map_or("?", String::as_str);
            format!("{path} lines {} to {}", piece.first_line, piece.last_line)
        };
        let mut names: Vec<String> = self.pieces.iter().take(NAMED_MAX).map(name).collect();
        if self.pieces.len() > NAMED_MAX {
            names.push(format!("and {} more files", self.pieces.len() - NAMED_MAX));
        }
        names.join(", ")
    }

    /// `path:line` of its first line.
    pub(super) fn begin(&self, paths: &[String]) -> String {
        let Some(piece) = self.pieces.first() else { return String::new() };
        format!("{}:{}", paths.get(piece.file).map_or("?", String::as_str), piece.first_line)
    }
}

/// Fills batches, one after the other.
pub(super) struct Filling {
    limits: BatchLimits,
    next_sequence: u64,
    encoder: OtlpEncoder,
    pieces: Vec<Piece>,
}

impl Filling {
    pub(super) fn new(limits: BatchLimits) -> Self {
        Self { limits, next_sequence: 0, encoder: OtlpEncoder::new(), pieces: Vec::new() }
    }

    /// Adds a record; gives the batch before it if that one is full.
    pub(super) fn push(&mut self, record: &RecordRef<'_>) -> Option<Batch> {
        let room = self.limits.decoded_bytes_max.saturating_sub(self.encoder.len());
        let full = self.encoder.records() >= self.limits.records_max
            || OtlpEncoder::bytes_max(record) > room;
        let batch = if full { self.cut() } else { None };
        self.encoder.push(record);
        batch
    }

    /// Notes from which line the record was that was pushed last.
    pub(super) fn note(&mut self, file: usize, line: &Line<'_>, done: Interpreted) {
        let open = self.pieces.last_mut().filter(|piece| piece.file == file);
        let piece = match open {
            Some(piece) => piece,
            None => {
                let counts = ReportTotal::default();
                let (first_line, last_line) = (line.number, line.number);
                self.pieces.push(Piece { file, first_line, last_line, records: 0, counts });
                self.pieces.last_mut().expect("it was pushed just now")
            }
        };
        piece.last_line = line.number;
        piece.records += 1;
        piece.counts.read(line, done);
    }

    /// Ends the batch; `None` if it holds nothing.
    pub(super) fn cut(&mut self) -> Option<Batch> {
        if self.encoder.is_empty() {
            return None;
        }
        let request = std::mem::take(&mut self.encoder).finish();
        let body = wire::compress(Encoding::Zstd, &request).into();
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        Some(Batch { sequence, body, pieces: std::mem::take(&mut self.pieces) })
    }
}

impl fmt::Debug for Filling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filling")
            .field("next_sequence", &self.next_sequence)
            .finish_non_exhaustive()
    }
}

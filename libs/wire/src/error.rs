//! Why a body is refused, and why single records of an accepted body are not taken.

use crate::Encoding;

/// Why a whole body is refused. Nothing of it counts, whatever the sink has seen by then.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// The body is not what its format says.
    #[error("the body is not valid {what}: {detail}")]
    Malformed {
        /// The name of the format.
        what: &'static str,
        /// What is wrong, and where.
        detail: String,
    },
    /// The compressed body cannot be undone: cut off, or not of this encoding.
    #[error("the {encoding} body cannot be decompressed; is it cut off?")]
    Compression {
        /// What the body claims to be.
        encoding: Encoding,
        /// What the decompressor said.
        #[source]
        source: std::io::Error,
    },
    /// The body is larger than `limit_bytes` once it is decompressed.
    #[error(
        "the body is larger than {limit_bytes} bytes after decompression; send smaller batches"
    )]
    BodyTooLarge {
        /// [`crate::Limits::decoded_bytes_max`].
        limit_bytes: usize,
    },
    /// A line is too long.
    #[error("line {line} is {bytes} bytes long, more than {limit_bytes}; cut it before sending")]
    LineTooLong {
        /// Counted from 1.
        line: u32,
        /// The length of it.
        bytes: usize,
        /// [`crate::Limits::record_bytes_max`].
        limit_bytes: usize,
    },
    /// An encoding that we do not undo.
    #[error("content encoding `{0}` is not known; send identity, gzip, zstd or deflate")]
    UnknownEncoding(String),
    /// A content type that we do not read.
    #[error("content type `{content_type}` is not known; send {known}")]
    UnknownContentType {
        /// What was sent, shortened.
        content_type: String,
        /// What is read.
        known: &'static str,
    },
    /// A number in a journal that is no format of this version.
    #[error("format number {0} is not known; is the journal from a newer version?")]
    UnknownFormat(u8),
    /// The headers that name a batch are incomplete or not well-formed.
    #[error("header `{header}` {detail}")]
    BatchName {
        /// Which header.
        header: &'static str,
        /// What is wrong with it.
        detail: &'static str,
    },
}

impl DecodeError {
    /// The HTTP status that tells the sender: 400, 413 or 415. None of them is worth a retry.
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed { .. }
            | Self::Compression { .. }
            | Self::UnknownFormat(_)
            | Self::BatchName { .. } => 400,
            Self::BodyTooLarge { .. } | Self::LineTooLong { .. } => 413,
            Self::UnknownEncoding(_) | Self::UnknownContentType { .. } => 415,
        }
    }

    /// The stable code for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "malformed_body",
            Self::Compression { .. } => "bad_compression",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::LineTooLong { .. } => "line_too_long",
            Self::UnknownEncoding(_) => "unknown_encoding",
            Self::UnknownContentType { .. } => "unknown_content_type",
            Self::UnknownFormat(_) => "unknown_format",
            Self::BatchName { .. } => "bad_batch_name",
        }
    }
}

/// A record that was not taken although its body was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Its place among all records of the body, accepted and rejected, from 0.
    pub ordinal: u32,
    /// The line it begins on, from 1; JSON lines only.
    pub line: Option<u32>,
    /// Why, for counters.
    pub reason: RejectReason,
    /// Why, for people. Never holds the record's contents.
    pub detail: String,
}

/// Why a record was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RejectReason {
    /// Not valid JSON.
    Malformed,
    /// Valid JSON, but no object.
    NotAnObject,
    /// Nested deeper than [`crate::Limits::depth_max`].
    TooDeep,
    /// Too large after flattening.
    TooLarge,
}

impl RejectReason {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Malformed, Self::NotAnObject, Self::TooDeep, Self::TooLarge];

    /// The stable name, used as a metric's label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::NotAnObject => "not_an_object",
            Self::TooDeep => "too_deep",
            Self::TooLarge => "too_large",
        }
    }
}

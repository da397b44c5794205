//! Names and types of the columns, in parts and in segments alike (`docs/formats/segment.md`).
//!
//! Fixed columns come first, always all of them, in this order; then attribute columns whose type is in
//! the name, so that a name which comes with two types has two columns and nothing is widened; then
//! `overflow` for names beyond the budget of columns.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};

/// Nanoseconds, UTC.
pub const TIMESTAMP: &str = "timestamp";
/// Place in the journal; with the timestamp the total order.
pub const RECORD_SEQ: &str = "record_seq";
#[allow(missing_docs)]
pub const OBSERVED_TIMESTAMP: &str = "observed_timestamp";
/// OpenTelemetry's number, 0 unspecified.
pub const SEVERITY: &str = "severity";
#[allow(missing_docs)]
pub const SEVERITY_TEXT: &str = "severity_text";
#[allow(missing_docs)]
pub const SERVICE: &str = "service";
#[allow(missing_docs)]
pub const HOST: &str = "host";
#[allow(missing_docs)]
pub const CORRELATION_ID: &str = "correlation_id";
/// 16 bytes.
pub const TRACE_ID: &str = "trace_id";
/// 8 bytes.
pub const SPAN_ID: &str = "span_id";
#[allow(missing_docs)]
pub const MESSAGE: &str = "message";
#[allow(missing_docs)]
pub const EVENT_NAME: &str = "event_name";
#[allow(missing_docs)]
pub const SOURCE_AGENT: &str = "source.agent";
#[allow(missing_docs)]
pub const SOURCE_PATH: &str = "source.path";
#[allow(missing_docs)]
pub const SOURCE_OFFSET: &str = "source.offset";
/// A JSON object of the attributes that have no column of their own.
pub const OVERFLOW: &str = "overflow";

/// Attribute columns in one part or segment; further names go to [`OVERFLOW`].
pub const ATTRIBUTE_COLUMNS_MAX: usize = 256;

/// The type of an attribute column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum AttributeType {
    String,
    I64,
    F64,
    Bool,
}

impl AttributeType {
    /// All of them, in the order in which they are tried.
    pub const ALL: [AttributeType; 4] = [Self::String, Self::I64, Self::F64, Self::Bool];

    /// The column of an attribute of this type.
    pub fn column(self, name: &str) -> String {
        let tag = match self {
            Self::String => 's',
            Self::I64 => 'i',
            Self::F64 => 'f',
            Self::Bool => 'b',
        };
        format!("attr.{tag}.{name}")
    }

    /// Reads a column's name back into type and attribute name.
    pub fn of_column(column: &str) -> Option<(Self, &str)> {
        let rest = column.strip_prefix("attr.")?;
        let attribute_type = match rest.as_bytes().first()? {
            b's' => Self::String,
            b'i' => Self::I64,
            b'f' => Self::F64,
            b'b' => Self::Bool,
            _ => return None,
        };
        Some((attribute_type, rest.get(1..)?.strip_prefix('.')?))
    }
}

/// Text of few different values: Arrow keeps it as a dictionary, Parquet as dictionary-encoded pages.
pub(crate) fn dictionary_type() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

pub(crate) fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Nanosecond, Some(Arc::from("UTC")))
}

/// The fixed columns in their order.
pub(crate) fn fixed_fields() -> Vec<Field> {
    vec![
        Field::new(TIMESTAMP, time_type(), false),
        Field::new(RECORD_SEQ, DataType::UInt64, false),
        Field::new(OBSERVED_TIMESTAMP, time_type(), false),
        Field::new(SEVERITY, DataType::UInt8, false),
        Field::new(SEVERITY_TEXT, dictionary_type(), true),
        Field::new(SERVICE, dictionary_type(), true),
        Field::new(HOST, dictionary_type(), true),
        Field::new(CORRELATION_ID, DataType::Utf8, true),
        Field::new(TRACE_ID, DataType::FixedSizeBinary(16), true),
        Field::new(SPAN_ID, DataType::FixedSizeBinary(8), true),
        Field::new(MESSAGE, DataType::Utf8, false),
        Field::new(EVENT_NAME, dictionary_type(), true),
        Field::new(SOURCE_AGENT, dictionary_type(), true),
        Field::new(SOURCE_PATH, dictionary_type(), true),
        Field::new(SOURCE_OFFSET, DataType::UInt64, true),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_name_tells_type_and_attribute() {
        for attribute_type in AttributeType::ALL {
            let column = attribute_type.column("http.status");
            assert_eq!(AttributeType::of_column(&column), Some((attribute_type, "http.status")));
        }
        assert_eq!(AttributeType::of_column("attr.x.a"), None);
        assert_eq!(AttributeType::of_column("message"), None);
    }
}

//! What a body is written in and how it is compressed.
//!
//! The numbers stand in journals: they are never changed and never used again.

use std::fmt;

use record::Signal;

use crate::DecodeError;

/// What a body is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Format {
    /// `ExportLogsServiceRequest` of OTLP, protobuf.
    OtlpProtobuf = 1,
    /// The same in OTLP's JSON mapping.
    OtlpJson = 2,
    /// One JSON object a line, or one array of objects, or one object over several lines.
    JsonLines = 3,
    /// `ExportTraceServiceRequest` of OTLP, protobuf.
    OtlpTracesProtobuf = 4,
    /// The same in OTLP's JSON mapping.
    OtlpTracesJson = 5,
    /// An array of spans of Zipkin's API version 2.
    ZipkinJson = 6,
}

/// How a body is compressed; the values of `Content-Encoding`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Encoding {
    /// Not at all.
    #[default]
    Identity = 0,
    /// RFC 1952, one member or several.
    Gzip = 1,
    /// RFC 8878, one frame or several.
    Zstd = 2,
    /// RFC 1950 (zlib), which HTTP calls "deflate".
    Deflate = 3,
}

impl Format {
    /// All of them, by their numbers.
    pub const ALL: [Format; 6] = [
        Self::OtlpProtobuf,
        Self::OtlpJson,
        Self::JsonLines,
        Self::OtlpTracesProtobuf,
        Self::OtlpTracesJson,
        Self::ZipkinJson,
    ];

    /// OTLP's protobuf of a signal.
    pub fn otlp_protobuf(signal: Signal) -> Self {
        match signal {
            Signal::Logs => Self::OtlpProtobuf,
            Signal::Spans => Self::OtlpTracesProtobuf,
        }
    }

    /// OTLP's JSON mapping of a signal.
    pub fn otlp_json(signal: Signal) -> Self {
        match signal {
            Signal::Logs => Self::OtlpJson,
            Signal::Spans => Self::OtlpTracesJson,
        }
    }

    /// The format that the `Content-Type` of an OTLP request for a signal names; parameters such as `charset` are
    /// ignored.
    ///
    /// # Errors
    /// [`DecodeError::UnknownContentType`] for every other type, a missing one included.
    pub fn of_otlp(signal: Signal, content_type: Option<&str>) -> Result<Self, DecodeError> {
        let content_type = content_type.unwrap_or("");
        match essence(content_type).as_str() {
            "application/x-protobuf" | "application/protobuf" => Ok(Self::otlp_protobuf(signal)),
            "application/json" => Ok(Self::otlp_json(signal)),
            _ => Err(DecodeError::UnknownContentType {
                content_type: shorten(content_type),
                known: "application/x-protobuf or application/json",
            }),
        }
    }

    /// As [`Format::of_otlp`], for a request of Zipkin's API, where a missing type is JSON.
    ///
    /// # Errors
    /// [`DecodeError::UnknownContentType`] for every other type: Zipkin's protobuf and thrift are not read.
    pub fn of_zipkin(content_type: Option<&str>) -> Result<Self, DecodeError> {
        let content_type = content_type.unwrap_or("");
        match essence(content_type).as_str() {
            "" | "application/json" => Ok(Self::ZipkinJson),
            _ => Err(DecodeError::UnknownContentType {
                content_type: shorten(content_type),
                known: "application/json",
            }),
        }
    }

    /// What the records of such a body are.
    pub fn signal(self) -> Signal {
        match self {
            Self::OtlpProtobuf | Self::OtlpJson | Self::JsonLines => Signal::Logs,
            Self::OtlpTracesProtobuf | Self::OtlpTracesJson | Self::ZipkinJson => Signal::Spans,
        }
    }

    /// The `Content-Type` to send bodies of this format with.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OtlpProtobuf | Self::OtlpTracesProtobuf => "application/x-protobuf",
            Self::OtlpJson | Self::OtlpTracesJson | Self::ZipkinJson => "application/json",
            Self::JsonLines => "application/x-ndjson",
        }
    }
}

impl Encoding {
    /// The encoding that a `Content-Encoding` header names, in any case; no header is [`Encoding::Identity`].
    ///
    /// # Errors
    /// [`DecodeError::UnknownEncoding`] for every other name, and for several encodings on top of each other.
    pub fn from_header(content_encoding: Option<&str>) -> Result<Self, DecodeError> {
        let name = content_encoding.unwrap_or("").trim().to_ascii_lowercase();
        match name.as_str() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            "deflate" => Ok(Self::Deflate),
            _ => Err(DecodeError::UnknownEncoding(shorten(&name))),
        }
    }

    /// The value of `Content-Encoding`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Deflate => "deflate",
        }
    }
}

impl TryFrom<u8> for Format {
    type Error = DecodeError;

    fn try_from(number: u8) -> Result<Self, DecodeError> {
        Ok(match number {
            1 => Self::OtlpProtobuf,
            2 => Self::OtlpJson,
            3 => Self::JsonLines,
            4 => Self::OtlpTracesProtobuf,
            5 => Self::OtlpTracesJson,
            6 => Self::ZipkinJson,
            _ => return Err(DecodeError::UnknownFormat(number)),
        })
    }
}

impl TryFrom<u8> for Encoding {
    type Error = DecodeError;

    fn try_from(number: u8) -> Result<Self, DecodeError> {
        Ok(match number {
            0 => Self::Identity,
            1 => Self::Gzip,
            2 => Self::Zstd,
            3 => Self::Deflate,
            _ => return Err(DecodeError::UnknownEncoding(number.to_string())),
        })
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A media type without its parameters, in lower case.
fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

/// What a stranger sent, short enough to be sent back.
fn shorten(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_back() {
        for format in Format::ALL {
            assert_eq!(Format::try_from(format as u8).unwrap(), format);
        }
        for encoding in [Encoding::Identity, Encoding::Gzip, Encoding::Zstd, Encoding::Deflate] {
            assert_eq!(Encoding::try_from(encoding as u8).unwrap(), encoding);
            assert_eq!(Encoding::from_header(Some(encoding.name())).unwrap(), encoding);
        }
        assert!(Format::try_from(0).is_err());
        assert!(Encoding::try_from(9).is_err());
    }

    #[test]
    fn headers_are_read_in_any_case_and_unknown_ones_are_415() {
        assert_eq!(Encoding::from_header(None).unwrap(), Encoding::Identity);
        assert_eq!(Encoding::from_header(Some(" GZIP ")).unwrap(), Encoding::Gzip);
        assert_eq!(Encoding::from_header(Some("gzip, zstd")).unwrap_err().status(), 415);
        let json = Some("Application/JSON; charset=utf-8");
        assert_eq!(Format::of_otlp(Signal::Logs, json).unwrap(), Format::OtlpJson);
        assert_eq!(Format::of_otlp(Signal::Spans, json).unwrap(), Format::OtlpTracesJson);
        assert_eq!(Format::of_zipkin(json).unwrap(), Format::ZipkinJson);
        assert_eq!(Format::of_otlp(Signal::Logs, None).unwrap_err().status(), 415);
        let thrift = Format::of_zipkin(Some("application/x-thrift")).unwrap_err();
        assert_eq!(
            thrift.to_string(),
            "content type `application/x-thrift` is not known; send application/json"
        );
    }
}

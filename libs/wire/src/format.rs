//! What a body is written in and how it is compressed.
//!
//! The numbers stand in journals: they are never changed and never used again.

use std::fmt;

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
    /// The format that an OTLP request's `Content-Type` names; parameters such as `charset` are ignored.
    ///
    /// # Errors
    /// [`DecodeError::UnknownContentType`] for every other type, a missing one included.
    pub fn of_otlp(content_type: Option<&str>) -> Result<Self, DecodeError> {
        let content_type = content_type.unwrap_or("");
        match essence(content_type).as_str() {
            "application/x-protobuf" | "application/protobuf" => Ok(Self::OtlpProtobuf),
            "application/json" => Ok(Self::OtlpJson),
            _ => Err(DecodeError::UnknownContentType(shorten(content_type))),
        }
    }

    /// The `Content-Type` to send bodies of this format with.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OtlpProtobuf => "application/x-protobuf",
            Self::OtlpJson => "application/json",
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
        for format in [Format::OtlpProtobuf, Format::OtlpJson, Format::JsonLines] {
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
        let json = Format::of_otlp(Some("Application/JSON; charset=utf-8")).unwrap();
        assert_eq!(json, Format::OtlpJson);
        assert_eq!(Format::of_otlp(None).unwrap_err().status(), 415);
    }
}

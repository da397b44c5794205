//! Compression of whole bodies, undone within a bound.
//!
//! A body is never trusted about its own size: output grows as it is produced and stops one byte beyond
//! the limit, and zstd's window is bounded too, so a bomb costs what the limit allows and no more.

use std::borrow::Cow;
use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::read::{MultiGzDecoder, ZlibDecoder};
use flate2::write::{GzEncoder, ZlibEncoder};

use crate::{DecodeError, Encoding, Limits};

/// zstd's level: level 3 is slower and no smaller on log lines.
const ZSTD_LEVEL: i32 = 1;
/// Largest window a zstd frame may ask for, as a power of two: 8 MiB, as RFC 9659 has it for HTTP.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// What is reserved before the first byte is produced is at most this multiple of the body.
const RESERVE_RATIO: usize = 8;

/// Undoes `encoding`. An unencoded body is handed back as it is.
///
/// # Errors
/// [`DecodeError::BodyTooLarge`] beyond [`Limits::decoded_bytes_max`], [`DecodeError::Compression`] if the
/// body is cut off, empty, followed by something else, or not of this encoding.
pub fn decompress<'b>(
    encoding: Encoding,
    body: &'b [u8],
    limits: &Limits,
) -> Result<Cow<'b, [u8]>, DecodeError> {
    let limit_bytes = limits.decoded_bytes_max;
    if encoding == Encoding::Identity {
        return if body.len() > limit_bytes {
            Err(DecodeError::BodyTooLarge { limit_bytes })
        } else {
            Ok(Cow::Borrowed(body))
        };
    }
    let mut decoded = Vec::with_capacity(body.len().saturating_mul(RESERVE_RATIO).min(limit_bytes));
    let result = match encoding {
        // zstd takes nothing at all for a complete stream of no frames; a compressed body is never empty.
        _ if body.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
        Encoding::Identity => Ok(()),
        Encoding::Gzip => read_bounded(MultiGzDecoder::new(body), limit_bytes, &mut decoded),
        Encoding::Deflate => {
            let mut decoder = ZlibDecoder::new(body);
            read_bounded(&mut decoder, limit_bytes, &mut decoded).and_then(|()| {
                let over = decoded.len() > limit_bytes;
                let rest = (decoder.total_in() as usize) < body.len() && !over;
                if rest { Err(io::ErrorKind::InvalidData.into()) } else { Ok(()) }
            })
        }
        Encoding::Zstd => zstd::stream::read::Decoder::with_buffer(body)
            .and_then(|mut decoder| {
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Ok(decoder)
            })
            .and_then(|decoder| read_bounded(decoder, limit_bytes, &mut decoded)),
    };
    if decoded.len() > limit_bytes {
        return Err(DecodeError::BodyTooLarge { limit_bytes });
    }
    match result {
        Ok(()) => Ok(Cow::Owned(decoded)),
        Err(source) => Err(DecodeError::Compression { encoding, source }),
    }
}

/// Compresses a body: zstd at level 1, gzip and deflate at their fastest.
pub fn compress(encoding: Encoding, body: &[u8]) -> Vec<u8> {
    const REASON: &str = "writing to memory cannot fail";
    let room = Vec::with_capacity(body.len() / 4 + 64);
    match encoding {
        Encoding::Identity => body.to_vec(),
        Encoding::Gzip => {
            let mut encoder = GzEncoder::new(room, Compression::fast());
            encoder.write_all(body).expect(REASON);
            encoder.finish().expect(REASON)
        }
        Encoding::Deflate => {
            let mut encoder = ZlibEncoder::new(room, Compression::fast());
            encoder.write_all(body).expect(REASON);
            encoder.finish().expect(REASON)
        }
        Encoding::Zstd => zstd::bulk::compress(body, ZSTD_LEVEL).expect(REASON),
    }
}

/// Reads at most one byte more than the limit.
fn read_bounded(reader: impl Read, limit_bytes: usize, into: &mut Vec<u8>) -> io::Result<()> {
    reader.take(limit_bytes as u64 + 1).read_to_end(into).map(|_| ())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ENCODINGS: [Encoding; 4] =
        [Encoding::Identity, Encoding::Gzip, Encoding::Zstd, Encoding::Deflate];

    #[test]
    fn a_body_cut_anywhere_is_an_error() {
        let body =
            b"a line that is long enough to be compressed, compressed, compressed\n".repeat(9);
        for encoding in &ENCODINGS[1..] {
            let whole = compress(*encoding, &body);
            for length in 0..whole.len() {
                let error =
                    decompress(*encoding, &whole[..length], &Limits::default()).unwrap_err();
                assert_eq!(error.code(), "bad_compression", "{encoding} cut at {length}");
            }
        }
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let limits = Limits { decoded_bytes_max: 1 << 20, ..Limits::default() };
        for encoding in ENCODINGS {
            let exact = compress(encoding, &vec![0; 1 << 20]);
            assert_eq!(decompress(encoding, &exact, &limits).unwrap().len(), 1 << 20);
            let bomb = compress(encoding, &vec![0; 32 << 20]);
            assert_eq!(
                decompress(encoding, &bomb, &limits).unwrap_err().status(),
                413,
                "{encoding}"
            );
        }
    }

    #[test]
    fn several_members_and_frames_are_one_body() {
        for encoding in [Encoding::Gzip, Encoding::Zstd] {
            let mut two = compress(encoding, b"one ");
            two.extend(compress(encoding, b"two"));
            assert_eq!(&*decompress(encoding, &two, &Limits::default()).unwrap(), b"one two");
        }
    }

    #[test]
    fn something_after_the_body_is_an_error() {
        for encoding in &ENCODINGS[1..] {
            let mut body = compress(*encoding, b"one");
            body.extend(b"garbage");
            assert!(decompress(*encoding, &body, &Limits::default()).is_err(), "{encoding}");
        }
    }

    proptest! {
        #[test]
        fn every_body_is_read_back(body in proptest::collection::vec(any::<u8>(), 0..2_000)) {
            for encoding in ENCODINGS {
                let compressed = compress(encoding, &body);
                let read = decompress(encoding, &compressed, &Limits::default()).unwrap();
                prop_assert_eq!(&*read, &*body);
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            for encoding in ENCODINGS {
                let _ = decompress(encoding, &body, &Limits::default());
            }
        }
    }
}

//! Which format the first lines are of.

use bumpalo::Bump;
use record::Timestamp;

use super::Format;
use crate::draft::Draft;
use crate::lines::LineReader;
use crate::time_format::{TimeOptions, TimeReader};

/// How many lines are looked at.
pub const SAMPLE_LINES_MAX: usize = 100;
/// How many bytes are looked at.
pub const SAMPLE_BYTES_MAX: usize = 64 << 10;

/// From the strictest layout to the loosest: the first of several that read equally many lines is taken. The
/// plain combined form of access logs is said to be nginx's, whichever server wrote it: both read it alike.
const CANDIDATES: [Format; 12] = [
    Format::Json,
    Format::Openstack,
    Format::Hdfs,
    Format::ApacheError,
    Format::Nginx,
    Format::ApacheAccess,
    Format::EnvoyAccess,
    Format::Klog,
    Format::Log4j,
    Format::Python,
    Format::Syslog,
    Format::Logfmt,
];

/// One line in so many must be read by a format; the others may be stack traces.
const LINES_PER_HIT_MAX: usize = 10;

/// The format that reads most of the sample's lines, [`Format::Raw`] if none reads a tenth of them.
///
/// `sample` is the beginning of a source, decompressed; its last line counts only if it has an end or is all
/// there is. Empty lines do not count.
pub fn detect(sample: &[u8]) -> Format {
    let sample = &sample[..sample.len().min(SAMPLE_BYTES_MAX)];
    let whole = memchr::memrchr(b'\n', sample).map_or(sample, |end| &sample[..end]);
    let mut reader = LineReader::new(whole);
    let mut lines = Vec::new();
    while lines.len() < SAMPLE_LINES_MAX
        && let Ok(Some(line)) = reader.next_line()
    {
        let line = String::from_utf8_lossy(line.bytes).into_owned();
        if !line.trim().is_empty() {
            lines.push(line);
        }
    }
    let mut best = (0, Format::Raw);
    for format in CANDIDATES {
        let hits = hits(format, &lines);
        if hits > best.0 && hits * LINES_PER_HIT_MAX >= lines.len() {
            best = (hits, format);
        }
    }
    best.1
}

fn hits(format: Format, lines: &[String]) -> usize {
    let times = TimeReader::new(&TimeOptions::default()).expect("no options are good options");
    let mut reader = format.reader(None);
    let parses = |line: &&String| {
        let arena = Bump::new();
        reader.parse(line, &mut Draft::new(&arena, &times, Timestamp(0)))
    };
    lines.iter().filter(parses).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layout_that_reads_most_lines_is_taken() {
        let cases = [
            (Format::Json, "{\"msg\":\"a\"}\n{\"msg\":\"b\"}\nno json\n"),
            (Format::Logfmt, "ts=1 level=info msg=\"a b\"\n"),
            (Format::Log4j, "17/06/09 20:10:40 INFO a.B: c\n\tat x\n\tat y\n\tat z\n"),
            (Format::Syslog, "<13>1 2024-01-02T03:04:05Z host app - - - text\n"),
            (Format::Syslog, "Jun 14 15:16:01 combo kernel: x"),
            (
                Format::Nginx,
                "192.0.2.7 - - [21/Nov/2026:08:00:00 +0000] \"GET / HTTP/1.1\" 200 7 \"-\" \"curl\"\n",
            ),
            (Format::Nginx, "2026/11/21 08:00:00 [error] 123#456: *78 open() failed\n"),
            (
                Format::ApacheAccess,
                "192.0.2.7 - - [21/Nov/2026:08:00:00 +0000] \"GET / HTTP/1.1\" 200 7\n",
            ),
            (
                Format::EnvoyAccess,
                "[2026-11-21T08:00:00.123Z] \"GET / HTTP/1.1\" 200 - 0 1 2 - \"-\" \"a\" \"b\" \"c\" \"d\"\n",
            ),
            (Format::Klog, "I1121 08:00:00.123456   12345 file.go:123] text\n"),
            (Format::Python, "WARNING:root:text\nTraceback (most recent call last):\n"),
            (Format::Python, "2026-11-21 08:00:00,123 - shop.orders - INFO - text\n"),
            (Format::Log4j, "2026-11-21 08:00:00,123 INFO a.b: text\n"),
            (Format::Raw, "Note:this:that\nERROR: text\n"),
            (Format::Raw, "some words\nand others\n"),
            (Format::Raw, ""),
            (Format::Raw, "\n\n\n"),
        ];
        for (format, sample) in cases {
            assert_eq!(detect(sample.as_bytes()), format, "{sample:?}");
        }
    }

    #[test]
    fn one_lucky_line_among_many_is_no_format() {
        let mut sample = "words of nobody\n".repeat(50);
        sample.push_str("a=b\n");
        assert_eq!(detect(sample.as_bytes()), Format::Raw);
    }

    #[test]
    fn the_cut_end_of_a_sample_does_not_count() {
        let mut sample = "{\"a\":1}\n".repeat(10_000);
        sample.insert_str(0, "{\"b\":2}\n");
        assert_eq!(detect(sample.as_bytes()), Format::Json);
    }
}

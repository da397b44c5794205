//! How fast bodies become records: `cargo run --release -p wire --example decode_speed`.
//!
//! Prints MB/s and µs a record for JSON lines of about 413 bytes and for the same records as OTLP. The
//! bodies are made from a fixed seed; each figure is the best of several rounds on one thread.

use std::io::Write;
use std::time::Instant;

use record::Timestamp;
use wire::{Encoding, Format, Limits, OtlpEncoder, OtlpJsonEncoder, compress, decode, decompress};

const RECORDS: usize = 20_000;
const ROUNDS: usize = 15;

fn main() {
    let lines = json_lines();
    let (mut otlp, mut otlp_json) = (OtlpEncoder::new(), OtlpJsonEncoder::new());
    let received_at = Timestamp(1_700_000_000_000_000_000);
    let limits = Limits::default();
    decode(Format::JsonLines, lines.as_bytes(), received_at, &limits, &mut |record| {
        otlp.push(record);
        otlp_json.push(record);
    })
    .expect("the corpus is valid");
    let mut out = std::io::stdout().lock();
    let bodies = [
        ("JSON lines", Format::JsonLines, lines.into_bytes()),
        ("OTLP protobuf", Format::OtlpProtobuf, otlp.finish()),
        ("OTLP JSON", Format::OtlpJson, otlp_json.finish().into_bytes()),
    ];
    for (name, format, body) in &bodies {
        let seconds = best(|| {
            let mut bytes = 0;
            decode(*format, body, received_at, &limits, &mut |record| {
                bytes += record.message.len() + record.attributes.len();
            })
            .expect("the corpus is valid");
            bytes
        });
        report(&mut out, &format!("decode {name}"), body.len(), seconds);
    }
    let seconds = best(|| {
        let mut encoder = OtlpEncoder::new();
        decode(Format::OtlpProtobuf, &bodies[1].2, received_at, &limits, &mut |record| {
            encoder.push(record);
        })
        .expect("the corpus is valid");
        encoder.finish().len()
    });
    report(&mut out, "decode and encode OTLP protobuf", bodies[1].2.len(), seconds);
    for encoding in [Encoding::Zstd, Encoding::Gzip] {
        let body = &bodies[1].2;
        let compressed = compress(encoding, body);
        let seconds = best(|| compress(encoding, body).len());
        report(&mut out, &format!("compress {encoding}"), body.len(), seconds);
        let seconds = best(|| decompress(encoding, &compressed, &limits).expect("valid").len());
        report(&mut out, &format!("decompress {encoding}"), body.len(), seconds);
    }
}

fn best(mut run: impl FnMut() -> usize) -> f64 {
    (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            std::hint::black_box(run());
            start.elapsed().as_secs_f64()
        })
        .fold(f64::MAX, f64::min)
}

fn report(out: &mut impl Write, what: &str, bytes: usize, seconds: f64) {
    // Whoever reads may have seen enough.
    let _ = writeln!(
        out,
        "{what:<34} {:>6.0} MB/s  {:>6.3} µs a record  {:>4} B a record",
        bytes as f64 / seconds / 1e6,
        seconds / RECORDS as f64 * 1e6,
        bytes / RECORDS
    );
}

/// Lines as a web shop's services write them; one in twenty has an escape.
fn json_lines() -> String {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut out = String::new();
    for n in 0..RECORDS {
        let (a, b) = (next(), next());
        let level = ["info", "info", "info", "debug", "warn", "error"][(a % 6) as usize];
        let service = ["orders", "payments", "gateway", "inventory", "shipping"][(b % 5) as usize];
        let quote = if n % 20 == 0 { "\\\"" } else { "" };
        out.push_str(&format!(
            "{{\"timestamp\":\"2026-01-02T{:02}:{:02}:{:02}.{:03}Z\",\"level\":\"{level}\",\"service\":\"{service}\",\
             \"host\":\"node-{:02}.example.internal\",\"correlation_id\":\"{:016x}{:08x}\",\"trace_id\":\"{a:016x}{b:016x}\",\
             \"span_id\":\"{b:016x}\",\"message\":\"order {} of customer {} was charged {quote}{}{quote} cents after {} attempts\",\
             \"http.method\":\"POST\",\"http.path\":\"/api/v1/orders/{}/charge\",\"http.status\":{},\"duration_ms\":{}.{:03},\"retry\":{}}}\n",
            n / 3_600 % 24, n / 60 % 60, n % 60, a % 1_000, a % 16, a, b as u32, a % 100_000, b % 10_000,
            a % 90_000, b % 4, a % 100_000, 200 + (b % 4) * 100, a % 500, b % 1_000, b % 2 == 0
        ));
    }
    out
}

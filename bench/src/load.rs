//! The load generator: a corpus cut into batches, sent over HTTP on some connections as quickly as the server takes it.
//!
//! Batches are made, and compressed where asked, before the clock starts. A server that answers 429 gets the batch
//! again after the time that it names; that time is part of the measurement.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use serde::Deserialize;

use crate::corpus::{CorpusOptions, Entry, Generator};

/// Levels that shippers use on the way: speed before size.
const GZIP_LEVEL: u32 = 1;
const ZSTD_LEVEL: i32 = 1;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Where a 429 names no time.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(1);
/// A server that refuses this often in a row has a fault, and the run ends.
const REFUSALS_IN_A_ROW_MAX: u32 = 100;

/// How batches are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

impl Encoding {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    fn pack(self, lines: Vec<u8>) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Identity => Ok(lines),
            Self::Gzip => {
                let mut encoder =
                    flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(GZIP_LEVEL));
                encoder.write_all(&lines)?;
                encoder.finish()
            }
            Self::Zstd => zstd::encode_all(lines.as_slice(), ZSTD_LEVEL),
        }
    }
}

/// How a corpus is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Args)]
pub(crate) struct LoadOptions {
    /// Connections that send at the same time
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) connections: u16,
    /// Size of a batch before it is packed, as 4MiB, 512KiB or bytes
    #[arg(long, default_value = "4MiB", value_parser = parse_batch_bytes)]
    pub(crate) batch_bytes: usize,
    /// How batches are packed
    #[arg(long, value_enum, default_value_t = Encoding::Identity)]
    pub(crate) encoding: Encoding,
}

/// A corpus, ready to be sent.
#[derive(Debug)]
pub(crate) struct Batches {
    bodies: Vec<Bytes>,
    encoding: Encoding,
    pub(crate) records: u64,
    /// JSON lines, newlines included.
    pub(crate) raw_bytes: u64,
    /// What goes over the wire as bodies.
    pub(crate) sent_bytes: u64,
}

impl Batches {
    /// Makes all batches in memory and shows each entry to `observe`.
    ///
    /// # Errors
    /// When a batch cannot be packed.
    pub(crate) fn generate(
        corpus: &CorpusOptions,
        load: &LoadOptions,
        mut observe: impl FnMut(&Entry),
    ) -> anyhow::Result<Self> {
        let mut batches = Self {
            bodies: Vec::new(),
            encoding: load.encoding,
            records: 0,
            raw_bytes: 0,
            sent_bytes: 0,
        };
        let mut lines = Vec::with_capacity(load.batch_bytes);
        let mut line = Vec::with_capacity(1 << 10);
        for entry in Generator::new(corpus) {
            observe(&entry);
            line.clear();
            entry.write_line(&mut line);
            if lines.len() + line.len() > load.batch_bytes && !lines.is_empty() {
                batches.add(std::mem::replace(&mut lines, Vec::with_capacity(load.batch_bytes)))?;
            }
            lines.extend_from_slice(&line);
            batches.records += 1;
        }
        if !lines.is_empty() {
            batches.add(lines)?;
        }
        Ok(batches)
    }

    pub(crate) fn count(&self) -> usize {
        self.bodies.len()
    }

    fn add(&mut self, lines: Vec<u8>) -> anyhow::Result<()> {
        self.raw_bytes += lines.len() as u64;
        let body = self.encoding.pack(lines).context("cannot pack a batch")?;
        self.sent_bytes += body.len() as u64;
        self.bodies.push(body.into());
        Ok(())
    }
}

/// What became of a corpus that was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loaded {
    /// Records that the server's answers claim.
    pub(crate) acknowledged: u64,
    /// Answers 429, each followed by a wait and another try.
    pub(crate) refused: u64,
    /// When the first byte was about to be sent.
    pub(crate) begun: Instant,
    /// From then to the last acknowledgement.
    pub(crate) elapsed: Duration,
}

/// Sends everything to `ingest` (`http://host:port`), in order, each connection taking the next batch.
///
/// # Errors
/// On any answer but success and 429, and on a record that was rejected.
pub(crate) async fn send(
    ingest: &str,
    batches: Arc<Batches>,
    connections: u16,
) -> anyhow::Result<Loaded> {
    let url = format!("{ingest}/ingest/jsonl");
    let next = Arc::new(AtomicUsize::new(0));
    let refused = Arc::new(AtomicU64::new(0));
    // Connections stand before the clock starts, as a shipper's do.
    let mut clients = Vec::new();
    for _ in 0..connections {
        let client =
            crate::http::builder().timeout(REQUEST_TIMEOUT).pool_max_idle_per_host(1).build()?;
        client
            .get(format!("{ingest}/health/ready"))
            .send()
            .await
            .context("cannot reach the server")?
            .bytes()
            .await?;
        clients.push(client);
    }
    let begun = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for client in clients {
        let (url, batches, next, refused) =
            (url.clone(), batches.clone(), next.clone(), refused.clone());
        tasks.spawn(async move {
            let mut acknowledged = 0;
            while let Some(body) = batches.bodies.get(next.fetch_add(1, Ordering::Relaxed)) {
                acknowledged += post(&client, &url, body, batches.encoding, &refused).await?;
            }
            anyhow::Ok(acknowledged)
        });
    }
    let mut acknowledged = 0;
    while let Some(result) = tasks.join_next().await {
        acknowledged += result.context("a connection's task ended")??;
    }
    Ok(Loaded {
        acknowledged,
        refused: refused.load(Ordering::Relaxed),
        begun,
        elapsed: begun.elapsed(),
    })
}

#[derive(Debug, Deserialize)]
struct Answer {
    accepted: u64,
    #[serde(default)]
    rejected: u64,
}

/// Posts one batch until it is taken; gives the records that the server says it has.
async fn post(
    client: &reqwest::Client,
    url: &str,
    body: &Bytes,
    encoding: Encoding,
    refused: &AtomicU64,
) -> anyhow::Result<u64> {
    for _ in 0..REFUSALS_IN_A_ROW_MAX {
        let mut request =
            client.post(url).header(CONTENT_TYPE, "application/x-ndjson").body(body.clone());
        if encoding != Encoding::Identity {
            request = request.header(CONTENT_ENCODING, encoding.name());
        }
        let response = request.send().await.context("cannot send a batch")?;
        let status = response.status();
        if status == StatusCode::TOO_MANY_REQUESTS {
            refused.fetch_add(1, Ordering::Relaxed);
            let seconds = response
                .headers()
                .get(RETRY_AFTER)
                .and_then(|value| value.to_str().ok()?.parse().ok());
            tokio::time::sleep(seconds.map_or(RETRY_AFTER_DEFAULT, Duration::from_secs)).await;
            continue;
        }
        let text = response.text().await.context("cannot read an acknowledgement")?;
        if !status.is_success() {
            bail!("a batch was answered with {status}: {text}");
        }
        let answer: Answer =
            serde_json::from_str(&text).context("an acknowledgement has an unknown form")?;
        if answer.rejected > 0 {
            bail!("{} records of a sound batch were rejected: {text}", answer.rejected);
        }
        return Ok(answer.accepted);
    }
    bail!("the server refused a batch {REFUSALS_IN_A_ROW_MAX} times in a row");
}

fn parse_batch_bytes(text: &str) -> Result<usize, String> {
    let (number, factor) = match (text.strip_suffix("MiB"), text.strip_suffix("KiB")) {
        (Some(number), _) => (number, 1 << 20),
        (_, Some(number)) => (number, 1 << 10),
        _ => (text, 1),
    };
    let bytes = number.trim().parse::<usize>().ok().and_then(|number| number.checked_mul(factor));
    bytes
        .filter(|bytes| (1_024..=64 << 20).contains(bytes))
        .ok_or_else(|| "expected a size from 1KiB to 64MiB, as 4MiB, 512KiB or bytes".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORPUS: CorpusOptions = CorpusOptions { records: 5_000, seed: 1 };

    fn batches(encoding: Encoding) -> Batches {
        let load = LoadOptions { connections: 2, batch_bytes: 64 << 10, encoding };
        Batches::generate(&CORPUS, &load, |_| {}).unwrap()
    }

    #[test]
    fn batches_hold_the_corpus_and_keep_their_size() {
        let batches = batches(Encoding::Identity);
        assert_eq!(batches.records, CORPUS.records);
        assert!(batches.bodies.iter().all(|body| body.len() <= 64 << 10 && body.ends_with(b"}\n")));
        let mut expected = Vec::new();
        Generator::new(&CORPUS).for_each(|entry| entry.write_line(&mut expected));
        assert_eq!(batches.bodies.concat(), expected);
        assert_eq!(batches.raw_bytes, expected.len() as u64);
    }

    #[test]
    fn packed_batches_unpack_to_the_same() {
        let plain = batches(Encoding::Identity);
        let packed = batches(Encoding::Zstd);
        let unpacked: Vec<Vec<u8>> =
            packed.bodies.iter().map(|body| zstd::decode_all(&body[..]).unwrap()).collect();
        assert_eq!(unpacked.concat(), plain.bodies.concat());
        assert_eq!(packed.raw_bytes, plain.raw_bytes);
        assert!(packed.sent_bytes < plain.sent_bytes / 2);
        assert!(batches(Encoding::Gzip).bodies.iter().all(|body| body.starts_with(&[0x1f, 0x8b])));
    }

    #[test]
    fn sizes_have_units_and_bounds() {
        assert_eq!(parse_batch_bytes("4MiB"), Ok(4 << 20));
        assert_eq!(parse_batch_bytes("512KiB"), Ok(512 << 10));
        assert_eq!(parse_batch_bytes("2048"), Ok(2_048));
        assert!(
            parse_batch_bytes("4GB").is_err()
                && parse_batch_bytes("1").is_err()
                && parse_batch_bytes("1000MiB").is_err()
        );
    }
}

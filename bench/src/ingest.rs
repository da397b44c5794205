//! `bench ingest`: from received bytes to published segments on the real server, journal included.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use serde::Serialize;

use crate::corpus::CorpusOptions;
use crate::disk::{DiskUsage, SyncProbe};
use crate::home::Home;
use crate::load::{self, Batches, LoadOptions};
use crate::process::Usage;
use crate::server::Installation;
use crate::settle;
use crate::table::Table;

/// Megabytes are a million bytes of JSON lines as they were before packing.
const MEGABYTE: f64 = 1_000_000.0;
/// The corpus that the target of CPU seconds speaks of.
const TARGET_CPU_RAW_MB: f64 = 827.0;

/// What to measure.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct IngestOptions {
    #[command(flatten)]
    pub(crate) corpus: CorpusOptions,
    #[command(flatten)]
    pub(crate) load: LoadOptions,
    /// The server's binary [default: `logq` beside this program]
    #[arg(long)]
    pub(crate) logq: Option<PathBuf>,
    /// Folder for the data, kept afterwards
    #[arg(long)]
    pub(crate) keep: Option<PathBuf>,
}

/// What was measured. Units are in the names; `_mb` is 1,000,000 bytes.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct IngestResult {
    pub(crate) records: u64,
    pub(crate) seed: u64,
    pub(crate) connections: u16,
    pub(crate) batch_bytes: usize,
    pub(crate) batches: usize,
    pub(crate) encoding: &'static str,
    pub(crate) raw_bytes: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) acknowledged_records: u64,
    pub(crate) refused_with_429: u64,
    pub(crate) acknowledged_s: f64,
    pub(crate) acknowledged_mb_per_s: f64,
    pub(crate) published_s: f64,
    pub(crate) published_mb_per_s: f64,
    pub(crate) server_cpu_published_s: f64,
    pub(crate) mb_per_cpu_s_published: f64,
    pub(crate) compaction_s: f64,
    pub(crate) server_cpu_compacted_s: f64,
    pub(crate) mb_per_cpu_s_compacted: f64,
    pub(crate) server_memory_peak_bytes: u64,
    pub(crate) load_generator_cpu_s: f64,
    pub(crate) disk_published: DiskUsage,
    pub(crate) disk_compacted: DiskUsage,
    pub(crate) disk_compacted_share_of_raw: f64,
    pub(crate) stop_s: f64,
    pub(crate) sync_probe: SyncProbe,
}

/// Measures.
///
/// # Errors
/// When the server cannot be run, and when a single record is not accounted for.
pub(crate) async fn run(options: &IngestOptions) -> anyhow::Result<IngestResult> {
    let home = Home::open(options.keep.as_deref())?;
    if home.holds(&options.corpus)? {
        bail!("{} holds this corpus already; name an empty folder", home.path().display());
    }
    let installation = Installation::new(options.logq.as_deref(), home.path())?;
    let batches = Arc::new(Batches::generate(&options.corpus, &options.load, |_| {})?);
    let sync_probe = SyncProbe::run(home.path())?;
    let server = installation.start()?;
    let client = crate::http::client();

    let own_before = Usage::of_self()?;
    let loaded = load::send(&server.ingest, Arc::clone(&batches), options.load.connections).await?;
    let own_cpu = Usage::of_self()?.cpu - own_before.cpu;
    if loaded.acknowledged != batches.records {
        bail!("{} records were sent and {} acknowledged", batches.records, loaded.acknowledged);
    }
    settle::until_published(&client, &server.ingest, batches.records).await?;
    let published = loaded.begun.elapsed();
    let usage_published = server.usage()?;
    let disk_published = DiskUsage::of(&installation.data())?;
    let compaction = settle::until_compacted(&server, &installation.data()).await?;
    let usage = server.usage()?;
    let disk_compacted = DiskUsage::of(&installation.data())?;
    // Compaction must not have lost anything either.
    settle::until_published(&client, &server.ingest, batches.records).await?;
    let stop = server.stop()?;
    home.mark(&options.corpus)?;

    let raw_mb = batches.raw_bytes as f64 / MEGABYTE;
    let rate = |duration: Duration| raw_mb / duration.as_secs_f64();
    Ok(IngestResult {
        records: batches.records,
        seed: options.corpus.seed,
        connections: options.load.connections,
        batch_bytes: options.load.batch_bytes,
        batches: batches.count(),
        encoding: options.load.encoding.name(),
        raw_bytes: batches.raw_bytes,
        sent_bytes: batches.sent_bytes,
        acknowledged_records: loaded.acknowledged,
        refused_with_429: loaded.refused,
        acknowledged_s: loaded.elapsed.as_secs_f64(),
        acknowledged_mb_per_s: rate(loaded.elapsed),
        published_s: published.as_secs_f64(),
        published_mb_per_s: rate(published),
        server_cpu_published_s: usage_published.cpu.as_secs_f64(),
        mb_per_cpu_s_published: rate(usage_published.cpu),
        compaction_s: compaction.as_secs_f64(),
        server_cpu_compacted_s: usage.cpu.as_secs_f64(),
        mb_per_cpu_s_compacted: rate(usage.cpu),
        server_memory_peak_bytes: usage.memory_peak_bytes,
        load_generator_cpu_s: own_cpu.as_secs_f64(),
        disk_published,
        disk_compacted,
        disk_compacted_share_of_raw: disk_compacted.total_bytes() as f64 / batches.raw_bytes as f64,
        stop_s: stop.as_secs_f64(),
        sync_probe,
    })
}

impl IngestResult {
    /// The figures beside the design's targets.
    pub(crate) fn table(&self) -> Table<4> {
        let raw_mb = self.raw_bytes as f64 / MEGABYTE;
        let target_cpu_s = 10.0 * raw_mb / TARGET_CPU_RAW_MB;
        let then_cpu_s = 8.0 * raw_mb / TARGET_CPU_RAW_MB;
        let mut table = Table::new(["what", "measured", "target", "then"]);
        let mut add = |what: &str, measured: String, target: &str, then: &str| {
            table.add([what.to_owned(), measured, target.to_owned(), then.to_owned()]);
        };
        add(
            "acknowledged after fsync",
            format!("{:.1} MB/s", self.acknowledged_mb_per_s),
            "≥ 100 MB/s",
            "130 MB/s",
        );
        add("until published in segments", format!("{:.1} MB/s", self.published_mb_per_s), "", "");
        add(
            "JSON per CPU second of the server, until published",
            format!("{:.1} MB", self.mb_per_cpu_s_published),
            "≥ 80 MB",
            "",
        );
        add(
            "JSON per CPU second, compaction included",
            format!("{:.1} MB", self.mb_per_cpu_s_compacted),
            "",
            "",
        );
        add(
            "CPU of the server until published",
            format!("{:.2} s", self.server_cpu_published_s),
            "",
            "",
        );
        add(
            "CPU of the server, compaction included",
            format!("{:.2} s", self.server_cpu_compacted_s),
            &format!("≤ {target_cpu_s:.1} s"),
            &format!("{then_cpu_s:.1} s"),
        );
        add(
            "peak memory of the server",
            format!("{:.0} MB", self.server_memory_peak_bytes as f64 / MEGABYTE),
            "≤ 300 MB",
            "200 MB",
        );
        add(
            "disk after compaction, share of raw",
            format!("{:.3}", self.disk_compacted_share_of_raw),
            "≤ 0.18",
            "0.16",
        );
        table
    }

    /// Everything that was measured, to be read.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        self.write_text(&mut out).expect("writing to memory does not fail");
        out
    }

    fn write_text(&self, out: &mut String) -> std::fmt::Result {
        let mb = |bytes: u64| bytes as f64 / MEGABYTE;
        writeln!(
            out,
            "{} records, {:.1} MB of JSON lines ({:.1} B a record), seed {}; {} batches of at most {:.2} MB, {}, {:.1} MB \
             sent on {} connections",
            self.records,
            mb(self.raw_bytes),
            self.raw_bytes as f64 / self.records as f64,
            self.seed,
            self.batches,
            mb(self.batch_bytes as u64),
            self.encoding,
            mb(self.sent_bytes),
            self.connections,
        )?;
        writeln!(out, "\n{}", self.table())?;
        writeln!(
            out,
            "acknowledged  {} of {} records in {:.2} s",
            self.acknowledged_records, self.records, self.acknowledged_s
        )?;
        writeln!(out, "refused       {} batches with 429, sent again", self.refused_with_429)?;
        writeln!(out, "published     {:.2} s after the first byte", self.published_s)?;
        writeln!(out, "compacted     {:.2} s after that", self.compaction_s)?;
        writeln!(out, "clean stop    {:.2} s", self.stop_s)?;
        writeln!(
            out,
            "load gen      {:.2} s of CPU while sending, on the same cores",
            self.load_generator_cpu_s
        )?;
        for (when, disk) in
            [("published", &self.disk_published), ("compacted", &self.disk_compacted)]
        {
            writeln!(
                out,
                "disk          {when}: {:.1} MB in {} segments, journal {:.1} MB, catalog {:.1} MB, other {:.1} MB; \
                 {:.3} of raw",
                mb(disk.segments_bytes),
                disk.segments,
                mb(disk.journal_bytes),
                mb(disk.catalog_bytes),
                mb(disk.other_bytes),
                disk.total_bytes() as f64 / self.raw_bytes as f64,
            )?;
        }
        let probe = &self.sync_probe;
        for (bytes, samples) in
            [(probe.large_bytes, &probe.large), (probe.small_bytes, &probe.small)]
        {
            writeln!(
                out,
                "fdatasync     of {} KiB on the same disk: median {:.2} ms, p90 {:.2} ms",
                bytes / 1_024,
                samples.median_ms(),
                samples.p90_ms(),
            )?;
        }
        Ok(())
    }
}

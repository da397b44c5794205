//! The raw output of a soak: on what and how, the verdict and the figures, a line for every second.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::report::SoakResult;
use super::watch::Second;
use crate::process::Usage;
use crate::report::{cores, write};

const COLUMNS: &str = "at_s,life,rss_mb,anonymous_mb,peak_mb,cpu_s,disk_mb,segment_files,segments,\
    acknowledged_mb,acknowledged_mb_per_s,correlations,slowest_correlation_ms\n";

impl SoakResult {
    /// Writes `DATE-soak.txt`; gives its path.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        let now = jiff::Timestamp::now();
        let path = folder.join(format!("{}-soak.txt", now.strftime("%Y-%m-%d")));
        let text = format!(
            "{}\n{}\n{}",
            header(&now.strftime("%Y-%m-%d %H:%M UTC").to_string(), self.seed),
            self.text(),
            self.raw()
        );
        write(&path, &text)?;
        Ok(path)
    }

    /// A line for every second.
    fn raw(&self) -> String {
        let mut out = COLUMNS.to_owned();
        let mut before = (Duration::ZERO, 0);
        for second in &self.seconds {
            self.write_second(second, before, &mut out).expect("writing to memory does not fail");
            before = (second.at, second.acknowledged_bytes);
        }
        out
    }

    fn write_second(
        &self,
        second: &Second,
        before: (Duration, u64),
        out: &mut String,
    ) -> std::fmt::Result {
        let mb = |bytes: u64| format!("{:.1}", bytes as f64 / 1e6);
        let usage =
            |show: &dyn Fn(&Usage) -> String| second.usage.as_ref().map(show).unwrap_or_default();
        let span = (second.at - before.0).as_secs_f64().max(1e-3);
        let rate = (second.acknowledged_bytes - before.1) as f64 / 1e6 / span;
        let asked: Vec<Duration> = (self.asked.answered.iter())
            .filter(|(kind, _)| kind.is_correlation())
            .flat_map(|(_, answers)| answers)
            .filter(|(at, _)| *at >= before.0 && *at < second.at)
            .map(|(_, elapsed)| *elapsed)
            .collect();
        let slowest = asked.iter().max().map(|slowest| slowest.as_secs_f64() * 1e3);
        writeln!(
            out,
            "{:.1},{},{},{},{},{},{},{},{},{},{rate:.2},{},{}",
            second.at.as_secs_f64(),
            second.life.map(|life| life.to_string()).unwrap_or_default(),
            usage(&|usage| mb(usage.memory_bytes)),
            usage(&|usage| mb(usage.memory_anonymous_bytes)),
            usage(&|usage| mb(usage.memory_peak_bytes)),
            usage(&|usage| format!("{:.2}", usage.cpu.as_secs_f64())),
            second.disk.map(|disk| mb(disk.total_bytes())).unwrap_or_default(),
            second.disk.map(|disk| disk.segments.to_string()).unwrap_or_default(),
            second.segments.map(|segments| segments.to_string()).unwrap_or_default(),
            mb(second.acknowledged_bytes),
            asked.len(),
            slowest.map(|ms| format!("{ms:.2}")).unwrap_or_default(),
        )
    }
}

/// When, on what, which version, how.
fn header(date: &str, seed: u64) -> String {
    let processor = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    let memory = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().next()?.strip_prefix("MemTotal:")?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(format!("{:.1} GB", kib as f64 * 1_024.0 / 1e9))
    });
    let commit = git(&["rev-parse", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]);
    let changed = if changed.is_none_or(|files| files.is_empty()) { "" } else { ", with changes" };
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    format!(
        "a soak, {date}\n\
         machine  {}, {}, {}; shared by the server and the load generator\n\
         commit   {commit}{changed}\n\
         command  bench {} ({build} build)\n\
         seed     {seed}\n\
         MB is 1,000,000 bytes of JSON lines\n",
        cores(),
        processor.as_deref().unwrap_or("an unknown processor"),
        memory.as_deref().unwrap_or("unknown memory"),
        arguments.join(" "),
    )
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

//! The figures of `bench agent` beside their targets, on a terminal and as a page.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::{AgentResult, MEGABYTE, Resting, RestingRun, Shipping, ShippingRun};
use crate::report;
use crate::table::Table;

impl Shipping {
    /// The middle one of what `figure` reads of each run; of an even number, the upper of the two.
    fn median(&self, figure: impl Fn(&ShippingRun) -> f64) -> f64 {
        median(self.runs.iter().map(figure))
    }

    fn memory_peak_mb(&self) -> f64 {
        self.median(|run| run.memory_peak_bytes as f64) / MEGABYTE
    }
}

impl Resting {
    fn median(&self, figure: impl Fn(&RestingRun) -> f64) -> f64 {
        median(self.runs.iter().map(figure))
    }

    fn memory_mb(&self) -> f64 {
        self.median(|run| run.memory_bytes as f64) / MEGABYTE
    }
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

impl AgentResult {
    /// Everything that was measured, to be read.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        let raw_mb = self.raw_bytes as f64 / MEGABYTE;
        let rounds = self.shipping.first().map_or(0, |shipping| shipping.runs.len());
        // Writing to memory does not fail.
        let _ = writeln!(
            out,
            "{} records, {raw_mb:.1} MB of JSON lines, seed {}; medians of {rounds} runs; load average before: {:.1}\n\n{}\n{}",
            self.records,
            self.seed,
            self.load_average_before,
            self.shipping_table(),
            self.target_table()
        );
        out
    }

    fn shipping_table(&self) -> Table<5> {
        let raw_mb = self.raw_bytes as f64 / MEGABYTE;
        let mut table =
            Table::new(["shipping", "MB/s", "CPU s per 100 MB", "server's CPU s", "peak memory"]);
        for shipping in &self.shipping {
            let server = shipping.runs.iter().all(|run| run.server_cpu_s.is_some());
            table.add([
                shipping.what.to_owned(),
                format!("{:.1}", shipping.median(|run| raw_mb / run.elapsed_s)),
                format!("{:.2}", shipping.median(|run| run.cpu_s) * 100.0 / raw_mb),
                match server {
                    true => {
                        format!("{:.2}", shipping.median(|run| run.server_cpu_s.unwrap_or(0.0)))
                    }
                    false => String::new(),
                },
                format!("{:.1} MB", shipping.memory_peak_mb()),
            ]);
        }
        table
    }

    fn target_table(&self) -> Table<4> {
        let mut table = Table::new(["what", "logq-agent", "target", "rsyslog"]);
        let of = |resting: &[Resting], index: usize, show: &dyn Fn(&Resting) -> String| {
            resting.get(index).map(show).unwrap_or_default()
        };
        let memory = |resting: &Resting| format!("{:.1} MB", resting.memory_mb());
        let peak = |resting: &Resting| {
            format!("{:.1} MB", resting.median(|run| run.memory_peak_bytes as f64) / MEGABYTE)
        };
        let cpu =
            |resting: &Resting| format!("{:.2} %", resting.median(|run| run.cpu_share) * 100.0);
        let loaded = |whose: &str| {
            let peaks = self.shipping.iter().filter(|it| it.what.starts_with(whose));
            let highest = peaks.map(Shipping::memory_peak_mb).fold(f64::NAN, f64::max);
            if highest.is_nan() { String::new() } else { format!("{highest:.1} MB") }
        };
        let mut add = |what: &str, ours: String, target: &str, theirs: String| {
            table.add([what.to_owned(), ours, target.to_owned(), theirs]);
        };
        let mb = |bytes: u64| format!("{:.1} MB", bytes as f64 / MEGABYTE);
        add(
            "memory, idle for 10 s, one small file",
            of(&self.idle, 0, &memory),
            "≤ 20 MB",
            of(&self.idle, 1, &memory),
        );
        add("memory, highest peak of those above", loaded("logq"), "≤ 60 MB", loaded("rsyslog"));
        let files = self.many_files;
        let mut following = |what: &str, show: &dyn Fn(&Resting) -> String, target: &str| {
            add(
                &format!("{what}, {files} idle files in 100 folders"),
                of(&self.following, 0, show),
                target,
                String::new(),
            );
        };
        following("CPU of a core over 30 s", &cpu, "< 1 %");
        following("memory", &memory, "");
        following("peak memory", &peak, "");
        add("binary", mb(self.binary_bytes), "", String::new());
        let stripped = self.binary_stripped_bytes.map_or_else(|| "not measured".to_owned(), mb);
        add("binary, stripped", stripped, "", String::new());
        table
    }

    /// Writes `DATE-agent.md`, and all single figures beside it; gives the page's path.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(crate) fn write(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        let date = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
        let page = folder.join(format!("{date}-agent.md"));
        report::write(&page, &self.page(&date))?;
        let raw = serde_json::to_string_pretty(self)?;
        report::write(&page.with_extension("json"), &format!("{raw}\n"))?;
        Ok(page)
    }

    fn page(&self, date: &str) -> String {
        let rsyslog = match &self.rsyslog_version {
            Some(version) => format!(
                "rsyslog is {version} with imfile and omfwd over TCP and its defaults, in one process: it parses nothing, and \
                 what it has written to the socket counts as sent, so a cut connection loses what was on the way. Its queue in \
                 memory is lost with the process, and its place in the file is kept only when it stops; its queue on disk is \
                 not synced, its place is kept every 1,000 lines, so a crash doubles or loses lines."
            ),
            None => "rsyslog was not installed.".to_owned(),
        };
        format!(
            "# The agent, {date}\n\n\
             On {}, shared by all processes; release builds, defaults of the agent and the server. MB is 1,000,000 bytes of \
             lines; the file is there, and in the page cache, when the shipper starts. The clock runs from the start of the \
             process to the last acknowledgement, the second included that the last batch waits for more records (`batch_age`). The \
             load average is that of other work on the machine: above 0 it slows all down. The agent syncs each batch to its spool before it is sent; `logq` syncs it \
             before it acknowledges, and with its work on the same cores, and its 429 while segments are built, it sets the \
             pace. {rsyslog} Memory is `VmRSS`, peaks are `VmHWM`, pages of the binary included. Made with \
             `cargo run --release -p bench -- agent --results bench/results`; every single run is in the JSON file beside this \
             page.\n\n{}",
            report::cores(),
            self.text(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one_in_whatever_order() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([7.0].into_iter()), 7.0);
        assert!(median([].into_iter()).is_nan());
    }
}

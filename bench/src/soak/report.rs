//! What a soak measured, and the verdict.

use std::fmt::Write as _;
use std::time::Duration;

use super::account::Check;
use super::killer::Kill;
use super::querier::{Asked, Kind};
use super::sender::Delivered;
use super::trend::{
    LIVES_SLOPE_MB_PER_MINUTE_MAX, Life, Line, MAPPED_MB_MAX, SECOND_HALF_MAX, Trend,
};
use super::watch::Second;
use crate::samples::Samples;
use crate::table::Table;

/// The rate counts as reached from this share of the wanted one: what is due while the server is down comes later.
const RATE_SHARE_MIN: f64 = 0.97;

/// Characters of a cell; what is longer stands below the table.
const CELL_MAX: usize = 80;
/// What stands for a slope that cannot be judged.
const TOO_SHORT: &str = "too short to judge";
/// Memory has to be judged in a run of this length.
const JUDGED_FROM: Duration = Duration::from_secs(300);

/// Everything that was measured, and whether it holds.
#[derive(Clone, Debug)]
pub(crate) struct SoakResult {
    pub(crate) seed: u64,
    pub(crate) wanted_mb_per_s: f64,
    pub(crate) batches_due: u64,
    pub(crate) batches_acknowledged: u64,
    pub(crate) records: u64,
    pub(crate) raw_bytes: u64,
    pub(crate) elapsed: Duration,
    pub(crate) delivered: Delivered,
    pub(crate) kills: Vec<Kill>,
    pub(crate) asked: Asked,
    /// Correlation lookups after the run, without any other load.
    pub(crate) at_rest: Vec<Duration>,
    pub(crate) trend: Trend,
    pub(crate) seconds: Vec<Second>,
    pub(crate) own_cpu: Duration,
    pub(crate) checks: Vec<Check>,
    /// The first ones, and how many more.
    pub(crate) faults: (Vec<String>, u64),
    /// Its end, of a run that failed.
    pub(crate) server_log: String,
}

impl SoakResult {
    /// Adds what can be said of the figures to the checks.
    pub(super) fn judge(&mut self) {
        let delivered = format!("{} of {} batches", self.batches_acknowledged, self.batches_due);
        let all = self.batches_acknowledged == self.batches_due;
        self.checks.insert(0, ("everything is acknowledged", verdict(all, delivered)));
        let rate = format!("{:.2} of {:.2} MB/s", self.mb_per_s(), self.wanted_mb_per_s);
        let reached = self.mb_per_s() >= RATE_SHARE_MIN * self.wanted_mb_per_s;
        self.checks.insert(1, ("the rate is reached, 97 % at least", verdict(reached, rate)));
        let faults = self.faults.0.len() as u64 + self.faults.1;
        let asked: usize = self.asked.answered.values().map(Vec::len).sum();
        let told = format!("{faults} faults, {asked} answers");
        self.checks.insert(2, ("no fault during the run", verdict(faults == 0 && asked > 0, told)));
        let slope = self.trend.anonymous_mb_per_minute;
        let told = slope.map_or(TOO_SHORT.to_owned(), |slope| format!("{slope:+.1} MB/min"));
        let even = slope.is_none_or(|slope| slope <= LIVES_SLOPE_MB_PER_MINUTE_MAX);
        self.checks.push(("anonymous memory, medians of lives", verdict(even, told)));
        let halves = self.trend.anonymous_mb_of_halves;
        let told = halves.map_or(TOO_SHORT.to_owned(), |(first, second)| {
            format!("{first:.0} MB, then {second:.0} MB")
        });
        let even = halves.is_none_or(|(first, second)| second <= SECOND_HALF_MAX * first);
        self.checks.push(("anonymous memory, most of each half", verdict(even, told)));
        let mapped = self.trend.mapped_mb_max;
        let told = format!("{mapped:.0} MB of {MAPPED_MB_MAX:.0} MB at most");
        let bounded = mapped <= MAPPED_MB_MAX;
        self.checks.push(("pages of files stay within their bound", verdict(bounded, told)));
        // A run of that length has lives enough to be judged, whatever the kills.
        let judged = slope.is_some() || halves.is_some();
        if self.elapsed >= JUDGED_FROM && !judged {
            let told = Err("no life was long enough; kill less often".to_owned());
            self.checks.push(("memory could be judged", told));
        }
    }

    pub(crate) fn holds(&self) -> bool {
        self.checks.iter().all(|(_, result)| result.is_ok())
    }

    fn mb_per_s(&self) -> f64 {
        self.raw_bytes as f64 / 1e6 / self.elapsed.as_secs_f64()
    }

    /// The verdict and the figures, to be read.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        self.write_text(&mut out).expect("writing to memory does not fail");
        out
    }

    fn write_text(&self, out: &mut String) -> std::fmt::Result {
        let mut checks = Table::new(["what", "says", "holds"]);
        for (name, result) in &self.checks {
            let (Ok(says) | Err(says)) = result;
            let is_long = says.chars().count() > CELL_MAX;
            let says = if is_long { "see below".to_owned() } else { says.clone() };
            let holds = match result {
                Ok(says) if says == TOO_SHORT => "-",
                Ok(_) => "yes",
                Err(_) => "NO",
            };
            checks.add([(*name).to_owned(), says, holds.to_owned()]);
        }
        writeln!(out, "{checks}")?;
        for (name, result) in &self.checks {
            if let Err(says) = result {
                writeln!(out, "does not hold: {name}: {says}\n")?;
            }
        }
        writeln!(out, "{}", self.figures())?;
        writeln!(out, "{}", self.latencies())?;
        writeln!(out, "{}", self.lives())?;
        let mut kills = Table::new(["kill", "after", "its start killed after", "ready after"]);
        for (number, kill) in self.kills.iter().enumerate() {
            kills.add([
                (number + 1).to_string(),
                format!("{:.2} s", kill.at.as_secs_f64()),
                kill.start_killed
                    .map(|after| format!("{:.3} s", after.as_secs_f64()))
                    .unwrap_or_default(),
                format!("{:.3} s", kill.ready_after.as_secs_f64()),
            ]);
        }
        writeln!(out, "{kills}")?;
        for fault in &self.faults.0 {
            writeln!(out, "fault {fault}")?;
        }
        if self.faults.1 > 0 {
            writeln!(out, "and {} more faults", self.faults.1)?;
        }
        if !self.server_log.is_empty() {
            writeln!(out, "the end of the server's log:\n{}", self.server_log)?;
        }
        writeln!(out, "{}", if self.holds() { "holds" } else { "DOES NOT HOLD" })
    }

    fn figures(&self) -> Table<2> {
        let mut table = Table::new(["what", "measured"]);
        let mut add = |what: &str, measured: String| table.add([what.to_owned(), measured]);
        let mb = |bytes: u64| bytes as f64 / 1e6;
        let seconds = self.elapsed.as_secs_f64();
        add("acknowledged", format!("{} records, {:.1} MB", self.records, mb(self.raw_bytes)));
        add("in", format!("{seconds:.1} s, {:.2} MB/s", self.mb_per_s()));
        let delivered = &self.delivered;
        add(
            "batches sent again",
            format!(
                "{} without an answer, {} after 429, {} after 5xx; {} were there already",
                delivered.unanswered, delivered.refused, delivered.failed, delivered.duplicates
            ),
        );
        let peak = self.trend.lives.iter().map(|life| life.peak_mb).fold(0.0, f64::max);
        add("peak memory of the server", format!("{peak:.0} MB"));
        add("CPU of the server", format!("{:.1} s", self.server_cpu().as_secs_f64()));
        add("CPU of the load generator", format!("{:.1} s", self.own_cpu.as_secs_f64()));
        if let Some(disk) = self.seconds.iter().rev().find_map(|second| second.disk) {
            let share = disk.total_bytes() as f64 / self.raw_bytes.max(1) as f64;
            add(
                "disk at the end of the load",
                format!(
                    "{:.1} MB in {} segments and the rest, {share:.3} of raw",
                    mb(disk.total_bytes()),
                    disk.segments
                ),
            );
        }
        table
    }

    /// Up to the last second of each life.
    fn server_cpu(&self) -> Duration {
        let mut lives = std::collections::BTreeMap::new();
        for second in &self.seconds {
            if let (Some(life), Some(usage)) = (second.life, second.usage) {
                lives.insert(life, usage.cpu);
            }
        }
        lives.values().sum()
    }

    fn latencies(&self) -> Table<6> {
        let mut table = Table::new(["latency from outside", "times", "p50", "p90", "p99", "max"]);
        let mut add = |name: &str, durations: Vec<Duration>| {
            let ms = |ms: f64| format!("{ms:.2} ms");
            let cells = if durations.is_empty() {
                [name.to_owned(), "0".to_owned(), "".into(), "".into(), "".into(), "".into()]
            } else {
                let samples = Samples::new(durations);
                [
                    name.to_owned(),
                    samples.runs().to_string(),
                    ms(samples.median_ms()),
                    ms(samples.p90_ms()),
                    ms(samples.p99_ms()),
                    ms(samples.max_ms()),
                ]
            };
            table.add(cells);
        };
        let of = |wanted: &dyn Fn(Kind) -> bool| -> Vec<Duration> {
            let kinds = self.asked.answered.iter().filter(|(kind, _)| wanted(**kind));
            kinds.flat_map(|(_, answers)| answers.iter().map(|(_, elapsed)| *elapsed)).collect()
        };
        add("correlation, all together", of(&Kind::is_correlation));
        for kind in Kind::ALL {
            add(kind.name(), of(&|other| other == kind));
        }
        add("met a dead server, no answer", self.asked.met_dead_server.clone());
        add("correlation, of any moment, after the load", self.at_rest.clone());
        add("a batch, first try to acknowledgement", self.delivered.latencies.clone());
        table
    }

    fn lives(&self) -> Table<7> {
        let mut table = Table::new([
            "life",
            "from",
            "watched",
            "peak",
            "resident after the climb",
            "slope",
            "anonymous, slope",
        ]);
        let cell =
            |line: Option<Line>, show: &dyn Fn(Line) -> String| line.map_or_else(String::new, show);
        let slope = |line: Line| format!("{:+.1} MB/min", line.mb_per_minute);
        for life in &self.trend.lives {
            let Life { number, from_s, watched_s, peak_mb, resident, anonymous } = *life;
            table.add([
                number.to_string(),
                format!("{from_s:.0} s"),
                format!("{watched_s:.0} s"),
                format!("{peak_mb:.0} MB"),
                cell(resident, &|line| format!("{:.0} MB", line.median_mb)),
                cell(resident, &slope),
                cell(anonymous, &|line| format!("{:.0} MB, {}", line.median_mb, slope(line))),
            ]);
        }
        table
    }
}

fn verdict(holds: bool, says: String) -> Result<String, String> {
    if holds { Ok(says) } else { Err(says) }
}

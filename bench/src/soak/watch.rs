//! Once a second: memory of the server, its disk, its segments, what is acknowledged.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::progress::Progress;
use crate::disk::DiskUsage;
use crate::process::Usage;

const INTERVAL: Duration = Duration::from_secs(1);
/// A server that is busy may leave its metrics for the next second.
const METRICS_TIMEOUT: Duration = Duration::from_millis(800);
/// How often the run says where it is.
const TOLD_EVERY: usize = 10;

/// One second. Without a life the server was down.
#[derive(Clone, Debug)]
pub(crate) struct Second {
    /// After the beginning of the run.
    pub(crate) at: Duration,
    pub(crate) life: Option<u64>,
    pub(crate) usage: Option<Usage>,
    pub(crate) disk: Option<DiskUsage>,
    /// As the metrics say.
    pub(crate) segments: Option<u64>,
    /// Since the beginning.
    pub(crate) acknowledged_bytes: u64,
}

/// Watches until the run is over. A server that ends without having been killed ends the run.
pub(crate) async fn run(data: PathBuf, ingest: String, progress: Arc<Progress>) -> Vec<Second> {
    let client = crate::http::builder().timeout(METRICS_TIMEOUT).build();
    let mut seconds = Vec::new();
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            () = progress.until_over() => return seconds,
            _ = ticks.tick() => {}
        }
        let life = progress.life();
        let usage = life.and_then(|_| Usage::of(progress.pid()).ok());
        if life.is_some() && usage.is_none() && progress.life() == life {
            progress.abort("the server ended by itself".to_owned());
        }
        let segments = match (&client, life) {
            (Ok(client), Some(_)) => segments(client, &ingest).await,
            _ => None,
        };
        let second = Second {
            at: progress.begun.elapsed(),
            life,
            usage: usage.filter(|_| progress.life() == life),
            disk: DiskUsage::of(&data).ok(),
            segments,
            acknowledged_bytes: progress.acknowledged_bytes(),
        };
        if seconds.len().is_multiple_of(TOLD_EVERY) {
            second.tell();
        }
        seconds.push(second);
    }
}

impl Second {
    fn tell(&self) {
        use std::io::Write;
        let mb = |bytes: u64| bytes as f64 / 1e6;
        // A closed stderr is no reason to end.
        let _ = writeln!(
            std::io::stderr(),
            "{:8.1} s  acknowledged {:.0} MB, resident {:.0} MB, disk {:.0} MB, life {}",
            self.at.as_secs_f64(),
            mb(self.acknowledged_bytes),
            mb(self.usage.map_or(0, |usage| usage.memory_bytes)),
            mb(self.disk.map_or(0, |disk| disk.total_bytes())),
            self.life.map_or("-".to_owned(), |life| life.to_string()),
        );
    }
}

async fn segments(client: &reqwest::Client, ingest: &str) -> Option<u64> {
    let response = client.get(format!("{ingest}/metrics")).send().await.ok()?;
    segments_of(&response.text().await.ok()?)
}

fn segments_of(metrics: &str) -> Option<u64> {
    let line = metrics.lines().find_map(|line| line.strip_prefix("logq_store_segments "))?;
    Some(line.trim().parse::<f64>().ok()? as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_read_from_their_own_line() {
        let metrics = "# TYPE logq_store_segments gauge\nlogq_store_segments_written_total 9\nlogq_store_segments 3\n";
        assert_eq!(segments_of(metrics), Some(3));
        assert_eq!(segments_of("logq_store_segments_written_total 9\n"), None);
    }
}

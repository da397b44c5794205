//! Whole files, once, as named batches: what `logq ship` does.
//!
//! A thread reads, parses, encodes and compresses; up to four batches are on the way to the collector meanwhile.
//! Every shipment is an agent of its own (`ship-` and a random number) with one epoch and sequences from 0, so a
//! batch whose acknowledgement was lost is sent again under its name and stored once. Batches on the way can
//! overtake each other: lines with the very same time may be stored in another order than they stand in the file.

mod batch;
mod client;
mod error;
mod options;
mod report;
mod source;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::delivery::Acknowledgement;
use batch::Batch;
use client::{Client, Failure};
use source::{Sources, Told};

pub use error::ShipError;
pub use options::{BatchLimits, ShipOptions};
pub use report::{FileReport, Progress, ReportTotal, ShipReport};

/// How often progress is told while nothing happens.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// Ships whole files; returns when every batch is acknowledged.
///
/// All options and files are checked before anything is sent. `progress` is called a few times a second.
///
/// # Errors
/// See [`ShipError`]; [`ShipError::report`] tells what was acknowledged by then.
pub async fn ship(
    options: ShipOptions,
    progress: impl FnMut(&Progress),
) -> Result<ShipReport, ShipError> {
    let agent = format!("ship-{:016x}", random()?);
    let epoch = format!("{:016x}", random()?);
    let reading = options.check(&agent)?;
    let client = Client::new(&options, &agent, &epoch)?;
    let sources = Sources::check(&options.files)?;
    let limits = options.limits;

    let (listener, told) = mpsc::channel(1);
    let shipment = Shipment::new(&options, agent, client, sources.clone(), progress);
    std::thread::Builder::new()
        .name("ship-reader".to_owned())
        .spawn(move || sources.read(&reading, limits, &listener))
        .map_err(|source| ShipError::Start { source })?;
    shipment.run(told).await
}

fn random() -> Result<u64, ShipError> {
    let refused = |error: getrandom::Error| std::io::Error::other(error.to_string());
    getrandom::u64().map_err(|error| ShipError::Start { source: refused(error) })
}

struct Shipment<P> {
    addr: String,
    in_flight_max: usize,
    client: Arc<Client>,
    sources: Sources,
    report: ShipReport,
    progress: P,
    lines_read: u64,
    /// Handed over and not acknowledged, by sequence: where each begins.
    open: BTreeMap<u64, String>,
}

impl<P: FnMut(&Progress)> Shipment<P> {
    fn new(
        options: &ShipOptions,
        agent: String,
        client: Client,
        sources: Sources,
        progress: P,
    ) -> Self {
        let file = |path: &String| FileReport { path: path.clone(), ..FileReport::default() };
        let files = sources.names.iter().map(file).collect();
        Self {
            addr: options.addr.clone(),
            in_flight_max: options.limits.in_flight_max.max(1),
            client: Arc::new(client),
            sources,
            report: ShipReport { agent, files, ..ShipReport::default() },
            progress,
            lines_read: 0,
            open: BTreeMap::new(),
        }
    }

    async fn run(mut self, mut told: mpsc::Receiver<Told>) -> Result<ShipReport, ShipError> {
        let mut in_flight = FuturesUnordered::new();
        let mut tick = tokio::time::interval(PROGRESS_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reading = true;
        let mut failed: Option<Ending> = None;
        while reading || !in_flight.is_empty() {
            tokio::select! {
                event = told.recv(), if reading && in_flight.len() < self.in_flight_max => match event {
                    Some(Told::Opened { file, format }) => self.report.files[file].format = Some(format),
                    Some(Told::Batch(batch)) => {
                        self.note_read(&batch);
                        let client = self.client.clone();
                        in_flight.push(async move {
                            let outcome = client.deliver(&batch).await;
                            (batch, outcome)
                        });
                    }
                    Some(Told::Failed { file, line, source }) => {
                        failed = Some(Ending::Read { file, line, source });
                        reading = false;
                    }
                    Some(Told::Finished) => reading = false,
                    // Closed without a word: the thread died, and what it read last is not known.
                    None => {
                        failed = Some(Ending::Vanished);
                        reading = false;
                    }
                },
                Some((batch, outcome)) = in_flight.next(), if !in_flight.is_empty() => match outcome {
                    Ok(acknowledgement) => self.note_acknowledged(&batch, acknowledgement),
                    Err(Failure::GaveUp { stalled, last }) => {
                        return Err(self.gave_up(stalled, last));
                    }
                    // What is on the way may still be taken, and then the account should say so.
                    Err(Failure::Refused { status, message }) => {
                        reading = false;
                        told.close();
                        failed.get_or_insert(Ending::Refused { batch, status, message });
                    }
                },
                _ = tick.tick() => self.tell_progress(),
            }
        }
        self.tell_progress();
        self.report.retries = self.client.retries.load(Ordering::Relaxed);
        match failed {
            None => Ok(self.report),
            Some(ending) => Err(self.ended(ending)),
        }
    }

    fn note_read(&mut self, batch: &Batch) {
        for piece in &batch.pieces {
            self.report.files[piece.file].counts.add(&piece.counts);
            self.lines_read += piece.counts.lines;
        }
        self.open.insert(batch.sequence, batch.begin(&self.sources.names));
    }

    fn note_acknowledged(&mut self, batch: &Batch, acknowledgement: Acknowledgement) {
        let Acknowledgement { store, duplicate, partial, .. } = acknowledgement;
        let mut rejected = partial.rejected;
        for piece in &batch.pieces {
            // Which records were rejected is not said; their number is taken off where they may be.
            let taken_off = rejected.min(piece.records);
            rejected -= taken_off;
            self.report.files[piece.file].counts.records_accepted += piece.records - taken_off;
        }
        self.report.batches += 1;
        self.report.duplicates += u64::from(duplicate);
        self.report.records_rejected += partial.rejected;
        if partial.rejected > 0 {
            self.report.rejection = Some(partial.message);
        }
        if store.is_some() && store != self.report.store {
            self.report.store_changes += u64::from(self.report.store.is_some());
            self.report.store = store;
        }
        self.open.remove(&batch.sequence);
        let lowest = self.open.keys().next().copied().unwrap_or(batch.sequence + 1);
        // Only upward: the highest batch may be acknowledged before a lower one was handed over, never after.
        self.client.first_unacknowledged.fetch_max(lowest, Ordering::Relaxed);
        self.tell_progress();
    }

    fn tell_progress(&mut self) {
        let now = Progress {
            bytes_read: self.sources.bytes_read.load(Ordering::Relaxed),
            bytes_total: self.sources.bytes_total,
            lines_read: self.lines_read,
            records_accepted: self.report.total().records_accepted,
            retries: self.client.retries.load(Ordering::Relaxed),
            stalled: self.client.stalled(),
        };
        (self.progress)(&now);
    }

    fn gave_up(mut self, stalled: Duration, last: String) -> ShipError {
        self.report.retries = self.client.retries.load(Ordering::Relaxed);
        ShipError::Unreachable {
            stalled,
            last,
            first_unacknowledged: self.open.values().next().cloned().unwrap_or_default(),
            addr: self.addr,
            report: Box::new(self.report),
        }
    }

    fn ended(self, ending: Ending) -> ShipError {
        let report = Box::new(self.report);
        match ending {
            Ending::Vanished => {
                ShipError::Start { source: std::io::Error::other("the reading thread died") }
            }
            Ending::Read { file, line, source } => {
                ShipError::Read { path: self.sources.names[file].clone(), line, source, report }
            }
            Ending::Refused { batch, status, message } => ShipError::Refused {
                addr: self.addr,
                status,
                batch: self.client.batch_name(batch.sequence),
                lines: batch.lines(&self.sources.names),
                message,
                report,
            },
        }
    }
}

/// Why no more is read, while what is on the way is still waited for.
enum Ending {
    Read { file: usize, line: u64, source: std::io::Error },
    Vanished,
    Refused { batch: Batch, status: u16, message: String },
}

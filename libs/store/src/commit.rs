//! The commit thread: batches in, one group at a time, durable and visible before they are answered.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender as ChannelSender, SyncSender};
use std::time::Duration;

use file_system::failpoint;
use record::Timestamp;
use wire::DECODER_VERSION;

use crate::dedup::{self, Verdict};
use crate::deletes::{self, DeleteRequest};
use crate::error::{Result, StoreError};
use crate::flush::Cut;
use crate::journal::{Entry, JournalWriter};
use crate::memtable::Memtable;
use crate::observed::Work;
use crate::sender::{Sender, SenderState};
use crate::store::{Append, Appended, OnAppended, Shared, locked};
use crate::view::View;

/// Payload of a group; one batch is taken whatever its size.
const GROUP_BYTES_MAX: usize = 16 << 20;
/// Batches of a group.
const GROUP_BATCHES_MAX: usize = 256;
/// How often the age of the memtable is looked at.
const TICK: Duration = Duration::from_millis(100);

/// Why records of whole batches are refused here; single ones have a [`wire::RejectReason`].
pub const REJECT_REASONS: [&str; 4] = ["conflict", "too_far_ahead", "disk_full", "journal_failed"];

/// What the commit thread is asked.
pub(crate) enum Command {
    Append(Box<(Append, OnAppended)>),
    Flush(SyncSender<Result<()>>),
    /// Answered with the delete's id and the first view that hides its records.
    Delete(Box<DeleteRequest>, SyncSender<Result<(u64, Arc<View>)>>),
    Stop,
}

impl Command {
    pub(crate) fn refuse(self, error: StoreError) {
        match self {
            Command::Append(append) => append.1(Err(error)),
            Command::Flush(done) => {
                let _ = done.send(Err(error));
            }
            Command::Delete(_, done) => {
                let _ = done.send(Err(error));
            }
            Command::Stop => {}
        }
    }
}

/// A batch that was not accepted before.
struct Fresh {
    append: Append,
    answer: OnAppended,
    first_record_seq: u64,
    lost_batches: u64,
}

/// The state of the commit thread.
#[derive(Debug)]
pub(crate) struct Committer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) journal: JournalWriter,
    pub(crate) memtable: Memtable,
    pub(crate) next_record_seq: u64,
    pub(crate) next_cut: u64,
    /// Cuts of the replay that could not be flushed yet.
    pub(crate) pending: Vec<Cut>,
}

impl Committer {
    pub(crate) fn run(mut self, commands: &Receiver<Command>, cuts: &ChannelSender<Cut>) {
        for cut in self.pending.drain(..) {
            // The flush thread lives as long as this one.
            let _ = cuts.send(cut);
        }
        if !self.shared.view().deletes.is_empty() {
            // What the journal had of their records has to go to segments first.
            let cut = self.next_cut;
            self.shared.change_view(|pieces| deletes::wait_for_cut(&mut pieces.deletes, cut));
            self.cut(cuts, None);
        }
        loop {
            let mut group = Vec::new();
            let mut after = None;
            match commands.recv_timeout(TICK) {
                Ok(Command::Append(append)) => {
                    let mut bytes = append.0.payload.len();
                    group.push(*append);
                    while bytes < GROUP_BYTES_MAX && group.len() < GROUP_BATCHES_MAX {
                        match commands.try_recv() {
                            Ok(Command::Append(append)) => {
                                bytes += append.0.payload.len();
                                group.push(*append);
                            }
                            Ok(other) => {
                                after = Some(other);
                                break;
                            }
                            Err(_) => break,
                        }
                    }
                }
                Ok(other) => after = Some(other),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if !group.is_empty() {
                self.commit(group);
            }
            match after {
                Some(Command::Flush(done)) => self.cut(cuts, Some(done)),
                Some(Command::Delete(request, done)) => self.delete(*request, &done, cuts),
                Some(Command::Stop) => return,
                Some(Command::Append(_)) | None => {}
            }
            let options = &self.shared.options;
            if self.memtable.bytes() >= options.flush_bytes
                || self.memtable.age().is_some_and(|age| age >= options.flush_age)
            {
                self.cut(cuts, None);
            }
        }
    }

    /// Hides what a delete is about: all that was answered before, nothing that comes later.
    fn delete(
        &mut self,
        request: DeleteRequest,
        done: &SyncSender<Result<(u64, Arc<View>)>>,
        cuts: &ChannelSender<Cut>,
    ) {
        let recorded = deletes::record(&self.shared, request, self.next_record_seq, self.next_cut);
        let hides = recorded.is_ok();
        let _ = done.send(recorded);
        if hides {
            self.cut(cuts, None);
        }
    }

    /// Journals a group, makes it visible, answers.
    fn commit(&mut self, group: Vec<(Append, OnAppended)>) {
        let mut fresh: Vec<Fresh> = Vec::new();
        let mut answers: Vec<(OnAppended, Result<Appended>, u64)> = Vec::new();
        let mut refused: Vec<(OnAppended, StoreError, u64)> = Vec::new();
        let mut before: HashMap<Sender, Option<SenderState>> = HashMap::new();
        let mut next_record_seq = self.next_record_seq;
        {
            let mut dedup = locked(&self.shared.dedup);
            for (append, answer) in group {
                let records = append.decoded.records();
                let verdict = match &append.name {
                    None => Ok(Verdict { duplicate: false, lost_batches: 0 }),
                    Some(name) => {
                        let sender = Sender {
                            tenant: append.tenant.to_string(),
                            agent: name.agent.clone(),
                            epoch: name.epoch.clone(),
                        };
                        before
                            .entry(sender.clone())
                            .or_insert_with(|| dedup.state(&sender).cloned());
                        dedup.accept(
                            &sender,
                            name,
                            dedup::checksum(&append.payload),
                            records,
                            append.received_at,
                        )
                    }
                };
                match verdict {
                    Ok(Verdict { duplicate: false, lost_batches }) => {
                        let first_record_seq = next_record_seq;
                        next_record_seq += u64::from(records);
                        fresh.push(Fresh { append, answer, first_record_seq, lost_batches });
                    }
                    // Answered with the group: the first of its name may be in it.
                    Ok(Verdict { duplicate: true, lost_batches }) => {
                        let appended = Appended { duplicate: true, records, lost_batches };
                        answers.push((answer, Ok(appended), u64::from(records)));
                    }
                    Err(error) => refused.push((answer, error, u64::from(records))),
                }
            }
        }
        // Only now: the ledger takes the counters before the dedup state, so nobody may hold them the other way.
        for (answer, error, records) in refused {
            self.count_refused(&error, records);
            answer(Err(error));
        }
        match self.write(&fresh) {
            Ok(()) => {
                self.next_record_seq = next_record_seq;
                locked(&self.shared.dedup).keep_bounds();
                self.make_visible(fresh, answers);
            }
            Err(error) => {
                let mut dedup = locked(&self.shared.dedup);
                for (sender, state) in before {
                    dedup.put_back(sender, state);
                }
                drop(dedup);
                self.shared.trouble("journal", Some(error.to_string()));
                tracing::error!(%error, batches = fresh.len(), "cannot write the journal; batches are refused");
                let records =
                    fresh.iter().map(|batch| u64::from(batch.append.decoded.records())).sum();
                self.count_refused(&error, records);
                let again = || match &error {
                    StoreError::Full { path } => StoreError::Full { path: path.clone() },
                    other => StoreError::Journal { detail: other.to_string() },
                };
                fresh.into_iter().for_each(|batch| (batch.answer)(Err(again())));
                answers.into_iter().for_each(|(answer, ..)| answer(Err(again())));
            }
        }
    }

    fn write(&mut self, fresh: &[Fresh]) -> Result<()> {
        if fresh.is_empty() {
            return Ok(());
        }
        let mut entries: Vec<Entry<'_>> = fresh
            .iter()
            .map(|Fresh { append, first_record_seq, .. }| Entry {
                received_at: append.received_at,
                first_record_seq: *first_record_seq,
                records: append.decoded.records(),
                synced_to: 0,
                decoder_version: DECODER_VERSION,
                format: append.format,
                encoding: append.encoding,
                tenant: &append.tenant,
                name: append.name.clone(),
                rejected: append.rejected.values().sum::<u64>() as u32,
                payload: &append.payload,
            })
            .collect();
        let journal = &mut self.journal;
        self.shared.observed.run(Work::JournalSync, || journal.append(&mut entries))?;
        let statistics = &self.shared.statistics;
        statistics.journal_syncs.fetch_add(1, Ordering::Relaxed);
        let bytes: usize = fresh.iter().map(|batch| batch.append.payload.len()).sum();
        statistics.journal_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(())
    }

    fn make_visible(
        &mut self,
        fresh: Vec<Fresh>,
        mut answers: Vec<(OnAppended, Result<Appended>, u64)>,
    ) {
        self.shared.trouble("journal", None);
        let mut counters = locked(&self.shared.counters);
        for (_, _, duplicates) in &answers {
            counters.duplicate += duplicates;
        }
        for Fresh { append, answer, first_record_seq, lost_batches } in fresh {
            let records = append.decoded.records();
            if records == 0 {
                self.memtable.add_empty(append.payload.len());
            }
            counters.accepted += u64::from(records);
            counters.timestamps_replaced += append.timestamps_replaced;
            for (reason, count) in append.rejected {
                *counters.rejected.entry(reason.to_owned()).or_default() += count;
            }
            for (day, chunk) in append.decoded.place(first_record_seq) {
                self.memtable.add(
                    &append.tenant,
                    append.signal,
                    day,
                    chunk,
                    self.shared.options.open_parts_max,
                );
            }
            answers.push((answer, Ok(Appended { duplicate: false, records, lost_batches }), 0));
        }
        self.shared.change_view(|pieces| pieces.growing = self.memtable.parts());
        drop(counters);
        failpoint::reach("commit.visible");
        for (answer, result, _) in answers {
            answer(result);
        }
    }

    /// Seals every part, rolls the journal, and sends both to the flush thread.
    fn cut(&mut self, cuts: &ChannelSender<Cut>, done: Option<SyncSender<Result<()>>>) {
        failpoint::reach("commit.cut");
        let cut = self.next_cut;
        self.next_cut += 1;
        let journal_floor = self.journal.roll();
        let parts = self.memtable.seal();
        let senders = {
            let mut dedup = locked(&self.shared.dedup);
            dedup.forget_old(Timestamp::now());
            dedup.take_changed()
        };
        self.shared.change_view(|pieces| {
            pieces.growing.clear();
            if !parts.is_empty() {
                pieces.sealed.push((cut, parts.clone()));
            }
        });
        let counters = locked(&self.shared.counters).clone();
        let message = Cut {
            cut,
            parts,
            journal_floor,
            next_record_seq: self.next_record_seq,
            senders,
            counters,
            done,
        };
        // The flush thread lives as long as this one; if it panicked, the journal keeps everything.
        let _ = cuts.send(message);
    }

    fn count_refused(&self, error: &StoreError, records: u64) {
        let reason = match error {
            StoreError::Conflict { .. } => "conflict",
            StoreError::TooFarAhead { .. } => "too_far_ahead",
            StoreError::Full { .. } => "disk_full",
            _ => "journal_failed",
        };
        debug_assert!(REJECT_REASONS.contains(&reason), "{reason}");
        *locked(&self.shared.counters).rejected.entry(reason.to_owned()).or_default() += records;
    }
}
